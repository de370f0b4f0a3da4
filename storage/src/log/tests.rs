//! The log step by step. Power cuts and damage are in tests/log_crash.rs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::format::Header;
use super::index::{Index, Landed, Place};
use super::{Entry, Flushed, Log, LogOptions, LogState, Vote};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, RealDisk};
use crate::{Position, StorageError};

const DIR: &str = "/log";

fn options() -> LogOptions {
    LogOptions { group: 1, segment_bytes: 4096, cache_bytes: 300 }
}

fn open(disk: &SimDisk) -> Log {
    try_open(disk).expect("opens")
}

fn try_open(disk: &SimDisk) -> Result<Log, StorageError> {
    Log::open(Arc::new(disk.clone()), Path::new(DIR), options())
}

fn position(index: u64) -> Position {
    Position { term: 1, leader: 1, index }
}

fn entry(index: u64) -> Entry {
    Entry { position: position(index), payload: Bytes::from(format!("payload {index}").repeat(9)) }
}

fn wait(act: impl FnOnce(Flushed) -> Result<(), StorageError>) {
    let (sender, receiver) = mpsc::channel();
    act(Box::new(move |result| sender.send(result).expect("the test waits"))).expect("accepted");
    receiver.recv().expect("called").expect("written");
}

fn append(log: &Log, indexes: std::ops::Range<u64>) {
    wait(|flushed| log.append(indexes.map(entry).collect(), flushed));
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.extension().is_some()).collect()
}

#[test]
fn what_is_acknowledged_is_there_after_reopening_a_real_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Log::open(Arc::new(RealDisk), &dir.path().join("a/log"), options()).expect("opens");
    let log = open();
    (0..100).for_each(|index| append(&log, index * 2..index * 2 + 2));
    let vote = Vote { term: 3, node: 2, committed: true };
    wait(|flushed| log.save_vote(vote, flushed));
    wait(|flushed| log.truncate_after(Some(150), flushed));
    append(&log, 151..153);
    wait(|flushed| log.purge(position(100), flushed));
    log.save_committed(position(120)).expect("noted");
    let entries: Vec<Entry> = (101..153).map(entry).collect();
    drop(log);
    for _ in 0..3 {
        let log = open();
        assert_eq!(
            log.state(),
            LogState { purged: Some(position(100)), first: 101, last: Some(position(152)) }
        );
        assert_eq!((log.vote(), log.committed()), (Some(vote), Some(position(120))));
        assert_eq!(log.read(101..1000, usize::MAX).expect("readable"), entries);
    }
}

#[test]
fn reads_are_consecutive_and_bounded() {
    let log = open(&SimDisk::new());
    append(&log, 0..20);
    wait(|flushed| log.purge(position(4), flushed));
    let length = entry(5).payload.len();
    for (range, max_bytes, expected) in [
        (5..20, usize::MAX, 5..20),
        (5..8, usize::MAX, 5..8),
        (5..20, 0, 5..6),
        (5..20, 2 * length, 5..7),
        (19..30, usize::MAX, 19..20),
        (4..20, usize::MAX, 0..0),
        (20..30, usize::MAX, 0..0),
        (9..9, usize::MAX, 0..0),
    ] {
        let read = log.read(range.clone(), max_bytes).expect("readable");
        assert_eq!(read, expected.map(entry).collect::<Vec<_>>(), "{range:?} within {max_bytes}");
    }
}

#[test]
fn entries_that_do_not_follow_are_refused_and_leave_no_trace() {
    let disk = SimDisk::new();
    let log = open(&disk);
    append(&log, 0..3);
    for indexes in [vec![4], vec![2], vec![3, 5], vec![0]] {
        let entries = indexes.iter().copied().map(entry).collect();
        let refusal = log.append(entries, Box::new(|_| panic!("not called")));
        assert!(matches!(refusal, Err(StorageError::Refused { .. })), "{indexes:?}");
    }
    append(&log, 3..4);
    assert_eq!(log.read(0..9, usize::MAX).expect("readable").len(), 4);
}

#[test]
fn a_purge_ahead_of_the_log_empties_it_and_it_goes_on_behind() {
    let disk = SimDisk::new();
    let log = open(&disk);
    append(&log, 0..3);
    wait(|flushed| log.purge(position(9), flushed));
    assert_eq!(log.state(), LogState { purged: Some(position(9)), first: 10, last: Some(position(9)) });
    wait(|flushed| log.truncate_after(None, flushed));
    append(&log, 10..12);
    drop(log);
    assert_eq!(
        open(&disk).state(),
        LogState { purged: Some(position(9)), first: 10, last: Some(position(11)) }
    );
}

