//! Backups on good days, and with every damage.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::Position;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::fixture::Shop;
use crate::disk::RealDisk;
use crate::snapshot::SnapshotStore;

/// A backup of a shop after that many commands, as bytes.
fn backup(dir: &Path, commands: u64) -> (Vec<u8>, Shop) {
    let shop = Shop::after(7, commands);
    let (mut checkpoint, _) = Checkpoint::open(Arc::new(RealDisk), &dir.join("checkpoint")).unwrap();
    checkpoint.replace(&shop.header(), &mut shop.records().into_iter()).unwrap();
    let store = SnapshotStore::open(Arc::new(RealDisk), &dir.join("snapshots")).unwrap();
    let snapshot = store.write_nameless(&checkpoint).unwrap();
    assert_eq!(RealDisk.list(&dir.join("snapshots")).unwrap(), [""; 0], "it has no name");
    let mut bytes = BackupHead::of(&snapshot, "shop", 5 << 100, 2).unwrap().encode();
    let mut body = vec![0; snapshot.len() as usize];
    let mut filled = 0;
    while filled < body.len() {
        filled += snapshot.read_at(&mut body[filled..], filled as u64).unwrap();
    }
    bytes.extend(body);
    (bytes, shop)
}

fn open(dir: &TempDir, bytes: &[u8]) -> Result<BackupFile, StorageError> {
    let path = dir.path().join("backup");
    fs::write(&path, bytes).unwrap();
    BackupFile::open(&RealDisk, &path)
}

/// What opening and checking it comes to, in words.
fn told(dir: &TempDir, bytes: &[u8]) -> Result<Audited, String> {
    let checked = open(dir, bytes).and_then(|backup| backup.check(drop));
    checked.map(|checked| checked.audited).map_err(|error| error.to_string())
}

#[test]
fn what_was_taken_is_loaded_and_leaves_fencing_tokens_out() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, shop) = backup(dir.path(), 3_000);
    let backup = open(&dir, &bytes).unwrap();
    let head = backup.head();
    assert_eq!((head.cluster_name.as_str(), head.cluster_id, head.node_id), ("shop", 5 << 100, 2));
    assert_eq!((Some(head.applied), head.digest), (shop.header().applied, shop.inventory.state_digest()));
    assert_eq!((head.sequence, head.now_ms), (shop.inventory.sequence(), shop.inventory.now_ms()));
    assert_eq!(backup.bytes(), bytes.len() as u64);
    let mut last = 0;
    let checked = backup.check(|read| last = read).unwrap();
    assert!(last > bytes.len() as u64 - 64 && last <= bytes.len() as u64, "{last} of {}", bytes.len());
    assert_eq!((checked.header, checked.audited.digest), (shop.header(), head.digest));
    assert_eq!(checked.audited.reservations, shop.inventory.counts().reservations as u64);
    let same = backup.load_leaving_out(0).unwrap();
    assert_eq!(same.state_digest(), head.digest);
    let later = backup.load_leaving_out(1 << 40).unwrap();
    let records = |inventory: &Inventory| inventory.records().collect::<Vec<_>>();
    let (same, later) = (records(&same), records(&later));
    assert_eq!(same, shop.records());
    assert_eq!(same[1..], later[1..]);
    let (Record::Counters(before), Record::Counters(after)) = (&same[0].1, &later[0].1) else { panic!() };
    let fencing_token = before.fencing_token + (1 << 40);
    assert_eq!(*after, Counters { fencing_token, ..*before });
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, _) = backup(dir.path(), 40);
    assert!(told(&dir, &bytes).is_ok());
    // Every bit of the head, and of the first and last bytes of the rest; of what is between, one in each 16 bytes.
    let edge = |at: usize| at < 300 || at + 64 > bytes.len();
    let bits = (0..bytes.len() * 8).filter(|bit| edge(bit / 8) || bit % 128 == (bit / 128) % 128);
    let flips = bits.map(|bit| {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit}"), bytes)
    });
    let cuts = (0..bytes.len()).filter(|len| edge(*len) || len % 37 == 0);
    let cuts = cuts.map(|len| (format!("cut to {len}"), bytes[..len].to_vec()));
    let mut count = 0;
    for (what, damaged) in flips.chain(cuts) {
        let error = told(&dir, &damaged).expect_err(&what);
        assert!(error.contains(" is damaged at offset ") && !error.contains('\n'), "{what}: {error}");
        count += 1;
    }
    assert!(count > 2_000, "only {count} damages");
}

