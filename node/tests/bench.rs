//! `lastunit bench`, as a user runs it: every workload for a moment, its document and its exit code.
//!
//! The load sends nothing twice, so a run whose cluster changes its leader meanwhile, as it may where a disk stands
//! still for a moment, tells calls that were refused or lost. Where a test counts calls, such a run is made anew.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use client::Client;
use client::api::{Reservation, ReservationState, ReserveRequest};
use client::code::{NO_LEADER, NO_QUORUM};
use serde_json::Value;
use tokio::time::Instant;

use support::cluster::Cluster;
use support::program::{Ended, program};

/// How many runs are made until the cluster keeps its leader meanwhile.
const RUNS_MAX: usize = 5;

/// How long a run lasts that somebody meddles with.
const MEDDLED_TIME: Duration = Duration::from_secs(4);

/// With how many holds or units of it.
const MEDDLED_UNITS: usize = 10;

/// Runs it against that cluster, and answers how it ended.
async fn bench(cluster: &Cluster, flags: &str) -> Ended {
    let mut command = program();
    command.arg("bench").arg("--cluster").arg(cluster.config()).args(flags.split_whitespace());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    Ended::of(output)
}

/// The same, where the cluster keeps its leader meanwhile; and the document that it wrote into a file.
async fn undisturbed(cluster: &Cluster, flags: &str) -> (Ended, Value) {
    let file = cluster.config().with_file_name("result.json");
    for _ in 0..RUNS_MAX {
        cluster.leader().await;
        // That of the run before, if there was one.
        let _ = std::fs::remove_file(&file);
        let ended = bench(cluster, &format!("{flags} --out {}", file.display())).await;
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let document = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {ended:?}"));
        if !is_disturbed(&document) {
            return (ended, document);
        }
    }
    panic!("{flags}: calls were lost in each of {RUNS_MAX} runs");
}

/// Whether calls were refused or lost as they are while the leader changes.
fn is_disturbed(document: &Value) -> bool {
    let total = &document["total"];
    let refused = [NO_LEADER, NO_QUORUM].iter().any(|code| total["refused"].get(code).is_some());
    refused || whole(&total["unknown"]) > 0
}

/// Runs it in JSON, where it must pass.
async fn passes(cluster: &Cluster, flags: &str) -> Value {
    let (ended, document) = undisturbed(cluster, &format!("{flags} --json --warm-up 0s")).await;
    assert_eq!(ended.code, 0, "{flags}: {ended:?}");
    assert_eq!(ended.documents(), std::slice::from_ref(&document), "{flags}");
    assert_eq!(document["passed"], true, "{flags}: {document}");
    assert_eq!(document["total"]["unknown"], 0, "{flags}: {document}");
    assert_eq!(document["total"]["errors"], 0, "{flags}: {document}");
    document
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a whole number: {value}"))
}

