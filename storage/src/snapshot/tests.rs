//! Snapshots on good days, with damaged files, and on a disk that fails.

use std::collections::BTreeSet;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::checkpoint::fixture::Shop;
use crate::disk::RealDisk;
use crate::disk::faulty::FaultyDisk;

fn store(dir: &Path) -> SnapshotStore {
    SnapshotStore::open(Arc::new(RealDisk), &dir.join("snapshots")).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    RealDisk.list(&dir.join("snapshots")).unwrap()
}

/// A checkpoint of the shop as it is now.
fn checkpoint(dir: &Path, shop: &Shop) -> Checkpoint {
    let (mut checkpoint, _) = Checkpoint::open(Arc::new(RealDisk), &dir.join("checkpoint")).unwrap();
    checkpoint.replace(&shop.header(), &mut shop.records().into_iter()).unwrap();
    checkpoint
}

/// A directory with one snapshot of a shop after that many commands.
fn one_snapshot(commands: u64) -> (TempDir, SnapshotStore, Snapshot, Shop) {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::after(1, commands);
    let store = store(dir.path());
    let snapshot = store.write(&checkpoint(dir.path(), &shop)).unwrap();
    (dir, store, snapshot, shop)
}

fn bytes(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = vec![0; snapshot.len() as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        // In odd pieces, as a transport might.
        let end = bytes.len().min(filled + 1_000);
        filled += snapshot.read_at(&mut bytes[filled..end], filled as u64).unwrap();
    }
    assert_eq!(snapshot.read_at(&mut [0; 9], snapshot.len()).unwrap(), 0);
    bytes
}

fn receive(store: &SnapshotStore, bytes: &[u8]) -> Result<Snapshot, String> {
    let mut receiving = store.receive().unwrap();
    bytes.chunks(777).for_each(|chunk| receiving.write(chunk).unwrap());
    receiving.finish().unwrap()
}

fn assert_same(snapshot: &Snapshot, shop: &Shop) {
    assert_eq!(snapshot.header(), &shop.header());
    let inventory = snapshot.load().unwrap();
    assert_eq!(inventory.records().collect::<Vec<_>>(), shop.records());
}

#[test]
fn what_is_written_is_loaded_and_found_again() {
    for commands in [0, 1, 10, 3_000] {
        let (dir, store, snapshot, shop) = one_snapshot(commands);
        assert_same(&snapshot, &shop);
        assert_same(&store.newest().unwrap().unwrap(), &shop);
        assert_same(&self::store(dir.path()).newest().unwrap().unwrap(), &shop);
        let name = format!("snapshot-{:020}-{:020}-{commands:020}.snap", 3, 1);
        assert_eq!(names(dir.path()), [name]);
    }
}

#[test]
fn an_empty_store_has_none_and_an_empty_checkpoint_gives_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    assert!(store.newest().unwrap().is_none());
    let (checkpoint, _) = Checkpoint::open(Arc::new(RealDisk), &dir.path().join("checkpoint")).unwrap();
    assert!(matches!(store.write(&checkpoint), Err(StorageError::Refused { .. })));
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_newer_one_removes_the_older_and_an_open_handle_reads_on() {
    let (dir, store, old, old_shop) = one_snapshot(500);
    let new_shop = Shop::after(1, 600);
    let new = store.write(&checkpoint(dir.path(), &new_shop)).unwrap();
    assert_eq!(names(dir.path()).len(), 1);
    assert_same(&store.newest().unwrap().unwrap(), &new_shop);
    assert_same(&new, &new_shop);
    assert_same(&old, &old_shop);
}

#[test]
fn one_that_is_received_counts_once_it_is_adopted() {
    let (_sender, _, sent, shop) = one_snapshot(800);
    let (dir, store, _, own_shop) = one_snapshot(100);
    let received = receive(&store, &bytes(&sent)).unwrap();
    assert_same(&received, &shop);
    assert_same(&store.newest().unwrap().unwrap(), &own_shop);
    assert_eq!(names(dir.path()).len(), 2);
    store.adopt(&received).unwrap();
    store.adopt(&received).unwrap();
    assert_eq!(names(dir.path()), [file_name(shop.header().applied)]);
    assert_same(&self::store(dir.path()).newest().unwrap().unwrap(), &shop);
}

