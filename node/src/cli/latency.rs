//! How long calls took: histograms from a microsecond up, and what is told of them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The greatest latency that is told apart, in microseconds: ten minutes.
const LATENCY_MICROS_MAX: u64 = 600_000_000;

/// Latencies of many calls.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// Of no call yet. Three digits from a microsecond up to the greatest latency.
    #[expect(clippy::expect_used, reason = "the bounds are constants that a test makes a histogram of")]
    pub(super) fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3).expect("the bounds are sound");
        Latencies(histogram)
    }

    /// Adds a call's.
    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    /// Adds those of other calls.
    pub(super) fn add(&mut self, other: &Latencies) {
        // It fails only where the other one's bounds are wider, and all have the same.
        let _ = self.0.add(&other.0);
    }

    /// Of how many calls they are.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The summary; none of no call.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        (!self.0.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.0.max() as f64 / 1000.0,
        })
    }
}

/// Latencies in a few figures, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    /// Half of the calls took no longer.
    pub(super) p50: f64,
    /// Nine of ten.
    pub(super) p90: f64,
    /// 99 of a hundred.
    pub(super) p99: f64,
    /// 999 of a thousand.
    pub(super) p99_9: f64,
    /// None took longer.
    pub(super) max: f64,
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p90, p99, p99_9, max } = self;
        write!(f, "p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, p99.9 {p99_9:.2} ms, max {max:.2} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_beyond_all_bounds_is_kept_as_the_greatest() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(u64::MAX));
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.len(), 2);
        assert!(latencies.percentiles().unwrap().max >= LATENCY_MICROS_MAX as f64 / 1000.0);
    }

    #[test]
    fn latencies_of_many_add_up() {
        let (mut all, mut some) = (Latencies::new(), Latencies::new());
        all.record(Duration::from_millis(1));
        some.record(Duration::from_millis(3));
        all.add(&some);
        let told = all.percentiles().unwrap();
        assert_eq!(all.len(), 2);
        assert!(told.p50 < 1.1 && told.max >= 3.0, "{told}");
    }
}
