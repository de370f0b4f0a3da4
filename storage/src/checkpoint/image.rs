//! One image: a sled directory with one tree, and the files of its packs. The only file that knows sled.
//!
//! ```text
//!   sled      key of a row --> the record, or the place of its pack
//!   pack-<n>  the packs                                              see `packs`, and `rows` for what a row is
//! ```
//!
//! What is to be known about sled 0.34 is here, and dealt with here:
//!
//! * It can panic on bytes that it does not expect, or not come to an end: see [`contain`](super::contain). Whoever
//!   opens an image that may be damaged gives it up after [`Image::standstill_max`] without progress.
//! * Its `flush` does not make anything durable: see [`durable`](super::durable).
//! * Its garbage is freed by the epochs of crossbeam, a little at every 128th call. A batch is one call and
//!   leaves tens of thousands of pieces, so that batches alone never get it freed: measured with batches of
//!   10,000 records, 4 GB resident after two million of them. [`collect_garbage`] frees it after each batch, and
//!   the same run stays at 0.2 GB.
//! * Its background thread, which wakes every [`FLUSH_MS`], is all that reuses space in its file.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::ImageHeader;
use super::changes::Changes;
use super::codec::{self, CodecError};
use super::contain::{Failure, Progress, contain, threads_lost, within};
use super::durable::Synced;
use super::packs::{Packs, Place, Tidied};
use super::rows::{self, Packer, RowChanges, Split};
use crate::StorageError;
use crate::disk::{Disk, Mode};

/// The most that sled's page cache holds, in bytes by sled's own count: what is resident is four times as much.
const CACHE_BYTES: u64 = 4 << 20;

/// How often sled's background thread wakes, in milliseconds.
const FLUSH_MS: u64 = 500;

/// How often, and how far apart, a lock that sled left behind is tried.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

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
    packer: Packer,
    synced: Synced,
    /// How many of sled's threads had been lost when it was opened.
    threads_lost: usize,
    /// How many rows were read.
    progress: Progress,
}

/// The key and the value of a row: see [`decode_row`](super::decode_row).
pub struct RawRow {
    key: sled::IVec,
    value: sled::IVec,
}

impl RawRow {
    pub(super) fn new(key: &[u8], value: &[u8]) -> RawRow {
        RawRow { key: key.into(), value: value.into() }
    }

    /// Its key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its value.
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
        wait_until_unlocked(&path).map_err(Unreadable::Fatal)?;
        let mut synced = Synced::new(disk.clone());
        let not_held = |e: io::Error| Failure::Error(sled::Error::Io(e)).on_reading(&path);
        synced.hold(&path).map_err(not_held)?;
        let db = contain(|| config.open()).map_err(|failure| failure.on_reading(&path))?;
        synced.hold(&path).map_err(not_held)?;
        let packs = Packs::open(disk.clone(), &path, pack_file_bytes).map_err(Unreadable::Fatal)?;
        let packer = Packer::new().map_err(StorageError::io("pack for", &path)).map_err(Unreadable::Fatal)?;
        let threads_lost = threads_lost();
        let mut image = Image { path, db: Some(db), packs, packer, synced, threads_lost, progress };
        for (_, place) in image.places()? {
            image.packs.count(place)?;
        }
        Ok(image)
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

