//! Streams of the feed, read frame by frame as a connection would.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::http::Request as HttpRequest;
use http_body_util::BodyExt;
use serde_json::Value;
use storage::inventory::Inventory;
use storage::inventory::command::{Command, Request, Stamp};
use tokio::time::{Instant, timeout};

use super::*;
use crate::http::limits::STREAMS_MAX;
use crate::http::testing::{Fake, ask, get, json_of, put, router, stamp};

const NOW_MS: u64 = 1_795_000_000_123;

fn store() -> Arc<Fake> {
    let fake = Fake::of(Inventory::default());
    apply(&fake, 1);
    Arc::new(fake)
}

/// The next command: one event.
fn apply(fake: &Fake, on_hand: u64) {
    fake.apply(NOW_MS, Command::PutSku(put("PS5", on_hand)));
}

fn request(query: &str, last_event_id: Option<&str>) -> HttpRequest<Body> {
    let mut request = get(&format!("/api/events{query}"));
    request.headers_mut().insert("accept", HeaderValue::from_static(EVENT_STREAM));
    if let Some(id) = last_event_id {
        request.headers_mut().insert("last-event-id", HeaderValue::from_str(id).unwrap());
    }
    request
}

async fn open(router: &Router, query: &str, last_event_id: Option<&str>) -> Body {
    let response = ask(router, request(query, last_event_id)).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &EVENT_STREAM.parse().unwrap())
    );
    let mut body = response.into_body();
    assert_eq!(next(&mut body).await.unwrap(), "retry: 1000\n\n");
    body
}

