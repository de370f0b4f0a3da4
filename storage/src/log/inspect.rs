//! Looking at a log that no node has open, without changing a byte: what it holds, and all damage that can be found.
//!
//! ```text
//!   recover --whole--> what it found is the answer
//!      \---damaged---> survey: every file by itself, then each against the one after it
//!                        |                                  |
//!                        | gaps between whole groups        | a segment missing, or cut short
//!                        v                                  v
//!                      damages, and the oldest run of segments that is whole: its entries can be read
//! ```
//!
//! `recover` alone decides whether a log is whole, so that this never differs from what a node says when it starts.
//! The survey finds what else is damaged. It trusts the same checksums and the same chain.
//!
//! Absent on purpose: repair.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, Mode};
use crate::{Position, StorageError};

use super::failure::corrupt;
use super::format::{self, GROUP_MAGIC, HEADER_BYTES, u64_at};
use super::index::{Index, Place};
use super::lost::lost_segment;
use super::pool::SegmentFile;
use super::read::{read_entry, wrong_checksum};
use super::recover::{self, check_length, recover};
use super::replay::{Replayed, replay};
use super::scan::{Found, Scan, scan};
use super::seal::{Seal, SealFile};
use super::{Entry, LogState, Vote};

/// What a log's directory holds.
pub struct LogView {
    /// What the readable part spans.
    pub state: LogState,
    /// The last vote in it.
    pub vote: Option<Vote>,
    /// The last committed position in it.
    pub committed: Option<Position>,
    /// The number of its last group; 0 where there is none.
    pub last_group: u64,
    /// How often the log was opened, as far as it can be read.
    pub sessions: u64,
    /// The number of the group that was sealed last.
    pub sealed_group: Option<u64>,
    /// Where the last write was cut off, if it looks like that: file and offset. It was never acknowledged.
    pub torn: Option<(PathBuf, u64)>,
    /// The files: segments that count, oldest first, then the others by name.
    pub segments: Vec<SegmentView>,
    /// All damage that was found; what a node would name when it starts comes first. None in a whole log.
    pub damages: Vec<StorageError>,
    index: Index,
    files: BTreeMap<u64, Arc<SegmentFile>>,
}

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentView {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Which use of a file it is; 0 in one never used; `None` where the header is not whole.
    pub sequence: Option<u64>,
    /// Whether the log needs it; else it is a spare.
    pub counts: bool,
    /// Where its last whole group ends.
    pub used_bytes: u64,
    /// How many of its groups are whole and follow one another from the first on.
    pub groups: u64,
    /// The least and the greatest index among the entries in them; some may be purged or overwritten by now.
    pub entries: Option<RangeInclusive<u64>>,
}

/// Reads the log in a directory, changing nothing. A directory that is not there holds an empty log.
///
/// # Errors
/// `Refused` where it is of another Raft group or a format that is not known, `Io` where the disk fails. Damage is no
/// error: it is in the answer.
pub fn inspect(disk: &dyn Disk, dir: &Path, group: u64) -> Result<LogView, StorageError> {
    if disk.list(dir).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(LogView::empty());
    }
    let verdict = match recover(disk, dir, group, Mode::Read) {
        // Files that are gone. What else is refused, the survey refuses as well.
        Err(error @ (StorageError::Corrupt { .. } | StorageError::Refused { .. })) => Err(error),
        other => Ok(other?),
    };
    let survey = Survey::of(disk, dir, group)?;
    Ok(match verdict {
        Ok(recovered) => survey.whole(recovered.replayed),
        Err(first) => survey.damaged(dir, first),
    })
}

impl LogView {
    fn empty() -> LogView {
        let index = Index::default();
        LogView {
            state: index.state(),
            vote: None,
            committed: None,
            last_group: 0,
            sessions: 0,
            sealed_group: None,
            torn: None,
            segments: Vec::new(),
            damages: Vec::new(),
            index,
            files: BTreeMap::new(),
        }
    }

