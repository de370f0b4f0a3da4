//! Looking at the directory of a node that is stopped, without changing a byte of it.
//!
//! ```text
//!   storage::identity    whose it is, and that nobody uses it
//!   storage::peers       what it knows of the others
//!   storage::log         what it spans, every damage  --codec--> entries in words
//!   storage::checkpoint  a copy of the image, audited \
//!   storage::snapshot    each file read whole         /-- open::check_log: do they add up?
//!        \--> Report
//! ```
//!
//! The verdict is that of a start: the same code reads every part, and the same rule says whether they add up. What a
//! start would mend by itself (a checkpoint that a snapshot rebuilds) is damage here all the same, and said to be
//! mended.
//!
//! Absent on purpose: repair, and a look at a directory that is in use.

mod entry;
mod report;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use storage::checkpoint::{CheckpointView, ImageHeader};
use storage::disk::{Disk, RealDisk};
use storage::identity::{self, Identity};
use storage::log::LogView;
use storage::peers::{self, Known};
use storage::snapshot::SnapshotView;
use storage::{LEAVE_STOPPED, Position, StorageError, checkpoint, log, snapshot};

use crate::codec;
use crate::open::{self, LogSpan};
use crate::transport::GROUP;

pub use entry::{CommandWords, Content, EntryWords, Value};
pub use report::{
    CheckpointReport, Damage, IdentityReport, ImageReport, LogReport, MemberReport, PeerReport, Report,
    SegmentReport, SnapshotReport, Verdict, VoteReport,
};

/// What of a node's directory there is, besides its identity; and what makes a directory one of ours.
const PARTS: [&str; 3] = ["log", "checkpoint", "snapshots"];

/// A directory that was looked at. As long as this lives no node can start on it.
pub struct Inspection {
    /// What was found.
    pub report: Report,
    log: Option<LogView>,
    _held: Option<std::fs::File>,
}

/// Looks at a node's directory. The checkpoint's image is copied into `scratch`, an empty directory of the caller's.
/// Blocking.
///
/// # Errors
/// Refused: a node uses the directory, or it is not one of lastunit's. IO: it cannot be read. Damage is no error, nor
/// is a part that only another version can read: both are in the report.
pub fn inspect(dir: &Path, scratch: &Path) -> Result<Inspection, StorageError> {
    checkpoint::keep_panics_of_sled_quiet();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let names = disk.list(dir).map_err(|source| StorageError::Io {
        action: "list",
        path: dir.to_path_buf(),
        source,
    })?;
    if !names.iter().any(|name| name == "identity" || PARTS.contains(&name.as_str())) {
        return Err(not_ours(dir));
    }
    let held = identity::hold(dir)?;
    let mut findings = Findings::default();
    let parts = Parts::read(&disk, dir, scratch, &mut findings);
    let starts = parts.add_up(dir, &mut findings);
    let report = report::put_together(dir, &parts, starts, findings);
    Ok(Inspection { report, log: parts.log, _held: held })
}

impl Inspection {
    /// The readable entries with an index from `from` to `to`, in words; each is read when it is asked for. In a
    /// damaged log they end where the damage begins.
    ///
    /// # Errors
    /// What could be read when the directory was looked at cannot be any more.
    pub fn entries(&self, from: u64, to: u64) -> impl Iterator<Item = Result<EntryWords, StorageError>> + '_ {
        let entries = self.log.iter().flat_map(move |log| log.entries(from..=to));
        entries.map(|entry| entry.map(|entry| entry::words(&entry)))
    }
}

/// What is wrong, as it is found.
#[derive(Debug, Default)]
struct Findings {
    damages: Vec<StorageError>,
    unreadable: Vec<StorageError>,
    notes: Vec<String>,
}

impl Findings {
    /// The value, or a note of why there is none.
    fn take<T>(&mut self, found: Result<T, StorageError>) -> Option<T> {
        found.map_err(|error| self.add(error)).ok()
    }

    fn add(&mut self, error: StorageError) {
        match error {
            StorageError::Corrupt { .. } => self.damages.push(error),
            _ => self.unreadable.push(error),
        }
    }
}

/// All that is in a directory; `None` where it could not be read.
struct Parts {
    identity: Option<Identity>,
    peers: Option<BTreeMap<u64, Known>>,
    log: Option<LogView>,
    log_is_whole: bool,
    /// How many entries and commands the readable part of the log has.
    counted: Counted,
    checkpoint: Option<CheckpointView>,
    snapshots: Option<Vec<SnapshotView>>,
}

/// What a walk over the entries of a log found.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    entries: u64,
    commands: u64,
    last_ms: Option<u64>,
    all_decode: bool,
}

impl Parts {
    fn read(disk: &Arc<dyn Disk>, dir: &Path, scratch: &Path, findings: &mut Findings) -> Parts {
        let identity = findings.take(identity::read(&**disk, dir));
        if let Some(None) = identity {
            findings.add(no_identity(dir));
        }
        let peers = findings.take(peers::read(&**disk, dir));
        let mut log = findings.take(log::inspect(&**disk, &dir.join("log"), GROUP));
        let damages = log.as_mut().map(|log| std::mem::take(&mut log.damages)).unwrap_or_default();
        let log_is_whole = log.is_some() && damages.is_empty();
        findings.damages.extend(damages);
        let counted = log.as_ref().map(|log| count(log, findings)).unwrap_or_default();
        let checkpoint = findings.take(checkpoint::inspect(disk.clone(), &dir.join("checkpoint"), scratch));
        let snapshots = findings.take(snapshot::inspect(&**disk, &dir.join("snapshots")));
        note_images(checkpoint.as_ref(), snapshots.as_deref(), findings);
        Parts { identity: identity.flatten(), peers, log, log_is_whole, counted, checkpoint, snapshots }
    }

