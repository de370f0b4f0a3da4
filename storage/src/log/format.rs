//! The bytes of the log: segment header, groups, records. `docs/formats.md` draws them.
//!
//! ```text
//!   segment file:  | header 64 | group | group | ... | bytes of an earlier use, never valid here |
//!   group:         | crc, magic, length, chain, sequence, session, number (40) | record | record | pad to 8 |
//!   record:        | crc, length, kind (12) | body |
//! ```
//!
//! All integers are little-endian. Nothing here does IO. Decoding goes by no length that reaches beyond the bytes at
//! hand, believes nothing before its checksum, and never panics. `buffer` is the encoding side.

use crate::{Position, planted};

use super::Vote;
use super::index::Span;

/// The version of the format that this code writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;
/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 64;
/// Bytes of a group's header.
pub(super) const GROUP_BYTES: usize = 40;
/// Bytes of a record's header.
pub(super) const RECORD_BYTES: usize = 12;
/// Bytes of an entry's record, its payload left out.
pub(super) const ENTRY_BYTES: usize = RECORD_BYTES + 24;
/// Bytes of a start record.
pub(super) const START_BYTES: usize = RECORD_BYTES + 136;
/// Groups begin at multiples of this.
pub(super) const ALIGN: usize = 8;

const HEADER_MAGIC: [u8; 8] = *b"\xfflulog\xfe\n";
/// 0xff occurs in no UTF-8 text, so no client can place a group's magic inside a payload's strings.
pub(super) const GROUP_MAGIC: [u8; 4] = *b"\xffLU\xfe";

/// Kinds of records.
pub(super) const START: u8 = 1;
pub(super) const ENTRY: u8 = 2;
pub(super) const VOTE: u8 = 3;
pub(super) const TRUNCATE: u8 = 4;
pub(super) const PURGE: u8 = 5;
pub(super) const COMMITTED: u8 = 6;

/// The first bytes of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The Raft group.
    pub group: u64,
    /// Which use of a file this is, counted over the whole log; 0 marks a spare, prepared but not used.
    pub sequence: u64,
    /// The file's length in bytes.
    pub capacity: u64,
}

/// What a segment's first bytes turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderRead {
    /// A whole header of this version.
    Valid(Header),
    /// A whole header of a version that this code does not know.
    Unknown(u32),
    /// Anything else.
    Invalid,
}

impl Header {
    /// The header as bytes.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&HEADER_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.group.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.capacity.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header. Magic, version and checksum keep their places in every version.
    pub(super) fn decode(bytes: &[u8]) -> HeaderRead {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else {
            return HeaderRead::Invalid;
        };
        if bytes[..8] != HEADER_MAGIC || u32_at(bytes, 60) != crc32fast::hash(&bytes[..60]) {
            return HeaderRead::Invalid;
        }
        match u32_at(bytes, 8) {
            VERSION => HeaderRead::Valid(Header {
                group: u64_at(bytes, 16),
                sequence: u64_at(bytes, 24),
                capacity: u64_at(bytes, 32),
            }),
            other => HeaderRead::Unknown(other),
        }
    }
}

/// A group's place in the log: what ties it to the group before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Link {
    /// The opening of the log (counted from 1) that wrote it.
    pub session: u64,
    /// Its number, counted from 1 over the whole log.
    pub number: u64,
    /// Its checksum, which the next group repeats.
    pub crc: u32,
}

/// A group that is whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    /// The segment that it was written for.
    pub sequence: u64,
    /// Its place.
    pub link: Link,
    /// The checksum of the group before it.
    pub chain: u32,
    /// Its records, and where in the file they begin.
    pub records: &'a [u8],
    /// Where in the file its records begin.
    pub records_at: usize,
    /// Where in the file the next group begins.
    pub end: usize,
}

/// Reads the group that begins at `at`, if a whole one does.
pub(super) fn read_group(bytes: &[u8], at: usize) -> Option<Group<'_>> {
    let header = bytes.get(at..at.checked_add(GROUP_BYTES)?)?;
    if header[4..8] != GROUP_MAGIC {
        return None;
    }
    let records_at = at + GROUP_BYTES;
    let records_end = records_at.checked_add(u32_at(header, 8) as usize)?;
    let crc = crc32fast::hash(bytes.get(at + 4..records_end)?);
    let whole = crc == u32_at(header, 0) || planted!("group-checksum-ignored");
    whole.then(|| Group {
        sequence: u64_at(header, 16),
        link: Link { session: u64_at(header, 24), number: u64_at(header, 32), crc },
        chain: u32_at(header, 12),
        records: &bytes[records_at..records_end],
        records_at,
        end: records_end.next_multiple_of(ALIGN),
    })
}

/// The whole groups at or behind `from`, wherever they begin.
pub(super) fn find_groups(bytes: &[u8], from: usize) -> impl Iterator<Item = (usize, Group<'_>)> {
    let mut at = from.next_multiple_of(ALIGN);
    std::iter::from_fn(move || {
        while at + GROUP_BYTES <= bytes.len() {
            let here = at;
            at += ALIGN;
            if bytes[here + 4..here + 8] == GROUP_MAGIC
                && let Some(group) = read_group(bytes, here)
            {
                at = group.end;
                return Some((here, group));
            }
        }
        None
    })
}

