//! Reading a log's directory: what the log holds, where it ends, and whether that can be believed.
//!
//! ```text
//!   newest segment --previous--> older --previous--> ... --> first segment that still counts
//!     |                            |
//!     | its end is the first       | its end is stated by the segment after it:
//!     | group that is not whole    | anything not whole before that is damage
//!     v
//!   a torn write, cut off -- unless a later group of the segment is whole, or the seal names a later one:
//!   a group is written only after the fdatasync of the one before, so then this one was once complete
//! ```
//!
//! Nothing here writes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, Mode};
use crate::{StorageError, planted};

use super::failure::{at, corrupt, other_group, unknown_version};
use super::format::{self, Header, HeaderRead, Link, Record};
use super::index::Index;
use super::lost::{lost_segment, refuse_lost_end};
use super::pool::{SegmentFile, slot_of};
use super::replay::{Replayed, replay};
use super::scan::{Found, Scan, scan};
use super::seal::{Seal, SealFile};

/// A segment that counts.
pub(super) struct Segment {
    /// Which use of a file it is.
    pub sequence: u64,
    /// The file.
    pub file: Arc<SegmentFile>,
    /// The greatest index among the entries written to it.
    pub index_max: Option<u64>,
}

/// What a directory holds.
pub(super) struct Recovered {
    /// The segments that count, oldest first; none in a new log.
    pub segments: Vec<Segment>,
    /// Files of no use.
    pub unused: Vec<Arc<SegmentFile>>,
    /// What the records amount to.
    pub replayed: Replayed,
    /// Where in the newest segment the write of the last group began.
    pub last_at: u64,
    /// Where in the newest segment the log ends.
    pub end: u64,
    /// The last group.
    pub last: Link,
    /// A sequence that no segment has had.
    pub next_sequence: u64,
    /// A file number that is not taken.
    pub next_slot: u64,
    /// The seal's file, where there is one.
    pub seal: Option<SealFile>,
}

/// Reads the directory.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    group: u64,
    mode: Mode,
) -> Result<Recovered, StorageError> {
    let seal = SealFile::open(disk, dir, group, mode)?;
    let (mut files, next_slot) = list(disk, dir, group, mode)?;
    files.sort_by_key(|found| std::cmp::Reverse(found.sequence()));
    let sealed = seal.as_ref().and_then(|seal| seal.last);
    let newest = newest(dir, &files, sealed)?;
    refuse_stray_groups(&files, newest.as_ref().map_or(0, |(sequence, _)| *sequence))?;
    let next_sequence = files.first().map_or(0, Found::sequence) + 1;
    let Some((newest_sequence, scan)) = newest else {
        refuse_lost_end(dir, &files, None, sealed)?;
        let unused = files.into_iter().map(|found| found.file).collect();
        return Ok(Recovered::nothing(unused, next_sequence, next_slot, seal));
    };
    if seal.is_none() {
        return Err(SealFile::lost(disk, dir));
    }
    let (last_at, end, last) = (scan.last_at, scan.end, scan.last);
    let chain = walk_back(dir, &files, newest_sequence, scan, sealed)?;
    let replayed = replay(chain.iter().map(|(found, scan)| (found.sequence(), found.path(), scan)))?;
    let segments: Vec<Segment> = chain.into_iter().map(|(found, scan)| segment(found, &scan)).collect();
    let used = |found: &Found| segments.iter().any(|segment| Arc::ptr_eq(&segment.file, &found.file));
    let unused = files.iter().filter(|found| !used(found)).map(|found| Arc::clone(&found.file)).collect();
    Ok(Recovered { segments, unused, replayed, last_at, end, last, next_sequence, next_slot, seal })
}

