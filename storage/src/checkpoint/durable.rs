//! fdatasync for files that sled wrote.
//!
//! sled 0.34's `flush` ends in `sync_file_range`, which leaves the file's length and the device's cache alone, and
//! it never syncs a directory. So after each flush every one of its files is synced here, and its directories
//! whenever names appeared in them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::StorageError;
use crate::disk::{Disk, Mode};

/// sled's directory of values too large for its pages. Each of its files is written once.
const BLOBS: &str = "blobs";

/// What was synced of one sled directory.
pub(super) struct Synced {
    disk: Arc<dyn Disk>,
    names: BTreeSet<PathBuf>,
}

impl Synced {
    /// Nothing yet.
    pub(super) fn new(disk: Arc<dyn Disk>) -> Synced {
        Synced { disk, names: BTreeSet::new() }
    }

    /// Makes all that sled has written below `dir` durable.
    pub(super) fn sync(&mut self, dir: &Path) -> Result<(), StorageError> {
        let names = self.files_below(dir)?;
        // Blobs never change: those that were synced once need no more.
        let mut stale = names.iter().filter(|path| !is_blob(path) || !self.names.contains(*path));
        stale.try_for_each(|path| self.sync_file(path))?;
        if names.iter().any(|path| !self.names.contains(path)) {
            self.sync_dir(&dir.join(BLOBS))?;
            self.sync_dir(dir)?;
        }
        self.names = names;
        Ok(())
    }

    /// fdatasyncs a file. One that is gone again was sled's to remove: it collects garbage in the background.
    fn sync_file(&self, path: &Path) -> Result<(), StorageError> {
        match self.disk.open(path, Mode::Read).and_then(|file| file.sync_data()) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(StorageError::io("fdatasync", path)),
        }
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), StorageError> {
        self.disk.sync_dir(dir).map_err(StorageError::io("fsync", dir))
    }

    /// sled's files: all that there is but the one directory.
    fn files_below(&self, dir: &Path) -> Result<BTreeSet<PathBuf>, StorageError> {
        let blobs = dir.join(BLOBS);
        let paths = self.list(dir)?.chain(self.list(&blobs)?);
        Ok(paths.filter(|path| *path != blobs).collect())
    }

    fn list(&self, dir: &Path) -> Result<impl Iterator<Item = PathBuf> + use<>, StorageError> {
        let names = self.disk.list(dir).map_err(StorageError::io("list", dir))?;
        let dir = dir.to_owned();
        Ok(names.into_iter().map(move |name| dir.join(name)))
    }
}

fn is_blob(path: &Path) -> bool {
    path.parent().and_then(Path::file_name) == Some(OsStr::new(BLOBS))
}
