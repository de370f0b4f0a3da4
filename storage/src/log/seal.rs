//! The seal: how far the log is known to be whole, kept outside of it.
//!
//! The last group of a log has no later one that proves it was once complete, so damage to it looks like a
//! write torn by a power cut. When the log has been idle for a moment, the writer therefore notes the number
//! and checksum of the last group in a small file of its own. A log that ends before its seal is damaged.
//!
//! ```text
//!   file "seal":  | slot 0 ... | (4096) slot 1 ... | (8192)
//! ```
//!
//! The slots are written in turn and lie in different pages: a seal that is torn or damaged leaves the one
//! before it, which claims less.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, File, Mode};
use crate::{LEAVE_STOPPED, StorageError};

use super::failure::{at, corrupt, other_group, unknown_version};
use super::format::{VERSION, u32_at, u64_at};

const NAME: &str = "seal";
const SLOT_BYTES: u64 = 4096;
const FILE_BYTES: u64 = 2 * SLOT_BYTES;
const SEAL_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"\xfflusea\xfe\n";

/// What a seal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    /// Counts the seals.
    pub turn: u64,
    /// The segment that holds the last group.
    pub sequence: u64,
    /// Where in that segment's file the group ends.
    pub end: u64,
    /// The group's number.
    pub number: u64,
    /// The group's checksum.
    pub crc: u32,
}

/// The seal's file.
pub(super) struct SealFile {
    path: PathBuf,
    file: Arc<dyn File>,
    group: u64,
    /// The last seal.
    pub last: Option<Seal>,
}

impl SealFile {
    /// Where it is in a log's directory.
    pub(super) fn path(dir: &Path) -> PathBuf {
        dir.join(NAME)
    }

    /// Bytes that it takes.
    pub(super) const BYTES: u64 = FILE_BYTES;

    /// Opens the file and reads the newer of its seals; `None` where the file is not there or not complete.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        group: u64,
        mode: Mode,
    ) -> Result<Option<SealFile>, StorageError> {
        let path = SealFile::path(dir);
        let file = match disk.open(&path, mode) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at("open", &path)(error)),
        };
        if file.len().map_err(at("stat", &path))? != FILE_BYTES {
            return Ok(None);
        }
        let mut seals = SealFile { path, file, group, last: None };
        let slots = [seals.read_slot(0)?, seals.read_slot(1)?];
        seals.last = slots.into_iter().flatten().max_by_key(|seal| seal.turn);
        Ok(Some(seals))
    }

    /// Why a log that has segments cannot do with what [`SealFile::open`] found to be no seal.
    pub(super) fn lost(disk: &dyn Disk, dir: &Path) -> StorageError {
        let path = SealFile::path(dir);
        match disk.open(&path, Mode::Read).and_then(|file| file.len()) {
            Ok(length) => {
                let what = format!("the file has {length} bytes, not {FILE_BYTES}");
                corrupt(&path, length.min(FILE_BYTES), what)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => StorageError::Refused {
                path,
                what: "is missing, but the log has segments".into(),
                mend: format!("put the file back, or {LEAVE_STOPPED}"),
            },
            Err(error) => at("open", &path)(error),
        }
    }

    /// Makes the file, or makes it anew where it is incomplete; its name is durable once the directory is.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, group: u64) -> Result<SealFile, StorageError> {
        let path = SealFile::path(dir);
        let file = match disk.open(&path, Mode::CreateNew) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                disk.open(&path, Mode::ReadWrite)
            }
            other => other,
        };
        let file = file.map_err(at("create", &path))?;
        file.write_all_at(&[0; FILE_BYTES as usize], 0).map_err(at("write", &path))?;
        file.set_len(FILE_BYTES).map_err(at("truncate", &path))?;
        file.sync_data().map_err(at("fdatasync", &path))?;
        disk.sync_dir(dir).map_err(at("fsync", dir))?;
        Ok(SealFile { path, file, group, last: None })
    }

    /// Writes the next seal; it is on disk at return.
    pub(super) fn write(
        &mut self,
        sequence: u64,
        end: u64,
        number: u64,
        crc: u32,
    ) -> Result<(), StorageError> {
        let turn = self.last.map_or(0, |seal| seal.turn) + 1;
        let seal = Seal { turn, sequence, end, number, crc };
        let bytes = seal.encode(self.group);
        self.file.write_all_at(&bytes, turn % 2 * SLOT_BYTES).map_err(at("write", &self.path))?;
        self.file.sync_data().map_err(at("fdatasync", &self.path))?;
        self.last = Some(seal);
        Ok(())
    }

    fn read_slot(&self, slot: u64) -> Result<Option<Seal>, StorageError> {
        let mut bytes = [0; SEAL_BYTES];
        let read = self.file.read_at(&mut bytes, slot * SLOT_BYTES).map_err(at("read", &self.path))?;
        if read < SEAL_BYTES {
            return Err(corrupt(&self.path, slot * SLOT_BYTES, "the file ends too early"));
        }
        self.decode(&bytes)
    }

    fn decode(&self, bytes: &[u8; SEAL_BYTES]) -> Result<Option<Seal>, StorageError> {
        if bytes[..8] != MAGIC || u32_at(bytes, 60) != crc32fast::hash(&bytes[..60]) {
            return Ok(None);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(unknown_version(&self.path, u32_at(bytes, 8)));
        }
        if u64_at(bytes, 16) != self.group {
            return Err(other_group(&self.path, u64_at(bytes, 16), self.group));
        }
        Ok(Some(Seal {
            crc: u32_at(bytes, 12),
            turn: u64_at(bytes, 24),
            sequence: u64_at(bytes, 32),
            end: u64_at(bytes, 40),
            number: u64_at(bytes, 48),
        }))
    }
}

impl Seal {
    fn encode(&self, group: u64) -> [u8; SEAL_BYTES] {
        let mut bytes = [0; SEAL_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&group.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.turn.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.end.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}
