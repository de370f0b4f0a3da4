//! The local image of the inventory, in sled.
//!
//! ```text
//!   checkpoint/
//!     lock              held while the checkpoint is open
//!     CURRENT           the number of the image that counts; replaced whole, by a rename
//!     image-<number>/   a sled directory: the header, small records, and where each pack is, in one tree
//!       pack-<n>        packs, which hold nearly all records
//! ```
//!
//! The checkpoint spares a restart the whole log. It is never the only copy of anything: snapshot and log rebuild
//! it. So opening it is strict and cheap to fail: what does not open, does not decode, does not audit or does not
//! have the digest that its header names is thrown away, and the reason is told.
//!
//! Invariants:
//!
//! * An image is what its header says, or it is not used: records and header change in one atomic batch, and the
//!   digest is computed anew when the image is opened.
//! * `CURRENT` names an image only after that image's first save is durable. An image that it does not name is
//!   the rest of a crash, and is removed.
//! * After a failed write nothing more is written.
//!
//! Absent on purpose: queues and threads, but for the two that open an image, on which an endless wait of sled can be
//! left behind (every call blocks; the caller has a thread for it), and any promise about an image after a power cut
//! within sled's own background work: sled reuses space in its file behind our back, and if it loses that race, the
//! digest says so and the image is rebuilt.

mod changes;
pub mod codec;
mod contain;
mod current;
mod durable;
#[cfg(test)]
pub(crate) mod fixture;
mod folder;
#[cfg(test)]
mod fuzz_tests;
mod image;
mod inspect;
mod packs;
mod plain;
pub(crate) mod rows;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::inventory::Inventory;
use crate::inventory::record::{Record, RecordKey};
use crate::pace::Pace;
use crate::{Position, StorageError};

pub use changes::Changes;
pub use contain::keep_panics_of_sled_quiet;
use contain::{Progress, unless_it_stands_still};
use current::Current;
use folder::Folder;
pub use image::RawRow;
use image::{Image, Unreadable, undecodable};
pub use inspect::{CheckpointView, ImageView, inspect};
pub use packs::Tidied;
use plain::Plain;
pub use rows::decode_row;

/// How many records a replacement writes at a time.
const REPLACE_RECORDS: usize = 4096;

/// How many records are passed at a time from the thread that reads an image to the one that makes tables of them, and
/// how many times as many may wait.
const PASSED_RECORDS: usize = 256;
const PASSED_WAITING: usize = 16;

/// Records on that way.
type Records = Vec<(RecordKey, Record)>;

/// What an image is an image of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageHeader {
    /// The last entry applied to it.
    pub applied: Option<Position>,
    /// The last membership applied to it, encoded by the raft crate.
    pub membership: Vec<u8>,
    /// The inventory's `state_digest` at that entry.
    pub digest: u64,
}

/// The checkpoint, open.
pub struct Checkpoint {
    images: Images,
    /// The header of the last save, which [`Current`] names; `None` before the first one.
    header: Option<ImageHeader>,
    /// How fast saves go on, and whoever reads all rows.
    pace: Pace,
    /// What failed, once something has.
    stopped: Option<String>,
}

/// Where the image is.
enum Images {
    /// In sled.
    Sled(Box<Sled>),
    /// In one file, in simulations.
    Plain(Plain),
}

/// The folder of images, and the one that counts.
struct Sled {
    folder: Folder,
    number: u64,
    image: Image,
    /// Locked as long as it is open.
    _lock: File,
}

/// What opening a checkpoint found.
pub enum Opened {
    /// A whole image.
    Loaded {
        /// What it is an image of.
        header: ImageHeader,
        /// The inventory, audited.
        inventory: Box<Inventory>,
    },
    /// Nothing, or nothing that can be trusted; the checkpoint is empty now.
    Empty {
        /// Why an image that was there is not used; `None` where there was none.
        reason: Option<String>,
    },
}