/// What a segment, or a session within one, begins with: all that must outlive the segments before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Start {
    /// The segment that holds the group before this one; 0 where there is none.
    pub previous_sequence: u64,
    /// Where in that segment's file the log ended.
    pub previous_end: u64,
    /// The oldest segment that still counts.
    pub first_sequence: u64,
    /// The index that the next entry takes; `None` where the first entry may choose.
    pub next: Option<u64>,
    /// The vote.
    pub vote: Option<Vote>,
    /// The last entry purged.
    pub purged: Option<Position>,
    /// The committed position noted last.
    pub committed: Option<Position>,
}

impl Start {
    /// What the log spans.
    pub(super) fn span(&self) -> Span {
        Span { purged: self.purged, next: self.next }
    }
}

/// A record, its payload left where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// Begins a segment or a session.
    Start(Box<Start>),
    /// An entry.
    Entry {
        /// The entry's place in the Raft log.
        position: Position,
        /// Its payload's length in bytes.
        payload_bytes: u32,
        /// Where in the file the record begins.
        offset: u64,
    },
    /// A vote.
    Vote(Vote),
    /// Entries from this index on are gone.
    Truncate(u64),
    /// Entries up to `upto` are gone, and so are the segments before `first_sequence`.
    Purge {
        /// The last entry purged.
        upto: Position,
        /// The oldest segment that still counts.
        first_sequence: u64,
    },
    /// The committed position.
    Committed(Position),
}

impl Record {
    /// The index of the entry that it is, if it is one.
    pub(super) fn index(&self) -> Option<u64> {
        match self {
            Record::Entry { position, .. } => Some(position.index),
            _ => None,
        }
    }

    /// Where in the file it begins, where that is known: for an entry.
    pub(super) fn offset(&self) -> u64 {
        match self {
            Record::Entry { offset, .. } => *offset,
            _ => 0,
        }
    }
}

/// Reads the records of a group; `Err` is where in the file one cannot be read.
pub(super) fn read_records(group: &Group<'_>) -> Result<Vec<Record>, u64> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < group.records.len() {
        let offset = (group.records_at + at) as u64;
        let body = read_record(group.records, at, group.sequence).ok_or(offset)?;
        records.push(decode(body, offset).ok_or(offset)?);
        at += RECORD_BYTES + body.bytes.len();
    }
    Ok(records)
}

/// A record's kind and body, its checksum verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    kind: u8,
    bytes: &'a [u8],
}

impl Body<'_> {
    /// The position of the entry that this is, if it is one; its payload is what follows `ENTRY_BYTES`.
    pub(super) fn entry(&self) -> Option<Position> {
        (self.kind == ENTRY).then(|| Fields(self.bytes).position()).flatten()
    }
}

/// Reads the record at `at` of `bytes`, which was written for the segment `sequence`.
pub(super) fn read_record(bytes: &[u8], at: usize, sequence: u64) -> Option<Body<'_>> {
    let header = bytes.get(at..at.checked_add(RECORD_BYTES)?)?;
    let body_at = at + RECORD_BYTES;
    let end = body_at.checked_add(u32_at(header, 4) as usize)?;
    let covered = bytes.get(at + 4..end)?;
    let right = u32_at(header, 0) == record_crc(sequence, covered) || planted!("record-checksum-ignored");
    let whole = right && header[9..12] == [0; 3];
    whole.then(|| Body { kind: header[8], bytes: &bytes[body_at..end] })
}

fn decode(body: Body<'_>, offset: u64) -> Option<Record> {
    let mut fields = Fields(body.bytes);
    let record = match body.kind {
        START => Record::Start(Box::new(fields.start()?)),
        ENTRY => {
            let position = fields.position()?;
            let payload_bytes = u32::try_from(fields.0.len()).ok()?;
            return Some(Record::Entry { position, payload_bytes, offset });
        }
        VOTE => Record::Vote(fields.vote()?),
        TRUNCATE => Record::Truncate(fields.u64()?),
        PURGE => Record::Purge { upto: fields.position()?, first_sequence: fields.u64()? },
        COMMITTED => Record::Committed(fields.position()?),
        _ => return None,
    };
    fields.0.is_empty().then_some(record)
}

/// Reads fixed-width fields off the front of a slice.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn u64(&mut self) -> Option<u64> {
        let (field, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*field))
    }

    fn flag(&mut self) -> Option<bool> {
        match self.u64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn position(&mut self) -> Option<Position> {
        Some(Position { index: self.u64()?, term: self.u64()?, leader: self.u64()? })
    }

    fn vote(&mut self) -> Option<Vote> {
        Some(Vote { term: self.u64()?, node: self.u64()?, committed: self.flag()? })
    }

    /// A flag, then a value that is there either way and counts only where the flag is set.
    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        let present = self.flag()?;
        let value = read(self)?;
        Some(present.then_some(value))
    }

    fn start(&mut self) -> Option<Start> {
        Some(Start {
            previous_sequence: self.u64()?,
            previous_end: self.u64()?,
            first_sequence: self.u64()?,
            next: self.optional(Self::u64)?,
            vote: self.optional(Self::vote)?,
            purged: self.optional(Self::position)?,
            committed: self.optional(Self::position)?,
        })
    }
}

/// A record's checksum begins with its segment's sequence, so that a record of an earlier use of the file
/// is never whole in a later one.
pub(super) fn record_crc(sequence: u64, covered: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(covered);
    hasher.finalize()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}
