//! The one place that reads this machine's clocks.
//!
//! The wall clock is only ever a vote: the cluster clock follows the median of a majority's (see the `raft`
//! crate). The monotonic clock measures how long things took, and decides nothing.
//!
//! For that reason `lastunit prove` may make a node's wall clock wrong: [`go_wrong`].

use std::cell::RefCell;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// This machine's wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl raft::WallClock for SystemClock {
    fn now_ms(&self) -> u64 {
        wall_ms()
    }
}

/// What this machine's wall clock shows, in milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    // A clock before 1970 is a wrong clock like any other: the median outvotes it.
    since_epoch().as_millis().try_into().unwrap_or(u64::MAX)
}

/// What this machine's wall clock shows, in nanoseconds since 1970.
pub(crate) fn wall_ns() -> u64 {
    since_epoch().as_nanos().try_into().unwrap_or(u64::MAX)
}

/// What this machine's wall clock shows, for people: RFC 3339, to the millisecond.
pub(crate) fn now_rfc3339() -> String {
    let now = jiff::SignedDuration::try_from(since_epoch()).unwrap_or_default();
    format!("{:.3}", jiff::Timestamp::from_duration(now).unwrap_or_default())
}

/// A second since 1970, for people: RFC 3339.
pub(crate) fn rfc3339(second: u64) -> String {
    let second = i64::try_from(second).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn since_epoch() -> Duration {
    let shown = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match WRONG.get() {
        None => shown,
        Some(wrong) => wrong.read().unwrap_or_else(PoisonError::into_inner).of(shown),
    }
}

/// How wrong the wall clock is; never set but by a fault laboratory.
static WRONG: OnceLock<RwLock<Wrong>> = OnceLock::new();

/// A clock that is ahead or behind, and goes too fast or too slow.
#[derive(Debug, Clone, Copy)]
struct Wrong {
    shift_ms: i64,
    drift_ppm: i64,
    since: Instant,
}

impl Wrong {
    fn of(self, shown: Duration) -> Duration {
        self.after(shown, self.since.elapsed())
    }

    /// What it shows in place of what is right, so long after it went wrong.
    fn after(self, shown: Duration, elapsed: Duration) -> Duration {
        let drift_us = elapsed.as_millis() as i64 * self.drift_ppm / 1000;
        let ahead_us = self.shift_ms.saturating_mul(1000).saturating_add(drift_us);
        let off = Duration::from_micros(ahead_us.unsigned_abs());
        if ahead_us < 0 { shown.saturating_sub(off) } else { shown.saturating_add(off) }
    }
}

/// From now on the wall clock is so much ahead, or behind where negative, and gains so much more: a million parts per
/// million is as much again as passes.
pub(crate) fn go_wrong(shift_ms: i64, drift_ppm: i64) {
    let wrong = Wrong { shift_ms, drift_ppm, since: Instant::now() };
    let shared = WRONG.get_or_init(|| RwLock::new(wrong));
    *shared.write().unwrap_or_else(PoisonError::into_inner) = wrong;
}

/// The last second of the year 9999.
const HTTP_SECOND_MAX: u64 = 253_402_300_799;

thread_local! {
    /// The second that was asked for last, and its name.
    static HTTP_DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// The wall clock's time as a `Date` header tells it (RFC 9110, section 5.6.7). It is written once a second.
pub(crate) fn with_http_date<T>(tell: impl FnOnce(&str) -> T) -> T {
    // What a header cannot tell is a wrong clock's.
    let second = since_epoch().as_secs().min(HTTP_SECOND_MAX);
    HTTP_DATE.with_borrow_mut(|(known, date)| {
        if *known != second || date.is_empty() {
            (*known, *date) = (second, httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second)));
        }
        tell(date)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_ahead_or_behind_and_drifts() {
        let (right, passed) = (Duration::from_secs(1_000), Duration::from_secs(10));
        for (shift_ms, drift_ppm, shows_ms) in [
            (0, 0, 1_000_000),
            (5_000, 0, 1_005_000),
            (-5_000, 0, 995_000),
            (0, 200_000, 1_002_000),
            (1_000, -500_000, 996_000),
            (-2_000_000, 0, 0),
        ] {
            let wrong = Wrong { shift_ms, drift_ppm, since: Instant::now() };
            assert_eq!(wrong.after(right, passed), Duration::from_millis(shows_ms), "{wrong:?}");
        }
    }
}
