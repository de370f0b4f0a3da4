//! Replicas that differ, with real processes: who differs stops, says so, and is put right; and `lastunit audit`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../raft/tests/support/plant.rs"]
mod plant;
mod support;

use std::fs;
use std::process::Stdio;

use client::api::{AuditVerdict, AuditView, PutSkuRequest, ReserveRequest};
use serde_json::Value;
use support::cluster::{Cluster, IDS, others};
use support::program::{Ended, program};
use support::{PATIENCE, wait_for};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs `lastunit audit` over all nodes.
async fn audit(cluster: &Cluster, flags: &[&str]) -> Ended {
    let addresses: Vec<_> = IDS.iter().map(|&id| format!("http://{}", cluster.http(id))).collect();
    let mut command = Command::from(program());
    command.arg("audit").args(flags).args(["--nodes", &addresses.join(",")]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ended::of(timeout(PATIENCE, command.output()).await.expect("the command ends").unwrap())
}

async fn start_shop() -> Cluster {
    let cluster = Cluster::start().await;
    let stock = PutSkuRequest { on_hand: 10, ..PutSkuRequest::default() };
    cluster.client().put_sku("PS5", &stock).await.unwrap();
    reserve(&cluster, "cart-1").await;
    cluster
}

async fn reserve(cluster: &Cluster, cart: &str) {
    cluster.client().reserve(&ReserveRequest::one(cart, "PS5", 1)).await.unwrap();
}

/// The digest that stands before these words.
fn digest_in<'a>(said: &'a str, words: &str) -> &'a str {
    let end = said.find(words).unwrap_or_else(|| panic!("no {words:?} in: {said}"));
    &said[end - 16..end]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_differs_stops_and_goes_on_with_an_image_made_anew() {
    let mut cluster = start_shop().await;
    let odd = cluster.followers().await[0];
    assert_eq!(cluster.terminate(odd).await.code(), Some(0));
    plant::plant_safety_stock(&cluster.data_dir(odd), 3);
    cluster.spawn(odd);
    let status = cluster.ended(odd).await;
    let said = cluster.said(odd);
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        last.contains(&format!("node {odd} stops: ")) && last.contains("the replicas differ: at entry"),
        "{last}"
    );
    let here = digest_in(last, &format!(" here on node {odd}"));
    let others = others(odd);
    for other in &others {
        assert_ne!(digest_in(last, &format!(" on node {other}")), here, "{last}");
    }
    reserve(&cluster, "cart-2").await;
    let told = audit(&cluster, &[]).await;
    assert_eq!((told.code, told.stderr), (3, format!("lastunit: incomplete: no audit of node {odd}\n")));

    fs::remove_dir_all(cluster.data_dir(odd).join("checkpoint")).unwrap();
    let before = comparisons(&cluster, &others).await;
    cluster.spawn(odd);
    cluster.ready(&[odd]).await;
    wait_for("digests are compared once more", async || {
        (comparisons(&cluster, &others).await > before).then_some(())
    })
    .await;
    cluster.check_digests().await;
    assert_eq!(audit(&cluster, &[]).await.code, 0);
}

/// How often these nodes have compared digests, whoever of them led.
async fn comparisons(cluster: &Cluster, ids: &[u64]) -> u64 {
    let mut sum = 0;
    for &id in ids {
        let reply = support::http::get(cluster.http(id), "/metrics").await;
        let metrics = String::from_utf8(reply.body).unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("lastunit_digest_comparisons_total "));
        sum += line.unwrap().parse::<u64>().unwrap();
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_through_any_node_finds_all_that_was_answered() {
    let cluster = start_shop().await;
    for id in IDS {
        let audit: AuditView = cluster.only(id).audit().await.unwrap().value;
        assert_eq!((audit.verdict, audit.agree, audit.node_id), (AuditVerdict::Sound, true, id), "{audit:?}");
        for node in &audit.nodes {
            let image = node.image.as_ref().unwrap();
            assert!(image.applied_index >= Some(audit.applied_index), "{audit:?}");
            assert_eq!((image.skus, image.holds, image.on_hand, image.held), (1, 1, 10, 1), "{audit:?}");
            assert_eq!(node.state_digest, audit.nodes[0].state_digest, "{audit:?}");
        }
    }
    let told = audit(&cluster, &[]).await;
    assert_eq!((told.code, &*told.stderr), (0, ""));
    assert!(told.stdout.lines().next().unwrap().ends_with("sound"), "{}", told.stdout);
    assert_eq!(told.stdout.lines().count(), 2 + IDS.len(), "{}", told.stdout);
    let told = audit(&cluster, &["--json"]).await;
    let document: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((told.code, &document["verdict"]), (0, &"sound".into()));
    assert_eq!(document["nodes"].as_array().unwrap().len(), IDS.len());
}
