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

#[test]
fn a_reservation_is_what_the_client_reads() {
    let full = ReservationView {
        state: State::Committed,
        customer_id: Some("k".into()),
        position: Some(3),
        committed_ms: Some(view().now_ms),
        payment_token: Some("p \"quoted\" \u{e9}".into()),
        returned: vec![Item { sku: sku("PS5"), qty: 1 }],
        ..view()
    };
    let record = through::<client::api::Reservation>(Reservation::from(&full));
    assert_eq!(record.as_object().unwrap().len(), 13, "{record}");
    let least = ReservationView { state: State::Waiting, grant: None, ..view() };
    let record = through::<client::api::Reservation>(Reservation::from(&least));
    let names: BTreeSet<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["cart_id", "created_at", "items", "reservation_id", "state"]));
}

#[test]
fn every_state_is_one_that_the_client_knows() {
    use State::{Committed, Expired, Held, Released, Revoked, Waiting};
    for state in [Waiting, Held, Committed, Released, Expired, Revoked] {
        through::<client::api::Reservation>(Reservation::from(&ReservationView { state, ..view() }));
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
    assert!(time(u64::MAX).starts_with("9999-12-"));
}
