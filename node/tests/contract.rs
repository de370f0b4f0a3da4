//! Every code of the contract, told by a follower of a real cluster.
//!
//! One test makes them all, because it ends with the question whether one was missing: what it saw is compared with
//! the list that the client crate has.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use client::code;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use support::cluster::{Cluster, IDS, others};
use support::http::{self, Reply};
use support::{say, wait_for};

const RESERVE: &str = "/api/checkout/reserve";
const COMMIT: &str = "/api/checkout/commit";
const EXTEND: &str = "/api/checkout/extend";
const RELEASE: &str = "/api/checkout/release";
const RETURN: &str = "/api/checkout/return";
const X: &str = "/api/inventory/X";
const ADJUST: &str = "/api/inventory/X/adjust";
const MEMBERS: &str = "/api/cluster/members";

/// How many calls a node takes at once; each of the contract's `overloaded` is one more.
const CALLS_MAX: usize = 8_192;

/// The fewest events: a feed that forgets whatever it may.
const SETTINGS: &str =
    "events_max = 1\ncustomer_holds_max = 1\ncustomer_units_max = 5\nhold_extensions_max = 1";

/// What only a cluster tells whose members change: `node/tests/membership.rs` and `raft/membership/plan` have it.
const OF_CHANGES: [&str; 5] = [
    code::MEMBERSHIP_CHANGING,
    code::MEMBER_NOT_NEW,
    code::MEMBER_BEHIND,
    code::MEMBER_IS_LEARNER,
    code::LEADER_NOT_TRANSFERRED,
];

/// What is told of commands that some node of the cluster does not know: `node/tests/upgrade.rs` has it.
const OF_UPGRADES: [&str; 1] = [code::FEATURE_NOT_ACTIVE];

/// A call that is refused: how it is made, and the status and the code of its answer.
struct Refused {
    method: &'static str,
    path: String,
    headers: &'static str,
    body: String,
    status: u16,
    code: &'static str,
}

/// A follower, and the codes that it has told.
struct Teller {
    address: String,
    told: BTreeSet<&'static str>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_is_told_by_a_follower() {
    let room = files(2 * CALLS_MAX as u64 + 1_000);
    let mut cluster = Cluster::start_with(SETTINGS).await;
    let id = cluster.followers().await[0];
    let mut teller = Teller { address: cluster.http(id).to_owned(), told: BTreeSet::new() };
    let shop = teller.open_shop().await;
    let before = http::get(&teller.address, X).await.body;
    for refused in table(&shop) {
        teller.refuses(refused).await;
    }
    assert_eq!(http::get(&teller.address, X).await.body, before, "a refusal took something");
    teller.told.extend(codes_of_a_minority(&mut cluster, id).await);
    teller.told.extend(codes_of_too_many(&cluster, id, room).await);
    // Of a cluster with tokens: node/tests/tokens.rs.
    teller.told.extend([code::UNAUTHENTICATED, code::FORBIDDEN]);
    // Of a cluster with limits: node/tests/abuse.rs.
    teller.told.extend([code::RATE_LIMITED]);
    teller.told.extend(OF_CHANGES);
    teller.told.extend(OF_UPGRADES);
    assert_eq!(teller.told, code::ALL.iter().copied().collect());
}

/// Reservations in every state in which a call is refused, by their ids.
struct Shop {
    held: String,
    sold: String,
    returned: String,
    released: String,
    expired: String,
    waiting: String,
    extended: String,
}

