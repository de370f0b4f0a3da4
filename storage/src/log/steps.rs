//! The writer without its thread: in a simulation each of its turns is a step, taken when the simulation says so.
//!
//! ```text
//!   submit --> queue --> tell: something is queued --> the simulation --> after as long as its disk takes: step
//! ```
//!
//! It is the very same writer, and what it does in a turn it does whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::writer::Writer;

/// The writer of one log. A cheap handle; clones are one.
#[doc(hidden)]
#[derive(Clone)]
pub struct Steps {
    /// `None` once it has ended.
    writer: Arc<Mutex<Option<Writer>>>,
}

impl Steps {
    pub(super) fn new(writer: Writer) -> Steps {
        Steps { writer: Arc::new(Mutex::new(Some(writer))) }
    }

    /// Has `tell` called whenever something is queued, and when the log closes. The first one stays.
    pub fn tell(&self, tell: impl Fn() + Send + Sync + 'static) {
        if let Some(writer) = &*self.lock() {
            // A second one has nothing to tell.
            let _ = writer.shared.teller.set(Box::new(tell));
        }
    }

    /// How long to wait for something to be queued before the next step all the same; for ever where `None`.
    pub fn patience(&self) -> Option<Duration> {
        self.lock().as_ref().and_then(Writer::patience)
    }

    /// Writes all that is queued, or does one of the small things for which there is time otherwise. The answer is
    /// whether there may be more to do.
    pub fn step(&self) -> bool {
        take_turn(&mut self.lock())
    }

    /// Goes on to the end of a log that is closing. A callback that closes it leaves that to the step it is called in.
    pub(super) fn finish(&self) {
        while let Ok(mut writer) = self.writer.try_lock()
            && take_turn(&mut writer)
        {}
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_turn(writer: &mut Option<Writer>) -> bool {
    let goes_on = writer.as_mut().is_some_and(|writer| {
        let goes_on = writer.turn(Some(Duration::ZERO));
        // A turn takes no time but what the simulation gives it.
        writer.shared.lock().busy_since = None;
        goes_on
    });
    if !goes_on {
        *writer = None;
    }
    goes_on
}
