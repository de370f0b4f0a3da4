//! What is written here is what the client crate reads: each record, there and back.

use std::collections::BTreeSet;

use serde_json::{Value, json, to_value};
use storage::inventory::ids::Item;

use super::*;
use crate::http::testing::{sku, stock_view, view};

/// The record as JSON, once it has been through the client's type.
fn through<T: Serialize + serde::de::DeserializeOwned>(record: impl Serialize) -> Value {
    let written = to_value(&record).unwrap();
    let read: T = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(to_value(read).unwrap(), written);
    written
}

/// By hand and by serde.
fn assert_written_alike(view: &ReservationView) {
    let record = Reservation::from(view);
    let mut written = Vec::new();
    record.write(&mut written);
    assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&record).unwrap());
}

#[test]
fn a_reservation_is_what_the_client_reads() {
    let full = ReservationView {
        state: State::Committed,
        cart_id: "c\n\u{1}\\".into(),
        customer_id: Some("k".into()),
        position: Some(3),
        committed_ms: Some(view().now_ms),
        payment_token: Some("p \"quoted\" \u{e9}".into()),
        items: vec![Item { sku: sku("A-b.c_d:9"), qty: 1 }, Item { sku: sku("PS5"), qty: 1_000_000 }],
        returned: vec![Item { sku: sku("PS5"), qty: 1 }],
        ..view()
    };
    assert_written_alike(&full);
    let record = through::<client::api::Reservation>(Reservation::from(&full));
    assert_eq!(record.as_object().unwrap().len(), 13, "{record}");
    let least = ReservationView { state: State::Waiting, grant: None, ..view() };
    assert_written_alike(&least);
    assert_written_alike(&ReservationView { items: Vec::new(), ..view() });
    let record = through::<client::api::Reservation>(Reservation::from(&least));
    let names: BTreeSet<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["cart_id", "created_at", "items", "reservation_id", "state"]));
}

#[test]
fn every_state_is_one_that_the_client_knows() {
    use State::{Committed, Expired, Held, Released, Revoked, Waiting};
    for state in [Waiting, Held, Committed, Released, Expired, Revoked] {
        let view = ReservationView { state, ..view() };
        assert_written_alike(&view);
        through::<client::api::Reservation>(Reservation::from(&view));
    }
}

#[test]
fn a_sku_is_what_the_client_reads() {
    for max_per_customer in [None, Some(2)] {
        let view = StockView { max_per_customer, waiting: 4, ..stock_view("A") };
        let record = through::<client::api::InventoryRecord>(Stock::from(&view));
        assert_eq!((&record["max_per_customer"], &record["waiting"]), (&json!(max_per_customer), &4.into()));
    }
}

#[test]
fn times_have_milliseconds_and_no_end() {
    assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(time(1_795_000_000_120), "2026-11-18T11:06:40.120Z");
    assert_eq!(time(951_782_400_001), "2000-02-29T00:00:00.001Z");
    assert_eq!(time(u64::MAX), time(u64::MAX - 1));
    assert_eq!(time(u64::MAX), by_calendar(u64::MAX));
    // Days go by, there and back, at any time of the day.
    for step in 0..40_000 {
        let ms = step * 7_919_777_773 % 4_000_000_000_000;
        assert_eq!(time(ms), by_calendar(ms));
    }
    for ms in [DAY_MS - 1, DAY_MS, 1_795_046_399_999, 1_795_046_400_000, 253_402_207_200_000] {
        assert_eq!(time(ms), by_calendar(ms));
    }
    assert!(time(u64::MAX).starts_with("9999-12-"));
}
