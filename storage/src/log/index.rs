//! Where every entry is: the log's index in memory, and the payloads of its newest entries.
//!
//! ```text
//!   purged   first                      next - cache.len()          next
//!     |        |                               |                     |
//!     v        v                               v                     v
//!     . . . .  [ place, place, ...             | payload, payload ...]
//! ```
//!
//! Invariants: slots are consecutive and end before `next`; the cache covers a suffix of them; an entry that
//! is not on disk yet is in the cache.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Position;

use super::{Entry, LogState};

/// What an entry takes on disk beside its payload, at most: its record's head (36), a group of its own (40) with the
/// gap before it (7), and a note of the committed position (36).
const ENTRY_BYTES_MORE: u64 = 128;

/// Where an entry's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On its way to disk; the number is its own, also among entries that took the same index.
    Queued(u64),
    /// In a segment, at an offset of its file.
    Disk {
        /// The segment's sequence.
        sequence: u64,
        /// Where the record begins.
        offset: u64,
    },
}

/// What is known of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    term: u64,
    leader: u64,
    /// Its payload's length.
    pub payload_bytes: u32,
    /// Where it is.
    pub place: Place,
    /// What all entries up to this one take on disk, counted from some entry long gone.
    bytes_end: u64,
}

/// An entry that has reached the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landed {
    /// Its index.
    pub index: u64,
    /// The number it was queued under.
    pub serial: u64,
    /// Where it is now.
    pub place: Place,
}

/// What the log spans, its entries left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    /// The last entry purged.
    pub purged: Option<Position>,
    /// The index that the next entry takes; `None` while any will do.
    pub next: Option<u64>,
}

impl Span {
    /// An entry is added.
    pub(super) fn push(&mut self, index: u64) {
        self.next = Some(index + 1);
    }

    /// The entries from `from` on go. What was purged stays purged.
    pub(super) fn truncate(&mut self, from: u64) {
        let from = self.purged.map_or(from, |purged| from.max(purged.index + 1));
        if self.next.is_some_and(|next| from < next) {
            self.next = (from > 0).then_some(from);
        }
    }

    /// The entries up to `upto` go, present or not. Ignored where that much is purged already.
    pub(super) fn purge(&mut self, upto: Position) {
        if self.purged.is_none_or(|purged| purged.index < upto.index) {
            self.purged = Some(upto);
            self.next = self.next.max(Some(upto.index + 1));
        }
    }
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Index {
    span: Span,
    slots: VecDeque<Slot>,
    cache: VecDeque<Bytes>,
    cached_bytes: usize,
    serial: u64,
    /// `bytes_end` of the last entry that is gone from the front.
    bytes_purged: u64,
}

impl Index {
    /// An index without entries, as a segment's start restates it.
    pub(super) fn starting(span: Span) -> Index {
        Index { span, ..Index::default() }
    }

    /// What it spans.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// The index of the first entry present.
    pub(super) fn first(&self) -> Option<u64> {
        (!self.slots.is_empty()).then(|| self.first_slot())
    }

    /// What the log spans.
    pub(super) fn state(&self) -> LogState {
        let last = self.span.next.and_then(|next| self.position(next.checked_sub(1)?));
        LogState { purged: self.span.purged, first: self.first_slot(), last: last.or(self.span.purged) }
    }

    /// An entry's slot.
    pub(super) fn slot(&self, index: u64) -> Option<&Slot> {
        let at = index.checked_sub(self.first_slot())?;
        self.slots.get(usize::try_from(at).ok()?)
    }

    /// An entry's place in the Raft log.
    pub(super) fn position(&self, index: u64) -> Option<Position> {
        self.slot(index).map(|slot| Position { term: slot.term, leader: slot.leader, index })
    }

    /// An entry's payload, if it is in memory.
    pub(super) fn cached(&self, index: u64) -> Option<&Bytes> {
        let start = self.span.next? - self.cache.len() as u64;
        self.cache.get(usize::try_from(index.checked_sub(start)?).ok()?)
    }

    /// The index behind the last entry up to `last` that is on disk; 0 where none of them is present. Entries reach the
    /// disk in order, so all before it are there, or purged.
    pub(super) fn on_disk(&self, last: u64) -> u64 {
        let is_on_disk = |slot: &Slot| matches!(slot.place, Place::Disk { .. });
        let present = self.first_slot()..self.span.next.unwrap_or(0).min(last.saturating_add(1));
        let found = present.rev().find(|index| self.slot(*index).is_some_and(is_on_disk));
        found.map_or(0, |index| index + 1)
    }

