//! The cluster clock: what the leader stamps on the entries that it proposes.
//!
//! ```text
//!   time of the log ----- advances by this machine's monotonic clock ----> stamp
//!                                        ^
//!                                        | drawn towards
//!              middle of the wall clocks that a majority reported just now
//! ```
//!
//! Invariants:
//!
//! * A stamp is never before the time of the last applied entry; apply takes the greater of the two anyway.
//! * One wrong wall clock moves nothing: with an odd number of clocks known the median lies between right ones;
//!   with an even number the stamp is only kept inside the two middle ones, of which one is right.
//! * What a silent node showed last soon counts no more: its clock may have been wrong then and set right since, and
//!   where another one's is wrong now, those two would be a majority of three, though never two were wrong at once.
//! * Without the clocks of a majority the stamp only advances by the monotonic clock.
//!
//! A stamp that lags is brought forward at once: nothing is lost by it that the passing of time would not take.
//! A stamp that runs ahead is not turned back; it advances at half speed until the others have caught up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use storage::planted;

use crate::WallClock;

/// So long a peer's wall clock counts after it was heard: some heartbeats, and a slow network.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// The clocks of the cluster, as this node knows them.
pub(crate) struct ClusterClock {
    wall: Arc<dyn WallClock>,
    node_id: u64,
    /// Whose clocks count, beside this node's.
    voters: Mutex<BTreeSet<u64>>,
    /// What each peer's wall clock showed last.
    readings: Mutex<BTreeMap<u64, Reading>>,
}

/// What a peer's wall clock showed.
struct Reading {
    wall_ms: u64,
    heard_at: Instant,
}

impl ClusterClock {
    /// A clock of one of these nodes that has heard of no other yet.
    pub(crate) fn new(wall: Arc<dyn WallClock>, node_id: u64, voters: BTreeSet<u64>) -> ClusterClock {
        let (voters, readings) = (Mutex::new(voters), Mutex::default());
        ClusterClock { wall, node_id, voters, readings }
    }

    /// From now on the clocks of these nodes count.
    pub(crate) fn set_voters(&self, voters: BTreeSet<u64>) {
        *self.voters.lock().unwrap_or_else(PoisonError::into_inner) = voters;
    }

    /// This node's own wall clock, as messages to peers carry it.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.wall.now_ms()
    }

    /// Notes what a peer's wall clock showed when it sent the message that has just arrived.
    pub(crate) fn observe(&self, peer: u64, wall_ms: u64) {
        let reading = Reading { wall_ms, heard_at: Instant::now() };
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, reading);
    }

    /// The stamp of an entry that is proposed now, where the log's time was `log_ms` at `log_at`.
    pub(crate) fn stamp_ms(&self, log_ms: u64, log_at: Instant) -> u64 {
        let elapsed = log_at.elapsed().as_millis() as u64;
        stamp(log_ms, elapsed, self.middle())
    }

    /// The two middle ones of the wall clocks known, where they are a majority's.
    fn middle(&self) -> Option<(u64, u64)> {
        if planted!("leader-stamps-by-its-own-clock") {
            return Some((self.wall.now_ms(), self.wall.now_ms()));
        }
        let now = Instant::now();
        let voters = self.voters.lock().unwrap_or_else(PoisonError::into_inner);
        let readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let peers = readings.iter().filter(|(peer, _)| **peer != self.node_id && voters.contains(peer));
        let quorum = voters.len() / 2 + 1;
        let mut clocks: Vec<i64> = peers.filter_map(|(_, reading)| reading.shows(now)).collect();
        drop((voters, readings));
        clocks.push(signed(self.wall.now_ms()));
        middle(clocks, quorum)
    }
}

impl Reading {
    /// What that clock shows at a moment, by our monotonic one; `None` where too long ago to count.
    fn shows(&self, now: Instant) -> Option<i64> {
        let since = now.duration_since(self.heard_at);
        let counts = since < COUNTS_FOR || planted!("silent-clock-counts");
        counts.then(|| signed(self.wall_ms).saturating_add(signed(since.as_millis() as u64)))
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn middle(mut clocks: Vec<i64>, quorum: usize) -> Option<(u64, u64)> {
    if clocks.len() < quorum {
        return None;
    }
    clocks.sort_unstable();
    let low = clocks[(clocks.len() - 1) / 2];
    let high = clocks[clocks.len() / 2];
    Some((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
}

fn stamp(log_ms: u64, elapsed_ms: u64, middle: Option<(u64, u64)>) -> u64 {
    let steady = log_ms.saturating_add(elapsed_ms);
    match middle {
        Some((low, _)) if steady < low => low,
        Some((_, high)) if steady > high => high.max(log_ms.saturating_add(elapsed_ms / 2)),
        _ => steady,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_790_000_000_000;

    #[test]
    fn one_wrong_clock_of_three_moves_nothing() {
        for wrong in [NOW + HOUR, NOW - HOUR, 0, i64::MAX] {
            let (low, high) = middle(vec![NOW, wrong, NOW + 3], 2).unwrap();
            assert_eq!(low, high);
            assert!((NOW as u64..=NOW as u64 + 3).contains(&low), "{wrong}: {low}");
        }
    }

    struct Wrong;

    impl WallClock for Wrong {
        fn now_ms(&self) -> u64 {
            (NOW + HOUR) as u64
        }
    }

    #[test]
    fn a_leader_with_a_wrong_clock_stamps_by_those_of_the_others() {
        let clock = ClusterClock::new(Arc::new(Wrong), 1, [1, 2, 3].into());
        clock.observe(2, NOW as u64);
        clock.observe(3, NOW as u64);
        let stamped = clock.stamp_ms(NOW as u64, Instant::now());
        // This test may take a while, but no hour.
        assert!((NOW..NOW + HOUR / 2).contains(&signed(stamped)), "{stamped}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_wrong_when_its_node_fell_silent_is_no_second_wrong_one() {
        let log_at = Instant::now();
        let clock = ClusterClock::new(Arc::new(Wrong), 1, [1, 2, 3].into());
        clock.observe(3, (NOW + HOUR) as u64);
        tokio::time::advance(COUNTS_FOR).await;
        clock.observe(2, NOW as u64 + 1_000);
        assert_eq!(clock.stamp_ms(NOW as u64, log_at), NOW as u64 + 1_000);
    }

    #[test]
    fn one_wrong_clock_of_two_known_leaves_a_right_one_in_reach() {
        let log = NOW as u64;
        for wrong in [NOW + HOUR, NOW - HOUR] {
            let known = middle(vec![NOW + 100, wrong], 2);
            let stamped = stamp(log, 100, known);
            assert_eq!(stamped, log + 100, "{wrong}");
        }
    }

    #[test]
    fn without_a_majority_only_the_monotonic_clock_counts() {
        assert_eq!(middle(vec![NOW + HOUR, NOW], 3), None);
        assert_eq!(stamp(5_000, 40, None), 5_040);
    }

    #[test]
    fn after_a_stop_time_catches_up_at_once() {
        let known = middle(vec![NOW + HOUR, NOW + HOUR, NOW + HOUR], 2);
        assert_eq!(stamp(NOW as u64, 10, known), (NOW + HOUR) as u64);
    }

    #[test]
    fn a_stamp_that_runs_ahead_slows_down_and_never_turns_back() {
        let known = middle(vec![NOW, NOW, NOW], 2);
        assert_eq!(stamp(NOW as u64 + 500, 100, known), NOW as u64 + 550);
        assert_eq!(stamp(NOW as u64 - 20, 100, known), NOW as u64 + 30);
    }
}
