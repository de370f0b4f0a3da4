//! The one place that reads this machine's clocks.
//!
//! The wall clock is only ever a vote: the cluster clock follows the median of a majority's (see the `raft`
//! crate). The monotonic clock measures how long things took, and decides nothing.

use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// This machine's wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl raft::WallClock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A clock before 1970 is a wrong clock like any other: the median outvotes it.
        since_epoch().as_millis().try_into().unwrap_or(u64::MAX)
    }
}

/// What this machine's wall clock shows, for people: RFC 3339, to the millisecond.
pub(crate) fn now_rfc3339() -> String {
    let now = jiff::SignedDuration::try_from(since_epoch()).unwrap_or_default();
    format!("{:.3}", jiff::Timestamp::from_duration(now).unwrap_or_default())
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
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
