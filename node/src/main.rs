//! The `lastunit` binary: a node of a Raft-replicated inventory store, and the commands around it.
//!
//! ```text
//!   lastunit          lastunit up with ./cluster.toml
//!   lastunit up       every node of a cluster file on this machine   cli::up    -> local: child processes
//!   lastunit serve    one node in the foreground                     serve      -> http -> raft
//!   lastunit sale     a flash sale, checked to the last unit         cli::sale  -> client
//! ```
//!
//! Invariants:
//! - [`http`] is the one place that sees both the wire's types and the state machine's commands.
//! - [`clock`] is the one place that reads this machine's clocks.
//! - [`cli`] reaches a cluster through the client crate alone, as any program does.

mod cli;
mod clock;
mod config;
mod http;
mod local;
mod logs;
mod metrics;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Raft-replicated, self-hosted inventory: the last unit is sold once, whatever crashes.
#[derive(Debug, Parser)]
#[command(name = "lastunit", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every node of a cluster file on this machine; what `lastunit` alone does.
    Up(cli::up::Args),
    /// Run one node in the foreground.
    Serve(serve::Args),
    /// Hold a flash sale and check that no unit was oversold or lost.
    Sale(cli::sale::Args),
}

fn main() -> ExitCode {
    let command = match parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) if error.use_stderr() => {
            eprintln!("lastunit: {}; see lastunit --help", one_line(&error.to_string()));
            return ExitCode::from(cli::EXIT_USAGE);
        }
        // Not a mistake: --help and --version.
        Err(asked) => asked.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("lastunit: cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(command));
    // Who has an exit code has finished what must be finished; a write that hangs must not hold up the end.
    runtime.shutdown_background();
    code
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Up(args) => cli::up::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Sale(args) => cli::sale::run(args).await,
    }
}

/// A command line without a subcommand means `up`; its environment variables count all the same.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.len() < 2 {
        arguments.push("up".into());
    }
    Line::try_parse_from(arguments).map(|line| line.command)
}

/// What is wrong, of all that clap says about it: the part before the usage, as one line.
fn one_line(told: &str) -> String {
    let lines = told.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    text.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn alone_it_runs_the_cluster() {
        assert!(matches!(parse(["lastunit".into()]), Ok(Command::Up(_))));
    }

    #[test]
    fn a_wrong_flag_is_told_in_one_line() {
        for (arguments, told) in [
            (vec!["lastunit", "serve", "--nod", "1"], "unexpected argument '--nod' found"),
            (vec!["lastunit", "serve", "--node", "x"], "invalid value 'x' for '--node <ID>'"),
            (vec!["lastunit", "serve", "--node"], "a value is required for '--node <ID>'"),
            (vec!["lastunit", "sell"], "unrecognized subcommand 'sell'"),
        ] {
            let error = parse(arguments.iter().map(OsString::from)).expect_err("a wrong flag");
            let line = one_line(&error.to_string());
            assert!(line.starts_with(told) && !line.contains('\n'), "{line}");
        }
    }
}
