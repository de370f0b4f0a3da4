//! The state digest of records that pass by one at a time: a snapshot is checked without being held in memory.

use super::Inconsistent;
use super::digest;
use super::record::{Counters, Record, RecordKey};

/// The digest of an image's records in the making.
#[derive(Debug, Clone, Default)]
pub struct RecordsDigest {
    counters: Counters,
    sum: u64,
}

impl RecordsDigest {
    /// Takes a record; each key once, in any order.
    ///
    /// # Errors
    /// The record is of another kind than its key.
    pub fn add(&mut self, key: &RecordKey, record: &Record) -> Result<(), Inconsistent> {
        let hash = match (key, record) {
            (RecordKey::Counters, Record::Counters(counters)) => {
                self.counters = *counters;
                return Ok(());
            }
            (RecordKey::Stock(sku), Record::Stock(record)) => digest::stock(sku, record),
            (RecordKey::Reservation(id), Record::Reservation(record)) => digest::reservation(*id, record),
            (RecordKey::Answer(_, key), Record::Answer(record)) => digest::answer(key, record),
            (RecordKey::Customer(sku, customer), Record::Customer(record)) => {
                digest::customer(sku, customer, *record)
            }
            (RecordKey::Events(chunk), Record::Events(events)) => digest::events(*chunk, events),
            (RecordKey::Level, Record::Level(record)) => digest::level(*record),
            _ => return Err(Inconsistent(format!("{key:?} has a record of another kind"))),
        };
        self.sum = self.sum.wrapping_add(hash);
        Ok(())
    }

    /// The sum of the hashes of all records so far but the counters, which name it.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// What [`state_digest`](super::Inventory::state_digest) is of an inventory of these records.
    ///
    /// # Errors
    /// The records do not have the sum that the counters name.
    pub fn finish(self) -> Result<u64, Inconsistent> {
        let (named, summed) = (self.counters.records_digest, self.sum);
        if named != summed {
            return Err(Inconsistent(format!(
                "the counters' digest is {named:016x}, the records' {summed:016x}"
            )));
        }
        Ok(digest::state(&self.counters))
    }
}
