//! Pages of the feed: cursors, filters, and what is no longer kept.

use std::sync::Arc;

use axum::http::HeaderValue;
use client::api::{Event, EventData, ReservationState};
use raft::ReadError;
use serde_json::{Value, json};
use storage::inventory::Inventory;
use storage::inventory::command::{Command, Release, Request, Stamp};
use storage::inventory::outcome::{Outcome, ReservationView};

use super::*;
use crate::http::testing::{Fake, ask, get, json_of, put, reserve, router, stamp};

const NOW_MS: u64 = 1_795_000_000_123;

/// A store in which a SKU was made (command 1), then a hold was taken (2) and given back (3).
fn store() -> Arc<Fake> {
    let fake = Fake::of(Inventory::default());
    fake.apply(NOW_MS, Command::PutSku(put("PS5", 8)));
    let held = fake.apply(NOW_MS + 1, Command::Reserve(reserve("c-1", "PS5", 2)));
    let Ok(Outcome::Reserved(ReservationView { id, .. })) = held.result else { panic!("{held:?}") };
    fake.apply(NOW_MS + 2, Command::Release(Release { reservation_id: id, items: None }));
    Arc::new(fake)
}

async fn page(fake: &Arc<Fake>, query: &str) -> Value {
    let response = ask(&router(fake), get(&format!("/api/events{query}"))).await;
    let status = response.status();
    let told = json_of(response).await;
    assert_eq!(status, 200, "{query}: {told}");
    told
}

async fn refused(fake: &Arc<Fake>, query: &str) -> (u16, Value) {
    let response = ask(&router(fake), get(&format!("/api/events{query}"))).await;
    (response.status().as_u16(), json_of(response).await)
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect()
}

