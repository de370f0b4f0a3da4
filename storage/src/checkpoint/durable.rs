//! fdatasync for files that sled wrote.
//!
//! sled 0.34's `flush` ends in `sync_file_range`, which leaves the file's length and the device's cache alone, and
//! it never syncs a directory. So after each flush every one of its files is synced here, and its directories
//! whenever names appeared in them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::StorageError;

/// sled's directory of values too large for its pages. Each of its files is written once.
const BLOBS: &str = "blobs";

/// What was synced of one sled directory.
#[derive(Debug, Default)]
pub(super) struct Synced {
    names: BTreeSet<PathBuf>,
}

impl Synced {
    /// Makes all that sled has written below `dir` durable.
    pub(super) fn sync(&mut self, dir: &Path) -> Result<(), StorageError> {
        let names = files_below(dir)?;
        // Blobs never change: those that were synced once need no more.
        let stale = names.iter().filter(|path| !is_blob(path) || !self.names.contains(*path));
        stale.map(PathBuf::as_path).try_for_each(sync_file)?;
        if names.iter().any(|path| !self.names.contains(path)) {
            sync_dir(&dir.join(BLOBS))?;
            sync_dir(dir)?;
        }
        self.names = names;
        Ok(())
    }
}

/// fsyncs a directory: the names in it are on disk at return.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(StorageError::io("fsync", dir))
}

/// fdatasyncs a file. One that is gone again was sled's to remove: it collects garbage in the background.
fn sync_file(path: &Path) -> Result<(), StorageError> {
    match File::open(path).and_then(|file| file.sync_data()) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(StorageError::io("fdatasync", path)),
    }
}

fn files_below(dir: &Path) -> Result<BTreeSet<PathBuf>, StorageError> {
    let mut files = BTreeSet::new();
    for dir in [dir, &dir.join(BLOBS)] {
        list_files(dir, &mut files).map_err(StorageError::io("list", dir))?;
    }
    Ok(files)
}

fn list_files(dir: &Path, files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.insert(entry.path());
        }
    }
    Ok(())
}

fn is_blob(path: &Path) -> bool {
    path.parent().and_then(Path::file_name) == Some(OsStr::new(BLOBS))
}

/// fsyncs the directory that `path` is in.
pub(super) fn sync_parent(path: &Path) -> Result<(), StorageError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Removes a directory, or whatever has its name, with all that is in it. Fine where there is none.
pub(super) fn remove_all(path: &Path) -> Result<(), StorageError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(StorageError::io("remove", path)),
    }
}
