//! Small files that are read whole and replaced whole.
//!
//! ```text
//!   magic (8) | version (4) | fields | CRC-32 of all before it (4)       little-endian
//!
//!   replaced:  NAME.tmp written --> fdatasync --> renamed to NAME --> directory fsynced
//! ```
//!
//! Magic, version and checksum keep their places in every version, so that damage is told from a newer version.
//! After a power cut a file is what it was before, or what it was replaced with; the rest of a crash is `NAME.tmp`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::StorageError;
use crate::disk::{Disk, Mode, read_whole};

/// Far more than any of them ever takes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One kind of small file: a name in a directory, and a format.
pub(crate) struct SmallFile {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its name before the rename.
    pub(crate) temporary: &'static str,
    /// Its first eight bytes.
    pub(crate) magic: &'static [u8; 8],
    /// The version of what is written, and the only one that is read: those before it were never released.
    pub(crate) version: u32,
    /// What the operator does about a damaged one.
    pub(crate) mend: &'static str,
}

impl SmallFile {
    /// The fields of the file in that directory; `None` where there is none. Nothing is changed.
    ///
    /// # Errors
    /// Corrupt: damaged. Refused: another version. IO: the system said no.
    pub(crate) fn read(&self, disk: &dyn Disk, dir: &Path) -> Result<Option<Vec<u8>>, StorageError> {
        let path = dir.join(self.name);
        match read(disk, &path)? {
            Some(bytes) => self.fields_of(bytes, path).map(Some),
            None => Ok(None),
        }
    }

    /// Replaces the file, durable at return.
    ///
    /// # Errors
    /// IO: the system said no. Then the file is what it was, or what it was to be.
    pub(crate) fn replace(&self, disk: &dyn Disk, dir: &Path, fields: &[u8]) -> Result<(), StorageError> {
        replace(disk, dir, self.name, self.temporary, &self.bytes_of(fields))
    }

    /// The file is whole by its checksum, but its fields are not what they are to be.
    pub(crate) fn damaged(&self, dir: &Path, what: &str) -> StorageError {
        self.corrupt(dir.join(self.name), what)
    }

    /// The bytes of a file with these fields.
    pub(crate) fn bytes_of(&self, fields: &[u8]) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(fields);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn fields_of(&self, bytes: Vec<u8>, path: PathBuf) -> Result<Vec<u8>, StorageError> {
        let Some((body, crc)) = bytes.split_last_chunk() else {
            return Err(self.corrupt(path, "the file is cut short"));
        };
        // Every version ends in this checksum, so that damage is not taken for another version.
        if u32::from_le_bytes(*crc) != crc32fast::hash(body) {
            return Err(self.corrupt(path, "a wrong checksum"));
        }
        let Some(rest) = body.strip_prefix(self.magic) else {
            let what = format!("this is no file {:?} of lastunit", self.name);
            return Err(self.corrupt(path, &what));
        };
        match rest.split_first_chunk() {
            None => Err(self.corrupt(path, "the file is cut short")),
            Some((version, fields)) => match u32::from_le_bytes(*version) {
                0 => Err(self.corrupt(path, "format version 0")),
                version if version == self.version => Ok(fields.to_vec()),
                other => Err(self.other_version(path, other)),
            },
        }
    }

    fn corrupt(&self, path: PathBuf, what: &str) -> StorageError {
        StorageError::Corrupt { path, offset: 0, what: what.to_owned(), mend: self.mend.to_owned() }
    }

    fn other_version(&self, path: PathBuf, version: u32) -> StorageError {
        let known = self.version;
        let (what, mend) = if version < known {
            let what = format!("format version {version} was never released");
            (what, "start this cluster anew, with empty directories")
        } else {
            let what = format!("format version {version} is newer than this lastunit knows ({known})");
            (what, "run the lastunit that wrote it, or a newer one")
        };
        StorageError::Refused { path, what, mend: mend.to_owned() }
    }
}

/// Reads any small file; `None` where there is none.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    let file = match disk.open(path, Mode::Read) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(StorageError::io("open", path))?,
    };
    read_whole(&*file, FILE_BYTES_MAX).map(Some).map_err(StorageError::io("read", path))
}

/// Replaces any small file, durable at return.
pub(crate) fn replace(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    temporary: &str,
    bytes: &[u8],
) -> Result<(), StorageError> {
    let (path, temporary) = (dir.join(name), dir.join(temporary));
    match disk.remove(&temporary) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(StorageError::io("remove", &temporary)(e)),
        _ => {}
    }
    let file = disk.open(&temporary, Mode::CreateNew).map_err(StorageError::io("create", &temporary))?;
    file.write_all_at(bytes, 0).map_err(StorageError::io("write", &temporary))?;
    file.sync_data().map_err(StorageError::io("fdatasync", &temporary))?;
    disk.rename(&temporary, &path).map_err(StorageError::io("rename", &path))?;
    disk.sync_dir(dir).map_err(StorageError::io("fsync", dir))
}