    /// Whether a node would start on this, by the rules of [`crate::open`]. What is wrong between the images and
    /// the log goes to the findings.
    fn add_up(&self, dir: &Path, findings: &mut Findings) -> bool {
        let log = self.log.as_ref().filter(|_| self.log_is_whole);
        let (Some(log), Some(image)) = (log, self.image()) else { return false };
        let span = LogSpan { vote: log.vote, purged: log.state.purged, last: log.state.last };
        let applied = image.and_then(|image| image.applied);
        let needs_damaged =
            self.damaged_snapshot().is_some_and(|it| open::is_only_copy(it, &span, applied, dir));
        let added = open::check_log(&span, applied, dir)
            .and_then(|()| image.map_or(Ok(()), |image| open::membership(image, dir).map(drop)));
        let adds_up = added.map_err(|error| findings.damages.push(error)).is_ok();
        let has_parts = self.identity.as_ref().is_some_and(|identity| {
            let has_log = !identity.log_made || log.last_group > 0;
            let has_log = || if has_log { Ok(()) } else { Err(log::gone(&dir.join("log"))) };
            let has_parts = identity::check_parts(&RealDisk, dir, identity).and_then(|()| has_log());
            has_parts.map_err(|error| findings.damages.push(error)).is_ok()
        });
        adds_up && has_parts && !needs_damaged && self.peers.is_some() && self.counted.all_decode
    }

    /// The newer image of the whole ones, which a start goes by, or nothing where there is none. `None` where that
    /// cannot be told.
    fn image(&self) -> Option<Option<&ImageHeader>> {
        let checkpoint = self.checkpoint.as_ref()?.content.as_ref().and_then(|content| content.as_ref().ok());
        let snapshot = self.snapshots.as_ref()?.last().and_then(|snapshot| snapshot.content.as_ref().ok());
        Some(newer(checkpoint.map(|image| &image.header), snapshot.map(|(header, _)| header)))
    }

    /// What the newest snapshot is of by its name, where it is damaged.
    fn damaged_snapshot(&self) -> Option<Option<Position>> {
        let newest = self.snapshots.as_ref()?.last()?;
        newest.content.is_err().then_some(newest.applied)
    }
}

/// The damage of images, and what a start makes of it.
fn note_images(
    checkpoint: Option<&CheckpointView>,
    snapshots: Option<&[SnapshotView]>,
    findings: &mut Findings,
) {
    if let Some(Some(Err(damage))) = checkpoint.map(|checkpoint| &checkpoint.content) {
        findings.damages.push(again(damage));
        findings
            .notes
            .push("a start removes a damaged checkpoint, and rebuilds it from snapshot and log".to_owned());
    }
    let damages = snapshots.into_iter().flatten().filter_map(|snapshot| snapshot.content.as_ref().err());
    findings.damages.extend(damages.map(again));
}

/// The one that a start goes by.
fn newer<'a>(
    checkpoint: Option<&'a ImageHeader>,
    snapshot: Option<&'a ImageHeader>,
) -> Option<&'a ImageHeader> {
    match (checkpoint, snapshot) {
        (Some(checkpoint), Some(snapshot)) if checkpoint.applied < snapshot.applied => Some(snapshot),
        (Some(checkpoint), _) => Some(checkpoint),
        (None, snapshot) => snapshot,
    }
}

/// Decodes every entry, so that none is left that only a newer version can read.
fn count(log: &LogView, findings: &mut Findings) -> Counted {
    let mut counted = Counted { all_decode: true, ..Counted::default() };
    for entry in log.entries(0..=u64::MAX) {
        let Some(entry) = findings.take(entry) else {
            counted.all_decode = false;
            break;
        };
        counted.entries += 1;
        match entry::decode(&entry) {
            Ok((commands, now_ms)) => {
                counted.commands += commands;
                counted.last_ms = now_ms.or(counted.last_ms);
            }
            Err(why) => {
                counted.all_decode = false;
                findings.add(undecodable(log, &entry, &why));
            }
        }
    }
    counted
}

fn undecodable(log: &LogView, entry: &log::Entry, why: &io::Error) -> StorageError {
    let (path, offset) = log.place(entry.position.index).unwrap_or((Path::new("log"), 0));
    let (path, what) = (path.to_path_buf(), format!("entry {}: {why}", entry.position.index));
    match codec::check_known(&entry.payload) {
        Err(_) => StorageError::of_other_version(&path, what),
        Ok(()) => StorageError::Corrupt { path, offset, what, mend: LEAVE_STOPPED.into() },
    }
}

/// The same damage once more. (Errors are not `Clone`.)
fn again(damage: &StorageError) -> StorageError {
    match damage {
        StorageError::Corrupt { path, offset, what, mend } => StorageError::Corrupt {
            path: path.clone(),
            offset: *offset,
            what: what.clone(),
            mend: mend.clone(),
        },
        other => StorageError::Stopped(other.to_string()),
    }
}

fn not_ours(dir: &Path) -> StorageError {
    StorageError::Refused {
        path: dir.to_path_buf(),
        what: "is not the directory of a node: it has neither an identity nor a log".into(),
        mend: "name the data_dir of a [[node]] in cluster.toml".into(),
    }
}

fn no_identity(dir: &Path) -> StorageError {
    StorageError::Corrupt {
        path: dir.join("identity"),
        offset: 0,
        what: "the file is not there".into(),
        mend: format!("put a copy of this very file back, or {LEAVE_STOPPED}"),
    }
}

#[cfg(test)]
mod tests;
