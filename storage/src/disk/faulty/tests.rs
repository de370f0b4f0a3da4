use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;

/// A directory with a synced file of 2,000 bytes 1 in it.
fn disk_with_file() -> (TempDir, FaultyDisk, Arc<dyn File>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(dir.path()).unwrap();
    let file = disk.open(&dir.path().join("file"), Mode::CreateNew).unwrap();
    file.write_all_at(&[1; 2000], 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(dir.path()).unwrap();
    (dir, disk, file)
}

/// Every file below a directory and what is in it.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = Names::below(dir, &mut |_, _| ()).unwrap();
    names.files.into_keys().map(|path| (path.clone(), fs::read(dir.join(path)).unwrap())).collect()
}

/// What power cuts after the last step may leave.
fn outcomes(disk: &FaultyDisk) -> BTreeSet<BTreeMap<PathBuf, Vec<u8>>> {
    let moment = disk.lock().moment().unwrap();
    let cut = |seed| {
        let into = tempfile::tempdir().unwrap();
        moment.leave(into.path(), &mut Random(seed)).unwrap();
        contents(into.path())
    };
    (0..300).map(cut).collect()
}

fn outcomes_of_file(disk: &FaultyDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    outcomes(disk).into_iter().map(|mut files| files.remove(Path::new(name))).collect()
}

#[test]
fn what_was_synced_survives() {
    let (dir, disk, file) = disk_with_file();
    assert_eq!(outcomes_of_file(&disk, "file"), [Some(vec![1; 2000])].into());
    disk.cut(7).unwrap();
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), [1; 2000]);
    assert!(file.read_at(&mut [0], 0).is_err(), "opened before the cut");
}

#[test]
fn an_unsynced_write_is_kept_torn_or_lost() {
    let (_dir, disk, file) = disk_with_file();
    file.write_all_at(&[2; 1000], 500).unwrap();
    let outcomes = outcomes_of_file(&disk, "file");
    let all = [&[1; 500][..], &[2; 1000], &[1; 500]].concat();
    assert!(outcomes.contains(&Some(vec![1; 2000])) && outcomes.contains(&Some(all)));
    assert!(outcomes.len() > 20, "torn in {} ways", outcomes.len());
    for left in outcomes.into_iter().flatten() {
        assert_eq!(left.len(), 2000);
        assert!(left[..500].iter().chain(&left[1500..]).all(|byte| *byte == 1), "bytes that nobody wrote");
    }
}

#[test]
fn a_file_that_grew_has_any_length_between_and_may_show_old_blocks() {
    let (dir, disk, file) = disk_with_file();
    let other = disk.open(&dir.path().join("other"), Mode::CreateNew).unwrap();
    other.write_all_at(&[9; 4000], 0).unwrap();
    other.sync_data().unwrap();
    disk.sync_dir(dir.path()).unwrap();
    file.write_all_at(&[2; 3000], 2000).unwrap();
    let outcomes: Vec<Vec<u8>> = outcomes_of_file(&disk, "file").into_iter().flatten().collect();
    let lengths: BTreeSet<usize> = outcomes.iter().map(Vec::len).collect();
    assert!(lengths.contains(&2000) && lengths.contains(&5000) && lengths.len() > 20, "{lengths:?}");
    for byte in [0, 2, 9] {
        assert!(outcomes.iter().any(|left| left.iter().skip(2048).any(|b| *b == byte)), "no {byte} anywhere");
    }
}

#[test]
fn what_goes_past_the_seam_is_in_doubt_until_it_is_synced_through_it() {
    let (dir, disk, _file) = disk_with_file();
    let path = dir.path().join("sleds");
    fs::write(&path, [3; 600]).unwrap();
    fs::File::open(&path).unwrap().sync_all().unwrap();
    assert!(outcomes_of_file(&disk, "sleds").contains(&None));
    disk.sync_dir(dir.path()).unwrap();
    let outcomes = outcomes_of_file(&disk, "sleds");
    assert!(outcomes.contains(&Some(vec![])) && outcomes.contains(&Some(vec![3; 600])));
    disk.open(&path, Mode::Read).unwrap().sync_data().unwrap();
    assert_eq!(outcomes_of_file(&disk, "sleds"), [Some(vec![3; 600])].into());
    fs::remove_file(&path).unwrap();
    assert_eq!(outcomes_of_file(&disk, "sleds"), [None, Some(vec![3; 600])].into());
}

