//! The Raft log and vote on disk.
//!
//! ```text
//!   append, save_vote, truncate_after, purge        read
//!        |  (index and payloads change at once)      |
//!        v                                           v
//!      queue ------------------------------> index + cache of payloads
//!        |                                           ^ | older ones, checksum verified
//!        v                                           | v
//!      writer: one group, one write, one fdatasync --+ segments --purged--> spares --again--> segments
//!        |
//!        v
//!      callbacks, in the order of the calls
//! ```
//!
//! Module by module: `shared` is the queue and the lock, `writer` the one thread that writes, `steps` the same
//! without a thread, `pool` the files not in use, `format` and `buffer` the bytes (drawn in docs/formats.md), `seal`
//! the note of how far the log is whole, `scan`, `recover` and `replay` the way back from files to a log, `lost` which
//! file was damaged where a part is not found, `index` and `read` what readers see, `inspect` a look at one that nobody
//! has open.
//!
//! Invariants:
//! * A callback is called with `Ok` only after the fdatasync that covers its operation and all before it.
//! * A group is written only after the fdatasync of the one before it. So a whole group proves that all before it was
//!   once complete, and what is not whole in front of one is damage, never cut off.
//! * Only the last group can be a torn write. It was not acknowledged unless it is sealed; a seal is in another file.
//! * Each group repeats the checksum of the one before, and carries its segment's sequence and its session: neither
//!   bytes of a file's earlier use nor those of a group that was cut off can follow a group again.
//! * A segment begins with all that would go with the segments before it. It is given up only after the disk says
//!   that it no longer counts.
//! * After the first failure nothing is written and no fsync is tried.
//! * What was found when the log is opened is made durable before anything follows it: a last group that is not sealed
//!   is written again, because an fdatasync of it may have failed, and no later one says anything about those bytes.
//! * A segment's bytes are on disk before it is used: a full file system stops the log only when all that was made
//!   ahead is used up, and is told before ([`Log::room`]).
//!
//! What remains: damage to the last group within the 20 ms before it is sealed, together with a crash, is taken for a
//! torn write.
//!
//! Absent on purpose: a timer before writes, threads beside the writer, a knowledge of what payloads mean, repair.

mod buffer;
mod failure;
mod format;
mod index;
mod inspect;
mod lost;
mod pool;
mod read;
mod recover;
mod replay;
mod scan;
mod seal;
mod shared;
mod steps;
mod writer;

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use bytes::Bytes;

use crate::disk::{Disk, Mode};
use crate::histogram::Distribution;
use crate::{LEAVE_STOPPED, Position, StorageError};

use buffer::GroupBuffer;
use failure::at;
pub use inspect::{LogView, SegmentView, inspect};
use pool::Pool;
use recover::Recovered;
use seal::SealFile;
use shared::{Counters, Operation, Shared, State};
pub use steps::Steps;
use writer::Writer;

/// The longest payload of an entry, in bytes.
pub const ENTRY_PAYLOAD_BYTES_MAX: usize = 1 << 30;
/// With more payload than this waiting to be written, appends are refused.
pub const QUEUE_BYTES_MAX: usize = 1 << 30;

/// A log entry: its place and its payload, which the log does not look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// Its payload.
    pub payload: Bytes,
}

/// A Raft vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// The candidate voted for.
    pub node: u64,
    /// Whether a quorum granted it.
    pub committed: bool,
}

/// Called once the write is on disk (or has failed, for good).
pub type Flushed = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// What the log spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// The last entry purged.
    pub purged: Option<Position>,
    /// The index of the first entry present; where none is, the one after the last.
    pub first: u64,
    /// The last entry present, or `purged` where none is.
    pub last: Option<Position>,
}

/// How much the log can take before another file has to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogRoom {
    /// Bytes left in the segment that is written to and in the spares, what waits to be written not counted.
    pub bytes: u64,
    /// Whether a spare is missing because the file system has no room for it. It is tried again each second.
    pub is_short: bool,
}

/// Sizes.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The Raft group that the log belongs to.
    pub group: u64,
    /// How long a segment file is, in bytes.
    pub segment_bytes: u64,
    /// How many bytes of payload stay in memory for readers.
    pub cache_bytes: usize,
}

/// The Raft log. A cheap handle; all of its clones are one log.
///
/// When the last handle goes, what is queued is written, the log is sealed, and its thread ends.
#[derive(Clone)]
pub struct Log {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    running: Running,
}