#[tokio::test]
async fn every_workload_runs_and_its_books_are_right() {
    let cluster = Cluster::start().await;
    for (flags, kinds) in [
        ("hot --count 300 --connections 8", vec!["reserve"]),
        ("spread --count 300 --connections 8 --skus 50 --customers 7 --keys", vec!["reserve"]),
        ("pair --count 300 --connections 8 --threads 2", vec!["commit", "reserve"]),
        ("cart --count 100 --connections 4 --skus 9 --cart 4 --to leader", vec!["reserve"]),
        (
            "mixed --count 600 --connections 2 --skus 20 --keys --to 2",
            vec!["commit", "extend", "read", "release", "reserve"],
        ),
    ] {
        let document = passes(&cluster, flags).await;
        let told: Vec<_> = document["kinds"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(told, kinds, "{flags}");
        let total = &document["total"];
        let count = document["parameters"]["count"].as_u64().unwrap();
        assert_eq!((whole(&total["requests"]), whole(&total["done"])), (count, count), "{flags}: {document}");
        assert!(total["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{flags}: {document}");
    }
    let document = passes(&cluster, "batch --count 12 --batch 100 --skus 30 --keys").await;
    assert_eq!((whole(&document["total"]["requests"]), whole(&document["total"]["done"])), (12, 1_200));
}

#[tokio::test]
async fn a_flash_sale_sells_what_there_is_also_after_a_warm_up() {
    let cluster = Cluster::start().await;
    let flags = "flash --count 500 --connections 16 --stock 7 --warm-up 100ms";
    let (ended, document) = undisturbed(&cluster, flags).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let total = &document["total"];
    assert_eq!((whole(&total["done"]), whole(&total["refused"]["held_by_others"])), (7, 493));
    assert!(total["refusal_latency_ms"].is_object(), "{total}");
}

#[tokio::test]
async fn an_open_loop_makes_the_calls_that_were_due() {
    let cluster = Cluster::start().await;
    let document = passes(&cluster, "hot --rate 200 --duration 1s --connections 32").await;
    assert_eq!(whole(&document["total"]["requests"]) + whole(&document["unsent"]), 200, "{document}");
    let counted = passes(&cluster, "hot --rate 2000 --count 100 --connections 4 --threads 3").await;
    assert_eq!((whole(&counted["total"]["done"]), whole(&counted["unsent"])), (100, 0));
}

#[tokio::test]
async fn what_the_nodes_cost_is_told_and_a_file_written() {
    let cluster = Cluster::start().await;
    let (ended, document) = undisturbed(&cluster, "hot --count 200 --warm-up 0s").await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for line in ["200  done in", "0  unknown", "ok       no unit was oversold, of 1 SKUs"] {
        assert!(ended.stdout.contains(line), "{line:?} is not in\n{}", ended.stdout);
    }
    let nodes = document["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    assert_eq!(nodes.iter().filter(|node| node["leads"] == true).count(), 1, "{nodes:?}");
    assert!(nodes.iter().all(|node| whole(&node["memory_bytes"]) > 1 << 20), "{nodes:?}");
    assert!(document["server_cpu_seconds_per_1000"].is_number(), "{document}");
    assert!(document["generator_cpu_seconds_per_1000"].is_number(), "{document}");
}

#[tokio::test]
async fn a_run_that_is_asked_wrongly_or_answered_wrongly_fails() {
    let cluster = Cluster::start().await;
    for flags in [
        "hot --skus 2",
        "cart --skus 2 --cart 3",
        "hot --batch 5",
        "hot --to nobody",
        "no-workload",
        "hot --duration 0s",
        "hot --warm-up 2000000000000000h",
        "hot --out no-such-directory/result.json",
    ] {
        let ended = bench(&cluster, flags).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{flags}: {ended:?}");
    }
    let nobody = bench(&cluster, "hot --to 9").await;
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(nobody.stderr.contains("--to 9"), "{nobody:?}");
    // Longer than the cluster lets a hold last: nothing that was asked was in order, the warm-up's calls neither.
    let refused = bench(&cluster, "hot --count 20 --warm-up 1s --ttl 86400 --json").await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let failed = failed(&refused.documents()[0]).join("\n");
    let invalid = failed.strip_prefix("every call was one of the contract's: ").unwrap();
    let count: u64 = invalid.split_whitespace().next().unwrap().parse().unwrap();
    assert!(count > 20 && invalid.contains("were refused as invalid_request"), "{failed}");
}

/// Runs it while somebody else meddles with its one SKU, once it has some holds. Answers the checks that failed. Each
/// run is against a cluster of its own, so that all holds are the run's.
async fn meddled(meddle: impl AsyncFn(&Client, Vec<Reservation>)) -> Vec<String> {
    for _ in 0..RUNS_MAX {
        let cluster = Cluster::start().await;
        let flags = format!("hot --duration {}s --connections 4 --warm-up 0s --json", MEDDLED_TIME.as_secs());
        let started = Instant::now();
        let (ended, in_time) = tokio::join!(bench(&cluster, &flags), async {
            meddle(cluster.client(), holds(cluster.client()).await).await;
            // Before the load can be over, and so before anything is read back.
            started.elapsed() < MEDDLED_TIME
        });
        let documents = ended.documents();
        let document = documents.first().unwrap_or_else(|| panic!("{ended:?}"));
        if in_time && !is_disturbed(document) {
            assert_eq!((ended.code, &document["passed"]), (1, &Value::Bool(false)), "{document}");
            return failed(document);
        }
    }
    panic!("calls were lost, or it was meddled with too late, in each of {RUNS_MAX} runs");
}

/// Holds of a run that goes on, once it has so many.
async fn holds(client: &Client) -> Vec<Reservation> {
    support::wait_for("holds of the run", async || {
        let held = client.reservations().state(ReservationState::Held).page_size(MEDDLED_UNITS as u32);
        let holds = held.page(None).await.ok()?.value.data;
        (holds.len() == MEDDLED_UNITS).then_some(holds)
    })
    .await
}

fn failed(document: &Value) -> Vec<String> {
    let checks = document["checks"].as_array().unwrap();
    let failed = checks.iter().filter(|check| check["result"] == "failed");
    failed.map(|check| check["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn units_that_the_load_did_not_take_fail_the_run_with_their_sku() {
    let failed = meddled(async |client, holds| {
        let sku = holds[0].items[0].sku.clone();
        client.reserve(&ReserveRequest::one("stranger", sku, MEDDLED_UNITS as u64)).await.unwrap();
    });
    let failed = failed.await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("no unit was oversold") && failed[0].contains(": bench-"), "{failed:?}");
}

#[tokio::test]
async fn holds_that_are_gone_fail_the_run_with_their_sku() {
    let failed = meddled(async |client, holds| {
        for hold in holds {
            client.release(hold.reservation_id.as_str()).await.unwrap();
        }
    });
    let failed = failed.await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("no hold was lost") && failed[0].contains(": bench-"), "{failed:?}");
}

#[tokio::test]
async fn a_node_that_dies_under_the_load_makes_outcomes_unknown_and_no_verdict_wrong() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let mut command = program();
    command.arg("bench").arg("--cluster").arg(cluster.config());
    command.args("mixed --duration 4s --connections 16 --skus 40 --warm-up 0s --json".split(' '));
    let run = tokio::task::spawn_blocking(move || command.output());
    // Not before the load goes on: reserves have been acknowledged.
    let client = cluster.client().clone();
    support::wait_for("the load has begun", async || {
        let page = client.reservations().page_size(1).page(None).await.ok()?;
        (!page.value.data.is_empty()).then_some(())
    })
    .await;
    cluster.kill(leader);
    cluster.spawn(leader);
    let ended = Ended::of(run.await.unwrap().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    let document = ended.documents().remove(0);
    let total = &document["total"];
    assert!(whole(&total["unknown"]) + whole(&total["errors"]) > 0, "{document}");
    cluster.ready(&[leader]).await;
}