#[test]
fn an_older_one_is_not_adopted() {
    let (_sender, _, sent, _) = one_snapshot(100);
    let (dir, store, _, own_shop) = one_snapshot(800);
    let received = receive(&store, &bytes(&sent)).unwrap();
    store.adopt(&received).unwrap();
    assert_same(&store.newest().unwrap().unwrap(), &own_shop);
    drop(received);
    assert_eq!(names(dir.path()), [file_name(own_shop.header().applied)]);
}

#[test]
fn what_is_dropped_before_it_is_adopted_leaves_no_file() {
    let (_sender, _, sent, _) = one_snapshot(100);
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut receiving = store.receive().unwrap();
    receiving.write(&bytes(&sent)[..50]).unwrap();
    assert_eq!(names(dir.path()).len(), 1);
    drop(receiving);
    drop(receive(&store, &bytes(&sent)).unwrap());
    assert!(receive(&store, b"not a snapshot at all").is_err());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn opening_removes_what_was_left_half_made_and_nothing_else() {
    let (dir, store, _, shop) = one_snapshot(100);
    drop(store);
    let own = dir.path().join("snapshots");
    fs::write(own.join("0.tmp"), "half").unwrap();
    fs::write(own.join("77.tmp"), "").unwrap();
    fs::write(own.join("note"), "an operator's").unwrap();
    let store = self::store(dir.path());
    assert_eq!(names(dir.path()), ["note".to_owned(), file_name(shop.header().applied)]);
    assert_same(&store.newest().unwrap().unwrap(), &shop);
}

#[test]
fn a_crash_before_the_older_one_is_removed_is_mended() {
    let (dir, store, old, _) = one_snapshot(100);
    let kept = bytes(&old);
    let new_shop = Shop::after(1, 200);
    store.write(&checkpoint(dir.path(), &new_shop)).unwrap();
    fs::write(dir.path().join("snapshots").join(file_name(old.header().applied)), kept).unwrap();
    let store = self::store(dir.path());
    assert_eq!(names(dir.path()).len(), 2);
    assert_same(&store.newest().unwrap().unwrap(), &new_shop);
    assert_eq!(names(dir.path()).len(), 1);
}

/// Every way to damage the bytes: a bit in every 64 bytes, each page zeroed, a cut at every byte of the tail, a
/// block left out, bytes added.
fn damages(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    const PAGE: usize = 4096;
    let mut damages = Vec::new();
    for at in (0..bytes.len()).step_by(64) {
        let at = at + (at / 64 * 7) % 64.min(bytes.len() - at);
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        damages.push((format!("bit flipped at {at}"), damaged));
    }
    for page in (0..bytes.len()).step_by(PAGE) {
        let mut damaged = bytes.to_vec();
        let end = bytes.len().min(page + PAGE);
        damaged[page..end].fill(0);
        damages.push((format!("page at {page} zeroed"), damaged));
    }
    for len in (0..120).chain(bytes.len().saturating_sub(500)..bytes.len()) {
        damages.push((format!("cut at {len}"), bytes[..len].to_vec()));
    }
    let without_middle = [&bytes[..PAGE], &bytes[2 * PAGE..]].concat();
    damages.push(("a page left out".to_owned(), without_middle));
    damages.push(("a byte added".to_owned(), [bytes, &[0]].concat()));
    damages
}

#[test]
fn every_damage_is_seen_and_named() {
    let (dir, store, snapshot, _) = one_snapshot(2_000);
    drop(store);
    let whole = bytes(&snapshot);
    assert!(whole.len() > format::BLOCK_BYTES, "one block is too few: {} bytes", whole.len());
    let path = dir.path().join("snapshots").join(file_name(snapshot.header().applied));
    let damages = damages(&whole);
    for (case, damaged) in &damages {
        fs::write(&path, damaged).unwrap();
        let verified = verify(&RealDisk, &path, Name::Published(path.clone()), &Pace::default());
        match verified.map_err(|e| unreadable(&path, e)) {
            Err(StorageError::Corrupt { path: named, offset, .. }) => {
                assert_eq!(named, path, "{case}");
                assert!(offset <= whole.len() as u64, "{case}: offset {offset}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
    assert!(matches!(self::store(dir.path()).newest(), Err(StorageError::Corrupt { .. })));
    println!("{} damages of {} bytes, all refused", damages.len(), whole.len());
}

#[test]
fn damage_on_the_way_is_the_peers_fault() {
    let (_sender, _, sent, _) = one_snapshot(2_000);
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    for (case, damaged) in damages(&bytes(&sent)).iter().step_by(16) {
        assert!(receive(&store, damaged).is_err(), "{case}");
    }
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_deleted_file_is_none() {
    let (dir, store, snapshot, _) = one_snapshot(100);
    drop(store);
    fs::remove_file(dir.path().join("snapshots").join(file_name(snapshot.header().applied))).unwrap();
    assert!(self::store(dir.path()).newest().unwrap().is_none());
}

#[test]
fn a_damaged_one_is_set_aside_and_only_the_last_of_them_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    assert_eq!((store.newest_applied().unwrap(), store.set_newest_aside().unwrap()), (None, None));
    for commands in [100, 200] {
        let shop = Shop::after(1, commands);
        let snapshot = store.write(&checkpoint(dir.path(), &shop)).unwrap();
        snapshot.check().unwrap();
        let path = dir.path().join("snapshots").join(file_name(shop.header().applied));
        let middle = fs::metadata(&path).unwrap().len() / 2;
        fs::File::options().write(true).open(&path).unwrap().set_len(middle).unwrap();
        assert!(matches!(snapshot.check(), Err(StorageError::Corrupt { offset, .. }) if offset <= middle));

        assert_eq!(store.newest_applied().unwrap(), shop.header().applied);
        let aside = store.set_newest_aside().unwrap().unwrap();
        assert_eq!(fs::metadata(&aside).unwrap().len(), middle);
        let name = aside.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(names(dir.path()), [name]);
        assert!(store.newest().unwrap().is_none());
    }
}

#[test]
fn damage_under_an_open_handle_is_seen_by_load() {
    let (dir, _store, snapshot, _) = one_snapshot(100);
    let path = dir.path().join("snapshots").join(file_name(snapshot.header().applied));
    let file = RealDisk.open(&path, Mode::ReadWrite).unwrap();
    file.write_all_at(&[0; 16], snapshot.len() / 2).unwrap();
    assert!(matches!(snapshot.load(), Err(StorageError::Corrupt { .. })));
}

/// Writes a file with a header and rows of one's own choice.
fn forge(header: &ImageHeader, rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forged");
    let file = RealDisk.open(&path, Mode::CreateNew).unwrap();
    let file = Growing::new(Arc::new(RealDisk), file);
    let mut writer = Writer::start(file, &path, header).unwrap();
    rows.iter().for_each(|(key, value)| writer.row(key, value).unwrap());
    writer.finish().unwrap();
    fs::read(path).unwrap()
}

/// What is written is whole as a file, and yet not what it says: nothing but reading it back can tell. The log must not
/// be purged behind such a one.
#[test]
fn a_snapshot_that_reads_back_otherwise_than_it_was_written_never_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (store, shop) = (store(dir.path()), Shop::after(1, 100));
    let (mut checkpoint, _) = Checkpoint::open(Arc::new(RealDisk), &dir.path().join("checkpoint")).unwrap();
    let other = ImageHeader { digest: shop.header().digest ^ 1, ..shop.header() };
    checkpoint.replace(&other, &mut shop.records().into_iter()).unwrap();
    assert!(matches!(store.write(&checkpoint), Err(StorageError::Corrupt { .. })), "it was not read back");
    assert!(store.newest().unwrap().is_none());
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn well_formed_files_with_wrong_contents_are_refused() {
    use crate::checkpoint::{codec, rows};
    let shop = Shop::after(3, 200);
    let rows = rows::encode_rows(&shop.records());
    let header = shop.header();
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    assert!(receive(&store, &forge(&header, &rows)).is_ok());

    let swapped = {
        let mut rows = rows.clone();
        rows.swap(3, 4);
        rows
    };
    let twice = [&rows[..2], &rows[1..]].concat();
    let short = [&rows[..5], &rows[6..]].concat();
    let other_digest = ImageHeader { digest: header.digest ^ 1, ..header.clone() };
    let newer = {
        let mut rows = rows.clone();
        rows[0].1[0] = codec::VERSION + 1;
        rows
    };
    let cases = [
        ("out of order", receive(&store, &forge(&header, &swapped)), "order"),
        ("a row twice", receive(&store, &forge(&header, &twice)), "order"),
        ("a row gone", receive(&store, &forge(&header, &short)), "agree"),
        ("another digest", receive(&store, &forge(&other_digest, &rows)), "digest"),
        ("a newer row", receive(&store, &forge(&header, &newer)), "newer"),
    ];
    for (case, received, word) in cases {
        let refusal = received.expect_err(case);
        assert!(refusal.contains(word), "{case}: {refusal}");
    }
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let (dir, store, snapshot, _) = one_snapshot(10);
    drop(store);
    let path = dir.path().join("snapshots").join(file_name(snapshot.header().applied));
    let mut newer = bytes(&snapshot);
    newer[8] = 2;
    let header_len = u32::from_le_bytes(newer[12..16].try_into().unwrap()) as usize;
    let end = format::HEAD_BYTES + header_len;
    let crc = crc32fast::hash(&newer[..end]).to_le_bytes();
    newer[end..end + 4].copy_from_slice(&crc);
    fs::write(&path, &newer).unwrap();
    let refused = self::store(dir.path()).newest();
    assert!(matches!(refused, Err(StorageError::Refused { .. })), "{refused:?}");
    assert_eq!(fs::read(path).unwrap(), newer);
}

/// A directory with a snapshot of one shop, and a checkpoint of another.
fn old_and_new(old_shop: &Shop, new_shop: &Shop) -> (TempDir, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path()).write(&checkpoint(dir.path(), old_shop)).unwrap();
    let image = checkpoint(dir.path(), new_shop);
    (dir, image)
}

/// Asserts that there is one snapshot, of one of the shops. Whose it is, by index.
fn one_of(dir: &Path, shops: &[&Shop; 2]) -> usize {
    let newest = store(dir).newest().unwrap().unwrap();
    let found = shops.iter().position(|shop| shop.header() == *newest.header()).unwrap();
    assert_same(&newest, shops[found]);
    assert_eq!(names(dir).len(), 1);
    found
}

#[test]
fn a_failure_at_any_step_leaves_the_old_one_or_the_new_one() {
    let (old_shop, new_shop) = (Shop::after(1, 300), Shop::after(1, 400));
    let mut found = BTreeSet::new();
    for step in 0.. {
        let (dir, image) = old_and_new(&old_shop, &new_shop);
        let disk = FaultyDisk::new(&dir.path().join("snapshots")).unwrap();
        disk.power_fails_at(step);
        let own = dir.path().join("snapshots");
        let written = SnapshotStore::open(Arc::new(disk.clone()), &own).and_then(|s| s.write(&image));
        let whole = written.is_ok();
        if let Ok(written) = written {
            assert_same(&written, &new_shop);
        }
        if whole {
            // It counts from here on, and must have its name whatever happens.
            disk.cut(step).unwrap();
            assert_eq!(one_of(dir.path(), &[&old_shop, &new_shop]), 1, "its name is gone");
            println!("{step} steps failed one by one");
            break;
        }
        // The process alone ends; then the power goes.
        found.insert(one_of(dir.path(), &[&old_shop, &new_shop]));
        disk.cut(step).unwrap();
        found.insert(one_of(dir.path(), &[&old_shop, &new_shop]));
    }
    assert_eq!(found.len(), 2, "some failures come before the rename, some after it");
}

/// A process that was killed between the rename and the fsync of the directory left a snapshot that its next start
/// found, and purged the log behind it; a power cut then took the name back, and the node could not start again.
#[test]
fn a_snapshot_whose_name_was_not_synced_is_synced_when_it_is_found() {
    let (_sender, _, sent, shop) = one_snapshot(100);
    for seed in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        drop(store(dir.path()));
        let disk = FaultyDisk::new(dir.path()).unwrap();
        let own = dir.path().join("snapshots");
        let path = own.join(file_name(shop.header().applied));
        fs::write(&path, bytes(&sent)).unwrap();
        disk.open(&path, Mode::Read).unwrap().sync_data().unwrap();
        let found = SnapshotStore::open(Arc::new(disk.clone()), &own).unwrap().newest().unwrap();
        assert_same(&found.unwrap(), &shop);
        disk.cut(seed).unwrap();
        assert_same(&store(dir.path()).newest().unwrap().unwrap(), &shop);
    }
}

#[test]
fn names_tell_positions_and_sort_as_they_do() {
    let positions = [
        None,
        Some(Position { term: 1, leader: 1, index: 999 }),
        Some(Position { term: 1, leader: 2, index: 5 }),
        Some(Position { term: 10, leader: 1, index: 1 }),
        Some(Position { term: u64::MAX, leader: u64::MAX, index: u64::MAX }),
    ];
    for position in positions {
        assert_eq!(parse_name(&file_name(position)), Some(position));
    }
    assert!(positions.is_sorted());
    for name in
        ["", "snapshot-1.snap", "snapshot-1-2-3-4.snap", "snapshot-a-b-c.snap", "snapshot-1-2-3.tmp", "lock"]
    {
        assert_eq!(parse_name(name), None, "{name}");
    }
}