    /// The readable entries of a range, each read when it is asked for. Ends after the first error.
    pub fn entries(
        &self,
        range: RangeInclusive<u64>,
    ) -> impl Iterator<Item = Result<Entry, StorageError>> + '_ {
        let first = self.state.first.max(*range.start());
        let last = self.state.last.map_or(0, |last| last.index).min(*range.end());
        let mut failed = false;
        (first..=last).map_while(move |index| {
            let read = self.entry(index).filter(|_| !failed)?;
            failed = read.is_err();
            Some(read)
        })
    }

    /// Where the record of a readable entry is: its file, and where in it.
    pub fn place(&self, index: u64) -> Option<(&Path, u64)> {
        match self.index.slot(index)?.place {
            Place::Disk { sequence, offset } => Some((&self.files.get(&sequence)?.path, offset)),
            Place::Queued(_) => None,
        }
    }

    fn entry(&self, index: u64) -> Option<Result<Entry, StorageError>> {
        let position = self.index.position(index)?;
        let slot = self.index.slot(index)?;
        let Place::Disk { sequence, offset } = slot.place else { return None };
        let file = self.files.get(&sequence)?;
        let read = read_entry(file, sequence, offset, position, slot.payload_bytes);
        Some(read.and_then(|entry| entry.ok_or_else(|| wrong_checksum(file, offset))))
    }
}

/// One file, read whole.
struct Surveyed {
    found: Found,
    /// Its groups up to the first that is not whole.
    scan: Option<Scan>,
    /// How many groups those are.
    groups: u64,
    /// What is wrong within it, whatever the other files say.
    gaps: Vec<StorageError>,
    /// Where a write looks cut off.
    torn_at: Option<u64>,
}

/// All files, those that were used in the order of the log, and the seal.
struct Survey {
    files: Vec<Surveyed>,
    seal: Option<Seal>,
    /// Why the seal cannot be read; nothing where it can.
    seal_damage: Option<StorageError>,
}

impl Survey {
    fn of(disk: &dyn Disk, dir: &Path, group: u64) -> Result<Survey, StorageError> {
        let (seal, seal_damage) = match SealFile::open(disk, dir, group, Mode::Read) {
            Err(damage @ StorageError::Corrupt { .. }) => (None, Some(damage)),
            Ok(None) => (None, Some(SealFile::lost(disk, dir))),
            other => (other?, None),
        };
        let (mut found, _) = recover::list(disk, dir, group, Mode::Read)?;
        found.sort_by(|a, b| (a.sequence(), a.path()).cmp(&(b.sequence(), b.path())));
        let files = found.into_iter().map(Surveyed::of).collect::<Result<_, _>>()?;
        Ok(Survey { files, seal: seal.and_then(|seal| seal.last), seal_damage })
    }

    /// The answer for a log that a node opens.
    fn whole(self, replayed: Replayed) -> LogView {
        let run: Vec<usize> = self.counting().collect();
        self.view(&run, replayed, Vec::new())
    }

    /// The answer for a log that a node refuses.
    fn damaged(self, dir: &Path, first: StorageError) -> LogView {
        let mut damages = vec![first];
        for damage in self.damages(dir) {
            if !damages.iter().any(|known| is_same_place(known, &damage)) {
                damages.push(damage);
            }
        }
        let mut run = self.oldest_run();
        loop {
            match replay(run.iter().filter_map(|&at| self.files[at].replayable())) {
                Ok(replayed) => return self.view(&run, replayed, damages),
                Err(damage) if damages.iter().any(|known| is_same_place(known, &damage)) => {}
                Err(damage) => damages.push(damage),
            }
            // A run of no segment always replays.
            run.pop();
        }
    }

    /// The newest segment that was begun.
    fn newest(&self) -> Option<&Scan> {
        self.files.iter().rev().find_map(|file| file.scan.as_ref())
    }

    /// The oldest segment that counts, as stated last.
    fn first(&self) -> u64 {
        self.newest().map_or(0, |scan| scan.first_sequence).max(1)
    }

