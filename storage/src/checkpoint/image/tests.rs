//! Images: what sled and the system can do to them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::thread;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::checkpoint::changes::Changes;
use crate::checkpoint::fixture::Shop;
use crate::checkpoint::rows;
use crate::disk::RealDisk;
use crate::disk::told::ToldDisk;
use crate::inventory::ids::Sku;
use crate::inventory::record::{CustomerRecord, KeyRef, RecordRef, StockRecord};
use crate::pace::Pace;

fn failure(call: impl FnOnce() -> sled::Result<()>) -> Failure {
    contain(call).expect_err("it fails")
}

fn io_failure(kind: ErrorKind) -> Failure {
    failure(|| Err(sled::Error::Io(kind.into())))
}

fn write(image: &mut Image, shop: &mut Shop) {
    let mut changes = Changes::of(&mut shop.inventory);
    image.write(&mut changes, Some(&shop.header()), &Pace::default()).unwrap();
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
    wait_until_unlocked(&path, &Progress::default()).unwrap();
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
        write(&mut image, &mut shop);
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
        write(&mut image, &mut shop);
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
    write(&mut image, &mut shop);
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

/// What is on hand of SKUs, and what somebody bought of some of them: what an image has in runs.
#[derive(Default)]
struct Loose {
    on_hand: BTreeMap<u32, u64>,
    sold: BTreeMap<u32, u64>,
    changes: Changes,
}

impl Loose {
    fn set(&mut self, number: u32, value: Option<u64>) {
        let name = Self::sku(number);
        let record = value.map(Self::stock);
        self.changes.push(KeyRef::Stock(&name), record.as_ref().map(RecordRef::Stock));
        change(&mut self.on_hand, number, value);
        if number.is_multiple_of(3) {
            let sold = value.map(|sold| RecordRef::Customer(CustomerRecord { sold }));
            self.changes.push(KeyRef::Customer(&name, &"somebody".into()), sold);
            change(&mut self.sold, number, value);
        }
    }

    fn save(&mut self, image: &mut Image) {
        let header = ImageHeader::default();
        image.write(&mut self.changes, Some(&header), &Pace::default()).unwrap();
        image.sync().unwrap();
        self.changes.clear(0);
    }

    /// The rows that an image is to have, in order.
    fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Changes::default();
        for (&number, &value) in &self.on_hand {
            all.push(KeyRef::Stock(&Self::sku(number)), Some(RecordRef::Stock(&Self::stock(value))));
        }
        for (&number, &sold) in &self.sold {
            let key = KeyRef::Customer(&Self::sku(number), &"somebody".into());
            all.push(key, Some(RecordRef::Customer(CustomerRecord { sold })));
        }
        all.sort().unwrap();
        let records = all.rows().flat_map(|row| row.records());
        records.map(|(key, value)| (key.to_vec(), value.unwrap().to_vec())).collect()
    }

    fn sku(number: u32) -> Sku {
        Sku::new(&format!("SKU-{number:06}")).unwrap()
    }

    fn stock(on_hand: u64) -> StockRecord {
        StockRecord {
            on_hand,
            held: 0,
            sold: 0,
            safety_stock: 0,
            max_per_customer: None,
            created_sequence: 1,
            version: on_hand,
            settled_ms: 0,
        }
    }
}

fn change(map: &mut BTreeMap<u32, u64>, number: u32, value: Option<u64>) {
    match value {
        Some(value) => drop(map.insert(number, value)),
        None => drop(map.remove(&number)),
    }
}

fn rows_of(image: &Image) -> Vec<(Vec<u8>, Vec<u8>)> {
    image.rows().map(|row| row.unwrap()).map(|row| (row.key().to_vec(), row.value().to_vec())).collect()
}

/// Saves of one record and of thousands, in any order, some of records that go; opened anew now and then, in files so
/// short that packs are moved.
#[test]
fn runs_have_the_newest_of_each_record() {
    const FILE_BYTES: u64 = 64 << 10;
    let seed: u64 = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image-1");
    let open =
        || Image::open_with(Arc::new(RealDisk), path.clone(), FILE_BYTES, Progress::default()).unwrap();
    let (mut image, mut loose, mut runs_most) = (open(), Loose::default(), 0);
    for round in 0..150 {
        let changes = if rng.random_bool(0.1) { rng.random_range(0..4_000) } else { rng.random_range(0..4) };
        for _ in 0..changes {
            let value = rng.random_bool(0.8).then(|| rng.random_range(1..1_000_000));
            loose.set(rng.random_range(0..5_000), value);
        }
        loose.save(&mut image);
        let runs = image.runs.values().map(|runs| runs.numbers().len()).max().unwrap();
        assert!(runs <= runs::RUNS_MAX, "round {round}: {runs} runs");
        runs_most = runs_most.max(runs);
        if rng.random_bool(0.1) {
            drop(image);
            image = open();
        }
        if rng.random_bool(0.1) {
            assert!(rows_of(&image) == loose.rows(), "round {round}");
        }
    }
    assert!(rows_of(&image) == loose.rows());
    assert!(runs_most > runs::RUNS_MAX / 2, "{runs_most} runs");
    (0..5_000).for_each(|number| loose.set(number, None));
    loose.save(&mut image);
    assert_eq!(rows_of(&image), []);
}

/// Putting them together may take twice what all of them have, for which a save was not asked.
#[test]
fn runs_are_put_together_once_there_is_room_for_it() {
    let disk = ToldDisk::over(RealDisk);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image-1");
    let open = || Image::open(Arc::new(disk.clone()), path.clone()).unwrap();
    let (mut image, mut loose) = (open(), Loose::default());
    disk.tell(0);
    (0..300).for_each(|number| loose.set(number, Some(1)));
    loose.save(&mut image);
    let saves = 3 * runs::RUNS_MAX;
    // None goes on with the one before: each has lesser names.
    for save in 1..=saves {
        (0..4).for_each(|number| loose.set(300 - 6 * save as u32 + number, Some(1 + save as u64)));
        loose.save(&mut image);
    }
    let runs = |image: &Image| image.runs.values().map(|runs| runs.numbers().len()).max().unwrap();
    assert_eq!(runs(&image), 1 + saves);
    drop(image);
    let mut image = open();
    assert!(rows_of(&image) == loose.rows());
    disk.tell(u64::MAX);
    loose.set(0, Some(7));
    loose.save(&mut image);
    assert!(runs(&image) <= runs::RUNS_MAX, "{} runs", runs(&image));
    assert!(rows_of(&image) == loose.rows());
}

/// Each SKU cost a copy of one of sled's pages, and a record in it was written about five times: while many were put, a
/// node took twice what it keeps.
#[test]
fn skus_that_are_made_in_order_are_written_once_and_are_hardly_any_rows_of_sleds() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = Image::open(Arc::new(RealDisk), dir.path().join("image-1")).unwrap();
    let mut loose = Loose::default();
    for save in 0..20 {
        (save * 1_000..(save + 1) * 1_000).for_each(|number| loose.set(number, Some(u64::from(number) + 1)));
        loose.save(&mut image);
    }
    let (_, bytes, live) = image.packs.figures();
    assert_eq!(bytes, live);
    assert!(live < 20_000 * 30, "{live} bytes");
    assert!(image.places().unwrap().len() < 100);
    assert!(rows_of(&image) == loose.rows());
}
