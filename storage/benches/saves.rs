//! What a checkpoint writes for each reserve: by how many records go with one save, by how many SKUs are sold, with and
//! without idempotency keys; and what a snapshot takes.
//!
//! `cargo bench -p storage --bench saves -- [RESERVES]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it fails and tells by these"
)]

mod support;

use std::sync::Arc;

use storage::checkpoint::Checkpoint;
use storage::disk::RealDisk;
use storage::snapshot::SnapshotStore;

use support::{Shop, cpu_seconds, files_bytes, save, written_bytes};

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let reserves = arguments.next().map_or(100_000, |n| n.parse().unwrap());
    println!(
        "  SKUs  keyed  records a save   bytes a reserve, CPU us   files   snapshot   of {reserves} reserves"
    );
    for (skus, key_each) in [(1, 0), (1, 1), (1_000, 1), (100_000, 1)] {
        for records in [20_000, 100_000] {
            measure(skus, key_each, records, reserves);
        }
    }
}

fn measure(skus: u64, key_each: u64, records: usize, reserves: u64) {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("checkpoint");
    let (mut checkpoint, _) = Checkpoint::open(Arc::new(RealDisk), &dir).unwrap();
    let mut shop = Shop::new(4, key_each);
    shop.put_skus(skus);
    save(&mut shop.inventory, &mut checkpoint, 1);
    let (written, mut cpu) = (written_bytes(), 0.0);
    for number in 0..reserves {
        shop.reserve(number.wrapping_mul(7_919) % skus);
        if number % 100 == 0 {
            cpu += save(&mut shop.inventory, &mut checkpoint, records);
        }
    }
    cpu += save(&mut shop.inventory, &mut checkpoint, 1);
    let bytes = (written_bytes() - written) / reserves;
    let (files, before) = (files_bytes(&dir), cpu_seconds());
    let store = SnapshotStore::open(Arc::new(RealDisk), &scratch.path().join("snapshots")).unwrap();
    let snapshot = store.write(&checkpoint).unwrap().len();
    let snapshot_cpu = cpu_seconds() - before;
    println!(
        "{skus:6} {key_each:6} {records:15} {bytes:17} {:7.1} {:7} KiB {:7} KiB {snapshot_cpu:.2} s CPU",
        cpu * 1e6 / reserves as f64,
        files >> 10,
        snapshot >> 10,
    );
}