    /// Adds an entry that is yet to be written, and says what number it is queued under.
    /// Its index must be `next`, where there is one.
    pub(super) fn queue(&mut self, entry: &Entry) -> u64 {
        self.serial += 1;
        self.push(entry.position, entry.payload.len() as u32, Place::Queued(self.serial));
        self.cached_bytes += entry.payload.len();
        self.cache.push_back(entry.payload.clone());
        self.serial
    }

    /// Adds an entry found on disk. Its index must be `next`, where there is one.
    pub(super) fn found(&mut self, position: Position, payload_bytes: u32, place: Place) {
        self.push(position, payload_bytes, place);
    }

    fn push(&mut self, position: Position, payload_bytes: u32, place: Place) {
        debug_assert!(self.span.next.is_none_or(|next| next == position.index));
        self.span.push(position.index);
        let bytes_end = self.bytes_end() + u64::from(payload_bytes) + ENTRY_BYTES_MORE;
        let Position { term, leader, .. } = position;
        self.slots.push_back(Slot { term, leader, payload_bytes, place, bytes_end });
    }

    fn bytes_end(&self) -> u64 {
        self.slots.back().map_or(self.bytes_purged, |slot| slot.bytes_end)
    }

    /// What the entries after `index` take on disk at most, up to and with `last`, in bytes.
    pub(super) fn bytes_between(&self, index: Option<u64>, last: u64) -> u64 {
        let end = |index| self.slot(index).map(|slot| slot.bytes_end);
        let from = index.and_then(end).unwrap_or(self.bytes_purged);
        end(last).map_or(0, |end| end.saturating_sub(from))
    }

    /// The entry up to which to purge, so that those behind it up to `last` take at most so many bytes; `None` where
    /// they do already.
    pub(super) fn purge_leaving(&self, last: u64, bytes_max: u64) -> Option<u64> {
        let end = self.slot(last)?.bytes_end;
        if end - self.bytes_purged <= bytes_max {
            return None;
        }
        let too_many = self.slots.partition_point(|slot| slot.bytes_end + bytes_max < end);
        Some(self.first_slot() + too_many as u64)
    }

    /// Removes the entries from `from` on. What was purged stays purged.
    pub(super) fn truncate(&mut self, from: u64) {
        let first = self.first_slot();
        self.span.truncate(from);
        let kept = self.span.next.map_or(0, |next| next.saturating_sub(first));
        while self.slots.len() as u64 > kept {
            self.slots.pop_back();
            self.forget_newest();
        }
    }

    /// Removes the entries up to `upto`, which need not be present. Ignored where that much is purged already.
    pub(super) fn purge(&mut self, upto: Position) {
        while self.first().is_some_and(|first| first <= upto.index) {
            self.bytes_purged = self.slots.pop_front().map_or(self.bytes_purged, |slot| slot.bytes_end);
        }
        while self.cache.len() > self.slots.len() {
            self.forget_oldest();
        }
        self.span.purge(upto);
    }

    /// Notes where entries were written; those truncated meanwhile are passed over.
    pub(super) fn land(&mut self, landed: &[Landed]) {
        for one in landed {
            let Some(at) = one.index.checked_sub(self.first_slot()) else {
                continue;
            };
            if let Some(slot) = self.slots.get_mut(at as usize)
                && slot.place == Place::Queued(one.serial)
            {
                slot.place = one.place;
            }
        }
    }

    /// Forgets the oldest payloads that are on disk until the rest fits.
    pub(super) fn shrink_cache(&mut self, bytes_max: usize) {
        while self.cached_bytes > bytes_max {
            let oldest = self.slots.len() - self.cache.len();
            if self.slots.get(oldest).is_none_or(|slot| matches!(slot.place, Place::Queued(_))) {
                return;
            }
            self.forget_oldest();
        }
    }

    /// Where the slots begin; `next` where there are none.
    fn first_slot(&self) -> u64 {
        self.span.next.unwrap_or(0) - self.slots.len() as u64
    }

    fn forget_newest(&mut self) {
        if let Some(payload) = self.cache.pop_back() {
            self.cached_bytes -= payload.len();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(payload) = self.cache.pop_front() {
            self.cached_bytes -= payload.len();
        }
    }
}
