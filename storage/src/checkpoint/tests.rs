//! The checkpoint on good days, after crashes, and with damaged files.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::fixture::Shop;
use super::*;
use crate::disk::RealDisk;

fn open(dir: &Path) -> (Checkpoint, Opened) {
    Checkpoint::open(Arc::new(RealDisk), dir).unwrap()
}

fn folder(dir: &Path) -> Folder {
    Folder::open(Arc::new(RealDisk), dir).unwrap()
}

/// The reason for an empty checkpoint; panics where an image was loaded.
fn empty(opened: Opened) -> Option<String> {
    match opened {
        Opened::Empty { reason } => reason,
        Opened::Loaded { header, .. } => panic!("loaded an image at {:?}", header.applied),
    }
}

fn loaded(opened: Opened) -> (ImageHeader, Box<Inventory>) {
    match opened {
        Opened::Loaded { header, inventory } => (header, inventory),
        Opened::Empty { reason } => panic!("empty: {reason:?}"),
    }
}

/// Asserts that the image is the shop's.
fn assert_image(opened: Opened, shop: &Shop) {
    let (header, inventory) = loaded(opened);
    assert_eq!(header, shop.header());
    assert_eq!(inventory.records().collect::<Vec<_>>(), shop.records());
    assert_eq!(inventory.state_digest(), shop.inventory.state_digest());
}

fn save(checkpoint: &mut Checkpoint, shop: &mut Shop) {
    let mut changes = Changes::of(&mut shop.inventory);
    checkpoint.save(&shop.header(), &mut changes).unwrap();
}

/// As a node does it: after each few commands what changed is taken, but for what changes all the time.
#[test]
fn changes_that_were_taken_bit_by_bit_are_those_up_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path());
    let (mut shop, mut taken) = (Shop::new(14), 0);
    for _ in 0..20 {
        let mut changes = Changes::default();
        for _ in 0..30 {
            shop.run(7);
            changes.take_settled(&mut shop.inventory, usize::MAX);
            taken += changes.len();
        }
        shop.run(3);
        changes.take_changed(&mut shop.inventory);
        assert_eq!(shop.inventory.changed(), 0);
        checkpoint.save(&shop.header(), &mut changes).unwrap();
    }
    assert!(taken > 0);
    drop(checkpoint);
    assert_image(open(dir.path()).1, &shop);
}

/// As a node does it where much changed while nothing could be saved: portions of everything are taken while commands
/// go on, and the image is cut at whichever moment nothing is left. `SEED=n` repeats one seed.
#[test]
fn an_image_cut_at_any_moment_with_portions_taken_between_is_the_state_at_that_moment() {
    let one = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in one.map_or(0..8, |seed| seed..seed + 1) {
        eprintln!("SEED={seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let (mut checkpoint, _) = open(dir.path());
        let (mut shop, mut changes, mut portions) = (Shop::new(seed), Changes::default(), 0);
        for _ in 0..12 {
            shop.run(rng.random_range(1..400));
            while !changes.take_some(&mut shop.inventory, rng.random_range(0..200)) {
                portions += 1;
                shop.run(rng.random_range(0..10));
                if rng.random_bool(0.5) {
                    changes.take_settled(&mut shop.inventory, rng.random_range(0..50));
                }
            }
            checkpoint.save(&shop.header(), &mut changes).unwrap();
            changes.clear(rng.random_range(0..100_000));
            drop(checkpoint);
            let (opened, image) = open(dir.path());
            assert_image(image, &shop);
            checkpoint = opened;
        }
        assert!(portions > 12, "{portions} portions");
    }
}

/// A save whose changes are not whole would be an image of no moment.
#[test]
fn a_change_that_cannot_be_encoded_fails_the_save_and_not_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path());
    let mut shop = Shop::after(15, 100);
    let mut changes = Changes::of(&mut shop.inventory);
    let (key, whole) = (RecordKey::Events(7), changes.len());
    let events = shop.records().into_iter().filter_map(|(_, record)| match record {
        Record::Events(events) => Some(events),
        _ => None,
    });
    let events: Vec<_> = events.flatten().collect();
    let too_many = events.iter().cycle().take(150_000).cloned().collect();
    changes.push((&key).into(), Some((&Record::Events(too_many)).into()));
    assert_eq!(changes.len(), whole);
    let saved = checkpoint.save(&shop.header(), &mut changes);
    assert!(saved.is_err_and(|error| error.to_string().contains("a value of")));
}

