//! `lastunit config check`: what a node would be started with, and all that is wrong with it.
//!
//! ```text
//!   cluster file, LASTUNIT_..., flags  -->  every mistake, a line each         exit 2
//!                                      \->  what is in force, and what says so  exit 0, with doubts on stderr
//! ```
//!
//! The flags that `serve` shares with it are told from what the command line's parser says of them, so that none can be
//! forgotten. Nothing told is a secret: files of secrets are named, and what is in them is not.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::json;

use super::failure::{EXIT_USAGE, Failure};
use super::out::{self, Table};
use crate::access::AccessArgs;
use crate::config::check::mistakes;
use crate::config::doubts::{doubts, is_loopback};
use crate::config::effective::{InForce, in_force};
use crate::config::keys::{KEYS, Key};
use crate::config::{ClusterFile, SettingArgs, Settings, text_of};
use crate::logs::{self, LogFormat};

/// Looks at what a node would be started with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(Check),
}

/// Tell everything that is wrong with the cluster file, the variables and the flags, or else what is in force and where
/// that comes from; exit code 2 where anything is wrong.
#[derive(Debug, clap::Args)]
struct Check {
    /// The cluster file.
    #[arg(long, value_name = "FILE", default_value = "cluster.toml", env = "LASTUNIT_CONFIG")]
    config: PathBuf,
    /// The node that would be started, by its id; all of them unless given.
    #[arg(long, value_name = "ID", env = "LASTUNIT_NODE")]
    node: Option<u64>,
    /// How log lines would be written.
    #[arg(long, value_enum, default_value_t = LogFormat::Human, env = "LASTUNIT_LOG_FORMAT")]
    log_format: LogFormat,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    settings: SettingArgs,
    /// Answer in JSON.
    #[arg(long, env = "LASTUNIT_JSON", value_parser = super::flag())]
    json: bool,
}

/// What is found.
struct Found {
    mistakes: Vec<String>,
    doubts: Vec<String>,
    in_force: Vec<InForce>,
}

impl Args {
    /// Whether a failure is told in JSON, too.
    pub(super) fn json(&self) -> bool {
        let Command::Check(check) = &self.command;
        check.json
    }
}

pub(super) fn run(args: &Args, line: clap::Command) -> Result<(), Failure> {
    let Command::Check(check) = &args.command;
    let found = check.look(&line)?;
    let document = json!({
        "sound": found.mistakes.is_empty(),
        "mistakes": found.mistakes,
        "doubts": found.doubts,
        "in_force": found.in_force,
    });
    found.mistakes.iter().for_each(|mistake| out::complain(mistake));
    let file = check.config.display();
    if !found.mistakes.is_empty() {
        let line = format!("{file} is not sound: {}", counted(found.mistakes.len(), "mistake"));
        return Err(Failure { code: EXIT_USAGE, line: Some(line), document: Some(document) });
    }
    found.doubts.iter().for_each(|doubt| out::complain(&format!("doubtful: {doubt}")));
    match check.json {
        true => out::line(&document),
        false => {
            out::text(&format!("{}{file} is sound{}\n", table(&found.in_force), doubtful(&found.doubts)))
        }
    }
}

