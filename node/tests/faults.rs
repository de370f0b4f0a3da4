//! Nodes that are killed, paused and started again under load: what was acknowledged holds.
//!
//! `LASTUNIT_TEST_ROUNDS` says how often the leader is killed in a row (5 times unless set). With
//! `cargo test --release -p node --test faults write_gap -- --nocapture` it prints how long no write was
//! acknowledged after each kill.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use client::Client;
use client::api::{AdjustRequest, PutSkuRequest};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use support::cluster::{Cluster, IDS, others};
use support::load::{Ledger, Load};
use support::{PATIENCE, http, say};

/// How many calls are answered before a fault, and again while it lasts.
const CALLS: usize = 100;

/// The contract's bound on saying that nothing can be done.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_of_the_leader() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    survives_kill_of(&mut cluster, leader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_of_a_follower() {
    let mut cluster = Cluster::start().await;
    let follower = cluster.followers().await[0];
    survives_kill_of(&mut cluster, follower).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_of_all() {
    let (mut cluster, mut ledger) = (Cluster::start().await, Ledger::default());
    for _ in 0..2 {
        let load = Load::start(&cluster, &mut ledger).await;
        load.more(CALLS).await;
        cluster.kill_all();
        cluster.start_all().await;
        load.more(CALLS).await;
        load.stop(&mut ledger).await;
        ledger.check(&cluster).await;
    }
    say(&format!("{} calls hold after kill -9 of all nodes, twice", ledger.calls()));
}

/// It does not know how far it had committed: restored without an election it would confirm reads at less than what
/// it had answered, and a follower would read what was true before the kill.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_restarts_is_elected_anew_since_it_forgot_its_commit() {
    let mut cluster = Cluster::start().await;
    let term = cluster.view(1).await.unwrap().term;
    cluster.kill_all();
    cluster.start_all().await;
    let now = cluster.view(1).await.unwrap().term;
    assert!(now > term, "term {now} goes on as if nothing had happened");
}

