//! A backup of the running cluster, taken on any node: its state at one entry, as a file that is read while it goes
//! out.
//!
//! ```text
//!   ReadIndex: entry i  -->  applied here up to i or later  -->  the keeper's thread saves what changed, streams the
//!                                                               image into a file without a name, reads it back whole
//!   head: whose, when, how long  <--  its first record      <---'
//! ```
//!
//! So a backup reflects every command that was answered before it was asked for. Apply goes on in memory meanwhile, as
//! while a snapshot is built; saves and snapshots wait. Leadership does not matter once the image is cut.
//!
//! One at a time on each node, from when it is asked for until the last of it is dropped: each takes room on the disk.

use std::sync::Arc;
use std::time::Duration;

use storage::StorageError;
use storage::snapshot::{BackupHead, Snapshot};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::ReadError;
use crate::read::Confirmer;
use crate::simulated::blocking;
use crate::state_machine::StateMachine;
use crate::transport::Local;

/// How long a node that is behind may take to apply what was committed when the backup was asked for.
const APPLY_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest piece that is read at a time, in bytes: what a backup on its way out takes of a node's memory.
const PIECE_BYTES_MAX: u64 = 256 << 10;

/// A backup on its way out.
pub struct Backup {
    head: Vec<u8>,
    applied_index: u64,
    sequence: u64,
    snapshot: Snapshot,
    _turn: OwnedSemaphorePermit,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// This node makes one already.
    #[error("a backup is under way already")]
    Busy,
    /// The file system of this node has no room for it.
    #[error("this node's disk has no room for a backup's image")]
    NoRoom,
    /// This node is stopping, or does not belong to a cluster yet.
    #[error("{0}")]
    Stopped(String),
    /// No quorum says up to where commands must be reflected.
    #[error(transparent)]
    NotRead(#[from] ReadError),
}

impl Backup {
    /// How long it is, in bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "no backup is empty")]
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.snapshot.len()
    }

    /// The last entry that it reflects.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// The sequence of the last command in it.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The piece that begins at that offset; empty at the end. Blocking.
    ///
    /// # Errors
    /// The system cannot read it.
    pub fn piece(&self, offset: u64) -> Result<Vec<u8>, StorageError> {
        if let Some(rest) = usize::try_from(offset).ok().and_then(|offset| self.head.get(offset..))
            && !rest.is_empty()
        {
            return Ok(rest.to_vec());
        }
        let left = self.len().saturating_sub(offset).min(PIECE_BYTES_MAX);
        let mut piece = vec![0; left as usize];
        let read = self.snapshot.read_at(&mut piece, offset - self.head.len() as u64)?;
        piece.truncate(read);
        Ok(piece)
    }
}

/// Makes backups of this node's state.
pub(crate) struct Backuper {
    local: Arc<Local>,
    machine: StateMachine,
    confirmer: Confirmer,
    turn: Arc<Semaphore>,
}

impl Backuper {
    pub(crate) fn new(local: Arc<Local>, machine: StateMachine, confirmer: Confirmer) -> Backuper {
        Backuper { local, machine, confirmer, turn: Arc::new(Semaphore::new(1)) }
    }

    /// A backup that reflects every command answered before this call.
    pub(crate) async fn backup(&self) -> Result<Backup, BackupError> {
        let turn = self.turn.clone().try_acquire_owned().map_err(|_| BackupError::Busy)?;
        let index = self.confirmer.confirm().await?;
        let applied = timeout(APPLY_TIME_MAX, self.local.replica.wait_applied(Some(index))).await;
        applied.map_err(|_| ReadError::NoQuorum)?;
        let snapshot = self.machine.backup().await.map_err(|e| BackupError::Stopped(e.to_string()))?;
        let snapshot = snapshot.ok_or(BackupError::NoRoom)?;
        let head = self.head(snapshot.clone()).await?;
        let (applied_index, sequence) = (head.applied.index, head.sequence);
        Ok(Backup { head: head.encode(), applied_index, sequence, snapshot, _turn: turn })
    }

    async fn head(&self, snapshot: Snapshot) -> Result<BackupHead, BackupError> {
        let stopped = |why: String| BackupError::Stopped(why);
        let formed =
            self.local.cluster_id().ok_or_else(|| stopped("the cluster is not formed yet".into()))?;
        let options = &self.local.options;
        let (name, node_id) = (options.cluster_name.clone(), options.node_id);
        let head = blocking(move || BackupHead::of(&snapshot, &name, formed, node_id)).await;
        head.map_err(|e| stopped(e.to_string()))?.map_err(|e| stopped(e.to_string()))
    }
}
