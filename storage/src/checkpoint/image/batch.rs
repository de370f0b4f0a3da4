//! What takes effect together in sled.

use std::collections::BTreeSet;

use super::super::packs::Place;

/// Writes that take effect together.
#[derive(Default)]
pub(super) struct ImageBatch {
    pub(super) batch: sled::Batch,
    /// How many there are.
    pub(super) writes: usize,
    /// The keys of the packs among them.
    pub(super) packs: BTreeSet<Vec<u8>>,
}

impl ImageBatch {
    pub(super) fn insert(&mut self, row: &[u8], value: impl AsRef<[u8]>) {
        self.writes += 1;
        self.batch.insert(row, value.as_ref());
    }

    pub(super) fn remove(&mut self, row: &[u8]) {
        self.writes += 1;
        self.batch.remove(row);
    }

    pub(super) fn insert_pack(&mut self, row: &[u8], place: Place) {
        self.packs.insert(row.to_vec());
        self.insert(row, place.encode());
    }

    pub(super) fn remove_pack(&mut self, row: &[u8]) {
        self.packs.insert(row.to_vec());
        self.remove(row);
    }
}