/// Who has the writer do its work.
enum Running {
    /// A thread, which is joined once.
    Thread(Mutex<Option<JoinHandle<()>>>, ThreadId),
    /// Whoever asks for the next step.
    Steps(Steps),
}

impl Log {
    /// Opens or creates the log in a directory.
    ///
    /// A group at the very end that was being written when the power went is cut off; it was never acknowledged.
    ///
    /// # Errors
    /// `Corrupt` where the log is damaged anywhere else, `Refused` where it is of another Raft group or of a format
    /// that is not known, `Io` where the disk fails.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: LogOptions) -> Result<Log, StorageError> {
        Log::start(open_writer(disk, dir, &options, |_| Ok(()))?, dir, options.group)
    }

    /// Opens the log in a directory in which it is known to have been opened before.
    ///
    /// # Errors
    /// As for [`open`](Log::open), and [gone] where no file is left that was ever written to: what would be opened is a
    /// new log, which has forgotten a vote.
    pub fn reopen(disk: Arc<dyn Disk>, dir: &Path, options: LogOptions) -> Result<Log, StorageError> {
        Log::start(
            open_writer(disk, dir, &options, |recovered| must_be_begun(recovered, dir))?,
            dir,
            options.group,
        )
    }

    /// Opens the log in a directory without a thread of its own: whoever has the [`Steps`] has it do each step. For
    /// simulations, which are no simulations if a thread of the system's decides what comes first.
    ///
    /// # Errors
    /// As for [`reopen`](Log::reopen) where the log `is_made`, and else as for [`open`](Log::open).
    #[doc(hidden)]
    pub fn open_in_steps(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: LogOptions,
        is_made: bool,
    ) -> Result<(Log, Steps), StorageError> {
        let check = |recovered: &Recovered| if is_made { must_be_begun(recovered, dir) } else { Ok(()) };
        let writer = open_writer(disk, dir, &options, check)?;
        let shared = Arc::clone(&writer.shared);
        let steps = Steps::new(writer);
        let running = Running::Steps(steps.clone());
        Ok((Log { handle: Arc::new(Handle { shared, running }) }, steps))
    }

    fn start(writer: Writer, dir: &Path, group: u64) -> Result<Log, StorageError> {
        let shared = Arc::clone(&writer.shared);
        let thread = thread::Builder::new().name(format!("log-{group}")).spawn(move || writer.run());
        let thread = thread.map_err(at("start the writer of", dir))?;
        let id = thread.thread().id();
        let running = Running::Thread(Mutex::new(Some(thread)), id);
        Ok(Log { handle: Arc::new(Handle { shared, running }) })
    }

    /// What the log spans, unflushed entries included.
    pub fn state(&self) -> LogState {
        self.shared().lock().index.state()
    }

    /// The last vote saved.
    pub fn vote(&self) -> Option<Vote> {
        self.shared().lock().vote
    }

    /// The last committed position saved. After a crash it may be an earlier one; never one ahead of the entries.
    pub fn committed(&self) -> Option<Position> {
        self.shared().lock().committed
    }

    /// How many entries, from the first one on, are both committed and on disk: none of them ever leaves this log but
    /// by a purge. Fewer where that cannot be told of the last ones.
    pub fn committed_on_disk(&self) -> u64 {
        let state = self.shared().lock();
        state.committed.map_or(0, |committed| state.index.on_disk(committed.index))
    }

    /// Entries of the range, consecutive from its start: at least one where the first is present, then as many as
    /// fit into `max_bytes` of payload. Empty where the range begins with what is purged or not yet there.
    ///
    /// # Errors
    /// `Corrupt` where an entry on disk is damaged, `Io` where it cannot be read, `Stopped` after a failure.
    pub fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Entry>, StorageError> {
        read::read(self.shared(), range, max_bytes)
    }

    /// Appends entries, readable at return; `flushed` is called once they are on disk.
    ///
    /// Callers are not held up: what they append waits in memory. Raft bounds what it has in flight; a caller that
    /// does not is refused at `QUEUE_BYTES_MAX`.
    ///
    /// # Errors
    /// `Refused` where the entries do not follow the last one, are too long, or too much is waiting: nothing is
    /// appended then. `Stopped` after a failure. `flushed` is not called where this returns an error.
    pub fn append(&self, entries: Vec<Entry>, flushed: Flushed) -> Result<(), StorageError> {
        let shared = self.shared();
        shared.submit(flushed, |state| {
            let bytes = check_append(state, &entries).map_err(|what| refused(shared, what))?;
            state.queued_bytes += bytes;
            let mut serials = entries.iter().map(|entry| state.index.queue(entry));
            let first_serial = serials.next().unwrap_or(0);
            serials.for_each(drop);
            Ok(Operation::Append(entries, first_serial))
        })?;
        Counters::add(&shared.counters.appends, 1);
        Ok(())
    }

    /// Saves the vote; `flushed` is called once it is on disk.
    ///
    /// # Errors
    /// `Stopped` after a failure.
    pub fn save_vote(&self, vote: Vote, flushed: Flushed) -> Result<(), StorageError> {
        self.shared().submit(flushed, |state| {
            state.vote = Some(vote);
            Ok(Operation::Vote(vote))
        })
    }

    /// Notes the committed position; it goes to disk with the next write and is not waited for.
    ///
    /// # Errors
    /// `Stopped` after a failure.
    pub fn save_committed(&self, committed: Position) -> Result<(), StorageError> {
        let mut state = self.shared().lock();
        state.check()?;
        state.committed = Some(committed);
        state.note = Some(committed);
        Ok(())
    }

    /// Removes every entry after `last` (all where `None`). What was purged stays purged.
    ///
    /// # Errors
    /// `Stopped` after a failure.
    pub fn truncate_after(&self, last: Option<u64>, flushed: Flushed) -> Result<(), StorageError> {
        let from = last.map_or(0, |last| last.saturating_add(1));
        self.shared().submit(flushed, |state| {
            state.index.truncate(from);
            Ok(Operation::Truncate(from))
        })
    }

    /// Removes every entry up to `upto`, which may be ahead of the log: then the log is empty, and goes on behind
    /// it. Segments that hold nothing else are used again.
    ///
    /// # Errors
    /// `Stopped` after a failure.
    pub fn purge(&self, upto: Position, flushed: Flushed) -> Result<(), StorageError> {
        self.shared().submit(flushed, |state| {
            state.index.purge(upto);
            Ok(Operation::Purge(upto))
        })
    }

    /// Has `listener` called when the log stops after a failure, also one that no caller waits for; at once where
    /// it has stopped already. There is one listener; a later one takes its place.
    pub fn on_failure(&self, listener: impl FnOnce(StorageError) + Send + 'static) {
        let mut state = self.shared().lock();
        match state.check() {
            Ok(()) => state.listener = Some(Box::new(listener)),
            Err(error) => {
                drop(state);
                listener(error);
            }
        }
    }

    /// Counters since the log was opened.
    pub fn stats(&self) -> LogStats {
        let counters = &self.shared().counters;
        let (queued_bytes, busy_since) = {
            let state = self.shared().lock();
            (state.queued_bytes, state.busy_since)
        };
        LogStats {
            appends: Counters::get(&counters.appends),
            sync_us: counters.sync_us.read(),
            written_bytes: Counters::get(&counters.written_bytes),
            disk_bytes: Counters::get(&counters.disk_bytes),
            queued_bytes,
            busy: busy_since.map(|since| since.elapsed()).unwrap_or_default(),
        }
    }

    /// How much it can take before another file has to be made, and whether that could not be.
    pub fn room(&self) -> LogRoom {
        let counters = &self.shared().counters;
        LogRoom {
            bytes: Counters::get(&counters.room_bytes),
            is_short: counters.short.load(Ordering::Relaxed),
        }
    }

    /// What the entries after `index` (all where `None`) up to and with `last` take on disk, in bytes: at most that,
    /// and seldom much less.
    pub fn bytes_between(&self, index: Option<u64>, last: u64) -> u64 {
        self.shared().lock().index.bytes_between(index, last)
    }

    /// The entry up to which to purge so that those behind it, up to and with `last`, take at most `bytes_max` on disk;
    /// `None` where they do already.
    pub fn purge_leaving(&self, last: u64, bytes_max: u64) -> Option<u64> {
        self.shared().lock().index.purge_leaving(last, bytes_max)
    }

    /// Writes what is queued, seals the log and waits until its thread has ended, whoever else has a handle: to those
    /// it is stopped from now on. Only then may the directory be opened again. Blocking.
    pub fn close(&self) {
        self.handle.close();
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl Handle {
    fn close(&self) {
        self.shared.close();
        match &self.running {
            // A callback may have held the last handle: then this is the writer's thread, which ends by itself.
            Running::Thread(_, id) if *id == thread::current().id() => {}
            Running::Thread(writer, _) => {
                // Held until the thread has ended, so that whoever closes as well waits for that too.
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                // A panic was caught and reported within the thread.
                let _ = writer.take().map(JoinHandle::join);
            }
            Running::Steps(steps) => steps.finish(),
        }
    }
}

/// Why a directory in which a log was opened before is refused, where it has no segment that was begun.
pub fn gone(dir: &Path) -> StorageError {
    StorageError::Refused {
        path: dir.to_path_buf(),
        what: "no file is left that the log was ever written to, nor the votes and entries that were in it"
            .into(),
        mend: format!("put the log back, or {LEAVE_STOPPED}"),
    }
}

/// The bytes of payload, or why the entries cannot follow.
fn check_append(state: &State, entries: &[Entry]) -> Result<usize, String> {
    let mut next = state.index.span().next;
    let mut bytes = 0;
    for entry in entries {
        let index = entry.position.index;
        if next.is_some_and(|next| next != index) {
            return Err(format!("entry {index} does not follow the last one"));
        }
        if entry.payload.len() > ENTRY_PAYLOAD_BYTES_MAX {
            return Err(format!("entry {index} has {} bytes", entry.payload.len()));
        }
        next = Some(index + 1);
        bytes += entry.payload.len();
    }
    if state.queued_bytes > 0 && state.queued_bytes + bytes > QUEUE_BYTES_MAX {
        return Err(format!("{} bytes wait to be written", state.queued_bytes));
    }
    Ok(bytes)
}

fn refused(shared: &Shared, what: String) -> StorageError {
    let mend = "this is a fault of the program; please report it".into();
    StorageError::Refused { path: shared.dir.clone(), what, mend }
}

/// A log that was opened before has a segment that was begun: opening it begins a session, whose group is on disk at
/// return.
fn must_be_begun(recovered: &Recovered, dir: &Path) -> Result<(), StorageError> {
    if recovered.segments.is_empty() { Err(gone(dir)) } else { Ok(()) }
}

/// A writer that goes on behind what the directory has, where that passes the check.
fn open_writer(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: &LogOptions,
    check: impl FnOnce(&Recovered) -> Result<(), StorageError>,
) -> Result<Writer, StorageError> {
    disk.create_dir_all(dir).map_err(at("create", dir))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_dir(parent).map_err(at("fsync", parent))?;
    }
    let recovered = recover::recover(&*disk, dir, options.group, Mode::ReadWrite)?;
    check(&recovered)?;
    // What ended before it had synced the names of its files is gone; the names are found all the same.
    disk.sync_dir(dir).map_err(at("fsync", dir))?;
    let mut writer = prepare(disk, dir, options, recovered)?;
    writer.begin_session()?;
    Ok(writer)
}

