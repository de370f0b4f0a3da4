//! Every value at, below and past its bounds.

use axum::http::HeaderValue;
use axum::response::IntoResponse;

use super::*;
use crate::http::testing::json_of;

async fn field_of<T: std::fmt::Debug>(refused: Result<T, Problem>) -> String {
    let response = refused.expect_err("a refusal").into_response();
    assert_eq!(response.status(), 400);
    json_of(response).await["field"].as_str().unwrap().to_owned()
}

fn given(skus: &[(&str, u64)]) -> Vec<api::Item> {
    skus.iter().map(|&(sku, qty)| api::Item::new(sku, qty)).collect()
}

fn keys(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(api::IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

#[tokio::test]
async fn a_key_has_1_to_255_visible_ascii_characters_and_comes_once() {
    assert_eq!(idempotency_key(&keys(&[])).unwrap(), None);
    let longest = "k".repeat(255);
    for good in ["!", "~", "a-1", longest.as_str()] {
        assert_eq!(idempotency_key(&keys(&[good.as_bytes()])).unwrap().as_deref(), Some(good));
    }
    let too_long = "k".repeat(256);
    for bad in [&b""[..], b"a b", b"a\tb", "\u{e9}".as_bytes(), b"\xff", too_long.as_bytes()] {
        assert_eq!(field_of(idempotency_key(&keys(&[bad]))).await, "Idempotency-Key");
    }
    assert_eq!(field_of(idempotency_key(&keys(&[b"a", b"a"]))).await, "Idempotency-Key");
}

#[tokio::test]
async fn names_and_notes_are_counted_in_characters() {
    let (one, most) = ("\u{e9}".to_owned(), "\u{1f6d2}".repeat(128));
    assert_eq!(name::<String>("cart_id", one.clone()).unwrap(), one);
    assert_eq!(name::<String>("cart_id", most.clone()).unwrap(), most);
    assert_eq!(field_of(name::<String>("cart_id", String::new())).await, "cart_id");
    assert_eq!(field_of(name::<String>("customer_id", "x".repeat(129))).await, "customer_id");
    assert_eq!(note::<String>("reason", None).unwrap(), None);
    assert!(note::<String>("payment_token", Some("x".repeat(255))).is_ok());
    assert_eq!(field_of(note::<String>("payment_token", Some("x".repeat(256)))).await, "payment_token");
    assert_eq!(field_of(note::<String>("reason", Some(String::new()))).await, "reason");
}

#[test]
fn items_come_out_sorted_with_their_sums() {
    let items = items(&given(&[("B", 1), ("A", 999_999), ("B", 2), ("A", 1)])).unwrap();
    let plain: Vec<_> = items.iter().map(|item| (item.sku.as_str(), item.qty)).collect();
    assert_eq!(plain, [("A", 1_000_000), ("B", 3)]);
}

#[tokio::test]
async fn items_are_bounded_in_number_quantity_and_sum() {
    let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
    for good in [("A", 1), ("A", 1_000_000), (longest.as_str(), 1), ("a.B_c:d-9", 1)] {
        assert!(items(&given(&[good])).is_ok() && items(&given(&[good, ("Z", 1)])).is_ok());
    }
    for (bad, field) in [
        (("A", 0), "qty"),
        (("A", 1_000_001), "qty"),
        (("A", u64::MAX), "qty"),
        (("", 1), "sku"),
        (("a b", 1), "sku"),
        (("\u{e9}", 1), "sku"),
        ((too_long.as_str(), 1), "sku"),
    ] {
        assert_eq!(field_of(items(&given(&[bad]))).await, format!("items[0].{field}"));
        assert_eq!(field_of(items(&given(&[("Z", 1), bad]))).await, format!("items[1].{field}"));
    }
    assert_eq!(field_of(items(&given(&[("A", 1_000_000), ("B", 1), ("A", 1)]))).await, "items[2].qty");
    assert_eq!(field_of(items(&[])).await, "items");
    let names: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(items(&given(&many[..100])).unwrap().len(), 100);
    assert_eq!(field_of(items(&given(&many))).await, "items");
}

#[tokio::test]
async fn a_time_to_live_is_1_to_the_greatest_and_300_unless_given() {
    assert_eq!(ttl_ms(None, 1800).unwrap(), 300_000);
    assert_eq!(ttl_ms(None, 60).unwrap(), 60_000);
    assert_eq!(ttl_ms(Some(1), 1800).unwrap(), 1_000);
    assert_eq!(ttl_ms(Some(1800), 1800).unwrap(), 1_800_000);
    for bad in [0, 1801, u64::MAX] {
        assert_eq!(field_of(ttl_ms(Some(bad), 1800)).await, "ttl_seconds");
    }
}

#[tokio::test]
async fn a_reservation_id_is_as_it_was_answered() {
    let id = ReservationId { sequence: u64::MAX, nonce: 1 };
    assert_eq!(reservation_id(&id.to_string()).unwrap(), id);
    for bad in
        ["", "res_", "7", &id.to_string().to_lowercase(), &format!("{id}0"), "res_8ZZZZZZZZZZZZZZZZZZZZZZZZZ"]
    {
        assert_eq!(field_of(reservation_id(bad)).await, "reservation_id", "{bad}");
    }
}

#[tokio::test]
async fn nothing_has_an_id_that_is_none() {
    let id = ReservationId { sequence: 7, nonce: 1 };
    assert_eq!(reservation_id_in_path(Ok(Path(id.to_string()))).unwrap(), id);
    for bad in ["", "7", "res_", "res_8ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
        let problem = reservation_id_in_path(Ok(Path(bad.to_owned()))).expect_err(bad);
        assert_eq!(json_of(problem.into_response()).await["code"], "reservation_not_found");
    }
}
