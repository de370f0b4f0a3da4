//! The `lastunit` binary: a node of a Raft-replicated inventory store, and the commands around it.
//!
//! ```text
//!   lastunit          lastunit up with ./cluster.toml
//!   lastunit up       every node of a cluster file on this machine   cli::up    -> local: child processes
//!   lastunit serve    one node in the foreground                     serve      -> http -> raft
//!   lastunit sale     a flash sale, checked to the last unit         cli::sale  -> client
//!   lastunit bench    load on a cluster, measured, and its books checked     cli::bench -> plain sockets, client
//!   lastunit cert     the certificates of TLS, made and renewed         cli::cert  -> tls: files
//!   lastunit token    who may call: tokens made, listed, revoked     cli::token -> auth: a file
//!   lastunit backup   a running cluster's state as one file          cli::backup -> client
//!   lastunit restore  a new cluster's directories of it              cli::restore -> raft
//!   lastunit prove    a cluster hurt in every way, and what clients saw checked   cli::prove -> checker
//!   lastunit inspect  the directory of a node that is stopped        inspect    -> raft
//!   lastunit reserve, commit, sku, events, ...                       cli        -> client
//! ```
//!
//! Invariants:
//! - [`http`] is the one place that sees both the wire's types and the state machine's commands.
//! - [`clock`] is the one place that reads this machine's clocks.
//! - [`cli`] reaches a cluster through the client crate alone, as any program does; but the load of `bench`, which must
//!   cost little, goes over plain sockets.

mod access;
mod address;
mod auth;
mod cli;
mod clock;
mod config;
mod http;
mod inspect;
mod lab;
mod local;
mod logs;
mod metrics;
mod serve;
mod supervisor;
mod threads;
mod tls;
mod trace;
mod tuning;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{CommandFactory, Parser, Subcommand};
use mimalloc::MiMalloc;
use raft::Build;

/// A command is a dozen small allocations on its way, made by one thread and freed by another: a fifth of a node's time
/// with the system's allocator (docs/benchmarks).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What `--version` tells.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let Build { version, levels } = Build::own();
    let planted = match cfg!(feature = "planted-bugs") {
        true => " with planted bugs: for .ci/planted, and for nothing else",
        false => "",
    };
    format!("{version} (feature level {}){planted}", levels.end())
});

/// Raft-replicated, self-hosted inventory: the last unit is sold once, whatever crashes.
#[derive(Debug, Parser)]
#[command(name = "lastunit", version = VERSION.as_str())]
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
    /// Put load on a cluster, measure it, and check that no unit was oversold or lost.
    Bench(cli::bench::Args),
    #[command(after_help = cli::prove::EXIT_CODES)]
    Prove(cli::prove::Args),
    #[command(after_help = inspect::EXIT_CODES)]
    Inspect(inspect::Args),
    #[command(flatten)]
    Cluster(cli::Command),
}

fn main() -> ExitCode {
    // The kernel clears a huge page when its first byte is touched: milliseconds in which a worker answers nobody, and
    // a state that grows touches many (docs/benchmarks). Where the kernel cannot be asked, a node is merely slower.
    rustix::thread::disable_transparent_huge_pages(true).ok();
    // A damaged checkpoint is rebuilt, which is told in a line; that sled panicked over it is no news.
    storage::checkpoint::keep_panics_of_sled_quiet();
    let command = match parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) if error.use_stderr() => {
            eprintln!("lastunit: {}; see lastunit --help", one_line(&error.to_string()));
            return ExitCode::from(cli::EXIT_USAGE);
        }
        // Not a mistake: --help and --version.
        Err(asked) => asked.exit(),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if matches!(command, Command::Serve(_)) {
        // Connections have threads of their own.
        runtime.worker_threads(threads::of_each());
    }
    let runtime = match runtime.enable_all().build() {
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
        Command::Bench(args) => cli::bench::run(args).await,
        Command::Prove(args) => cli::prove::run(args).await,
        Command::Inspect(args) => inspect::run(&args),
        Command::Cluster(command) => command.run(Line::command()).await,
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
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    /// The line and all commands below it.
    fn commands() -> Vec<clap::Command> {
        let mut commands = vec![Line::command()];
        let mut seen = 0;
        while let Some(command) = commands.get(seen).cloned() {
            commands.extend(command.get_subcommands().cloned());
            seen += 1;
        }
        commands
    }

    #[test]
    fn a_variable_has_one_meaning() {
        let mut meanings = HashMap::new();
        for command in commands() {
            for flag in command.get_arguments().filter(|flag| flag.get_env().is_some()) {
                let variable = flag.get_env().map(|name| name.to_string_lossy().into_owned());
                // Who asks, and whom they trust, is the same whatever is asked.
                let is_of_asker = matches!(flag.get_long(), Some("token" | "ca"));
                let of_sale = command.get_name() == "sale" && !is_of_asker;
                let meaning = (flag.get_long().map(str::to_owned), flag.get_action().takes_values(), of_sale);
                // A sale sells what a running cluster has: it must not be told which one by what is meant for others.
                let told = meanings.entry(variable.clone()).or_insert_with(|| meaning.clone());
                assert_eq!(*told, meaning, "{variable:?}");
            }
        }
        assert!(meanings.len() > 30, "{meanings:?}");
    }

    #[test]
    fn every_flag_has_a_variable_and_every_command_a_help() {
        for command in commands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for flag in command.get_arguments().filter(|it| !it.is_positional()) {
                let id = flag.get_id();
                let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                // One key for many commands would make all but the first a repetition; each key of the cluster file has
                // a variable of its own.
                let asked = ["help", "version", "key", "set"].contains(&id.as_str());
                assert!(asked || variable.starts_with("LASTUNIT_"), "{name} {id}: {variable:?}");
                assert!(flag.get_help().is_some(), "{name} {id}");
            }
        }
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