/// Copies a directory as a crash would leave it, but for locks.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// An open checkpoint with one save in it, and the shop that was saved.
fn one_save(seed: u64, commands: u64) -> (TempDir, Checkpoint, Shop) {
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path());
    let mut shop = Shop::after(seed, commands);
    save(&mut checkpoint, &mut shop);
    (dir, checkpoint, shop)
}

/// A save that fails: its header is larger than a value may be.
fn fail(checkpoint: &mut Checkpoint, shop: &Shop) {
    let too_large = ImageHeader { membership: vec![7; codec::VALUE_BYTES_MAX], ..shop.header() };
    assert!(checkpoint.save(&too_large, &mut Changes::default()).is_err());
}

/// A closed checkpoint with two saves in it, and the shop as it was at either.
fn two_saves() -> (TempDir, [Shop; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, opened) = open(dir.path());
    assert_eq!(empty(opened), None);
    let mut shop = Shop::after(1, 300);
    save(&mut checkpoint, &mut shop);
    shop.run(200);
    save(&mut checkpoint, &mut shop);
    (dir, [Shop::after(1, 300), Shop::after(1, 500)])
}

#[test]
fn a_new_directory_is_empty_without_a_reason_until_the_first_save() {
    let dir = tempfile::tempdir().unwrap();
    let (checkpoint, opened) = open(dir.path());
    assert_eq!(empty(opened), None);
    assert_eq!(checkpoint.header(), None);
}

#[test]
fn a_save_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut shop = Shop::new(2);
    for round in 0..5 {
        let (mut checkpoint, opened) = open(dir.path());
        match round {
            0 => assert_eq!(empty(opened), None),
            _ => assert_image(opened, &shop),
        }
        shop.run(100);
        save(&mut checkpoint, &mut shop);
        shop.run(100);
        save(&mut checkpoint, &mut shop);
        assert_eq!(checkpoint.header(), Some(&shop.header()));
    }
}

#[test]
fn a_save_is_in_the_files_before_sled_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(&dir.path().join("a"));
    let mut shop = Shop::new(3);
    for round in 0..10 {
        shop.run(50);
        save(&mut checkpoint, &mut shop);
        let crashed = dir.path().join(format!("crashed-{round}"));
        copy(&dir.path().join("a"), &crashed);
        assert_image(open(&crashed).1, &shop);
    }
}

#[test]
fn rows_come_back_in_order() {
    let (_dir, checkpoint, shop) = one_save(4, 400);
    let rows: Vec<RawRow> = checkpoint.rows().collect::<Result<_, _>>().unwrap();
    assert!(rows.is_sorted_by(|a, b| a.key() < b.key()));
    let decoded: Vec<_> = rows.iter().flat_map(|r| decode_row(r.key(), r.value()).unwrap()).collect();
    assert_eq!(decoded, shop.records());
    assert_eq!(Inventory::from_records(decoded).unwrap().state_digest(), shop.inventory.state_digest());
}

#[test]
fn a_second_handle_is_refused_and_harms_nothing() {
    let (dir, [_, shop]) = two_saves();
    let (first, _) = open(dir.path());
    let second = Checkpoint::open(Arc::new(RealDisk), dir.path());
    assert!(matches!(second, Err(StorageError::Refused { .. })));
    drop(first);
    assert_image(open(dir.path()).1, &shop);
}