/// A writer over what was found, which is durable then.
fn prepare(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: &LogOptions,
    recovered: Recovered,
) -> Result<Writer, StorageError> {
    let Recovered { segments, unused, replayed, last_at, end, last, next_sequence, next_slot, seal } =
        recovered;
    let seal = match seal {
        Some(seal) => seal,
        None => SealFile::create(&*disk, dir, options.group)?,
    };
    let pool = Pool::new(disk, dir, options.group, options.segment_bytes, next_slot);
    let files = segments.iter().map(|segment| (segment.sequence, Arc::clone(&segment.file))).collect();
    let span = replayed.index.span();
    let (vote, committed) = (replayed.vote, replayed.committed);
    let state = State { index: replayed.index, vote, committed, segments: files, ..State::default() };
    let mut writer = Writer {
        shared: Arc::new(Shared::new(state, dir.to_path_buf(), options.cache_bytes)),
        group: options.group,
        first_sequence: segments.first().map_or(next_sequence, |segment| segment.sequence),
        segments: segments.into(),
        pool,
        seal,
        session: last.session + 1,
        next_sequence,
        last,
        end,
        span,
        vote,
        committed,
        buffer: GroupBuffer::default(),
        landed: Vec::new(),
        waiting: Default::default(),
        batch: Default::default(),
        note: None,
        idle: false,
        looked_at: None,
    };
    writer.make_durable(last_at, unused)?;
    Ok(writer)
}

/// Counters since the log was opened, for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Calls of append.
    pub appends: u64,
    /// How long the fdatasync calls that succeeded took, in microseconds.
    pub sync_us: Distribution,
    /// Bytes of entries that are queued to be written.
    pub queued_bytes: usize,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes that the log takes on disk now, spare segments included.
    pub disk_bytes: u64,
    /// How long what is being written now has taken. It grows while the disk hangs.
    pub busy: Duration,
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod tests;