/// A cursor over fields; each answers `None` at their end.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    /// The next bytes.
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn bool(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    /// An integer of 64 bits.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// An integer of 128 bits.
    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }
}

/// Every damage that a test puts into a file: each bit flipped, each cut, and some additions.
#[cfg(test)]
pub(crate) fn damages(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flips = (0..whole.len() * 8).map(|bit| {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cuts = (0..whole.len()).map(|len| whole[..len].to_vec());
    flips.chain(cuts).chain([vec![0; whole.len()], [whole, &[0]].concat(), [whole, whole].concat()])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::RealDisk;
    use crate::disk::sim::SimDisk;

    const FILE: SmallFile =
        SmallFile { name: "file", temporary: "file.tmp", magic: b"LUtests\n", version: 2, mend: "remove it" };

    #[test]
    fn a_file_has_golden_bytes() {
        let bytes = FILE.bytes_of(b"fields");
        let (body, crc) = bytes.split_last_chunk::<4>().unwrap();
        assert_eq!(body, b"LUtests\n\x02\0\0\0fields");
        assert_eq!(u32::from_le_bytes(*crc), crc32fast::hash(body));
    }

    #[test]
    fn every_damage_is_seen_and_named() {
        let dir = tempfile::tempdir().unwrap();
        for damaged in damages(&FILE.bytes_of(b"fields")) {
            fs::write(dir.path().join("file"), &damaged).unwrap();
            let Err(error) = FILE.read(&RealDisk, dir.path()) else { panic!("accepted {damaged:?}") };
            let line = error.to_string();
            assert!(matches!(error, StorageError::Corrupt { .. }), "{line}");
            assert!(line.contains("file is damaged at offset 0") && line.ends_with("remove it"), "{line}");
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (version, told) in [(1, "version 1 was never released"), (3, "version 3 is newer")] {
            let other = SmallFile { version, ..FILE };
            other.replace(&RealDisk, dir.path(), b"fields").unwrap();
            let Err(error) = FILE.read(&RealDisk, dir.path()) else { panic!("accepted version {version}") };
            assert!(matches!(error, StorageError::Refused { .. }), "{error}");
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    /// The label decides what becomes of the node: a write without room is no failure, a failed fdatasync is final.
    #[test]
    fn without_room_each_step_is_told_by_its_name_and_a_failed_sync_is_final() {
        let dir = Path::new("/node");
        let mut told = Vec::new();
        for step in 0.. {
            let disk = SimDisk::new();
            disk.create_dir_all(dir).unwrap();
            FILE.replace(&disk, dir, b"old").unwrap();
            // What a crash left, to be removed first.
            disk.open(&dir.join(FILE.temporary), Mode::CreateNew).unwrap();
            disk.fail_at(disk.steps() + step, ErrorKind::StorageFull);
            let Err(error) = FILE.replace(&disk, dir, b"new") else { break };
            let no_failure = error.is_out_of_space();
            let StorageError::Io { action, path, .. } = error else { panic!("{error}") };
            told.push((action, path, no_failure));
        }
        let expected = [
            ("remove", "/node/file.tmp", true),
            ("create", "/node/file.tmp", true),
            ("write", "/node/file.tmp", true),
            ("fdatasync", "/node/file.tmp", false),
            ("rename", "/node/file", true),
            ("fsync", "/node", false),
        ];
        let expected = expected.map(|(action, path, no_failure)| (action, Path::new(path), no_failure));
        let told: Vec<_> =
            told.iter().map(|(action, path, no_failure)| (*action, &**path, *no_failure)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_power_cut_at_any_step_leaves_the_old_file_or_the_new_one() {
        let dir = Path::new("/node");
        let mut cuts = 0;
        for seed in 0..20 {
            for step in 0.. {
                let disk = SimDisk::new();
                disk.create_dir_all(dir).unwrap();
                FILE.replace(&disk, dir, b"old").unwrap();
                disk.power_fails_at(disk.steps() + step);
                let done = FILE.replace(&disk, dir, b"new").is_ok();
                disk.crash(seed);
                let read = FILE.read(&disk, dir).unwrap().unwrap();
                assert!(read == b"new" || (!done && read == b"old"), "seed {seed}, step {step}: {read:?}");
                FILE.replace(&disk, dir, b"next").unwrap();
                if done {
                    break;
                }
                cuts += 1;
            }
        }
        println!("{cuts} cuts");
    }
}