#[test]
fn replacing_leaves_nothing_of_the_old_image() {
    let (dir, _) = two_saves();
    let (mut checkpoint, _) = open(dir.path());
    let mut other = Shop::after(5, 700);
    checkpoint.replace(&other.header(), &mut other.records().into_iter()).unwrap();
    assert_eq!(checkpoint.header(), Some(&other.header()));
    assert_eq!(folder(dir.path()).images().unwrap(), [2]);
    // Saves go on from there.
    drop(Changes::of(&mut other.inventory));
    other.run(100);
    save(&mut checkpoint, &mut other);
    drop(checkpoint);
    assert_image(open(dir.path()).1, &other);
}

#[test]
fn replacing_with_nothing_makes_an_empty_image() {
    let (dir, _) = two_saves();
    let (mut checkpoint, _) = open(dir.path());
    let shop = Shop::new(0);
    checkpoint.replace(&shop.header(), &mut std::iter::empty()).unwrap();
    drop(checkpoint);
    let (header, inventory) = loaded(open(dir.path()).1);
    assert_eq!(header, shop.header());
    assert_eq!(inventory.sequence(), 0);
}

#[test]
fn a_crash_while_replacing_leaves_the_old_image_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let (mut checkpoint, _) = open(&live);
    let mut old = Shop::after(6, 300);
    save(&mut checkpoint, &mut old);
    let new = Shop::after(7, 6_000);

    // While records come in: some of them are in the new image, which nothing names.
    let mut crashed = Vec::new();
    let mut records = new.records().into_iter().enumerate().map(|(n, record)| {
        if n % 300 == 0 {
            let to = dir.path().join(format!("at-{n}"));
            copy(&live, &to);
            crashed.push(to);
        }
        record
    });
    let built = build(&folder(&live), 2, &new.header(), &mut records).unwrap();
    drop(records);
    assert!(crashed.len() >= 4, "{} records are too few", new.records().len());

    // When it is whole, but not named; with a torn CURRENT beside it.
    let whole = dir.path().join("whole");
    copy(&live, &whole);
    fs::write(whole.join("CURRENT.tmp"), "lastunit check").unwrap();
    crashed.push(whole);
    for crashed in crashed {
        assert_image(open(&crashed).1, &old);
        assert_eq!(folder(&crashed).images().unwrap(), [1]);
    }

    // When it is named, and the old one still there.
    current::write(&folder(&live), 2).unwrap();
    let named = dir.path().join("named");
    copy(&live, &named);
    drop(built);
    assert_image(open(&named).1, &new);
    assert_eq!(folder(&named).images().unwrap(), [2]);
}

#[test]
fn a_replacement_that_panics_in_the_caller_leaves_the_old_image() {
    let (dir, [_, shop]) = two_saves();
    let (mut checkpoint, _) = open(dir.path());
    let mut records = shop.records().into_iter().map(|_| panic!("the caller's own"));
    let header = shop.header();
    let result =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| checkpoint.replace(&header, &mut records)));
    assert!(result.is_err());
    drop(checkpoint);
    assert_image(open(dir.path()).1, &shop);
}

#[test]
fn after_a_failure_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path());
    let mut shop = Shop::after(8, 100);
    fail(&mut checkpoint, &shop);
    let mut changes = Changes::of(&mut shop.inventory);
    assert!(matches!(checkpoint.save(&shop.header(), &mut changes), Err(StorageError::Stopped(_))));
    assert_eq!(checkpoint.header(), None);
}

/// A save that fails may have taken the runs out that it was to write anew: the rows were those without stock.
#[test]
fn after_a_failure_no_rows_are_told() {
    let (_dir, mut checkpoint, shop) = one_save(8, 100);
    assert!(checkpoint.rows().all(|row| row.is_ok()));
    fail(&mut checkpoint, &shop);
    let rows: Vec<_> = checkpoint.rows().collect();
    assert!(matches!(&rows[..], [Err(StorageError::Stopped(_))]));
}

