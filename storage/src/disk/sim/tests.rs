//! What the simulated disk keeps, tears and loses.

use super::*;

const FILE: &str = "/a/file";

fn disk_with_file() -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/a")).unwrap();
    let file = disk.open(Path::new(FILE), Mode::CreateNew).unwrap();
    disk.sync_dir(Path::new("/a")).unwrap();
    (disk, file)
}

fn content(disk: &SimDisk) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(FILE), Mode::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// What a crash may leave, over many seeds.
fn outcomes(disk: &SimDisk) -> BTreeSet<Option<Vec<u8>>> {
    let crashed = (0..300).map(|seed| {
        let disk = disk.fork();
        disk.crash(seed);
        content(&disk)
    });
    crashed.collect()
}

#[test]
fn what_was_synced_survives_and_what_was_not_may_be_whole_torn_or_lost() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"old", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(b"old".to_vec())]));
    file.write_all_at(b"new", 0).unwrap();
    let expected = ["old", "nld", "ned", "new"].map(|text| Some(text.as_bytes().to_vec()));
    assert_eq!(outcomes(&disk), BTreeSet::from(expected));
}

#[test]
fn a_sync_after_a_failed_one_does_not_save_what_that_was_to_sync() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"x", 0).unwrap();
    disk.fail_at(disk.steps(), io::ErrorKind::Other);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(Vec::new())]));
}

#[test]
fn a_new_name_may_be_lost_until_its_directory_is_synced() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/a")).unwrap();
    disk.open(Path::new(FILE), Mode::CreateNew).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([None, Some(Vec::new())]));
    disk.sync_dir(Path::new("/a")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(Vec::new())]));
}

#[test]
fn a_full_disk_refuses_growth_and_allows_overwriting() {
    let (disk, file) = disk_with_file();
    file.write_all_at(&[1; 10], 0).unwrap();
    disk.limit(Some(12));
    file.write_all_at(&[2; 10], 2).unwrap();
    assert_eq!(file.write_all_at(&[3; 10], 3).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 12);
}
