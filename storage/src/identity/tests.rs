//! Directories that are new, used again, joined, refused and damaged.

use super::*;
use crate::disk::RealDisk;

fn open(path: &Path, cluster_name: &str, node_id: u64) -> Result<DataDir, StorageError> {
    DataDir::open(Arc::new(RealDisk), path, cluster_name, node_id, 77)
}

/// Asserts that it is refused, in one line that contains the words.
fn assert_refused<T>(opened: Result<T, StorageError>, words: &[&str]) {
    let Err(error) = opened else { panic!("not refused") };
    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    words.iter().for_each(|word| assert!(line.contains(word), "no {word:?} in: {line}"));
}

fn identity() -> Identity {
    let cluster_name = "lastunit-dev".to_owned();
    let (generation, log_made) = (1, false);
    Identity {
        cluster_name,
        cluster_id: Some(5 << 100),
        node_id: 1,
        store_id: 77,
        generation,
        nonce: 77,
        log_made,
    }
}

#[test]
fn a_new_directory_gets_an_identity_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/deep/1");
    let first = open(&path, "lastunit-dev", 1).unwrap();
    assert_eq!(first.path(), path);
    assert_eq!(first.identity(), &Identity { cluster_id: None, ..identity() });
    drop(first);
    let again = DataDir::open(Arc::new(RealDisk), &path, "lastunit-dev", 1, 78).unwrap();
    assert_eq!(again.identity().store_id, 77);
}

#[test]
fn each_start_has_the_next_generation_and_a_nonce_of_its_own_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    for (generation, nonce) in [(1, 5), (2, 6), (3, 5)] {
        let data = DataDir::open(Arc::new(RealDisk), dir.path(), "lastunit-dev", 1, nonce).unwrap();
        let on_disk = read(&RealDisk, dir.path()).unwrap().unwrap();
        assert_eq!(data.identity(), &on_disk);
        assert_eq!((on_disk.generation, on_disk.nonce, on_disk.store_id), (generation, nonce, 5));
    }
}

#[test]
fn a_start_that_is_refused_leaves_the_directory_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut data = open(dir.path(), "lastunit-dev", 1).unwrap();
    data.note_log().unwrap();
    let before = fs::read(dir.path().join(FILE.name)).unwrap();
    assert_refused(open(dir.path(), "lastunit-dev", 1), &["in use"]);
    drop(data);
    assert_refused(open(dir.path(), "lastunit-dev", 2), &["node 1"]);
    assert_refused(open(dir.path(), "lastunit-dev", 1), &["log: the log is gone"]);
    assert_eq!(fs::read(dir.path().join(FILE.name)).unwrap(), before);
}

#[test]
fn a_log_that_was_there_and_is_gone_is_refused_but_not_one_that_was_never_made() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
    fs::create_dir(&log).unwrap();
    let mut data = open(dir.path(), "lastunit-dev", 1).unwrap();
    fs::write(log.join("00000001.segment"), "").unwrap();
    data.note_log().unwrap();
    data.note_log().unwrap();
    drop(data);
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
    fs::remove_file(log.join("00000001.segment")).unwrap();
    assert_refused(open(dir.path(), "lastunit-dev", 1), &["log is gone", "put the log back"]);
    fs::remove_dir(&log).unwrap();
    assert_refused(open(dir.path(), "lastunit-dev", 1), &["log is gone", "put the log back"]);
    fs::create_dir(&log).unwrap();
    fs::write(log.join("seal"), "").unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
}

/// A supervisor that starts a refused copy again and again would count its generation up until it passes.
#[test]
fn a_directory_that_was_disowned_is_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
    let start = read(&RealDisk, dir.path()).unwrap().unwrap();
    disown(&RealDisk, dir.path(), start.generation, start.nonce, "it is an old copy", None).unwrap();
    for _ in 0..3 {
        assert_refused(open(dir.path(), "lastunit-dev", 1), &["refused: it is an old copy; put", "newest"]);
    }
    assert_eq!(read(&RealDisk, dir.path()).unwrap().unwrap().generation, 1);
    fs::write(dir.path().join("refused"), "").unwrap();
    assert_refused(open(dir.path(), "lastunit-dev", 1), &["refused: the cluster has refused this directory"]);
    fs::remove_file(dir.path().join("refused")).unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
}

/// What was on its way when a start ended, such as a refused call, must not end the next one for good.
#[test]
fn a_start_that_was_found_out_does_not_take_the_next_one_along() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
    let last = read(&RealDisk, dir.path()).unwrap().unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
    for (generation, nonce) in [(last.generation, last.nonce), (2, !last.nonce)] {
        disown(&RealDisk, dir.path(), generation, nonce, "it is an old copy", None).unwrap();
        assert!(!dir.path().join("refused").exists());
    }
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
}

#[test]
fn joining_is_remembered_and_joining_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut data = open(dir.path(), "lastunit-dev", 1).unwrap();
    data.join(5 << 100).unwrap();
    data.join(5 << 100).unwrap();
    assert_refused(data.join(6), &["belongs to the cluster with id", "cluster.toml"]);
    drop(data);
    let joined = Identity { generation: 2, ..identity() };
    assert_eq!(open(dir.path(), "lastunit-dev", 1).unwrap().identity(), &joined);
}

#[test]
fn another_cluster_or_node_is_refused_with_the_key() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
    assert_refused(open(dir.path(), "other", 1), &["lastunit-dev", "other", "cluster.name"]);
    assert_refused(open(dir.path(), "lastunit-dev", 2), &["node 1", "node 2", "id"]);
    open(dir.path(), "lastunit-dev", 1).unwrap();
}

