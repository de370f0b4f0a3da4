//! What an operator sees of a running cluster: metrics, and the documents that name them; traces; `lastunit top`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use client::api::{CommitRequest, PutSkuRequest, ReserveRequest};
use serde_json::{Value, json};

use support::cluster::{Cluster, IDS, Place, free_places};
use support::collector::Collector;
use support::exposition::Exposition;
use support::program::{Ended, program};
use support::{http, seed, wait_for};

/// A word that is in everything odd that is asked for, and in no metric and no span.
const ODD: &str = "oddity";

/// How often each odd thing is asked of each node.
const ODD_CALLS: u32 = 30;

/// One cluster for all of it: starting one takes longer than looking at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_shows_what_it_does() {
    let collector = Collector::start().await;
    let mut cluster = Cluster::start_at(seed(), traced_places(&collector)).await;
    trade(&cluster).await;
    ask_oddly(&cluster).await;
    metrics_tell_of_it(&cluster).await;
    documents_name_what_there_is(&cluster).await;
    traces_arrive(&cluster, &collector).await;
    top_shows_who_is_up_and_who_is_down(&mut cluster).await;
}

/// Nodes that export to that collector what they are told to, and write a line for it.
fn traced_places(collector: &Collector) -> Vec<Place> {
    let launcher = [
        "env".to_owned(),
        format!("LASTUNIT_OTLP={}", collector.url),
        "LASTUNIT_OTLP_RATIO=0".to_owned(),
        "LASTUNIT_LOG=info,lastunit::calls=debug".to_owned(),
    ];
    free_places().into_iter().map(|place| Place { launcher: launcher.to_vec(), ..place }).collect()
}

/// Two units are held; one of them is sold, the other released. A third cart finds nothing.
async fn trade(cluster: &Cluster) {
    let client = cluster.client();
    let put = PutSkuRequest { on_hand: 2, ..Default::default() };
    client.put_sku("PS5", &put).await.unwrap();
    let reserve = async |cart: &str| client.reserve(&ReserveRequest::one(cart, "PS5", 1)).await;
    let [first, second] = [reserve("first").await.unwrap(), reserve("second").await.unwrap()];
    reserve("third").await.unwrap_err();
    let (reservation_id, payment_token) = (first.value.reservation_id, Some(format!("{ODD}-payment")));
    let commit = CommitRequest { reservation_id, payment_token, ..Default::default() };
    client.commit(&commit).await.unwrap();
    client.release(second.value.reservation_id.as_str()).await.unwrap();
}

/// Paths that nobody has, methods, carts, customers, SKUs: so many of each kind on each node.
async fn ask_oddly(cluster: &Cluster) {
    for id in IDS {
        let address = cluster.http(id);
        for turn in 0..ODD_CALLS {
            let odd = format!("{ODD}-{id}-{turn}");
            http::get(address, &format!("/{odd}")).await;
            http::get(address, &format!("/api/inventory/{odd}")).await;
            http::json(address, "PATCH", "/api/cluster", "").await;
            let body = json!({ "cart_id": odd, "customer_id": odd, "items": [{ "sku": odd, "qty": 1 }] });
            http::keyed(address, "POST", "/api/checkout/reserve", &odd, &body.to_string()).await;
        }
        http::call(address, "BREW", "/api/cluster", "", b"").await;
    }
}

