//! What this node's file system still takes, and what it is too little for.
//!
//! ```text
//!   free bytes    what happens
//!   |  plenty     everything
//!   |  LEFT_FREE  no checkpoint is saved and no snapshot built or taken: what changed gathers in memory, the log grows
//!   |  a segment  the log is short: a leader steps aside, or refuses commands; what was made ahead is still written to
//!   v  nothing    the group stops, out of space, and is started anew when there is room
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::disk::{Disk, RealDisk};
use storage::snapshot::LEFT_FREE_BYTES;

use crate::GroupOptions;

/// Where the image is in a node's directory.
const CHECKPOINT: &str = "checkpoint";

/// A record takes less in an image, in bytes, packed, what sled adds to it included; but for those of large carts, for
/// which there is what is left free.
const RECORD_BYTES: u64 = 128;

/// A changed record has its whole pack written anew, which takes less than this, in bytes.
const PACK_BYTES: u64 = 4 << 10;

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

    /// Whether so many changed records can be saved into an image of so many bytes.
    pub(crate) fn has_for_save(&self, image_bytes: u64, records: usize) -> bool {
        self.has(save_bytes(image_bytes, records))
    }

    /// Whether a snapshot of that length can be built, with a save of so many records before it.
    pub(crate) fn has_for_build(&self, snapshot_bytes: u64, image_bytes: u64, records: usize) -> bool {
        self.has(save_bytes(image_bytes, records).saturating_add(snapshot_bytes))
    }

    /// Whether a snapshot of that length can be received and installed.
    pub(crate) fn has_for_install(&self, snapshot_bytes: u64) -> bool {
        self.has(snapshot_bytes.saturating_mul(INSTALL_TIMES))
    }

    /// Whether a group can start in this directory and go on for a while: two segments of log, and a save that writes
    /// the whole image anew, so that the log is cut again before it has taken what came free.
    pub(crate) fn has_for_start(&self, segment_bytes: u64) -> bool {
        self.has((segment_bytes * 2).saturating_add(self.image_bytes()))
    }

    /// What the files of the checkpoint take now. Blocking.
    pub(crate) fn image_bytes(&self) -> u64 {
        files_bytes(&self.dir.join(CHECKPOINT))
    }

    /// Whether so many bytes can be taken and enough is left. Where the system does not tell, trying does.
    fn has(&self, bytes: u64) -> bool {
        let wanted = bytes.saturating_add(LEFT_FREE_BYTES);
        self.disk.free_bytes(&self.dir).map_or(true, |free| free >= wanted)
    }
}

/// What a save takes at most: the pack of every changed record, where they lie apart; where they are many, no more
/// than all packs that there are, each once, and the changed records as new ones. Runs of SKUs are put together
/// only where there is room for that as well.
fn save_bytes(image_bytes: u64, records: usize) -> u64 {
    let records = records as u64;
    (records * PACK_BYTES).min(image_bytes.saturating_add(records * RECORD_BYTES))
}

/// The lengths of all files in a directory and those in it. sled's are real files, whatever the disk is, and come and
/// go meanwhile: what cannot be seen counts nothing.
fn files_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => files_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// Whether a group that has stopped out of space can be started anew in its directory.
pub fn has_room(options: &GroupOptions) -> bool {
    has_room_on(Arc::new(RealDisk), options)
}

/// As [`has_room`], on another disk than this machine's.
pub fn has_room_on(disk: Arc<dyn Disk>, options: &GroupOptions) -> bool {
    let space = Space::new(disk, options.data_dir.clone());
    space.has_for_start(options.tuning.segment_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_is_thought_to_take_the_packs_of_few_records_and_no_more_than_the_image_of_many() {
        let image_bytes = 100 << 20;
        for (image_bytes, records, bytes) in [
            (image_bytes, 0, 0),
            (image_bytes, 1, 4 << 10),
            (image_bytes, 20_000, 20_000 * (4 << 10)),
            (image_bytes, 1_000_000, image_bytes + 128_000_000),
            (0, 1_000_000, 128_000_000),
            (u64::MAX, 20_000, 20_000 * (4 << 10)),
        ] {
            assert_eq!(
                save_bytes(image_bytes, records),
                bytes,
                "{records} records, {image_bytes} bytes of image"
            );
        }
    }

    #[test]
    fn an_image_is_as_long_as_the_files_in_it_and_below() {
        let directory = tempfile::tempdir().unwrap();
        let space = Space::new(Arc::new(RealDisk), directory.path().to_owned());
        assert_eq!(space.image_bytes(), 0);
        let image = directory.path().join("checkpoint/image-1");
        fs::create_dir_all(image.join("blobs")).unwrap();
        fs::write(image.join("pack-1"), [0; 700]).unwrap();
        fs::write(image.join("blobs/1"), [0; 50]).unwrap();
        fs::write(directory.path().join("lock"), [0; 9]).unwrap();
        assert_eq!(space.image_bytes(), 750);
    }
}