#[test]
fn an_entry_longer_than_a_segment_is_stored_and_its_file_removed_after_the_purge() {
    let disk = SimDisk::new();
    let log = open(&disk);
    let long = Entry { position: position(0), payload: Bytes::from(vec![7; 20_000]) };
    wait(|flushed| log.append(vec![long.clone()], flushed));
    append(&log, 1..40);
    drop(log);
    let log = open(&disk);
    assert_eq!(log.read(0..1, 0).expect("readable"), vec![long]);
    wait(|flushed| log.purge(position(39), flushed));
    (40..44).for_each(|index| append(&log, index..index + 1));
    drop(log);
    assert!(disk.files().iter().all(|(_, length)| *length <= 8192), "{:?}", disk.files());
}

#[test]
fn purged_segments_are_used_again() {
    let disk = SimDisk::new();
    let log = open(&disk);
    for index in 0..2000 {
        append(&log, index..index + 1);
        if index % 20 == 19 {
            wait(|flushed| log.purge(position(index - 5), flushed));
        }
    }
    assert!(segments(&disk).len() <= 8, "{:?}", segments(&disk));
    assert_eq!(log.stats().appends, 2000);
}

#[test]
fn another_group_and_an_unknown_version_are_refused() {
    let disk = SimDisk::new();
    append(&open(&disk), 0..1);
    let other = LogOptions { group: 2, ..options() };
    let refusal = Log::open(Arc::new(disk.clone()), Path::new(DIR), other).map(|_| ());
    assert!(refusal.expect_err("refused").to_string().contains("Raft group 1, not to 2"));
    let newer = disk.fork();
    newer.edit(&segments(&disk)[0], |bytes| {
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    });
    assert!(try_open(&newer).map(|_| ()).expect_err("refused").to_string().contains("version 2"));
}

#[test]
fn a_segment_that_is_there_twice_is_refused() {
    let disk = SimDisk::new();
    append(&open(&disk), 0..9);
    let segment = segments(&disk).remove(0);
    let mut content = Vec::new();
    disk.edit(&segment, |bytes| content.clone_from(bytes));
    let copy = disk.open(Path::new("/log/00000077.segment"), crate::disk::Mode::CreateNew).expect("made");
    copy.write_all_at(&content, 0).expect("written");
    let refusal = try_open(&disk).map(|_| ()).expect_err("refused");
    assert!(refusal.to_string().contains("is also in"), "{refusal}");
}

#[test]
fn a_header_that_is_cut_short_is_invalid() {
    let header = Header { group: 1, sequence: 2, capacity: 3 }.encode();
    for length in 0..header.len() {
        assert_eq!(Header::decode(&header[..length]), super::format::HeaderRead::Invalid);
    }
}

/// Recovery believes nothing but whole groups; whatever rots afterwards, only the entry's own checksum can tell.
#[test]
fn an_entry_that_rots_under_an_open_log_is_told() {
    let disk = SimDisk::new();
    let log = open(&disk);
    // More than stays in memory.
    append(&log, 0..20);
    let rotten = b"payload 3payload 3";
    let find = |bytes: &[u8]| bytes.windows(rotten.len()).position(|window| window == rotten);
    let mut found = 0;
    for path in segments(&disk) {
        disk.edit(&path, |bytes| {
            if let Some(at) = find(bytes) {
                bytes[at] ^= 1;
                found += 1;
            }
        });
    }
    assert_eq!(found, 1);
    assert_eq!(log.read(0..3, usize::MAX).expect("whole"), (0..3).map(entry).collect::<Vec<_>>());
    assert!(matches!(log.read(3..4, usize::MAX), Err(StorageError::Corrupt { .. })), "it is believed");
}

#[test]
fn an_idle_log_seals_its_last_group() {
    let disk = SimDisk::new();
    let log = open(&disk);
    append(&log, 0..1);
    let segment = segments(&disk).remove(0);
    let refused = || {
        let copy = disk.fork();
        copy.crash(0);
        // Behind the header and the session's start (both in the first 256 bytes) there is the entry alone.
        copy.edit(&segment, |bytes| bytes[256..].fill(0));
        matches!(try_open(&copy), Err(StorageError::Corrupt { .. }))
    };
    let sealed = (0..1000).any(|_| {
        refused() || {
            thread::sleep(Duration::from_millis(10));
            false
        }
    });
    assert!(sealed, "the entry can still be taken for a torn write");
}

