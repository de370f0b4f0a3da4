//! How often a value fell into which range: what metrics tell of times and ages.
//!
//! ```text
//!   bounds      100      250      500                   a value belongs to the first bound that it does not exceed;
//!   counts   ---3---|---9---|---1---|---0---            those above the last one have a place of their own
//! ```
//!
//! Values are microseconds wherever they are times. Bounds are fixed, so that counts of many nodes can be added.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bounds for what a node waits for, in microseconds: from a fast disk's fdatasync to what nobody waits for.
pub const TIMES_US: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// The bounds for ages of holds, in microseconds: from one second to an hour.
pub const AGES_US: &[u64] = &[
    1_000_000,
    5_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
    1_200_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// How values are distributed, as of one moment. That of no bounds counts nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    bounds: &'static [u64],
    /// One for each bound, and one for all above.
    counts: Vec<u64>,
    sum: u64,
}

impl Distribution {
    /// No value yet. The bounds grow.
    pub fn new(bounds: &'static [u64]) -> Distribution {
        Distribution { bounds, counts: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(place(self.bounds, value)) {
            *count += 1;
            self.sum = self.sum.wrapping_add(value);
        }
    }

    /// Each bound, and how many values do not exceed it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((*bound, *below))
        })
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// A distribution that many threads add to, without a lock.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Default for Histogram {
    /// Of times.
    fn default() -> Histogram {
        Histogram::new(TIMES_US)
    }
}

impl Histogram {
    /// No value yet. The bounds grow.
    pub fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts a time, in microseconds.
    pub fn add(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[place(self.bounds, took_us)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(took_us, Ordering::Relaxed);
    }

    /// What was counted by now. Values that come meanwhile may be in the counts and not yet in the sum.
    pub fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Distribution { bounds: self.bounds, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

fn place(bounds: &[u64], value: u64) -> usize {
    bounds.partition_point(|&bound| bound < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_the_first_bound_that_it_does_not_exceed() {
        let mut told = Distribution::new(&[10, 20]);
        [0, 10, 11, 20, 21, 1_000].into_iter().for_each(|value| told.add(value));
        assert_eq!(told.cumulative().collect::<Vec<_>>(), [(10, 2), (20, 4)]);
        assert_eq!((told.count(), told.sum()), (6, 1_062));
    }

    #[test]
    fn times_are_counted_in_microseconds() {
        let times = Histogram::default();
        [Duration::ZERO, Duration::from_millis(1), Duration::MAX]
            .into_iter()
            .for_each(|time| times.add(time));
        let told = times.read();
        assert_eq!((told.count(), told.cumulative().last()), (3, Some((10_000_000, 2))));
        assert_eq!(told.cumulative().find(|(bound, _)| *bound == 1_000), Some((1_000, 2)));
    }

    #[test]
    fn no_bounds_count_nothing() {
        let mut told = Distribution::default();
        told.add(1);
        assert_eq!((told.count(), told.sum(), told.cumulative().count()), (0, 0, 0));
    }

    #[test]
    fn bounds_grow() {
        for bounds in [TIMES_US, AGES_US] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }
}
