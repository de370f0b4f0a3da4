//! The subcommands that talk to a cluster, over the client crate.
//!
//! ```text
//!   reserve commit release extend return get   the life of a reservation
//!   sku set adjust get list rm import export   what is on sale
//!   events status top audit                    what happens; who serves, how fast; whether all agree and add up
//!   member leader                              who belongs to the cluster, and who leads it
//!   ready                                      whether nodes serve
//!     reach    which nodes are called, and how an answer is told
//!     failure  how a command ends that was not done
//!     out      stdout: text, JSON, tables
//!   backup restore                             the whole state as a file, and a new cluster of one
//!   token new list revoke                      who may call: a file, no cluster
//!   cert new renew                             by what nodes know each other: files, no cluster
//!   config check, completions, man             what a node would be started with; what a shell and `man` read
//!   up sale bench                              whole clusters
//! ```
//!
//! What they tell goes to stdout; how far they are, and in one line why they were not done, goes to stderr. With
//! `--json` a command that answers with one record tells one document: the record, or the problem. Commands that tell
//! many tell one a line, and no problem among them. [`failure`] has the exit codes.

mod agreement;
mod audit;
mod backup;
mod bar;
pub(crate) mod bench;
mod cert;
mod commit;
mod completions;
mod config;
mod events;
mod extend;
mod failure;
mod finding;
mod get;
mod latency;
mod leader;
mod man;
mod member;
mod out;
pub(crate) mod prove;
mod reach;
mod ready;
mod release;
mod reserve;
mod restore;
mod return_;
pub(crate) mod sale;
mod show;
mod sku;
mod status;
mod token;
mod top;
pub(crate) mod up;
mod venue;
mod words;

pub(crate) use failure::Failure;
pub(crate) use out::{Table, complain, fields, plain, unheard};

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// It failed.
pub(crate) const EXIT_FAILED: u8 = 1;
/// It was asked wrongly.
pub(crate) const EXIT_USAGE: u8 = 2;

/// What the help of each command over the cluster says at its end.
const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 refused; 2 wrong usage, nothing was sent; 3 not executed, later it may be;
4 outcome unknown: the same command with the same --key tells.";

/// The commands over the cluster.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    #[command(after_help = EXIT_CODES)]
    Reserve(reserve::Args),
    #[command(after_help = EXIT_CODES)]
    Commit(commit::Args),
    #[command(after_help = EXIT_CODES)]
    Release(release::Args),
    #[command(after_help = EXIT_CODES)]
    Extend(extend::Args),
    #[command(after_help = EXIT_CODES)]
    Return(return_::Args),
    #[command(after_help = EXIT_CODES)]
    Get(get::Args),
    Sku(sku::Args),
    #[command(after_help = EXIT_CODES)]
    Events(events::Args),
    #[command(after_help = EXIT_CODES)]
    Status(status::Args),
    #[command(after_help = EXIT_CODES)]
    Top(top::Args),
    #[command(after_help = audit::EXIT_CODES)]
    Audit(audit::Args),
    #[command(after_help = backup::EXIT_CODES)]
    Backup(backup::Args),
    #[command(after_help = restore::EXIT_CODES)]
    Restore(restore::Args),
    Token(token::Args),
    Cert(cert::Args),
    Member(member::Args),
    Leader(leader::Args),
    #[command(after_help = EXIT_CODES)]
    Ready(ready::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// Runs it to its exit code. `line` is the whole command line, of which completions are made.
    pub(crate) async fn run(self, line: clap::Command) -> ExitCode {
        let ended = match &self {
            Command::Reserve(args) => reserve::run(args).await,
            Command::Commit(args) => commit::run(args).await,
            Command::Release(args) => release::run(args).await,
            Command::Extend(args) => extend::run(args).await,
            Command::Return(args) => return_::run(args).await,
            Command::Get(args) => get::run(args).await,
            Command::Sku(args) => sku::run(args).await,
            Command::Events(args) => events::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Top(args) => top::run(args).await,
            Command::Audit(args) => audit::run(args).await,
            Command::Backup(args) => backup::run(args).await,
            Command::Restore(args) => restore::run(args).await,
            Command::Token(args) => token::run(args),
            Command::Cert(args) => cert::run(args),
            Command::Member(args) => member::run(args).await,
            Command::Leader(args) => leader::run(args).await,
            Command::Ready(args) => ready::run(args).await,
            Command::Config(args) => config::run(args, line),
            Command::Completions(args) => completions::run(args, line),
            Command::Man(args) => man::run(args, line),
        };
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.end(self.json()),
        }
    }

    /// Whether a failure is told in JSON, too.
    fn json(&self) -> bool {
        match self {
            Command::Reserve(args) => args.reach.json,
            Command::Commit(args) => args.reach.json,
            Command::Release(args) => args.reach.json,
            Command::Extend(args) => args.reach.json,
            Command::Return(args) => args.reach.json,
            Command::Get(args) => args.reach.json,
            Command::Sku(args) => args.json(),
            Command::Audit(args) => args.reach.json,
            Command::Backup(args) => args.json(),
            Command::Token(args) => args.json(),
            Command::Cert(args) => args.json(),
            Command::Member(args) => args.json(),
            Command::Leader(args) => args.json(),
            Command::Ready(args) => args.reach.json,
            Command::Config(args) => args.json(),
            // What they tell is whole before they fail, or a line for each of many.
            Command::Events(_)
            | Command::Status(_)
            | Command::Top(_)
            | Command::Restore(_)
            | Command::Completions(_)
            | Command::Man(_) => false,
        }
    }
}

/// Ctrl-C or SIGTERM. While one of these is there, neither ends the process by itself.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens from now on.
    fn new() -> std::io::Result<Stop> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Resolves at the next of them.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

/// Writes to stdout. Who closed it does not want to hear more, so an error is no failure.
fn tell(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Says on stderr, in one line, why the command ends.
fn fail(code: u8, why: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("lastunit: {why}");
    ExitCode::from(code)
}

/// The program whose `serve` runs a node: this one.
fn this_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|cause| format!("cannot tell where this program is: {cause}"))
}

/// `200ms`, `1.5s`, `2m`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let time =
        text.parse::<jiff::SignedDuration>().map_err(|_| "not a time such as 200ms or 2s".to_owned())?;
    Duration::try_from(time).map_err(|_| "a time before the start".to_owned())
}

/// Whether a flag is set, where its environment variable says so: `1`, `true`, `yes`, `0`, `false`, `no`.
pub(crate) fn flag() -> BoolishValueParser {
    BoolishValueParser::new()
}

/// Where to call a node that listens at that address: one that listens on all addresses is called on the loopback.
fn dial(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0" | "", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_address_for_all_is_dialled_on_the_loopback() {
        let table = [
            ("127.0.0.1:8101", "127.0.0.1:8101"),
            ("0.0.0.0:8101", "127.0.0.1:8101"),
            ("[::]:8101", "[::1]:8101"),
            ("[::1]:8101", "[::1]:8101"),
            ("shop.example:80", "shop.example:80"),
        ];
        for (listen, dial) in table {
            assert_eq!(super::dial(listen), dial);
        }
    }
}
