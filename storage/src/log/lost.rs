//! Which file a part of the log was in that is not found: the one that an operator must look at.

use std::path::Path;

use crate::{LEAVE_STOPPED, StorageError};

use super::failure::corrupt;
use super::format::{self, HEADER_BYTES};
use super::recover::read;
use super::scan::{Found, Scan};
use super::seal::Seal;

/// Refuses a log that ends before its seal. Where it ends is `None` where no group of it is whole.
pub(super) fn refuse_lost_end(
    dir: &Path,
    files: &[Found],
    ended: Option<(&Found, &Scan)>,
    sealed: Option<Seal>,
) -> Result<(), StorageError> {
    let last_number = ended.map_or(0, |(_, scan)| scan.last.number);
    let Some(seal) = sealed.filter(|seal| seal.number > last_number) else {
        return Ok(());
    };
    let Seal { sequence, number, .. } = seal;
    if let Some((found, scan)) = ended.filter(|(found, _)| found.sequence() == sequence) {
        let what = format!("the log ends here with group {last_number}, but group {number} was sealed");
        return Err(corrupt(found.path(), scan.end, what));
    }
    match files.iter().find(|found| found.sequence() == sequence) {
        Some(found) => {
            let what = format!("the first group is damaged: this segment went on to group {number}");
            Err(corrupt(found.path(), HEADER_BYTES as u64, what))
        }
        None => Err(lost_segment(dir, files, sequence)?),
    }
}

/// The error for a segment that no file's header names. A header that is damaged leaves the segment's groups, which
/// name it too; where they are gone as well, the only file without a header must be it.
pub(super) fn lost_segment<'a>(
    dir: &Path,
    files: impl IntoIterator<Item = &'a Found>,
    sequence: u64,
) -> Result<StorageError, StorageError> {
    let headless: Vec<&Found> = files.into_iter().filter(|found| found.header.is_none()).collect();
    for found in &headless {
        let bytes = read(&found.file, found.file.capacity)?;
        if format::find_groups(&bytes, 0).any(|(_, group)| group.sequence == sequence) {
            let what = format!("the header is damaged: this file holds segment {sequence}");
            return Ok(corrupt(found.path(), 0, what));
        }
    }
    if let [found] = headless[..] {
        let what = format!("the header is damaged, and no other file holds segment {sequence}");
        return Ok(corrupt(found.path(), 0, what));
    }
    Ok(StorageError::Refused {
        path: dir.to_path_buf(),
        what: format!("segment {sequence} of the log is missing"),
        mend: format!("put its file back, or {LEAVE_STOPPED}"),
    })
}
