//! The files that the packs of an image lie in. sled keeps where each of them is.
//!
//! ```text
//!   pack-3   [####][ dead ][##][ dead ]...     every pack behind the one before; never changed in place
//!   pack-4   [##][####]
//!                     ^ the next one
//! ```
//!
//! A row in sled is written about five times before it rests: as a change of its page, then with its page whenever
//! that is put together or split, and again when sled tidies its file up. Here it is written once. A pack that
//! changes is written anew, and its former bytes are dead; when more than half of all bytes are, the packs that are
//! left of the emptiest files are moved ([`Packs::crowded`]), and a file in which nothing lives is removed. An image
//! that is opened goes on behind the end of its newest file: what lies there, nothing names.
//!
//! Packs are on disk before sled's batch that names them is written: see [`Packs::sync`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codec::{CodecError, VERSION, check_version, malformed};
use super::folder::number_of;
use super::image::Unreadable;
use crate::StorageError;
use crate::disk::{Disk, File, Mode};

const PREFIX: &str = "pack-";

/// A file gets no more packs once it is this long, in bytes; as many more than twice what lives may lie in all files
/// before packs are moved.
pub(super) const FILE_BYTES: u64 = 16 << 20;

/// With more files than this in which less than a quarter of [`FILE_BYTES`] lives, their packs are moved.
const SPARSE_FILES_MAX: usize = 8;

/// What is not needed at once leaves as many bytes free, for what is: as many as a snapshot leaves.
const LEFT_FREE_BYTES: u64 = 64 << 20;

/// So many bytes of packs are written at once.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Bytes of a place.
const PLACE_BYTES: usize = 25;

/// Where a pack lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    file: u64,
    offset: u64,
    len: u32,
    crc: u32,
}

/// All of an image's pack files.
pub(super) struct Packs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// See [`FILE_BYTES`].
    file_bytes: u64,
    files: BTreeMap<u64, PackFile>,
    /// The file that is written to, the newest; `None` where there is none yet.
    current: Option<u64>,
    /// What is to be written to the current file.
    pending: Vec<u8>,
    /// Files written to since the last sync.
    unsynced: BTreeSet<u64>,
    tidied: Tidied,
}

/// What was done so that dead bytes do not pile up, since an image was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    /// Packs that were moved out of a crowded file.
    pub packs_moved: u64,
    /// Files that were removed because nothing lived in them any more.
    pub files_removed: u64,
}

struct PackFile {
    file: Arc<dyn File>,
    len: u64,
    /// Bytes of packs that count.
    live: u64,
}