#[test]
fn a_rename_leaves_the_old_file_or_the_new_one_and_loses_neither() {
    let (dir, disk, _file) = disk_with_file();
    let (path, temporary) = (dir.path().join("file"), dir.path().join("tmp"));
    let file = disk.open(&temporary, Mode::CreateNew).unwrap();
    file.write_all_at(&[2; 10], 0).unwrap();
    file.sync_data().unwrap();
    disk.rename(&temporary, &path).unwrap();
    assert_eq!(outcomes_of_file(&disk, "file"), [Some(vec![1; 2000]), Some(vec![2; 10])].into());
    disk.sync_dir(dir.path()).unwrap();
    disk.rename(&path, &temporary).unwrap();
    for left in outcomes(&disk) {
        assert!(left.values().any(|content| *content == [2; 10]), "lost: {left:?}");
    }
}

#[test]
fn a_directory_that_is_removed_comes_back_whole_in_part_or_not_at_all() {
    let (dir, disk, _file) = disk_with_file();
    let image = dir.path().join("image/blobs");
    disk.create_dir_all(&image).unwrap();
    for name in ["a", "b"] {
        fs::write(image.join(name), name).unwrap();
        disk.open(&image.join(name), Mode::Read).unwrap().sync_data().unwrap();
    }
    disk.sync_dir(&image).unwrap();
    disk.remove_dir_all(&dir.path().join("image")).unwrap();
    let counts: BTreeSet<usize> = outcomes(&disk).iter().map(BTreeMap::len).collect();
    assert_eq!(counts, [1, 2, 3].into());
    assert!(disk.remove_dir_all(&dir.path().join("image")).is_err());
}

#[test]
fn a_sync_after_a_failed_one_saves_nothing_but_what_is_written_again() {
    let (_dir, disk, file) = disk_with_file();
    file.write_all_at(&[2; 512], 0).unwrap();
    disk.fail_at(disk.steps(), EIO);
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(EIO));
    file.write_all_at(&[3; 512], 512).unwrap();
    file.sync_data().unwrap();
    let outcomes: Vec<_> = outcomes_of_file(&disk, "file").into_iter().flatten().collect();
    assert!(outcomes.iter().any(|left| left[..512] == [1; 512]));
    assert!(outcomes.iter().any(|left| left[..512] == [2; 512]));
    assert!(outcomes.iter().all(|left| left[512..1024] == [3; 512]));
    file.write_all_at(&[2; 512], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(outcomes_of_file(&disk, "file").len(), 1);
}

#[test]
fn the_power_fails_at_a_step_and_stays_off() {
    let (dir, disk, file) = disk_with_file();
    let step = disk.steps();
    disk.power_fails_at(step + 1);
    file.write_all_at(&[2; 2000], 0).unwrap();
    assert!(file.sync_data().is_err());
    assert!(file.write_all_at(&[3; 2000], 0).is_err());
    assert!(disk.remove(&dir.path().join("file")).is_err());
    // What sled does when the power is off is not on disk either.
    fs::write(dir.path().join("late"), "late").unwrap();
    disk.cut(1).unwrap();
    let left = contents(dir.path());
    assert_eq!(left.len(), 1);
    assert!(left[Path::new("file")].iter().all(|byte| [1, 2].contains(byte)));
    disk.sync_dir(dir.path()).unwrap();
}

#[test]
fn a_recorded_step_can_be_cut_at_later() {
    let (dir, disk, file) = disk_with_file();
    disk.record();
    let step = disk.steps();
    for byte in 2..5 {
        file.write_all_at(&[byte; 2000], 0).unwrap();
        file.sync_data().unwrap();
    }
    let into = tempfile::tempdir().unwrap();
    assert!(disk.leave(step + 3, 9, into.path()).unwrap());
    let left = fs::read(into.path().join("file")).unwrap();
    assert!(left.iter().all(|byte| [2, 3].contains(byte)), "{left:?}");
    assert!(!disk.leave(step + 6, 9, into.path()).unwrap());
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), [4; 2000]);
}

#[test]
fn without_room_nothing_grows() {
    let (dir, disk, file) = disk_with_file();
    disk.limit(Some(2100));
    assert_eq!(disk.free_bytes(dir.path()).unwrap(), 100);
    file.write_all_at(&[2; 2000], 0).unwrap();
    let full = file.write_all_at(&[3; 200], 2000).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(ENOSPC));
    assert_eq!(file.len().unwrap(), 2100, "what fits is written");
    assert!(disk.open(&dir.path().join("new"), Mode::CreateNew).is_err());
    disk.mend();
    disk.full_from(disk.steps());
    assert!(file.set_len(3000).is_err());
    assert!(disk.create_dir_all(&dir.path().join("dir")).is_err());
    file.write_all_at(&[4; 2100], 0).unwrap();
    disk.mend();
    file.set_len(3000).unwrap();
}
