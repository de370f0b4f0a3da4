//! When calls are made: each after the last one's answer, or at moments that were fixed before.
//!
//! ```text
//!   closed loop   next() is now, until the time is over or all calls are made
//!   open loop     arrival:   0    1    2    3    4          fixed by the rate alone
//!                 pacer:     |    |    |    |    |          hands each out when it is due
//!                 next():    0    1     ......2..3..4       whoever is idle takes the oldest
//! ```
//!
//! In an open loop a call's latency counts from its arrival, however late a connection was free for it: so a cluster
//! that stands still for a moment is charged with everybody who came meanwhile, and not with those few alone who were
//! connected (coordinated omission, as Gil Tene calls it). An arrival that no connection was free for until the end is
//! counted as never sent.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::plan::End;

/// The shortest wait of the pacer: what is due sooner is handed out together.
const PACE_MIN: Duration = Duration::from_micros(100);

/// When the calls of one thread are made.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    ends: Option<Instant>,
    /// No call of this number or a greater one is made.
    calls_max: AtomicU64,
    taken: AtomicU64,
    open: Option<Open>,
}

/// An open loop.
#[derive(Debug)]
struct Open {
    arrivals: Arrivals,
    /// A permit for each arrival that is due and not taken; and in the end one for each connection, to let it go.
    due: Semaphore,
    released: AtomicU64,
}

/// The arrivals of one thread of several, which take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrivals {
    /// Of all threads, in a second.
    pub(super) rate: u64,
    /// How many threads there are.
    pub(super) threads: u64,
    /// Which one it is.
    pub(super) thread: u64,
}

/// Arrivals for which no connection was free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unsent {
    /// How many.
    pub(super) arrivals: u64,
    /// How long the first of them had waited in the end.
    pub(super) waited_max: Duration,
}

impl Unsent {
    /// Those of two threads together.
    pub(super) fn and(self, other: Unsent) -> Unsent {
        Unsent { arrivals: self.arrivals + other.arrivals, waited_max: self.waited_max.max(other.waited_max) }
    }
}

impl Arrivals {
    /// How long after the start the arrival of that number is.
    fn at(self, number: u64) -> Duration {
        let place = u128::from(number) * u128::from(self.threads) + u128::from(self.thread);
        let nanos = place * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many arrivals there are until then, that moment included.
    fn until(self, elapsed: Duration) -> u64 {
        // Of all threads: place * 1e9 / rate, rounded down, is at most the time in nanoseconds.
        let places = ((elapsed.as_nanos() + 1) * u128::from(self.rate)).div_ceil(1_000_000_000);
        let mine = places.saturating_sub(u128::from(self.thread)).div_ceil(u128::from(self.threads));
        u64::try_from(mine).unwrap_or(u64::MAX)
    }
}

impl Schedule {
    /// A schedule from `start` on; an open loop where there are arrivals.
    pub(super) fn new(start: Instant, end: End, arrivals: Option<Arrivals>) -> Schedule {
        let open = |arrivals| Open { arrivals, due: Semaphore::new(0), released: AtomicU64::new(0) };
        let (ends, calls_max) = match end {
            End::After(time) => (Some(start + time), u64::MAX),
            End::Calls(calls) => (None, calls),
        };
        let (calls_max, taken) = (AtomicU64::new(calls_max), AtomicU64::new(0));
        Schedule { start, ends, calls_max, taken, open: arrivals.map(open) }
    }

    /// The moment from which the next call's latency counts, once it has come; `None` at the end. A connection that
    /// comes free only after the end takes nothing that was due before.
    pub(super) async fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        if self.ends.is_some_and(|ends| now >= ends) {
            return None;
        }
        let Some(open) = &self.open else { return self.take().map(|_| now) };
        // The semaphore is never closed.
        open.due.acquire().await.ok()?.forget();
        self.take().map(|number| self.start + open.arrivals.at(number))
    }

    fn take(&self) -> Option<u64> {
        let number = self.taken.fetch_add(1, Relaxed);
        (number < self.calls_max.load(Relaxed)).then_some(number)
    }

    /// Hands out the arrivals of an open loop to so many connections, until the end.
    ///
    /// # Errors
    /// Where the system has no timer.
    pub(super) async fn pace(&self, connections: usize) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let mut timer = Timer::new()?;
        while let Some(wait) = self.hand_out(open, Instant::now(), connections) {
            timer.wait(wait).await?;
        }
        Ok(())
    }

    /// Hands out what is due, and answers how long to wait for the next; at the end lets the connections go.
    fn hand_out(&self, open: &Open, now: Instant, connections: usize) -> Option<Duration> {
        let due = self.due(open, now);
        open.release(due);
        if due == self.calls_max.load(Relaxed) || self.ends.is_some_and(|ends| now >= ends) {
            self.calls_max.store(due, Relaxed);
            open.due.add_permits(connections);
            return None;
        }
        let next = self.start + open.arrivals.at(due);
        let wake = self.ends.map_or(next, |ends| next.min(ends));
        Some(wake.saturating_duration_since(now).max(PACE_MIN))
    }

    /// How many arrivals are due: those before the end, if that has come.
    fn due(&self, open: &Open, now: Instant) -> u64 {
        let last = self.ends.map_or(now, |ends| now.min(ends - Duration::from_nanos(1)));
        let due = open.arrivals.until(last.saturating_duration_since(self.start));
        due.min(self.calls_max.load(Relaxed))
    }

    /// The arrivals that were due and never taken.
    pub(super) fn unsent(&self) -> Unsent {
        let (Some(open), Some(ends)) = (&self.open, self.ends) else { return Unsent::default() };
        let taken = self.taken.load(Relaxed);
        match open.released.load(Relaxed).saturating_sub(taken) {
            0 => Unsent::default(),
            arrivals => {
                let first = self.start + open.arrivals.at(taken);
                Unsent { arrivals, waited_max: ends.saturating_duration_since(first) }
            }
        }
    }
}

