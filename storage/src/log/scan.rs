//! Reading one segment: its whole groups, from the first on.

use std::path::Path;
use std::sync::Arc;

use crate::StorageError;

use super::failure::corrupt;
use super::format::{self, Header, Link, Record, Start};
use super::pool::SegmentFile;

/// A file of the directory.
pub(super) struct Found {
    /// The file.
    pub file: Arc<SegmentFile>,
    /// Its header, if it has a whole one.
    pub header: Option<Header>,
}

impl Found {
    /// Which use of the file this is; 0 where it has not been used.
    pub(super) fn sequence(&self) -> u64 {
        self.header.map_or(0, |header| header.sequence)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }
}

/// A segment's whole groups.
pub(super) struct Scan {
    /// Its first record.
    pub start: Start,
    /// All of its records.
    pub records: Vec<Record>,
    /// The first group's number.
    pub first_number: u64,
    /// The checksum of the group before that.
    pub first_chain: u32,
    /// The last group.
    pub last: Link,
    /// Where the write of the last group began.
    pub last_at: u64,
    /// Where the last group ends.
    pub end: u64,
    /// The oldest segment that still counts, as stated last.
    pub first_sequence: u64,
}

/// Reads the groups of a segment from its first to the last that is whole and follows from the one before.
pub(super) fn scan(found: &Found, bytes: &[u8]) -> Result<Option<Scan>, StorageError> {
    let mut scan: Option<Scan> = None;
    let mut at = format::HEADER_BYTES;
    while let Some(group) = format::read_group(bytes, at) {
        if group.sequence != found.sequence() || !scan.as_ref().is_none_or(|scan| scan.leads_to(&group)) {
            break;
        }
        let records = format::read_records(&group).map_err(|offset| {
            corrupt(found.path(), offset, "a record within a whole group cannot be read")
        })?;
        match &mut scan {
            Some(scan) => scan.add(&group, records),
            None => scan = Some(Scan::begin(found, &group, records)?),
        }
        at = group.end;
    }
    Ok(scan)
}

impl Scan {
    fn begin(found: &Found, group: &format::Group<'_>, records: Vec<Record>) -> Result<Scan, StorageError> {
        let Some(Record::Start(start)) = records.first() else {
            let offset = group.records_at as u64;
            return Err(corrupt(found.path(), offset, "the segment does not begin with a start record"));
        };
        let (first_number, first_chain) = (group.link.number, group.chain);
        let mut scan = Scan {
            start: **start,
            records: Vec::new(),
            first_number,
            first_chain,
            last: group.link,
            last_at: 0,
            end: 0,
            first_sequence: start.first_sequence,
        };
        scan.add(group, records);
        Ok(scan)
    }

    fn leads_to(&self, group: &format::Group<'_>) -> bool {
        group.link.number == self.last.number + 1
            && group.chain == self.last.crc
            && group.link.session >= self.last.session
    }

    fn add(&mut self, group: &format::Group<'_>, records: Vec<Record>) {
        for record in &records {
            match record {
                Record::Start(start) => self.first_sequence = start.first_sequence,
                Record::Purge { first_sequence, .. } => self.first_sequence = *first_sequence,
                _ => {}
            }
        }
        // A segment's first group was written along with the file's header.
        let is_first = self.records.is_empty();
        self.last_at = if is_first { 0 } else { (group.records_at - format::GROUP_BYTES) as u64 };
        self.records.extend(records);
        self.last = group.link;
        self.end = group.end as u64;
    }
}