#[test]
fn what_is_no_backup_or_another_version_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, _) = backup(dir.path(), 10);
    let head_bytes = 16 + 80 + "shop".len() + 4;
    let version = |version: u8| {
        let mut bytes = bytes.clone();
        bytes[8] = version;
        let crc = crc32fast::hash(&bytes[..head_bytes - 4]);
        bytes[head_bytes - 4..head_bytes].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let name_too_long = [&bytes[..12], &2_000_u32.to_le_bytes(), &bytes[16..]].concat();
    for (what, damaged, told_with) in [
        ("nothing", Vec::new(), "the file is cut short"),
        ("text", b"sku,on_hand\nPS5,1\nPS5-PAD,2\n".to_vec(), "this is not a backup of lastunit"),
        ("a snapshot", bytes[head_bytes..].to_vec(), "this is not a backup of lastunit"),
        ("zeros", vec![0; bytes.len()], "this is not a backup of lastunit"),
        ("another length", name_too_long, "a head that is too long"),
        ("a head alone", bytes[..head_bytes].to_vec(), "the file is cut short"),
        ("something behind it", [&bytes[..], &[0]].concat(), "bytes after the end"),
        ("twice", [&bytes[..], &bytes[..]].concat(), "bytes after the end"),
        ("version 0", version(0), "format version 0"),
        ("a newer version", version(2), "format version 2 is newer than this lastunit knows"),
    ] {
        let error = told(&dir, &damaged).expect_err(what);
        assert!(error.contains(told_with), "{what}: {error}");
    }
}

/// Each part is whole, and has its checksums; together they are no backup.
#[test]
fn a_head_of_another_moment_than_its_records_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, _) = backup(dir.path(), 30);
    let head = open(&dir, &bytes).unwrap().head().clone();
    let body = &bytes[bytes.len() - head.snapshot_bytes as usize..];
    let applied = head.applied;
    for other in [
        BackupHead { applied: Position { index: applied.index + 1, ..applied }, ..head.clone() },
        BackupHead { sequence: head.sequence - 1, ..head.clone() },
        BackupHead { now_ms: head.now_ms + 1, ..head.clone() },
        BackupHead { digest: !head.digest, ..head.clone() },
    ] {
        let error = told(&dir, &[&other.encode(), body].concat()).unwrap_err();
        assert!(error.contains("its head is of another moment than its records"), "{error}");
    }
    let named = BackupHead { cluster_name: "other".to_owned(), node_id: 9, ..head };
    assert!(told(&dir, &[&named.encode(), body].concat()).is_ok(), "whose it is stands in the head alone");
}

#[test]
fn the_head_has_golden_bytes() {
    let head = BackupHead {
        cluster_name: "ab".to_owned(),
        cluster_id: 1,
        node_id: 2,
        applied: Position { term: 3, leader: 4, index: 5 },
        sequence: 6,
        now_ms: 7,
        digest: 8,
        snapshot_bytes: 9,
    };
    let mut golden = b"LUback\r\n".to_vec();
    golden.extend([1, 0, 0, 0, 82, 0, 0, 0, 1]);
    golden.extend([0; 15]);
    for number in 2..=9 {
        golden.extend([number, 0, 0, 0, 0, 0, 0, 0]);
    }
    golden.extend(b"ab");
    golden.extend(crc32fast::hash(&golden).to_le_bytes());
    assert_eq!(head.encode(), golden);
}