impl Packs {
    /// Opens the files in an image's directory. What lives in them has to be [counted](Packs::count).
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, file_bytes: u64) -> Result<Packs, StorageError> {
        let (files, current) = (BTreeMap::new(), None);
        let (dir, pending, unsynced) = (dir.to_owned(), Vec::new(), BTreeSet::new());
        let tidied = Tidied::default();
        let mut packs = Packs { disk, dir, file_bytes, files, current, pending, unsynced, tidied };
        let names = packs.disk.list(&packs.dir).map_err(StorageError::io("list", &packs.dir))?;
        let numbers: BTreeSet<u64> = names.iter().filter_map(|name| number_of(name, PREFIX)).collect();
        packs.current = numbers.last().copied();
        for number in numbers {
            let mode = if Some(number) == packs.current { Mode::ReadWrite } else { Mode::Read };
            packs.open_file(number, mode)?;
        }
        Ok(packs)
    }

    /// Counts a pack that lives, of which the index tells.
    pub(super) fn count(&mut self, place: Place) -> Result<(), Unreadable> {
        let file = self.files.get_mut(&place.file);
        let file = file.filter(|file| place.end() <= file.len).ok_or_else(|| missing(&place))?;
        file.live += u64::from(place.len);
        Ok(())
    }

    /// Adds a pack.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<Place, StorageError> {
        let number = self.writable()?;
        let Some(file) = self.files.get_mut(&number) else {
            return Err(StorageError::Stopped("a pack file is gone".to_owned()));
        };
        let (offset, len) = (file.len, bytes.len() as u32);
        file.len += u64::from(len);
        file.live += u64::from(len);
        self.pending.extend(bytes);
        if self.pending.len() >= PENDING_BYTES_MAX {
            self.write()?;
        }
        Ok(Place { file: number, offset, len, crc: crc32fast::hash(bytes) })
    }

    /// Adds a pack anew that lies elsewhere, and gives that place up.
    pub(super) fn move_from(&mut self, place: Place, bytes: &[u8]) -> Result<Place, StorageError> {
        self.release(place);
        self.tidied.packs_moved += 1;
        self.add(bytes)
    }

    /// Gives a pack up.
    pub(super) fn release(&mut self, place: Place) {
        if let Some(file) = self.files.get_mut(&place.file) {
            file.live = file.live.saturating_sub(u64::from(place.len));
        }
    }

    /// Writes what was added.
    pub(super) fn write(&mut self) -> Result<(), StorageError> {
        let Some((number, file)) = self.current.and_then(|n| Some((n, self.files.get(&n)?))) else {
            return Ok(());
        };
        if !self.pending.is_empty() {
            let offset = file.len - self.pending.len() as u64;
            let written = file.file.write_all_at(&self.pending, offset);
            written.map_err(StorageError::io("write", &self.path(number)))?;
            self.unsynced.insert(number);
            self.pending.clear();
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        let unsynced = std::mem::take(&mut self.unsynced);
        unsynced.into_iter().filter_map(|number| Some((number, self.files.get(&number)?))).try_for_each(
            |(number, file)| file.file.sync_data().map_err(StorageError::io("fdatasync", &self.path(number))),
        )
    }

    /// Reads a pack that was written.
    pub(super) fn read(&self, place: Place) -> Result<Vec<u8>, Unreadable> {
        let file = self.files.get(&place.file).ok_or_else(|| missing(&place))?;
        let mut bytes = vec![0; place.len as usize];
        let read = read_exact(&*file.file, &mut bytes, place.offset);
        let whole = read
            .map_err(|e| Unreadable::Fatal(StorageError::io("read", &self.path(place.file))(e)))?
            && crc32fast::hash(&bytes) == place.crc;
        if whole { Ok(bytes) } else { Err(missing(&place)) }
    }

    /// The files whose packs are to be moved: the emptiest ones, as many as leave less than half of all bytes dead; and
    /// once there are many in which little lives, all of those, since each is a file to be held open.
    pub(super) fn crowded(&self) -> BTreeSet<u64> {
        let (mut len, live) = self.files.values().fold((0, 0), |(len, live), f| (len + f.len, live + f.live));
        let mut others: Vec<_> = self.files.iter().filter(|&(n, _)| Some(*n) != self.current).collect();
        others.sort_by_key(|(_, file)| file.live * 1_000 / file.len.max(1));
        let is_needed = |&(_, file): &(&u64, &PackFile)| {
            let needed = len > 2 * live + self.file_bytes;
            len -= file.len - file.live;
            needed
        };
        let crowded = others.iter().copied().take_while(is_needed);
        let is_sparse = |(_, file): &(&u64, &PackFile)| file.live < self.file_bytes / 4;
        let mut sparse: Vec<_> = others.iter().copied().filter(is_sparse).collect();
        if sparse.len() <= SPARSE_FILES_MAX {
            sparse.clear();
        }
        // Of a file in which nothing lives there is nothing to move.
        crowded.chain(sparse).filter(|(_, file)| file.live > 0).map(|(&number, _)| number).collect()
    }

    /// Removes files in which nothing lives any more: what gave it up is on disk.
    pub(super) fn remove_dead(&mut self) -> Result<(), StorageError> {
        let is_dead = |(number, file): (&u64, &PackFile)| {
            (file.live == 0 && Some(*number) != self.current).then_some(*number)
        };
        let dead: Vec<u64> = self.files.iter().filter_map(is_dead).collect();
        for number in dead {
            self.files.remove(&number);
            let path = self.path(number);
            self.disk.remove(&path).map_err(StorageError::io("remove", &path))?;
            self.tidied.files_removed += 1;
        }
        Ok(())
    }

    /// What was tidied up since the files were opened.
    pub(super) fn tidied(&self) -> Tidied {
        self.tidied
    }

    /// How many bytes the file system takes for what can also be left undone. Where it does not tell, trying does.
    pub(super) fn room_bytes(&self) -> u64 {
        self.disk.free_bytes(&self.dir).map_or(u64::MAX, |free| free.saturating_sub(LEFT_FREE_BYTES))
    }

    /// How many files there are, how many bytes in them, and how many of those live.
    #[cfg(test)]
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        let files = self.files.values();
        files.fold((0, 0, 0), |(count, len, live), f| (count + 1, len + f.len, live + f.live))
    }

    /// The number of the newest file.
    #[cfg(test)]
    pub(super) fn newest(&self) -> u64 {
        self.files.last_key_value().map_or(0, |(&number, _)| number)
    }

    /// The file to write to: the current one, or a new one where it is full.
    fn writable(&mut self) -> Result<u64, StorageError> {
        let current = self.current.filter(|n| self.files.get(n).is_some_and(|f| f.len < self.file_bytes));
        if let Some(number) = current {
            return Ok(number);
        }
        self.write()?;
        let number = self.files.last_key_value().map_or(1, |(last, _)| last + 1);
        self.open_file(number, Mode::CreateNew)?;
        self.disk.sync_dir(&self.dir).map_err(StorageError::io("fsync", &self.dir))?;
        self.current = Some(number);
        Ok(number)
    }

    fn open_file(&mut self, number: u64, mode: Mode) -> Result<(), StorageError> {
        let path = self.path(number);
        let opened = self.disk.open(&path, mode).and_then(|file| Ok((file.len()?, file)));
        let (len, file) = opened.map_err(StorageError::io("open", &path))?;
        self.files.insert(number, PackFile { file, len, live: 0 });
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{number}"))
    }
}

