//! What a checkpoint writes for each reserve: by how many records go with one save, by how many SKUs are sold, with and
//! without idempotency keys; and what a snapshot takes.
//!
//! `cargo bench -p storage --bench saves -- [RESERVES] [SKUS] [RECORDS] [KEY_EACH]`: with the last ones only reserves
//! over so many SKUs, so many records a save, one of so many with a key: each unless told, none where that is 0.

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

use support::{Shop, cpu_seconds, files_bytes, written_bytes};

/// So many reserves make an entry of the log.
const ENTRY: u64 = 50;

fn main() {
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let numbers: Vec<u64> = arguments.map(|n| n.parse().unwrap()).collect();
    let reserves = numbers.first().copied().unwrap_or(100_000);
    println!(
        "  SKUs  keyed  records a save   bytes a reserve, CPU us, taking us, longest ms   files   snapshot   of {reserves} reserves"
    );
    if let [_, skus, records, ref key_each @ ..] = *numbers {
        return measure(skus, key_each.first().copied().unwrap_or(1), records as usize, reserves);
    }
    for (skus, key_each) in [(1, 0), (1, 1), (1_000, 1), (100_000, 1)] {
        for records in [20_000, 60_000, 100_000] {
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
    shop.save(&mut checkpoint, 1);
    let (written, mut taking, mut cpu) = (written_bytes(), 0.0, 0.0);
    let mut longest: f64 = 0.0;
    for number in 0..reserves {
        shop.reserve(number.wrapping_mul(7_919) % skus);
        if number % ENTRY == 0 {
            let gathered = shop.gather();
            let [took, saved] =
                shop.save(&mut checkpoint, if number + ENTRY < reserves { records } else { 1 });
            taking += gathered + took;
            longest = longest.max(took);
            cpu += gathered + saved;
        }
    }
    let bytes = (written_bytes() - written) / reserves;
    let (files, before) = (files_bytes(&dir), cpu_seconds());
    let store = SnapshotStore::open(Arc::new(RealDisk), &scratch.path().join("snapshots")).unwrap();
    let snapshot = store.write(&checkpoint).unwrap().len();
    let snapshot_cpu = cpu_seconds() - before;
    println!(
        "{skus:6} {key_each:6} {records:15} {bytes:17} {:7.1} {:7.1} {:7.1} {:7} KiB {:7} KiB {snapshot_cpu:.2} s CPU",
        cpu * 1e6 / reserves as f64,
        taking * 1e6 / reserves as f64,
        longest * 1e3,
        files >> 10,
        snapshot >> 10,
    );
}