impl Checkpoint {
    /// Opens or creates the checkpoint in a directory. An image that cannot be trusted is removed.
    ///
    /// The lock is taken, and sled reads and writes, in the real file system, whatever `disk` is; `disk` is what
    /// makes that durable, and does all the rest.
    ///
    /// # Errors
    /// Refused: another process has it open, or a newer lastunit wrote it. IO: the system said no.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Checkpoint, Opened), StorageError> {
        Checkpoint::open_with(disk, dir, packs::FILE_BYTES)
    }

    /// Likewise, for tests: with pack files so short that packs are moved and files removed before long.
    ///
    /// # Errors
    /// As for [`open`](Checkpoint::open).
    #[doc(hidden)]
    pub fn open_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        pack_file_bytes: u64,
    ) -> Result<(Checkpoint, Opened), StorageError> {
        let folder = Folder::open(disk, dir)?.with_pack_file_bytes(pack_file_bytes);
        let lock = lock(dir)?;
        let images = folder.images()?;
        let reason = match current::read(&folder)? {
            Current::Image(number) => match load(&folder, number, &images) {
                Ok((mut image, header, inventory)) => {
                    // What sled wrote while it was closed and opened, and a name that was not synced when the process
                    // ended, are on disk before anything counts on them.
                    image.sync()?;
                    folder.sync()?;
                    folder.remove_images(images.iter().filter(|&&other| other != number))?;
                    let opened = Opened::Loaded { header: header.clone(), inventory: Box::new(inventory) };
                    let sled = Sled { folder, number, image, _lock: lock };
                    return Ok((sled.into_checkpoint(Some(header)), opened));
                }
                Err(Unreadable::Fatal(error)) => return Err(error),
                Err(Unreadable::Damaged(reason)) => Some(reason),
            },
            Current::Damaged => Some(format!("{} is damaged", current::NAME)),
            Current::Missing if images.is_empty() => None,
            Current::Missing => Some("its first save was never finished".to_owned()),
        };
        let checkpoint = start_anew(folder, &images, lock)?.into_checkpoint(None);
        Ok((checkpoint, Opened::Empty { reason }))
    }

    /// Opens or creates a checkpoint without sled, in one file that each save replaces whole: for simulations, whose
    /// disk is in memory. sled has threads of its own, and writes to the real file system.
    ///
    /// # Errors
    /// IO: the system said no.
    #[doc(hidden)]
    pub fn open_plain(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Checkpoint, Opened), StorageError> {
        let (plain, opened) = Plain::open(disk, dir)?;
        let header = match &opened {
            Opened::Loaded { header, .. } => Some(header.clone()),
            Opened::Empty { .. } => None,
        };
        Ok((Checkpoint::of(Images::Plain(plain), header), opened))
    }

    fn of(images: Images, header: Option<ImageHeader>) -> Checkpoint {
        Checkpoint { images, header, pace: Pace::default(), stopped: None }
    }

    /// The same, whose saves go on at a pace, and what is made of its rows.
    #[must_use]
    pub fn at_pace(self, pace: Pace) -> Checkpoint {
        Checkpoint { pace, ..self }
    }

    /// Its pace.
    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Writes changed records and the header as one atomic step, durable at return. The changes are put in order for
    /// it.
    ///
    /// # Errors
    /// Any of them is final: every later write answers [`StorageError::Stopped`].
    pub fn save(&mut self, header: &ImageHeader, changes: &mut Changes) -> Result<(), StorageError> {
        self.check_running()?;
        let saved = self.try_save(header, changes);
        self.stop_on_error(saved)
    }

    /// Replaces the whole image, durable at return. The records are written as they come; a crash leaves the
    /// old image or the new one.
    ///
    /// # Errors
    /// Any of them is final: every later write answers [`StorageError::Stopped`].
    pub fn replace(
        &mut self,
        header: &ImageHeader,
        records: &mut dyn Iterator<Item = (RecordKey, Record)>,
    ) -> Result<(), StorageError> {
        self.check_running()?;
        let replaced = self.try_replace(header, records);
        self.stop_on_error(replaced)
    }

    /// The header of the last save.
    pub fn header(&self) -> Option<&ImageHeader> {
        self.header.as_ref()
    }

    /// Every row of the last save, in the order of the keys; [`decode_row`] makes records of it. Read from disk as it
    /// is asked for. [`StorageError::Stopped`] alone after a failed write, which may have taken rows apart.
    pub fn rows(&self) -> Box<dyn Iterator<Item = Result<RawRow, StorageError>> + '_> {
        if let Err(stopped) = self.check_running() {
            return Box::new(std::iter::once(Err(stopped)));
        }
        match &self.images {
            Images::Sled(sled) => {
                let path = sled.image.path();
                Box::new(sled.image.rows().map(move |row| row.map_err(|e| unreadable(path, e))))
            }
            Images::Plain(plain) => Box::new(plain.rows()),
        }
    }

    /// What was tidied up in the image that counts, since it was opened or begun: for tests, which want to know that it
    /// happened.
    #[doc(hidden)]
    pub fn tidied(&self) -> Tidied {
        match &self.images {
            Images::Sled(sled) => sled.image.tidied(),
            Images::Plain(_) => Tidied::default(),
        }
    }

    fn try_save(&mut self, header: &ImageHeader, changes: &mut Changes) -> Result<(), StorageError> {
        let is_first = self.header.is_none();
        match &mut self.images {
            Images::Sled(sled) => sled.save(header, changes, is_first, &self.pace)?,
            Images::Plain(plain) => plain.save(header, changes)?,
        }
        self.header = Some(header.clone());
        Ok(())
    }

    fn try_replace(
        &mut self,
        header: &ImageHeader,
        records: &mut dyn Iterator<Item = (RecordKey, Record)>,
    ) -> Result<(), StorageError> {
        match &mut self.images {
            Images::Sled(sled) => sled.replace(header, records)?,
            Images::Plain(plain) => plain.replace(header, records)?,
        }
        self.header = Some(header.clone());
        Ok(())
    }

    fn check_running(&self) -> Result<(), StorageError> {
        self.stopped.as_ref().map_or(Ok(()), |reason| Err(StorageError::Stopped(reason.clone())))
    }

    fn stop_on_error(&mut self, result: Result<(), StorageError>) -> Result<(), StorageError> {
        if let Err(error) = &result {
            self.stopped = Some(error.to_string());
        }
        result
    }
}

