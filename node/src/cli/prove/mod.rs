//! `lastunit prove`: a cluster of its own is hurt in every way while clients use it, and what they saw is checked.
//!
//! ```text
//!   seed --> schedule --> faults ----.            .--> history.ndjson --> checker --> verdict, report.html
//!      \                              > cluster --<
//!       '--> clients: calls ---------'            '--> node-N.log
//!
//!   cluster, said     processes, their stdin and their logs      link       a proxy for each pair of nodes
//!   kind, act, schedule    what is to be done, from the seed     fault      doing it, undoing it, evidence
//!   operation         an operator's work: member, backup, certs, tokens; by the operator's commands
//!   security, keys    certificates and tokens; what callers show and trust
//!   shop, wish, ask   what clients ask for                       buyer      one client
//!   caller, wire      a call over all its tries                  recorder   the record as it grows
//!   sampler           looks at the nodes                         finish     what every node has at the end
//!   run               what happens when                          judge, summary   what it comes to
//! ```
//!
//! The same seed gives the same schedule and the same dice to every client. Threads, sockets and disks take the time
//! that they take, so what is answered to whom differs from run to run, and with it what clients know to ask for.
//!
//! Invariants:
//! - Nothing here knows whether an answer is right: that is the checker's, which knows nothing but the record.
//! - All processes end with this one: after the run, at Ctrl-C, and when it dies, for each holds the end of a pipe.

mod act;
mod ask;
mod backup;
mod buyer;
mod caller;
mod certs;
mod cluster;
mod commands;
mod fault;
mod finish;
mod judge;
mod keys;
mod kind;
mod link;
mod member;
mod operation;
mod recorder;
mod run;
mod said;
mod sampler;
mod schedule;
mod security;
mod shop;
mod summary;
mod tokens;
mod wire;
mod wish;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use tempfile::TempDir;

use self::cluster::Cluster;
use self::kind::Kind;
use self::run::Plan;
use self::schedule::Whom;
use super::{EXIT_FAILED, EXIT_USAGE, Stop, bar, fail, this_program};

/// The run could not be held or read.
const EXIT_NOT_RUN: u8 = 3;

/// What `--faults` calls all that an operator does.
const OPERATIONS: &str = "operations";

/// What the record calls a thing that should not have happened and is none of a client's: a node that ended by itself.
const FAILURE: &str = "failure";

/// What its help says at the end.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 passed; 1 a promise was broken; 2 wrong usage; 3 the run could not be held, and nothing wrong was found; 4
unknown: no promise was broken, but a kind of fault did not fire, too few tries were dealt with between faults, or the
record has no end.";

/// Hurt a cluster of its own in every way while clients use it, and check all that they saw.
///
/// It starts a cluster of processes on this machine, kills, pauses, cuts off and slows its nodes by a schedule that the
/// seed gives, while clients make every kind of call; heals it, reads everything back from every node, and checks the
/// whole record: that no unit was sold twice, that nothing acknowledged was lost, and all else that is promised.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How many nodes: 3 or 5.
    #[arg(long, default_value_t = 3, env = "LASTUNIT_PROVE_NODES", value_parser = parse_nodes)]
    nodes: u64,
    /// For how long, in seconds; longer where not every kind of fault has fired by then.
    #[arg(long, default_value_t = 60, env = "LASTUNIT_PROVE_SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many clients make calls.
    #[arg(long, default_value_t = 12, env = "LASTUNIT_PROVE_CLIENTS", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    clients: u64,
    /// How long a client thinks between two calls, on average, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 60, env = "LASTUNIT_PROVE_THINK_MS", value_parser = clap::value_parser!(u64).range(0..=60_000))]
    think_ms: u64,
    /// Which kinds of faults, such as kill,pause,partition; operations for all that an operator does; or none. All
    /// unless given, but for certs and tokens where --secure is not given.
    #[arg(long, value_name = "KINDS", env = "LASTUNIT_PROVE_FAULTS", value_parser = parse_kinds)]
    faults: Option<Kinds>,
    /// Certificates for the nodes, and tokens for all who call them; certs and tokens among the faults imply it.
    #[arg(long, env = "LASTUNIT_PROVE_SECURE", value_parser = super::flag())]
    secure: bool,
    /// One fault at a time, on one node, with quiet around it, so that what it does to service is its doing alone; whom
    /// it hits.
    #[arg(long, value_name = "WHOM", env = "LASTUNIT_PROVE_CALM")]
    calm: Option<Whom>,
    /// What the schedule and the clients' dice are drawn from; random unless given.
    #[arg(long, env = "LASTUNIT_PROVE_SEED")]
    seed: Option<u64>,
    /// Where the record, the report and the nodes' logs are put.
    #[arg(long, value_name = "DIR", default_value = "lastunit-prove", env = "LASTUNIT_PROVE_REPORT")]
    report: PathBuf,
    /// Run nothing: check this record of an earlier run again.
    #[arg(long, value_name = "HISTORY", env = "LASTUNIT_PROVE_CHECK")]
    check: Option<PathBuf>,
}

/// Kinds of faults, in one flag.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kinds(Vec<Kind>);

/// Holds the run and judges it, or judges an earlier one.
pub(crate) async fn run(args: Args) -> ExitCode {
    match &args.check {
        Some(history) => check(history),
        None => prove(&args.plan()).await,
    }
}

