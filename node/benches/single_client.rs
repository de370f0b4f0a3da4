//! One client, one reserve at a time, against three nodes of this machine; in turn with bare fdatasyncs of the same
//! disk, so that the ratio holds when the machine's speed drifts.
//!
//! An fdatasync is measured twice. After a pause as long as the rest of a reserve it comes as a node's does: that ratio
//! says what consensus and HTTP cost beside the disk. Back to back it finds the processor awake and the disk warm, and
//! is what any tool measures of a disk: that ratio is the greater one. Both are told.
//!
//! `cargo bench -p node --bench single_client`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it fails and tells by these"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use client::Client;
use client::api::{Item, PutSkuRequest, ReserveRequest};

use support::cluster::Cluster;

/// Rounds, each of which measures both.
const ROUNDS: usize = 4;

/// Operations of each kind in one round. The first hundred or two after a rest take longer: processors fall asleep.
const OPERATIONS: usize = 2_000;

/// What one record takes in the file that is synced, in bytes: about what a reserve takes in the log.
const RECORD: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    cluster
        .only(leader)
        .put_sku(
            "BENCH",
            &PutSkuRequest {
                on_hand: 1_000_000,
                safety_stock: None,
                max_per_customer: None,
                on_shortfall: None,
            },
        )
        .await
        .unwrap();
    let file = written_file();
    // A connection of its own: one that has carried a PUT is the HTTP library's for good.
    let leader = Client::new([cluster.http(leader)]).unwrap();
    reserves(&leader, usize::MAX).await;
    let (mut syncs, mut paced, mut reserved) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let bare = fdatasyncs(&file, Duration::ZERO);
        let calls = reserves(&leader, round).await;
        paced.extend(fdatasyncs(&file, median(&calls).saturating_sub(median(&bare))));
        syncs.extend(bare);
        reserved.extend(calls);
    }
    let sync = show("fdatasync, back to back", &syncs);
    let rhythm = show("fdatasync, in the rhythm of a reserve", &paced);
    let reserve = show("reserve", &reserved);
    println!(
        "p50 of a reserve is {:.2} times that of an fdatasync back to back, {:.2} times that of one in its rhythm",
        reserve / sync,
        reserve / rhythm
    );
}

/// A file as the log has them: written before it is written to.
fn written_file() -> File {
    let directory = tempfile::tempdir().unwrap().keep();
    let path = directory.join("bench");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    file.write_all_at(&vec![0; (ROUNDS + 1) * OPERATIONS * RECORD], 0).unwrap();
    file.sync_all().unwrap();
    file
}

/// How long each took, with a pause of that length after it.
fn fdatasyncs(file: &File, pause: Duration) -> Vec<Duration> {
    let one = |at: usize| {
        let start = Instant::now();
        file.write_all_at(&[1; RECORD], (at * RECORD) as u64).unwrap();
        file.sync_data().unwrap();
        let took = start.elapsed();
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        took
    };
    (0..OPERATIONS).map(one).collect()
}

async fn reserves(client: &Client, round: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    for number in 0..OPERATIONS {
        let request = ReserveRequest {
            cart_id: format!("cart-{round}-{number}"),
            items: vec![Item { sku: "BENCH".into(), qty: 1 }],
            customer_id: None,
            ttl_seconds: None,
            wait: None,
        };
        let start = Instant::now();
        client.reserve(&request).await.unwrap();
        took.push(start.elapsed());
    }
    took
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Prints the percentiles of some times, and answers the median in microseconds.
fn show(what: &str, times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), at(1.0));
    println!(
        "{what:38} p50 {p50:5.0} us   p90 {p90:5.0} us   p99 {p99:5.0} us   max {max:6.0} us   of {}",
        times.len()
    );
    p50
}
