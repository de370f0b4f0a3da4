//! One image: a sled directory with one tree. The only file that knows sled.
//!
//! What is to be known about sled 0.34 is here, and dealt with here:
//!
//! * It can panic on bytes that it does not expect, or not come to an end: see [`contain`](super::contain). Whoever
//!   opens an image that may be damaged gives it [`Image::opening_time_max`].
//! * Its `flush` does not make anything durable: see [`durable`](super::durable).
//! * Its garbage is freed by the epochs of crossbeam, a little at every 128th call. A batch is one call and
//!   leaves tens of thousands of pieces, so that batches alone never get it freed: measured with batches of
//!   10,000 records, 4 GB resident after two million of them. [`collect_garbage`] frees it after each batch, and
//!   the same run stays at 0.2 GB.
//! * Its background thread, which wakes every [`FLUSH_MS`], is all that reuses space in its file.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::ImageHeader;
use super::codec::{self, CodecError};
use super::contain::{Failure, contain, threads_lost, within};
use super::durable::Synced;
use crate::StorageError;
use crate::disk::{Disk, Mode};
use crate::inventory::record::Change;

/// The most memory that sled's page cache takes, in bytes.
const CACHE_BYTES: u64 = 64 << 20;

/// How often sled's background thread wakes, in milliseconds.
const FLUSH_MS: u64 = 500;

/// How often, and how far apart, a lock that sled left behind is tried.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// How long opening and reading an image may take: far longer than any disk that still works needs.
const OPENING_TIME_MAX: Duration = Duration::from_secs(60);
/// And one second more for each so many bytes of its file.
const OPENING_BYTES_PER_SECOND: u64 = 1 << 20;

/// How long closing an image is waited for. It was synced before: nothing is lost where it takes longer.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(20);

/// An open image.
pub(super) struct Image {
    path: PathBuf,
    /// `None` only while it is being dropped.
    db: Option<sled::Db>,
    synced: Synced,
    /// How many of sled's threads had been lost when it was opened.
    threads_lost: usize,
}

/// A record's encoded key and value.
pub struct RawRecord {
    key: sled::IVec,
    value: sled::IVec,
}

impl RawRecord {
    /// The key, as [`codec::encode_key`] makes it.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value, as [`codec::encode_record`] makes it.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// Why an image cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is damaged, in these words; another one can be built.
    Damaged(String),
    /// Something that building another one would not mend.
    Fatal(StorageError),
}

impl Image {
    /// Opens or creates the image in a directory.
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Image, Unreadable> {
        let config = sled::Config::new()
            .path(&path)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(Some(FLUSH_MS));
        wait_until_unlocked(&path).map_err(Unreadable::Fatal)?;
        let db = contain(|| config.open()).map_err(|failure| failure.on_reading(&path))?;
        Ok(Image { path, db: Some(db), synced: Synced::new(disk), threads_lost: threads_lost() })
    }

    /// How long opening and reading an image may take before it counts as damaged: sled may never come to an end.
    pub(super) fn opening_time_max(disk: &dyn Disk, path: &Path) -> Duration {
        let bytes = disk.open(&path.join("db"), Mode::Read).and_then(|file| file.len()).unwrap_or(0);
        OPENING_TIME_MAX + Duration::from_secs(bytes / OPENING_BYTES_PER_SECOND)
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

    /// Every record, in the order of the keys; the header is left out.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<RawRecord, Unreadable>> + '_ {
        let after_header = (Bound::Excluded(codec::HEADER_KEY), Bound::Unbounded);
        let mut range = self.db().range::<&[u8], _>(after_header);
        // An iterator that has failed once is not asked again.
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let next = contain(|| range.next().transpose()).map_err(|e| e.on_reading(&self.path));
            failed = next.is_err();
            next.transpose().map(|next| next.map(|(key, value)| RawRecord { key, value }))
        })
    }

    /// Writes a batch as one atomic step. Not durable before [`sync`](Image::sync).
    pub(super) fn apply(&self, batch: ImageBatch) -> Result<(), StorageError> {
        let ImageBatch { batch, len } = batch;
        contain(|| self.db().apply_batch(batch)).map_err(|e| e.on_writing(&self.path))?;
        collect_garbage(len);
        Ok(())
    }

    /// Makes all that was applied durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        contain(|| self.db().flush()).map_err(|e| e.on_writing(&self.path))?;
        if threads_lost() > self.threads_lost {
            // Nothing would reuse space in its file from here on, and what else it left undone nobody knows.
            let lost = Failure::Panic("a thread of its own is gone".to_owned());
            return Err(lost.on_writing(&self.path));
        }
        self.synced.sync(&self.path)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // sled writes while it is dropped, panics where it cannot, and waits for ever for a thread of its own that
        // panicked. What was synced is on disk already.
        let db = self.db.take();
        let closed = within(CLOSING_TIME_MAX, || contain(|| Ok(drop(db))));
        if let Err(failure) = closed.and_then(|closed| closed) {
            tracing::warn!(image = %self.path.display(), "closing the checkpoint's image: {failure}");
        }
    }
}

/// Writes that take effect together.
#[derive(Default)]
pub(super) struct ImageBatch {
    batch: sled::Batch,
    len: usize,
}