fn doubtful(doubts: &[String]) -> String {
    match doubts.len() {
        0 => String::new(),
        count => format!(", with {}", counted(count, "doubt")),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn table(in_force: &[InForce]) -> String {
    let row = |it: &InForce| [it.key.clone(), it.value.clone(), it.from.clone()];
    Table::new(["KEY", "VALUE", "FROM"]).rows(&in_force.iter().map(row).collect::<Vec<_>>())
}

impl Check {
    fn look(&self, line: &clap::Command) -> Result<Found, Failure> {
        let text = text_of(&self.config).map_err(|mistake| Failure::usage(mistake.to_string()))?;
        let settings = Settings::new(self.node, &self.settings);
        let wrong = mistakes(&text, &settings).into_iter().map(|mut mistake| {
            mistake.file.get_or_insert_with(|| self.config.clone());
            mistake.to_string()
        });
        let mut mistakes: Vec<String> = wrong.collect();
        mistakes.extend(logs::given_filter().err());
        if !mistakes.is_empty() {
            return Ok(Found { mistakes, doubts: Vec::new(), in_force: Vec::new() });
        }
        let usage = |mistake: crate::config::ConfigError| Failure::usage(mistake.to_string());
        let file = ClusterFile::load_with(&self.config, &settings).map_err(usage)?;
        let mut told = flags(line);
        told.extend(in_force(&self.config, &text, &settings, self.node).map_err(usage)?);
        Ok(Found {
            mistakes: self.mistakes_of_nodes(&file),
            doubts: self.doubts(&file, line),
            in_force: told,
        })
    }

    /// What would end a start, beyond what the file says.
    fn mistakes_of_nodes(&self, file: &ClusterFile) -> Vec<String> {
        let meant: Vec<_> =
            file.nodes.iter().filter(|node| self.node.is_none_or(|id| node.id == id)).collect();
        if let (Some(id), true) = (self.node, meant.is_empty()) {
            let (config, ids) = (self.config.display(), file.ids());
            return vec![format!("--node {id}: {config} has no such node; choose one of {ids}")];
        }
        match self.access.open(file) {
            Err(mistake) => vec![mistake],
            Ok(access) => {
                let refused = |node| self.access.check_reach(&access, node, is_loopback(&node.http)).err();
                meant.into_iter().filter_map(refused).collect()
            }
        }
    }

    fn doubts(&self, file: &ClusterFile, line: &clap::Command) -> Vec<String> {
        let mut doubts = doubts(file);
        doubts.extend(self.access.doubt(file));
        let known = variables(line);
        for name in std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()) {
            if name.starts_with("LASTUNIT_") && !known.contains(&name) {
                doubts.push(format!("variable {name}: nothing reads it; look for a slip, or unset it"));
            }
        }
        doubts
    }
}

/// Every variable that any command, or any key of the file, reads.
fn variables(line: &clap::Command) -> BTreeSet<String> {
    let mut known: BTreeSet<String> = KEYS.iter().filter_map(Key::variable).map(str::to_owned).collect();
    known.insert(logs::FILTER_VARIABLE.to_owned());
    let mut waiting = vec![line];
    while let Some(command) = waiting.pop() {
        let of_flags = command.get_arguments().filter_map(|flag| flag.get_env());
        known.extend(of_flags.map(|name| name.to_string_lossy().into_owned()));
        waiting.extend(command.get_subcommands());
    }
    known
}

/// The flags that were given to this very process, or are by default, and the variable of the log.
fn flags(line: &clap::Command) -> Vec<InForce> {
    let given = line.clone().try_get_matches_from(std::env::args_os()).ok();
    let check =
        given.as_ref().and_then(|line| line.subcommand_matches("config")?.subcommand_matches("check"));
    let flags = line.find_subcommand("config").and_then(|config| config.find_subcommand("check"));
    let (Some(check), Some(flags)) = (check, flags) else { return Vec::new() };
    let mut told: Vec<_> = flags.get_arguments().filter_map(|flag| flag_in_force(flag, check)).collect();
    let filter = std::env::var(logs::FILTER_VARIABLE).unwrap_or_default();
    let (value, from) = match filter.trim() {
        "" => (logs::FILTER_DEFAULT.to_owned(), "default"),
        filter => (filter.to_owned(), "environment"),
    };
    told.push(InForce { key: logs::FILTER_VARIABLE.to_owned(), value, from: from.to_owned() });
    told
}

/// A flag that is in force. Those that set keys of the file are told with their keys.
fn flag_in_force(flag: &clap::Arg, given: &ArgMatches) -> Option<InForce> {
    let (id, name) = (flag.get_id().as_str(), flag.get_long()?);
    if ["set", "json", "help"].contains(&id) {
        return None;
    }
    let values = given.get_raw(id)?.map(|value| value.to_string_lossy().into_owned());
    let from = match given.value_source(id)? {
        ValueSource::CommandLine => "flag".to_owned(),
        ValueSource::EnvVariable => flag.get_env()?.to_string_lossy().into_owned(),
        _ => "default".to_owned(),
    };
    Some(InForce { key: format!("--{name}"), value: values.collect::<Vec<_>>().join(","), from })
}
