//! Changes on their way to an image, encoded.
//!
//! ```text
//!   bytes    [ #7 ][ answer 7 ][ #8 ][ answer 8 ][ events 3 ][ #7 ][ SKU ] ...     in the order in which they came
//!   starts   of each tag: where its records begin
//! ```
//!
//! A record is encoded where it lies in the inventory, right after it changed: it is in the processor's caches then,
//! and what goes to the image is no copy with texts of its own, but bytes as packs have them. One that changes again
//! is there again; of several of one key the last one holds. So changes may be taken bit by bit, and still are those
//! up to one moment: that of the last bit, which must take all that is left.

use super::codec::{self, CodecError};
use super::rows::{RECORD_HEAD_BYTES, RUN_TAGS, RowChanges, key_at};
use crate::inventory::Inventory;
use crate::inventory::record::{KeyRef, RecordRef};

/// As many as there are tags.
const TAGS: usize = codec::LEVEL_TAG as usize + 1;

/// What goes with each record besides its bytes is kept for as many records of a tag as there are so many bytes to
/// keep.
const START_BYTES: usize = 64;

/// Stands for the length of a value that is gone. No value is as long.
pub(super) const GONE: u32 = u32::MAX;

/// See the module.
#[derive(Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
    starts: [Vec<usize>; TAGS],
    /// Why one of them could not be encoded, which whoever saves them is told.
    failed: Option<CodecError>,
}

impl Changes {
    /// All that changed in an inventory since its changes were taken.
    pub fn of(inventory: &mut Inventory) -> Changes {
        let mut changes = Changes::default();
        changes.take_changed(inventory);
        changes
    }

    /// Takes what changed and will hardly do so again soon, about so many records at most. Many such calls may precede
    /// the one that completes what is saved.
    pub fn take_settled(&mut self, inventory: &mut Inventory, records_max: usize) {
        inventory.take_settled(records_max, |key, record| self.push(key, record));
    }

    /// Takes of all that changed about so many records at most. Whether that was all: then what was taken so far is of
    /// this moment, and may be saved.
    pub fn take_some(&mut self, inventory: &mut Inventory, records_max: usize) -> bool {
        inventory.take_some(records_max, |key, record| self.push(key, record))
    }

    /// Takes all that changed.
    pub fn take_changed(&mut self, inventory: &mut Inventory) {
        inventory.take_changed(|key, record| self.push(key, record));
    }

    /// Empties them. Their memory is used for the next ones, but for more than so many bytes of it.
    pub fn clear(&mut self, bytes_kept: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(bytes_kept);
        for starts in &mut self.starts {
            starts.clear();
            starts.shrink_to(bytes_kept / START_BYTES);
        }
        self.failed = None;
    }

    /// How many there are; a record that changed again may count again.
    pub fn len(&self) -> usize {
        self.starts.iter().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.iter().all(Vec::is_empty)
    }

    /// How long they are, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record as it is now, or notes that it is gone.
    pub(super) fn push(&mut self, key: KeyRef<'_>, record: Option<RecordRef<'_>>) {
        let start = self.bytes.len();
        match append(key, record, &mut self.bytes) {
            Ok(()) => {
                let tag = self.bytes[start + RECORD_HEAD_BYTES];
                self.starts[usize::from(tag)].push(start);
            }
            Err(error) => {
                self.bytes.truncate(start);
                self.failed.get_or_insert(error);
            }
        }
    }

    /// Puts them in the order of the keys, each key once.
    pub(super) fn sort(&mut self) -> Result<(), CodecError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let bytes = &*self.bytes;
        let ascend = |one: &usize, other: &usize| key_at(bytes, *one) < key_at(bytes, *other);
        for starts in self.starts.iter_mut().filter(|starts| !starts.is_sorted_by(ascend)) {
            // They nearly are: that is what this sort is fast at. It leaves those of one key in the order they came.
            starts.sort_by(|&one, &other| key_at(bytes, one).cmp(key_at(bytes, other)));
            starts.dedup_by(|later, earlier| {
                let same = key_at(bytes, *later) == key_at(bytes, *earlier);
                if same {
                    *earlier = *later;
                }
                same
            });
        }
        Ok(())
    }

    /// The changes of a tag, once they are sorted: records as packs have them, gone or not, and where each begins.
    pub(super) fn of_tag(&self, tag: u8) -> (&[u8], &[usize]) {
        (&self.bytes, &self.starts[usize::from(tag)])
    }

    /// The changes by row, once they are sorted, but for those that an image has in runs.
    pub(super) fn rows_outside_runs(&self) -> impl Iterator<Item = RowChanges<'_>> {
        let tags = (0..codec::LEVEL_TAG + 1).filter(|tag| !RUN_TAGS.contains(tag));
        tags.flat_map(|tag| RowChanges::of(&self.bytes, &self.starts[usize::from(tag)]))
    }

    /// The changes by row, once they are sorted.
    pub(super) fn rows(&self) -> impl Iterator<Item = RowChanges<'_>> {
        self.starts.iter().flat_map(|starts| RowChanges::of(&self.bytes, starts))
    }
}

/// Appends a record as packs have it, or a key with [`GONE`] in the place of the value's length.
fn append(key: KeyRef<'_>, record: Option<RecordRef<'_>>, to: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = to.len();
    to.extend([0; RECORD_HEAD_BYTES]);
    codec::append_key(key, to);
    let value = to.len();
    let key_len = (value - start - RECORD_HEAD_BYTES) as u16;
    let value_len = match record {
        Some(record) => {
            codec::append_record(record, to)?;
            (to.len() - value) as u32
        }
        None => GONE,
    };
    to[start..start + 2].copy_from_slice(&key_len.to_le_bytes());
    to[start + 2..start + RECORD_HEAD_BYTES].copy_from_slice(&value_len.to_le_bytes());
    Ok(())
}
