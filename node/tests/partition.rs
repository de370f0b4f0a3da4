//! A leader that is cut off from both others, in network namespaces.
//!
//! It needs root and `ip`; without them it says so and tests nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use client::api::{PutSkuRequest, ReserveRequest};

use support::cluster::{Cluster, others};
use support::load::{Ledger, Load};
use support::netns::Net;
use support::{PATIENCE, http, say, seed, wait_for};

/// How many calls are answered before, during and after the cut.
const CALLS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_acknowledges_nothing_and_the_others_go_on() {
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return say(&format!("SKIPPED, nothing was tested: {why}")),
    };
    let (cluster, mut ledger) = (Cluster::start_at(seed(), net.places()).await, Ledger::default());
    let stock = PutSkuRequest { on_hand: 1, safety_stock: None, max_per_customer: None, on_shortfall: None };
    cluster.client().put_sku("LAST", &stock).await.unwrap();
    let load = Load::start(&cluster, &mut ledger).await;
    for round in 0..2 {
        load.more(CALLS).await;
        let leader = cluster.leader().await;
        let majority = others(leader);
        majority.iter().for_each(|&other| net.cut(leader, other));
        refuses(cluster.http(leader), "cut").await;
        let next = cluster.leader_among(&majority).await;
        assert_ne!(next, leader);
        sell_the_last(&cluster, next, round).await;
        load.more(CALLS).await;
        refuses(cluster.http(leader), "still cut").await;
        majority.iter().for_each(|&other| net.heal(leader, other));
        converged(&cluster, leader).await;
    }
    load.stop(&mut ledger).await;
    ledger.check(&cluster).await;
    say(&format!("{} calls hold after the leader was cut off twice", ledger.calls()));
}

/// The cut leader answers neither a write nor a linearizable read, from the first moment on.
async fn refuses(address: &str, when: &str) {
    let reserve = r#"{"cart_id":"cut","items":[{"sku":"LAST","qty":1}]}"#;
    let write = http::json(address, "POST", "/api/checkout/reserve", reserve);
    let read = http::get(address, "/api/inventory/LAST");
    let (write, read) = tokio::join!(write, read);
    assert!(matches!(write.status, 503 | 504), "{when}: {write:?}");
    assert_eq!(read.status, 503, "{when}: {read:?}");
}

/// The first round sells it, and the second finds it sold: whatever side forgot it would sell it again.
async fn sell_the_last(cluster: &Cluster, id: u64, round: u64) {
    let reserve = ReserveRequest::one(format!("last-{round}"), "LAST", 1);
    let call = cluster.only(id).reserve(&reserve).deadline(PATIENCE).await;
    assert_eq!(call.is_ok(), round == 0, "{call:?}");
}

/// The node that was cut follows again, and tells of what was sold without it.
async fn converged(cluster: &Cluster, id: u64) {
    wait_for("the node that was cut off serves", async || cluster.only(id).ready().await.ok()).await;
    let stock = cluster.only(id).sku("LAST").await.unwrap().value;
    assert_eq!((stock.held, stock.available), (1, 0));
}