#[test]
fn a_name_that_is_too_long_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    assert_refused(open(dir.path(), &"n".repeat(1025), 1), &["cluster.name"]);
    let longest = "n".repeat(1024);
    assert_eq!(open(dir.path(), &longest, 1).unwrap().identity().cluster_name, longest);
}

#[test]
fn a_second_handle_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), "lastunit-dev", 1).unwrap();
    assert_refused(open(dir.path(), "lastunit-dev", 1), &["in use by another process", "data_dir"]);
    drop(first);
    open(dir.path(), "lastunit-dev", 1).unwrap();
}

#[test]
fn a_mount_point_is_new_but_a_directory_with_files_is_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join(FILE.temporary), "the rest of a crash").unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
    fs::create_dir(dir.path().join("log")).unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());

    fs::remove_file(dir.path().join(FILE.name)).unwrap();
    assert_refused(open(dir.path(), "lastunit-dev", 1), &["\"log\"", "no identity file", "data_dir"]);
    assert!(!dir.path().join(FILE.name).exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_an_io_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for path in [dir.path().join("file"), dir.path().join("file/below"), "/proc/lastunit".into()] {
        let Err(error) = open(&path, "lastunit-dev", 1) else { panic!("{path:?} was opened") };
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
    }
}

#[test]
fn the_file_has_golden_bytes() {
    #[rustfmt::skip]
    let golden = [
        b'L', b'U', b'i', b'd', b'e', b'n', b't', b'\n', 2, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0,
        77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0,
        3, 0, 0, 0, 0, 0, 0, 0,
        9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        1,
        12, 0, b'l', b'a', b's', b't', b'u', b'n', b'i', b't', b'-', b'd', b'e', b'v',
    ];
    let identity = Identity { generation: 3, nonce: 9, log_made: true, ..identity() };
    let bytes = FILE.bytes_of(&format::encode(&identity));
    let (body, crc) = bytes.split_last_chunk::<4>().unwrap();
    assert_eq!(body, golden);
    assert_eq!(u32::from_le_bytes(*crc), crc32fast::hash(&golden));
}

#[test]
fn every_identity_comes_back() {
    for cluster_id in [None, Some(0), Some(1), Some(u128::MAX)] {
        for cluster_name in ["", "a", "lastunit-dev", "sh\u{f6}p"] {
            for (one, other, log_made) in [(0, 0, false), (1, 77, true), (u64::MAX, u128::MAX, true)] {
                let cluster_name = cluster_name.to_owned();
                let (node_id, store_id, generation, nonce) = (one, other, one, other);
                let identity =
                    Identity { cluster_name, cluster_id, node_id, store_id, generation, nonce, log_made };
                assert_eq!(format::decode(&format::encode(&identity)).unwrap(), identity);
            }
        }
    }
}

#[test]
fn fields_that_make_no_identity_are_damage_though_their_checksum_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let whole = format::encode(&identity());
    let two_for_a_bool = |at: usize| [&whole[..at], &[2], &whole[at + 1..]].concat();
    let no_text = [&whole[..whole.len() - 1], &[0xff]].concat();
    for fields in [vec![], whole[1..].to_vec(), two_for_a_bool(24), two_for_a_bool(65), no_text] {
        FILE.replace(&RealDisk, dir.path(), &fields).unwrap();
        let Err(error) = read(&RealDisk, dir.path()) else { panic!("accepted {fields:?}") };
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn every_flipped_bit_every_cut_and_every_addition_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), "lastunit-dev", 1).unwrap());
    for damaged in small::damages(&FILE.bytes_of(&format::encode(&identity()))) {
        fs::write(dir.path().join(FILE.name), &damaged).unwrap();
        let Err(error) = read(&RealDisk, dir.path()) else { panic!("accepted {damaged:?}") };
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    }
    assert!(matches!(open(dir.path(), "lastunit-dev", 1), Err(StorageError::Corrupt { .. })));
}

#[test]
fn other_versions_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (version, told) in [(1, "version 1 was never released"), (3, "version 3 is newer")] {
        let other = small::SmallFile { version, ..FILE };
        other.replace(&RealDisk, dir.path(), &format::encode(&identity())).unwrap();
        assert_refused(open(dir.path(), "lastunit-dev", 1), &[told]);
    }
}

#[test]
fn a_directory_that_was_half_restored_is_none() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("data/1");
    let new = || NewDir::create(Arc::new(RealDisk), &path);
    let half = new().unwrap();
    assert!(new().is_err(), "another process makes it");
    fs::create_dir(path.join("log")).unwrap();
    drop(half);
    let refused = DataDir::open(Arc::new(RealDisk), &path, "shop", 1, 5).map(drop).unwrap_err();
    assert!(refused.to_string().contains("has files (such as \"log\") but no identity file"), "{refused}");
    let refused = new().map(drop).unwrap_err();
    assert!(refused.to_string().contains("is not empty: it has \"log\""), "{refused}");
    fs::remove_dir(path.join("log")).unwrap();
    let identity = Identity { cluster_id: Some(7), ..Identity::new("shop", 1, 9) };
    new().unwrap().finish(&identity).unwrap();
    let opened = DataDir::open(Arc::new(RealDisk), &path, "shop", 1, 5).unwrap();
    assert_eq!(opened.identity(), &Identity { generation: 2, nonce: 5, ..identity });
}
