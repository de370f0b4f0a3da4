//! Snapshots: the image at one index, as a file.
//!
//! ```text
//!   snapshots/
//!     snapshot-<term>-<leader>-<index>.snap    durable, and read back whole before it got this name
//!     <the same>.damaged                       it was, and is not any more; kept for whoever wants to look at it
//!     <number>.tmp                             being written or received; removed when the store is opened
//! ```
//!
//! A snapshot is streamed from the checkpoint or from a peer into a temporary file, synced, read back whole,
//! renamed, and its directory synced; only then are older ones removed. So the log may be purged up to the newest
//! snapshot, whatever crashes.
//!
//! Invariants:
//!
//! * A file with a snapshot's name was whole when it got it. If it no longer is, that is said, never mended: whoever
//!   can do without it sets it aside, and builds a new one.
//! * There is never a moment without the newest snapshot, once there was one.
//! * A backup is a snapshot behind a head (`backup`), and no file of this directory.
//! * An open [`Snapshot`] can be read as long as it lives, though its file be removed meanwhile.
//! * A snapshot that is written or received leaves [`LEFT_FREE_BYTES`] free. Where they are not, what there is of it is
//!   removed, and that is no failure: see [`StorageError::is_out_of_space`].
//!
//! Absent on purpose: several generations, compression, and any use of a damaged file's good part.

mod backup;
mod format;
#[cfg(test)]
mod fuzz_tests;
mod growing;
mod inspect;
mod reader;
mod receive;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::{Checkpoint, ImageHeader};
use crate::disk::{Disk, File, Mode, parent};
use crate::inventory::{Inconsistent, Inventory, RecordsDigest};
use crate::pace::Pace;
use crate::{LEAVE_STOPPED, Position, StorageError, planted};

pub use backup::{BackupFile, BackupHead, CheckedBackup};
use growing::Growing;
pub use inspect::{SnapshotView, inspect};
use reader::{Reader, Unreadable};
pub use receive::Receiving;
use writer::Writer;

/// A snapshot that grows leaves so many bytes of the file system free: the log needs room for a segment, and the
/// checkpoint for a save.
pub const LEFT_FREE_BYTES: u64 = 64 << 20;

/// Numbers temporary files, over all stores of this process: what is left of a store that is gone shall not remove what
/// its successor in the same directory has made.
static TEMPORARIES: AtomicU64 = AtomicU64::new(0);

const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".snap";
const TEMPORARY_SUFFIX: &str = ".tmp";
const DAMAGED_SUFFIX: &str = ".damaged";

/// A directory of snapshots. A cheap handle.
#[derive(Clone)]
pub struct SnapshotStore {
    shared: Arc<Shared>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The newest one, once it was read back whole. Held while names change.
    newest: Mutex<Option<Snapshot>>,
}

/// A whole, verified snapshot on disk. A cheap handle; the file can be read as long as it lives.
#[derive(Clone)]
pub struct Snapshot {
    opened: Arc<OpenSnapshot>,
}

struct OpenSnapshot {
    file: Arc<dyn File>,
    header: ImageHeader,
    len: u64,
    name: Mutex<Name>,
}

/// What a snapshot's file is called now.
enum Name {
    Temporary(Temporary),
    Published(PathBuf),
    /// Nothing any more: its bytes are there as long as it is open.
    Removed(PathBuf),
}

/// A temporary file, removed when this is dropped.
struct Temporary {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl SnapshotStore {
    /// Opens or creates the directory and removes what was left half-made.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<SnapshotStore, StorageError> {
        disk.create_dir_all(dir).map_err(StorageError::io("create", dir))?;
        let parent = parent(dir);
        disk.sync_dir(parent).map_err(StorageError::io("fsync", parent))?;
        let (dir, newest) = (dir.to_owned(), Mutex::new(None));
        let store = SnapshotStore { shared: Arc::new(Shared { disk, dir, newest }) };
        store.remove_temporaries()?;
        // One that was renamed when the process ended is found; the log may be purged behind it only once its name is
        // on disk.
        store.sync_dir()?;
        Ok(store)
    }