impl Sled {
    fn into_checkpoint(self, header: Option<ImageHeader>) -> Checkpoint {
        Checkpoint::of(Images::Sled(Box::new(self)), header)
    }

    fn save(
        &mut self,
        header: &ImageHeader,
        changes: &mut Changes,
        is_first: bool,
        pace: &Pace,
    ) -> Result<(), StorageError> {
        self.image.write(changes, Some(header), pace)?;
        self.image.sync()?;
        if is_first { current::write(&self.folder, self.number) } else { Ok(()) }
    }

    fn replace(
        &mut self,
        header: &ImageHeader,
        records: &mut dyn Iterator<Item = (RecordKey, Record)>,
    ) -> Result<(), StorageError> {
        let number = self.number + 1;
        let image = build(&self.folder, number, header, records)?;
        current::write(&self.folder, number)?;
        let old = std::mem::replace(&mut self.image, image);
        let old_number = std::mem::replace(&mut self.number, number);
        drop(old);
        self.folder.remove_images([old_number].iter())
    }
}

/// Opens an image and all that is in it. sled may never come to an end over a damaged one, so it does so on a thread
/// that can be left behind.
fn load(folder: &Folder, number: u64, images: &[u64]) -> Result<(Image, ImageHeader, Inventory), Unreadable> {
    if !images.contains(&number) {
        return Err(Unreadable::Damaged(format!("image {number} is gone")));
    }
    let (disk, path) = (folder.disk().clone(), folder.image_path(number));
    let standstill_max = Image::standstill_max(&*disk, &path);
    let (opening, progress) = (path.clone(), Progress::default());
    let watched = progress.clone();
    let pack_file_bytes = folder.pack_file_bytes();
    let load = move || load_whole(disk, opening, pack_file_bytes, progress);
    let loaded = unless_it_stands_still(standstill_max, &watched, load);
    loaded.unwrap_or_else(|failure| Err(failure.on_reading(&path)))
}

fn load_whole(
    disk: Arc<dyn Disk>,
    path: PathBuf,
    pack_file_bytes: u64,
    progress: Progress,
) -> Result<(Image, ImageHeader, Inventory), Unreadable> {
    let image = Image::open_with(disk, path, pack_file_bytes, progress.clone())?;
    let header = image.header()?.ok_or_else(|| Unreadable::Damaged("the image has no header".to_owned()))?;
    let inventory = load_inventory(&image, &progress)?;
    if inventory.state_digest() != header.digest {
        let (found, named) = (inventory.state_digest(), header.digest);
        return Err(Unreadable::Damaged(format!("the digest is {found:016x}, its header says {named:016x}")));
    }
    Ok((image, header, inventory))
}

