//! The `CURRENT` file: which of the images is the checkpoint.
//!
//! One line of text, `lastunit checkpoint <version> <number> <checksum>`: the CRC-32, in hexadecimal, of all that
//! stands before its space. It is replaced whole, by a rename, so that a crash leaves the old line or the new one.

use std::io::ErrorKind;

use super::folder::Folder;
use crate::disk::{Mode, read_whole};
use crate::{StorageError, small};

/// The file's name in the checkpoint's directory.
pub(super) const NAME: &str = "CURRENT";

const TEMPORARY: &str = "CURRENT.tmp";
const MAGIC: &str = "lastunit checkpoint";

/// The version of the checkpoint's layout written now. In version 1, which was never released, stock and customers were
/// rows by themselves.
const VERSION: u64 = 2;

/// Far more than the file ever takes.
const FILE_BYTES_MAX: u64 = 4096;

/// What `CURRENT` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Current {
    /// There is none: no save was ever finished here.
    Missing,
    /// The image of this number.
    Image(u64),
    /// Nothing that can be read.
    Damaged,
}

/// Reads the file. A newer layout is refused.
pub(super) fn read(folder: &Folder) -> Result<Current, StorageError> {
    let path = folder.path().join(NAME);
    let file = match folder.disk().open(&path, Mode::Read) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Current::Missing),
        opened => opened.map_err(StorageError::io("open", &path))?,
    };
    let line = read_whole(&*file, FILE_BYTES_MAX).map_err(StorageError::io("read", &path))?;
    match parse(&line) {
        None => Ok(Current::Damaged),
        Some((VERSION, number)) => Ok(Current::Image(number)),
        Some((version, _)) if version < VERSION => Err(super::older(&path, version)),
        Some((version, _)) => Err(super::newer(&path, version, VERSION)),
    }
}

/// Makes the image of this number the checkpoint, durable at return.
pub(super) fn write(folder: &Folder, number: u64) -> Result<(), StorageError> {
    // What a crash left of an earlier one, whatever it is.
    folder.remove(&folder.path().join(TEMPORARY))?;
    let line = format(VERSION, number);
    small::replace(&**folder.disk(), folder.path(), NAME, TEMPORARY, line.as_bytes())
}

/// Makes no image the checkpoint, durable at return.
pub(super) fn remove(folder: &Folder) -> Result<(), StorageError> {
    folder.remove(&folder.path().join(NAME))?;
    folder.sync()
}

fn format(version: u64, number: u64) -> String {
    let body = format!("{MAGIC} {version} {number}");
    format!("{body} {:08x}\n", crc32fast::hash(body.as_bytes()))
}

/// The version and the image's number, where the line is one that [`format()`] makes, to the byte.
fn parse(line: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.strip_prefix(MAGIC)?.split_ascii_whitespace();
    let version = words.next()?.parse().ok()?;
    let number = words.next()?.parse().ok()?;
    (format(version, number) == text).then_some((version, number))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::disk::RealDisk;

    fn folder(dir: &tempfile::TempDir) -> Folder {
        Folder::open(Arc::new(RealDisk), dir.path()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&folder(&dir)).unwrap(), Current::Missing);
        for number in [1, 2, u64::MAX] {
            write(&folder(&dir), number).unwrap();
            assert_eq!(read(&folder(&dir)).unwrap(), Current::Image(number));
        }
    }

    #[test]
    fn the_line_has_golden_bytes() {
        assert_eq!(format(1, 7), "lastunit checkpoint 1 7 5ec8ecde\n");
    }

    #[test]
    fn another_layout_is_refused_and_left_alone() {
        for (version, said) in
            [(VERSION + 1, "version 3 is newer than this lastunit knows (2)"), (1, "never released")]
        {
            let dir = tempfile::tempdir().unwrap();
            let line = format(version, 3);
            fs::write(dir.path().join(NAME), &line).unwrap();
            let refused = read(&folder(&dir)).unwrap_err();
            assert!(matches!(refused, StorageError::Refused { .. }));
            assert!(refused.to_string().contains(said), "{refused}");
            assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), line);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let line = format(VERSION, 41).into_bytes();
        let flips = (0..line.len() * 8).map(|bit| {
            let mut line = line.clone();
            line[bit / 8] ^= 1 << (bit % 8);
            line
        });
        let cuts = (0..line.len()).map(|len| line[..len].to_vec());
        for damaged in flips.chain(cuts) {
            fs::write(dir.path().join(NAME), &damaged).unwrap();
            assert_eq!(read(&folder(&dir)).unwrap(), Current::Damaged, "{damaged:?}");
        }
    }
}
