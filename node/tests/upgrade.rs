//! An upgrade to the next version while buyers go on, and the way back as far as there is one.
//!
//! The next version is this one with a feature level more, and a command that this one does not know: the feature
//! `next-version`, which no release has. `NEXT_VERSION` says where that binary is; `.ci/run` builds it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use client::api::{AuditVerdict, ClusterView, PutSkuRequest};
use support::cluster::{Cluster, IDS, this_version};
use support::load::{Ledger, Load};
use support::{http, say, wait_for};

/// Where the drills are written down.
const OPERATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");

/// What the operator can mend.
const MENDABLE: i32 = 2;

/// Calls that buyers have answered between two steps.
const CALLS: usize = 40;

/// Of which each node keeps units back, once it may.
const SKU: &str = "KEPT-BACK";

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_while_buyers_go_on_and_the_way_back_until_the_level_rises() {
    let Some(next) = next_version() else {
        return say("SKIPPED, nothing was tested: NEXT_VERSION names no lastunit of the next version");
    };
    let (mut cluster, mut ledger) = (Cluster::start().await, Ledger::default());
    let load = Load::start(&cluster, &mut ledger).await;
    let stock = PutSkuRequest { on_hand: 9, safety_stock: None, max_per_customer: None, on_shortfall: None };
    cluster.client().put_sku(SKU, &stock).await.unwrap();
    load.more(CALLS).await;
    assert_eq!(http_status(&cluster, 1).await, 404, "this version has no such call");

    // One node goes forth and back.
    let first = cluster.leader().await;
    replace(&mut cluster, first, &next).await;
    refuses(&cluster, first).await;
    load.more(CALLS).await;
    replace(&mut cluster, first, &this_version()).await;
    assert_eq!(view(&cluster, first).await.feature_level, 1);
    load.more(CALLS).await;

    // All go forth, one after the other, and the level waits for the last one.
    for id in IDS {
        replace(&mut cluster, id, &next).await;
        if id != IDS[2] {
            load.more(CALLS).await;
            refuses(&cluster, id).await;
        }
    }
    for id in IDS {
        wait_for(format!("the level rises at node {id}"), async || {
            (cluster.view(id).await?.feature_level == 2).then_some(())
        })
        .await;
        assert_eq!(http_status(&cluster, id).await, 200, "node {id}");
    }
    assert_eq!(kept_back(&cluster).await, 3);
    load.more(CALLS).await;

    // From here there is no way back, neither for a directory of this level nor for an empty one.
    let id = cluster.followers().await[0];
    assert!(cluster.terminate(id).await.success());
    cluster.install(id, &this_version());
    refused(&mut cluster, id, "of its directory").await;
    let (own, aside) = (cluster.data_dir(id), cluster.config().with_file_name("aside"));
    fs::rename(&own, &aside).unwrap();
    refused(&mut cluster, id, "of the other nodes").await;
    fs::remove_dir_all(&own).unwrap();
    fs::rename(&aside, &own).unwrap();
    cluster.install(id, &next);
    cluster.start_all().await;

    load.more(CALLS).await;
    load.stop(&mut ledger).await;
    ledger.check(&cluster).await;
    assert_eq!(kept_back(&cluster).await, 3);
    let audit = cluster.client().audit().await.unwrap().value;
    assert_eq!(audit.verdict, AuditVerdict::Sound, "{audit:?}");
    say(&format!("an upgrade of three nodes and one way back: {} calls of buyers", ledger.calls()));
}

/// Where the next version is; nothing where nobody says.
fn next_version() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("NEXT_VERSION")?);
    assert!(path.is_absolute() && path.is_file(), "NEXT_VERSION: {} is no file", path.display());
    Some(path)
}

/// Stops a node, and starts it with that lastunit.
async fn replace(cluster: &mut Cluster, id: u64, program: &Path) {
    assert!(cluster.terminate(id).await.success(), "node {id}");
    cluster.install(id, program);
    cluster.start_all().await;
}

async fn view(cluster: &Cluster, id: u64) -> ClusterView {
    wait_for(format!("node {id} tells"), async || cluster.view(id).await).await
}

/// The status of the call that only the next version knows, through that node.
async fn http_status(cluster: &Cluster, id: u64) -> u16 {
    keep_back(cluster, id).await.status
}

async fn keep_back(cluster: &Cluster, id: u64) -> http::Reply {
    http::json(cluster.http(id), "POST", &format!("/api/inventory/{SKU}/keep_back"), "").await
}

/// A node of the next version does not do what the others do not know, and says so; and it knows why.
async fn refuses(cluster: &Cluster, id: u64) {
    let refused = keep_back(cluster, id).await;
    let problem = refused.json();
    assert_eq!((refused.status, refused.code().as_str()), (503, "feature_not_active"), "{problem}");
    assert_eq!((&problem["retryable"], &problem["executed"]), (&true.into(), &"no".into()), "{problem}");
    assert_eq!(kept_back(cluster).await, 0);
    let of_nodes = wait_for(format!("node {id} knows every binary"), async || {
        let view = cluster.view(id).await?;
        assert_eq!(view.feature_level, 1, "{view:?}");
        view.members.iter().map(|member| Some((member.id, member.feature_level_max?))).collect()
    });
    let of_nodes: BTreeMap<u64, u16> = of_nodes.await;
    assert!(of_nodes[&id] == 2 && of_nodes.values().any(|highest| *highest == 1), "{of_nodes:?}");
}

async fn kept_back(cluster: &Cluster) -> u64 {
    cluster.client().sku(SKU).await.unwrap().value.safety_stock
}

/// A node that cannot go on with its lastunit ends with one line, which the drill has.
async fn refused(cluster: &mut Cluster, id: u64, why: &str) {
    cluster.spawn(id);
    let status = cluster.ended(id).await;
    let said = cluster.said(id);
    assert_eq!(status.code(), Some(MENDABLE), "{said}");
    let last = said.lines().last().unwrap().trim().to_owned();
    let text = fs::read_to_string(OPERATIONS).unwrap();
    let drill = text.split_once("#### An older lastunit on a cluster of a newer level\n").unwrap().1;
    let drill = drill.split("\n#").next().unwrap();
    let told = drill.lines().filter_map(|line| line.strip_prefix("    lastunit: "));
    let told: Vec<&str> = told.collect();
    assert!(told.iter().any(|line| is_of(line, &last)), "{why}: {last}\nis none of the drill's:\n{told:#?}");
}

/// Whether a line has all that a drill says, where each word in capitals stands for something else.
fn is_of(said_to_be: &str, line: &str) -> bool {
    let parts = said_to_be.split(' ').filter(|word| !word.bytes().any(|byte| byte.is_ascii_uppercase()));
    let mut rest = line;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.is_empty()
}