    /// The newest snapshot, read back whole when it is asked for first.
    ///
    /// # Errors
    /// Corrupt: it is damaged. An older one is not offered in its place, since the log may be purged up to it.
    pub fn newest(&self) -> Result<Option<Snapshot>, StorageError> {
        let mut newest = self.lock_newest();
        if newest.is_none() {
            let Some((_, name)) = self.list()?.pop() else {
                return Ok(None);
            };
            let path = self.shared.dir.join(name);
            let snapshot = verify(&*self.shared.disk, &path, Name::Published(path.clone()), &Pace::default());
            *newest = Some(snapshot.map_err(|e| unreadable(&path, e))?);
            self.remove_older()?;
        }
        Ok(newest.clone())
    }

    /// What the newest snapshot is an image of, by its name alone; `None` also where there is none.
    pub fn newest_applied(&self) -> Result<Option<Position>, StorageError> {
        Ok(self.list()?.pop().and_then(|(applied, _)| applied))
    }

    /// Gives the newest snapshot, which is damaged, a name that is none of a snapshot's, durable at return; answers
    /// what it is called now. One such file is kept.
    pub fn set_newest_aside(&self) -> Result<Option<PathBuf>, StorageError> {
        let mut newest = self.lock_newest();
        let Some((_, name)) = self.list()?.pop() else {
            return Ok(None);
        };
        let names = self.names()?;
        names.iter().filter(|name| name.ends_with(DAMAGED_SUFFIX)).try_for_each(|name| self.remove(name))?;
        let Shared { disk, dir, .. } = &*self.shared;
        let (path, aside) = (dir.join(&name), dir.join(name + DAMAGED_SUFFIX));
        disk.rename(&path, &aside).map_err(StorageError::io("rename", &path))?;
        disk.sync_dir(dir).map_err(StorageError::io("fsync", dir))?;
        *newest = None;
        Ok(Some(aside))
    }

    /// Streams a checkpoint's image into a new snapshot, reads it back whole, and removes older ones.
    ///
    /// # Errors
    /// Refused: nothing was ever saved to the checkpoint. Corrupt: the checkpoint, or what was read back. Out of space:
    /// there was no room for it, and nothing has changed.
    pub fn write(&self, checkpoint: &Checkpoint) -> Result<Snapshot, StorageError> {
        let snapshot = self.stream(checkpoint)?;
        self.adopt(&snapshot)?;
        Ok(snapshot)
    }

    /// The same, read back whole as well, but not as a snapshot of this directory: its file has no name, and is gone
    /// with the last handle. For whoever takes a copy away.
    ///
    /// # Errors
    /// As [`write`](SnapshotStore::write).
    pub fn write_nameless(&self, checkpoint: &Checkpoint) -> Result<Snapshot, StorageError> {
        let snapshot = self.stream(checkpoint)?;
        snapshot.remove_name();
        Ok(snapshot)
    }

    /// Streams a checkpoint's image into a temporary file, and reads it back whole.
    fn stream(&self, checkpoint: &Checkpoint) -> Result<Snapshot, StorageError> {
        let header = checkpoint.header().ok_or_else(|| self.nothing_saved())?;
        let temporary = self.temporary();
        let file = self.create(&temporary)?;
        let mut writer = Writer::start(file, &temporary.path, header)?;
        for row in checkpoint.rows() {
            let row = row?;
            writer.row(row.key(), row.value())?;
            checkpoint.pace().step();
        }
        writer.finish()?;
        let path = temporary.path.clone();
        let name = Name::Temporary(temporary);
        let snapshot = match planted!("purged-before-the-snapshot-was-read-back") {
            true => look(&*self.shared.disk, &path, name),
            false => verify(&*self.shared.disk, &path, name, checkpoint.pace()),
        };
        snapshot.map_err(|e| unreadable(&path, e))
    }

    /// Starts to receive a snapshot from a peer.
    pub fn receive(&self) -> Result<Receiving, StorageError> {
        let temporary = self.temporary();
        let file = self.create(&temporary)?;
        Ok(Receiving::new(temporary, file))
    }

    /// Makes a received snapshot the newest one, durable at return, and removes older ones. One that is older
    /// than what is there changes nothing.
    pub fn adopt(&self, snapshot: &Snapshot) -> Result<(), StorageError> {
        let mut newest = self.lock_newest();
        let applied = snapshot.header().applied;
        if self.list()?.last().is_some_and(|(position, _)| *position > applied) {
            return Ok(());
        }
        snapshot.publish(&*self.shared.disk, &self.shared.dir)?;
        *newest = Some(snapshot.clone());
        self.remove_older()
    }

