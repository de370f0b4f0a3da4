//! The applied state of this node, shared by the one writer (apply) and all readers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use storage::checkpoint::{Changes, ImageHeader};
use storage::histogram::Histogram;
use storage::inventory::Inventory;
use storage::snapshot::Snapshot;
use storage::{Position, planted};
use tokio::time::Instant;

use crate::codec;
use crate::digests::Ring;
use crate::types::StoredMembership;
use crate::unsaved::Unsaved;
use crate::watch;

/// What was applied, up to which entry.
pub(crate) struct Applied {
    /// The state machine.
    pub(crate) inventory: Inventory,
    /// What changed in it since the last save.
    pub(crate) unsaved: Unsaved,
    /// The last entry applied to it.
    pub(crate) position: Option<Position>,
    /// The last membership applied.
    pub(crate) membership: StoredMembership,
    /// Whether an apply broke off in the middle. Such a state is of no entry, and must be saved nowhere.
    pub(crate) broken: bool,
    /// When the inventory's clock last advanced, by this machine's monotonic clock.
    pub(crate) advanced_at: Instant,
    /// The digests after the last entries.
    pub(crate) digests: Ring,
}

impl Applied {
    /// Notes that the next entry was applied.
    pub(crate) fn advance(&mut self, position: Position) {
        self.position = Some(position);
        self.digests.push(position.index, self.inventory.state_digest());
    }

    /// Takes changes while they are at hand.
    pub(crate) fn gather(&mut self) {
        self.unsaved.gather(&mut self.inventory);
    }

    /// Leaves changes where they are.
    pub(crate) fn leave(&mut self) {
        self.unsaved.leave(&self.inventory);
    }

    /// Takes the next portion of what changed. Whether nothing is left of it.
    pub(crate) fn take_portion(&mut self) -> bool {
        self.unsaved.take_portion(&mut self.inventory)
    }

    /// All that changed since the last save, up to this moment. What changes from here on gathers in empty ones.
    pub(crate) fn take_changes(&mut self, empty: Changes) -> Changes {
        self.unsaved.cut(&mut self.inventory, empty)
    }

    /// How many records changed since the last save.
    pub(crate) fn changed(&self) -> usize {
        self.unsaved.len(&self.inventory)
    }

    /// How far it has come.
    pub(crate) fn progress(&self) -> Progress {
        Progress { index: self.position.map(|p| p.index), sequence: self.inventory.sequence() }
    }

    /// The header of an image of this moment.
    pub(crate) fn header(&self) -> std::io::Result<ImageHeader> {
        let more = if planted!("checkpoint-claims-one-entry-more") { 1 } else { 0 };
        Ok(ImageHeader {
            applied: self.position.map(|last| Position { index: last.index + more, ..last }),
            membership: codec::encode_membership(&self.membership)?,
            digest: self.inventory.state_digest(),
        })
    }
}

/// How far apply has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last entry applied.
    pub(crate) index: Option<u64>,
    /// The sequence number of the last command applied.
    pub(crate) sequence: u64,
}

/// See the module.
pub(crate) struct Replica {
    applied: RwLock<Applied>,
    progress: watch::Sender<Progress>,
    snapshot: Mutex<Option<Snapshot>>,
    /// Commands applied since start.
    pub(crate) commands: AtomicU64,
    /// How long each entry took to be applied.
    pub(crate) applying: Histogram,
}

impl Replica {
    pub(crate) fn new(applied: Applied, snapshot: Option<Snapshot>) -> Replica {
        let progress = watch::Sender::new(applied.progress());
        Replica {
            applied: RwLock::new(applied),
            progress,
            snapshot: Mutex::new(snapshot),
            commands: AtomicU64::new(0),
            applying: Histogram::default(),
        }
    }

    /// For reading. Held for a moment only: apply waits for it.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Applied> {
        self.applied.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For apply, and for whoever takes changes out. Call [`Replica::announce`] after the position moved.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Applied> {
        self.applied.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells waiting readers how far apply has come.
    pub(crate) fn announce(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Waits until the entry at `index` has been applied.
    pub(crate) async fn wait_applied(&self, index: Option<u64>) {
        self.wait(|progress| progress.index >= index).await;
    }

    /// Waits until a command with a greater sequence number has been applied.
    pub(crate) async fn wait_past(&self, sequence: u64) {
        self.wait(|progress| progress.sequence > sequence).await;
    }

    async fn wait(&self, is_enough: impl Fn(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        // The sender lives as long as self, so waiting cannot end before.
        progress.wait_for(is_enough).await;
    }

    /// The newest snapshot on this node's disk.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a new snapshot, unless a newer one came first.
    pub(crate) fn set_snapshot(&self, snapshot: Snapshot) {
        let mut newest = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|newest| newest.header().applied < snapshot.header().applied) {
            *newest = Some(snapshot);
        }
    }

    /// Counts applied commands.
    pub(crate) fn count(&self, commands: usize) {
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
    }
}
