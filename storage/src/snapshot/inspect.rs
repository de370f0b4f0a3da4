//! Looking at the snapshots of a directory that no node has open, without changing a byte.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::reader::Unreadable;
use super::{parse_name, read_whole, unreadable};
use crate::checkpoint::ImageHeader;
use crate::disk::{Disk, Mode};
use crate::pace::Pace;
use crate::{Position, StorageError};

/// One snapshot's file.
#[derive(Debug)]
pub struct SnapshotView {
    /// Where it is.
    pub path: PathBuf,
    /// What it is an image of, by its name.
    pub applied: Option<Position>,
    /// Its length.
    pub bytes: u64,
    /// What it is an image of and how many records it has, once it was read whole and has the digest that it names.
    pub content: Result<(ImageHeader, u64), StorageError>,
}

/// Reads every snapshot of a directory from the first byte to the last, oldest first; the newest one counts. A
/// directory that is not there has none.
///
/// # Errors
/// Refused: a newer lastunit wrote one. IO: the system said no. Damage is no error: it is in the answer.
pub fn inspect(disk: &dyn Disk, dir: &Path) -> Result<Vec<SnapshotView>, StorageError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(StorageError::io("list", dir))?,
    };
    let mut found: Vec<_> = names.iter().filter_map(|name| Some((parse_name(name)?, name))).collect();
    found.sort();
    found.into_iter().map(|(applied, name)| look(disk, &dir.join(name), applied)).collect()
}

fn look(disk: &dyn Disk, path: &Path, applied: Option<Position>) -> Result<SnapshotView, StorageError> {
    let file = disk.open(path, Mode::Read).map_err(StorageError::io("open", path))?;
    let bytes = file.len().map_err(StorageError::io("stat", path))?;
    let content = match read_whole(&*file, &Pace::default()) {
        Ok(content) => Ok(content),
        Err(damage @ Unreadable::Damaged { .. }) => Err(unreadable(path, damage)),
        Err(other) => return Err(unreadable(path, other)),
    };
    Ok(SnapshotView { path: path.to_owned(), applied, bytes, content })
}