#[test]
fn a_digest_that_differs_empties_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(dir.path());
    let mut shop = Shop::after(9, 100);
    let header = ImageHeader { digest: shop.header().digest ^ 1, ..shop.header() };
    checkpoint.save(&header, &mut Changes::of(&mut shop.inventory)).unwrap();
    drop(checkpoint);
    let (mut checkpoint, opened) = open(dir.path());
    assert!(empty(opened).unwrap().contains("digest"));
    // It can be used at once.
    checkpoint.replace(&shop.header(), &mut shop.records().into_iter()).unwrap();
    drop(checkpoint);
    assert_image(open(dir.path()).1, &shop);
}

/// Changes bytes of the tree behind the checkpoint's back.
fn with_sled(dir: &Path, change: impl FnOnce(&sled::Db)) {
    image::wait_until_unlocked(&folder(dir).image_path(1), &Progress::default()).unwrap();
    let db = sled::Config::new().path(folder(dir).image_path(1)).open().unwrap();
    change(&db);
    db.flush().unwrap();
}

#[test]
fn what_does_not_decode_or_agree_empties_the_checkpoint() {
    type Change = fn(&sled::Db);
    let cases: [(&str, Change); 8] = [
        ("no header", |db| drop(db.remove([0]).unwrap())),
        ("header of zeros", |db| drop(db.insert([0], vec![0; 40]).unwrap())),
        ("a key of no kind", |db| drop(db.insert([9, 9], vec![1]).unwrap())),
        ("the first key of all", |db| drop(db.insert([0, 0], vec![1]).unwrap())),
        ("a key behind all others", |db| drop(db.insert([0xff, 0xff], vec![1]).unwrap())),
        ("a record cut short", |db| {
            let (key, value) = db.scan_prefix([3]).next().unwrap().unwrap();
            db.insert(key, &value[..value.len() - 1]).unwrap();
        }),
        ("a record gone", |db| {
            let (key, _) = db.scan_prefix([4]).next().unwrap().unwrap();
            db.remove(key).unwrap();
        }),
        ("no counters", |db| drop(db.remove([1]).unwrap())),
    ];
    for (name, change) in cases {
        let (dir, _) = two_saves();
        with_sled(dir.path(), change);
        let (_, opened) = open(dir.path());
        assert!(empty(opened).is_some(), "{name}");
    }
}

/// Which packs an image has sled keep the places of, and nothing else tells that one was there.
#[test]
fn runs_without_any_one_pack_or_without_one_of_them_empty_the_checkpoint() {
    let original = tempfile::tempdir().unwrap();
    let (mut checkpoint, _) = open(original.path());
    let mut shop = Shop::after(16, 200);
    shop.put_skus(6_000);
    save(&mut checkpoint, &mut shop);
    shop.run(20);
    save(&mut checkpoint, &mut shop);
    drop(checkpoint);
    let mut packs: Vec<Vec<u8>> = Vec::new();
    with_sled(original.path(), |db| {
        let keys = rows::RUN_TAGS.into_iter().flat_map(|tag| db.scan_prefix([tag]).keys());
        packs.extend(keys.map(|key| key.unwrap().to_vec()));
    });
    let mut runs: Vec<Vec<u8>> = packs.iter().map(|key| key[..9].to_vec()).collect();
    runs.dedup();
    assert!(packs.len() > runs.len() && runs.len() > rows::RUN_TAGS.len(), "{packs:?}");
    for gone in packs.iter().chain(&runs) {
        let dir = tempfile::tempdir().unwrap();
        copy(original.path(), dir.path());
        with_sled(dir.path(), |db| {
            db.scan_prefix(gone).keys().for_each(|key| drop(db.remove(key.unwrap()).unwrap()));
        });
        assert!(empty(open(dir.path()).1).is_some(), "{gone:?}");
    }
}

#[test]
fn another_format_is_refused_and_left_alone() {
    for (version, said) in [(codec::VERSION + 1, "newer"), (1, "never released")] {
        let header = |db: &sled::Db| {
            let body = b"whatever comes";
            let crc = crc32fast::hash(&[&[version][..], body].concat()).to_le_bytes();
            db.insert([0], [&[version][..], &crc, body].concat()).unwrap();
        };
        let record = |db: &sled::Db| drop(db.insert([1], vec![version, 1, 1]).unwrap());
        let cases: [&dyn Fn(&sled::Db); 2] = [&header, &record];
        for change in cases {
            let (dir, _) = two_saves();
            with_sled(dir.path(), change);
            for _ in 0..2 {
                let refused = Checkpoint::open(Arc::new(RealDisk), dir.path()).err().unwrap();
                assert!(matches!(refused, StorageError::Refused { .. }));
                assert!(refused.to_string().contains(said), "{refused}");
            }
        }
    }
}

