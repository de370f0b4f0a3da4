//! Those who ask for too much: customers and tokens that flood, thousands of connections that do nothing, and clients
//! that send or take a byte now and then. And what nobody may learn: secrets that go through every kind of call.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use client::api::{CommitRequest, PutSkuRequest, ReserveRequest};
use client::code;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use support::cluster::{Cluster, IDS, Place, free_places};
use support::http::{self, Reply};
use support::program::{Ended, program};
use support::{PATIENCE, say, seed, wait_for};

const RESERVE: &str = "/api/checkout/reserve";

/// A tokens file with a token for each of these roles.
fn tokens<const N: usize>(scratch: &TempDir, roles: [&str; N]) -> (PathBuf, [String; N]) {
    let path = scratch.path().join("tokens.toml");
    let made = roles.map(|role| {
        let ended = program().args(["token", "new", "--role", role, "--tokens"]).arg(&path).output().unwrap();
        Ended::of(ended).stdout.trim().to_owned()
    });
    (path, made)
}

/// A call with a token.
async fn ask(address: &str, token: &str, method: &str, path: &str, more: &str, body: &str) -> Reply {
    let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n{more}");
    http::call(address, method, path, &headers, body.as_bytes()).await
}

fn reserve(customer: &str, cart: &str) -> String {
    json!({ "cart_id": cart, "customer_id": customer, "items": [{ "sku": "S", "qty": 1 }] }).to_string()
}

/// A figure of a node, or of all of them together, as `/metrics` tells it.
async fn figure(addresses: &[String], token: &str, name: &str) -> u64 {
    let mut sum = 0;
    for address in addresses {
        let text = String::from_utf8(ask(address, token, "GET", "/metrics", "", "").await.body).unwrap();
        let told =
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        sum += told.trim().parse::<u64>().unwrap();
    }
    sum
}

/// How often each status came, where a refusal is one for being too fast.
fn by_status(replies: &[Reply]) -> BTreeMap<u16, u64> {
    let mut counts = BTreeMap::new();
    for reply in replies {
        if reply.status == 429 {
            assert_eq!(reply.code(), code::RATE_LIMITED);
            assert_eq!((&reply.json()["executed"], &reply.json()["retryable"]), (&json!("no"), &json!(true)));
            let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=4).contains(&seconds), "{reply:?}");
        }
        *counts.entry(reply.status).or_default() += 1;
    }
    counts
}

fn count(counts: &BTreeMap<u16, u64>, status: u16) -> u64 {
    counts.get(&status).copied().unwrap_or_default()
}

/// Limits whose buckets fill so slowly that what is let through is the burst and a little more.
const BURST: u64 = 20;
const TOKEN_BURST: u64 = 400;
const READS_BURST: u64 = 10;

fn slow_limits(tokens: &Path) -> String {
    let reads = READS_BURST * IDS.len() as u64;
    format!(
        "tokens = {tokens:?}\n[rate_limits]\ncustomer_requests_per_second = 1\ncustomer_burst = {BURST}\n\
         token_requests_per_second = 1\ntoken_burst = {TOKEN_BURST}\ntoken_reads_per_second = 3\n\
         token_reads_burst = {reads}\n"
    )
}

/// What may be let through of a burst since then: each leader has buckets of its own.
struct Allowed {
    since: Instant,
    term: u64,
}

impl Allowed {
    async fn from_now(address: &str, token: &str) -> Allowed {
        Allowed {
            since: Instant::now(),
            term: figure(&[address.to_owned()], token, "lastunit_raft_term ").await,
        }
    }

