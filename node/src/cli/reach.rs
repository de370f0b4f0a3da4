//! How a command reaches the cluster, and how it answers: the flags that all of them share.

use std::path::PathBuf;
use std::time::Duration;

use client::{Answer, Builder, Call, Client};
use serde::Serialize;

use super::failure::Failure;
use super::venue::Given;
use super::{Stop, out};
use crate::config::ClusterFile;

/// The flags that every command over the cluster has.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Reach {
    /// The nodes' addresses, such as http://a:8101,http://b:8101. Any of them answers; more of them survive more.
    #[arg(long, value_name = "URLS", env = "LASTUNIT_NODES", value_delimiter = ',', help_heading = SHARED)]
    nodes: Vec<String>,
    /// The cluster file whose nodes are called, where --nodes is not given.
    #[arg(long, value_name = "FILE", default_value = "cluster.toml", env = "LASTUNIT_CONFIG", help_heading = SHARED)]
    config: PathBuf,
    /// A call with all its tries takes no longer, such as 5s; unless given 15s, of an audit 90s.
    #[arg(long, value_name = "TIME", env = "LASTUNIT_DEADLINE", value_parser = super::parse_time, help_heading = SHARED)]
    deadline: Option<Duration>,
    #[command(flatten)]
    credential: Credential,
    /// Answer in JSON: one document, or one a line where there may be many.
    #[arg(long, env = "LASTUNIT_JSON", value_parser = super::flag(), help_heading = SHARED)]
    pub(super) json: bool,
}

/// What the commands show to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args)]
pub(super) struct Credential {
    /// The token to show, where the cluster asks for one. The variable keeps it out of lists of processes.
    #[arg(long, value_name = "TOKEN", env = "LASTUNIT_TOKEN", hide_env_values = true, help_heading = SHARED)]
    token: Option<SecretText>,
    /// By which authority (PEM) nodes at https:// are trusted; unless given, that of the cluster file where it is used,
    /// else those that this machine trusts.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_CA", help_heading = SHARED)]
    ca: Option<PathBuf>,
}

/// A text that is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretText(String);

impl std::str::FromStr for SecretText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<SecretText, Self::Err> {
        Ok(SecretText(text.to_owned()))
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("...")
    }
}

impl Credential {
    /// A builder of clients that show it, and trust `--ca`, or else the authority of the cluster file.
    ///
    /// # Errors
    /// In one line, where that authority cannot be read.
    pub(super) fn builder(&self, of_file: Option<PathBuf>) -> Result<Builder, String> {
        let builder = match &self.token {
            Some(SecretText(token)) => Client::builder().token(token),
            None => Client::builder(),
        };
        let Some(ca) = self.ca.clone().or(of_file) else { return Ok(builder) };
        let pem = std::fs::read(&ca);
        let mend = "make it with lastunit cert new, or name the nodes' ca.pem with --ca or LASTUNIT_CA";
        let pem = pem.map_err(|error| format!("{}: cannot be read: {error}; {mend}", ca.display()))?;
        Ok(builder.ca(pem))
    }

    /// The value of an `Authorization` that shows it.
    pub(super) fn authorization(&self) -> Option<String> {
        self.token.as_ref().map(|SecretText(token)| format!("Bearer {token}"))
    }
}

/// The heading of the shared flags in the help.
const SHARED: &str = "Cluster and output";

/// The flag of every command that changes anything.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Key {
    /// The idempotency key, so that the command can be repeated until it is answered, and is executed once. Random
    /// unless given, and named where the outcome stays unknown. No variable sets it: it would name many commands.
    #[arg(long, value_name = "KEY", help_heading = SHARED)]
    key: Option<String>,
}

