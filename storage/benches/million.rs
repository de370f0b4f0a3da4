//! A million SKUs and a million live holds: what they take in memory, and how long a start takes.
//!
//! `cargo bench -p storage --bench million -- [SKUS] [HOLDS] [CUSTOMER_EACH] [KEY_EACH] [DIRECTORY]`
//!
//! Builds the inventory, saves it to a checkpoint, and opens that again in a process of its own, so that its resident
//! memory is that of a node that started, and not that of one that built all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "it fails and tells by these, and takes the time"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use storage::checkpoint::{Checkpoint, Opened};
use storage::disk::RealDisk;

use support::{Shop, cpu_seconds, files_bytes, resident_mib, written_bytes};

/// What this process is told when it is to open what another one has built.
const OPEN: &str = "open";

/// So many records at most are saved at once while the shop is built, as a node does.
const SAVE_RECORDS: usize = 60_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |place: usize, otherwise| arguments.get(place).map_or(otherwise, |n| n.parse().unwrap());
    if arguments.first().is_some_and(|word| word == OPEN) {
        return open(Path::new(&arguments[1]));
    }
    let (skus, holds) = (number(0, 1_000_000), number(1, 1_000_000));
    let shop = Shop::new(number(2, 4), number(3, 0));
    let given = arguments.get(4).map(PathBuf::from);
    let scratch = tempfile::tempdir().unwrap();
    let dir = given.unwrap_or(scratch.path().to_owned()).join("checkpoint");
    build(shop, skus, holds, &dir);
    println!("files                  {:6} MiB", files_bytes(&dir) >> 20);
    let opened = Command::new(std::env::current_exe().unwrap()).arg(OPEN).arg(&dir).status().unwrap();
    assert!(opened.success());
}

fn build(mut shop: Shop, skus: u64, holds: u64, dir: &Path) {
    let (mut checkpoint, _) = Checkpoint::open(Arc::new(RealDisk), dir).unwrap();
    let start = Instant::now();
    for _ in 0..skus.div_ceil(10_000) {
        shop.put_skus(10_000.min(skus));
        shop.save(&mut checkpoint, SAVE_RECORDS);
    }
    println!("{skus} SKUs           {:6} MiB resident", resident_mib());
    for number in 0..holds {
        shop.reserve(number.wrapping_mul(7_919) % skus);
        if number % 100 == 0 {
            shop.gather();
            shop.save(&mut checkpoint, SAVE_RECORDS);
        }
    }
    shop.save(&mut checkpoint, 1);
    println!(
        "{holds} holds          {:6} MiB resident, {:.1} s",
        resident_mib(),
        start.elapsed().as_secs_f64()
    );
    println!("written                {:6} MiB", written_bytes() >> 20);
    let start = Instant::now();
    drop(checkpoint);
    println!("closing                {:6.1} s", start.elapsed().as_secs_f64());
}

fn open(dir: &Path) {
    println!("before opening         {:6} MiB resident", resident_mib());
    let start = Instant::now();
    let (checkpoint, opened) = Checkpoint::open(Arc::new(RealDisk), dir).unwrap();
    let Opened::Loaded { inventory, .. } = opened else { panic!("the checkpoint is empty") };
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "open                   {:6} MiB resident, {seconds:.1} s, {:.1} s CPU",
        resident_mib(),
        cpu_seconds()
    );
    println!("{:?}", inventory.counts());
    drop(checkpoint);
    println!("checkpoint closed      {:6} MiB resident", resident_mib());
}
