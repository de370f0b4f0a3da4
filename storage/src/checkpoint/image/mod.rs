//! One image: a sled directory with one tree, and the files of its packs. Nothing else knows sled.
//!
//! ```text
//!   sled      key of a row --> the record, or the place of its pack; where the packs of runs are
//!   pack-<n>  the packs                                              see `packs`, and `rows` for what a row is
//! ```
//!
//! ```text
//!   mod          opening, syncing, closing        reading   rows, in order        writing   changed rows, at once
//!   leftovers    locks and garbage of sled's      batch     what is written       unreadable    why it failed
//!   runs         stock and customers              merge     runs read as one
//! ```
//!
//! What is to be known about sled 0.34 is here, and dealt with here:
//!
//! * It can panic on bytes that it does not expect, or not come to an end: see [`contain`](super::contain). Whoever
//!   opens an image that may be damaged gives it up after [`Image::standstill_max`] without progress.
//! * Its `flush` does not make anything durable: see [`durable`](super::durable).
//! * Its garbage is freed by the epochs of crossbeam, a little at every 128th call. A batch is one call and
//!   leaves tens of thousands of pieces, so that batches alone never get it freed: measured with batches of
//!   10,000 records, 4 GB resident after two million of them. [`leftovers`] frees it after each batch, and
//!   the same run stays at 0.2 GB.
//! * Its background thread, which wakes every [`FLUSH_MS`], is all that reuses space in its file.

mod batch;
mod leftovers;
mod merge;
mod reading;
mod runs;
#[cfg(test)]
mod tests;
mod unreadable;
mod writing;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::codec;
use super::contain::{Failure, Progress, contain, threads_lost, within};
use super::durable::Synced;
use super::packs::{Packs, Tidied};
use super::rows::{Packer, RUN_TAGS};
use super::{ImageHeader, StorageError};
use crate::disk::{Disk, Mode};

pub(super) use leftovers::wait_until_unlocked;
pub use reading::RawRow;
use runs::Runs;
pub(super) use unreadable::{Unreadable, undecodable};

/// The most that sled's page cache holds, in bytes by sled's own count: what is resident is four times as much.
const CACHE_BYTES: u64 = 4 << 20;

/// How often sled's background thread wakes, in milliseconds.
const FLUSH_MS: u64 = 500;

/// How long sled may take to open an image, or to come to the next row: far longer than any disk that still works
/// needs.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);
/// And one second more for each so many bytes of its file, which it reads before there is a first row.
const OPENING_BYTES_PER_SECOND: u64 = 1 << 20;

/// How long closing an image is waited for. It was synced before: nothing is lost where it takes longer.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(20);

/// An open image.
pub(super) struct Image {
    path: PathBuf,
    /// `None` only while it is being dropped.
    db: Option<sled::Db>,
    packs: Packs,
    /// By tag.
    runs: BTreeMap<u8, Runs>,
    packer: Packer,
    synced: Synced,
    /// How many of sled's threads had been lost when it was opened.
    threads_lost: usize,
    /// How many rows were read.
    progress: Progress,
}

impl Image {
    /// Opens or creates the image in a directory, as it is for a node.
    #[cfg(test)]
    fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Image, Unreadable> {
        Image::open_with(disk, path, super::packs::FILE_BYTES, Progress::default())
    }

    /// Opens or creates the image in a directory, with pack files of this many bytes; each row that is read is a step
    /// of the progress.
    pub(super) fn open_with(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        pack_file_bytes: u64,
        progress: Progress,
    ) -> Result<Image, Unreadable> {
        let config = sled::Config::new()
            .path(&path)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(Some(FLUSH_MS));
        wait_until_unlocked(&path, &progress).map_err(Unreadable::Fatal)?;
        let mut synced = Synced::new(disk.clone());
        let not_held = |e: io::Error| Failure::Error(sled::Error::Io(e)).on_reading(&path);
        synced.hold(&path).map_err(not_held)?;
        let db = contain(|| config.open()).map_err(|failure| failure.on_reading(&path))?;
        synced.hold(&path).map_err(not_held)?;
        let packs = Packs::open(disk.clone(), &path, pack_file_bytes).map_err(Unreadable::Fatal)?;
        let packer = Packer::new().map_err(StorageError::io("pack for", &path)).map_err(Unreadable::Fatal)?;
        let threads_lost = threads_lost();
        let runs = RUN_TAGS.map(|tag| (tag, Runs::default())).into();
        let mut image = Image { path, db: Some(db), packs, runs, packer, synced, threads_lost, progress };
        image.count_packs()?;
        Ok(image)
    }

    /// Counts what lives in the files of packs, and the runs.
    fn count_packs(&mut self) -> Result<(), Unreadable> {
        for (key, place) in self.places()? {
            self.packs.count(place)?;
            if let Some(runs) = key.first().and_then(|tag| self.runs.get_mut(tag)) {
                runs.count(&key, place).map_err(|e| undecodable(&self.path, e))?;
            }
        }
        Ok(())
    }

    /// How long opening and reading an image may go without a row before it counts as damaged: sled may never come to
    /// an end.
    pub(super) fn standstill_max(disk: &dyn Disk, path: &Path) -> Duration {
        let bytes = disk.open(&path.join("db"), Mode::Read).and_then(|file| file.len()).unwrap_or(0);
        STANDSTILL_MAX + Duration::from_secs(bytes / OPENING_BYTES_PER_SECOND)
    }

    #[expect(clippy::expect_used, reason = "the database is taken out by drop alone")]
    fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("open until it is dropped")
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its header; `None` where it has none, because nothing was saved to it.
    pub(super) fn header(&self) -> Result<Option<ImageHeader>, Unreadable> {
        let bytes = contain(|| self.db().get(codec::HEADER_KEY)).map_err(|e| e.on_reading(&self.path))?;
        bytes.map(|bytes| codec::decode_header(&bytes)).transpose().map_err(|e| undecodable(&self.path, e))
    }

    /// What was tidied up since it was opened.
    pub(super) fn tidied(&self) -> Tidied {
        self.packs.tidied()
    }

    /// Makes all that was applied durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        contain(|| self.db().flush()).map_err(|e| e.on_writing(&self.path))?;
        if threads_lost() > self.threads_lost {
            // Nothing would reuse space in its file from here on, and what else it left undone nobody knows.
            let lost = Failure::Panic("a thread of its own is gone".to_owned());
            return Err(lost.on_writing(&self.path));
        }
        self.synced.sync(&self.path)?;
        self.packs.remove_dead()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // sled writes while it is dropped, panics where it cannot, and waits for ever for a thread of its own that
        // panicked. What was synced is on disk already.
        let db = self.db.take();
        let close = || {
            drop(db);
            Ok(())
        };
        let closed = within(CLOSING_TIME_MAX, || contain(close));
        if let Err(failure) = closed.and_then(|closed| closed) {
            tracing::warn!(image = %self.path.display(), "closing the checkpoint's image: {failure}");
        }
    }
}