impl Reach {
    /// A client of the cluster.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let Given { addresses, ca } = self.given()?;
        let mut builder = self.credential.builder(ca).map_err(Failure::usage)?;
        if let Some(deadline) = self.deadline {
            builder = builder.deadline(deadline);
        }
        builder.build(addresses).map_err(Failure::from)
    }

    /// The addresses of the nodes.
    pub(super) fn addresses(&self) -> Result<Vec<String>, Failure> {
        self.given().map(|given| given.addresses)
    }

    fn given(&self) -> Result<Given, Failure> {
        if !self.nodes.is_empty() {
            return Ok(Given { addresses: self.nodes.clone(), ca: None });
        }
        let file = ClusterFile::load(&self.config)
            .map_err(|mistake| Failure::usage(format!("{mistake}; or give --nodes or LASTUNIT_NODES")))?;
        Ok(Given::of(&file))
    }

    /// The place of a node of the cluster file among the addresses.
    pub(super) fn place(&self, id: u64) -> Result<usize, Failure> {
        if !self.nodes.is_empty() {
            return Err(Failure::usage(
                "--node: names a node of the cluster file; leave out --nodes, or --node",
            ));
        }
        let file = ClusterFile::load(&self.config).map_err(|mistake| Failure::usage(mistake.to_string()))?;
        let (config, ids) = (self.config.display(), file.ids());
        let none = || Failure::usage(format!("--node {id}: {config} has no such node; choose one of {ids}"));
        file.nodes.iter().position(|node| node.id == id).ok_or_else(none)
    }

    /// Where a node of the cluster file answers its peers and HTTP.
    pub(super) fn node(&self, id: u64) -> Result<(String, String), Failure> {
        let file = ClusterFile::load(&self.config)
            .map_err(|mistake| Failure::usage(format!("{mistake}; or give --raft and --http")))?;
        let config = self.config.display();
        let none =
            || Failure::usage(format!("{config} has no node {id}: add it there, or give --raft and --http"));
        file.node(id).map(|node| (node.raft.clone(), node.http.clone())).ok_or_else(none)
    }

    /// The deadline, where one was given.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Makes a read, unless it is interrupted.
    pub(super) async fn read<T: Send + 'static>(&self, call: Call<T>) -> Result<Answer<T>, Failure> {
        let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
        tokio::select! {
            answer = call => answer.map_err(Failure::from),
            () = stop.asked() => Err(Failure::interrupted()),
        }
    }

    /// Makes a write under that key, or a random one, unless it is interrupted.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        call: Call<T>,
        key: &Key,
    ) -> Result<Done<T>, Failure> {
        let key = key.key.clone().unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
        tokio::select! {
            answer = call.key(&key) => Ok(Done { answer: answer?, key }),
            () = stop.asked() => Err(Failure::interrupted_write(&key)),
        }
    }

    /// Tells the answer of a write, as [`Reach::tell`] does. Where it cannot be told, it is done all the same.
    pub(super) fn tell_done<T: Serialize>(
        &self,
        done: &Done<T>,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        self.tell(&done.answer, text).map_err(|failure| {
            let record = serde_json::to_value(&done.answer.value).unwrap_or_default();
            failure.though_done(&done.key, record["reservation_id"].as_str())
        })
    }

    /// Tells an answer: in JSON the record with what stands in the answer's headers, else that text.
    pub(super) fn tell<T: Serialize>(
        &self,
        answer: &Answer<T>,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.json {
            true => out::line(&Document::of(answer)),
            false => out::text(&text(&answer.value)),
        }
    }
}

/// A write that is done, and the key under which it is.
#[derive(Debug)]
pub(super) struct Done<T> {
    answer: Answer<T>,
    key: String,
}

impl<T> Done<T> {
    /// The same, of another value.
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Done<U> {
        Done { answer: self.answer.map(map), key: self.key }
    }
}

/// The record, with what stands in the answer's headers beside its fields, where they apply.
#[derive(Debug, Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    record: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_index: Option<u64>,
}

impl<'a, T> Document<'a, T> {
    fn of(answer: &'a Answer<T>) -> Document<'a, T> {
        let Answer { ref value, sequence, replayed, applied_index, .. } = *answer;
        Document { record: value, sequence, replayed, applied_index }
    }
}
