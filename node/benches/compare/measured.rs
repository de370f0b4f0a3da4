//! Who is measured, and what one run of one workload came to.

use clap::ValueEnum;

use super::workload::Figure;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// One Redis server that syncs its append-only file before it answers.
    Redis,
    /// As `redis`, with two replicas that do the same; an answer counts once a replica has it: `WAIT 1`.
    Replicas,
    /// Three nodes.
    Lastunit,
}

impl System {
    /// Its name in a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            System::Redis => "Redis, AOF always",
            System::Replicas => "Redis, AOF always, 2 replicas, WAIT 1",
            System::Lastunit => "lastunit, 3 nodes",
        }
    }
}

/// What one run came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Operations a second.
    pub(crate) rate: f64,
    /// Seconds that were measured.
    pub(crate) elapsed_seconds: f64,
    /// Half of the operations took no longer, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99 of 100 took no longer, in milliseconds.
    pub(crate) p99_ms: f64,
    /// Processor time of all servers for 1,000 operations, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Processor time of the load for 1,000 operations, in seconds.
    pub(crate) load_cpu_seconds: f64,
}

impl Measured {
    /// The number that a workload is judged by.
    pub(crate) fn figure(&self, figure: Figure) -> f64 {
        match figure {
            Figure::Rate => self.rate,
            Figure::Elapsed => self.elapsed_seconds,
            Figure::Median => self.p50_ms,
        }
    }
}

/// The middle one, the least and the greatest of some numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// The middle one, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Range {
    /// Of at least one number.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Range {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (upper, lower) = (sorted.len() / 2, (sorted.len() - 1) / 2);
        Range {
            median: f64::midpoint(sorted[lower], sorted[upper]),
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }
}
