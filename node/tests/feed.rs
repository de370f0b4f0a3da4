//! The change feed and the long polls of three real nodes, read by somebody who knows nothing but JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use support::cluster::{Cluster, IDS, others};
use support::sse::{self, End};
use support::{PATIENCE, http, wait_for};

/// The SKUs of the load: few, so that they run short.
const SKUS: [&str; 4] = ["A", "B", "C", "D"];

/// One that nobody reserves, so that it can be deleted.
const LONELY: &str = "E";

/// Who makes the load.
const SHOPS: u64 = 6;

/// How many calls each of them makes.
const CALLS: usize = 250;

/// How many polls wait at once.
const POLLS: usize = 500;

fn addresses(cluster: &Cluster) -> Vec<String> {
    IDS.iter().map(|&id| cluster.http(id).to_owned()).collect()
}

/// What the feed says, put together from its beginning.
#[derive(Debug, Default)]
struct Rebuilt {
    cursor: String,
    stocks: BTreeMap<String, Value>,
    reservations: BTreeMap<String, Value>,
    /// How many events of each type there were.
    types: BTreeMap<String, usize>,
}

impl Rebuilt {
    fn new() -> Rebuilt {
        Rebuilt { cursor: "0".to_owned(), ..Rebuilt::default() }
    }

    /// Takes an event, which must follow from all that came before it.
    fn take(&mut self, event: &Value) {
        let id = event["id"].as_str().unwrap();
        assert!(place(id) > place(&self.cursor), "{id} comes after {}", self.cursor);
        self.cursor = id.to_owned();
        let (kind, subject, data) =
            (event["type"].as_str().unwrap(), event["subject"].as_str().unwrap().to_owned(), &event["data"]);
        *self.types.entry(kind.to_owned()).or_default() += 1;
        if kind.starts_with("lastunit.stock.") {
            let before = self.stocks.remove(&subject).unwrap_or(Value::Null);
            assert_eq!(before, data["before"], "what {id} changes is not what was there: {event}");
            if data["after"] != Value::Null {
                self.stocks.insert(subject, data["after"].clone());
            }
        } else {
            let after = &data["reservation"];
            let before = self.reservations.insert(subject, after.clone());
            let before = before.map_or(Value::Null, |before| before["state"].clone());
            assert_eq!(before, data["state_before"], "what {id} changes is not what was there: {event}");
        }
    }

    /// Reads one page at a node. Whether there was anything new; `None` where the node did not answer.
    async fn read_page(&mut self, address: &str, limit: usize) -> Option<bool> {
        let path = format!("/api/events?after={}&limit={limit}", self.cursor);
        let reply = try_get(address, &path).await.filter(|(status, _)| *status != 503)?;
        let (200, page) = reply else { panic!("{reply:?}") };
        let events = page["data"].as_array().unwrap();
        events.iter().for_each(|event| self.take(event));
        assert_eq!(page["next_cursor"], self.cursor.as_str());
        Some(!events.is_empty())
    }

    /// Reads up to so many events of a node's stream, and hangs up. A node that is gone, or stops, is no matter.
    async fn read_stream(&mut self, address: &str, events: usize) {
        let Ok(mut stream) = sse::open(address, "/api/events", Some(&self.cursor)).await else { return };
        for _ in 0..events {
            let next = tokio::time::timeout(std::time::Duration::from_millis(300), stream.next_event()).await;
            let Ok(Ok(block)) = next else { return };
            let event: Value = serde_json::from_str(&block.data).unwrap();
            assert_eq!(
                (block.id.as_deref(), block.kind.as_deref()),
                (event["id"].as_str(), event["type"].as_str())
            );
            self.take(&event);
        }
    }

    /// Reads on, at random nodes and in both ways, until told that nothing more is to come.
    async fn follow(&mut self, addresses: &[String], done: &AtomicBool, random: &mut StdRng) {
        loop {
            let finished = done.load(Ordering::Relaxed);
            let address = addresses.choose(random).unwrap();
            let limit = random.random_range(1..200);
            if random.random() {
                self.read_stream(address, limit).await;
            } else if self.read_page(address, limit).await == Some(false) && finished {
                return;
            }
        }
    }
}

/// A place in the feed, so that places can be compared.
fn place(text: &str) -> (u64, u64) {
    let (sequence, index) = text.split_once('.').unwrap_or((text, "0"));
    (sequence.parse().unwrap(), index.parse().unwrap())
}