    /// The segments that count, by their places in `files`, oldest first. Those about to be begun do not.
    fn counting(&self) -> impl Iterator<Item = usize> + '_ {
        let first = self.first();
        let begun = |file: &Surveyed| file.scan.is_some() || !file.gaps.is_empty();
        let counts = move |file: &Surveyed| file.found.sequence() >= first && begun(file);
        self.files.iter().enumerate().filter(move |(_, file)| counts(file)).map(|(at, _)| at)
    }

    /// All damage, file by file.
    fn damages(&self, dir: &Path) -> Vec<StorageError> {
        let mut damages: Vec<StorageError> = self.seal_damage.iter().map(again).collect();
        let counting: Vec<&Surveyed> = self.counting().map(|at| &self.files[at]).collect();
        for (place, file) in counting.iter().enumerate() {
            damages.extend(check_length(&file.found).err());
            let before = place.checked_sub(1).and_then(|before| counting.get(before));
            if let Some(scan) = &file.scan {
                damages.extend(self.break_before(dir, before.copied(), file, scan));
            }
        }
        damages.extend(counting.iter().flat_map(|file| &file.gaps).map(again));
        damages.extend(self.lost_headers());
        damages
    }

    /// What is wrong between a segment and the one that should stand before it.
    fn break_before(
        &self,
        dir: &Path,
        before: Option<&Surveyed>,
        file: &Surveyed,
        scan: &Scan,
    ) -> Option<StorageError> {
        if file.found.sequence() == self.first() {
            return None;
        }
        let previous = scan.start.previous_sequence;
        let Some(before) = before.filter(|before| before.found.sequence() == previous) else {
            let files = self.files.iter().map(|file| &file.found);
            return Some(lost_segment(dir, files, previous).unwrap_or_else(|error| error));
        };
        let (end, number) = before.end();
        let whole = before.scan.as_ref().is_some_and(|before| leads_to(before, scan));
        let what =
            || format!("group {} is damaged; the segment went on to {}", number + 1, scan.start.previous_end);
        (!whole).then(|| corrupt(before.found.path(), end, what()))
    }

    /// Files without a header that hold groups of a segment that no header names.
    fn lost_headers(&self) -> Vec<StorageError> {
        let is_lost = |sequence: u64| {
            sequence >= self.first() && !self.files.iter().any(|file| file.found.sequence() == sequence)
        };
        let headless = self.files.iter().filter(|file| file.found.header.is_none());
        let lost = headless.filter_map(|file| {
            let bytes = recover::read(&file.found.file, file.found.file.capacity).ok()?;
            let (offset, group) =
                format::find_groups(&bytes, 0).find(|(_, group)| is_lost(group.sequence))?;
            let what = format!("the header is damaged: segment {} goes on at {offset}", group.sequence);
            Some(corrupt(file.found.path(), 0, what))
        });
        lost.collect()
    }

    /// The oldest segments that follow one another without a break; the last of them may end early.
    fn oldest_run(&self) -> Vec<usize> {
        let mut run: Vec<usize> = Vec::new();
        for at in self.counting() {
            let (Some(scan), last) = (&self.files[at].scan, run.last()) else {
                if run.is_empty() {
                    continue;
                }
                break;
            };
            let follows = last.is_none_or(|&last| {
                let before = &self.files[last];
                scan.start.previous_sequence == before.found.sequence()
                    && before.scan.as_ref().is_some_and(|before| leads_to(before, scan))
            });
            if !follows {
                break;
            }
            run.push(at);
        }
        run
    }

    fn view(self, run: &[usize], replayed: Replayed, damages: Vec<StorageError>) -> LogView {
        let counting: Vec<usize> = self.counting().collect();
        let last = run.last().and_then(|&at| self.files[at].scan.as_ref()).map(|scan| scan.last);
        let torn = run.last().and_then(|&at| {
            let file = &self.files[at];
            Some((file.found.path().to_path_buf(), file.torn_at?))
        });
        let others = (0..self.files.len()).filter(|at| !counting.contains(at));
        let mut others: Vec<SegmentView> = others.map(|at| self.files[at].view(false)).collect();
        others.sort_by(|a, b| a.path.cmp(&b.path));
        let segments = counting.iter().map(|&at| self.files[at].view(true)).chain(others).collect();
        let files = run.iter().map(|&at| &self.files[at].found);
        LogView {
            state: replayed.index.state(),
            vote: replayed.vote,
            committed: replayed.committed,
            last_group: last.map_or(0, |last| last.number),
            sessions: last.map_or(0, |last| last.session),
            sealed_group: self.seal.map(|seal| seal.number),
            torn: torn.filter(|_| damages.is_empty()),
            segments,
            damages,
            index: replayed.index,
            files: files.map(|found| (found.sequence(), Arc::clone(&found.file))).collect(),
        }
    }
}

