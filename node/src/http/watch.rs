//! One watcher of the change feed for all who wait in this process.
//!
//! ```text
//!   apply --> applied_past --> look at the feed once --> wake the long polls of the reservations that changed
//!                 ^                    |            \--> wake the streams: there may be something to read
//!                 +------ pause -------+
//! ```
//!
//! Without it each of a thousand waiting calls would wake up with every log entry. It runs only while somebody waits,
//! and takes a pause after each look, so its cost is bounded however much is written.
//!
//! Invariant: a poll is entered before its caller reads the state, and the watcher then stands at an event no later
//! than that read. So no change after the read goes unseen; a wake for an earlier one is looked at and slept over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage::inventory::event::{EventChange, EventFilter, EventPosition};
use storage::inventory::ids::ReservationId;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::limits::{LOOK_EVENTS_MAX, LOOK_PAUSE, POLLS_MAX, STREAMS_MAX};
use super::store::Store;

/// Who waits, and how far the feed was looked at. A cheap handle; all of its clones are one.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// The sequence up to which streams know that they may read.
    looked: watch::Sender<u64>,
}

#[derive(Default)]
struct Waiting {
    /// The long polls, by reservation and, for those of one, by number.
    polls: BTreeMap<(ReservationId, u64), Arc<Notify>>,
    /// How many polls there have been.
    entered: u64,
    /// How many streams are open.
    streams: usize,
    /// Whether the watcher runs.
    watched: bool,
    /// The last event that it looked at.
    after: Option<EventPosition>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.polls.is_empty() && self.streams == 0
    }

    fn wake(&self, id: ReservationId) {
        self.polls.range((id, 0)..=(id, u64::MAX)).for_each(|(_, poll)| poll.notify_one());
    }

    fn wake_all(&self) {
        self.polls.values().for_each(|poll| poll.notify_one());
    }
}

impl Default for Watch {
    fn default() -> Watch {
        Watch(Arc::new(Shared { waiting: Mutex::default(), looked: watch::Sender::new(0) }))
    }
}

impl Watch {
    /// A place among the long polls, or `None` where there is no room.
    pub(crate) fn poll<S: Store>(&self, store: &S, id: ReservationId) -> Option<Poll> {
        let mut waiting = self.waiting();
        if waiting.polls.len() >= POLLS_MAX {
            return None;
        }
        waiting.entered += 1;
        let (place, woken) = ((id, waiting.entered), Arc::new(Notify::new()));
        waiting.polls.insert(place, woken.clone());
        self.begin(store, waiting);
        Some(Poll { watch: self.clone(), place, woken })
    }

    /// A place among the streams, or `None` where there is no room.
    pub(crate) fn stream<S: Store>(&self, store: &S) -> Option<Reader> {
        let mut waiting = self.waiting();
        if waiting.streams >= STREAMS_MAX {
            return None;
        }
        waiting.streams += 1;
        self.begin(store, waiting);
        Some(Reader { watch: self.clone(), looked: self.0.looked.subscribe() })
    }

    /// How many streams are open, and how many long polls wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let waiting = self.waiting();
        (waiting.streams, waiting.polls.len())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the watcher run, unless it does: from here on nothing is missed.
    fn begin<S: Store>(&self, store: &S, mut waiting: MutexGuard<'_, Waiting>) {
        if !waiting.watched {
            waiting.watched = true;
            waiting.after = store.read_stale(|inventory| inventory.last_event()).value;
            tokio::spawn(run(self.clone(), store.clone()));
        }
    }

    /// Wakes whom something new may concern. Answers the sequence looked up to, or `None` where nobody waits any more.
    fn look<S: Store>(&self, store: &S) -> Option<u64> {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            waiting.watched = false;
            return None;
        }
        loop {
            let after = waiting.after;
            let read = store.read_stale(|inventory| {
                inventory
                    .events(after, &EventFilter::default(), LOOK_EVENTS_MAX)
                    .map_err(|_| inventory.last_event())
            });
            match read.value {
                Ok(page) => {
                    for event in &page.events {
                        if let EventChange::Reservation(change) = &event.change {
                            waiting.wake(change.after.id);
                        }
                    }
                    waiting.after = page.next.or(after);
                    if page.at_end {
                        self.0.looked.send_replace(read.sequence);
                        return Some(read.sequence);
                    }
                }
                // A snapshot from far ahead was installed here: whatever happened meanwhile is not told any more.
                Err(last) => {
                    waiting.wake_all();
                    waiting.after = last;
                }
            }
        }
    }
}

async fn run<S: Store>(watch: Watch, store: S) {
    while let Some(sequence) = watch.look(&store) {
        // Before the wait, so that the first change after a quiet time is seen at once.
        sleep(LOOK_PAUSE).await;
        store.applied_past(sequence).await;
    }
}

/// A long poll's place. Dropping it is leaving.
pub(crate) struct Poll {
    watch: Watch,
    place: (ReservationId, u64),
    woken: Arc<Notify>,
}

impl Poll {
    /// Resolves once something happened to the reservation, or may have.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.watch.waiting().polls.remove(&self.place);
    }
}

/// A stream's place. Dropping it is leaving.
pub(crate) struct Reader {
    watch: Watch,
    looked: watch::Receiver<u64>,
}

impl Reader {
    /// Resolves once a later state than that of this sequence can be read.
    pub(crate) async fn past(&mut self, sequence: u64) {
        // The sender lives as long as the watch, so waiting cannot fail.
        let _ = self.looked.wait_for(|looked| *looked > sequence).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.watch.waiting().streams -= 1;
    }
}