/// A read; `None` where the node is not there.
async fn try_get(address: &str, path: &str) -> Option<(u16, Value)> {
    let reply = http::try_call(address, "GET", path, "").await?;
    Some((reply.status, serde_json::from_slice(&reply.body).unwrap()))
}

/// One shop's calls: every kind of them, at random.
struct Shop {
    addresses: Vec<String>,
    random: StdRng,
    name: String,
    reservations: Vec<String>,
}

impl Shop {
    async fn run(mut self) -> Vec<String> {
        for call in 0..CALLS {
            let (method, path, body) = self.call(call);
            self.send(method, &path, &body).await;
        }
        self.reservations
    }

    /// Any answer but a failure will do; a node that is not there is left for another.
    async fn send(&mut self, method: &str, path: &str, body: &Value) {
        for _ in 0..100 {
            let address = self.addresses.choose(&mut self.random).unwrap().clone();
            let reply = http::try_call(&address, method, path, &body.to_string()).await;
            match reply {
                Some(reply) if reply.status < 500 => return self.note(&reply.body),
                _ => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
        panic!("{method} {path}: no node answers");
    }

    fn note(&mut self, body: &[u8]) {
        let Ok(told) = serde_json::from_slice::<Value>(body) else { return };
        let results = told["results"].as_array().cloned().unwrap_or_default();
        for body in results.iter().map(|result| &result["body"]).chain([&told]) {
            // Not that of a refusal: that one may be of another's cart.
            if let (Some(id), true) = (body["reservation_id"].as_str(), body["state"].is_string()) {
                self.reservations.push(id.to_owned());
            }
        }
    }

    fn call(&mut self, number: usize) -> (&'static str, String, Value) {
        let mut skus = SKUS.to_vec();
        skus.extend([LONELY; SKUS.len()]);
        let sku = skus.choose(&mut self.random).unwrap();
        match self.random.random_range(0..20) {
            0 => ("PUT", format!("/api/inventory/{sku}"), self.put()),
            1 | 2 => ("POST", format!("/api/inventory/{sku}/adjust"), self.adjust()),
            3 => ("DELETE", format!("/api/inventory/{sku}"), Value::Null),
            4 => ("POST", "/api/batch".to_owned(), self.batch(number)),
            _ => {
                let (op, body) = self.checkout(number, 0);
                ("POST", format!("/api/checkout/{op}"), body)
            }
        }
    }

    fn put(&mut self) -> Value {
        json!({"on_hand": self.random.random_range(0..60), "safety_stock": self.random.random_range(0..3),
               "max_per_customer": self.random.random_bool(0.5).then_some(5), "on_shortfall": "revoke_newest"})
    }

    fn adjust(&mut self) -> Value {
        let delta = [-3, -1, 1, 5, 20].choose(&mut self.random).copied().unwrap();
        let on_shortfall = ["refuse", "revoke_newest"].choose(&mut self.random).unwrap();
        json!({"delta": delta, "reason": "count", "reference": "note-1", "on_shortfall": on_shortfall})
    }

    fn batch(&mut self, number: usize) -> Value {
        let operation = |shop: &mut Shop, place| {
            let (op, mut body) = shop.checkout(number, place);
            body["op"] = op.into();
            body
        };
        let operations: Vec<_> = (1..=8).map(|place| operation(self, place)).collect();
        json!({"operations": operations})
    }

    fn checkout(&mut self, number: usize, place: usize) -> (&'static str, Value) {
        // Of the latest, most of which live.
        let latest = &self.reservations[self.reservations.len().saturating_sub(8)..];
        let known = latest.choose(&mut self.random).cloned();
        let part = json!([{"sku": SKUS.choose(&mut self.random).unwrap(), "qty": 1}]);
        match (self.random.random_range(0..14), known) {
            (0, Some(id)) => ("release", json!({"reservation_id": id})),
            (1 | 6 | 7, Some(id)) => ("release", json!({"reservation_id": id, "items": part})),
            (2, Some(id)) => ("extend", json!({"reservation_id": id, "ttl_seconds": 3})),
            (3, Some(id)) => ("return", json!({"reservation_id": id})),
            (4, Some(id)) => ("commit", json!({"reservation_id": id, "if_expired": "reacquire"})),
            (5, Some(id)) => ("commit", json!({"reservation_id": id, "items": part})),
            _ => ("reserve", self.reserve(number, place)),
        }
    }

    fn reserve(&mut self, number: usize, place: usize) -> Value {
        let wait = self.random.random_bool(0.4);
        let count = if wait { 1 } else { self.random.random_range(1..=3) };
        let items: Vec<_> = (0..count)
            .map(|_| json!({"sku": SKUS.choose(&mut self.random).unwrap(), "qty": self.random.random_range(1..4)}))
            .collect();
        let ttl_seconds = *[1, 1, 2, 600].choose(&mut self.random).unwrap();
        json!({"cart_id": format!("{}-{number}-{place}", self.name), "items": items, "wait": wait,
               "customer_id": format!("customer-{}", self.random.random_range(0..5)),
               "ttl_seconds": ttl_seconds})
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_rebuilds_everything_for_a_reader_that_changes_nodes() {
    let mut cluster = Cluster::start().await;
    let addresses = addresses(&cluster);
    let mut random = cluster.random();
    let mut shops = JoinSet::new();
    for shop in 0..SHOPS {
        let shop = Shop {
            addresses: addresses.clone(),
            random: StdRng::seed_from_u64(random.random()),
            name: format!("shop-{shop}"),
            reservations: Vec::new(),
        };
        shops.spawn(shop.run());
    }
    let done = Arc::new(AtomicBool::new(false));
    let (all, told) = (addresses.clone(), done.clone());
    let reader = tokio::spawn(async move {
        let mut rebuilt = Rebuilt::new();
        rebuilt.follow(&all, &told, &mut random).await;
        rebuilt
    });
    // A node dies and comes back in the middle of it.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let victim = cluster.leader().await;
    cluster.kill(victim);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    cluster.start_all().await;
    let reservations: Vec<_> = shops.join_all().await.into_iter().flatten().collect();
    done.store(true, Ordering::Relaxed);
    let mut rebuilt = reader.await.unwrap();
    // A second reader takes it all at once, and from one node.
    let mut again = Rebuilt::new();
    for address in addresses.iter().cycle() {
        check(&mut rebuilt, &addresses, &reservations).await;
        while again.read_page(address, 1_000).await == Some(true) {}
        while rebuilt.read_page(address, 1_000).await == Some(true) {}
        if again.cursor == rebuilt.cursor {
            break;
        }
    }
    assert_eq!(again.types, rebuilt.types);
    assert_eq!((again.stocks, again.reservations), (rebuilt.stocks, rebuilt.reservations));
    // Nine of reservations, three of stock: the load left nothing out.
    assert_eq!(rebuilt.types.len(), 12, "{:?}", rebuilt.types);
    cluster.check_digests().await;
}

/// Holds what was rebuilt against what the nodes answer, at a moment at which nothing happens.
async fn check(rebuilt: &mut Rebuilt, addresses: &[String], reservations: &[String]) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        while rebuilt.read_page(&addresses[0], 1_000).await == Some(true) {}
        let differs = differences(rebuilt, addresses, reservations).await;
        // Something may have ended meanwhile, by time alone; then what was read says nothing.
        if rebuilt.read_page(&addresses[1], 1_000).await == Some(false) {
            assert_eq!(differs, Vec::<String>::new());
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never comes to rest");
    }
}

async fn differences(rebuilt: &Rebuilt, addresses: &[String], reservations: &[String]) -> Vec<String> {
    let mut differ = Vec::new();
    for sku in SKUS.into_iter().chain([LONELY]) {
        for address in addresses {
            let (status, told) = try_get(address, &format!("/api/inventory/{sku}")).await.unwrap();
            match rebuilt.stocks.get(sku) {
                Some(stock) if status == 200 && *stock == told => {}
                None if status == 404 => {}
                other => differ.push(format!("{sku} at {address}: {told}, but the feed says {other:?}")),
            }
        }
    }
    for (number, id) in reservations.iter().enumerate() {
        let address = &addresses[number % addresses.len()];
        let (status, told) = try_get(address, &format!("/api/reservations/{id}")).await.unwrap();
        let fed = rebuilt.reservations.get(id).map(timeless);
        if status != 200 || fed.as_ref() != Some(&timeless(&told)) {
            differ.push(format!("{id} at {address}: {told}, but the feed says {fed:?}"));
        }
    }
    differ
}

/// A reservation without what changes by itself: the time left, and the place in the line.
fn timeless(reservation: &Value) -> Value {
    let mut reservation = reservation.clone();
    let fields = reservation.as_object_mut().unwrap();
    fields.remove("expires_in");
    fields.remove("position");
    reservation
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_are_slow_or_gone_hold_up_nobody() {
    let cluster = Cluster::start().await;
    let address = cluster.http(cluster.followers().await[0]).to_owned();
    put(&cluster, "A", 1_000_000).await;
    let mut slow = Vec::new();
    for number in 0..100 {
        let stream = sse::open(&address, "/api/events", None).await.unwrap();
        // Half of them hang up, the others read nothing.
        if number % 2 == 0 {
            slow.push(stream);
        }
    }
    let mut written = 0;
    for batch in 0..30 {
        let operations: Vec<_> = (0..200)
            .map(|place| json!({"op": "reserve", "cart_id": format!("c-{batch}-{place}"), "items": [{"sku": "A", "qty": 1}]}))
            .collect();
        let body = json!({"operations": operations}).to_string();
        let reply = http::json(&address, "POST", "/api/batch", &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        written += 200;
        let read = http::get(&address, "/api/inventory/A").await.json();
        assert_eq!(read["held"], written);
    }
    // Each goes on where it stood, and has missed nothing.
    for mut stream in slow.into_iter().take(3) {
        let mut rebuilt = Rebuilt::new();
        while (rebuilt.reservations.len() as u64) < written {
            let block = stream.next_event().await.unwrap();
            rebuilt.take(&serde_json::from_str(&block.data).unwrap());
        }
        assert_eq!(rebuilt.stocks["A"]["held"], written);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_is_answered_when_something_happens_on_every_node() {
    let cluster = Cluster::start().await;
    for (number, id) in IDS.into_iter().enumerate() {
        let other = cluster.http(IDS[(number + 1) % IDS.len()]).to_owned();
        let sku = format!("S{id}");
        put(&cluster, &sku, 1).await;
        let first =
            reserve(&other, &json!({"cart_id": format!("a{id}"), "items": [{"sku": sku, "qty": 1}]})).await;
        let line = json!({"cart_id": format!("b{id}"), "items": [{"sku": sku, "qty": 1}], "wait": true});
        let waiting = reserve(&other, &line).await;
        // Promotion: the hold before it is given back.
        let poll = long_poll(cluster.http(id), &waiting);
        wait_for_polls(cluster.http(id), 1).await;
        post(&other, "release", &json!({"reservation_id": first})).await;
        assert_eq!(poll.await.unwrap()["state"], "held", "node {id}");
        // Expiry: nobody does anything. On a slow machine it may have come before anybody waits.
        post(&other, "release", &json!({"reservation_id": waiting})).await;
        let brief = json!({"cart_id": format!("d{id}"), "items": [{"sku": sku, "qty": 1}], "ttl_seconds": 1});
        let brief = reserve(&other, &brief).await;
        let poll = long_poll(cluster.http(id), &brief);
        assert_eq!(poll.await.unwrap()["state"], "expired", "node {id}");
        // Commit.
        let last =
            reserve(&other, &json!({"cart_id": format!("c{id}"), "items": [{"sku": sku, "qty": 1}]})).await;
        let poll = long_poll(cluster.http(id), &last);
        wait_for_polls(cluster.http(id), 1).await;
        post(&other, "commit", &json!({"reservation_id": last})).await;
        assert_eq!(poll.await.unwrap()["state"], "committed", "node {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_polls_wait_at_once_and_each_is_woken_by_its_own() {
    let cluster = Cluster::start().await;
    put(&cluster, "A", POLLS as u64).await;
    let address = cluster.http(1).to_owned();
    let operation =
        |place| json!({"op": "reserve", "cart_id": format!("c-{place}"), "items": [{"sku": "A", "qty": 1}]});
    let held = batch(&address, (0..POLLS).map(operation).collect()).await;
    let ids: Vec<_> = held.iter().map(|body| body["reservation_id"].as_str().unwrap().to_owned()).collect();
    let mut polls = JoinSet::new();
    for (place, id) in ids.iter().enumerate() {
        polls.spawn(long_poll(cluster.http(IDS[place % IDS.len()]), id));
    }
    for (id, waiting) in IDS.into_iter().zip([167, 167, 166]) {
        wait_for_polls(cluster.http(id), waiting).await;
    }
    // While they wait the nodes answer others.
    put(&cluster, "B", 1).await;
    let release = |id: &String| json!({"op": "release", "reservation_id": id});
    batch(&address, ids.iter().map(release).collect()).await;
    for told in polls.join_all().await {
        assert_eq!(told.unwrap()["state"], "released");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_kept_is_gone_and_the_reader_is_told_where_to_go_on() {
    let cluster = Cluster::start_with("events_max = 64").await;
    for on_hand in 1..=300 {
        put(&cluster, "A", on_hand).await;
    }
    for address in addresses(&cluster) {
        let reply = http::get(&address, "/api/events?after=3").await;
        assert_eq!((reply.status, reply.code().as_str()), (410, "events_expired"), "{reply:?}");
        let told = reply.json();
        let resume_after = told["resume_after"].as_str().unwrap();
        let page = http::get(&address, &format!("/api/events?after={resume_after}&limit=1000")).await.json();
        let events = page["data"].as_array().unwrap();
        assert_eq!(events[0]["id"], told["oldest"]);
        assert!((64..=128).contains(&events.len()), "{}", events.len());
        assert_eq!(events.last().unwrap()["data"]["after"]["on_hand"], 300);
        let Err(Some((410, problem))) = sse::open(&address, "/api/events", Some("3")).await else {
            panic!("a stream of what is gone");
        };
        assert_eq!(problem["resume_after"], told["resume_after"]);
        let mut stream = sse::open(&address, "/api/events", Some(resume_after)).await.unwrap();
        assert_eq!(stream.next_event().await.unwrap().id.as_deref(), told["oldest"].as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_stop_lets_its_readers_go_in_order() {
    let mut cluster = Cluster::start().await;
    put(&cluster, "A", 5).await;
    let leader = cluster.leader().await;
    let elsewhere = cluster.http(others(leader)[0]).to_owned();
    let hold = reserve(&elsewhere, &json!({"cart_id": "c", "items": [{"sku": "A", "qty": 1}]})).await;
    let address = cluster.http(leader).to_owned();
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = sse::open(&address, "/api/events", None).await.unwrap();
        stream.next_event().await.unwrap();
        streams.push(stream);
    }
    let polls: Vec<_> = (0..20).map(|_| long_poll(&address, &hold)).collect();
    wait_for_polls(&address, 20).await;
    let reading = streams.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            loop {
                if let Err(end) = stream.next().await {
                    return end;
                }
            }
        })
    });
    let reading: Vec<_> = reading.collect();
    let status = cluster.terminate(leader).await;
    assert!(status.success(), "{status}");
    for stream in reading {
        // One that was cut off would have broken.
        assert_eq!(stream.await.unwrap(), End::Orderly);
    }
    for poll in polls {
        assert_eq!(poll.await.unwrap()["state"], "held");
    }
}

/// Waits until so many polls wait at a node.
async fn wait_for_polls(address: &str, polls: usize) {
    let line = format!("\nlastunit_long_polls_waiting {polls}\n");
    wait_for(format!("{polls} polls wait"), async || {
        let metrics = http::get(address, "/metrics").await;
        String::from_utf8(metrics.body).unwrap().contains(&line).then_some(())
    })
    .await;
}

async fn put(cluster: &Cluster, sku: &str, on_hand: u64) {
    let body = json!({"on_hand": on_hand}).to_string();
    let reply = http::json(cluster.http(1), "PUT", &format!("/api/inventory/{sku}"), &body).await;
    assert!(matches!(reply.status, 200 | 201), "{reply:?}");
}

async fn post(address: &str, call: &str, body: &Value) -> Value {
    let reply = http::json(address, "POST", &format!("/api/checkout/{call}"), &body.to_string()).await;
    assert!(matches!(reply.status, 200..=202), "{reply:?}");
    reply.json()
}

async fn reserve(address: &str, body: &Value) -> String {
    post(address, "reserve", body).await["reservation_id"].as_str().unwrap().to_owned()
}

/// The bodies of a batch, all of which must succeed.
async fn batch(address: &str, operations: Vec<Value>) -> Vec<Value> {
    let reply =
        http::json(address, "POST", "/api/batch", &json!({"operations": operations}).to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let results = reply.json()["results"].as_array().unwrap().clone();
    assert!(results.iter().all(|result| matches!(result["status"].as_u64(), Some(200..=202))), "{results:?}");
    results.into_iter().map(|result| result["body"].clone()).collect()
}

/// A reservation once it has changed. It is asked when this is called, not when it is awaited.
fn long_poll(address: &str, id: &str) -> tokio::task::JoinHandle<Value> {
    let (address, path) = (address.to_owned(), format!("/api/reservations/{id}?wait_seconds=25"));
    tokio::spawn(async move {
        let reply = http::get(&address, &path).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    })
}