/// The next chunk; `None` at the end.
async fn next(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// The ids of the events of a chunk, each of which must be whole.
fn ids(chunk: &str) -> Vec<&str> {
    let blocks = chunk.strip_suffix("\n\n").unwrap().split("\n\n");
    let id = |block: &str| {
        let lines: Vec<_> = block.lines().collect();
        let [id, kind, data] = lines[..] else { panic!("{block}") };
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(format!("event: {}", data["type"].as_str().unwrap()), kind);
        assert_eq!(format!("id: {}", data["id"].as_str().unwrap()), id);
    };
    blocks.clone().for_each(id);
    blocks.map(|block| block.lines().next().unwrap().strip_prefix("id: ").unwrap()).collect()
}

#[tokio::test]
async fn a_stream_tells_what_was_and_then_what_happens() {
    let fake = store();
    let mut body = open(&router(&fake), "", None).await;
    assert_eq!(ids(&next(&mut body).await.unwrap()), ["1.0"]);
    for on_hand in 2..=5 {
        assert!(timeout(Duration::from_millis(20), next(&mut body)).await.is_err(), "nothing happened");
        apply(&fake, on_hand);
        assert_eq!(ids(&next(&mut body).await.unwrap()), [format!("{on_hand}.0")]);
    }
}

#[tokio::test]
async fn a_reader_that_comes_again_goes_on_after_what_it_saw_last() {
    let fake = store();
    (2..=5).for_each(|on_hand| apply(&fake, on_hand));
    for (query, last, told) in [
        ("?after=2", None, "3.0 4.0 5.0"),
        ("?after=2", Some("4.0"), "5.0"),
        ("?after=0&types=stock", Some("2"), "3.0 4.0 5.0"),
        ("", Some("0"), "1.0 2.0 3.0 4.0 5.0"),
    ] {
        let mut body = open(&router(&fake), query, last).await;
        assert_eq!(ids(&next(&mut body).await.unwrap()).join(" "), told, "{query} {last:?}");
    }
}

#[tokio::test]
async fn a_reader_from_a_node_that_was_ahead_waits_and_misses_and_repeats_nothing() {
    let fake = store();
    let mut body = open(&router(&fake), "", Some("3.0")).await;
    for on_hand in 2..=3 {
        apply(&fake, on_hand);
        assert!(timeout(Duration::from_millis(20), next(&mut body)).await.is_err(), "it had seen these");
    }
    apply(&fake, 4);
    assert_eq!(ids(&next(&mut body).await.unwrap()), ["4.0"]);
}

#[tokio::test]
async fn a_long_history_comes_in_pages_that_are_read_only_when_there_is_room() {
    let fake = store();
    (2..=200).for_each(|on_hand| apply(&fake, on_hand));
    let mut body = open(&router(&fake), "", None).await;
    let mut read = Vec::new();
    while read.len() < 200 {
        let chunk = next(&mut body).await.unwrap();
        let told = ids(&chunk);
        assert!(told.len() <= STREAM_PAGE_EVENTS, "{}", told.len());
        read.extend(told.into_iter().map(str::to_owned));
    }
    assert!(read.into_iter().eq((1..=200).map(|n| format!("{n}.0"))));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_gives_a_sign_of_life_that_moves_the_readers_place() {
    let fake = store();
    let mut body = open(&router(&fake), "?types=reservation", None).await;
    for on_hand in 2..=3 {
        let since = Instant::now();
        let sign = next(&mut body).await.unwrap();
        assert_eq!(sign, format!(": still here\nid: {}.0\n\n", on_hand - 1));
        assert_eq!(since.elapsed().as_secs(), STREAM_SILENCE_MAX.as_secs());
        apply(&fake, on_hand);
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_so_and_let_go() {
    let fake = store();
    let router = router(&fake);
    let mut body = open(&router, "", None).await;
    for on_hand in 2..=400 {
        let request = Request { idempotency_key: None, command: Command::PutSku(put("PS5", on_hand)) };
        let stamp = Stamp { events_max: 100, ..stamp(NOW_MS) };
        fake.inventory.lock().unwrap().apply(&stamp, &request).result.unwrap();
    }
    let last = next(&mut body).await.unwrap();
    let data = last.strip_prefix("event: lastunit.events_expired\ndata: ").unwrap();
    let problem: Value = serde_json::from_str(data.trim_end()).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&"events_expired".into(), &410.into()));
    assert_eq!(next(&mut body).await, None);
    // Where that is known from the start it is an answer like any other.
    let response = ask(&router, request("?after=1", None)).await;
    assert_eq!(response.status(), 410);
    assert_eq!(json_of(response).await["resume_after"], problem["resume_after"]);
}

#[tokio::test]
async fn streams_end_when_the_process_is_to_stop() {
    let fake = store();
    let api = Api::new(Arc::clone(&fake), "shop".to_owned(), 1, 1800);
    let drain = api.drain();
    let router = api.service().router;
    let mut body = open(&router, "?after=1", None).await;
    let reading = tokio::spawn(async move { next(&mut body).await });
    tokio::task::yield_now().await;
    drain.begin();
    assert_eq!(reading.await.unwrap(), None);
    let mut late = open(&router, "?after=1", None).await;
    assert_eq!(next(&mut late).await, None);
}

#[tokio::test]
async fn streams_are_bounded_and_take_no_room_of_calls() {
    let fake = store();
    let api = Arc::new(Api::new(Arc::clone(&fake), "shop".to_owned(), 1, 1800));
    let router = Api::routed(Arc::clone(&api));
    let mut open = Vec::new();
    for _ in 0..STREAMS_MAX {
        open.push(ask(&router, request("", None)).await);
    }
    assert_eq!(api.calls.load(Ordering::Relaxed), 0);
    let refused = ask(&router, request("", None)).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(json_of(refused).await["code"], "overloaded");
    open.pop();
    assert_eq!(ask(&router, request("", None)).await.status(), 200);
}

#[tokio::test]
async fn what_a_stream_has_no_use_for_is_refused() {
    let router = router(&store());
    for (query, last, field) in [
        ("?limit=1", None, "limit"),
        ("?consistency=stale", None, "consistency"),
        ("", Some("x"), "Last-Event-ID"),
        ("", Some("1.2.3"), "Last-Event-ID"),
    ] {
        let response = ask(&router, request(query, last)).await;
        assert_eq!(response.status(), 400);
        assert_eq!(json_of(response).await["field"], field, "{query} {last:?}");
    }
}
