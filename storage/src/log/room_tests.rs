//! The log on a file system that is full, and what it says of its size.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::{Entry, Log, LogOptions, Vote};
use crate::disk::sim::SimDisk;
use crate::disk::told::ToldDisk;
use crate::{Position, StorageError};

const SEGMENT_BYTES: u64 = 4096;

/// What the log takes at first: a segment, a spare, the seal.
const NEW_BYTES: u64 = 2 * SEGMENT_BYTES + 8192;

/// A simulated disk whose file system says what it is told about its free bytes.
struct Told {
    disk: SimDisk,
    told: ToldDisk,
}

impl Told {
    fn new() -> Told {
        let disk = SimDisk::new();
        Told { told: ToldDisk::over(disk.clone()), disk }
    }

    fn log(&self) -> Result<Log, StorageError> {
        let options = LogOptions { group: 1, segment_bytes: SEGMENT_BYTES, cache_bytes: 300 };
        Log::open(Arc::new(self.told.clone()), Path::new("/log"), options)
    }

    /// All bytes of all files.
    fn used(&self) -> u64 {
        self.disk.files().iter().map(|(_, length)| *length as u64).sum()
    }
}

fn entry(index: u64) -> Entry {
    let position = Position { term: 1, leader: 1, index };
    Entry { position, payload: Bytes::from(format!("payload {index}").repeat(20)) }
}

/// Appends one entry and waits until it is on disk, or the log has stopped.
fn append(log: &Log, index: u64) -> Result<(), StorageError> {
    let (sender, receiver) = mpsc::channel();
    let flushed = Box::new(move |result| sender.send(result).expect("the test waits"));
    log.append(vec![entry(index)], flushed)?;
    receiver.recv().expect("called")
}

/// Appends until the log stops; answers the first entry that was not acknowledged, and why.
fn append_until_it_stops(log: &Log, first: u64) -> (u64, StorageError) {
    let mut index = first;
    loop {
        match append(log, index) {
            Ok(()) => index += 1,
            Err(error) => return (index, error),
        }
        assert!(index < first + 10_000, "it never stops");
    }
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if is() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("still not after 30 s: {what}");
}

/// Waits until the spare is written whole and the log knows of it: its last byte is on disk a moment before.
fn wait_for_the_spare(disk: &Told, log: &Log) {
    wait_until("there is a spare", || disk.used() == NEW_BYTES && log.room().bytes >= SEGMENT_BYTES);
}

#[test]
fn without_room_for_a_spare_the_log_goes_on_and_says_so() {
    for told in [u64::MAX, 0] {
        let disk = Told::new();
        let log = disk.log().expect("opens");
        wait_for_the_spare(&disk, &log);
        assert!(!log.room().is_short);
        disk.disk.limit(Some(NEW_BYTES + 1_000));
        disk.told.tell(told);
        // Into the spare: from now on one is missing.
        let mut index = 0;
        while log.room().bytes >= SEGMENT_BYTES {
            append(&log, index).expect("there is room");
            index += 1;
        }
        wait_until("it is short", || log.room().is_short);
        let (vote, (sender, receiver)) = (Vote { term: 2, node: 1, committed: false }, mpsc::channel());
        log.save_vote(vote, Box::new(move |result| sender.send(result).expect("the test waits")))
            .expect("accepted");
        receiver.recv().expect("called").expect("a vote is small");
        append(&log, index).expect("there is room for one more");
        assert_eq!(disk.used(), NEW_BYTES, "half a file is left, free bytes told as {told}");
        let left = log.room().bytes;
        let (end, error) = append_until_it_stops(&log, index + 1);
        assert!(error.is_out_of_space(), "{error}");
        assert!((end - index) * 240 > left / 2, "it stopped with {left} bytes left, at {index} to {end}");
        drop(log);
        // Nothing that was acknowledged is lost, and with room it goes on.
        disk.disk.limit(None);
        disk.told.tell(u64::MAX);
        let log = disk.log().expect("opens");
        assert_eq!(log.vote(), Some(vote));
        let kept = log.read(0..end, usize::MAX).expect("readable");
        assert_eq!(kept, (0..end).map(entry).collect::<Vec<_>>());
        let next = log.state().last.map_or(0, |last| last.index + 1);
        (next..next + 100).for_each(|index| append(&log, index).expect("there is room again"));
        assert!(!log.room().is_short);
    }
}

