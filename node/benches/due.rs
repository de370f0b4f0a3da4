//! Many holds that end in the same second, while reserves of other SKUs come at a fixed rate.
//!
//! `cargo bench -p node --bench due -- [HOLDS] [RATE]`
//!
//! Latency counts from the moment at which a reserve was to start, and so does a queue before it. What is told: the
//! latencies of the seconds before the holds end and of those after, and how long after the last deadline all units
//! were for sale again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it fails and tells by these"
)]

mod shop;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use client::Client;
use client::api::{Item, PutSkuRequest, ReserveRequest};
use tokio::task::JoinSet;

use shop::reserve;
use support::cluster::{Cluster, IDS};

/// The SKU whose holds end.
const SKU: &str = "DROP";

/// SKUs that the load reserves.
const SKUS: u64 = 1_000;

/// Calls under way at most.
const CONNECTIONS: u64 = 256;

/// Holds that are made in a second, at least: they are to be there before they end.
const HOLDS_A_SECOND: u64 = 10_000;

/// How long the load goes on before the holds end, and after.
const SIDE: Duration = Duration::from_secs(12);

/// How often it is looked whether the units are for sale again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// When a reserve was to start, and how long it took from there.
type Latency = (Instant, Duration);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let mut number = |otherwise| arguments.next().map_or(otherwise, |n| n.parse().unwrap());
    let (holds, rate) = (number(1_000_000), number(5_000));
    let cluster = Cluster::start_with("max_hold_seconds = 3600\nmax_ttl_seconds = 3600\n").await;
    let client = cluster.client();
    shop::put_skus(client, SKUS).await;
    client.put_sku(SKU, &stock(holds)).await.unwrap();
    let ahead = Duration::from_secs(holds / HOLDS_A_SECOND) + SIDE + Duration::from_secs(3);
    let (due, due_at) = (SystemTime::now() + ahead, Instant::now() + ahead);
    shop::hold(client, holds, move |cart| due_hold(cart, due)).await;
    let early = due_at.saturating_duration_since(Instant::now());
    assert!(early >= SIDE, "the holds took too long to make: {early:?} are left");
    tokio::time::sleep(early - SIDE).await;
    println!("{holds} holds end within one second; {rate} reserves of {SKUS} other SKUs a second");
    let (load, back) = tokio::join!(load(&cluster, holds, rate, due_at + SIDE), back(client, holds, due_at));
    // The first deadlines are up to a second before the last one.
    let second = Duration::from_secs(1);
    let before = show("before", load.iter().filter(|(start, _)| *start + second < due_at));
    let after = show("after", load.iter().filter(|(start, _)| *start + second >= due_at));
    println!("p99 after is {:.2} times that before", after / before);
    println!("all units for sale again {} ms after the last deadline", back.as_millis());
}

fn stock(on_hand: u64) -> PutSkuRequest {
    PutSkuRequest { on_hand, safety_stock: None, max_per_customer: None, on_shortfall: None }
}

/// A hold of one unit that ends within the second before `due`.
fn due_hold(cart: u64, due: SystemTime) -> ReserveRequest {
    let left = due.duration_since(SystemTime::now()).unwrap();
    ReserveRequest {
        cart_id: format!("due-{cart}"),
        items: vec![Item { sku: SKU.into(), qty: 1 }],
        customer_id: None,
        ttl_seconds: Some(left.as_secs()),
        wait: None,
    }
}

/// Reserves at a fixed rate until the end.
async fn load(cluster: &Cluster, first: u64, rate: u64, end: Instant) -> Vec<Latency> {
    let (start, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = cluster.only(IDS[connection as usize % IDS.len()]);
        let next = next.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let intended = start + Duration::from_secs(1).mul_f64(number as f64 / rate as f64);
                if intended > end {
                    return latencies;
                }
                tokio::time::sleep_until(intended.into()).await;
                client.reserve(&reserve(first + number, SKUS)).await.unwrap();
                latencies.push((intended, intended.elapsed()));
            }
        });
    }
    tasks.join_all().await.concat()
}

/// How long after the last deadline all units are for sale.
async fn back(client: &Client, holds: u64, due_at: Instant) -> Duration {
    loop {
        let record = client.sku(SKU).await.unwrap().value;
        if record.available == holds {
            return due_at.elapsed();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells how long reserves took; answers the p99, in milliseconds.
fn show<'a>(what: &str, latencies: impl Iterator<Item = &'a Latency>) -> f64 {
    let mut millis: Vec<f64> = latencies.map(|(_, took)| took.as_secs_f64() * 1e3).collect();
    millis.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
    let (p50, p99, max, count) = (at(0.5), at(0.99), at(1.0), millis.len());
    println!("{what:6} p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms, of {count}");
    p99
}
