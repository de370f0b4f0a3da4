//! A difference that every checksum agrees with, planted in the directory of a node that is stopped.

use std::path::Path;
use std::sync::Arc;

use storage::checkpoint::{Checkpoint, Opened};
use storage::disk::RealDisk;
use storage::inventory::RecordsDigest;
use storage::inventory::record::{Record, RecordKey};

/// Gives every SKU another safety stock, and the image the digest of what it has then. Answers that digest.
pub(crate) fn plant_safety_stock(data_dir: &Path, safety_stock: u64) -> u64 {
    let (mut checkpoint, opened) =
        Checkpoint::open(Arc::new(RealDisk), &data_dir.join("checkpoint")).unwrap();
    let Opened::Loaded { mut header, inventory } = opened else { panic!("there is no image to change") };
    let mut records: Vec<_> = inventory.records().collect();
    for (_, record) in &mut records {
        if let Record::Stock(stock) = record {
            stock.safety_stock = safety_stock;
        }
    }
    let sum = digest_of(&records).sum();
    if let Record::Counters(counters) = &mut records[0].1 {
        counters.records_digest = sum;
    }
    header.digest = digest_of(&records).finish().unwrap();
    assert_ne!(header.digest, inventory.state_digest(), "nothing was changed");
    checkpoint.replace(&header, &mut records.into_iter()).unwrap();
    header.digest
}

fn digest_of(records: &[(RecordKey, Record)]) -> RecordsDigest {
    let mut digest = RecordsDigest::default();
    records.iter().for_each(|(key, record)| digest.add(key, record).unwrap());
    digest
}