impl Recovered {
    fn nothing(
        unused: Vec<Arc<SegmentFile>>,
        next_sequence: u64,
        next_slot: u64,
        seal: Option<SealFile>,
    ) -> Recovered {
        let replayed = Replayed { index: Index::default(), vote: None, committed: None };
        let last = Link::default();
        let (segments, last_at, end) = (vec![], 0, 0);
        Recovered { segments, unused, replayed, last_at, end, last, next_sequence, next_slot, seal }
    }
}

fn segment(found: &Found, scan: &Scan) -> Segment {
    let indexes = scan.records.iter().filter_map(Record::index);
    Segment { sequence: found.sequence(), file: Arc::clone(&found.file), index_max: indexes.max() }
}

/// The segment files, and a file number behind all of theirs.
pub(super) fn list(
    disk: &dyn Disk,
    dir: &Path,
    group: u64,
    mode: Mode,
) -> Result<(Vec<Found>, u64), StorageError> {
    let mut files = Vec::new();
    let mut next_slot = 1;
    for name in disk.list(dir).map_err(at("list", dir))? {
        if let Some(slot) = slot_of(&name) {
            next_slot = next_slot.max(slot + 1);
            files.push(open(disk, &dir.join(name), group, mode)?);
        }
    }
    Ok((files, next_slot))
}

fn open(disk: &dyn Disk, path: &Path, group: u64, mode: Mode) -> Result<Found, StorageError> {
    let file = disk.open(path, mode).map_err(at("open", path))?;
    let capacity = file.len().map_err(at("stat", path))?;
    let file = SegmentFile { path: path.to_path_buf(), file, capacity };
    let bytes = read(&file, capacity.min(format::HEADER_BYTES as u64))?;
    let header = match Header::decode(&bytes) {
        HeaderRead::Valid(header) if header.group != group => {
            return Err(other_group(path, header.group, group));
        }
        HeaderRead::Valid(header) => Some(header),
        HeaderRead::Unknown(version) => return Err(unknown_version(path, version)),
        HeaderRead::Invalid => None,
    };
    Ok(Found { file: Arc::new(file), header })
}

/// The first bytes of a file.
pub(super) fn read(file: &SegmentFile, length: u64) -> Result<Vec<u8>, StorageError> {
    let mut bytes = vec![0; length as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        let read = file.file.read_at(&mut bytes[filled..], filled as u64).map_err(at("read", &file.path))?;
        if read == 0 {
            return Err(corrupt(&file.path, filled as u64, "the file ends too early"));
        }
        filled += read;
    }
    Ok(bytes)
}

/// The newest segment that was begun: it holds at least one whole group.
///
/// One whose first group is not whole was about to be begun when the power went, and does not count.
fn newest(dir: &Path, files: &[Found], sealed: Option<Seal>) -> Result<Option<(u64, Scan)>, StorageError> {
    for found in files.iter().filter(|found| found.sequence() > 0) {
        let bytes = read(&found.file, found.file.capacity)?;
        let scan = scan(found, &bytes)?;
        let (end, number) =
            scan.as_ref().map_or((format::HEADER_BYTES as u64, 0), |s| (s.end, s.last.number));
        refuse_later_groups(found, &bytes, end, number)?;
        let Some(scan) = scan else { continue };
        refuse_lost_end(dir, files, Some((found, &scan)), sealed)?;
        check_length(found)?;
        return Ok(Some((found.sequence(), scan)));
    }
    Ok(None)
}

/// A whole group behind one that is not proves that the latter was once complete.
fn refuse_later_groups(found: &Found, bytes: &[u8], end: u64, number: u64) -> Result<(), StorageError> {
    let later = format::find_groups(bytes, end as usize)
        .find(|(_, group)| group.sequence == found.sequence() && group.link.number > number);
    match later.filter(|_| !planted!("torn-tail-cut-in-the-middle")) {
        Some((offset, group)) => {
            let what =
                format!("group {} is not whole, but group {} at {offset} is", number + 1, group.link.number);
            Err(corrupt(found.path(), end, what))
        }
        None => Ok(()),
    }
}

