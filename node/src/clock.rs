//! The one place that reads this machine's clocks.
//!
//! The wall clock is only ever a vote: the cluster clock follows the median of a majority's (see the `raft`
//! crate). The monotonic clock measures how long things took, and decides nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// This machine's wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl raft::WallClock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A clock before 1970 is a wrong clock like any other: the median outvotes it.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A moment to measure from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