fn types(page: &Value) -> Vec<&str> {
    let types = page["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap());
    types.map(|kind| kind.strip_prefix("lastunit.").unwrap()).collect()
}

#[tokio::test]
async fn the_feed_tells_all_that_happened_in_order() {
    let page = page(&store(), "").await;
    let told = types(&page);
    assert_eq!(
        told,
        ["stock.created", "stock.changed", "reservation.held", "stock.changed", "reservation.released"]
    );
    assert_eq!(ids(&page), ["1.0", "2.0", "2.1", "3.0", "3.1"]);
    assert_eq!(page["next_cursor"], "3.1");
}

#[tokio::test]
async fn an_event_is_a_cloud_event_that_the_client_crate_reads() {
    let page = page(&store(), "?after=1&limit=2").await;
    let record = |held: u64, version: u64| {
        json!({"sku": "PS5", "on_hand": 8, "held": held, "available": 8 - held, "sold": 0, "safety_stock": 0,
               "max_per_customer": null, "waiting": 0, "version": version})
    };
    let stock = json!({
        "specversion": "1.0", "id": "2.0", "source": "/clusters/shop", "type": "lastunit.stock.changed",
        "subject": "PS5", "time": "2026-11-18T11:06:40.124Z", "datacontenttype": "application/json",
        "sequence": "2",
        "data": {"cause": "reserve", "before": record(0, 1), "after": record(2, 2)},
    });
    assert_eq!(page["data"][0], stock);
    let read: Event = serde_json::from_value(page["data"][1].clone()).unwrap();
    let EventData::Reservation(data) = read.data else { panic!("{read:?}") };
    assert_eq!((data.cause.as_str(), data.state_before), ("reserve", None));
    assert_eq!((data.reservation.state, data.reservation.expires_in), (ReservationState::Held, Some(300)));
    assert_eq!(data.reservation.reservation_id, read.subject);
}

#[tokio::test]
async fn a_cursor_goes_on_where_the_page_before_ended_and_stands_still_at_the_end() {
    let fake = store();
    let (mut cursor, mut read) = ("0".to_owned(), Vec::new());
    for _ in 0..4 {
        let page = page(&fake, &format!("?after={cursor}&limit=2")).await;
        read.extend(ids(&page).into_iter().map(str::to_owned));
        cursor = page["next_cursor"].as_str().unwrap().to_owned();
    }
    assert_eq!((read.join(" "), cursor.as_str()), ("1.0 2.0 2.1 3.0 3.1".to_owned(), "3.1"));
    for (after, rest, next) in
        [("1", "2.0 2.1 3.0 3.1", "3.1"), ("2.0", "2.1 3.0 3.1", "3.1"), ("3", "", "3"), ("900", "", "900")]
    {
        let page = page(&fake, &format!("?after={after}")).await;
        assert_eq!((ids(&page).join(" ").as_str(), &page["next_cursor"]), (rest, &next.into()), "{after}");
    }
    let empty = page(&Arc::new(Fake::of(Inventory::default())), "").await;
    assert_eq!(empty, json!({"data": [], "next_cursor": "0"}));
}

#[tokio::test]
async fn filters_choose_and_the_cursor_passes_what_they_leave_out() {
    let fake = store();
    for (query, told, next) in [
        ("types=stock", "1.0 2.0 3.0", "3.1"),
        ("types=reservation", "2.1 3.1", "3.1"),
        ("types=lastunit.reservation.held,lastunit.stock.created", "1.0 2.1", "3.1"),
        ("types=lastunit.reservation.revoked", "", "3.1"),
        ("sku=PS5&types=stock&after=2", "3.0", "3.1"),
        ("sku=XBOX", "", "3.1"),
    ] {
        let page = page(&fake, &format!("?{query}")).await;
        assert_eq!((ids(&page).join(" ").as_str(), &page["next_cursor"]), (told, &next.into()), "{query}");
    }
}

#[tokio::test]
async fn what_nobody_can_have_been_given_is_refused_by_its_field() {
    for (query, field) in [
        ("?after=", "after"),
        ("?after=x", "after"),
        ("?after=1.", "after"),
        ("?after=.1", "after"),
        ("?after=1.2.3", "after"),
        ("?after=-1", "after"),
        ("?after=%2B1", "after"),
        ("?after=1.4294967296", "after"),
        ("?after=18446744073709551616", "after"),
        ("?types=", "types"),
        ("?types=stock,", "types"),
        ("?types=lastunit.stock.", "types"),
        ("?types=lastunit.stock.held", "types"),
        ("?types=orders", "types"),
        ("?sku=a%20b", "sku"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?consistency=eventual", "consistency"),
        ("?before=1", "before"),
    ] {
        let (status, told) = refused(&store(), query).await;
        assert_eq!((status, &told["field"]), (400, &field.into()), "{query}: {told}");
    }
}

#[tokio::test]
async fn a_stale_page_names_its_moment_and_a_fresh_one_needs_a_quorum() {
    let fake = Fake::of(Inventory::default());
    let fake = Arc::new(Fake { read_error: Some(ReadError::NoQuorum), ..fake });
    let (status, told) = refused(&fake, "").await;
    assert_eq!((status, &told["code"]), (503, &"no_quorum".into()));
    let response = ask(&router(&store()), get("/api/events?consistency=stale&after=3")).await;
    assert_eq!(response.headers()["lastunit-applied-index"], "17");
    assert_eq!(response.headers()["lastunit-sequence"], "3");
    let told = json_of(response).await;
    assert_eq!(told, json!({"data": [], "next_cursor": "3", "applied_index": 17}));
}

#[tokio::test]
async fn what_is_no_longer_kept_is_gone_and_the_answer_says_how_to_read_on() {
    let fake = Fake::of(Inventory::default());
    for on_hand in 1..=300 {
        let request = Request { idempotency_key: None, command: Command::PutSku(put("PS5", on_hand)) };
        let stamp = Stamp { events_max: 100, ..stamp(NOW_MS) };
        fake.inventory.lock().unwrap().apply(&stamp, &request).result.unwrap();
    }
    let fake = Arc::new(fake);
    for after in ["", "?after=0", "?after=7", "?after=7.0"] {
        let (status, told) = refused(&fake, after).await;
        assert_eq!((status, &told["code"]), (410, &"events_expired".into()), "{told}");
        let read = page(&fake, &format!("?after={}&limit=1", told["resume_after"].as_str().unwrap())).await;
        assert_eq!(read["data"][0]["id"], told["oldest"], "{told}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_feed_says_of_which_moment_it_is() {
    let fake = Fake::of(Inventory::default());
    for on_hand in 1..=300 {
        let request = Request { idempotency_key: None, command: Command::PutSku(put("PS5", on_hand)) };
        let stamp = Stamp { events_max: 100, ..stamp(NOW_MS) };
        fake.inventory.lock().unwrap().apply(&stamp, &request).result.unwrap();
    }
    let router = router(&Arc::new(fake));
    for (query, accept, index) in
        [("", "*/*", None), ("?consistency=stale", "*/*", Some("17")), ("", "text/event-stream", None)]
    {
        let mut request = get(&format!("/api/events{query}"));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        let response = ask(&router, request).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["lastunit-sequence"]),
            (410, &"300".parse().unwrap())
        );
        let told =
            response.headers().get("lastunit-applied-index").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), index, "{query} {accept}");
        assert_eq!(json_of(response).await["applied_index"].is_u64(), index.is_some(), "{query} {accept}");
    }
}

#[test]
fn a_stream_is_asked_for_by_its_media_type() {
    for (accept, stream) in [
        (None, false),
        (Some("*/*"), false),
        (Some("application/json"), false),
        (Some("text/event-stream"), true),
        (Some("Text/Event-Stream; charset=utf-8"), true),
        (Some("application/json, text/event-stream;q=0.5"), true),
        (Some("text/event-stream;q=0"), false),
        (Some("application/json, text/event-stream; charset=utf-8 ; Q=0.000"), false),
        (Some("text/event-stream;q=0.001"), true),
        (Some("text/event-stream;q=0, text/event-stream;level=1"), true),
    ] {
        let value = accept.map(HeaderValue::from_static);
        let headers = value.map(|value| (ACCEPT, value)).into_iter().collect();
        assert_eq!(wants_stream(&headers), stream, "{accept:?}");
    }
}

#[test]
fn a_source_is_a_uri_reference_whatever_the_cluster_is_called() {
    for (name, uri) in [("shop-1", "/clusters/shop-1"), ("a b/\u{e9}", "/clusters/a%20b%2F%C3%A9")] {
        assert_eq!(source(name), uri);
    }
}
