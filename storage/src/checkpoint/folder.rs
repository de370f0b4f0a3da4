//! The checkpoint's directory: what lies in it, by name, and the disk that it is on.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::packs;
use crate::StorageError;
use crate::disk::{Disk, parent};

const IMAGE_PREFIX: &str = "image-";

/// The checkpoint's directory. A cheap handle.
#[derive(Clone)]
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// See [`packs::FILE_BYTES`].
    pack_file_bytes: u64,
}

impl Folder {
    /// Creates the directory where it is missing, durably.
    pub(super) fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Folder, StorageError> {
        disk.create_dir_all(path).map_err(StorageError::io("create", path))?;
        // An earlier start may have made it and lost power before its name was on disk.
        let parent = parent(path);
        disk.sync_dir(parent).map_err(StorageError::io("fsync", parent))?;
        Ok(Folder::at(disk, path))
    }

    /// The directory as it is, whether it is there or not.
    pub(super) fn at(disk: Arc<dyn Disk>, path: &Path) -> Folder {
        Folder { disk, path: path.to_owned(), pack_file_bytes: packs::FILE_BYTES }
    }

    /// With pack files of this many bytes.
    pub(super) fn with_pack_file_bytes(self, pack_file_bytes: u64) -> Folder {
        Folder { pack_file_bytes, ..self }
    }

    /// How many bytes a pack file of its images has.
    pub(super) fn pack_file_bytes(&self) -> u64 {
        self.pack_file_bytes
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
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name, IMAGE_PREFIX)).collect();
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

/// The number in a name that is the prefix and a number, written in the one way in which it is written here.
pub(super) fn number_of(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file called `pack-007` stopped a start: it counted as file 7, which was not there.
    #[test]
    fn a_number_that_is_written_in_another_way_is_none() {
        for number in [0, 7, u64::MAX] {
            assert_eq!(number_of(&format!("pack-{number}"), "pack-"), Some(number));
        }
        for name in ["pack-007", "pack-+7", "pack-", "pack-7 ", "pack-18446744073709551616", "image-7", "7"] {
            assert_eq!(number_of(name, "pack-"), None, "{name}");
        }
    }
}
