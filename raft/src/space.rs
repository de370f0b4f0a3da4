//! What this node's file system still takes, and what it is too little for.
//!
//! ```text
//!   free bytes    what happens
//!   |  plenty     everything
//!   |  LEFT_FREE  no checkpoint is saved and no snapshot built or taken: what changed gathers in memory, the log grows
//!   |  a segment  the log is short: a leader steps aside, or refuses commands; what was made ahead is still written to
//!   v  nothing    the group stops, out of space, and is started anew when there is room
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use storage::disk::{Disk, RealDisk};
use storage::snapshot::LEFT_FREE_BYTES;

use crate::GroupOptions;

/// A changed record takes less in a checkpoint, in bytes, what sled adds to it included; but for those of large carts,
/// for which there is what is left free.
const RECORD_BYTES: u64 = 1 << 10;

/// A received snapshot and the image made of it take at most so many times its length.
const INSTALL_TIMES: u64 = 4;

/// The file system that a node's directory is in. A cheap handle.
#[derive(Clone)]
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Space {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Space {
        Space { disk, dir }
    }

    /// Whether so many changed records can be saved.
    pub(crate) fn has_for_save(&self, records: usize) -> bool {
        self.has(records as u64 * RECORD_BYTES)
    }

    /// Whether a snapshot of that length can be built, with a save of so many records before it.
    pub(crate) fn has_for_build(&self, snapshot_bytes: u64, records: usize) -> bool {
        self.has(snapshot_bytes + records as u64 * RECORD_BYTES)
    }

    /// Whether a snapshot of that length can be received and installed.
    pub(crate) fn has_for_install(&self, snapshot_bytes: u64) -> bool {
        self.has(snapshot_bytes.saturating_mul(INSTALL_TIMES))
    }

    /// Whether a group can start in this directory and go on for a while.
    pub(crate) fn has_for_start(&self, segment_bytes: u64) -> bool {
        self.has(segment_bytes * 2)
    }

    /// Whether so many bytes can be taken and enough is left. Where the system does not tell, trying does.
    fn has(&self, bytes: u64) -> bool {
        let wanted = bytes.saturating_add(LEFT_FREE_BYTES);
        self.disk.free_bytes(&self.dir).map_or(true, |free| free >= wanted)
    }
}

/// Whether a group that has stopped out of space can be started anew in its directory.
pub fn has_room(options: &GroupOptions) -> bool {
    let space = Space::new(Arc::new(RealDisk), options.data_dir.clone());
    space.has_for_start(options.tuning.segment_bytes)
}