    /// Every row, in the order of the keys; the header is left out.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<RawRow, Unreadable>> + '_ {
        self.stored(codec::HEADER_KEY).map(|row| {
            let row = row?;
            if !rows::is_pack(&row.key) {
                return Ok(row);
            }
            let value = self.packs.read(self.place(&row.value)?)?;
            Ok(RawRow { key: row.key, value: value.into() })
        })
    }

    /// What sled keeps after a key, in the order of the keys: where that is broken, it would go round in circles.
    fn stored(&self, after: &[u8]) -> impl Iterator<Item = Result<RawRow, Unreadable>> + use<'_> {
        let mut range = self.db().range::<&[u8], _>((Bound::Excluded(after), Bound::Unbounded));
        // An iterator that has failed once is not asked again.
        let mut failed = false;
        let mut last = sled::IVec::from(after);
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let next = contain(|| range.next().transpose()).map_err(|e| e.on_reading(&self.path));
            self.progress.step();
            let next = next.and_then(|next| in_order(&mut last, next));
            failed = next.is_err();
            next.transpose()
        })
    }

    /// Where each pack is, by the key of its row.
    fn places(&self) -> Result<Vec<(sled::IVec, Place)>, Unreadable> {
        let of_tag = |tag: u8| self.stored(&[tag]).take_while(move |row| is_tagged(row, tag));
        let places = rows::PACK_TAGS.into_iter().flat_map(of_tag).map(|row| {
            let row = row?;
            Ok((row.key, self.place(&row.value)?))
        });
        places.collect()
    }

    fn place(&self, stored: &[u8]) -> Result<Place, Unreadable> {
        Place::decode(stored).map_err(|e| undecodable(&self.path, e))
    }

    /// Writes changed records, and the header where there is one, as one atomic step. With a header all that was
    /// written is durable after [`sync`](Image::sync).
    pub(super) fn write(
        &mut self,
        mut changes: Changes,
        header: Option<&ImageHeader>,
    ) -> Result<(), StorageError> {
        let mut batch = ImageBatch::default();
        changes.sort().map_err(|e| self.not_encoded(e))?;
        changes.rows().try_for_each(|row| self.write_row(&row, &mut batch))?;
        if let Some(header) = header {
            batch.insert(codec::HEADER_KEY, codec::encode_header(header).map_err(|e| self.not_encoded(e))?);
            self.move_crowded(&mut batch)?;
        }
        self.packs.write()?;
        if header.is_some() {
            self.packs.sync()?;
        }
        self.apply(batch)
    }

    fn write_row(&mut self, row: &RowChanges<'_>, batch: &mut ImageBatch) -> Result<(), StorageError> {
        let key = row.key();
        if rows::is_pack(&key) {
            return self.write_pack(&key, row, batch);
        }
        // Such a row is one record.
        for (key, value) in row.records() {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Ok(())
    }

    /// Writes a pack anew; one in which no record is left is nowhere.
    fn write_pack(
        &mut self,
        key: &[u8],
        changes: &RowChanges<'_>,
        batch: &mut ImageBatch,
    ) -> Result<(), StorageError> {
        let place = self.stored_place(key)?;
        let merged = place.filter(|_| !rows::is_whole(key));
        let stored = merged.map(|place| self.read_pack(place)).transpose()?;
        let stored = stored.as_deref().map(|records| self.split_stored(key, records)).transpose()?;
        let stored = stored.unwrap_or_default();
        place.into_iter().for_each(|place| self.packs.release(place));
        match self.packer.pack(&stored, changes.records()) {
            Ok(Some(pack)) => batch.insert_pack(key, self.packs.add(pack)?),
            Ok(None) => batch.remove_pack(key),
            Err(error) => return Err(self.not_encoded(error)),
        }
        Ok(())
    }

    /// Where a row's pack lies before a change.
    fn stored_place(&self, row: &[u8]) -> Result<Option<Place>, StorageError> {
        let stored = contain(|| self.db().get(row)).map_err(|e| e.on_writing(&self.path))?;
        let place = stored.map(|stored| self.place(&stored)).transpose();
        place.map_err(|e| super::unreadable(&self.path, e))
    }

    /// The records of a pack before a change.
    fn read_pack(&mut self, place: Place) -> Result<Vec<u8>, StorageError> {
        let bytes = self.packs.read(place);
        let unpacked =
            bytes.and_then(|bytes| self.packer.unpack(&bytes).map_err(|e| undecodable(&self.path, e)));
        unpacked.map_err(|e| super::unreadable(&self.path, e))
    }

    fn split_stored<'a>(&self, row: &[u8], records: &'a [u8]) -> Result<Vec<Split<'a>>, StorageError> {
        let split = rows::split_pack(row, records).map_err(|e| undecodable(&self.path, e));
        split.map_err(|e| super::unreadable(&self.path, e))
    }

    /// Moves the packs of the files with the most dead bytes, where that is worth it. What sled tells of rows that this
    /// batch writes is their former place, which was given up.
    fn move_crowded(&mut self, batch: &mut ImageBatch) -> Result<(), StorageError> {
        let files = self.packs.crowded();
        if files.is_empty() {
            return Ok(());
        }
        let places = self.places().map_err(|e| super::unreadable(&self.path, e))?;
        for (row, place) in places.into_iter().filter(|(_, place)| files.contains(&place.file())) {
            if !batch.packs.contains(&*row) {
                let bytes = self.packs.read(place).map_err(|e| super::unreadable(&self.path, e))?;
                let place = self.packs.move_from(place, &bytes)?;
                batch.insert_pack(&row, place);
            }
        }
        Ok(())
    }

    /// What was tidied up since it was opened.
    pub(super) fn tidied(&self) -> Tidied {
        self.packs.tidied()
    }

    fn not_encoded(&self, error: CodecError) -> StorageError {
        StorageError::io("encode for", &self.path)(io::Error::other(error))
    }

    fn apply(&self, batch: ImageBatch) -> Result<(), StorageError> {
        let ImageBatch { batch, writes, .. } = batch;
        contain(|| self.db().apply_batch(batch)).map_err(|e| e.on_writing(&self.path))?;
        collect_garbage(writes);
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

/// Writes that take effect together.
#[derive(Default)]
struct ImageBatch {
    batch: sled::Batch,
    /// How many there are.
    writes: usize,
    /// The keys of the packs among them.
    packs: BTreeSet<Vec<u8>>,
}

impl ImageBatch {
    fn insert(&mut self, row: &[u8], value: impl AsRef<[u8]>) {
        self.writes += 1;
        self.batch.insert(row, value.as_ref());
    }

    fn remove(&mut self, row: &[u8]) {
        self.writes += 1;
        self.batch.remove(row);
    }

    fn insert_pack(&mut self, row: &[u8], place: Place) {
        self.packs.insert(row.to_vec());
        self.insert(row, place.encode());
    }

    fn remove_pack(&mut self, row: &[u8]) {
        self.packs.insert(row.to_vec());
        self.remove(row);
    }
}

/// The next row, whose key is greater than the last one.
fn in_order(
    last: &mut sled::IVec,
    next: Option<(sled::IVec, sled::IVec)>,
) -> Result<Option<RawRow>, Unreadable> {
    let Some((key, value)) = next else { return Ok(None) };
    if key <= *last {
        return Err(Unreadable::Damaged("the rows are not in the order of their keys".to_owned()));
    }
    *last = key.clone();
    Ok(Some(RawRow { key, value }))
}

fn is_tagged(row: &Result<RawRow, Unreadable>, tag: u8) -> bool {
    row.as_ref().map_or(true, |row| row.key.first() == Some(&tag))
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
    use crate::checkpoint::fixture::Shop;
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

    /// Files so short that packs are moved all the time.
    #[test]
    fn packs_that_are_moved_and_written_anew_stay_what_they_are() {
        const FILE_BYTES: u64 = 16 << 10;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image-1");
        let open =
            || Image::open_with(Arc::new(RealDisk), path.clone(), FILE_BYTES, Progress::default()).unwrap();
        let (mut image, mut shop) = (open(), Shop::new(11));
        let mut removed = 0;
        for round in 0..40 {
            shop.run(100);
            image.write(Changes::of(&mut shop.inventory), Some(&shop.header())).unwrap();
            image.sync().unwrap();
            let (files, bytes, live) = image.packs.figures();
            assert!(bytes <= 2 * live + 4 * FILE_BYTES, "round {round}: {bytes} bytes, {live} live");
            removed = image.packs.newest() - files;
            if round % 8 == 7 {
                drop(image);
                image = open();
                assert_eq!(image.packs.figures().2, live, "round {round}");
            }
        }
        assert!(removed > 4, "{removed} files were removed");
        let rows = image.rows().map(|row| row.unwrap());
        let rows: Vec<_> = rows.map(|row| (row.key().to_vec(), row.value().to_vec())).collect();
        assert_eq!(rows, rows::encode_rows(&shop.records()));
    }

    /// Each start began another file, and a file with one pack that never changes stayed, and stayed open, for ever.
    #[test]
    fn many_starts_do_not_make_many_pack_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image-1");
        let mut shop = Shop::after(13, 300);
        for _ in 0..12 {
            let mut image = Image::open(Arc::new(RealDisk), path.clone()).unwrap();
            shop.run(20);
            image.write(Changes::of(&mut shop.inventory), Some(&shop.header())).unwrap();
            image.sync().unwrap();
            assert_eq!(image.packs.figures().0, 1);
        }
        let image = Image::open(Arc::new(RealDisk), path).unwrap();
        let rows = image.rows().map(|row| row.unwrap());
        let rows: Vec<_> = rows.map(|row| (row.key().to_vec(), row.value().to_vec())).collect();
        assert_eq!(rows, rows::encode_rows(&shop.records()));
    }

    #[test]
    fn a_pack_that_is_not_what_it_was_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image-1");
        let (mut image, mut shop) =
            (Image::open(Arc::new(RealDisk), path.clone()).unwrap(), Shop::after(12, 300));
        image.write(Changes::of(&mut shop.inventory), Some(&shop.header())).unwrap();
        image.sync().unwrap();
        drop(image);
        let file = path.join("pack-1");
        let whole = std::fs::read(&file).unwrap();
        let read = || {
            let image = Image::open(Arc::new(RealDisk), path.clone())?;
            image.rows().collect::<Result<Vec<_>, _>>()
        };
        for at in (0..whole.len()).step_by(97) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&file, &flipped).unwrap();
            assert!(matches!(read(), Err(Unreadable::Damaged(_))), "byte {at}");
        }
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(read(), Err(Unreadable::Damaged(_))));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(read(), Err(Unreadable::Damaged(_))));
        std::fs::write(&file, &whole).unwrap();
        assert!(read().is_ok());
    }
}
