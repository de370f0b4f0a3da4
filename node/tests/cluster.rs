//! Three real nodes as their clients see them: one winner, one history, one answer to one key.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use client::api::{
    AdjustRequest, CommitRequest, ExtendRequest, IfExpired, Item, PutSkuRequest, Reservation,
    ReservationState, ReserveRequest,
};
use client::{Client, Error, code};
use tokio::task::JoinSet;
use tokio::time::Instant;

use support::cluster::{Cluster, IDS, others};
use support::load::{Ledger, Load};
use support::{PATIENCE, http, say, wait_for};

/// How many want the last unit.
const BUYERS: u64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn forty_buyers_for_the_last_unit_have_one_winner() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let follower = others(leader)[0];
    for (way, nodes) in [
        ("ALL", IDS.to_vec()),
        ("LEADER", vec![leader]),
        ("FOLLOWER", vec![follower]),
        ("AGAIN", IDS.to_vec()),
    ] {
        put(cluster.client(), way, 1).await;
        let winner = race(&cluster, way, &nodes).await;
        for id in IDS {
            assert_eq!(figures(&cluster.only(id), way).await, (1, 1, 0, 0), "{way}, node {id}");
        }
        pay(cluster.client(), &winner, "paid").await.unwrap();
        for id in IDS {
            assert_eq!(figures(&cluster.only(id), way).await, (0, 0, 1, 0), "{way}, node {id}");
            let late = cluster.only(id).reserve(&ReserveRequest::one("late", way, 1)).await;
            let late = refusal(late);
            assert_eq!((late.0.as_str(), late.1), (code::INSUFFICIENT_STOCK, None), "{way}, node {id}");
        }
    }
    cluster.check_digests().await;
}

