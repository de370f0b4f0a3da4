//! Opening a node's directory: identity, peers, log, checkpoint, snapshots, and what state they add up to.

use std::path::Path;
use std::sync::Arc;

use storage::checkpoint::{Checkpoint, ImageHeader, Opened};
use storage::disk::Disk;
use storage::identity::DataDir;
use storage::inventory::Inventory;
use storage::log::{Log, LogOptions, LogState, Vote};
use storage::snapshot::{Snapshot, SnapshotStore};
use storage::{LEAVE_STOPPED, Position, StorageError};
use tokio::time::Instant;

use crate::codec;
use crate::digests::Ring;
use crate::replica::Applied;
use crate::simulated::{self, random};
use crate::transport::GROUP;
use crate::transport::memory::Memory;
use crate::types::StoredMembership;
use crate::unsaved::Unsaved;
use crate::{GroupOptions, StartError};

/// How much of the log's tail stays in memory, in bytes: as much as may be under way to one peer, unanswered. One that
/// is further behind gets what is read from the files, which the kernel most likely has in memory as well.
const CACHE_BYTES: usize = 16 << 20;

/// How much of the log is read at a time, to see that this version knows it, in bytes.
const CHECK_BYTES: usize = 1 << 20;

/// What a directory holds.
pub(crate) struct Store {
    pub(crate) directory: DataDir,
    pub(crate) memory: Memory,
    pub(crate) log: Log,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) applied: Applied,
}

/// What of a log says whether an image fits it.
pub(crate) struct LogSpan {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<Position>,
    pub(crate) last: Option<Position>,
}

impl LogSpan {
    fn of(log: &Log) -> LogSpan {
        let LogState { purged, last, .. } = log.state();
        LogSpan { vote: log.vote(), purged, last }
    }
}

/// Opens or creates everything. Blocking.
pub(crate) fn open(disk: Arc<dyn Disk>, options: &GroupOptions) -> Result<Store, StartError> {
    let path = &options.data_dir;
    let mut directory = DataDir::open(disk.clone(), path, &options.cluster_name, options.node_id, random())?;
    let memory = Memory::open(disk.clone(), path)?;
    let segment_bytes = options.tuning.segment_bytes;
    let log_options = LogOptions { group: GROUP, segment_bytes, cache_bytes: CACHE_BYTES };
    let log = open_log(disk.clone(), &path.join("log"), log_options, directory.identity().log_made)?;
    directory.note_log()?;
    let snapshots = SnapshotStore::open(disk.clone(), &path.join("snapshots"))?;
    let open_checkpoint = if simulated::is_on() { Checkpoint::open_plain } else { Checkpoint::open };
    let (mut checkpoint, opened) = open_checkpoint(disk, &path.join("checkpoint"))?;
    let (newest, damage) = newest_snapshot(&snapshots)?;
    let (header, mut inventory) = newest_image(&mut checkpoint, opened, newest.as_ref())?;
    inventory.count_ahead(&options.limits);
    let span = LogSpan::of(&log);
    match damage {
        None => check_log(&span, header.applied, path)?,
        Some(damage) => do_without(damage, &snapshots, &span, header.applied, path)?,
    }
    check_tail(&log, header.applied, path)?;
    let snapshot = newest.filter(|newest| reaches_log(newest.header().applied, &span, header.applied));
    let membership = membership(&header, path)?;
    let applied = Applied {
        unsaved: Unsaved::since(&inventory),
        inventory: *inventory,
        position: header.applied,
        membership,
        broken: false,
        advanced_at: Instant::now(),
        digests: Ring::since(header.applied, header.digest),
    };
    Ok(Store { directory, memory, log, checkpoint, snapshots, snapshot, applied })
}

/// Opens the log, which has a thread from then on, or in a simulation a task.
fn open_log(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: LogOptions,
    is_made: bool,
) -> Result<Log, StorageError> {
    if simulated::is_on() {
        let (log, steps) = Log::open_in_steps(disk, dir, options, is_made)?;
        simulated::take_steps(steps);
        return Ok(log);
    }
    let open = if is_made { Log::reopen } else { Log::open };
    open(disk, dir, options)
}

/// The newest snapshot, or how it is damaged.
fn newest_snapshot(
    snapshots: &SnapshotStore,
) -> Result<(Option<Snapshot>, Option<StorageError>), StorageError> {
    match snapshots.newest() {
        Err(damage @ StorageError::Corrupt { .. }) => Ok((None, Some(damage))),
        newest => newest.map(|newest| (newest, None)),
    }
}

/// Sets a damaged snapshot aside, where all that it held is in the image or in the log: Raft builds a new one before it
/// needs one. Elsewhere it is the only copy, and its damage is what there is to say.
fn do_without(
    damage: StorageError,
    snapshots: &SnapshotStore,
    span: &LogSpan,
    applied: Option<Position>,
    path: &Path,
) -> Result<(), StorageError> {
    if is_only_copy(snapshots.newest_applied()?, span, applied, path) {
        return Err(damage);
    }
    let aside = snapshots.set_newest_aside()?.unwrap_or_default();
    tracing::warn!("a damaged snapshot is not needed, and is called {} now: {damage}", aside.display());
    Ok(())
}

