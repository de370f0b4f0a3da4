//! A look agrees with an opening, whatever is damaged; and all that it reads was written.

use std::sync::mpsc;

use bytes::Bytes;

use super::*;
use crate::disk::sim::SimDisk;
use crate::log::{Flushed, Log, LogOptions};

const DIR: &str = "/log";
const GROUP: u64 = 1;
const ENTRIES: u64 = 90;
const PURGED: u64 = 30;

fn open(disk: &SimDisk) -> Result<Log, StorageError> {
    let options = LogOptions { group: GROUP, segment_bytes: 4096, cache_bytes: 0 };
    Log::open(Arc::new(disk.clone()), Path::new(DIR), options)
}

fn entry(index: u64) -> Entry {
    let position = Position { term: 1, leader: 1, index };
    Entry { position, payload: Bytes::from(format!("payload {index}").repeat(9)) }
}

fn wait(act: impl FnOnce(Flushed) -> Result<(), StorageError>) {
    let (sender, receiver) = mpsc::channel();
    act(Box::new(move |result| sender.send(result).expect("the test waits"))).expect("accepted");
    receiver.recv().expect("called").expect("written");
}

/// A log of several segments and two sessions, closed in order.
fn log() -> SimDisk {
    let disk = SimDisk::new();
    for half in [0..ENTRIES / 2, ENTRIES / 2..ENTRIES] {
        let log = open(&disk).expect("opens");
        half.for_each(|index| wait(|flushed| log.append(vec![entry(index)], flushed)));
        wait(|flushed| log.save_vote(Vote { term: 2, node: 1, committed: true }, flushed));
        wait(|flushed| log.purge(entry(PURGED).position, flushed));
    }
    disk
}

fn look(disk: &SimDisk) -> LogView {
    inspect(disk, Path::new(DIR), GROUP).expect("readable")
}

/// The indexes that can be read, each of which has the entry that was written.
fn told(view: &LogView) -> Vec<u64> {
    let entries = view.entries(0..=u64::MAX).map(|read| read.expect("whole"));
    let indexes = entries.map(|read| {
        assert_eq!(read, entry(read.position.index));
        read.position.index
    });
    indexes.collect()
}

/// The segment files that count, oldest first.
fn counting(disk: &SimDisk) -> Vec<SegmentView> {
    let (mut counting, _): (Vec<_>, Vec<_>) =
        look(disk).segments.into_iter().partition(|segment| segment.counts);
    counting.sort_by_key(|segment| segment.sequence);
    counting
}

#[test]
fn a_whole_log_is_told_with_every_figure() {
    let disk = log();
    let steps = disk.steps();
    let view = look(&disk);
    assert!(view.damages.is_empty() && view.torn.is_none());
    assert_eq!(told(&view), (PURGED + 1..ENTRIES).collect::<Vec<_>>());
    assert_eq!(view.vote, Some(Vote { term: 2, node: 1, committed: true }));
    assert_eq!((view.sessions, view.sealed_group), (2, Some(view.last_group)));
    let counting = counting(&disk);
    assert!(counting.len() >= 3 && view.segments.len() > counting.len(), "{:?}", view.segments);
    let covered = counting.iter().filter_map(|segment| segment.entries.clone()).collect::<Vec<_>>();
    assert!(covered.is_sorted_by(|one, next| one.end() + 1 == *next.start()), "{covered:?}");
    assert_eq!(told(&look(&disk)).len(), view.entries(0..=u64::MAX).count());
    assert_eq!(view.entries(40..=42).count() + view.entries(200..=300).count(), 3);
    assert_eq!(disk.steps(), steps, "a look writes nothing");
}

#[test]
fn a_directory_that_is_not_there_holds_an_empty_log() {
    let view = look(&SimDisk::new());
    assert!(view.damages.is_empty() && view.segments.is_empty() && view.vote.is_none());
    assert_eq!(told(&view), []);
}

#[test]
fn every_flip_and_every_loss_is_told_as_an_opening_takes_it() {
    let sound = log();
    let (mut damages, mut refused) = (0, 0);
    let mut check = |disk: SimDisk, case: String| {
        let view = look(&disk);
        let read = told(&view);
        assert!(read.is_sorted_by(|one, next| one + 1 == *next), "{case}: {read:?}");
        let opened = open(&disk).map(drop);
        let first = view.damages.first().map(ToString::to_string);
        assert_eq!(opened.as_ref().err().map(ToString::to_string), first, "{case}");
        damages += 1;
        refused += u32::from(opened.is_err());
    };
    for (path, length) in sound.files() {
        for byte in (0..length).step_by(31) {
            let disk = sound.fork();
            disk.edit(&path, |bytes| bytes[byte] ^= 1 << (byte % 8));
            check(disk, format!("{} flipped at {byte}", path.display()));
        }
        for left in [0, 63, length / 2, length - 1] {
            let disk = sound.fork();
            disk.edit(&path, |bytes| bytes.truncate(left));
            check(disk, format!("{} cut at {left}", path.display()));
        }
        let disk = sound.fork();
        disk.remove(&path).expect("there");
        check(disk, format!("{} removed", path.display()));
    }
    println!("{damages} damages, {refused} refused");
    assert!(refused > 100 && refused < damages);
}

#[test]
fn damage_in_many_places_is_told_in_each() {
    let disk = log();
    let segments = counting(&disk);
    // Behind the start of two segments, and the header of a third.
    let places = [(&segments[0], 300), (&segments[1], 400), (&segments[2], 10)];
    for (segment, byte) in places {
        assert!(disk.edit(&segment.path, |bytes| bytes[byte] ^= 1));
    }
    let view = look(&disk);
    for (segment, byte) in places {
        let found = view.damages.iter().any(|damage| {
            matches!(damage, StorageError::Corrupt { path, offset, .. }
                if *path == segment.path && *offset as usize <= byte && byte - (*offset as usize) < 300)
        });
        assert!(found, "{} is not named at {byte}: {:?}", segment.path.display(), view.damages);
    }
    let read = told(&view);
    assert!(read.len() < (ENTRIES - PURGED) as usize, "{read:?}");
}