/// All buyers at once, over these nodes in turn. Answers the winner's hold.
async fn race(cluster: &Cluster, sku: &str, nodes: &[u64]) -> Reservation {
    let mut buyers = JoinSet::new();
    for buyer in 0..BUYERS {
        let client = cluster.only(nodes[buyer as usize % nodes.len()]);
        let request = ReserveRequest::one(format!("{sku}-{buyer}"), sku, 1);
        buyers.spawn(async move { client.reserve(&request).deadline(PATIENCE).await });
    }
    let (mut won, mut lost) = (Vec::new(), 0);
    while let Some(end) = buyers.join_next().await {
        match end.unwrap() {
            Ok(answer) => won.push(answer.value),
            refused => {
                let (code, retry_after) = refusal(refused);
                assert_eq!(code, code::HELD_BY_OTHERS);
                assert!(retry_after.is_some_and(|seconds| (1..=300).contains(&seconds)), "{retry_after:?}");
                lost += 1;
            }
        }
    }
    assert_eq!((won.len() as u64, lost), (1, BUYERS - 1), "{won:?}");
    won.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_through_a_follower() {
    let cluster = Cluster::start().await;
    let follower = cluster.only(cluster.followers().await[0]);
    put(&follower, "A", 10).await;
    put(&follower, "B", 2).await;
    let mut cart = ReserveRequest::one("cart", "A", 2);
    cart.items.extend([Item::new("B", 1), Item::new("A", 1)]);
    cart.customer_id = Some("customer".to_owned());

    let held = follower.reserve(&cart).await.unwrap();
    assert_eq!((held.status, held.value.state), (201, ReservationState::Held));
    assert_eq!(held.value.items, [Item::new("A", 3), Item::new("B", 1)]);
    assert_eq!(held.value.customer_id.as_deref(), Some("customer"));
    assert_eq!(figures(&follower, "A").await, (10, 3, 0, 7));
    let again = follower.reserve(&cart).await.unwrap();
    assert_eq!((again.status, &again.value.reservation_id), (200, &held.value.reservation_id));

    let id = held.value.reservation_id.clone();
    let extended = follower.extend(&extend(&id, 600)).await.unwrap().value;
    assert!(extended.expires_at > held.value.expires_at, "{extended:?}");
    let shorter = follower.extend(&extend(&id, 1)).await.unwrap().value;
    assert_eq!(shorter.expires_at, extended.expires_at);

    let paid = pay(&follower, &held.value, "paid").await.unwrap();
    assert_eq!(paid.state, ReservationState::Committed);
    assert_eq!((paid.payment_token.as_deref(), paid.committed_at.is_some()), (Some("paid"), true));
    assert_eq!(pay(&follower, &held.value, "paid").await.unwrap(), paid);
    assert_eq!(figures(&follower, "A").await, (7, 0, 3, 7));

    let back = follower.return_(&id).await.unwrap().value;
    assert_eq!(back.returned, back.items);
    assert_eq!(figures(&follower, "A").await, (10, 0, 0, 10));
    assert_eq!(figures(&follower, "B").await, (2, 0, 0, 2));

    let other = follower.reserve(&ReserveRequest::one("other", "B", 2)).await.unwrap().value;
    assert!(other.fencing_token > held.value.fencing_token);
    let released = follower.release(&other.reservation_id).await.unwrap().value;
    assert_eq!(released.state, ReservationState::Released);
    assert_eq!(
        follower.release(&other.reservation_id).await.unwrap().value.state,
        ReservationState::Released
    );
    assert_eq!(figures(&follower, "B").await, (2, 0, 0, 2));
    for id in IDS {
        let read = cluster.only(id).reservation(&back.reservation_id).await.unwrap().value;
        assert_eq!(read, back, "node {id}");
    }
    cluster.check_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_expires_and_a_late_commit_takes_what_is_left() {
    let cluster = Cluster::start().await;
    let follower = cluster.only(cluster.followers().await[0]);
    put(&follower, "LATE", 2).await;
    let (one, two) = (brief(&follower, "one", "LATE").await, brief(&follower, "two", "LATE").await);
    for id in IDS {
        wait_for_state(&cluster.only(id), &one, ReservationState::Expired).await;
        wait_for_state(&cluster.only(id), &two, ReservationState::Expired).await;
        assert_eq!(figures(&cluster.only(id), "LATE").await, (2, 0, 0, 2), "node {id}");
    }
    assert_eq!(refusal(pay_whole(&follower, &one, IfExpired::Fail).await).0, code::RESERVATION_EXPIRED);
    let paid = pay_whole(&follower, &one, IfExpired::Reacquire).await.unwrap().value;
    assert_eq!(paid.state, ReservationState::Committed);
    assert_eq!(figures(&follower, "LATE").await, (1, 0, 1, 1));

    // The other unit goes to somebody else, and the late one is told so.
    follower.reserve(&ReserveRequest::one("quick", "LATE", 1)).await.unwrap();
    let late = refusal(pay_whole(&follower, &two, IfExpired::Reacquire).await);
    assert_eq!(late.0, code::RESERVATION_EXPIRED);
    assert_eq!(follower.release(&two.reservation_id).await.unwrap().value.state, ReservationState::Expired);
    assert_eq!(figures(&follower, "LATE").await, (1, 1, 1, 0));
    cluster.check_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_answered_the_same_through_every_node_for_ever() {
    let mut cluster = Cluster::start().await;
    let told = keyed_calls(cluster.http(cluster.followers().await[0])).await;
    let replays = async |cluster: &Cluster, ids: &[u64], when: &str| {
        for &id in ids {
            for call in &told {
                call.replays(cluster.http(id), &format!("{when}, node {id}")).await;
            }
        }
        assert_eq!(figures(&cluster.only(ids[0]), "K").await, (24, 0, 1, 24), "{when}");
    };
    replays(&cluster, &IDS, "at once").await;

    let leader = cluster.leader().await;
    cluster.kill(leader);
    let left = others(leader);
    cluster.leader_among(&left).await;
    cluster.ready(&left).await;
    replays(&cluster, &left, "under a new leader").await;

    cluster.start_all().await;
    cluster.kill_all();
    cluster.start_all().await;
    replays(&cluster, &IDS, "after a restart of all").await;
    cluster.check_digests().await;
}

/// A call under a key, and its first answer.
struct Keyed {
    method: &'static str,
    path: String,
    body: String,
    key: String,
    first: http::Reply,
}

impl Keyed {
    async fn new(address: &str, method: &'static str, path: &str, body: String) -> Keyed {
        // Its own text is its key, as far as a key may hold it: no two calls have the same.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '/';
        let key = format!("{method}{path}{body}").chars().filter(|&c| plain(c)).collect::<String>();
        let first = http::keyed(address, method, path, &key, &body).await;
        assert!(matches!(first.status, 200 | 201), "{method} {path} {body}: {first:?}");
        assert_eq!(first.header("idempotency-replayed"), None, "{first:?}");
        let path = path.to_owned();
        Keyed { method, path, body, key, first }
    }

    async fn replays(&self, address: &str, when: &str) {
        let Keyed { method, path, body, key, first } = self;
        let again = http::keyed(address, method, path, key, body).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{when}: {method} {path}: {again:?}");
        let parts = |reply: &http::Reply| {
            let sequence = reply.header("lastunit-sequence").unwrap().to_owned();
            (reply.status, sequence, String::from_utf8(reply.body.clone()).unwrap())
        };
        assert_eq!(parts(&again), parts(first), "{when}: {method} {path}");
    }
}

/// One of each call that writes. They leave 24 on hand and one sold.
async fn keyed_calls(address: &str) -> Vec<Keyed> {
    let mut told = vec![
        Keyed::new(address, "PUT", "/api/inventory/K", r#"{"on_hand":20}"#.to_owned()).await,
        Keyed::new(address, "POST", "/api/inventory/K/adjust", r#"{"delta":5,"reason":"found"}"#.to_owned())
            .await,
    ];
    let mut carts = Vec::new();
    for cart in ["sold", "released", "returned"] {
        let body = format!(r#"{{"cart_id":"{cart}","items":[{{"sku":"K","qty":1}}]}}"#);
        let call = Keyed::new(address, "POST", "/api/checkout/reserve", body).await;
        carts.push(call.first.json()["reservation_id"].as_str().unwrap().to_owned());
        told.push(call);
    }
    for (verb, cart, more) in [
        ("extend", 0, r#","ttl_seconds":900"#),
        ("commit", 0, r#","payment_token":"p""#),
        ("release", 1, ""),
        ("commit", 2, r#","payment_token":"q""#),
        ("return", 2, ""),
    ] {
        let body = format!(r#"{{"reservation_id":"{}"{more}}}"#, carts[cart]);
        told.push(Keyed::new(address, "POST", &format!("/api/checkout/{verb}"), body).await);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_acknowledged_every_node_reads() {
    let cluster = Cluster::start().await;
    put(cluster.client(), "FRESH", 0).await;
    for round in 1..=20 {
        for (writer, reader) in IDS.iter().flat_map(|&w| others(w).into_iter().map(move |r| (w, r))) {
            let write = cluster.only(writer).adjust("FRESH", &adjust(1)).await.unwrap();
            let read = cluster.only(reader).sku("FRESH").await.unwrap();
            let pair = format!("round {round}: written at {writer}, read at {reader}");
            assert_eq!(
                (read.value.on_hand, read.value.version),
                (write.value.on_hand, write.value.version),
                "{pair}"
            );
            assert!(read.sequence >= write.sequence, "{pair}");
        }
    }
    for id in IDS {
        let stale = http::get(cluster.http(id), "/api/inventory/FRESH?consistency=stale").await;
        assert!(
            stale.json()["applied_index"].is_u64() && stale.json()["on_hand"].as_u64() <= Some(120),
            "{stale:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_hands_over_and_loses_nothing() {
    let (mut cluster, mut ledger) = (Cluster::start().await, Ledger::default());
    let load = Load::start(&cluster, &mut ledger).await;
    for _ in 0..3 {
        load.more(50).await;
        let leader = cluster.leader().await;
        let begun = Instant::now();
        let (status, ()) = terminate_and_write(&mut cluster, leader, begun).await;
        assert_eq!(status.code(), Some(0), "node {leader}: {status}");
        say(&format!("SIGTERM of the leader: gone after {} ms", begun.elapsed().as_millis()));
        cluster.start_all().await;
    }
    load.stop(&mut ledger).await;
    ledger.check(&cluster).await;
    for id in IDS {
        assert_eq!(cluster.terminate(id).await.code(), Some(0), "node {id}");
    }
    cluster.start_all().await;
    ledger.check(&cluster).await;
}

/// The leader is told to stop, and the others are written to all the while.
async fn terminate_and_write(
    cluster: &mut Cluster,
    leader: u64,
    begun: Instant,
) -> (std::process::ExitStatus, ()) {
    let client = cluster.only(others(leader)[0]);
    let write = async move {
        put(&client, "HANDOVER", 1).await;
        say(&format!(
            "SIGTERM of the leader: a write was acknowledged after {} ms",
            begun.elapsed().as_millis()
        ));
    };
    tokio::join!(cluster.terminate(leader), write)
}

async fn put(client: &Client, sku: &str, on_hand: u64) {
    let request = PutSkuRequest { on_hand, safety_stock: None, max_per_customer: None, on_shortfall: None };
    client.put_sku(sku, &request).deadline(PATIENCE).await.unwrap();
}

/// On hand, held, sold, available.
async fn figures(client: &Client, sku: &str) -> (u64, u64, u64, u64) {
    let stock = client.sku(sku).deadline(PATIENCE).await.unwrap().value;
    (stock.on_hand, stock.held, stock.sold, stock.available)
}

async fn pay(client: &Client, hold: &Reservation, token: &str) -> Result<Reservation, Error> {
    let request = CommitRequest {
        reservation_id: hold.reservation_id.clone(),
        payment_token: Some(token.to_owned()),
        fencing_token: hold.fencing_token,
        if_expired: None,
        items: None,
    };
    client.commit(&request).await.map(|answer| answer.value)
}

async fn pay_whole(
    client: &Client,
    hold: &Reservation,
    if_expired: IfExpired,
) -> Result<client::Answer<Reservation>, Error> {
    let request = CommitRequest {
        reservation_id: hold.reservation_id.clone(),
        if_expired: Some(if_expired),
        ..CommitRequest::default()
    };
    client.commit(&request).await
}

fn extend(id: &str, ttl_seconds: u64) -> ExtendRequest {
    ExtendRequest { reservation_id: id.to_owned(), ttl_seconds: Some(ttl_seconds) }
}

fn adjust(delta: i64) -> AdjustRequest {
    AdjustRequest { delta, reason: None, reference: None, on_shortfall: None }
}

/// A hold of one unit for one second.
async fn brief(client: &Client, cart: &str, sku: &str) -> Reservation {
    let request = ReserveRequest { ttl_seconds: Some(1), ..ReserveRequest::one(cart, sku, 1) };
    client.reserve(&request).await.unwrap().value
}

async fn wait_for_state(client: &Client, hold: &Reservation, state: ReservationState) {
    wait_for(format!("{} is {state:?}", hold.reservation_id), async || {
        let now = client.reservation(&hold.reservation_id).await.unwrap().value;
        (now.state == state).then_some(())
    })
    .await;
}

/// The code of a refusal, and its `Retry-After`.
fn refusal<T: std::fmt::Debug>(end: Result<T, Error>) -> (String, Option<u64>) {
    match end {
        Err(Error::Refused(refusal)) => (refusal.problem.code.into_owned(), refusal.retry_after_seconds),
        other => panic!("not a refusal: {other:?}"),
    }
}