/// The file has the length that its header says.
pub(super) fn check_length(found: &Found) -> Result<(), StorageError> {
    match found.header {
        Some(header) if header.capacity != found.file.capacity => {
            let what = format!("the file's length is {}, not {}", found.file.capacity, header.capacity);
            Err(corrupt(found.path(), found.file.capacity.min(header.capacity), what))
        }
        _ => Ok(()),
    }
}

/// A file without a header that holds a group of the newest segments has lost that header.
fn refuse_stray_groups(files: &[Found], newest: u64) -> Result<(), StorageError> {
    for found in files.iter().filter(|found| found.header.is_none()) {
        let bytes = read(&found.file, found.file.capacity)?;
        let stray = format::find_groups(&bytes, 0).find(|(_, group)| group.sequence > newest);
        if let Some((offset, group)) = stray {
            let what = format!("the header is damaged: segment {} goes on at {offset}", group.sequence);
            return Err(corrupt(found.path(), 0, what));
        }
    }
    Ok(())
}

/// From the newest segment back to the first that counts; the answer is oldest first.
fn walk_back<'a>(
    dir: &Path,
    files: &'a [Found],
    newest: u64,
    scan: Scan,
    sealed: Option<Seal>,
) -> Result<Vec<(&'a Found, Scan)>, StorageError> {
    let by_sequence = unique(files, scan.first_sequence)?;
    let first = scan.first_sequence;
    let find = |sequence| match by_sequence.get(&sequence) {
        Some(found) => Ok(*found),
        None => Err(lost_segment(dir, files, sequence)?),
    };
    let mut chain = vec![(find(newest)?, scan)];
    while let Some((found, scan)) = chain.last()
        && found.sequence() != first
    {
        let previous = scan.start.previous_sequence;
        if previous >= found.sequence() {
            return Err(corrupt(found.path(), 0, format!("segment {previous} cannot come before it")));
        }
        let older = find(previous)?;
        chain.push((older, scan_older(older, scan)?));
    }
    chain.reverse();
    check_seal(&chain, sealed)?;
    Ok(chain)
}

/// The files of the segments that may count, by sequence.
fn unique(files: &[Found], first: u64) -> Result<BTreeMap<u64, &Found>, StorageError> {
    let mut by_sequence = BTreeMap::new();
    for found in files.iter().filter(|found| found.sequence() >= first.max(1)) {
        if let Some(other) = by_sequence.insert(found.sequence(), found) {
            let what = format!("segment {} is also in {}", found.sequence(), other.path().display());
            return Err(corrupt(found.path(), 0, what));
        }
    }
    Ok(by_sequence)
}

/// Reads a segment whose end the one after it states.
fn scan_older(found: &Found, after: &Scan) -> Result<Scan, StorageError> {
    check_length(found)?;
    let end = after.start.previous_end;
    let bytes = read(&found.file, end.min(found.file.capacity))?;
    let scan = scan(found, &bytes)?
        .ok_or_else(|| corrupt(found.path(), format::HEADER_BYTES as u64, "the first group is damaged"))?;
    let ends_as_stated =
        scan.end == end && scan.last.number + 1 == after.first_number && scan.last.crc == after.first_chain;
    if !ends_as_stated {
        let what = format!("group {} is damaged; the segment went on to {end}", scan.last.number + 1);
        return Err(corrupt(found.path(), scan.end, what));
    }
    Ok(scan)
}

/// The last group's checksum is the seal's, where the seal is of that group.
fn check_seal(chain: &[(&Found, Scan)], sealed: Option<Seal>) -> Result<(), StorageError> {
    for (found, scan) in chain {
        if let Some(seal) = sealed
            && seal.number == scan.last.number
            && seal.crc != scan.last.crc
        {
            return Err(corrupt(found.path(), scan.end, "the last group is not the one that was sealed"));
        }
    }
    Ok(())
}
