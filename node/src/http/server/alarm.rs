//! One timer for all that a connection waits for, one thing after the other.
//!
//! A timer that is set and taken back for each call costs two turns at a lock that all connections share. This one
//! is set ahead at most for the shortest of the usual times, and looks, when it goes off, whether what is waited for
//! now is due: mostly it is not, and the timer is set again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::http::limits::CALL_TIME_MAX;

/// The timer.
#[derive(Debug)]
pub(in crate::http) struct Alarm {
    /// Never later than `due`.
    sleep: Pin<Box<Sleep>>,
    due: Instant,
}

impl Alarm {
    /// A timer for what is due so long from now.
    pub(super) fn new(after: Duration) -> Alarm {
        let mut alarm = Alarm { sleep: Box::pin(sleep(after.min(CALL_TIME_MAX))), due: Instant::now() };
        alarm.due += after;
        alarm
    }

    /// Waits for something else from now on, which is due so long from now.
    pub(super) fn set(&mut self, after: Duration) {
        self.due = Instant::now() + after;
        if self.due < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.due);
        }
    }

    /// Resolves when it is due.
    pub(super) async fn due(&mut self) {
        poll_fn(|cx| self.poll_due(cx)).await;
    }

    /// What comes of a future, or `None` where it takes longer than that.
    pub(in crate::http) async fn bound<T>(
        &mut self,
        time_max: Duration,
        what: impl Future<Output = T>,
    ) -> Option<T> {
        self.set(time_max);
        tokio::select! {
            biased;
            done = what => Some(done),
            () = self.due() => None,
        }
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let now = self.sleep.deadline();
            if now >= self.due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.due.min(now + CALL_TIME_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::pause;

    use super::*;

    #[tokio::test]
    async fn it_goes_off_when_the_last_thing_it_was_set_for_is_due() {
        pause();
        for (first, then) in [(75, 3), (75, 15), (1, 75), (75, 75), (3, 16)] {
            let (first, then) = (Duration::from_secs(first), Duration::from_secs(then));
            let mut alarm = Alarm::new(first);
            alarm.set(then);
            let began = Instant::now();
            alarm.due().await;
            // The timer's own grain is a millisecond.
            let late = began.elapsed().checked_sub(then).expect("not early");
            assert!(late <= Duration::from_millis(1), "{first:?} {then:?} {late:?}");
        }
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        pause();
        let mut alarm = Alarm::new(Duration::from_secs(75));
        assert_eq!(alarm.bound(Duration::from_secs(3), ready(7)).await, Some(7));
        assert_eq!(alarm.bound(Duration::from_secs(3), pending::<()>()).await, None);
    }
}