impl Args {
    fn plan(&self) -> Plan {
        let is_usual = |kind: &Kind| self.secure || !kind.is_of_security();
        let usual = || Kind::ALL.into_iter().filter(is_usual).collect();
        let kinds: Vec<Kind> = self.faults.as_ref().map_or_else(usual, |kinds| kinds.0.clone());
        Plan {
            secure: self.secure || kinds.iter().any(|kind| kind.is_of_security()),
            nodes: self.nodes,
            seconds: self.seconds,
            clients: self.clients,
            think_ms: self.think_ms,
            kinds,
            calm: self.calm,
            seed: self.seed.unwrap_or_else(|| rand::random_range(1..1_000_000_000)),
            dir: self.report.clone(),
        }
    }
}

/// Judges an earlier run; the page goes beside its record.
fn check(history: &Path) -> ExitCode {
    judge::judge(history, history.parent().unwrap_or(Path::new(".")))
}

/// Holds the run. The nodes' data are kept where it did not pass, because nothing else tells as much.
async fn prove(plan: &Plan) -> ExitCode {
    let mut data = match directory(plan) {
        Ok(data) => data,
        Err(cause) => {
            return fail(EXIT_USAGE, &format!("--report {}: {cause}; choose another", plan.dir.display()));
        }
    };
    eprintln!("{}", plan.command());
    let code = match hold(plan, data.path()).await {
        Ok(()) => judge::judge(&plan.history(), &plan.dir),
        Err(Unheld::Nothing(why)) => fail(EXIT_NOT_RUN, &why),
        Err(Unheld::Findings(why)) => fail(EXIT_FAILED, &why),
    };
    if code != ExitCode::SUCCESS {
        data.disable_cleanup(true);
        eprintln!("lastunit: the nodes' data are in {}", data.path().display());
    }
    code
}

/// Makes the directory of the report, and one within it for the nodes' data.
fn directory(plan: &Plan) -> std::io::Result<TempDir> {
    std::fs::create_dir_all(&plan.dir)?;
    tempfile::Builder::new().prefix("data-").tempdir_in(&plan.dir)
}

/// Why there is no record to judge.
enum Unheld {
    /// The run could not be held, and nothing was found.
    Nothing(String),
    /// Something was found that should not be, and cannot be recorded.
    Findings(String),
}

impl From<String> for Unheld {
    fn from(why: String) -> Unheld {
        Unheld::Nothing(why)
    }
}

/// Runs it in a cluster that ends with it, however it ends. Where it did not come to its end, its record is judged
/// nevertheless if anything was found by then.
async fn hold(plan: &Plan, data: &Path) -> Result<(), Unheld> {
    let mut stop = Stop::new().map_err(|cause| format!("cannot listen for signals: {cause}"))?;
    let cluster =
        Arc::new(Cluster::lay_out(data, &plan.dir, this_program()?, plan.nodes, plan.secure).await?);
    let ended = tokio::select! {
        ended = run::run(plan, &cluster) => ended,
        () = stop.asked() => Err("interrupted".to_owned()),
    };
    // Whoever is left is not wanted any more, and one that is paused would never end in order.
    cluster.kill_all().await;
    match ended {
        Err(why) if !cluster.findings().is_empty() => recorded_so_far(&cluster, why),
        ended => Ok(ended?),
    }
}

/// The record of a run that was broken off, with what was found.
fn recorded_so_far(cluster: &Cluster, why: String) -> Result<(), Unheld> {
    eprintln!("lastunit: the run did not come to its end: {why}");
    match cluster.flush_record() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Unheld::Findings(cluster.findings().join("; "))),
        Err(cause) => Err(Unheld::Findings(format!("{}; {cause}", cluster.findings().join("; ")))),
    }
}

fn parse_nodes(text: &str) -> Result<u64, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("3 or 5".to_owned()),
    }
}

/// `kill,pause`, `kill,operations`, or `none`.
fn parse_kinds(text: &str) -> Result<Kinds, String> {
    if text == "none" {
        return Ok(Kinds(Vec::new()));
    }
    let mut kinds = text.split(',').map(parse_word).collect::<Result<Vec<_>, _>>()?.concat();
    kinds.sort();
    kinds.dedup();
    Ok(Kinds(kinds))
}

/// A kind, or what all kinds of its sort are called.
fn parse_word(word: &str) -> Result<Vec<Kind>, String> {
    if word == OPERATIONS {
        return Ok(Kind::ALL.into_iter().filter(|kind| kind.is_operation()).collect());
    }
    let words = || Kind::ALL.map(Kind::as_str).join(", ");
    let kind = Kind::from_str(word, false);
    kind.map(|kind| vec![kind]).map_err(|_| format!("`{word}` is none of {}, {OPERATIONS}", words()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_once_each_and_none_is_none() {
        assert_eq!(parse_kinds("pause,kill,pause"), Ok(Kinds(vec![Kind::Kill, Kind::Pause])));
        assert_eq!(parse_kinds("none"), Ok(Kinds(vec![])));
        let operations = parse_kinds("operations,kill,restart").unwrap().0;
        assert_eq!((operations.len(), operations[0]), (9, Kind::Kill), "{operations:?}");
        assert!(parse_kinds("kill,flood").unwrap_err().starts_with("`flood` is none of kill, pause"));
    }

    #[test]
    fn the_command_that_repeats_a_run_is_the_run() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        for (more, told) in [
            (&["--faults", "kill,disk"][..], "--faults kill,disk --seed"),
            (&["--calm", "follower", "--faults", "kill"], "--calm follower"),
            (&["--faults", "operations"], "certs,tokens --secure --seed"),
            (&["--secure"], "certs,tokens --secure --seed"),
            (&[], "transfer,backup --seed"),
        ] {
            let words = ["prove", "--seed", "7", "--nodes", "5"];
            let command = Line::parse_from(words.iter().chain(more)).args.plan().command();
            assert!(command.contains(told), "{command}");
            let words = command.split(' ').skip(1);
            assert_eq!(Line::parse_from(words).args.plan().command(), command);
        }
    }
}
