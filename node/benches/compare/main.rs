//! lastunit beside Redis that is configured to be anywhere near as safe: the same work, in turn, on this machine.
//!
//! `cargo bench -p node --bench compare -- [--repetitions 3] [--seconds 5] [--warm-up 1] [--connections 256]
//! [--workloads hot,spread,pair,flash,single] [--systems redis,replicas,lastunit] [--to all|leader]`
//!
//! ```text
//!   each repetition, each workload:
//!     redis      start one server            |                                    | stop
//!     replicas   start a primary, 2 replicas | load over RESP: load, shop, *.lua  | stop
//!     lastunit   start three nodes           | load over HTTP: `lastunit bench`   | stop
//! ```
//!
//! Redis is Debian's `redis-server`, found on PATH; nothing is installed. Both sides do what a careful shop needs:
//! take a unit where there is one, note a hold with a deadline and a fencing token, refuse a cart that has one. On
//! Redis that is one call of a Lua script.
//!
//! What makes it fair:
//! - Every run has servers and directories of its own, and nothing else of ours runs meanwhile.
//! - Both load generators are closed loops over raw sockets, and compete with the servers for the same processors.
//! - Both sides are read back: a run that lost or oversold a unit ends the comparison.
//! - A ratio is taken within one repetition; its range over all of them says how far it can be trusted.
//!
//! What it is not: Redis with replicas is no consensus. Nobody agrees on who leads, and what was acknowledged is lost
//! when the wrong replica is promoted.
//!
//! The table goes to stdout, progress to stderr.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it fails and tells by these"
)]

mod connection;
mod lastunit;
mod load;
mod machine;
mod measured;
mod options;
mod redis;
mod report;
mod resp;
mod shop;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tally;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use measured::{Measured, Range, System};
use options::Options;
use redis::Redis;
use report::Runs;
use workload::Workload;

/// The exit code where something is missing.
const MISSING: u8 = 2;

/// The exit code after an interrupt, as shells have it.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let version = match redis::version() {
        Ok(version) => version,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(MISSING);
        }
    };
    // An interrupt drops the comparison, and with it every process and directory that it made.
    tokio::select! {
        () = compare(&options, &version) => ExitCode::SUCCESS,
        _ = tokio::signal::ctrl_c() => ExitCode::from(INTERRUPTED),
    }
}

async fn compare(options: &Options, version: &str) {
    let mut all: Vec<Runs> = options.workloads.iter().map(|&workload| runs(workload, options)).collect();
    let mut syncs = Vec::new();
    for repetition in 1..=options.repetitions {
        syncs.push(machine::fdatasync_ms());
        for Runs { workload, systems } in &mut all {
            for (system, measured) in systems {
                measured.push(measure(*system, *workload, options).await);
                tell(repetition, *system, *workload, measured);
            }
        }
    }
    print_head(version, Range::of(syncs));
    for runs in &all {
        println!("\n{}", report::section(runs, options).trim_end());
    }
}

/// No runs yet.
fn runs(workload: Workload, options: &Options) -> Runs {
    Runs { workload, systems: options.systems.iter().map(|&system| (system, Vec::new())).collect() }
}

async fn measure(system: System, workload: Workload, options: &Options) -> Measured {
    machine::settle();
    match system {
        System::Redis => load::run(&Redis::start(0).await, workload, options).await,
        System::Replicas => load::run(&Redis::start(2).await, workload, options).await,
        System::Lastunit => lastunit::run(workload, options).await,
    }
}

/// Says on stderr what the last run came to.
fn tell(repetition: u32, system: System, workload: Workload, measured: &[Measured]) {
    if let Some(last) = measured.last() {
        let figure = report::shown(workload.figure(), last.figure(workload.figure()));
        eprintln!("repetition {repetition}, {}, {}: {figure}", workload.name(), system.title());
    }
}

fn print_head(version: &str, sync: Range) {
    for line in machine::lines() {
        println!("- {line}");
    }
    println!(
        "- redis-server {version}: `appendonly yes`, `appendfsync always`, `save \"\"`, else its defaults"
    );
    let Range { median, min, max } = sync;
    println!("- one fdatasync after a short append: {median:.2} ms ({min:.2} to {max:.2})");
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    println!("- `cargo bench -p node --bench compare -- {}`", arguments.join(" "));
}