/// Opens a damaged checkpoint: it is one of the saves, or empty and of use again. Whether it was one of the saves.
fn survives(dir: &Path, saves: &[Shop; 2], case: &str) -> bool {
    let (mut checkpoint, opened) =
        Checkpoint::open(Arc::new(RealDisk), dir).unwrap_or_else(|e| panic!("{case}: {e}"));
    let found = match opened {
        Opened::Loaded { header, inventory } => {
            let is_that = |shop: &&Shop| shop.header() == header;
            let shop = saves.iter().find(is_that).unwrap_or_else(|| panic!("{case}: a wrong header"));
            assert_eq!(inventory.records().collect::<Vec<_>>(), shop.records(), "{case}");
            true
        }
        Opened::Empty { .. } => false,
    };
    let shop = &saves[0];
    checkpoint.replace(&shop.header(), &mut shop.records().into_iter()).unwrap();
    drop(checkpoint);
    assert_image(open(dir).1, shop);
    found
}

#[test]
fn damaged_files_give_an_image_that_was_saved_or_none() {
    const PAGE: u64 = 4096;
    let seed: u64 = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (original, saves) = two_saves();
    let (mut cases, mut found) = (0, 0);
    let mut damage = |case: &str, change: &mut dyn FnMut(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        copy(original.path(), dir.path());
        change(dir.path());
        cases += 1;
        found += usize::from(survives(dir.path(), &saves, &format!("SEED={seed} {case}")));
    };
    for file in files(original.path()) {
        let name = file.strip_prefix(original.path()).unwrap();
        let len = fs::metadata(&file).unwrap().len();
        let edit = |dir: &Path| OpenOptions::new().write(true).open(dir.join(name)).unwrap();
        damage(&format!("{name:?} deleted"), &mut |dir| fs::remove_file(dir.join(name)).unwrap());
        for cut in [0, 1, len / 3, len / 2, len.saturating_sub(PAGE), len.saturating_sub(1)] {
            damage(&format!("{name:?} cut at {cut}"), &mut |dir| edit(dir).set_len(cut).unwrap());
        }
        for page in 0..len.div_ceil(PAGE).min(24) {
            damage(&format!("{name:?} page {page} zeroed"), &mut |dir| {
                edit(dir)
                    .write_all_at(&[0; PAGE as usize][..PAGE.min(len - page * PAGE) as usize], page * PAGE)
                    .unwrap();
            });
        }
        for _ in 0..12 {
            let (at, garbage): (u64, [u8; 64]) = (rng.random_range(0..len.max(1)), rng.random());
            damage(&format!("{name:?} garbage at {at}"), &mut |dir| {
                edit(dir).write_all_at(&garbage, at).unwrap()
            });
            let bit = 1 << rng.random_range(0..8);
            damage(&format!("{name:?} bit {bit} flipped at {at}"), &mut |dir| {
                let mut bytes = fs::read(dir.join(name)).unwrap();
                if let Some(byte) = bytes.get_mut(at as usize) {
                    *byte ^= bit;
                }
                fs::write(dir.join(name), bytes).unwrap();
            });
        }
    }
    println!("{cases} damages: {found} times a saved image, {} times none", cases - found);
}

#[test]
fn a_directory_of_garbage_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["image-1", "image-2/db", "image-2/conf", "image-2/snap.0000000000000001", "image-x"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "garbage".repeat(100)).unwrap();
    }
    for number in [1, 2, 3] {
        current::write(&folder(dir.path()), number).unwrap();
        assert!(empty(open(dir.path()).1).is_some());
    }
}
