//! A log whose bytes somebody changed: an opening refuses it, or has nothing that was not written.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, mpsc};

use bolero::check;
use bytes::Bytes;

use super::*;
use crate::disk::sim::SimDisk;

const DIR: &str = "/log";
const ENTRIES: u64 = 30;

/// Where of which file, in parts of 65,536 of its length, and what is there instead.
type Patch = (u8, u16, u8);

fn open(disk: &SimDisk) -> Result<Log, StorageError> {
    let options = LogOptions { group: 1, segment_bytes: 4096, cache_bytes: 0 };
    Log::open(Arc::new(disk.clone()), Path::new(DIR), options)
}

fn entry(index: u64) -> Entry {
    let position = Position { term: 1, leader: 1, index };
    Entry { position, payload: Bytes::from(format!("payload {index}").repeat(9)) }
}

/// A log of several segments, closed in order.
fn written() -> SimDisk {
    let disk = SimDisk::new();
    let log = open(&disk).unwrap();
    let (sender, receiver) = mpsc::channel();
    for index in 0..ENTRIES {
        let sender = sender.clone();
        log.append(vec![entry(index)], Box::new(move |done| sender.send(done).unwrap())).unwrap();
        receiver.recv().unwrap().unwrap();
    }
    drop(log);
    disk
}

/// Or is refused.
fn has_only_what_was_written(disk: &SimDisk) {
    if let Ok(log) = open(disk) {
        let told = log.read(0..ENTRIES, usize::MAX).unwrap_or_default();
        assert!(told.iter().all(|read| *read == entry(read.position.index)));
    }
}

#[test]
fn patched_segments() {
    let sound = AssertUnwindSafe(written());
    check!().with_type::<Vec<Patch>>().for_each(|patches| {
        let disk = sound.fork();
        let files = disk.files();
        for (file, place, byte) in patches {
            let (path, _) = &files[usize::from(*file) % files.len()];
            disk.edit(path, |bytes| {
                let at = (bytes.len() * usize::from(*place)) >> 16;
                bytes[at..].iter_mut().take(1).for_each(|there| *there = *byte);
            });
        }
        has_only_what_was_written(&disk);
    });
}

#[test]
fn segments_of_any_bytes() {
    let sound = AssertUnwindSafe(written());
    check!().for_each(|bytes: &[u8]| {
        let disk = sound.fork();
        for (path, _) in disk.files() {
            // The head stays: without it nothing behind it is looked at.
            disk.edit(&path, |file| {
                file.truncate(format::HEADER_BYTES);
                file.extend_from_slice(bytes);
            });
        }
        has_only_what_was_written(&disk);
    });
}