impl Open {
    fn release(&self, due: u64) {
        let released = self.released.swap(due, Relaxed);
        let more = due.saturating_sub(released);
        self.due.add_permits(usize::try_from(more).unwrap_or(usize::MAX));
    }
}

/// A timer that rings within some ten microseconds; the runtime's own ring to the millisecond.
#[derive(Debug)]
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types that may close their file; this one never does"
    )]
    fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Timer(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    async fn wait(&mut self, time: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: time.as_secs().cast_signed(),
                tv_nsec: time.subsec_nanos().cast_signed().into(),
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let rang = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            match rang {
                Ok(rang) => return rang.map(drop),
                Err(_not_yet) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn threads_share_out_a_rate_evenly_and_exactly() {
        for (rate, threads) in [(1, 1), (3, 1), (1_000, 3), (999_983, 2), (7, 5)] {
            let each = (0..threads).map(|thread| Arrivals { rate, threads, thread });
            let until: u64 = each.clone().map(|one| one.until(SECOND - Duration::from_nanos(1))).sum();
            assert_eq!(until, rate, "{rate} over {threads} threads");
            for one in each {
                for number in [0, 1, 2, 999, 123_456] {
                    let at = one.at(number);
                    assert_eq!(one.until(at), number + 1, "{one:?} {number}");
                    let before = at.checked_sub(Duration::from_nanos(1));
                    assert_eq!(before.map_or(number, |before| one.until(before)), number, "{one:?} {number}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_closed_loop_ends_after_its_calls_or_its_time() {
        let calls = Schedule::new(Instant::now(), End::Calls(2), None);
        assert!(calls.next().await.is_some() && calls.next().await.is_some());
        assert_eq!(calls.next().await, None);
        let over = Schedule::new(Instant::now() - SECOND, End::After(SECOND), None);
        assert_eq!(over.next().await, None);
    }

    #[tokio::test]
    async fn an_open_loop_counts_from_the_arrival_however_late_it_is_taken() {
        let start = Instant::now() - SECOND;
        let arrivals = Arrivals { rate: 1_000, threads: 1, thread: 0 };
        let schedule = Schedule::new(start, End::Calls(3), Some(arrivals));
        schedule.pace(2).await.unwrap();
        for number in 0..3 {
            assert_eq!(schedule.next().await, Some(start + arrivals.at(number)));
        }
        assert_eq!((schedule.next().await, schedule.next().await), (None, None));
        assert_eq!(schedule.unsent(), Unsent::default());
    }

    /// A hundred a second for an hour, from now on.
    fn hour() -> (Schedule, Instant, Instant) {
        let (start, hour) = (Instant::now(), Duration::from_secs(3_600));
        let arrivals = Arrivals { rate: 100, threads: 1, thread: 0 };
        (Schedule::new(start, End::After(hour), Some(arrivals)), start, start + hour)
    }

    #[tokio::test]
    async fn the_schedule_does_not_wait_for_answers_and_tells_what_was_not_sent() {
        let (schedule, start, ends) = hour();
        let open = schedule.open.as_ref().unwrap();
        assert_eq!(schedule.hand_out(open, start, 1), Some(Duration::from_millis(10)));
        // The only connection takes one arrival, and its answer does not come before the end.
        assert_eq!(schedule.next().await, Some(start));
        assert_eq!(schedule.hand_out(open, start + SECOND, 1), Some(Duration::from_millis(10)));
        assert_eq!(schedule.hand_out(open, ends, 1), None);
        let waited_max = ends - start - Duration::from_millis(10);
        assert_eq!(schedule.unsent(), Unsent { arrivals: 359_999, waited_max });
    }

    #[tokio::test]
    async fn who_is_idle_at_the_end_takes_what_is_due_and_goes() {
        let (schedule, start, ends) = hour();
        let open = schedule.open.as_ref().unwrap();
        open.released.store(359_998, Relaxed);
        schedule.taken.store(359_998, Relaxed);
        let (one, other, more, ()) = tokio::join!(schedule.next(), schedule.next(), schedule.next(), async {
            assert_eq!(schedule.hand_out(open, ends, 3), None);
        });
        let last = |place: u32| Some(ends - Duration::from_millis(10) * place);
        let mut taken = [one, other, more];
        taken.sort();
        assert_eq!(taken, [None, last(2), last(1)]);
        assert_eq!(schedule.unsent(), Unsent::default());
        assert_eq!(open.arrivals.at(359_998), ends - start - Duration::from_millis(20));
    }

    #[tokio::test]
    async fn what_is_due_sooner_than_a_timer_can_ring_is_handed_out_together() {
        let arrivals = Arrivals { rate: 1_000_000, threads: 1, thread: 0 };
        let start = Instant::now();
        let schedule = Schedule::new(start, End::Calls(500), Some(arrivals));
        let open = schedule.open.as_ref().unwrap();
        assert_eq!(schedule.hand_out(open, start, 1), Some(PACE_MIN));
        assert_eq!(schedule.hand_out(open, start + PACE_MIN, 1), Some(PACE_MIN));
        assert_eq!(open.due.available_permits(), 101);
    }

    #[tokio::test]
    async fn a_timer_rings_after_its_time_and_again() {
        let mut timer = Timer::new().unwrap();
        for _ in 0..2 {
            let started = Instant::now();
            timer.wait(Duration::from_millis(3)).await.unwrap();
            assert!(started.elapsed() >= Duration::from_millis(3));
        }
    }
}
