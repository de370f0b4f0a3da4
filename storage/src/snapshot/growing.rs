//! A snapshot's file while it grows: it leaves room in the file system for what cannot wait.
//!
//! A snapshot is the one large thing that a node can do without for a while. So it never takes the last bytes: the
//! log needs them for its next segment, and the checkpoint for its next save.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::LEFT_FREE_BYTES;
use crate::StorageError;
use crate::disk::{Disk, File};

/// How much is written between two looks at what is free, in bytes.
const LOOK_EVERY_BYTES: u64 = 8 << 20;

/// A file that is appended to while there is room.
pub(super) struct Growing {
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    len: u64,
    /// Up to this length there was room when it was last looked at.
    len_max: u64,
}

impl Growing {
    /// A new file.
    pub(super) fn new(disk: Arc<dyn Disk>, file: Arc<dyn File>) -> Growing {
        Growing { disk, file, len: 0, len_max: 0 }
    }

    /// How long it is, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Appends bytes; `path` is what the file is called.
    ///
    /// # Errors
    /// Out of space also where less than [`LEFT_FREE_BYTES`] would be left.
    pub(super) fn append(&mut self, bytes: &[u8], path: &Path) -> Result<(), StorageError> {
        let written = self.look(bytes.len() as u64, path);
        let written = written.and_then(|()| self.file.write_all_at(bytes, self.len));
        written.map_err(StorageError::io("write", path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// fdatasyncs it.
    pub(super) fn sync(&self, path: &Path) -> Result<(), StorageError> {
        self.file.sync_data().map_err(StorageError::io("fdatasync", path))
    }

    fn look(&mut self, more: u64, path: &Path) -> io::Result<()> {
        if self.len + more > self.len_max {
            // Where nobody can say how much is free, the write itself will tell.
            let free = self.disk.free_bytes(path).unwrap_or(u64::MAX);
            let room = free.saturating_sub(LEFT_FREE_BYTES);
            if room < more {
                let what = format!("less than {} MiB would be left free", LEFT_FREE_BYTES >> 20);
                return Err(io::Error::new(io::ErrorKind::StorageFull, what));
            }
            self.len_max = self.len + room.min(LOOK_EVERY_BYTES).max(more);
        }
        Ok(())
    }
}
