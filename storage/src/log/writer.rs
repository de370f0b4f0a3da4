//! The one thread that writes.
//!
//! ```text
//!   wait --> take all that is queued --> one buffer --> one write --> one fdatasync --> callbacks, in order
//!     \-- nothing for SEAL_AFTER --> seal, prepare a spare, remove surplus files, a step at a time
//! ```
//!
//! There is no timer between an append and its write: whatever arrives while an fdatasync runs is the next
//! group. The first error ends the thread; nothing is written and no fsync is tried after it. That there is no room for
//! a spare is no error as long as there is a segment to write to: it is told (`Log::room`) and looked at again.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::disk::File;
use crate::{Position, StorageError, planted};

use super::buffer::GroupBuffer;
use super::failure::at;
use super::format::{ALIGN, ENTRY_BYTES, GROUP_BYTES, HEADER_BYTES, Header, Link, RECORD_BYTES};
use super::format::{Record, START_BYTES, Start};
use super::index::{Landed, Place, Span};
use super::pool::{Pool, SegmentFile};
use super::recover::Segment;
use super::seal::SealFile;
use super::shared::{Counters, Operation, Queued, Shared, Wake};
use super::{Entry, Flushed, Vote};

/// How long the log is idle before its last group is sealed.
const SEAL_AFTER: Duration = Duration::from_millis(20);
/// A group that has grown beyond this is written before more is added.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// How often it is looked whether there is room by now for a spare that there was none for.
const ROOM_AFTER: Duration = Duration::from_secs(1);
/// The longest record apart from entries and starts.
const SMALL_RECORD_BYTES: usize = RECORD_BYTES + 32;
/// What a new segment holds before the first record that is asked for.
const SEGMENT_HEAD_BYTES: usize = HEADER_BYTES + GROUP_BYTES + START_BYTES;

/// The writer.
pub(super) struct Writer {
    /// What it shares with callers.
    pub shared: Arc<Shared>,
    /// The Raft group.
    pub group: u64,
    /// The segments that count, oldest first; the last is written to.
    pub segments: VecDeque<Segment>,
    /// The files not in use.
    pub pool: Pool,
    /// The seal.
    pub seal: SealFile,
    /// Which opening of the log this is.
    pub session: u64,
    /// A sequence that no segment has had.
    pub next_sequence: u64,
    /// The last group written.
    pub last: Link,
    /// Where in the last segment the next group goes.
    pub end: u64,
    /// What the log spans, as of the records in `buffer`.
    pub span: Span,
    /// The vote, likewise.
    pub vote: Option<Vote>,
    /// The committed position, likewise.
    pub committed: Option<Position>,
    /// The oldest segment that counts, likewise.
    pub first_sequence: u64,
    /// The group that is being put together.
    pub buffer: GroupBuffer,
    /// The entries in it.
    pub landed: Vec<Landed>,
    /// Whom to tell once it is on disk.
    pub waiting: VecDeque<Flushed>,
    /// Operations taken from the queue.
    pub batch: VecDeque<Queued>,
    /// A committed position to write along with the next group.
    pub note: Option<Position>,
    /// Whether there was nothing to write when it was last looked.
    pub idle: bool,
    /// When it was last looked whether there is room for a spare, where one is missing for want of it.
    pub looked_at: Option<Instant>,
}

impl Writer {
    /// Runs until the last handle is gone or something fails.
    pub(super) fn run(mut self) {
        while self.turn(self.patience()) {}
    }

    /// Waits so long for something to do, and does it. The answer is whether there may be more: after the end, or a
    /// failure, which everybody is told of, there is nothing.
    pub(super) fn turn(&mut self, patience: Option<Duration>) -> bool {
        let error = match catch_unwind(AssertUnwindSafe(|| self.work(patience))) {
            Ok(Ok(goes_on)) => return goes_on,
            Ok(Err(error)) => error,
            Err(_) => StorageError::Stopped("the log's writer or a callback panicked".into()),
        };
        tracing::error!(%error, "the log has stopped");
        let batch = self.batch.drain(..).map(|queued| queued.flushed);
        self.shared.fail(&error, self.waiting.drain(..).chain(batch));
        false
    }

