//! From records to what they amount to.

use std::path::Path;

use crate::{Position, StorageError};

use super::Vote;
use super::failure::corrupt;
use super::format::{Record, Start};
use super::index::{Index, Place};
use super::scan::Scan;

/// What the records amount to.
pub(super) struct Replayed {
    /// The entries.
    pub index: Index,
    /// The last vote.
    pub vote: Option<Vote>,
    /// The last committed position noted.
    pub committed: Option<Position>,
}

/// Replays the segments, oldest first.
pub(super) fn replay<'a>(
    segments: impl Iterator<Item = (u64, &'a Path, &'a Scan)>,
) -> Result<Replayed, StorageError> {
    let mut replayed = Replayed::starting(&Start::default());
    let mut last_path = Path::new("");
    for (at, (sequence, path, scan)) in segments.enumerate() {
        if at == 0 {
            replayed = Replayed::starting(&scan.start);
        }
        for record in &scan.records {
            replayed.add(record, sequence).map_err(|what| corrupt(path, record.offset(), what))?;
        }
        last_path = path;
    }
    match replayed.gap() {
        Some(what) => Err(corrupt(last_path, 0, what)),
        None => Ok(replayed),
    }
}

impl Replayed {
    fn starting(start: &Start) -> Replayed {
        let index = Index::starting(start.span());
        Replayed { index, vote: start.vote, committed: start.committed }
    }

    fn add(&mut self, record: &Record, sequence: u64) -> Result<(), String> {
        match record {
            Record::Start(start) => return self.compare(start),
            Record::Vote(vote) => self.vote = Some(*vote),
            Record::Committed(position) => self.committed = Some(*position),
            Record::Truncate(from) => self.index.truncate(*from),
            Record::Purge { upto, .. } => self.index.purge(*upto),
            Record::Entry { position, payload_bytes, offset } => {
                self.expect_next(position.index)?;
                self.index.found(*position, *payload_bytes, Place::Disk { sequence, offset: *offset });
            }
        }
        Ok(())
    }

    /// A start restates what the records before it amount to.
    fn compare(&self, start: &Start) -> Result<(), String> {
        let same =
            start.vote == self.vote && start.committed == self.committed && start.span() == self.index.span();
        same.then_some(()).ok_or_else(|| "a start record differs from the records before it".into())
    }

    fn expect_next(&self, index: u64) -> Result<(), String> {
        match self.index.span().next {
            Some(next) if next != index => Err(format!("entry {index} stands where {next} belongs")),
            _ => Ok(()),
        }
    }

    /// Entries between what was purged and what is present.
    fn gap(&self) -> Option<String> {
        let span = self.index.span();
        let wanted = span.purged?.index + 1;
        let first = self.index.first().or(span.next)?;
        (first != wanted).then(|| format!("the log begins with entry {first}, but {wanted} was not purged"))
    }
}
