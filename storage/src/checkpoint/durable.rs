//! fdatasync for files that sled wrote.
//!
//! sled 0.34's `flush` ends in `sync_file_range`, which leaves the file's length and the device's cache alone, and
//! it never syncs a directory. So after each flush every one of its files is synced here, and its directories
//! whenever names appeared in them. The files of packs are not sled's: see [`Packs::sync`](super::packs::Packs::sync).
//!
//! Linux tells of a write that failed in the background once to each open file. sled's own calls on its file may be
//! told, and sled keeps it to itself; so that file is held open here from the beginning, and synced by that handle.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::packs::is_pack_file;
use crate::StorageError;
use crate::disk::{Disk, File, Mode};

/// sled's directory of values too large for its pages. Each of its files is written once.
const BLOBS: &str = "blobs";

/// sled's file, which all but those values are in.
const DATABASE: &str = "db";

/// What was synced of one sled directory.
pub(super) struct Synced {
    disk: Arc<dyn Disk>,
    names: BTreeSet<PathBuf>,
    /// sled's file, once it is there.
    database: Option<Arc<dyn File>>,
}

impl Synced {
    /// Nothing yet.
    pub(super) fn new(disk: Arc<dyn Disk>) -> Synced {
        Synced { disk, names: BTreeSet::new(), database: None }
    }

    /// Opens sled's file in `dir`, where it is there and not yet open: before sled opens it, or once sled has made it.
    pub(super) fn hold(&mut self, dir: &Path) -> io::Result<()> {
        if self.database.is_none() {
            self.database = match self.disk.open(&dir.join(DATABASE), Mode::Read) {
                Err(e) if e.kind() == ErrorKind::NotFound => None,
                opened => Some(opened?),
            };
        }
        Ok(())
    }

    /// Makes all that sled has written below `dir` durable.
    pub(super) fn sync(&mut self, dir: &Path) -> Result<(), StorageError> {
        let names = self.files_below(dir)?;
        // Blobs never change: those that were synced once need no more.
        let mut stale = names.iter().filter(|path| !is_blob(path) || !self.names.contains(*path));
        stale.try_for_each(|path| self.sync_file(dir, path))?;
        if names.iter().any(|path| !self.names.contains(path)) {
            self.sync_dir(&dir.join(BLOBS))?;
            self.sync_dir(dir)?;
        }
        self.names = names;
        Ok(())
    }

    /// fdatasyncs a file. One that is gone again was sled's to remove: it collects garbage in the background.
    fn sync_file(&self, dir: &Path, path: &Path) -> Result<(), StorageError> {
        let held = self.database.as_ref().filter(|_| *path == dir.join(DATABASE));
        let file = held.map_or_else(|| self.disk.open(path, Mode::Read), |held| Ok(held.clone()));
        match file.and_then(|file| file.sync_data()) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(StorageError::io("fdatasync", path)),
        }
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), StorageError> {
        self.disk.sync_dir(dir).map_err(StorageError::io("fsync", dir))
    }

    /// sled's files: all that there is but the one directory, and the packs.
    fn files_below(&self, dir: &Path) -> Result<BTreeSet<PathBuf>, StorageError> {
        let blobs = dir.join(BLOBS);
        let paths = self.list(dir)?.chain(self.list(&blobs)?);
        Ok(paths.filter(|path| *path != blobs && !is_pack_file(path)).collect())
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
