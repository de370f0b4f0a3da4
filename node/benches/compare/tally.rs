//! What the connections of a thread have seen.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::measured::Measured;
use super::shop::Reserved;

/// The longest time that is told apart, in microseconds.
const LATENCY_MICROS_MAX: u64 = 60_000_000;

/// Counts, and how long each call took.
#[derive(Clone)]
pub(crate) struct Tally {
    /// Reserves that were granted.
    pub(crate) held: u64,
    /// Reserves that were refused, since nothing was left.
    sold_out: u64,
    micros: Histogram<u64>,
}

/// The processor time of a phase.
pub(crate) struct Cpu {
    /// Of all servers, in seconds.
    pub(crate) servers_seconds: f64,
    /// Of the load, which is this process, in seconds.
    pub(crate) load_seconds: f64,
}

impl Cpu {
    /// What was used after an earlier look.
    pub(crate) fn since(&self, earlier: &Cpu) -> Cpu {
        Cpu {
            servers_seconds: self.servers_seconds - earlier.servers_seconds,
            load_seconds: self.load_seconds - earlier.load_seconds,
        }
    }
}

impl Tally {
    /// Of no call yet.
    pub(crate) fn new() -> Tally {
        let micros = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3).expect("the bounds are sound");
        Tally { held: 0, sold_out: 0, micros }
    }

    /// All of them together.
    pub(crate) fn of(tallies: Vec<Tally>) -> Tally {
        let mut all = Tally::new();
        for tally in tallies {
            all.held += tally.held;
            all.sold_out += tally.sold_out;
            all.micros.add(tally.micros).expect("all have the same bounds");
        }
        all
    }

    /// Adds a reserve that took so long.
    pub(crate) fn add(&mut self, reserved: Reserved, took: Duration) {
        match reserved {
            Reserved::Held => self.held += 1,
            Reserved::SoldOut => self.sold_out += 1,
        }
        self.micros.saturating_record(took.as_micros() as u64);
    }

    /// Adds a commit that took so long.
    pub(crate) fn add_commit(&mut self, took: Duration) {
        self.micros.saturating_record(took.as_micros() as u64);
    }

    /// The figures of a phase that took so long, and so much processor time. What is counted are carts.
    pub(crate) fn measured(&self, cpu: Cpu, elapsed: Duration) -> Measured {
        let carts = (self.held + self.sold_out) as f64;
        let at = |quantile| self.micros.value_at_quantile(quantile) as f64 / 1e3;
        Measured {
            rate: carts / elapsed.as_secs_f64(),
            elapsed_seconds: elapsed.as_secs_f64(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            cpu_seconds: cpu.servers_seconds / carts * 1e3,
            load_cpu_seconds: cpu.load_seconds / carts * 1e3,
        }
    }
}