async fn survives_kill_of(cluster: &mut Cluster, id: u64) {
    let mut ledger = Ledger::default();
    let load = Load::start(cluster, &mut ledger).await;
    load.more(CALLS).await;
    cluster.kill(id);
    load.more(CALLS).await;
    cluster.start_all().await;
    load.more(CALLS).await;
    load.stop(&mut ledger).await;
    ledger.check(cluster).await;
    say(&format!("{} calls hold after kill -9 of node {id}", ledger.calls()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_gap_after_kill_9_of_the_leader_is_short() {
    let (mut cluster, mut ledger) = (Cluster::start().await, Ledger::default());
    let stock = PutSkuRequest { on_hand: 0, safety_stock: None, max_per_customer: None, on_shortfall: None };
    cluster.client().put_sku("PROBE", &stock).await.unwrap();
    let load = Load::start(&cluster, &mut ledger).await;
    let mut gaps = Vec::new();
    for round in 1..=rounds() {
        let leader = cluster.leader().await;
        load.more(CALLS).await;
        cluster.kill(leader);
        let gap = write_gap(&cluster, leader).await;
        say(&format!(
            "round {round}: a write was acknowledged {} ms after kill -9 of the leader",
            gap.as_millis()
        ));
        gaps.push(gap);
        cluster.start_all().await;
    }
    load.stop(&mut ledger).await;
    ledger.check(&cluster).await;
    let longest = gaps.iter().max().unwrap();
    say(&format!(
        "longest of {} rounds: {} ms; {} calls hold",
        gaps.len(),
        longest.as_millis(),
        ledger.calls()
    ));
    // Not a measurement: a machine that does much else is slow. Whoever measures reads the lines above.
    assert!(*longest < Duration::from_secs(10), "{gaps:?}");
}

/// How long from now until a write that is made from now on is acknowledged by one of the others.
async fn write_gap(cluster: &Cluster, killed: u64) -> Duration {
    let killed_at = Instant::now();
    let survivors = others(killed);
    tokio::select! {
        () = write_until_acknowledged(cluster.only(survivors[0])) => {}
        () = write_until_acknowledged(cluster.only(survivors[1])) => {}
    }
    killed_at.elapsed()
}

async fn write_until_acknowledged(client: Client) {
    let request = AdjustRequest { delta: 1, reason: None, reference: None, on_shortfall: None };
    while client.adjust("PROBE", &request).tries_max(1).await.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
}

fn rounds() -> usize {
    let given = std::env::var("LASTUNIT_TEST_ROUNDS");
    given.map_or(5, |rounds| rounds.parse().expect("LASTUNIT_TEST_ROUNDS is a number"))
}

/// Far more than a leader that waits between tries dials in [`COUNTED`], for all its purposes together, and far
/// less than one that does not.
const DIALS_MAX: usize = 200;

/// How long dials are counted.
const COUNTED: Duration = Duration::from_secs(2);

/// The leader's replication once dialled a node that was down again and again, with every entry that it proposed.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_is_not_dialled_in_a_loop() {
    let (mut cluster, mut ledger) = (Cluster::start().await, Ledger::default());
    let follower = cluster.followers().await[0];
    let load = Load::start(&cluster, &mut ledger).await;
    cluster.kill(follower);
    load.more(CALLS).await;
    let listener = TcpListener::bind(cluster.raft(follower)).await.unwrap();
    let mut dials = 0;
    let count = async {
        loop {
            // Closed at once, so that it is no node that answers here.
            drop(listener.accept().await.unwrap());
            dials += 1;
        }
    };
    assert!(timeout(COUNTED, count).await.is_err());
    say(&format!("a node that is down was dialled {dials} times in {} s", COUNTED.as_secs()));
    assert!((1..DIALS_MAX).contains(&dials), "{dials}");
    drop(listener);
    cluster.start_all().await;
    load.stop(&mut ledger).await;
    ledger.check(&cluster).await;
}

/// Which node is left alone, and how the others went.
#[derive(Debug, Clone, Copy)]
enum Alone {
    LeaderOthersKilled,
    LeaderOthersPaused,
    FollowerOthersKilled,
    FollowerOthersPaused,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_serves_neither_writes_nor_linearizable_reads() {
    let (mut cluster, mut ledger) = (Cluster::start().await, Ledger::default());
    for alone in [
        Alone::LeaderOthersKilled,
        Alone::LeaderOthersPaused,
        Alone::FollowerOthersKilled,
        Alone::FollowerOthersPaused,
    ] {
        let load = Load::start(&cluster, &mut ledger).await;
        load.more(CALLS).await;
        load.stop(&mut ledger).await;
        let sku = format!("ALONE-{alone:?}");
        let stock =
            PutSkuRequest { on_hand: 5, safety_stock: None, max_per_customer: None, on_shortfall: None };
        cluster.client().put_sku(&sku, &stock).await.unwrap();
        cluster.check_digests().await;
        let id = leave_alone(&mut cluster, alone).await;
        refuses(cluster.http(id), &sku, &format!("{alone:?}")).await;
        bring_back(&mut cluster, alone, id).await;
        goes_on(&cluster, &sku).await;
        ledger.check(&cluster).await;
    }
}

async fn leave_alone(cluster: &mut Cluster, alone: Alone) -> u64 {
    let leader = cluster.leader().await;
    let id = match alone {
        Alone::LeaderOthersKilled | Alone::LeaderOthersPaused => leader,
        Alone::FollowerOthersKilled | Alone::FollowerOthersPaused => others(leader)[0],
    };
    for other in others(id) {
        match alone {
            Alone::LeaderOthersKilled | Alone::FollowerOthersKilled => cluster.kill(other),
            Alone::LeaderOthersPaused | Alone::FollowerOthersPaused => cluster.pause(other),
        }
    }
    id
}

async fn bring_back(cluster: &mut Cluster, alone: Alone, id: u64) {
    if let Alone::LeaderOthersPaused | Alone::FollowerOthersPaused = alone {
        others(id).into_iter().for_each(|other| cluster.go_on(other));
    }
    cluster.start_all().await;
}

/// Twice, since the node learns only bit by bit that it is alone: what it says may change, but is never yes.
async fn refuses(address: &str, sku: &str, alone: &str) {
    let of = |cart: &str, qty: u64| {
        format!(r#"{{"cart_id":"{cart}-{sku}","items":[{{"sku":"{sku}","qty":{qty}}}]}}"#)
    };
    // There is one that fits, and one that this node would refuse by itself if it could know that nothing has changed.
    let (reserve, too_much) = (of("c", 1), of("d", 6));
    let (key, path) = (format!("k-{sku}"), format!("/api/inventory/{sku}"));
    let path_stale = format!("{path}?consistency=stale");
    for _ in 0..2 {
        let (write, gated, read, stale, ready) = tokio::join!(
            timed(http::keyed(address, "POST", "/api/checkout/reserve", &key, &reserve)),
            timed(http::json(address, "POST", "/api/checkout/reserve", &too_much)),
            timed(http::get(address, &path)),
            timed(http::get(address, &path_stale)),
            timed(http::get(address, "/readyz")),
        );
        let codes = (write.code(), read.code());
        assert!(matches!(write.status, 503 | 504), "{alone}: {write:?}");
        assert!(["no_leader", "no_quorum", "outcome_unknown"].contains(&codes.0.as_str()), "{write:?}");
        assert!(matches!(gated.status, 503 | 504), "{alone}: {gated:?}");
        assert_eq!(read.status, 503, "{alone}: {read:?}");
        assert!(["no_leader", "no_quorum"].contains(&codes.1.as_str()), "{read:?}");
        let told = stale.json();
        assert_eq!((stale.status, told["held"].as_u64()), (200, Some(0)), "{alone}: {stale:?}");
        assert!(told["applied_index"].is_u64(), "{alone}: {stale:?}");
        assert_eq!(ready.status, 503, "{alone}: {ready:?}");
        say(&format!("{alone}: a write is told {}, a read {}", codes.0, codes.1));
    }
}

async fn timed(call: impl Future<Output = http::Reply>) -> http::Reply {
    let begun = Instant::now();
    let reply = call.await;
    assert!(begun.elapsed() <= REFUSAL_TIME_MAX, "after {:?}: {reply:?}", begun.elapsed());
    reply
}

/// What was unknown resolves by its key, and is executed once.
async fn goes_on(cluster: &Cluster, sku: &str) {
    let reserve = client::api::ReserveRequest::one(format!("c-{sku}"), sku, 1);
    for id in IDS {
        let call = cluster.only(id).reserve(&reserve).key(format!("k-{sku}"));
        assert_eq!(call.deadline(PATIENCE).await.unwrap().status, 201);
    }
    let stock = cluster.client().sku(sku).await.unwrap().value;
    assert_eq!((stock.on_hand, stock.held), (5, 1));
}
