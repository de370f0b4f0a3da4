//! Looking at a checkpoint that no node has open, without changing a byte of it.
//!
//! sled cannot open an image without writing to it, so a copy is opened, in the way in which a node opens the image
//! itself: the verdict is that of a start.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::current::{self, Current};
use super::folder::Folder;
use super::{ImageHeader, Unreadable, load, unreadable};
use crate::StorageError;
use crate::disk::Disk;
use crate::inventory::Counts;

/// What a checkpoint's directory holds.
#[derive(Debug)]
pub struct CheckpointView {
    /// The number of the image that counts; `None` where none does.
    pub image: Option<u64>,
    /// How many bytes that image takes on disk.
    pub bytes: u64,
    /// Images that do not count, the rest of a crash: the next start removes them.
    pub others: Vec<u64>,
    /// What the image holds; `None` where none counts.
    pub content: Option<Result<ImageView, StorageError>>,
}

/// A whole image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageView {
    /// What it is an image of. The records were audited, and have the digest that it names.
    pub header: ImageHeader,
    /// The number of the last command applied to it.
    pub sequence: u64,
    /// The feature level in force.
    pub level: u16,
    /// How much there is in it.
    pub counts: Counts,
}

/// Reads the checkpoint in a directory, changing nothing. The image that counts is copied into `scratch`, an empty
/// directory of the caller's, and takes as much memory as in a node.
///
/// # Errors
/// Refused: a newer lastunit wrote it. IO: the system said no. Damage is no error: it is in the answer.
pub fn inspect(disk: Arc<dyn Disk>, dir: &Path, scratch: &Path) -> Result<CheckpointView, StorageError> {
    let folder = Folder::at(disk.clone(), dir);
    let is_missing = disk.list(dir).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let mut images = if is_missing { Vec::new() } else { folder.images()? };
    let (image, content) = match current::read(&folder)? {
        Current::Missing => (None, None),
        Current::Damaged => (None, Some(Err(damaged_current(dir)))),
        Current::Image(number) => (Some(number), Some(look(&folder, number, &images, scratch)?)),
    };
    images.retain(|&other| Some(other) != image);
    let bytes = image.map_or(Ok(0), |number| bytes_below(&folder.image_path(number)))?;
    Ok(CheckpointView { image, bytes, others: images, content })
}

/// Opens a copy of an image; the outer error is for what is no damage.
fn look(
    folder: &Folder,
    number: u64,
    images: &[u64],
    scratch: &Path,
) -> Result<Result<ImageView, StorageError>, StorageError> {
    let (path, scratch) = (folder.image_path(number), Folder::at(folder.disk().clone(), scratch));
    if images.contains(&number) {
        copy(&path, &scratch.image_path(number))?;
    }
    match load(&scratch, number, images) {
        Ok((_, header, inventory)) => {
            let (sequence, level, counts) = (inventory.sequence(), inventory.level(), inventory.counts());
            Ok(Ok(ImageView { header, sequence, level, counts }))
        }
        Err(error) => match located(unreadable(&path, error), &path) {
            damage @ StorageError::Corrupt { .. } => Ok(Err(damage)),
            other => Err(other),
        },
    }
}

/// A refusal of the copy is one of the image itself.
fn located(error: StorageError, path: &Path) -> StorageError {
    match error {
        StorageError::Refused { what, mend, .. } => {
            StorageError::Refused { path: path.to_owned(), what, mend }
        }
        other => other,
    }
}

fn damaged_current(dir: &Path) -> StorageError {
    let what = "the line is not one that lastunit writes".to_owned();
    unreadable(&dir.join(current::NAME), Unreadable::Damaged(what))
}

/// Copies a directory of files and directories; anything else in it is not sled's.
fn copy(from: &Path, to: &Path) -> Result<(), StorageError> {
    fs::create_dir_all(to).map_err(StorageError::io("create", to))?;
    for entry in fs::read_dir(from).map_err(StorageError::io("list", from))? {
        let entry = entry.map_err(StorageError::io("list", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(StorageError::io("stat", &path))?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(StorageError::io("make a temporary copy of", &path))?;
        }
    }
    Ok(())
}

fn bytes_below(dir: &Path) -> Result<u64, StorageError> {
    let mut bytes = 0;
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        listed => listed.map_err(StorageError::io("list", dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(StorageError::io("list", dir))?;
        let metadata = entry.metadata().map_err(StorageError::io("stat", dir))?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