    fn work(&mut self, patience: Option<Duration>) -> Result<bool, StorageError> {
        match self.shared.wait(patience, &mut self.batch, &mut self.note) {
            Wake::Work => {
                self.write_batch()?;
                self.pool.keep_up(self.end)?;
                self.idle = false;
            }
            Wake::Idle => {
                self.chore()?;
                self.idle = true;
            }
            Wake::Closed => return self.close().map(|()| false),
        }
        self.look_for_room()?;
        self.count_disk_bytes();
        Ok(true)
    }

    /// How long to wait for something to write before there is something else to do; for ever where there is nothing.
    pub(super) fn patience(&self) -> Option<Duration> {
        if self.is_unsealed() || self.pool.has_chores() {
            return Some(if self.idle { Duration::ZERO } else { SEAL_AFTER });
        }
        self.looked_at.map(|at| ROOM_AFTER.saturating_sub(at.elapsed()))
    }

    /// Says once that there is no room for a spare, looks now and then whether there is, and says that as well.
    fn look_for_room(&mut self) -> Result<(), StorageError> {
        if self.looked_at.is_some_and(|at| at.elapsed() >= ROOM_AFTER) {
            self.pool.retry()?;
            self.looked_at = Some(Instant::now());
        }
        let dir = self.shared.dir.display();
        match (self.pool.is_short(), self.looked_at) {
            (true, None) => {
                let bytes = self.room_bytes();
                tracing::warn!(
                    "{dir}: there is no room for another segment; {bytes} bytes are left of this one"
                );
                self.looked_at = Some(Instant::now());
            }
            (false, Some(_)) => {
                tracing::info!("{dir}: there is room for another segment again");
                self.looked_at = None;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes what was found durable, before anything follows it. `last_at` is where the write of the last group began.
    pub(super) fn make_durable(
        &mut self,
        last_at: u64,
        unused: Vec<Arc<SegmentFile>>,
    ) -> Result<(), StorageError> {
        if let Some(segment) = self.segments.back()
            && self.is_unsealed()
        {
            self.write_again(&segment.file, last_at)?;
        }
        // That group may be the one which says that these are of no use.
        unused.into_iter().try_for_each(|file| self.pool.take_in(file))
    }

    /// Writes the last group again and syncs it. It alone may not be on disk, unless it is sealed: where its fdatasync
    /// failed, Linux shows its bytes to whoever reads, takes their pages for clean, and has nothing to do at the next
    /// fdatasync.
    fn write_again(&self, file: &SegmentFile, last_at: u64) -> Result<(), StorageError> {
        let bytes = read_range(&*file.file, last_at..self.end).map_err(at("read", &file.path))?;
        file.file.write_all_at(&bytes, last_at).map_err(at("write", &file.path))?;
        self.sync(file)
    }

    /// Begins a session: a group of its own that restates everything and is sealed, so that all that was found
    /// is known to be whole from here on, and nothing that was cut off can follow it.
    pub(super) fn begin_session(&mut self) -> Result<(), StorageError> {
        match self.segments.back() {
            Some(segment) if fits(&segment.file, self.end, GROUP_BYTES + START_BYTES) => {
                let sequence = segment.sequence;
                self.buffer.begin(sequence, None);
                self.put_start(sequence);
            }
            _ => self.roll(0)?,
        }
        self.flush()?;
        self.write_seal()?;
        self.count_disk_bytes();
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), StorageError> {
        while let Some(Queued { operation, flushed }) = self.batch.pop_front() {
            let early = planted!("truncation-not-synced") && matches!(operation, Operation::Truncate(_));
            let put = self.put(operation);
            if early {
                flushed(Ok(()));
                continue;
            }
            self.waiting.push_back(flushed);
            put?;
        }
        self.put_note()?;
        self.flush()
    }

    /// The committed position goes with a group that is written anyway, behind the entries it may be about.
    fn put_note(&mut self) -> Result<(), StorageError> {
        match self.note.take() {
            Some(position) => {
                self.put_small(&Record::Committed(position))?;
                self.committed = Some(position);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn put(&mut self, operation: Operation) -> Result<(), StorageError> {
        match operation {
            Operation::Append(entries, serial) => self.put_entries(&entries, serial),
            Operation::Vote(vote) => {
                self.put_small(&Record::Vote(vote))?;
                self.vote = Some(vote);
                Ok(())
            }
            Operation::Truncate(from) => {
                self.put_small(&Record::Truncate(from))?;
                self.span.truncate(from);
                Ok(())
            }
            Operation::Purge(upto) => self.put_purge(upto),
        }
    }

    fn put_entries(&mut self, entries: &[Entry], first_serial: u64) -> Result<(), StorageError> {
        for (entry, serial) in entries.iter().zip(first_serial..) {
            self.make_room(ENTRY_BYTES + entry.payload.len())?;
            let offset = self.end + self.buffer.len() as u64;
            self.buffer.push_entry(&entry.position, &entry.payload);
            let index = entry.position.index;
            self.span.push(index);
            if let Some(segment) = self.segments.back_mut() {
                segment.index_max = segment.index_max.max(Some(index));
                let place = Place::Disk { sequence: segment.sequence, offset };
                self.landed.push(Landed { index, serial, place });
            }
        }
        Ok(())
    }

    fn put_small(&mut self, record: &Record) -> Result<(), StorageError> {
        self.make_room(SMALL_RECORD_BYTES)?;
        self.buffer.push(record);
        Ok(())
    }

    fn put_purge(&mut self, upto: Position) -> Result<(), StorageError> {
        self.make_room(SMALL_RECORD_BYTES)?;
        self.span.purge(upto);
        self.first_sequence = self.first_needed();
        self.buffer.push(&Record::Purge { upto, first_sequence: self.first_sequence });
        Ok(())
    }

    /// The oldest segment that has an entry which is not purged, or else the one that is written to.
    fn first_needed(&self) -> u64 {
        let more = if planted!("purged-one-too-far") { 1 } else { 0 };
        let purged = self.span.purged.map(|purged| purged.index + more);
        let needed = self.segments.iter().find(|segment| segment.index_max > purged).or(self.segments.back());
        needed.map_or(self.next_sequence, |segment| segment.sequence)
    }

    /// Writes the group where a record of so many bytes does not fit any more, and goes on to a new segment where
    /// that is why.
    fn make_room(&mut self, bytes: usize) -> Result<(), StorageError> {
        if self.buffer.len() > GROUP_BYTES_MAX {
            self.flush()?;
        }
        match self.segments.back() {
            Some(segment) if fits(&segment.file, self.end, self.buffer.len() + bytes) => Ok(()),
            _ => self.roll(bytes),
        }
    }

    /// Goes on to a new segment that has room for a record of so many bytes.
    fn roll(&mut self, bytes: usize) -> Result<(), StorageError> {
        self.flush()?;
        let bytes_min = (SEGMENT_HEAD_BYTES + bytes).next_multiple_of(ALIGN) as u64;
        let file = self.pool.take(bytes_min)?;
        self.first_sequence = self.first_needed();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let header = Header { group: self.group, sequence, capacity: file.capacity };
        self.buffer.begin(sequence, Some(&header));
        self.put_start(self.segments.back().map_or(0, |segment| segment.sequence));
        self.end = 0;
        self.shared.lock().segments.insert(sequence, Arc::clone(&file));
        self.segments.push_back(Segment { sequence, file, index_max: None });
        Ok(())
    }

    fn put_start(&mut self, previous_sequence: u64) {
        self.buffer.push(&Record::Start(Box::new(Start {
            previous_sequence,
            previous_end: self.end,
            first_sequence: self.first_sequence,
            next: self.span.next,
            vote: self.vote,
            purged: self.span.purged,
            committed: self.committed,
        })));
    }

    /// Writes the group, syncs it, and tells those who waited for it. The one place that acknowledges.
    fn flush(&mut self) -> Result<(), StorageError> {
        if let Some(segment) = self.segments.back()
            && !self.buffer.is_empty()
        {
            let (sequence, file) = (segment.sequence, Arc::clone(&segment.file));
            let link = self.buffer.finish(self.last, self.session);
            file.file.write_all_at(self.buffer.bytes(), self.end).map_err(at("write", &file.path))?;
            Counters::add(&self.shared.counters.written_bytes, self.buffer.len() as u64);
            if planted!("acknowledged-before-fsync") {
                self.waiting.drain(..).for_each(|flushed| flushed(Ok(())));
            }
            self.sync(&file)?;
            self.end += self.buffer.len() as u64;
            self.last = link;
            self.buffer.begin(sequence, None);
            self.shared.land(&self.landed);
            self.landed.clear();
            self.retire();
        }
        while let Some(flushed) = self.waiting.pop_front() {
            flushed(Ok(()));
        }
        Ok(())
    }

    /// Gives up the segments that do not count any more, now that the disk says so.
    fn retire(&mut self) {
        while self.segments.front().is_some_and(|segment| segment.sequence < self.first_sequence) {
            let Some(segment) = self.segments.pop_front() else {
                return;
            };
            self.shared.lock().segments.remove(&segment.sequence);
            self.pool.put_back(segment.file);
        }
    }

    fn sync(&self, file: &SegmentFile) -> Result<(), StorageError> {
        let before = Instant::now();
        file.file.sync_data().map_err(at("fdatasync", &file.path))?;
        self.shared.counters.sync_us.add(before.elapsed());
        Ok(())
    }

    fn is_unsealed(&self) -> bool {
        self.seal.last.is_none_or(|seal| seal.number < self.last.number)
    }

    fn chore(&mut self) -> Result<(), StorageError> {
        if self.is_unsealed() { self.write_seal() } else { self.pool.chore() }
    }

    fn write_seal(&mut self) -> Result<(), StorageError> {
        let sequence = self.segments.back().map_or(0, |segment| segment.sequence);
        self.seal.write(sequence, self.end, self.last.number, self.last.crc)
    }

    /// Leaves a log that is sealed, with the committed position in it.
    fn close(&mut self) -> Result<(), StorageError> {
        self.put_note()?;
        self.flush()?;
        if self.is_unsealed() { self.write_seal() } else { Ok(()) }
    }

    fn count_disk_bytes(&self) {
        let used: u64 = self.segments.iter().map(|segment| segment.file.capacity).sum();
        let bytes = used + self.pool.bytes() + SealFile::BYTES;
        let counters = &self.shared.counters;
        counters.disk_bytes.store(bytes, Ordering::Relaxed);
        counters.room_bytes.store(self.room_bytes(), Ordering::Relaxed);
        counters.short.store(self.pool.is_short(), Ordering::Relaxed);
    }

    /// What can be written before another file has to be made, in bytes.
    fn room_bytes(&self) -> u64 {
        let rest = self.segments.back().map_or(0, |segment| segment.file.capacity.saturating_sub(self.end));
        rest + self.pool.ready_bytes()
    }
}

fn read_range(file: &dyn File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], range.start + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(bytes)
}

fn fits(file: &SegmentFile, end: u64, bytes: usize) -> bool {
    (end + bytes as u64).next_multiple_of(ALIGN as u64) <= file.capacity
}
