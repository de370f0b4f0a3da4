//! Opening a node's directory: identity, peers, log, checkpoint, snapshots, and what state they add up to.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rand::random;
use storage::checkpoint::{Checkpoint, ImageHeader, Opened};
use storage::disk::Disk;
use storage::identity::DataDir;
use storage::inventory::Inventory;
use storage::log::{Log, LogOptions};
use storage::snapshot::{Snapshot, SnapshotStore};
use storage::{LEAVE_STOPPED, Position, StorageError};

use crate::codec;
use crate::digests::Ring;
use crate::replica::Applied;
use crate::transport::GROUP;
use crate::transport::memory::Memory;
use crate::{GroupOptions, StartError};

/// How much of the log's tail stays in memory, in bytes.
const CACHE_BYTES: usize = 64 << 20;

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

/// Opens or creates everything. Blocking.
pub(crate) fn open(disk: Arc<dyn Disk>, options: &GroupOptions) -> Result<Store, StartError> {
    let path = &options.data_dir;
    let mut directory = DataDir::open(disk.clone(), path, &options.cluster_name, options.node_id, random())?;
    let memory = Memory::open(disk.clone(), path)?;
    let segment_bytes = options.tuning.segment_bytes;
    let log_options = LogOptions { group: GROUP, segment_bytes, cache_bytes: CACHE_BYTES };
    let log = Log::open(disk.clone(), &path.join("log"), log_options)?;
    directory.note_log()?;
    let snapshots = SnapshotStore::open(disk.clone(), &path.join("snapshots"))?;
    let (mut checkpoint, opened) = Checkpoint::open(disk, &path.join("checkpoint"))?;
    let (newest, damage) = newest_snapshot(&snapshots)?;
    let (header, inventory) = newest_image(&mut checkpoint, opened, newest.as_ref())?;
    match damage {
        None => check_log(&log, header.applied, path)?,
        Some(damage) => do_without(damage, &snapshots, &log, header.applied, path)?,
    }
    let membership = codec::decode_membership(&header.membership).map_err(|e| undecodable(path, &e))?;
    let applied = Applied {
        inventory: *inventory,
        position: header.applied,
        membership,
        broken: false,
        advanced_at: Instant::now(),
        digests: Ring::since(header.applied, header.digest),
    };
    Ok(Store { directory, memory, log, checkpoint, snapshots, snapshot: newest, applied })
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
    log: &Log,
    applied: Option<Position>,
    path: &Path,
) -> Result<(), StorageError> {
    let reached = applied.max(log.state().last);
    if check_log(log, applied, path).is_err() || snapshots.newest_applied()? > reached {
        return Err(damage);
    }
    let aside = snapshots.set_newest_aside()?.unwrap_or_default();
    tracing::warn!("a damaged snapshot is not needed, and is called {} now: {damage}", aside.display());
    Ok(())
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

/// What was purged from the log must be in the image: otherwise commands are missing.
fn check_log(log: &Log, applied: Option<Position>, path: &Path) -> Result<(), StorageError> {
    // Whoever applied an entry has voted, or taken a leader's word in place of a vote.
    if applied.is_some() && log.vote().is_none() {
        return Err(StorageError::Refused {
            path: path.join("log"),
            what: "the log is empty, but the image has entries: its votes and its tail are lost".into(),
            mend: format!("put the log back, or {LEAVE_STOPPED}"),
        });
    }
    let purged = log.state().purged.map(|p| p.index);
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

fn undecodable(path: &Path, why: &io::Error) -> StorageError {
    StorageError::Corrupt {
        path: path.to_path_buf(),
        offset: 0,
        what: format!("the image's membership cannot be decoded: {why}"),
        mend: LEAVE_STOPPED.into(),
    }
}
