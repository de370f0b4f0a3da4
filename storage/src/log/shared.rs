//! What callers, readers and the writer share, behind one lock that is never held during IO.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::{Position, StorageError};

use super::failure::copy;
use super::index::{Index, Landed};
use super::pool::SegmentFile;
use super::{Entry, Flushed, Vote};

/// Told of a failure at once, whoever was waiting.
pub(super) type Listener = Box<dyn FnOnce(StorageError) + Send>;

/// Told that something is queued, or that the log closes.
pub(super) type Teller = Box<dyn Fn() + Send + Sync>;

/// Something to be written.
pub(super) enum Operation {
    /// Entries, and the number that the first of them is queued under.
    Append(Vec<Entry>, u64),
    /// A vote.
    Vote(Vote),
    /// Entries from this index on are gone.
    Truncate(u64),
    /// Entries up to here are gone.
    Purge(Position),
}

/// An operation and whom to tell.
pub(super) struct Queued {
    /// The operation.
    pub operation: Operation,
    /// Called once it is on disk.
    pub flushed: Flushed,
}

/// What the lock guards.
#[derive(Default)]
pub(super) struct State {
    /// The entries, queued ones included.
    pub index: Index,
    /// The vote, queued or written.
    pub vote: Option<Vote>,
    /// The committed position, noted or written.
    pub committed: Option<Position>,
    /// The files that entries are read back from, by sequence.
    pub segments: BTreeMap<u64, Arc<SegmentFile>>,
    /// What the writer has not taken yet.
    pub queue: VecDeque<Queued>,
    /// Bytes of payload in the queue.
    pub queued_bytes: usize,
    /// A committed position that is not on disk yet.
    pub note: Option<Position>,
    /// Why nothing is written any more.
    pub failed: Option<String>,
    /// Whom to tell when that happens.
    pub listener: Option<Listener>,
    /// Whether the last handle is gone, or the log was closed: nothing is taken any more.
    pub closing: bool,
    /// Whether the writer has to be woken.
    pub writer_waits: bool,
    /// Since when the writer is at what it does now; `None` while it waits for something to do.
    pub busy_since: Option<Instant>,
}

/// Counters, read without the lock.
#[derive(Default)]
pub(super) struct Counters {
    pub appends: AtomicU64,
    /// How long each fdatasync took.
    pub sync_us: Histogram,
    pub written_bytes: AtomicU64,
    pub disk_bytes: AtomicU64,
    pub room_bytes: AtomicU64,
    pub short: AtomicBool,
}

/// What callers, readers and the writer share.
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Whom to tell, where no thread waits, that there is something to do.
    pub teller: OnceLock<Teller>,
    /// Counters.
    pub counters: Counters,
    /// The log's directory.
    pub dir: PathBuf,
    /// How many bytes of payload stay in memory.
    pub cache_bytes: usize,
}

/// What the writer wakes for.
pub(super) enum Wake {
    /// There is something to write.
    Work,
    /// There was nothing for a while.
    Idle,
    /// The log is closing, and the queue is empty.
    Closed,
}

impl Shared {
    pub(super) fn new(state: State, dir: PathBuf, cache_bytes: usize) -> Shared {
        Shared {
            state: Mutex::new(state),
            wake: Condvar::new(),
            teller: OnceLock::new(),
            counters: Counters::default(),
            dir,
            cache_bytes,
        }
    }

    /// The state. No code panics while it holds this lock, so a poisoned one is as good as any.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what `make` makes of the state, unless the log has failed.
    pub(super) fn submit(
        &self,
        flushed: Flushed,
        make: impl FnOnce(&mut State) -> Result<Operation, StorageError>,
    ) -> Result<(), StorageError> {
        let mut state = self.lock();
        state.check()?;
        let operation = make(&mut state)?;
        state.queue.push_back(Queued { operation, flushed });
        let wake = state.writer_waits;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        if let Some(tell) = self.teller.get() {
            tell();
        }
    }

    /// Waits for something to do, and moves what is queued into `batch`, with the committed position to note.
    /// `patience` is how long to wait before `Idle`; for ever where there is nothing to do when idle.
    pub(super) fn wait(
        &self,
        patience: Option<Duration>,
        batch: &mut VecDeque<Queued>,
        note: &mut Option<Position>,
    ) -> Wake {
        let mut state = self.lock();
        state.busy_since = None;
        loop {
            if !state.queue.is_empty() || state.closing {
                *note = state.note.take().or(*note);
                state.queued_bytes = 0;
                state.busy_since = Some(Instant::now());
                std::mem::swap(&mut state.queue, batch);
                return if batch.is_empty() { Wake::Closed } else { Wake::Work };
            }
            state.writer_waits = true;
            let timed_out;
            (state, timed_out) = self.sleep(state, patience);
            state.writer_waits = false;
            if timed_out && state.queue.is_empty() && !state.closing {
                state.busy_since = Some(Instant::now());
                return Wake::Idle;
            }
        }
    }

    fn sleep<'a>(
        &self,
        state: MutexGuard<'a, State>,
        patience: Option<Duration>,
    ) -> (MutexGuard<'a, State>, bool) {
        match patience {
            Some(patience) => {
                let woken = self.wake.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                (woken.0, woken.1.timed_out())
            }
            None => (self.wake.wait(state).unwrap_or_else(PoisonError::into_inner), false),
        }
    }

    /// Notes where entries were written.
    pub(super) fn land(&self, landed: &[Landed]) {
        let mut state = self.lock();
        state.index.land(landed);
        state.index.shrink_cache(self.cache_bytes);
    }

    /// Lets the writer finish what is queued and end.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
        self.tell();
    }

    /// Stops the log for good and tells everybody who waits. The listener first: whatever follows from a log that takes
    /// nothing more is not the reason.
    pub(super) fn fail(&self, error: &StorageError, in_flight: impl Iterator<Item = Flushed>) {
        self.tell_listener(error);
        let mut state = self.lock();
        state.failed = Some(error.to_string());
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        // One that came meanwhile.
        self.tell_listener(error);
        for flushed in in_flight.chain(queue.into_iter().map(|queued| queued.flushed)) {
            flushed(Err(copy(error)));
        }
    }

    fn tell_listener(&self, error: &StorageError) {
        let listener = self.lock().listener.take();
        if let Some(listener) = listener {
            listener(copy(error));
        }
    }
}

impl State {
    /// Refuses everything after a failure, and after the end.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        match &self.failed {
            Some(why) => Err(StorageError::Stopped(why.clone())),
            None if self.closing => Err(StorageError::Stopped("the log was closed".into())),
            None => Ok(()),
        }
    }
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