/// Builds the inventory of an image: one thread reads and decodes its rows, another makes tables of them, each of which
/// takes about as long. sled can stand still over the rows; what comes after the last one cannot.
fn load_inventory(image: &Image, progress: &Progress) -> Result<Inventory, Unreadable> {
    let (sender, receiver) = sync_channel(PASSED_WAITING);
    std::thread::scope(|threads| {
        let builder = threads.spawn(move || Inventory::from_records(receiver.into_iter().flatten()));
        let read = pass_records(image, sender);
        progress.needs_no_watch();
        let inventory = builder.join().unwrap_or_else(|panic| resume_unwind(panic));
        // What could not be read is the reason where too little was.
        read?;
        inventory.map_err(|e| Unreadable::Damaged(format!("the records do not agree: {}", e.0)))
    })
}

/// Reads all records of an image, in order, and passes them on, for as long as somebody takes them.
fn pass_records(image: &Image, to: SyncSender<Records>) -> Result<(), Unreadable> {
    let mut records = Records::new();
    for row in image.rows() {
        let row = row?;
        let decoded = decode_row(row.key(), row.value());
        records.extend(decoded.map_err(|e| undecodable(image.path(), e))?);
        if records.len() >= PASSED_RECORDS && to.send(std::mem::take(&mut records)).is_err() {
            // Whoever took them says why it does not any more.
            return Ok(());
        }
    }
    // As above.
    let _ = to.send(records);
    Ok(())
}

/// Removes every image and opens an empty one, which counts from its first save on.
fn start_anew(folder: Folder, images: &[u64], lock: File) -> Result<Sled, StorageError> {
    current::remove(&folder)?;
    folder.remove_images(images.iter())?;
    // A number is not used twice: sled may still hold files of an image that panicked.
    let number = images.iter().max().map_or(1, |last| last + 1);
    let image = create(&folder, number)?;
    Ok(Sled { folder, number, image, _lock: lock })
}

/// Builds a whole image, durable at return.
fn build(
    folder: &Folder,
    number: u64,
    header: &ImageHeader,
    records: &mut dyn Iterator<Item = (RecordKey, Record)>,
) -> Result<Image, StorageError> {
    let mut image = create(folder, number)?;
    let mut some = Changes::default();
    for (key, record) in records {
        some.push((&key).into(), Some((&record).into()));
        if some.len() == REPLACE_RECORDS {
            image.write(&mut some, None, &Pace::default())?;
            some.clear(usize::MAX);
        }
    }
    image.write(&mut some, Some(header), &Pace::default())?;
    image.sync()?;
    Ok(image)
}

fn create(folder: &Folder, number: u64) -> Result<Image, StorageError> {
    let path = folder.image_path(number);
    let image =
        Image::open_with(folder.disk().clone(), path.clone(), folder.pack_file_bytes(), Progress::default());
    let image = image.map_err(|e| unreadable(&path, e))?;
    folder.sync()?;
    Ok(image)
}

fn lock(dir: &Path) -> Result<File, StorageError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(StorageError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(e)) => Err(StorageError::io("lock", &path)(e)),
        Err(TryLockError::WouldBlock) => Err(StorageError::Refused {
            path: dir.to_owned(),
            what: "the checkpoint is open already".to_owned(),
            mend: "stop the other process that uses it".to_owned(),
        }),
    }
}

/// An image that cannot be read after it was opened is fatal: opening again starts another one.
fn unreadable(path: &Path, error: Unreadable) -> StorageError {
    match error {
        Unreadable::Fatal(error) => error,
        Unreadable::Damaged(what) => StorageError::Corrupt {
            path: path.to_owned(),
            offset: 0,
            what,
            mend: "start the node again: it rebuilds the checkpoint".to_owned(),
        },
    }
}

/// A format that no release wrote.
fn older(path: &Path, version: u64) -> StorageError {
    StorageError::Refused {
        path: path.to_owned(),
        what: format!("format version {version} was never released, and this lastunit does not read it"),
        mend: "start with a new data directory".to_owned(),
    }
}

/// What a newer lastunit wrote is not destroyed.
fn newer(path: &Path, version: u64, known: u64) -> StorageError {
    StorageError::Refused {
        path: path.to_owned(),
        what: format!("format version {version} is newer than this lastunit knows ({known})"),
        mend: "run the lastunit that wrote it, or a newer one".to_owned(),
    }
}