#[test]
fn without_a_seal_damage_is_refused_where_a_later_group_is_whole_and_else_cut_off() {
    let disk = SimDisk::new();
    let log = open(&disk);
    (0..3).for_each(|index| append(&log, index..index + 1));
    drop(log);
    disk.edit(Path::new("/log/seal"), |bytes| bytes.fill(0));
    let segment = segments(&disk).remove(0);
    let mut length = 0;
    disk.edit(&segment, |bytes| length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
    let last_group = length - (40 + 36 + entry(2).payload.len());
    let (mut refused, mut cut) = (0, 0);
    for at in 64..length {
        let damaged = disk.fork();
        damaged.edit(&segment, |bytes| bytes[at] ^= 4);
        let entries = try_open(&damaged).map(|log| log.read(0..9, usize::MAX).expect("readable").len());
        match entries {
            Err(StorageError::Corrupt { .. }) if at < last_group => refused += 1,
            Ok(2) if at >= last_group => cut += 1,
            // The bytes between two groups are nobody's.
            Ok(3) if at < last_group => {}
            other => panic!("byte {at}: {other:?}"),
        }
    }
    assert_eq!(cut, length - last_group);
    assert!(refused > cut);
}

#[test]
fn the_last_handle_may_go_within_a_callback() {
    let disk = SimDisk::new();
    let log = open(&disk);
    let (sender, receiver) = mpsc::channel();
    let last = log.clone();
    let (release, released) = mpsc::channel::<()>();
    let flushed: Flushed = Box::new(move |result| {
        released.recv().expect("released");
        drop(last);
        sender.send(result.is_ok()).expect("the test waits");
    });
    log.append(vec![entry(0)], flushed).expect("accepted");
    drop(log);
    release.send(()).expect("the callback waits");
    assert!(receiver.recv().expect("called"));
}

#[test]
fn a_callback_that_panics_stops_the_log() {
    let log = open(&SimDisk::new());
    let (sender, receiver) = mpsc::channel();
    log.on_failure(move |error| sender.send(error.to_string()).expect("the test waits"));
    log.append(vec![entry(0)], Box::new(|_| panic!("made to"))).expect("accepted");
    assert!(receiver.recv().expect("told").contains("panicked"));
    // The listener is told first: for a moment things are still taken, which are then refused by their callbacks.
    let vote = Vote { term: 9, node: 9, committed: false };
    let refused = std::iter::repeat_with(|| log.save_vote(vote, Box::new(|_| ()))).find_map(Result::err);
    assert!(matches!(refused, Some(StorageError::Stopped(_))));
}

#[test]
fn what_is_committed_and_on_disk_counts_neither_what_waits_nor_what_was_truncated() {
    let mut index = Index::default();
    let serials: Vec<u64> = (0..6).map(|at| index.queue(&entry(at))).collect();
    let place = Place::Disk { sequence: 1, offset: 64 };
    let landed = |at: u64| Landed { index: at, serial: serials[at as usize], place };
    assert_eq!(index.on_disk(5), 0);
    index.land(&[landed(0), landed(1), landed(2)]);
    assert_eq!([index.on_disk(0), index.on_disk(1), index.on_disk(5)], [1, 2, 3]);
    // An entry that takes a truncated one's index is not on disk because that one was.
    index.truncate(2);
    index.queue(&entry(2));
    index.land(&[landed(2)]);
    assert_eq!([index.on_disk(1), index.on_disk(2)], [2, 2]);
    index.purge(position(1));
    assert_eq!([index.on_disk(1), index.on_disk(2)], [0, 0]);
}

#[test]
fn what_is_committed_and_on_disk_is_still_there_after_reopening() {
    let disk = SimDisk::new();
    let log = open(&disk);
    assert_eq!(log.committed_on_disk(), 0);
    append(&log, 0..5);
    assert_eq!(log.committed_on_disk(), 0);
    log.save_committed(position(2)).expect("noted");
    assert_eq!(log.committed_on_disk(), 3);
    wait(|flushed| log.truncate_after(Some(3), flushed));
    assert_eq!(log.committed_on_disk(), 3);
    drop(log);
    assert_eq!(open(&disk).committed_on_disk(), 3);
}

/// A log of which a spare alone was left was taken for a new one: the node had forgotten its vote.
#[test]
fn a_log_that_was_opened_before_is_refused_where_only_a_spare_is_left() {
    let disk = SimDisk::new();
    let reopen = |disk: &SimDisk| Log::reopen(Arc::new(disk.clone()), Path::new(DIR), options());
    drop(open(&disk));
    drop(reopen(&disk).expect("it is whole"));
    disk.remove(&Path::new(DIR).join("seal")).expect("there");
    for path in segments(&disk) {
        assert!(disk.edit(&path, |bytes| bytes.fill(0)));
    }
    assert!(try_open(&disk.fork()).is_ok(), "it looks like a log that was never opened");
    let refused = reopen(&disk).map(drop).expect_err("refused").to_string();
    assert!(refused.contains("no file is left") && refused.contains("put the log back"), "{refused}");
}