impl Place {
    /// As sled keeps it.
    pub(super) fn encode(self) -> [u8; PLACE_BYTES] {
        let mut bytes = [VERSION; PLACE_BYTES];
        bytes[1..9].copy_from_slice(&self.file.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.offset.to_le_bytes());
        bytes[17..21].copy_from_slice(&self.len.to_le_bytes());
        bytes[21..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// The place that sled kept.
    pub(super) fn decode(bytes: &[u8]) -> Result<Place, CodecError> {
        check_version(*bytes.first().ok_or_else(|| malformed("an empty place"))?)?;
        let bytes: &[u8; PLACE_BYTES] =
            bytes.try_into().map_err(|_| malformed("a place of a wrong length"))?;
        let u64_at = |at: usize| (0..8).rev().fold(0, |n, i| n << 8 | u64::from(bytes[at + i]));
        let u32_at = |at: usize| (0..4).rev().fold(0, |n, i| n << 8 | u32::from(bytes[at + i]));
        Ok(Place { file: u64_at(1), offset: u64_at(9), len: u32_at(17), crc: u32_at(21) })
    }

    /// How long the pack is.
    pub(super) fn bytes(&self) -> u64 {
        self.len.into()
    }

    /// The file that it is in.
    pub(super) fn file(&self) -> u64 {
        self.file
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(self.len.into())
    }
}

/// Whether this is the path of a file of packs.
pub(super) fn is_pack_file(path: &Path) -> bool {
    path.file_name().and_then(|name| number_of(name.to_str()?, PREFIX)).is_some()
}

fn missing(place: &Place) -> Unreadable {
    let Place { file, offset, .. } = place;
    Unreadable::Damaged(format!("{PREFIX}{file} does not have the pack at offset {offset}"))
}

/// Fills a buffer; false where the file ends before.
fn read_exact(file: &dyn File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => return Ok(false),
            read => filled += read,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_golden_bytes() {
        let place = Place { file: 1, offset: 0x0203, len: 4, crc: 0x0506_0708 };
        let hex: String = place.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "03010000000000000003020000000000000400000008070605");
        assert_eq!(Place::decode(&place.encode()), Ok(place));
    }

    #[test]
    fn what_is_no_place_does_not_decode() {
        let whole = Place { file: 1, offset: 2, len: 3, crc: 4 }.encode();
        for len in 0..PLACE_BYTES {
            assert!(matches!(Place::decode(&whole[..len]), Err(CodecError::Malformed(_))), "{len} bytes");
        }
        assert_eq!(Place::decode(&[VERSION + 1; 9]), Err(CodecError::Newer(VERSION + 1)));
        assert_eq!(Place::decode(&[2; PLACE_BYTES]), Err(CodecError::Older(2)));
    }
}
