//! Images: what sled and the system can do to them.

use std::fs::File;
use std::io::ErrorKind;
use std::thread;

use super::*;
use crate::checkpoint::changes::Changes;
use crate::checkpoint::fixture::Shop;
use crate::checkpoint::rows;
use crate::disk::RealDisk;
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