async fn scrape(cluster: &Cluster, id: u64) -> Exposition {
    let reply = http::get(cluster.http(id), "/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::of(std::str::from_utf8(&reply.body).unwrap())
}

async fn metrics_tell_of_it(cluster: &Cluster) {
    let leader = cluster.leader().await;
    let mut held = 0.0;
    for id in IDS {
        // A follower applies a moment later.
        let page = wait_for(format!("node {id} has applied the sale"), async || {
            let page = scrape(cluster, id).await;
            let ended = |end| page.sum("lastunit_hold_age_seconds_count", ("end", end));
            (ended("committed") == 1.0 && ended("released") == 1.0).then_some(page)
        })
        .await;
        held += page.sum("lastunit_reserves_total", ("outcome", "held"));
        assert!(page.sum("lastunit_reserves_total", ("outcome", "sku_not_found")) >= f64::from(ODD_CALLS));
        let units = ["on_hand", "held", "available", "sold"]
            .map(|state| page.sum("lastunit_units", ("state", state)));
        assert_eq!(units, [1.0, 0.0, 1.0, 1.0]);
        for moved in
            ["log_sync_duration_seconds_count", "apply_duration_seconds_count", "http_connections_total"]
        {
            assert!(page.value(&format!("lastunit_{moved}")).is_some_and(|count| count > 0.0), "{moved}");
        }
        let other = page.sum("lastunit_http_requests_total", ("route", "other"));
        assert!(other >= f64::from(ODD_CALLS), "{other}");
        check_bounds(&page);
        if id == leader {
            assert!(page.value("lastunit_propose_duration_seconds_count").is_some_and(|count| count > 0.0));
            check_peers(&page, leader);
        }
    }
    assert_eq!(held, 2.0);
}

/// What came from outside is in no label, and there are no more series than the fixed sets allow.
fn check_bounds(page: &Exposition) {
    let samples = page.samples();
    let told = samples.iter().find(|(_, labels)| labels.values().any(|value| value.contains(ODD)));
    assert_eq!(told, None);
    assert!(samples.len() < 1_500, "{} series", samples.len());
}

fn check_peers(page: &Exposition, leader: u64) {
    for peer in IDS.into_iter().filter(|id| *id != leader) {
        let (peer, of) = (peer.to_string(), "lastunit_replication_duration_seconds_count");
        assert!(page.sum(of, ("peer", &peer)) > 0.0, "nothing was replicated to {peer}");
        assert_eq!(page.sum("lastunit_raft_peer_reachable", ("peer", &peer)), 1.0);
        let lags = page.samples().into_iter().filter(|(name, _)| name == "lastunit_raft_peer_lag_entries");
        assert_eq!(lags.filter(|(_, labels)| labels["peer"] == peer).count(), 1);
    }
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let is_metric = |word: &&str| word.starts_with("lastunit_") || word.starts_with("process_");
    words.filter(is_metric).map(str::to_owned).collect()
}

/// Alerts and panels ask for what a node tells; the table of docs/operations.md has all that it tells, and no more.
async fn documents_name_what_there_is(cluster: &Cluster) {
    let page = scrape(cluster, cluster.leader().await).await;
    let there = page.names();
    let alerts = named(&document("monitoring/alerts.yml"));
    assert!(alerts.len() > 10, "{alerts:?}");
    let missing = |asked: &BTreeSet<String>| asked.difference(&there).cloned().collect::<Vec<_>>();
    assert_eq!(missing(&alerts), Vec::<String>::new(), "alerts.yml");
    let dashboard: Value = serde_json::from_str(&document("monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked: Vec<_> = targets.map(|target| named(target["expr"].as_str().unwrap())).collect();
    assert!(asked.len() > 40, "{} targets", asked.len());
    // `up` is Prometheus' own.
    assert!(asked.iter().filter(|names| names.is_empty()).count() <= 1, "a panel asks for no metric");
    assert_eq!(missing(&asked.into_iter().flatten().collect()), Vec::<String>::new(), "dashboard.json");
    let listed = listed(&document("operations.md"));
    let told = page.metrics();
    let differ: Vec<_> = listed.symmetric_difference(&told).collect();
    assert_eq!(differ, Vec::<&String>::new(), "docs/operations.md lists, or a node tells, alone");
}

/// The first column of the table of metrics.
fn listed(operations: &str) -> BTreeSet<String> {
    let section = operations.split("\n### All metrics\n").nth(1).expect("a section with all metrics");
    let table = section.split("\n#").next().unwrap_or_default();
    table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).flat_map(named).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const UNSAMPLED: &str = "5bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Two calls of one connection: a reserve, which goes the short way through the node, and one that goes the long way.
async fn traced(address: &str, cart: &str, traceparent: &str) -> http::Reply {
    let body = json!({ "cart_id": cart, "items": [{ "sku": "PS5", "qty": 1 }] }).to_string();
    let head = format!("Host: lastunit\r\nTraceparent: {traceparent}\r\n");
    let reserve = format!(
        "POST /api/checkout/reserve HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let list = format!("GET /api/inventory HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
    http::send(address, format!("{reserve}{list}").as_bytes()).await
}

async fn traces_arrive(cluster: &Cluster, collector: &Collector) {
    let follower = cluster.followers().await[0];
    let address = cluster.http(follower);
    let malformed = traced(address, &format!("{ODD}-1"), &format!("00-{TRACE}-{PARENT}-1")).await;
    assert_eq!((malformed.status, malformed.header("traceresponse")), (201, None), "{malformed:?}");
    traced(address, &format!("{ODD}-2"), &format!("00-{UNSAMPLED}-{PARENT}-00")).await;
    let reply = traced(address, &format!("{ODD}-3"), &format!("00-{TRACE}-{PARENT}-01")).await;
    let told = reply.header("traceresponse").expect("where it is in its trace").to_owned();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-01"), "{told}");
    let spans = wait_for("three spans of the trace", async || {
        let spans = collector.spans(TRACE);
        (spans.len() >= 3).then_some(spans)
    })
    .await;
    let span = |name: &str| spans.iter().find(|span| span["name"] == name).expect("a span of that name");
    let (reserve, submit, list) =
        (span("POST /api/checkout/reserve"), span("submit"), span("GET /api/inventory"));
    assert_eq!(
        (spans.len(), &reserve["parentSpanId"], &list["parentSpanId"]),
        (3, &json!(PARENT), &json!(PARENT))
    );
    assert_eq!((&reserve["kind"], &submit["parentSpanId"]), (&json!(2), &reserve["spanId"]));
    assert_eq!(reserve["spanId"].as_str(), told.split('-').nth(2));
    let at = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(at(reserve, "startTimeUnixNano") <= at(submit, "startTimeUnixNano"), "{spans:?}");
    assert!(at(submit, "endTimeUnixNano") <= at(reserve, "endTimeUnixNano"), "{spans:?}");
    // They went through the same queue before, or not at all.
    assert_eq!(collector.spans(UNSAMPLED), Vec::<Value>::new());
    assert!(!collector.text().contains(ODD), "a span tells who buys what");
    let said = cluster.said(follower);
    assert!(said.contains(TRACE) && said.contains(UNSAMPLED), "no line of the traced calls:\n{said}");
    assert!(said.contains("span_id=") && !said.contains(ODD), "{said}");
    wait_for("the spans are counted", async || {
        (scrape(cluster, follower).await.value("lastunit_spans_sent_total") >= Some(3.0)).then_some(())
    })
    .await;
}

async fn top(cluster: &Cluster, arguments: &[&str]) -> Ended {
    let nodes = IDS.map(|id| format!("http://{}", cluster.http(id))).join(",");
    let mut command = program();
    command.arg("top").args(arguments).env("LASTUNIT_NODES", nodes).stdin(std::process::Stdio::null());
    Ended::of(tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap())
}

/// stdout is no terminal here: it is told once, `--once` or not.
async fn top_shows_who_is_up_and_who_is_down(cluster: &mut Cluster) {
    let told = top(cluster, &["--every", "200ms"]).await;
    assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{told:?}");
    let lines: Vec<_> = told.stdout.lines().collect();
    assert!(lines[0].starts_with("cluster lastunit-test  leader node "), "{told:?}");
    assert!(
        lines[1].starts_with("units: on hand ") && lines[2].trim_start().starts_with("NODE "),
        "{told:?}"
    );
    assert_eq!((lines.len(), told.stdout.matches(" follower ").count()), (6, 2), "{told:?}");
    assert!(!told.stdout.contains('\u{1b}') && told.stdout.matches(" MB").count() == 3, "{told:?}");

    let down = cluster.followers().await[0];
    cluster.kill(down);
    let told = top(cluster, &["--once", "--every", "200ms", "--json"]).await;
    assert_eq!(told.code, 0, "{told:?}");
    let document = &told.documents()[0];
    let node = &document["nodes"][down as usize - 1];
    assert!(node["role"].is_null() && node["error"].is_string(), "{document}");
    let up =
        document["nodes"].as_array().unwrap().iter().filter(|node| node["resident_bytes"].is_f64()).count();
    assert_eq!(up, 2, "{document}");
    let told = top(cluster, &["--once", "--every", "200ms"]).await;
    assert_eq!((told.code, told.stdout.matches(" down ").count()), (0, 1), "{told:?}");

    cluster.kill_all();
    let told = top(cluster, &["--once", "--every", "200ms"]).await;
    assert_eq!((told.code, told.stdout.matches(" down ").count()), (3, 3), "{told:?}");
    assert!(told.stderr.contains("no node answers"), "{told:?}");
}