    async fn check(&self, what: &str, let_through: u64, burst: u64, address: &str, token: &str) {
        let term = figure(&[address.to_owned()], token, "lastunit_raft_term ").await;
        let most = (burst + self.since.elapsed().as_secs() + 1) * (1 + term - self.term);
        say(&format!("{what}: {let_through} let through, of at most {most}"));
        assert!((1..=most).contains(&let_through), "{what}: {let_through} of {most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_limited_for_the_cluster_and_not_for_each_node() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, [shop, stock, other, read]) =
        tokens(&scratch, ["checkout", "stock,read", "stock,read", "read"]);
    let cluster = Cluster::start_with(&slow_limits(&path)).await;
    let addresses = IDS.map(|id| cluster.http(id).to_owned());
    let put = ask(&addresses[0], &stock, "PUT", "/api/inventory/S", "", r#"{"on_hand":1000}"#).await;
    assert_eq!(put.status, 201, "{put:?}");

    // One customer through all nodes at once, and ten others meanwhile.
    let allowed = Allowed::from_now(&addresses[0], &read).await;
    let (mut of_ann, mut of_others) = (JoinSet::new(), JoinSet::new());
    for cart in 0..90 {
        let (address, shop) = (addresses[cart % 3].clone(), shop.clone());
        let body = reserve("ann", &format!("ann-{cart}"));
        of_ann.spawn(async move { ask(&address, &shop, "POST", RESERVE, "", &body).await });
    }
    for buyer in 0..10 {
        let (address, shop) = (addresses[buyer % 3].clone(), shop.clone());
        let body = reserve(&format!("buyer-{buyer}"), &format!("cart-{buyer}"));
        of_others.spawn(async move { ask(&address, &shop, "POST", RESERVE, "", &body).await });
    }
    let flood = by_status(&of_ann.join_all().await);
    assert_eq!(by_status(&of_others.join_all().await), [(201, 10)].into(), "others still buy");
    let (granted, refused) = (count(&flood, 201), count(&flood, 429));
    assert_eq!(granted + refused, 90, "{flood:?}");
    allowed.check("of one customer", granted, BURST, &addresses[0], &read).await;
    let held = ask(&addresses[0], &stock, "GET", "/api/inventory/S", "", "").await.json();
    assert_eq!(held["held"], granted + 10, "what was refused holds nothing: {held}");
    let name = "lastunit_rate_limited_total{limit=\"customer\"} ";
    assert_eq!(figure(&addresses, &read, name).await, refused);

    // The same call again and again under its key counts each time.
    let allowed = Allowed::from_now(&addresses[0], &read).await;
    let mut again = Vec::new();
    for _ in 0..60 {
        let key = "Idempotency-Key: again\r\n";
        again.push(ask(&addresses[1], &shop, "POST", RESERVE, key, &reserve("bob", "bob")).await);
    }
    let replays = again.iter().filter(|reply| reply.header("idempotency-replayed").is_some()).count() as u64;
    let counts = by_status(&again);
    let answered = count(&counts, 201);
    assert_eq!((answered, answered + count(&counts, 429)), (replays + 1, 60), "{counts:?}");
    allowed.check("under one key", answered, BURST, &addresses[0], &read).await;

    // Each operation of a batch counts, and is refused, by itself.
    let allowed = Allowed::from_now(&addresses[0], &read).await;
    let operations = vec![r#"{"op":"adjust","sku":"S","delta":1}"#; 1_000].join(",");
    let batch = format!(r#"{{"operations":[{operations}]}}"#);
    let told = ask(&addresses[2], &other, "POST", "/api/batch", "", &batch).await;
    let results = told.json()["results"].as_array().unwrap().clone();
    let with = |status: u64| results.iter().filter(|result| result["status"] == status).count() as u64;
    let executed = with(200);
    assert_eq!(executed + with(429), 1_000, "{:?}", results.last());
    allowed.check("of one batch", executed, TOKEN_BURST, &addresses[0], &read).await;
    let now = ask(&addresses[0], &stock, "GET", "/api/inventory/S", "", "").await.json();
    assert_eq!(now["on_hand"], 1_000 + executed, "what was refused changed nothing: {now}");
    let put = ask(&addresses[2], &stock, "PUT", "/api/inventory/T", "", r#"{"on_hand":1}"#).await;
    assert_eq!(put.status, 201, "another token is not held up: {put:?}");

    // Reads: each node has its share.
    let since = Instant::now();
    let mut reads = Vec::new();
    for _ in 0..40 {
        reads.push(ask(&addresses[1], &other, "GET", "/api/inventory/S", "", "").await);
    }
    let counts = by_status(&reads);
    let most = READS_BURST + since.elapsed().as_secs() + 1;
    assert!((1..=most).contains(&count(&counts, 200)), "{counts:?} of {most}");
    assert_eq!(count(&counts, 200) + count(&counts, 429), 40, "{counts:?}");
    assert_eq!(ask(&addresses[0], &other, "GET", "/api/inventory/S", "", "").await.status, 200);
}

/// Room for so many open files, here and in the nodes, where the system allows it.
fn files(count: u64) -> bool {
    let given = getrlimit(Resource::Nofile);
    let room = given.maximum.is_none_or(|most| most >= count);
    if room && given.current.is_some_and(|current| current < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: given.maximum }).unwrap();
    }
    room
}

const IDLE: usize = 10_000;

/// The most memory that so many idle connections may take, in KiB: far more than they do, in a debug build, too.
const IDLE_KIB_MAX: u64 = 400 * 1024;

async fn idle(address: &str) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..IDLE {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    let open = [address.to_owned()];
    wait_for("the node has accepted all of them", async || {
        (figure(&open, "", "lastunit_http_connections_open ").await >= IDLE as u64).then_some(())
    })
    .await;
    streams
}

/// Clients that send some of a call and no more, and some that take no answer.
async fn slow(address: &str) -> Vec<TcpStream> {
    let head = format!("POST {RESERVE} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n");
    let half_a_body = format!("{head}Content-Length: 900000\r\n\r\n{{\"cart_id\":\"");
    let many = "GET /docs HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let mut streams = Vec::new();
    for bytes in [&head[..40], &head, &half_a_body, &many].repeat(50) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    streams
}

/// A head, or a body in chunks, that does not end: refused or closed, whatever the client goes on to send.
async fn endless(address: &str) {
    let line = format!("x-{}: y\r\n", "z".repeat(1_000));
    let chunk = format!("3e8\r\n{}\r\n", " ".repeat(1_000));
    let chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (begins, goes_on) in [("", &line), (chunked, &chunk)] {
        let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
        let head = format!("POST {RESERVE} HTTP/1.1\r\nHost: a\r\n{begins}");
        let goes_on = goes_on.clone();
        let sending = tokio::spawn(async move {
            let mut sent = to.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = to.write_all(goes_on.as_bytes()).await;
            }
        });
        let mut told = Vec::new();
        // A connection that is reset has ended as well.
        let _ = timeout(PATIENCE, from.read_to_end(&mut told)).await.expect("it ends");
        let told = String::from_utf8_lossy(&told);
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 4"), "{told}");
        timeout(PATIENCE, sending).await.expect("nobody takes it any more").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_and_slow_clients_hold_up_nobody() {
    if !files(2 * IDLE as u64) {
        say("SKIPPED ten thousand idle connections: this user may not open so many files");
        return;
    }
    let cluster = Cluster::start().await;
    let id = cluster.leader().await;
    let (address, client) = (cluster.http(id), cluster.only(id));
    client.put_sku("S", &PutSkuRequest { on_hand: 100, ..Default::default() }).await.unwrap();
    let resident = || cluster.proc_figure(id, "status", "VmRSS:");
    let before = resident();
    let mut grown = Vec::new();
    for round in 0..2 {
        let (idle, slow) = (idle(address).await, slow(address).await);
        endless(address).await;
        let cart = format!("cart-{round}");
        let held =
            client.reserve(&ReserveRequest::one(&cart, "S", 1)).deadline(PATIENCE).await.unwrap().value;
        let (reservation_id, payment_token) = (held.reservation_id, Some("pay".to_owned()));
        let commit = CommitRequest { reservation_id, payment_token, ..Default::default() };
        client.commit(&commit).deadline(PATIENCE).await.unwrap();
        assert_eq!(client.live().await.unwrap().status, 200);
        grown.push(resident().saturating_sub(before));
        drop((idle, slow));
        wait_for("the connections are gone", async || {
            (figure(&[address.to_owned()], "", "lastunit_http_connections_open ").await < 100).then_some(())
        })
        .await;
    }
    say(&format!("{IDLE} idle connections and 200 slow ones: {before} KiB before, {grown:?} KiB more"));
    assert!(grown.iter().all(|&grown| grown < IDLE_KIB_MAX), "{grown:?}");
    assert!(grown[1] < grown[0] + IDLE_KIB_MAX / 4, "memory does not grow from round to round: {grown:?}");
    cluster.check_digests().await;
}

/// A place whose node says all that it can say, into this file.
fn talkative(place: Place, log: &Path) -> Place {
    let script = format!("exec env LASTUNIT_LOG=trace \"$0\" \"$@\" >>'{}' 2>&1", log.display());
    Place { launcher: vec!["sh".to_owned(), "-c".to_owned(), script], ..place }
}

/// The files below that directory in which a text stands.
fn files_with(text: &str, directory: &Path) -> String {
    let mut grep = Command::new("grep");
    let found = grep.args(["--recursive", "--text", "--files-with-matches", "--fixed-strings", "-e", text]);
    let found = found.arg(directory).output().unwrap();
    assert!(found.status.code().is_some_and(|code| code < 2), "{found:?}");
    String::from_utf8(found.stdout).unwrap()
}

/// What a shop's customer would not like to read elsewhere.
struct Secrets {
    payment: String,
    key: String,
    customer: String,
    cart: String,
}

impl Secrets {
    /// Others for each node.
    fn new(id: u64) -> Secrets {
        let planted = |what: &str| format!("planted-{what}-{id}-{:016x}", rand::random::<u64>());
        Secrets {
            payment: planted("pay"),
            key: planted("key"),
            customer: planted("ann"),
            cart: planted("cart"),
        }
    }

    fn all(&self) -> [&str; 4] {
        [&self.payment, &self.key, &self.customer, &self.cart]
    }

    /// Good calls and bad ones, each with as many secrets as it takes; the refusals among the answers.
    async fn tell(&self, address: &str, shop: &str) -> Vec<Reply> {
        let Secrets { payment, key, customer, cart } = self;
        let more = format!("Idempotency-Key: {key}\r\n");
        let held = ask(address, shop, "POST", RESERVE, &more, &reserve(customer, cart)).await;
        assert_eq!(held.status, 201, "{held:?}");
        let id = held.json()["reservation_id"].as_str().unwrap().to_owned();
        let commit = |payment: &str| json!({ "reservation_id": id, "payment_token": payment }).to_string();
        let (good, another) = (commit(payment), commit("another payment"));
        let of_batch = |op: &str, body: &str| body.replacen('{', &format!("{{\"op\":\"{op}\","), 1);
        let batch = format!(
            r#"{{"operations":[{},{},{},{{"op":"commit","payment_token":"{payment}"}}]}}"#,
            of_batch("commit", &good),
            of_batch("commit", &good).replace(&id, "res_00000000000000000000000000"),
            of_batch("reserve", &reserve(customer, cart)),
        );
        let bad_key = format!("Idempotency-Key: {key}\u{e9}\r\n");
        let other_call = format!("Idempotency-Key: {key}\r\n");
        let commits = "/api/checkout/commit";
        let mut told = Vec::new();
        for (path, more, body) in [
            (commits, more.as_str(), good.as_str()),
            (commits, "", &good),
            (commits, "", &another),
            (commits, other_call.as_str(), &commit(&format!("{payment} again"))),
            (commits, "", &good[..good.len() - 1]),
            (commits, "", &good.replace("payment_token", "payment")),
            (commits, "", &commit(&payment.repeat(20))),
            (commits, "", &format!("[{good}]")),
            (commits, "", &good.replace(&format!("\"{payment}\""), &format!("[\"{payment}\"]"))),
            (commits, &bad_key, &good),
            ("/api/batch", "", &batch),
            ("/api/batch", "", &batch[..batch.len() - 2]),
            (RESERVE, "", &reserve(customer, cart).replace("\"qty\":1", "\"qty\":1000000")),
            (RESERVE, "", &reserve(customer, cart).replace("\"S\"", "\"NONE\"")),
            ("/api/nothing", &more, &good),
        ] {
            told.push(ask(address, shop, "POST", path, more, body).await);
        }
        told.push(ask(address, &format!("{shop}x"), "POST", commits, "", &good).await);
        told.push(ask(address, shop, "DELETE", commits, "", "").await);
        let cut =
            format!("POST {commits} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {shop}\r\nx y: 1\r\n\r\n");
        told.push(http::send(address, cut.as_bytes()).await);
        assert!(told.iter().filter(|reply| reply.status < 300).count() <= 3, "{told:?}");
        told.retain(|reply| reply.status >= 400);
        assert!(told.len() >= 12, "{told:?}");
        told
    }
}

/// Payment tokens, customers, carts and keys are in the log and the checkpoint: that is what those are for. What a
/// caller shows to be let in is in no file at all.
#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_in_no_log_line_no_metric_and_no_refusal_and_tokens_in_no_file() {
    let (scratch, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, [shop, stock]) = tokens(&scratch, ["checkout", "stock,read"]);
    let log = |id: u64| logs.path().join(format!("{id}.log"));
    let places = free_places().into_iter().zip(IDS).map(|(place, id)| talkative(place, &log(id)));
    let data_dirs = IDS.map(|id| scratch.path().join(id.to_string())).to_vec();
    let settings = format!("tokens = {path:?}");
    let mut cluster = Cluster::start_in(seed(), places.collect(), &settings, data_dirs).await;
    let addresses = IDS.map(|id| cluster.http(id).to_owned());
    let put = ask(&addresses[0], &stock, "PUT", "/api/inventory/S", "", r#"{"on_hand":1000}"#).await;
    assert_eq!(put.status, 201, "{put:?}");
    let mut refusals = Vec::new();
    let planted = IDS.map(Secrets::new);
    for (address, secrets) in addresses.iter().zip(&planted) {
        refusals.extend(secrets.tell(address, &shop).await);
    }
    for address in &addresses {
        refusals.push(ask(address, &stock, "GET", "/metrics", "", "").await);
        refusals.push(ask(address, &stock, "GET", "/api/cluster", "", "").await);
    }
    for id in IDS {
        assert!(cluster.terminate(id).await.success());
    }
    let of_tokens = [&shop, &stock].map(|token| token.splitn(3, '_').nth(2).unwrap());
    for secret in planted.iter().flat_map(Secrets::all).chain(of_tokens) {
        for refusal in &refusals {
            assert!(!format!("{refusal:?}").contains(secret), "{secret} in {refusal:?}");
        }
        assert_eq!(files_with(secret, logs.path()), "", "{secret}");
    }
    for secret in of_tokens {
        assert_eq!(files_with(secret, scratch.path()), "", "{secret}");
    }
    // That it would be found: what is sold is written down with its payment.
    assert_ne!(files_with(&planted[0].payment, scratch.path()), "");
    assert_ne!(files_with("serving", logs.path()), "");
    let said: u64 = IDS.iter().map(|&id| log(id).metadata().unwrap().len()).sum();
    say(&format!("{} refusals and {said} bytes of logs tell nothing", refusals.len()));
}