#[test]
fn a_spare_that_was_missing_is_made_when_there_is_room() {
    for told in [u64::MAX, 0] {
        let disk = Told::new();
        let log = disk.log().expect("opens");
        wait_for_the_spare(&disk, &log);
        disk.disk.limit(Some(NEW_BYTES));
        disk.told.tell(told);
        let mut index = 0;
        while !log.room().is_short {
            append(&log, index).expect("there is room");
            index += 1;
        }
        disk.disk.limit(None);
        disk.told.tell(u64::MAX);
        // Both while it is idle and while it is not.
        wait_until("it is no longer short", || {
            if told > 0 {
                append(&log, index).expect("there is room");
                index += 1;
            }
            !log.room().is_short
        });
        wait_until("there is a spare", || log.room().bytes >= SEGMENT_BYTES);
    }
}

#[test]
fn a_purge_ends_the_shortage() {
    let disk = Told::new();
    let log = disk.log().expect("opens");
    wait_for_the_spare(&disk, &log);
    disk.disk.limit(Some(NEW_BYTES));
    let mut index = 0;
    while !log.room().is_short {
        append(&log, index).expect("there is room");
        index += 1;
    }
    log.purge(Position { term: 1, leader: 1, index: index - 1 }, Box::new(|result| result.expect("purged")))
        .expect("accepted");
    wait_until("the segment that was purged is a spare", || !log.room().is_short);
    (index..index + 100).for_each(|index| {
        append(&log, index).expect("there is room");
        let upto = Position { term: 1, leader: 1, index };
        log.purge(upto, Box::new(|result| result.expect("purged"))).expect("accepted");
    });
}

#[test]
fn a_closed_log_takes_nothing_and_its_directory_can_be_opened_again() {
    let disk = Told::new();
    let log = disk.log().expect("opens");
    append(&log, 0).expect("there is room");
    let other = log.clone();
    log.close();
    assert!(matches!(append(&other, 1), Err(StorageError::Stopped(_))));
    assert!(matches!(other.read(0..1, 9), Err(StorageError::Stopped(_))));
    let again = disk.log().expect("opens");
    append(&again, 1).expect("there is room");
    drop((log, other));
    append(&again, 2).expect("there is room");
    assert_eq!(again.read(0..9, usize::MAX).expect("readable"), (0..3).map(entry).collect::<Vec<_>>());
}

#[test]
fn what_entries_take_is_told_and_never_less_than_it_is() {
    let disk = Told::new();
    let log = disk.log().expect("opens");
    assert_eq!((log.bytes_between(None, 0), log.purge_leaving(0, 0)), (0, None));
    for index in 0..100 {
        let before = log.stats().written_bytes;
        append(&log, index).expect("there is room");
        let told = log.bytes_between(index.checked_sub(1), index);
        let starts = 300 * u64::from(log.stats().written_bytes - before > 400);
        assert!(told + starts >= log.stats().written_bytes - before, "entry {index}");
    }
    let all = log.bytes_between(None, 99);
    assert_eq!(log.bytes_between(Some(49), 99) + log.bytes_between(None, 49), all);
    for bytes_max in [0, 1, 1_000, all / 2, all - 1] {
        let upto = log.purge_leaving(99, bytes_max).expect("there is more");
        assert!(log.bytes_between(Some(upto), 99) <= bytes_max);
        assert!(log.bytes_between(upto.checked_sub(1), 99) > bytes_max);
    }
    assert_eq!(log.purge_leaving(99, all), None);
    let upto = log.purge_leaving(99, 1_000).expect("there is more");
    log.purge(Position { term: 1, leader: 1, index: upto }, Box::new(|_| ())).expect("accepted");
    assert_eq!(log.purge_leaving(99, 1_000), None);
    assert_eq!(log.bytes_between(None, 99), log.bytes_between(Some(upto), 99));
    log.truncate_after(Some(upto + 1), Box::new(|_| ())).expect("accepted");
    assert_eq!(log.bytes_between(None, upto + 1), entry(upto + 1).payload.len() as u64 + 128);
}
