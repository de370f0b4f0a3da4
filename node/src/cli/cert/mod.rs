//! `lastunit cert`: the certificates of TLS. It makes files, of which nodes that run take notice.
//!
//! ```text
//!   DIR/ca.pem                      whom nodes and clients trust         on every machine, and with clients
//!   DIR/node-N.pem, DIR/node-N.key  what node N shows                    on its machine
//!   DIR/offline/ca.key              what makes certificates              on none of them, once they are made
//! ```
//!
//! No certificate is told of as made that the nodes would refuse: each is held against the authority as a node does.

mod new;
mod renew;
mod write;

use std::path::PathBuf;

use rustls::pki_types::ServerName;
use serde_json::{Value, json};

use super::{Failure, out};
use crate::config::{ClusterFile, NodeConfig};
use crate::tls::authority::{self, Authority, Pair};

/// Makes and renews the certificates by which nodes know each other, and clients know nodes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(new::Args),
    Renew(renew::Args),
}

/// Whose certificates, where, and for how long.
#[derive(Debug, Clone, clap::Args)]
struct Making {
    /// The cluster file: its nodes get the certificates.
    #[arg(long, value_name = "FILE", default_value = "cluster.toml", env = "LASTUNIT_CONFIG")]
    config: PathBuf,
    /// Where the files are; unless given, `dir` of the cluster file's `[tls]`, else `tls`.
    #[arg(long, value_name = "DIR", env = "LASTUNIT_CERT_DIR")]
    dir: Option<PathBuf>,
    /// The key of the authority; unless given, offline/ca.key in that directory.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_CA_KEY")]
    ca_key: Option<PathBuf>,
    /// How long the nodes' certificates are valid, in days.
    #[arg(long, value_name = "DAYS", default_value_t = 365, env = "LASTUNIT_CERT_DAYS", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// A further host name or address at which clients reach the nodes; may be given more than once, or with commas.
    #[arg(long, value_name = "HOST", env = "LASTUNIT_CERT_HOST", value_delimiter = ',', value_parser = parse_host)]
    host: Vec<String>,
    /// Answer in JSON.
    #[arg(long, env = "LASTUNIT_JSON", value_parser = super::flag())]
    json: bool,
}

/// Where everything is.
struct Place {
    file: ClusterFile,
    dir: PathBuf,
    ca: PathBuf,
    ca_key: PathBuf,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::New(args) => new::run(args),
        Command::Renew(args) => renew::run(args),
    }
}

impl Args {
    /// Whether a failure is told in JSON, too.
    pub(super) fn json(&self) -> bool {
        match &self.command {
            Command::New(args) => args.making.json,
            Command::Renew(args) => args.making.json,
        }
    }
}

impl Making {
    fn place(&self) -> Result<Place, Failure> {
        let file = ClusterFile::load(&self.config).map_err(|mistake| Failure::usage(mistake.to_string()))?;
        let of_file = || file.tls.as_ref().map_or_else(|| "tls".into(), |tls| tls.dir.clone());
        let dir = self.dir.clone().unwrap_or_else(of_file);
        let ca_key = self.ca_key.clone().unwrap_or_else(|| dir.join("offline").join("ca.key"));
        Ok(Place { ca: dir.join("ca.pem"), ca_key, dir, file })
    }

    /// The certificate of a node, which the others will take.
    fn issue(&self, by: &Authority, ca: &str, node: &NodeConfig) -> Result<Pair, Failure> {
        let made = by.issue(node, &self.host, self.days);
        let pair = made.map_err(|why| Failure::usage(format!("node {}: {why}", node.id)))?;
        let taken = authority::check(node.id, ca, &pair);
        taken.map_err(|why| Failure::usage(format!("node {}: its new certificate {why}", node.id)))?;
        Ok(pair)
    }
}

/// A host of clients' addresses. Names of nodes are none: whoever is certified one may speak as it.
fn parse_host(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) if text.trim_end_matches('.').to_ascii_lowercase().ends_with(".lastunit.internal") => {
            Err("a name of nodes, which each has of its own".to_owned())
        }
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("not a host name or an address".to_owned()),
    }
}

impl Place {
    /// Where the certificate and the key of a node are.
    fn of_node(&self, id: u64) -> [PathBuf; 2] {
        [self.dir.join(format!("node-{id}.pem")), self.dir.join(format!("node-{id}.key"))]
    }

    fn document(&self, nodes: &[u64]) -> Value {
        let node = |&id: &u64| {
            let [cert, key] = self.of_node(id);
            json!({ "id": id, "cert": cert, "key": key })
        };
        json!({ "ca": self.ca, "ca_key": self.ca_key, "nodes": nodes.iter().map(node).collect::<Vec<_>>() })
    }

    /// Tells which files were made.
    fn tell(&self, json: bool, nodes: &[u64], more: &str) -> Result<(), Failure> {
        if json {
            return out::line(&self.document(nodes));
        }
        let mut text = String::new();
        for &id in nodes {
            let [cert, key] = self.of_node(id);
            text.push_str(&format!("{}, {}: for node {id}\n", cert.display(), key.display()));
        }
        out::text(&(text + more))
    }
}