/// Whether a damaged snapshot, by its name of this position, has what neither the newest whole image nor the log has.
pub(crate) fn is_only_copy(
    snapshot: Option<Position>,
    span: &LogSpan,
    applied: Option<Position>,
    path: &Path,
) -> bool {
    check_log(span, applied, path).is_err() || snapshot > applied.max(span.last)
}

/// The newer one of checkpoint and snapshot. A checkpoint that is behind or lost is rebuilt from the snapshot.
fn newest_image(
    checkpoint: &mut Checkpoint,
    opened: Opened,
    snapshot: Option<&Snapshot>,
) -> Result<(ImageHeader, Box<Inventory>), StorageError> {
    let loaded = match opened {
        Opened::Loaded { header, inventory } => Some((header, inventory)),
        Opened::Empty { reason } => {
            if let Some(reason) = reason {
                tracing::warn!("the checkpoint is rebuilt: {reason}");
            }
            None
        }
    };
    let behind =
        |s: &&Snapshot| loaded.as_ref().is_none_or(|(header, _)| header.applied < s.header().applied);
    match snapshot.filter(behind) {
        Some(snapshot) => {
            let inventory = Box::new(snapshot.load()?);
            checkpoint.replace(snapshot.header(), &mut inventory.records())?;
            Ok((snapshot.header().clone(), inventory))
        }
        None => Ok(loaded.unwrap_or_default()),
    }
}

/// Whether a snapshot and the log together have every entry. They do not where the log ended before the image, since
/// what a quorum had on disk was applied here, and this disk failed at it: the log goes on behind the image then.
/// Raft has to do without such a snapshot, and builds a new one before it serves.
fn reaches_log(snapshot: Option<Position>, span: &LogSpan, applied: Option<Position>) -> bool {
    let index = |position: Option<Position>| position.map(|position| position.index);
    let goes_on_behind = match index(span.last) < index(applied) {
        true => applied,
        false => span.purged,
    };
    index(snapshot) >= index(goes_on_behind)
}

/// What was purged from the log must be in the image: otherwise commands are missing.
pub(crate) fn check_log(span: &LogSpan, applied: Option<Position>, path: &Path) -> Result<(), StorageError> {
    // Whoever applied an entry has voted, or taken a leader's word in place of a vote.
    if applied.is_some() && span.vote.is_none() {
        return Err(StorageError::Refused {
            path: path.join("log"),
            what: "the log is empty, but the image has entries: its votes and its tail are lost".into(),
            mend: format!("put the log back, or {LEAVE_STOPPED}"),
        });
    }
    let purged = span.purged.map(|p| p.index);
    if purged <= applied.map(|p| p.index) {
        return Ok(());
    }
    Err(StorageError::Refused {
        path: path.to_path_buf(),
        what: format!(
            "the log begins after entry {}, but the newest whole image ends at {}",
            purged.unwrap_or_default(),
            applied.map_or("nothing".to_string(), |p| p.index.to_string())
        ),
        mend: format!("put the checkpoint or a snapshot back, or {LEAVE_STOPPED}"),
    })
}

/// What is still to be applied must be what this version knows: told here, before anybody counts on this node, and not
/// when its turn comes.
fn check_tail(log: &Log, applied: Option<Position>, path: &Path) -> Result<(), StorageError> {
    let LogState { first, last, .. } = log.state();
    let end = last.map_or(0, |last| last.index + 1);
    let mut from = applied.map_or(0, |applied| applied.index + 1).max(first);
    while from < end {
        let entries = log.read(from..end, CHECK_BYTES)?;
        for entry in &entries {
            let unknown = |why| format!("entry {}: {why}", entry.position.index);
            codec::check_known(&entry.payload)
                .map_err(|why| StorageError::of_other_version(&path.join("log"), unknown(why)))?;
        }
        // Entries that are missing are told where they are applied.
        from += entries.len().max(1) as u64;
    }
    Ok(())
}

/// The membership of an image.
pub(crate) fn membership(header: &ImageHeader, path: &Path) -> Result<StoredMembership, StorageError> {
    codec::decode_membership(&header.membership).map_err(|why| StorageError::Corrupt {
        path: path.to_path_buf(),
        offset: 0,
        what: format!("the image's membership cannot be decoded: {why}"),
        mend: LEAVE_STOPPED.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_counts_only_where_the_log_goes_on_from_within_it() {
        let at = |index: Option<u64>| index.map(|index| Position { term: 2, leader: 3, index });
        for (snapshot, purged, last, applied, counts) in [
            (None, None, None, None, true),
            (None, None, Some(7), Some(5), true),
            (Some(6), Some(4), Some(9), Some(8), true),
            (Some(6), Some(6), Some(6), Some(6), true),
            (Some(6), Some(4), Some(6), Some(6), true),
            // Entries 7 to 9 were applied, and were not on this disk yet when it failed.
            (Some(6), Some(4), Some(6), Some(9), false),
            // It failed again before there was a newer snapshot.
            (Some(6), Some(9), Some(9), Some(9), false),
            (None, Some(9), Some(9), Some(9), false),
        ] {
            let span = LogSpan { vote: None, purged: at(purged), last: at(last) };
            let told = reaches_log(at(snapshot), &span, at(applied));
            assert_eq!(told, counts, "{snapshot:?} {purged:?} {last:?} {applied:?}");
        }
    }
}