    /// The snapshots in the directory, oldest first.
    fn list(&self) -> Result<Vec<(Option<Position>, String)>, StorageError> {
        let mut found = Vec::new();
        for name in self.names()? {
            found.extend(parse_name(&name).map(|position| (position, name)));
        }
        found.sort();
        Ok(found)
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.shared.disk.list(&self.shared.dir).map_err(StorageError::io("list", &self.shared.dir))
    }

    /// Removes all but the newest one, which is durable and was read back. What a crash keeps, the next one removes.
    fn remove_older(&self) -> Result<(), StorageError> {
        let mut found = self.list()?;
        found.pop();
        found.iter().try_for_each(|(_, name)| self.remove(name))
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        self.shared.disk.sync_dir(&self.shared.dir).map_err(StorageError::io("fsync", &self.shared.dir))
    }

    fn remove_temporaries(&self) -> Result<(), StorageError> {
        let names = self.names()?;
        names.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX)).try_for_each(|name| self.remove(name))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let path = self.shared.dir.join(name);
        self.shared.disk.remove(&path).map_err(StorageError::io("remove", &path))
    }

    /// A temporary name that nobody else has.
    fn temporary(&self) -> Temporary {
        let number = TEMPORARIES.fetch_add(1, Ordering::Relaxed);
        let path = self.shared.dir.join(format!("{number}{TEMPORARY_SUFFIX}"));
        Temporary { disk: Arc::clone(&self.shared.disk), path }
    }

    fn create(&self, temporary: &Temporary) -> Result<Growing, StorageError> {
        let disk = Arc::clone(&self.shared.disk);
        let opened = disk.open(&temporary.path, Mode::CreateNew);
        opened.map(|file| Growing::new(disk, file)).map_err(StorageError::io("create", &temporary.path))
    }

    fn nothing_saved(&self) -> StorageError {
        StorageError::Refused {
            path: self.shared.dir.clone(),
            what: "there is no checkpoint to make a snapshot of".to_owned(),
            mend: "save one first".to_owned(),
        }
    }

    fn lock_newest(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// What it is an image of.
    pub fn header(&self) -> &ImageHeader {
        &self.opened.header
    }

    /// The file's length in bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "no snapshot is empty")]
    pub fn len(&self) -> u64 {
        self.opened.len
    }

    /// Reads up to `buf.len()` bytes of the file at `offset`; 0 at its end.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        self.opened.file.read_at(buf, offset).map_err(StorageError::io("read", &self.path()))
    }

    /// Reads it again from the first byte to the last: it was whole when it was opened, and disks rot.
    ///
    /// # Errors
    /// Corrupt: it is damaged.
    pub fn check(&self) -> Result<(), StorageError> {
        read_whole(&*self.opened.file, &Pace::default()).map(drop).map_err(|e| unreadable(&self.path(), e))
    }

    /// Loads it: the inventory, audited and compared with the header's digest. The bytes are verified again.
    pub fn load(&self) -> Result<Inventory, StorageError> {
        let path = self.path();
        let mut failure = None;
        let reader = Reader::start(&*self.opened.file).map_err(|e| unreadable(&path, e))?;
        let records = reader.map_while(|record| record.map_err(|e| failure = Some(e)).ok());
        let inventory = Inventory::from_records(records);
        if let Some(failure) = failure {
            return Err(unreadable(&path, failure));
        }
        let inventory = inventory.map_err(inconsistent);
        let checked = inventory.and_then(|inventory| {
            check_digest(inventory.state_digest(), self.header())?;
            Ok(inventory)
        });
        checked.map_err(|e| unreadable(&path, e))
    }

    fn path(&self) -> PathBuf {
        match &*self.lock_name() {
            Name::Temporary(temporary) => temporary.path.clone(),
            Name::Published(path) | Name::Removed(path) => path.clone(),
        }
    }

    /// Takes its name away; the file can be read as long as it is open.
    fn remove_name(&self) {
        let path = self.path();
        *self.lock_name() = Name::Removed(path);
    }

    fn publish(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        let mut name = self.lock_name();
        if let Name::Temporary(temporary) = &*name {
            let path = dir.join(file_name(self.header().applied));
            disk.rename(&temporary.path, &path).map_err(StorageError::io("rename", &temporary.path))?;
            *name = Name::Published(path);
        }
        if planted!("snapshot-name-not-synced") {
            return Ok(());
        }
        disk.sync_dir(dir).map_err(StorageError::io("fsync", dir))
    }

    fn lock_name(&self) -> MutexGuard<'_, Name> {
        self.opened.name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("header", self.header()).field("len", &self.len()).finish()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may have been renamed or never made; what stays is removed when the store is opened.
        let _ = self.disk.remove(&self.path);
    }
}