impl ImageBatch {
    /// Adds the header.
    pub(super) fn header(&mut self, header: &ImageHeader) -> Result<(), CodecError> {
        self.batch.insert(codec::HEADER_KEY, codec::encode_header(header)?);
        self.len += 1;
        Ok(())
    }

    /// Adds a record that changed.
    pub(super) fn change(&mut self, (key, record): &Change) -> Result<(), CodecError> {
        let key = codec::encode_key(key);
        match record {
            Some(record) => self.batch.insert(key, codec::encode_record(record)?),
            None => self.batch.remove(key),
        }
        self.len += 1;
        Ok(())
    }
}

/// Waits until nothing of an image that this process had open before holds sled's lock on it.
///
/// sled's threads and its garbage keep the file open for a moment after it was closed. Without this wait, a whole
/// image that is opened again at once would be taken for a damaged one.
pub(super) fn wait_until_unlocked(path: &Path) -> Result<(), StorageError> {
    let path = path.join("db");
    for _ in 0..LOCK_TRIES {
        let file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                return Err(StorageError::io("open", &path)(e));
            }
            // Where it cannot be opened otherwise, sled makes it, or says what is wrong.
            Err(_) => return Ok(()),
            Ok(file) => file,
        };
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(StorageError::io("lock", &path)(e)),
            Err(TryLockError::WouldBlock) => {}
        }
        collect_garbage(0);
        thread::sleep(LOCK_PAUSE);
    }
    Err(StorageError::Refused {
        path,
        what: "is locked by another process".to_owned(),
        mend: "stop that process".to_owned(),
    })
}

/// Frees what a batch of `writes` left behind.
///
/// The epoch collector is one for the whole process, sled's included. Each flush frees at most eight bags of 64
/// pieces; a write leaves some eight pieces, so this is about twice what is needed.
fn collect_garbage(writes: usize) {
    for _ in 0..writes / 32 + 16 {
        crossbeam_epoch::pin().flush();
    }
}

impl Failure {
    /// Damaged bytes show as panics and as errors of many kinds. An error that a whole image would meet just the
    /// same is told apart, because throwing the image away would not mend it.
    pub(super) fn on_reading(self, path: &Path) -> Unreadable {
        match self {
            Failure::Error(sled::Error::Io(e)) if is_environment(&e) => {
                Unreadable::Fatal(StorageError::io("open", path)(e))
            }
            failure => Unreadable::Damaged(failure.to_string()),
        }
    }

    fn on_writing(self, path: &Path) -> StorageError {
        let source = match self {
            Failure::Error(sled::Error::Io(e)) => e,
            failure => io::Error::other(failure.to_string()),
        };
        StorageError::io("write the checkpoint in", path)(source)
    }
}

/// Whether the system said no, rather than the bytes.
fn is_environment(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let kinds = [
        ErrorKind::PermissionDenied,
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::ReadOnlyFilesystem,
        ErrorKind::OutOfMemory,
        // No thread could be started.
        ErrorKind::WouldBlock,
    ];
    kinds.contains(&error.kind())
        || [EIO, ENFILE, EMFILE].iter().any(|&code| error.raw_os_error() == Some(code))
}

/// A newer or a dropped format is refused; anything else that does not decode is damage.
pub(super) fn undecodable(path: &Path, error: CodecError) -> Unreadable {
    match error {
        CodecError::Newer(version) => Unreadable::Fatal(super::newer(path, version.into())),
        CodecError::Older(version) => Unreadable::Fatal(super::older(path, version.into())),
        error => Unreadable::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn failure(call: impl FnOnce() -> sled::Result<()>) -> Failure {
        contain(call).expect_err("it fails")
    }

    fn io_failure(kind: ErrorKind) -> Failure {
        failure(|| Err(sled::Error::Io(kind.into())))
    }

    #[test]
    fn a_panic_of_sled_becomes_an_error() {
        let path = Path::new("image-1");
        let panics: [fn() -> sled::Result<()>; 2] = [|| panic!("a word"), || panic!("a {}", "word")];
        for panic in panics {
            let error = failure(panic).on_writing(path).to_string();
            assert!(error.contains("sled panicked: a word"), "{error}");
            assert!(
                matches!(failure(panic).on_reading(path), Unreadable::Damaged(what) if what.contains("a word"))
            );
        }
    }

    #[test]
    fn the_systems_refusals_do_not_count_as_damage() {
        let path = Path::new("image-1");
        for kind in [ErrorKind::PermissionDenied, ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem] {
            let unreadable = io_failure(kind).on_reading(path);
            assert!(matches!(unreadable, Unreadable::Fatal(StorageError::Io { .. })), "{unreadable:?}");
        }
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::NotFound] {
            assert!(matches!(io_failure(kind).on_reading(path), Unreadable::Damaged(_)), "{kind}");
        }
        let eio = failure(|| Err(sled::Error::Io(io::Error::from_raw_os_error(5))));
        assert!(matches!(eio.on_reading(path), Unreadable::Fatal(_)));
    }

    #[test]
    fn an_image_that_another_handle_has_locked_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image-1");
        drop(Image::open(Arc::new(RealDisk), path.clone()).unwrap());
        wait_until_unlocked(&path).unwrap();
        let other = File::open(path.join("db")).unwrap();
        other.try_lock().unwrap();
        let holder = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(other);
        });
        assert!(Image::open(Arc::new(RealDisk), path).is_ok());
        holder.join().unwrap();
    }
}
