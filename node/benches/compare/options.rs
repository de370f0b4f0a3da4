//! What is asked for on the command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};

use super::measured::System;
use super::workload::Workload;

/// lastunit beside Redis with comparable safety, in turn on this machine. Prints Markdown.
#[derive(Debug, Clone, Parser)]
#[command(name = "compare")]
pub(crate) struct Options {
    /// How often everything is measured.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repetitions: u32,
    /// How long each run is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// How long the load runs before that, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    pub(crate) warm_up: u64,
    /// Connections, each with one call at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) connections: u64,
    /// Threads of either load.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) threads: u64,
    /// What is measured, such as hot,flash.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "hot,spread,pair,flash,single")]
    pub(crate) workloads: Vec<Workload>,
    /// Who is measured, such as replicas,lastunit.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "redis,replicas,lastunit")]
    pub(crate) systems: Vec<System>,
    /// Which nodes lastunit's load goes to; unless given, as `lastunit bench` has it.
    #[arg(long, value_name = "NODES")]
    pub(crate) to: Option<To>,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Which nodes the load goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// Each node has its share of the connections.
    All,
    /// The leader has all of them.
    Leader,
}

impl Options {
    /// How long each run is measured.
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// How long the load runs before that.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up)
    }
}

impl To {
    /// Its name, as options have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            To::All => "all",
            To::Leader => "leader",
        }
    }
}