impl Surveyed {
    fn of(found: Found) -> Result<Surveyed, StorageError> {
        if found.sequence() == 0 {
            return Ok(Surveyed { found, scan: None, groups: 0, gaps: Vec::new(), torn_at: None });
        }
        let bytes = recover::read(&found.file, found.file.capacity)?;
        let (scan, mut gaps) = match scan(&found, &bytes) {
            Ok(scan) => (scan, Vec::new()),
            Err(damage) => (None, vec![damage]),
        };
        let groups = scan.as_ref().map_or(0, |scan| scan.last.number + 1 - scan.first_number);
        let mut file = Surveyed { found, scan, groups, gaps: Vec::new(), torn_at: None };
        let (end, number) = file.end();
        gaps.extend(find_gaps(&file.found, &bytes, end, number));
        file.gaps = gaps;
        file.torn_at = is_torn(&file.found, &bytes, end, number).then_some(end);
        Ok(file)
    }

    /// Where its whole groups end, and the number of the last of them.
    fn end(&self) -> (u64, u64) {
        self.scan.as_ref().map_or((HEADER_BYTES as u64, 0), |scan| (scan.end, scan.last.number))
    }

    fn replayable(&self) -> Option<(u64, &Path, &Scan)> {
        Some((self.found.sequence(), self.found.path(), self.scan.as_ref()?))
    }

    fn view(&self, counts: bool) -> SegmentView {
        let records = self.scan.iter().flat_map(|scan| &scan.records);
        let indexes = || records.clone().filter_map(|record| record.index());
        SegmentView {
            path: self.found.path().to_path_buf(),
            bytes: self.found.file.capacity,
            sequence: self.found.header.map(|header| header.sequence),
            counts,
            used_bytes: self.scan.as_ref().map_or(0, |scan| scan.end),
            groups: self.groups,
            entries: indexes().min().zip(indexes().max()).map(|(least, greatest)| least..=greatest),
        }
    }
}

/// Each place within a segment at which groups are missing before a later one that is whole.
fn find_gaps(found: &Found, bytes: &[u8], end: u64, number: u64) -> Vec<StorageError> {
    let (mut end, mut number) = (end, number);
    let mut gaps = Vec::new();
    for (offset, group) in format::find_groups(bytes, end as usize) {
        if group.sequence != found.sequence() || group.link.number <= number {
            continue;
        }
        if group.link.number > number + 1 || offset as u64 > end {
            let what =
                format!("group {} is not whole, but group {} at {offset} is", number + 1, group.link.number);
            gaps.push(corrupt(found.path(), end, what));
        }
        (end, number) = (group.end as u64, group.link.number);
    }
    gaps
}

/// Whether a group of this very segment begins at its end that is not whole: a write that was cut off.
fn is_torn(found: &Found, bytes: &[u8], end: u64, number: u64) -> bool {
    let header = bytes.get(end as usize..).and_then(|rest| rest.get(..format::GROUP_BYTES));
    header.is_some_and(|header| {
        let is_ours = header[4..8] == GROUP_MAGIC && u64_at(header, 16) == found.sequence();
        is_ours && u64_at(header, 32) == number + 1 && format::read_group(bytes, end as usize).is_none()
    })
}

/// Whether a segment is whole up to where the one after it begins.
fn leads_to(before: &Scan, after: &Scan) -> bool {
    before.end == after.start.previous_end
        && before.last.number + 1 == after.first_number
        && before.last.crc == after.first_chain
}

/// Whether two findings are one. At offset 0 they are about a whole file or directory, and the words count.
fn is_same_place(a: &StorageError, b: &StorageError) -> bool {
    match (a, b) {
        (
            StorageError::Corrupt { path, offset, what, .. },
            StorageError::Corrupt { path: p, offset: o, what: w, .. },
        ) => path == p && offset == o && (*offset > 0 || what == w),
        (StorageError::Refused { path, what, .. }, StorageError::Refused { path: p, what: w, .. }) => {
            path == p && what == w
        }
        _ => false,
    }
}

/// The same damage once more. (Errors are not `Clone`.)
fn again(damage: &StorageError) -> StorageError {
    match damage {
        StorageError::Corrupt { path, offset, what, .. } => corrupt(path, *offset, what.as_str()),
        StorageError::Refused { path, what, mend } => {
            StorageError::Refused { path: path.clone(), what: what.clone(), mend: mend.clone() }
        }
        other => super::failure::copy(other),
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
