//! `lastunit inspect`: what the directory of a stopped node holds, and whether it is whole.
//!
//! ```text
//!   DIR, or --config and --node -> raft::inspect -> shown as tables (text) or as one JSON document
//!                                       \--entries-> a line for each entry of the log, as they are read
//! ```
//!
//! Nothing in the directory is changed. The checkpoint's image is copied into a temporary directory (`TMPDIR`), since
//! sled cannot open it without writing.

mod text;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use raft::inspect::{Content, EntryWords, Inspection, Report, Verdict};
use serde::Serialize;

use crate::cli::{self, Failure};
use crate::config::{ClusterFile, SettingArgs, Settings};

/// What the help says at its end.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 whole; 1 damaged, or refused by its cluster; 2 cannot be read: no such directory, a node uses it, or another version wrote it.";

const EXIT_DAMAGED: u8 = 1;
const EXIT_UNREADABLE: u8 = 2;

/// Look at a stopped node's directory: what it holds, whether it is whole, where it is damaged. Changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory: a node's data_dir. Without it, that of --node in the cluster file.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The cluster file.
    #[arg(long, value_name = "FILE", default_value = "cluster.toml", env = "LASTUNIT_CONFIG")]
    config: PathBuf,
    /// Which node of the file, by its id.
    #[arg(long, value_name = "ID", env = "LASTUNIT_NODE")]
    node: Option<u64>,
    /// Write the entries of the log instead, one a line: index, term, leader, time, commands.
    #[arg(long, env = "LASTUNIT_ENTRIES", value_parser = cli::flag())]
    entries: bool,
    /// With --entries: from this index on.
    #[arg(long, value_name = "INDEX", requires = "entries", env = "LASTUNIT_FROM")]
    from: Option<u64>,
    /// With --entries: up to this index.
    #[arg(long, value_name = "INDEX", requires = "entries", env = "LASTUNIT_TO")]
    to: Option<u64>,
    /// Write JSON: one document, or one a line.
    #[arg(long, env = "LASTUNIT_JSON", value_parser = cli::flag())]
    json: bool,
}

/// Runs it to its exit code. Blocking.
pub(crate) fn run(args: &Args) -> ExitCode {
    match look(args) {
        Ok(code) => ExitCode::from(code),
        // There is no document of a failure: the line on stderr is all.
        Err(failure) => failure.end(false),
    }
}

fn look(args: &Args) -> Result<u8, Failure> {
    let range = range(args)?;
    let directory = directory(args)?;
    let scratch =
        tempfile::tempdir().map_err(|cause| usage(format!("cannot make a temporary directory: {cause}")))?;
    let inspection = raft::inspect::inspect(&directory, scratch.path()).map_err(usage)?;
    let report = &inspection.report;
    match args.entries {
        true => {
            write_entries(&inspection, range, args.json)?;
            report.damages.iter().for_each(|damage| cli::complain(&text::damage(damage)));
        }
        false => {
            write_report(report, args.json)?;
            if report.verdict == Verdict::Damaged {
                cli::complain(&text::complaint(report));
            }
        }
    }
    report.unreadable.iter().for_each(|why| cli::complain(why));
    Ok(exit_code(report.verdict))
}

/// The first and the last index of the entries that are asked for.
fn range(args: &Args) -> Result<(u64, u64), Failure> {
    let (from, to) = (args.from.unwrap_or(0), args.to.unwrap_or(u64::MAX));
    match from <= to {
        true => Ok((from, to)),
        false => Err(usage(format!("--from {from} --to {to}: the end is before the beginning"))),
    }
}

fn directory(args: &Args) -> Result<PathBuf, Failure> {
    if let Some(directory) = &args.directory {
        return Ok(directory.clone());
    }
    let settings = Settings::new(args.node, &SettingArgs::default());
    let file = ClusterFile::load_with(&args.config, &settings).map_err(usage)?;
    let (config, ids) = (args.config.display(), file.ids());
    let Some(id) = args.node else {
        return Err(usage(format!("which node? name a directory, or --node ID of {config}: one of {ids}")));
    };
    let node = file.node(id);
    let unknown = || usage(format!("--node {id}: {config} has no such node; choose one of {ids}"));
    node.map(|node| node.data_dir.clone()).ok_or_else(unknown)
}

fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Whole => 0,
        Verdict::Damaged => EXIT_DAMAGED,
        Verdict::Unreadable => EXIT_UNREADABLE,
    }
}

fn write_report(report: &Report, json: bool) -> Result<(), Failure> {
    let text = match json {
        true => serde_json::to_string(report).map_err(usage)? + "\n",
        false => text::report(report),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(unheard)
}

/// An entry with its instant in the form of the API.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    entry: &'a EntryWords,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

/// Writes the entries as they are read: memory for one of them, however many there are.
fn write_entries(inspection: &Inspection, (from, to): (u64, u64), json: bool) -> Result<(), Failure> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    for entry in inspection.entries(from, to) {
        let entry = entry.map_err(usage)?;
        let line = match json {
            true => serde_json::to_string(&Line { entry: &entry, time: time(&entry) }).map_err(usage)?,
            false => text::entry(&entry, time(&entry)),
        };
        writeln!(stdout, "{line}").map_err(unheard)?;
    }
    stdout.flush().map_err(unheard)
}

fn time(entry: &EntryWords) -> Option<String> {
    match &entry.content {
        Content::Commands { stamp, .. } => Some(text::time(stamp.now_ms)),
        _ => None,
    }
}

fn usage(why: impl ToString) -> Failure {
    Failure::usage(why.to_string())
}

/// A reader that has closed its end ends this quietly; a stdout that takes nothing for another reason does not.
fn unheard(cause: io::Error) -> Failure {
    let failure = cli::unheard(cause);
    let code = if failure.code == 0 { 0 } else { EXIT_UNREADABLE };
    Failure { code, ..failure }
}
