//! The rests that the keeper of the images takes, so that saves and snapshots are not felt.
//!
//! ```text
//!   work 0.5 ms | rest 1.5 ms        | work 0.5 ms | rest 1.5 ms        | ...         in a hurry: without rests
//! ```
//!
//! Where a machine has little to spare, half a core more is too much: with rests only as long as the work, answers were
//! hardly faster than without any.
//!
//! It is in a hurry where somebody waits for it, or so much has gathered meanwhile that memory counts for more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use storage::pace::Pace;

/// How long it works between two rests. Shorter ones cost more wake-ups, longer ones are felt.
const WORK: Duration = Duration::from_micros(500);

/// How many times as long as it worked it rests.
const RESTS: u32 = 3;

/// The longest rest, for a step that took long.
const REST_MAX: Duration = Duration::from_millis(20);

/// See the module's documentation. Shared by the thread that works and those who drive it.
pub(crate) struct Rests {
    in_a_hurry: AtomicBool,
    /// Since when it works without a rest.
    since: Mutex<Instant>,
}

impl Rests {
    pub(crate) fn new() -> Arc<Rests> {
        Arc::new(Rests { in_a_hurry: AtomicBool::new(false), since: Mutex::new(Instant::now()) })
    }

    /// A pace with these rests.
    pub(crate) fn pace(self: &Arc<Rests>) -> Pace {
        let rests = Arc::clone(self);
        Pace::of(move || rests.step())
    }

    /// Other work begins.
    pub(crate) fn begin(&self, in_a_hurry: bool) {
        self.in_a_hurry.store(in_a_hurry, Ordering::Relaxed);
        self.work_since(Instant::now());
    }

    /// What is under way goes on without rests.
    pub(crate) fn hurry(&self) {
        self.in_a_hurry.store(true, Ordering::Relaxed);
    }

    fn step(&self) {
        if self.in_a_hurry.load(Ordering::Relaxed) {
            return;
        }
        let worked = self.since.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if worked >= WORK {
            thread::sleep(worked.saturating_mul(RESTS).min(REST_MAX));
            self.work_since(Instant::now());
        }
    }

    fn work_since(&self, now: Instant) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step after work of that long; how long it rested at least.
    fn rested(rests: &Rests, worked: Duration) -> Duration {
        rests.work_since(Instant::now().checked_sub(worked).unwrap());
        let before = Instant::now();
        rests.step();
        before.elapsed()
    }

    #[test]
    fn it_rests_longer_than_it_worked_unless_it_is_in_a_hurry() {
        let rests = Rests::new();
        assert!(rested(&rests, 3 * WORK) >= RESTS * 3 * WORK);
        assert!(rested(&rests, Duration::from_secs(3_600)) < Duration::from_secs(60), "not for an hour");
        rests.hurry();
        let since = *rests.since.lock().unwrap();
        rests.step();
        assert_eq!(*rests.since.lock().unwrap(), since, "no rest");
        rests.begin(false);
        assert!(rested(&rests, WORK) >= RESTS * WORK);
    }
}