/// Opens a file and reads it from the first byte to the last.
fn verify(disk: &dyn Disk, path: &Path, name: Name, pace: &Pace) -> Result<Snapshot, Unreadable> {
    let snapshot = look(disk, path, name)?;
    read_whole(&*snapshot.opened.file, pace)?;
    Ok(snapshot)
}

/// Opens a file and reads its head alone.
fn look(disk: &dyn Disk, path: &Path, name: Name) -> Result<Snapshot, Unreadable> {
    let file = disk.open(path, Mode::Read).map_err(Unreadable::Io)?;
    let len = file.len().map_err(Unreadable::Io)?;
    let header = Reader::start(&*file)?.header().clone();
    Ok(Snapshot { opened: Arc::new(OpenSnapshot { file, header, len, name: Mutex::new(name) }) })
}

/// Reads a file from the first byte to the last: its header, and how many records it has.
fn read_whole(file: &dyn File, pace: &Pace) -> Result<(ImageHeader, u64), Unreadable> {
    let mut reader = Reader::start(file)?;
    let header = reader.header().clone();
    let (mut digest, mut records) = (RecordsDigest::default(), 0);
    for record in reader.by_ref() {
        let (key, record) = record?;
        digest.add(&key, &record).map_err(inconsistent)?;
        records += 1;
        pace.step();
    }
    check_digest(digest.finish().map_err(inconsistent)?, &header)?;
    Ok((header, records))
}

fn check_digest(found: u64, header: &ImageHeader) -> Result<(), Unreadable> {
    if found == header.digest {
        return Ok(());
    }
    let named = header.digest;
    let what = format!("its digest is {found:016x}, its header says {named:016x}");
    Err(Unreadable::Damaged { offset: 0, what })
}

fn inconsistent(error: Inconsistent) -> Unreadable {
    Unreadable::Damaged { offset: 0, what: format!("its records do not agree: {}", error.0) }
}

/// The name of a snapshot's file. Names sort as positions do.
fn file_name(applied: Option<Position>) -> String {
    match applied {
        None => format!("{PREFIX}empty{SUFFIX}"),
        Some(Position { term, leader, index }) => {
            format!("{PREFIX}{term:020}-{leader:020}-{index:020}{SUFFIX}")
        }
    }
}

/// The position in a snapshot's name; `None` where it is no such name.
fn parse_name(name: &str) -> Option<Option<Position>> {
    let middle = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    if middle == "empty" {
        return Some(None);
    }
    let mut numbers = middle.split('-').map(|number| number.parse().ok());
    let (term, leader, index) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some(Some(Position { term, leader, index })).filter(|_| numbers.next().is_none())
}

fn unreadable(path: &Path, error: Unreadable) -> StorageError {
    match error {
        Unreadable::Io(source) => StorageError::io("read", path)(source),
        Unreadable::Damaged { offset, what } => StorageError::Corrupt {
            path: path.to_owned(),
            offset,
            what,
            mend: format!("move it away and start again; if log entries are missing then, {LEAVE_STOPPED}"),
        },
        Unreadable::Newer(version) => StorageError::Refused {
            path: path.to_owned(),
            what: format!("format version {version} is newer than this lastunit knows ({})", format::VERSION),
            mend: "run the lastunit that wrote it, or a newer one".to_owned(),
        },
        Unreadable::Level(what) => StorageError::of_other_version(path, what),
        Unreadable::Older(version) => StorageError::Refused {
            path: path.to_owned(),
            what: format!("format version {version} was never released, and this lastunit does not read it"),
            mend: "start with a new data directory".to_owned(),
        },
    }
}
