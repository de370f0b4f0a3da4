//! Reserves over 256 connections against three nodes of this machine: how many, how fast, and what they have written.
//!
//! `cargo bench -p node --bench load -- [SECONDS] [SKUS] [HOLDS]`
//!
//! With `HOLDS` that many holds are made first, over `SKUS` SKUs, so that snapshots are long; at the end a node is
//! stopped and started again, to tell its start and its memory. `LASTUNIT_NO_CHECKPOINTS=1` turns checkpoints off.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it fails and tells by these"
)]

mod shop;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::Client;
use client::api::ReserveRequest;
use tokio::task::JoinSet;

use shop::{put_skus, reserve};
use support::cluster::{Cluster, IDS};

/// Connections, each with one call at a time.
const CONNECTIONS: u64 = 256;

/// What every connection shares.
struct Shared {
    skus: u64,
    ends: Instant,
    carts: AtomicU64,
    /// Whether some node is building a snapshot.
    building: AtomicBool,
}

/// How long reserves took, in microseconds: those without and those with a snapshot being built meanwhile.
type Latencies = [Vec<u64>; 2];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let mut number = |otherwise| arguments.next().map_or(otherwise, |n| n.parse().unwrap());
    let (seconds, skus, holds) = (number(30), number(1_000), number(0));
    let mut cluster = Cluster::start_with("max_hold_seconds = 3600\nmax_ttl_seconds = 3600\n").await;
    put_skus(cluster.client(), skus).await;
    let lasting = move |cart| ReserveRequest { ttl_seconds: Some(3_000), ..reserve(cart, skus) };
    shop::hold(cluster.client(), holds, lasting).await;
    let shared = Arc::new(Shared {
        skus,
        ends: Instant::now() + Duration::from_secs(seconds),
        carts: AtomicU64::new(holds),
        building: AtomicBool::new(false),
    });
    let before = handed(&cluster);
    let [mut quiet, mut building] = load(&cluster, &shared).await;
    let reserves = (quiet.len() + building.len()) as u64;
    println!("{reserves} reserves, {} a second", reserves / seconds);
    show("no snapshot", &mut quiet);
    show("a snapshot", &mut building);
    let bytes = (handed(&cluster) - before) / reserves.max(1);
    println!("handed      {bytes} bytes a reserve to be written, all nodes, sockets included");
    restart(&mut cluster).await;
}

async fn load(cluster: &Cluster, shared: &Arc<Shared>) -> Latencies {
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = cluster.only(IDS[connection as usize % IDS.len()]);
        tasks.spawn(reserves(client, shared.clone()));
    }
    let directories = IDS.map(|id| cluster.data_dir(id).join("snapshots"));
    while Instant::now() < shared.ends {
        shared.building.store(directories.iter().any(|dir| is_building(dir)), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let all = tasks.join_all().await;
    [0, 1].map(|kind| all.iter().flat_map(|latencies: &Latencies| latencies[kind].iter().copied()).collect())
}

async fn reserves(client: Client, shared: Arc<Shared>) -> Latencies {
    let mut latencies = [Vec::new(), Vec::new()];
    while Instant::now() < shared.ends {
        let cart = shared.carts.fetch_add(1, Ordering::Relaxed);
        let (start, building) = (Instant::now(), shared.building.load(Ordering::Relaxed));
        client.reserve(&reserve(cart, shared.skus)).await.unwrap();
        let building = building || shared.building.load(Ordering::Relaxed);
        latencies[usize::from(building)].push(start.elapsed().as_micros() as u64);
    }
    latencies
}

/// Whether a snapshot is being written or read back: it has a temporary name as long.
fn is_building(snapshots: &Path) -> bool {
    let entries = std::fs::read_dir(snapshots).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".tmp"))
}

/// What all nodes have handed to the system to be written, in bytes: what went over sockets is in it too. (The system's
/// `write_bytes` counts each page near a changed byte, and tells some fifty times what the disk gets.)
fn handed(cluster: &Cluster) -> u64 {
    IDS.iter().map(|&id| cluster.proc_figure(id, "io", "wchar:")).sum()
}

fn show(what: &str, micros: &mut [u64]) {
    micros.sort_unstable();
    if micros.is_empty() {
        return println!("{what:11} none");
    }
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
    let count = micros.len();
    println!("{what:11} p50 {p50:.1} ms, p99 {p99:.1} ms, p99.9 {p999:.1} ms, max {max:.1} ms, of {count}");
}

/// Stops a node in order, starts it, and waits until it serves.
async fn restart(cluster: &mut Cluster) {
    for id in IDS {
        println!("node {id}      {} MiB resident", cluster.proc_figure(id, "status", "VmRSS:") / 1024);
    }
    cluster.terminate(1).await;
    let start = Instant::now();
    cluster.spawn(1);
    cluster.ready(&[1]).await;
    let seconds = start.elapsed().as_secs_f64();
    let [resident, peak] = ["VmRSS:", "VmHWM:"].map(|name| cluster.proc_figure(1, "status", name) / 1024);
    println!("node 1 anew ready after {seconds:.1} s, {resident} MiB resident, {peak} MiB at its peak");
}
