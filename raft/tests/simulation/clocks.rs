//! Time: the true one, which every simulation begins at the same moment, and what each node's wall clock makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use raft::WallClock;

/// When every simulation begins, in milliseconds since the Unix epoch.
pub(crate) const BEGIN_MS: u64 = 1_790_000_000_000;

/// The true time since the beginning, which the world advances.
#[derive(Clone, Default)]
pub(crate) struct TrueTime(Arc<AtomicU64>);

impl TrueTime {
    /// Milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A millisecond passes.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A node's wall clock.
#[derive(Clone)]
pub(crate) struct Wall {
    time: TrueTime,
    ahead_ms: Arc<AtomicI64>,
    /// What it gains in each second, in milliseconds.
    drift_ms: Arc<AtomicI64>,
}

impl Wall {
    /// A clock that is right.
    pub(crate) fn new(time: TrueTime) -> Wall {
        Wall { time, ahead_ms: Arc::default(), drift_ms: Arc::default() }
    }

    /// From now on it is so far ahead, and gains so much more in each second of the simulation.
    pub(crate) fn set(&self, ahead_ms: i64, drift_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        self.drift_ms.store(drift_ms, Ordering::Relaxed);
    }
}

impl WallClock for Wall {
    fn now_ms(&self) -> u64 {
        let since_ms = self.time.now_ms();
        let drifted = since_ms as i64 / 1_000 * self.drift_ms.load(Ordering::Relaxed);
        let ahead = self.ahead_ms.load(Ordering::Relaxed) + drifted;
        (BEGIN_MS + since_ms).saturating_add_signed(ahead)
    }
}