impl Teller {
    /// Four units of X, two of them held, of which the customer k may have two and has one; and a line for ONE.
    async fn open_shop(&self) -> Shop {
        self.good("PUT", X, r#"{"on_hand":4,"max_per_customer":2}"#).await;
        self.good("PUT", "/api/inventory/ONE", r#"{"on_hand":1}"#).await;
        let held = self.reserve("held", "X", LONG).await;
        let (sold, returned) = (self.sell("sold").await, self.sell("returned").await);
        self.good("POST", RETURN, &of(&returned, "")).await;
        let released = self.reserve("released", "X", LONG).await;
        self.good("POST", RELEASE, &of(&released, "")).await;
        let expired = self.reserve("expired", "X", r#""ttl_seconds":1"#).await;
        self.until_expired(&expired).await;
        self.reserve("customer", "X", &format!(r#"{LONG},"customer_id":"k""#)).await;
        self.reserve("head", "ONE", LONG).await;
        let waiting = self.reserve("waiting", "ONE", r#""wait":true"#).await;
        http::keyed(&self.address, "POST", ADJUST, "used", r#"{"delta":1}"#).await;
        self.fill_the_feed().await;
        let extended = self.reserve("extended", "FEED", r#""ttl_seconds":600,"customer_id":"m""#).await;
        self.good("POST", EXTEND, &of(&extended, r#","ttl_seconds":1000"#)).await;
        Shop { held, sold, returned, released, expired, waiting, extended }
    }

    async fn sell(&self, cart: &str) -> String {
        let id = self.reserve(cart, "X", LONG).await;
        self.good("POST", COMMIT, &of(&id, r#","payment_token":"p""#)).await;
        id
    }

    /// More events than one chunk of the feed has.
    async fn fill_the_feed(&self) {
        self.good("PUT", "/api/inventory/FEED", r#"{"on_hand":0}"#).await;
        let operations = vec![r#"{"op":"adjust","sku":"FEED","delta":1}"#; 200].join(",");
        self.good("POST", "/api/batch", &format!(r#"{{"operations":[{operations}]}}"#)).await;
    }

    async fn good(&self, method: &str, path: &str, body: &str) -> Value {
        let reply = http::json(&self.address, method, path, body).await;
        assert!(matches!(reply.status, 200..=202), "{method} {path} {body}: {reply:?}");
        reply.json()
    }

    async fn reserve(&self, cart: &str, sku: &str, more: &str) -> String {
        let told = self.good("POST", RESERVE, &self::cart(cart, sku, 1, &format!(",{more}"))).await;
        told["reservation_id"].as_str().unwrap().to_owned()
    }

    async fn until_expired(&self, id: &str) {
        wait_for("a hold expires", async || {
            let read = http::get(&self.address, &format!("/api/reservations/{id}")).await.json();
            (read["state"] == "expired").then_some(())
        })
        .await;
    }

    async fn refuses(&mut self, refused: Refused) {
        let Refused { method, path, headers, body, status, code } = refused;
        let reply = http::call(&self.address, method, &path, headers, body.as_bytes()).await;
        let shown: String = body.chars().take(200).collect();
        let what = format!("{method} {path} {shown}: {reply:?}");
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{what}");
        check_retry(&reply);
        self.told.insert(code);
    }
}

const LONG: &str = r#""ttl_seconds":1800"#;

fn of(id: &str, more: &str) -> String {
    format!(r#"{{"reservation_id":"{id}"{more}}}"#)
}

fn cart(cart: &str, sku: &str, qty: u64, more: &str) -> String {
    format!(r#"{{"cart_id":"{cart}","items":[{{"sku":"{sku}","qty":{qty}}}]{more}}}"#)
}

/// Calls that are refused while the cluster is well.
fn table(shop: &Shop) -> Vec<Refused> {
    const JSON: &str = "Content-Type: application/json\r\n";
    let call = |method, path: &str, headers, body: String, status, code| Refused {
        method,
        path: path.to_owned(),
        headers,
        body,
        status,
        code,
    };
    let post = |path, body, status, code| call("POST", path, JSON, body, status, code);
    let get = |path: &str, status, code| call("GET", path, "", String::new(), status, code);
    let nobody = || of("res_00000000000000000000000000", "");
    let of_nobody = "/api/reservations/res_00000000000000000000000000";
    const SERVES: &str = "/api/cluster/members/3?to_replace=true";
    let new = |id: u64, raft: &str| format!(r#"{{"id":{id},"raft":"{raft}","http":"127.0.0.1:2"}}"#);
    let delta = |delta: &str| format!(r#"{{"delta":{delta}}}"#);
    const USED: &str = "Content-Type: application/json\r\nIdempotency-Key: used\r\n";
    const IF_1: &str = "Content-Type: application/json\r\nIf-Match: \"1\"\r\n";
    const IF_NEW: &str = "Content-Type: application/json\r\nIf-None-Match: *\r\n";
    const ZIPPED: &str = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    vec![
        post(RESERVE, "{}".to_owned(), 400, code::INVALID_REQUEST),
        post(COMMIT, of(&shop.held, r#","items":[{"sku":"ONE","qty":1}]"#), 400, code::INVALID_REQUEST),
        post(RELEASE, of(&shop.held, r#","items":[{"sku":"X","qty":2}]"#), 400, code::INVALID_REQUEST),
        post("/api/nowhere", "{}".to_owned(), 404, code::NOT_FOUND),
        call("DELETE", RESERVE, JSON, String::new(), 405, code::METHOD_NOT_ALLOWED),
        post(RESERVE, " ".repeat((1 << 20) + 1), 413, code::BODY_TOO_LARGE),
        call("POST", RESERVE, "Content-Type: text/plain\r\n", "{}".into(), 415, code::UNSUPPORTED_MEDIA_TYPE),
        call("POST", RESERVE, ZIPPED, "{}".into(), 415, code::UNSUPPORTED_MEDIA_TYPE),
        call("POST", ADJUST, USED, delta("2"), 422, code::IDEMPOTENCY_KEY_REUSED),
        post(RESERVE, cart("new", "X", 3, ""), 409, code::HELD_BY_OTHERS),
        post(RESERVE, cart("new", "ONE", 1, ""), 409, code::HELD_BY_OTHERS),
        post(RESERVE, cart("new", "X", 5, ""), 409, code::INSUFFICIENT_STOCK),
        post(RESERVE, cart("held", "X", 2, ""), 409, code::CART_ALREADY_RESERVED),
        post(RESERVE, cart("waiting", "X", 1, ""), 409, code::CART_ALREADY_RESERVED),
        post(RESERVE, cart("more", "X", 2, r#","customer_id":"k""#), 409, code::CUSTOMER_LIMIT),
        post(RESERVE, cart("most", "X", 3, r#","customer_id":"k""#), 409, code::CUSTOMER_LIMIT),
        post(RESERVE, cart("second", "FEED", 1, r#","customer_id":"m""#), 409, code::CUSTOMER_LIMIT),
        post(RESERVE, cart("units", "FEED", 6, r#","customer_id":"n""#), 409, code::CUSTOMER_LIMIT),
        post(RESERVE, cart("new", "NOSUCH", 1, ""), 404, code::SKU_NOT_FOUND),
        post("/api/inventory/NOSUCH/adjust", delta("1"), 404, code::SKU_NOT_FOUND),
        get("/api/inventory/NOSUCH", 404, code::SKU_NOT_FOUND),
        call("DELETE", "/api/inventory/NOSUCH", "", String::new(), 404, code::SKU_NOT_FOUND),
        post(COMMIT, nobody(), 404, code::RESERVATION_NOT_FOUND),
        post(RELEASE, nobody(), 404, code::RESERVATION_NOT_FOUND),
        post(EXTEND, nobody(), 404, code::RESERVATION_NOT_FOUND),
        post(RETURN, nobody(), 404, code::RESERVATION_NOT_FOUND),
        get(of_nobody, 404, code::RESERVATION_NOT_FOUND),
        get("/api/reservations/7", 404, code::RESERVATION_NOT_FOUND),
        post(COMMIT, of(&shop.held, r#","fencing_token":1000000"#), 412, code::FENCING_TOKEN_STALE),
        post(COMMIT, of(&shop.expired, ""), 410, code::RESERVATION_EXPIRED),
        post(EXTEND, of(&shop.expired, ""), 410, code::RESERVATION_EXPIRED),
        post(COMMIT, of(&shop.waiting, ""), 409, code::RESERVATION_WAITING),
        post(EXTEND, of(&shop.waiting, ""), 409, code::RESERVATION_WAITING),
        post(COMMIT, of(&shop.released, ""), 409, code::RESERVATION_RELEASED),
        post(EXTEND, of(&shop.released, ""), 409, code::RESERVATION_RELEASED),
        post(COMMIT, of(&shop.sold, r#","payment_token":"other""#), 409, code::ALREADY_COMMITTED),
        post(RELEASE, of(&shop.sold, ""), 409, code::ALREADY_COMMITTED),
        post(EXTEND, of(&shop.sold, ""), 409, code::ALREADY_COMMITTED),
        post(EXTEND, of(&shop.held, r#","ttl_seconds":1800"#), 409, code::HOLD_LIMIT),
        post(EXTEND, of(&shop.extended, r#","ttl_seconds":1500"#), 409, code::HOLD_LIMIT),
        post(RETURN, of(&shop.held, ""), 409, code::NOT_COMMITTED),
        post(RETURN, of(&shop.returned, ""), 409, code::RETURN_EXCEEDS_SALE),
        post(RETURN, of(&shop.sold, r#","items":[{"sku":"X","qty":2}]"#), 409, code::RETURN_EXCEEDS_SALE),
        call("PUT", X, IF_1, r#"{"on_hand":9}"#.into(), 412, code::PRECONDITION_FAILED),
        call("PUT", X, IF_NEW, r#"{"on_hand":9}"#.into(), 412, code::PRECONDITION_FAILED),
        call("POST", ADJUST, IF_1, delta("1"), 412, code::PRECONDITION_FAILED),
        call("DELETE", X, IF_1, String::new(), 412, code::PRECONDITION_FAILED),
        call("GET", X, IF_1, String::new(), 412, code::PRECONDITION_FAILED),
        call("PUT", "/api/inventory/NOSUCH", IF_1, r#"{"on_hand":9}"#.into(), 412, code::PRECONDITION_FAILED),
        call("DELETE", X, "", String::new(), 409, code::SKU_HAS_HOLDS),
        call("DELETE", "/api/inventory/ONE", "", String::new(), 409, code::SKU_HAS_HOLDS),
        call("PUT", X, JSON, r#"{"on_hand":0}"#.into(), 409, code::STOCK_BELOW_HELD),
        post(ADJUST, delta("-3"), 409, code::STOCK_BELOW_HELD),
        get("/api/events?after=0", 410, code::EVENTS_EXPIRED),
        post(MEMBERS, new(3, "127.0.0.1:1"), 409, code::MEMBER_EXISTS),
        post(MEMBERS, new(4, "127.0.0.1:1"), 409, code::MEMBER_UNREACHABLE),
        post(MEMBERS, new(4, "here"), 400, code::INVALID_REQUEST),
        post("/api/cluster/members/4/promote", String::new(), 404, code::MEMBER_NOT_FOUND),
        post("/api/cluster/members/x/promote", String::new(), 400, code::INVALID_REQUEST),
        post("/api/cluster/leader", r#"{"to":4}"#.to_owned(), 404, code::MEMBER_NOT_FOUND),
        call("DELETE", "/api/cluster/members/3", "", String::new(), 409, code::MEMBERS_OUT_OF_RANGE),
        call("DELETE", SERVES, "", String::new(), 409, code::QUORUM_WOULD_BE_LOST),
    ]
}

/// The contract says which codes are worth another try, and when it tells how long to wait.
fn check_retry(reply: &Reply) {
    let (code, told) = (reply.code(), reply.json());
    let held = code == code::HELD_BY_OTHERS;
    let retryable = match code.as_str() {
        code::HELD_BY_OTHERS | code::RESERVATION_WAITING => true,
        // These go away when holds lapse.
        code::CART_ALREADY_RESERVED | code::SKU_HAS_HOLDS | code::STOCK_BELOW_HELD => true,
        // These go away when nodes answer, or are stopped.
        code::MEMBER_UNREACHABLE | code::QUORUM_WOULD_BE_LOST => true,
        // It would fit if the customer's own holds lapsed.
        code::CUSTOMER_LIMIT => told["requested"].as_u64() <= told["limit"].as_u64(),
        _ => false,
    };
    assert_eq!(told["retryable"], Value::Bool(retryable), "{reply:?}");
    assert_eq!(reply.header("retry-after").is_some(), held, "{reply:?}");
    assert_eq!(told["executed"], "no", "{reply:?}");
    let short = held || code == code::INSUFFICIENT_STOCK;
    assert_eq!(told["shortages"].is_array(), short, "{reply:?}");
}

/// What the follower tells while the others stand still, and then what a leader tells that stands alone.
async fn codes_of_a_minority(cluster: &mut Cluster, id: u64) -> [&'static str; 3] {
    let rest = others(id);
    rest.iter().for_each(|&other| cluster.pause(other));
    // Handed to the leader's connection, which is still there, but never answered.
    let unknown = minority_write(cluster, id).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (504, code::OUTCOME_UNKNOWN), "{unknown:?}");
    assert_eq!(unknown.json()["executed"], "unknown", "{unknown:?}");
    let no_leader = wait_for("no leader is known", async || {
        let reply = minority_write(cluster, id).await;
        (reply.code() == code::NO_LEADER).then_some(reply)
    });
    assert_eq!(no_leader.await.status, 503);
    rest.iter().for_each(|&other| cluster.go_on(other));
    cluster.ready(&IDS).await;

    let leader = cluster.leader().await;
    others(leader).into_iter().for_each(|other| cluster.kill(other));
    let no_quorum = wait_for("the leader knows that it is alone", async || {
        let reply = minority_write(cluster, leader).await;
        (reply.code() == code::NO_QUORUM).then_some(reply)
    });
    let no_quorum = no_quorum.await;
    assert_eq!((no_quorum.status, no_quorum.header("retry-after")), (503, Some("1")), "{no_quorum:?}");
    cluster.start_all().await;
    [code::OUTCOME_UNKNOWN, code::NO_LEADER, code::NO_QUORUM]
}

async fn minority_write(cluster: &Cluster, id: u64) -> Reply {
    http::json(cluster.http(id), "PUT", "/api/inventory/MINORITY", r#"{"on_hand":1}"#).await
}

/// What the follower tells while as many calls as it takes are in flight: heads whose bodies do not come.
async fn codes_of_too_many(cluster: &Cluster, id: u64, room: bool) -> [&'static str; 1] {
    if !room {
        say("SKIPPED overloaded: this user may not open so many files");
        return [code::OVERLOADED];
    }
    let mut calls = Vec::new();
    let reply = overload(cluster.http(id), &mut calls).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, code::OVERLOADED), "{reply:?}");
    assert!(matches!(reply.header("retry-after"), Some("1" | "2" | "3")), "{reply:?}");
    assert_eq!(cluster.only(id).live().await.unwrap().status, 200, "operators are not shut out");
    drop(calls);
    wait_for("the node serves again", async || cluster.only(id).sku("X").tries_max(1).await.ok()).await;
    [code::OVERLOADED]
}

async fn overload(address: &str, calls: &mut Vec<TcpStream>) -> Reply {
    // The body of a batch is waited for the longest.
    let head =
        "POST /api/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
    for call in 0.. {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        calls.push(stream);
        // Those that came first give up after a while, so that more than the bound may be needed.
        assert!(call < 2 * CALLS_MAX, "never overloaded");
        if call >= CALLS_MAX && call % 100 == 0 {
            let reply = http::get(address, X).await;
            if reply.status != 200 {
                return reply;
            }
        }
    }
    unreachable!("the loop has no end")
}

/// Room for so many open files, here and in the nodes that are started from here, where the system allows it.
fn files(count: u64) -> bool {
    let given = getrlimit(Resource::Nofile);
    let room = given.maximum.is_none_or(|most| most >= count);
    if room && given.current.is_some_and(|current| current < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: given.maximum }).unwrap();
    }
    room
}
