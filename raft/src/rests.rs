//! The rests that the keeper of the images takes, so that saves and snapshots are not felt.
//!
//! ```text
//!   work 0.5 ms | rest 1.5 ms        | work 0.5 ms | rest 1.5 ms        | ...         in a hurry: without rests
//! ```
//!
//! Where a machine has little to spare, half a core more is too much: with rests only as long as the work, answers were
//! hardly faster than without any.
//!
//! It is in a hurry while somebody waits for work of it, under way or queued behind what is, or where so much has
//! gathered meanwhile that memory counts for more.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// What is under way is in a hurry.
    in_a_hurry: AtomicBool,
    /// How much work, queued or under way, somebody waits for.
    waited_for: AtomicUsize,
    /// Since when it works without a rest.
    since: Mutex<Instant>,
}

impl Rests {
    pub(crate) fn new() -> Arc<Rests> {
        Arc::new(Rests {
            in_a_hurry: AtomicBool::new(false),
            waited_for: AtomicUsize::new(0),
            since: Mutex::new(Instant::now()),
        })
    }

    /// A pace with these rests.
    pub(crate) fn pace(self: &Arc<Rests>) -> Pace {
        let rests = Arc::clone(self);
        Pace::of(move || rests.step())
    }

    /// Other work begins. It is in no hurry of its own, but where somebody waits.
    pub(crate) fn begin(&self) {
        self.in_a_hurry.store(false, Ordering::Relaxed);
        self.work_since(Instant::now());
    }

    /// Work is queued that somebody waits for: no rests until it is [done](Rests::done).
    pub(crate) fn wait_for(&self) {
        self.waited_for.fetch_add(1, Ordering::Relaxed);
    }

    /// Work that somebody waited for is done.
    pub(crate) fn done(&self) {
        self.waited_for.fetch_sub(1, Ordering::Relaxed);
    }

    /// What is under way goes on without rests.
    pub(crate) fn hurry(&self) {
        self.in_a_hurry.store(true, Ordering::Relaxed);
    }

    fn step(&self) {
        if self.in_a_hurry.load(Ordering::Relaxed) || self.waited_for.load(Ordering::Relaxed) > 0 {
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

    /// Whether it rests when it has worked long enough.
    fn rests_now(rests: &Rests) -> bool {
        let since = Instant::now().checked_sub(WORK).unwrap();
        rests.work_since(since);
        rests.step();
        *rests.since.lock().unwrap() != since
    }

    #[test]
    fn it_rests_longer_than_it_worked_unless_it_is_in_a_hurry() {
        let rests = Rests::new();
        assert!(rested(&rests, 3 * WORK) >= RESTS * 3 * WORK);
        assert!(rested(&rests, Duration::from_secs(3_600)) < Duration::from_secs(60), "not for an hour");
        rests.hurry();
        assert!(!rests_now(&rests));
        rests.begin();
        assert!(rested(&rests, WORK) >= RESTS * WORK);
    }

    /// An install that was queued behind the build of a snapshot waited for all the rests of that.
    #[test]
    fn it_takes_no_rest_while_somebody_waits_for_what_is_queued() {
        let rests = Rests::new();
        rests.begin();
        rests.wait_for();
        rests.wait_for();
        for _ in 0..2 {
            assert!(!rests_now(&rests), "under way, with one behind it");
            rests.begin();
            assert!(!rests_now(&rests), "other work begins");
            rests.done();
        }
        assert!(rests_now(&rests));
    }
}
