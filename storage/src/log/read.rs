//! Reading entries back: from memory, or from disk with every checksum verified.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Position, StorageError};

use super::Entry;
use super::failure::{at, corrupt};
use super::format::{self, ENTRY_BYTES};
use super::index::Place;
use super::pool::SegmentFile;
use super::shared::{Shared, State};

/// An entry whose payload has yet to be read.
struct Wanted {
    position: Position,
    payload_bytes: u32,
    source: Source,
}

enum Source {
    Memory(Bytes),
    Disk { file: Arc<SegmentFile>, sequence: u64, offset: u64 },
}

/// Entries of the range, consecutive from its start: at least one where its first is present, then as many as fit.
pub(super) fn read(shared: &Shared, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
    let wanted = {
        let state = shared.lock();
        state.check()?;
        choose(&state, range, bytes_max)
    };
    let mut entries = Vec::with_capacity(wanted.len());
    for one in wanted {
        match load(shared, one)? {
            Some(entry) => entries.push(entry),
            None => break,
        }
    }
    Ok(entries)
}

fn choose(state: &State, range: Range<u64>, bytes_max: usize) -> Vec<Wanted> {
    let mut chosen = Vec::new();
    let mut bytes = 0;
    for index in range {
        let Some((position, slot)) = state.index.position(index).zip(state.index.slot(index)) else {
            break;
        };
        bytes += slot.payload_bytes as usize;
        if bytes > bytes_max && !chosen.is_empty() {
            break;
        }
        let Some(source) = source(state, index, slot.place) else {
            break;
        };
        chosen.push(Wanted { position, payload_bytes: slot.payload_bytes, source });
    }
    chosen
}

/// Where to read an entry from. (One that is queued is in memory, and the segment of one that is not is known.)
fn source(state: &State, index: u64, place: Place) -> Option<Source> {
    match (state.index.cached(index), place) {
        (Some(payload), _) => Some(Source::Memory(payload.clone())),
        (None, Place::Disk { sequence, offset }) => {
            let file = state.segments.get(&sequence)?;
            Some(Source::Disk { file: Arc::clone(file), sequence, offset })
        }
        (None, Place::Queued(_)) => None,
    }
}

/// Reads one entry; `None` where it has been purged or truncated meanwhile.
fn load(shared: &Shared, wanted: Wanted) -> Result<Option<Entry>, StorageError> {
    let position = wanted.position;
    let (file, sequence, offset) = match wanted.source {
        Source::Memory(payload) => return Ok(Some(Entry { position, payload })),
        Source::Disk { file, sequence, offset } => (file, sequence, offset),
    };
    if let Some(entry) = read_entry(&file, sequence, offset, position, wanted.payload_bytes)? {
        return Ok(Some(entry));
    }
    // The file may have been taken for a new segment since: then the entry is gone, and nothing is wrong.
    let still_there = shared.lock().segments.contains_key(&sequence);
    if still_there { Err(wrong_checksum(&file, offset)) } else { Ok(None) }
}

/// The entry whose record begins at an offset; `None` where that record is not whole, or another one.
pub(super) fn read_entry(
    file: &SegmentFile,
    sequence: u64,
    offset: u64,
    position: Position,
    payload_bytes: u32,
) -> Result<Option<Entry>, StorageError> {
    let bytes = read_exactly(file, offset, ENTRY_BYTES + payload_bytes as usize)?;
    let whole = format::read_record(&bytes, 0, sequence).and_then(|record| record.entry()) == Some(position);
    Ok(whole.then(|| Entry { position, payload: Bytes::from(bytes).slice(ENTRY_BYTES..) }))
}

/// An entry that was whole when the log was opened.
pub(super) fn wrong_checksum(file: &SegmentFile, offset: u64) -> StorageError {
    corrupt(&file.path, offset, "an entry's checksum is wrong")
}

fn read_exactly(file: &SegmentFile, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let from = offset + filled as u64;
        let read = file.file.read_at(&mut bytes[filled..], from).map_err(at("read", &file.path))?;
        if read == 0 {
            return Err(corrupt(&file.path, from, "the file ends too early"));
        }
        filled += read;
    }
    Ok(bytes)
}
