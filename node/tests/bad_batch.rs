//! Batches that no client should send, through a follower of a real cluster: one bad operation fails alone, what is no
//! batch fails whole, and the largest bodies leave memory as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use client::code;
use serde_json::Value;
use tokio::task::JoinSet;

use support::http::{self, Reply};
use support::say;
use support::shop::{Shop, check};

const BATCH: &str = "/api/batch";
const GOOD: &str = r#"{"op":"adjust","sku":"OTHER","delta":1}"#;

/// The longest body of a batch.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many of the longest bodies are sent at once, and how often.
const STREAM: (usize, usize) = (8, 4);

fn batch(operations: &[&str]) -> String {
    format!(r#"{{"operations":[{}]}}"#, operations.join(","))
}

async fn send(shop: &Shop, body: &str) -> Reply {
    http::json(&shop.address, "POST", BATCH, body).await
}

async fn other(shop: &Shop) -> u64 {
    shop.client.sku("OTHER").await.unwrap().value.on_hand
}

async fn shop() -> Shop {
    let shop = Shop::new().await;
    let made = http::json(&shop.address, "PUT", "/api/inventory/OTHER", r#"{"on_hand":0}"#).await;
    assert_eq!(made.status, 201);
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_operation_fails_alone() {
    let shop = shop().await;
    let deep = format!(r#"{{"op":"adjust","sku":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let many = vec![r#"{"sku":"S","qty":1}"#; 101].join(",");
    let id = "res_00000000000000000000000001";
    let with = |op: &str, more: &str| format!(r#"{{"op":"{op}","reservation_id":"{id}"{more}}}"#);
    let cart =
        |more: &str| format!(r#"{{"op":"reserve","cart_id":"c","items":[{{"sku":"S","qty":1}}]{more}}}"#);
    for (bad, field) in [
        ("{}".to_owned(), "op"),
        (r#"{"op":"tick"}"#.to_owned(), "op"),
        (r#"{"op":"put","sku":"S","on_hand":1}"#.to_owned(), "op"),
        (r#"{"op":"reserve","cart_id":"c"}"#.to_owned(), "items"),
        (format!(r#"{{"op":"reserve","cart_id":"c","items":[{many}]}}"#), "items"),
        (r#"{"op":"reserve","cart_id":"","items":[{"sku":"S","qty":1}]}"#.to_owned(), "cart_id"),
        (r#"{"op":"reserve","cart_id":"c","items":[{"sku":"S","qty":1000001}]}"#.to_owned(), "items[0].qty"),
        (r#"{"op":"reserve","cart_id":"c","items":[{"sku":"S","qty":1e0}]}"#.to_owned(), "items[0].qty"),
        (cart(r#","ttl_seconds":0"#), "ttl_seconds"),
        (cart(r#","ttl_seconds":1801"#), "ttl_seconds"),
        (cart(r#","ttl_seconds":null"#), "ttl_seconds"),
        (cart(r#","idempotency_key":"""#), "idempotency_key"),
        (cart(&format!(r#","idempotency_key":"{}""#, "k".repeat(256))), "idempotency_key"),
        (cart(r#","op":"reserve""#), "op"),
        (cart(r#","sku":"S""#), "sku"),
        (cart(r#","colour":"red""#), "colour"),
        (with("commit", r#","fencing_token":18446744073709551616"#), "fencing_token"),
        (with("commit", r#","if_expired":"maybe""#), "if_expired"),
        (with("release", r#","items":[]"#), "items"),
        (with("extend", r#","payment_token":"p""#), "payment_token"),
        (r#"{"op":"return","reservation_id":"7"}"#.to_owned(), "reservation_id"),
        (r#"{"op":"adjust","sku":"S","delta":0}"#.to_owned(), "delta"),
        (r#"{"op":"adjust","sku":"a b","delta":1}"#.to_owned(), "sku"),
        (deep, "sku"),
    ] {
        let (before, units) = (shop.record().await, other(&shop).await);
        let reply = send(&shop, &batch(&[GOOD, &bad, GOOD])).await;
        let told = reply.json();
        let shown: String = bad.chars().take(100).collect();
        let statuses: Vec<_> =
            (0..3).map(|place| told["results"][place]["status"].as_u64().unwrap()).collect();
        assert_eq!((reply.status, statuses), (200, vec![200, 400, 200]), "{shown}: {reply:?}");
        let refused = &told["results"][1];
        assert_eq!(
            (&refused["body"]["code"], &refused["body"]["field"]),
            (&"invalid_request".into(), &field.into())
        );
        assert_eq!(refused.get("sequence"), None, "{shown}");
        assert_eq!((shop.record().await, other(&shop).await), (before, units + 2), "{shown}");
    }
    let before = shop.record().await;
    shop.goes_on(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_batch_fails_whole() {
    let shop = shop().await;
    let before = shop.record().await;
    let invalid_text =
        format!(r#"{{"operations":[{GOOD},{{"op":"adjust","sku":"@","delta":1}}]}}"#).replace('@', "\u{e9}");
    // Half of a character.
    let invalid_text: Vec<u8> = invalid_text.bytes().filter(|&byte| byte != 0xa9).collect();
    for (body, field) in [
        (Vec::new(), "body"),
        (b"[]".to_vec(), "body"),
        (batch(&[]).into_bytes(), "operations"),
        (batch(&[GOOD, "null"]).into_bytes(), "operations[1]"),
        (batch(&vec![GOOD; 10_001]).into_bytes(), "operations"),
        (format!(r#"{{"operations":[{GOOD}],"atomic":true}}"#).into_bytes(), "atomic"),
        (format!(r#"{{"operations":[{GOOD}],"operations":[{GOOD}]}}"#).into_bytes(), "operations"),
        (format!("{}{}", batch(&[GOOD]), "]").into_bytes(), "body"),
        (invalid_text, "operations[1]"),
    ] {
        let json = "Content-Type: application/json\r\n";
        let reply = http::call(&shop.address, "POST", BATCH, json, &body).await;
        let shown: String = String::from_utf8_lossy(&body).chars().take(100).collect();
        check(&shown, &reply, 400, code::INVALID_REQUEST);
        assert_eq!(reply.json()["field"], field, "{shown}: {reply:?}");
    }
    let reply = http::keyed(&shop.address, "POST", BATCH, "k", &batch(&[GOOD])).await;
    check("a key of the whole", &reply, 400, code::INVALID_REQUEST);
    assert_eq!(other(&shop).await, 0, "a batch that was refused did something");
    shop.goes_on(&before).await;
}

/// A batch of that many bytes, most of them blanks.
fn padded(bytes: usize) -> Vec<u8> {
    let mut body = batch(&[GOOD]).into_bytes();
    body.resize(bytes, b' ');
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_the_longest_bodies_leaves_memory_flat() {
    let shop = shop().await;
    let before = shop.record().await;
    let json = "Content-Type: application/json\r\n";
    let whole = http::call(&shop.address, "POST", BATCH, json, &padded(BYTES_MAX)).await;
    assert_eq!(whole.status, 200, "{whole:?}");
    let long = http::call(&shop.address, "POST", BATCH, json, &padded(BYTES_MAX + 1)).await;
    check("a body over 32 MiB", &long, 413, code::BODY_TOO_LARGE);

    let (at_once, rounds) = STREAM;
    let mut refused = 0;
    for _ in 0..rounds {
        let mut calls = JoinSet::new();
        for _ in 0..at_once {
            let address = shop.address.clone();
            calls.spawn(async move { http::call(&address, "POST", BATCH, json, &padded(BYTES_MAX)).await });
        }
        while let Some(reply) = calls.join_next().await {
            let reply = reply.unwrap();
            match reply.status {
                200 => assert_eq!(reply.json()["results"][0]["status"], Value::from(200)),
                _ => {
                    assert_eq!((reply.status, reply.code().as_str()), (503, code::OVERLOADED), "{reply:?}");
                    refused += 1;
                }
            }
        }
    }
    let follower = shop.cluster.followers().await[0];
    let peak_mib = shop.cluster.memory_peak_kib(follower) / 1024;
    say(&format!("{refused} of {} were refused; {peak_mib} MiB at most", at_once * rounds));
    // Room for what 128 MiB of bodies are and become, and for what a node needs anyway.
    assert!(peak_mib < 768, "{peak_mib} MiB");
    shop.goes_on(&before).await;
}
