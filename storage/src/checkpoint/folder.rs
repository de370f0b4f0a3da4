//! The checkpoint's directory: what lies in it, by name, and the disk that it is on.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::StorageError;
use crate::disk::{Disk, parent};

const IMAGE_PREFIX: &str = "image-";

/// The checkpoint's directory. A cheap handle.
#[derive(Clone)]
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Folder {
    /// Creates the directory where it is missing, durably.
    pub(super) fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Folder, StorageError> {
        disk.create_dir_all(path).map_err(StorageError::io("create", path))?;
        // An earlier start may have made it and lost power before its name was on disk.
        let parent = parent(path);
        disk.sync_dir(parent).map_err(StorageError::io("fsync", parent))?;
        Ok(Folder { disk, path: path.to_owned() })
    }

    /// The directory as it is, whether it is there or not.
    pub(super) fn at(disk: Arc<dyn Disk>, path: &Path) -> Folder {
        Folder { disk, path: path.to_owned() }
    }

    /// The disk.
    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the image of this number is.
    pub(super) fn image_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("{IMAGE_PREFIX}{number}"))
    }

    /// The numbers of the images that are there, sorted.
    pub(super) fn images(&self) -> Result<Vec<u64>, StorageError> {
        let names = self.disk.list(&self.path).map_err(StorageError::io("list", &self.path))?;
        let numbers = names.iter().filter_map(|name| name.strip_prefix(IMAGE_PREFIX)?.parse().ok());
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes images.
    pub(super) fn remove_images<'a>(
        &self,
        mut numbers: impl Iterator<Item = &'a u64>,
    ) -> Result<(), StorageError> {
        numbers.try_for_each(|&number| self.remove(&self.image_path(number)))
    }

    /// Removes a file, or a directory with all that is in it. Fine where there is none.
    pub(super) fn remove(&self, path: &Path) -> Result<(), StorageError> {
        let removed = match self.disk.remove_dir_all(path) {
            Err(e) if e.kind() == ErrorKind::NotADirectory => self.disk.remove(path),
            removed => removed,
        };
        match removed {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(StorageError::io("remove", path)),
        }
    }

    /// fsyncs it: the names in it are on disk at return.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        self.disk.sync_dir(&self.path).map_err(StorageError::io("fsync", &self.path))
    }
}
