//! Putting a group together: the encoding side of `format`.

use crate::Position;

use super::Vote;
use super::format::{
    ALIGN, COMMITTED, ENTRY, GROUP_BYTES, GROUP_MAGIC, Header, Link, PURGE, RECORD_BYTES, Record, START,
    Start, TRUNCATE, VOTE, record_crc,
};

/// The buffer in which a group is put together; one for the life of a log.
#[derive(Debug, Default)]
pub(super) struct GroupBuffer {
    bytes: Vec<u8>,
    group_at: usize,
    sequence: u64,
}

impl GroupBuffer {
    /// Begins a group for the segment `sequence`, behind that segment's header where the group is its first.
    pub(super) fn begin(&mut self, sequence: u64, header: Option<&Header>) {
        self.bytes.clear();
        if let Some(header) = header {
            self.bytes.extend_from_slice(&header.encode());
        }
        self.group_at = self.bytes.len();
        self.sequence = sequence;
        self.bytes.resize(self.group_at + GROUP_BYTES, 0);
    }

    /// Whether no record has been added yet.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() <= self.group_at + GROUP_BYTES
    }

    /// How many bytes there are so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record other than an entry, which `push_entry` adds.
    pub(super) fn push(&mut self, record: &Record) {
        match record {
            Record::Start(start) => self.record(START, |bytes| put_start(bytes, start)),
            Record::Entry { position, .. } => self.record(ENTRY, |bytes| put_position(bytes, position)),
            Record::Vote(vote) => self.record(VOTE, |bytes| put_vote(bytes, vote)),
            Record::Truncate(from) => self.record(TRUNCATE, |bytes| put_u64(bytes, *from)),
            Record::Committed(position) => self.record(COMMITTED, |bytes| put_position(bytes, position)),
            Record::Purge { upto, first_sequence } => self.record(PURGE, |bytes| {
                put_position(bytes, upto);
                put_u64(bytes, *first_sequence);
            }),
        }
    }

    /// Adds an entry.
    pub(super) fn push_entry(&mut self, position: &Position, payload: &[u8]) {
        self.record(ENTRY, |bytes| {
            put_position(bytes, position);
            bytes.extend_from_slice(payload);
        });
    }

    fn record(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, kind, 0, 0, 0]);
        body(&mut self.bytes);
        // Payloads are limited to `ENTRY_PAYLOAD_BYTES_MAX` long before they come here.
        let length = (self.bytes.len() - at - RECORD_BYTES) as u32;
        self.bytes[at + 4..at + 8].copy_from_slice(&length.to_le_bytes());
        let crc = record_crc(self.sequence, &self.bytes[at + 4..]);
        self.bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Closes the group as the one that follows `previous`, and says what its own place is.
    pub(super) fn finish(&mut self, previous: Link, session: u64) -> Link {
        let number = previous.number + 1;
        let length = (self.bytes.len() - self.group_at - GROUP_BYTES) as u32;
        let header = &mut self.bytes[self.group_at..];
        header[4..8].copy_from_slice(&GROUP_MAGIC);
        header[8..12].copy_from_slice(&length.to_le_bytes());
        header[12..16].copy_from_slice(&previous.crc.to_le_bytes());
        header[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        header[24..32].copy_from_slice(&session.to_le_bytes());
        header[32..40].copy_from_slice(&number.to_le_bytes());
        let crc = crc32fast::hash(&header[4..]);
        header[..4].copy_from_slice(&crc.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        Link { session, number, crc }
    }

    /// The bytes to write.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn put_u64(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put_position(bytes: &mut Vec<u8>, position: &Position) {
    put_u64(bytes, position.index);
    put_u64(bytes, position.term);
    put_u64(bytes, position.leader);
}

fn put_vote(bytes: &mut Vec<u8>, vote: &Vote) {
    put_u64(bytes, vote.term);
    put_u64(bytes, vote.node);
    put_u64(bytes, u64::from(vote.committed));
}

fn put_start(bytes: &mut Vec<u8>, start: &Start) {
    const NOWHERE: Position = Position { term: 0, leader: 0, index: 0 };
    const NOBODY: Vote = Vote { term: 0, node: 0, committed: false };
    put_u64(bytes, start.previous_sequence);
    put_u64(bytes, start.previous_end);
    put_u64(bytes, start.first_sequence);
    put_u64(bytes, u64::from(start.next.is_some()));
    put_u64(bytes, start.next.unwrap_or(0));
    put_u64(bytes, u64::from(start.vote.is_some()));
    put_vote(bytes, &start.vote.unwrap_or(NOBODY));
    put_u64(bytes, u64::from(start.purged.is_some()));
    put_position(bytes, &start.purged.unwrap_or(NOWHERE));
    put_u64(bytes, u64::from(start.committed.is_some()));
    put_position(bytes, &start.committed.unwrap_or(NOWHERE));
}
