//! Calls that no client should make, through a follower of a real cluster.
//!
//! Whatever comes: a problem document with the right code and the field at fault, nothing taken, never a 5xx, and the
//! node goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use client::code;

use support::http;
use support::shop::{Shop, check};

const RESERVE: &str = "/api/checkout/reserve";
const COMMIT: &str = "/api/checkout/commit";
const EXTEND: &str = "/api/checkout/extend";
const RELEASE: &str = "/api/checkout/release";
const RETURN: &str = "/api/checkout/return";
const SKU: &str = "/api/inventory/S";
const ADJUST: &str = "/api/inventory/S/adjust";

/// The greatest number of units that a figure may be.
const UNITS_MAX: u64 = 1_000_000_000_000_000;

/// A reserve's body with these items.
fn cart(items: &str) -> String {
    format!(r#"{{"cart_id":"c","items":{items}}}"#)
}

/// A reserve's body with this more.
fn and(more: &str) -> String {
    format!(r#"{{"cart_id":"c","items":[{{"sku":"S","qty":1}}],{more}}}"#)
}

/// A body about a reservation that may be, with this more.
fn of(more: &str) -> String {
    format!(r#"{{"reservation_id":"res_00000000000000000000000001",{more}}}"#)
}

fn text(chars: usize) -> String {
    "x".repeat(chars)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_below_and_past_its_bounds_is_named() {
    let shop = Shop::new().await;
    let item = r#"{"sku":"S","qty":1}"#;
    let sku = |name: &str| cart(&format!(r#"[{{"sku":"{name}","qty":1}}]"#));
    let qty = |qty: &str| cart(&format!(r#"[{{"sku":"S","qty":{qty}}}]"#));
    let mut table = vec![
        ("POST", RESERVE, format!(r#"{{"cart_id":"","items":[{item}]}}"#), "cart_id"),
        ("POST", RESERVE, format!(r#"{{"cart_id":"{}","items":[{item}]}}"#, text(129)), "cart_id"),
        ("POST", RESERVE, cart("[]"), "items"),
        ("POST", RESERVE, cart(&format!("[{}]", vec![item; 101].join(","))), "items"),
        ("POST", RESERVE, sku(""), "items[0].sku"),
        ("POST", RESERVE, sku(&text(129)), "items[0].sku"),
        ("POST", RESERVE, sku("a b"), "items[0].sku"),
        ("POST", RESERVE, sku("a/b"), "items[0].sku"),
        ("POST", RESERVE, sku("\u{e9}"), "items[0].sku"),
        ("POST", RESERVE, sku("\\u0000"), "items[0].sku"),
        ("POST", RESERVE, qty("0"), "items[0].qty"),
        ("POST", RESERVE, qty("1000001"), "items[0].qty"),
        ("POST", RESERVE, qty("-1"), "items[0].qty"),
        ("POST", RESERVE, qty("1.0"), "items[0].qty"),
        ("POST", RESERVE, qty("1e3"), "items[0].qty"),
        ("POST", RESERVE, qty("18446744073709551615"), "items[0].qty"),
        ("POST", RESERVE, qty("18446744073709551616"), "items[0].qty"),
        ("POST", RESERVE, qty(&"9".repeat(400)), "items[0].qty"),
        ("POST", RESERVE, cart(&format!(r#"[{item},{{"sku":"S","qty":0}}]"#)), "items[1].qty"),
        ("POST", RESERVE, cart(&format!(r#"[{item},{{"sku":"S","qty":1000000}}]"#)), "items[1].qty"),
        ("POST", RESERVE, and(r#""ttl_seconds":0"#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""ttl_seconds":1801"#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""ttl_seconds":18446744073709551615"#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""customer_id":"""#), "customer_id"),
        ("POST", RESERVE, and(&format!(r#""customer_id":"{}""#, text(129))), "customer_id"),
        ("POST", RESERVE, and(r#""wait":"yes""#), "wait"),
        (
            "POST",
            RESERVE,
            format!(r#"{{"cart_id":"c","items":[{item},{{"sku":"T","qty":1}}],"wait":true}}"#),
            "wait",
        ),
        ("POST", COMMIT, of(r#""items":[]"#), "items"),
        ("POST", COMMIT, of(r#""items":[{"sku":"S","qty":0}]"#), "items[0].qty"),
        ("POST", COMMIT, of(r#""items":[{"sku":"S","qty":1000001}]"#), "items[0].qty"),
        ("POST", RELEASE, of(r#""items":[]"#), "items"),
        ("POST", RELEASE, of(r#""items":[{"sku":"S","qty":1000000},{"sku":"S","qty":1}]"#), "items[1].qty"),
        ("POST", RETURN, of(r#""items":[{"sku":"a b","qty":1}]"#), "items[0].sku"),
        ("POST", RETURN, of(&format!(r#""items":[{}]"#, vec![item; 101].join(","))), "items"),
        ("POST", COMMIT, of(r#""payment_token":"""#), "payment_token"),
        ("POST", COMMIT, of(&format!(r#""payment_token":"{}""#, text(256))), "payment_token"),
        ("POST", COMMIT, of(r#""fencing_token":-1"#), "fencing_token"),
        ("POST", COMMIT, of(r#""fencing_token":18446744073709551616"#), "fencing_token"),
        ("POST", COMMIT, of(r#""if_expired":"maybe""#), "if_expired"),
        ("POST", EXTEND, of(r#""ttl_seconds":0"#), "ttl_seconds"),
        ("POST", EXTEND, of(r#""ttl_seconds":1801"#), "ttl_seconds"),
        ("PUT", SKU, r#"{"on_hand":-1}"#.to_owned(), "on_hand"),
        ("PUT", SKU, format!(r#"{{"on_hand":{}}}"#, UNITS_MAX + 1), "on_hand"),
        ("PUT", SKU, format!(r#"{{"on_hand":1,"safety_stock":{}}}"#, UNITS_MAX + 1), "safety_stock"),
        ("PUT", SKU, r#"{"on_hand":1,"safety_stock":-1}"#.to_owned(), "safety_stock"),
        ("PUT", SKU, r#"{"on_hand":1,"max_per_customer":0}"#.to_owned(), "max_per_customer"),
        ("PUT", SKU, format!(r#"{{"on_hand":1,"max_per_customer":{}}}"#, UNITS_MAX + 1), "max_per_customer"),
        ("PUT", SKU, r#"{"on_hand":1,"on_shortfall":"revoke"}"#.to_owned(), "on_shortfall"),
        ("POST", ADJUST, r#"{"delta":1,"on_shortfall":true}"#.to_owned(), "on_shortfall"),
        ("DELETE", "/api/inventory/a%20b", String::new(), "sku"),
        ("DELETE", "/api/inventory/S?force=1", String::new(), "force"),
        ("PUT", "/api/inventory/a%20b", r#"{"on_hand":1}"#.to_owned(), "sku"),
        ("PUT", "/api/inventory/%ff", r#"{"on_hand":1}"#.to_owned(), "sku"),
        ("GET", "/api/inventory/a%2Fb", String::new(), "sku"),
        ("POST", ADJUST, r#"{"delta":0}"#.to_owned(), "delta"),
        ("POST", ADJUST, format!(r#"{{"delta":{}}}"#, UNITS_MAX + 1), "delta"),
        ("POST", ADJUST, format!(r#"{{"delta":-{}}}"#, UNITS_MAX + 1), "delta"),
        ("POST", ADJUST, r#"{"delta":-9223372036854775808}"#.to_owned(), "delta"),
        ("POST", ADJUST, r#"{"delta":9223372036854775808}"#.to_owned(), "delta"),
        ("POST", ADJUST, r#"{"delta":1,"reason":""}"#.to_owned(), "reason"),
        ("POST", ADJUST, format!(r#"{{"delta":1,"reference":"{}"}}"#, text(256)), "reference"),
        ("GET", "/api/reservations?cart_id=", String::new(), "cart_id"),
        ("GET", "/api/reservations?customer_id=x%ff", String::new(), "customer_id"),
        ("GET", "/api/reservations?sku=a%20b", String::new(), "sku"),
        ("GET", "/api/reservations?state=", String::new(), "state"),
        ("GET", "/api/reservations?state=Held", String::new(), "state"),
        ("GET", "/api/reservations?limit=0", String::new(), "limit"),
        ("GET", "/api/reservations?limit=1001", String::new(), "limit"),
        ("GET", "/api/reservations?limit=18446744073709551617", String::new(), "limit"),
        ("GET", "/api/reservations?cursor=made-up", String::new(), "cursor"),
        // The cursor of the other list.
        ("GET", "/api/reservations?cursor=AQFB", String::new(), "cursor"),
        ("GET", "/api/reservations?order=desc", String::new(), "order"),
        ("GET", "/api/inventory?prefix=a%2Fb", String::new(), "prefix"),
        ("GET", "/api/inventory?limit=1.0", String::new(), "limit"),
        ("GET", "/api/inventory?limit=1&limit=1", String::new(), "limit"),
        ("GET", "/api/inventory?cursor=", String::new(), "cursor"),
        ("GET", "/api/inventory?cursor=AQFB%3D", String::new(), "cursor"),
        ("GET", "/api/inventory?sku=S", String::new(), "sku"),
        ("GET", "/api/inventory/S?consistency=maybe", String::new(), "consistency"),
        ("GET", "/api/inventory/S?fresh=1", String::new(), "fresh"),
        ("POST", "/api/checkout/reserve?dry=1", cart(&format!("[{item}]")), "dry"),
    ];
    // The sum is looked at when it is applied: only there is it known what stands on hand.
    table.push(("POST", ADJUST, format!(r#"{{"delta":{UNITS_MAX}}}"#), "delta"));
    for id in [
        "",
        "1",
        "res_",
        "RES_00000000000000000000000001",
        "res_0000000000000000000000000",
        "res_80000000000000000000000000",
        "res_0000000000000000000000000U",
    ] {
        for path in [COMMIT, EXTEND, RELEASE, RETURN] {
            table.push(("POST", path, format!(r#"{{"reservation_id":"{id}"}}"#), "reservation_id"));
        }
    }
    shop.refuses(&table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_at_its_bounds_is_taken() {
    let shop = Shop::new().await;
    let long = text(128);
    let at_most = format!(
        r#"{{"cart_id":"{long}","customer_id":"{long}","ttl_seconds":1800,"items":[{{"sku":"S","qty":999999}},{{"sku":"S","qty":1}}]}}"#
    );
    let held = http::json(&shop.address, "POST", RESERVE, &at_most).await;
    assert_eq!(held.status, 201, "{held:?}");
    let id = held.json()["reservation_id"].as_str().unwrap().to_owned();
    let at_least = r#"{"cart_id":"c","ttl_seconds":1,"items":[{"sku":"S","qty":1}]}"#;
    assert_eq!(http::json(&shop.address, "POST", RESERVE, at_least).await.status, 201);
    // Characters, not bytes: of these, each has two.
    let commit = format!(r#"{{"reservation_id":"{id}","payment_token":"{}"}}"#, "\u{e9}".repeat(255));
    assert_eq!(http::json(&shop.address, "POST", COMMIT, &commit).await.status, 200);
    let many: Vec<_> = (0..100).map(|_| r#"{"sku":"S","qty":1}"#).collect();
    let many = format!(r#"{{"cart_id":"many","items":[{}]}}"#, many.join(","));
    let held = http::json(&shop.address, "POST", RESERVE, &many).await;
    assert_eq!((held.status, held.json()["items"][0]["qty"].as_u64()), (201, Some(100)), "{held:?}");

    let path = format!("/api/inventory/{}", "A.b_c:d-9".repeat(15).chars().take(128).collect::<String>());
    let most = format!(r#"{{"on_hand":{UNITS_MAX},"safety_stock":{UNITS_MAX}}}"#);
    assert_eq!(http::json(&shop.address, "PUT", &path, &most).await.status, 201);
    let adjust = |delta: String| format!(r#"{{"delta":{delta},"reason":"{}","reference":"r"}}"#, text(255));
    for delta in [format!("-{UNITS_MAX}"), UNITS_MAX.to_string()] {
        let reply = http::json(&shop.address, "POST", &format!("{path}/adjust"), &adjust(delta)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let key = text(255);
    for replayed in [None, Some("true")] {
        let reply = http::keyed(&shop.address, "POST", ADJUST, &key, r#"{"delta":1}"#).await;
        assert_eq!((reply.status, reply.header("idempotency-replayed")), (200, replayed), "{reply:?}");
    }
    let limits = format!(r#"{{"on_hand":1,"max_per_customer":{UNITS_MAX},"on_shortfall":"revoke_newest"}}"#);
    let limited = http::json(&shop.address, "PUT", "/api/inventory/L", &limits).await;
    assert_eq!((limited.status, limited.json()["max_per_customer"].as_u64()), (201, Some(UNITS_MAX)));
    for (limit, told) in [(r#""max_per_customer":1"#, Some(1)), (r#""max_per_customer":null"#, None)] {
        let set = format!(r#"{{"on_hand":1,{limit}}}"#);
        let reply = http::json(&shop.address, "PUT", "/api/inventory/L", &set).await;
        assert_eq!((reply.status, reply.json()["max_per_customer"].as_u64()), (200, told), "{reply:?}");
    }
    let waits = r#"{"cart_id":"w","wait":true,"items":[{"sku":"L","qty":1},{"sku":"L","qty":999999}]}"#;
    let waits = http::json(&shop.address, "POST", RESERVE, waits).await;
    assert_eq!((waits.status, waits.json()["position"].as_u64()), (202, Some(1)), "{waits:?}");
    let before = shop.record().await;
    shop.goes_on(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_shape_is_refused_for_the_field() {
    let shop = Shop::new().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let table = [
        ("POST", RESERVE, String::new(), "body"),
        ("POST", RESERVE, "null".to_owned(), "body"),
        ("POST", RESERVE, "7".to_owned(), "body"),
        ("POST", RESERVE, "[]".to_owned(), "body"),
        ("POST", RESERVE, r#"["c",[{"sku":"S","qty":1}],null,null]"#.to_owned(), "body"),
        ("POST", RESERVE, "{".to_owned(), "body"),
        ("POST", RESERVE, format!("{} x", and(r#""ttl_seconds":5"#)), "body"),
        ("POST", RESERVE, "{}".to_owned(), "cart_id"),
        ("POST", RESERVE, r#"{"cart_id":"c"}"#.to_owned(), "items"),
        ("POST", RESERVE, r#"{"cart_id":7,"items":[]}"#.to_owned(), "cart_id"),
        ("POST", RESERVE, r#"{"cart_id":null,"items":[]}"#.to_owned(), "cart_id"),
        ("POST", RESERVE, cart("{}"), "items"),
        ("POST", RESERVE, cart(r#""S""#), "items"),
        ("POST", RESERVE, cart("[7]"), "items[0]"),
        ("POST", RESERVE, cart(r#"[{"sku":"S"}]"#), "items[0].qty"),
        ("POST", RESERVE, cart(r#"[{"qty":1}]"#), "items[0].sku"),
        ("POST", RESERVE, cart(r#"[{"sku":7,"qty":1}]"#), "items[0].sku"),
        ("POST", RESERVE, cart(r#"[{"sku":"S","qty":"1"}]"#), "items[0].qty"),
        ("POST", RESERVE, cart(r#"[{"sku":"S","qty":1,"price":1}]"#), "items[0].price"),
        ("POST", RESERVE, cart(r#"[{"sku":"S","qty":1,"qty":1}]"#), "items[0].qty"),
        ("POST", RESERVE, cart(r#"[{"sku":"S","sku":"S","qty":1}]"#), "items[0].sku"),
        ("POST", RESERVE, and(r#""cart_id":"c""#), "cart_id"),
        ("POST", RESERVE, and(r#""ttl_seconds":5,"ttl_seconds":5"#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""ttl_seconds":"5""#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""ttl_seconds":5.5"#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""ttl_seconds":true"#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""ttl_seconds":-0"#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""ttl_seconds":null"#), "ttl_seconds"),
        ("POST", RESERVE, and(r#""customer_id":null"#), "customer_id"),
        ("POST", RESERVE, and(r#""wait":null"#), "wait"),
        ("POST", RESERVE, and(r#""wait":0"#), "wait"),
        ("POST", RESERVE, and(r#""colour":"red""#), "colour"),
        ("POST", RESERVE, cart(&deep), "items[0][0]"),
        ("POST", RESERVE, deep.clone(), "body[0]"),
        ("POST", RESERVE, format!(r#"{{"a":{deep}}}"#), "a"),
        ("POST", COMMIT, of(r#""if_expired":7"#), "if_expired"),
        ("POST", COMMIT, of(r#""if_expired":{"fail":null}"#), "body"),
        ("POST", COMMIT, of(r#""fencing_token":"1""#), "fencing_token"),
        ("POST", COMMIT, of(r#""items":null"#), "items"),
        ("POST", COMMIT, of(r#""items":{"S":1}"#), "items"),
        ("POST", RELEASE, of(r#""items":["S"]"#), "items[0]"),
        ("POST", RELEASE, of(r#""items":[["S",1]]"#), "body"),
        ("POST", COMMIT, "{}".to_owned(), "reservation_id"),
        ("POST", RELEASE, of(r#""why":"no""#), "why"),
        ("POST", RETURN, "{}".to_owned(), "reservation_id"),
        ("PUT", SKU, "{}".to_owned(), "on_hand"),
        ("PUT", SKU, r#"{"on_hand":"1"}"#.to_owned(), "on_hand"),
        ("PUT", SKU, r#"{"on_hand":null}"#.to_owned(), "on_hand"),
        ("PUT", SKU, r#"{"on_hand":1,"safety_stock":null}"#.to_owned(), "safety_stock"),
        ("PUT", SKU, r#"{"on_hand":1,"max_per_customer":1.0}"#.to_owned(), "max_per_customer"),
        ("PUT", SKU, r#"{"on_hand":1,"on_shortfall":null}"#.to_owned(), "on_shortfall"),
        ("PUT", SKU, r#"{"on_hand":18446744073709551616}"#.to_owned(), "on_hand"),
        ("PUT", SKU, r#"{"on_hand":1,"onhand":1}"#.to_owned(), "onhand"),
        ("PUT", SKU, r#"{"on_hand":1,"on_hand":2}"#.to_owned(), "on_hand"),
        ("POST", ADJUST, "{}".to_owned(), "delta"),
        ("POST", ADJUST, r#"{"delta":1.5}"#.to_owned(), "delta"),
    ];
    shop.refuses(&table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_and_no_json_is_refused() {
    let shop = Shop::new().await;
    let before = shop.record().await;
    let json = "Content-Type: application/json\r\n";
    let wrong = [0xff, 0xfe, b'{', b'}'];
    let inside = [
        b"{\"cart_id\":\"\xff\xc0\",\"items\":[{\"sku\":\"S\",\"qty\":1}]}".as_slice(),
        b"{\"cart_id\":\"\\ud800\",\"items\":[{\"sku\":\"S\",\"qty\":1}]}",
    ];
    for body in [wrong.as_slice(), inside[0], inside[1]] {
        let reply = http::call(&shop.address, "POST", RESERVE, json, body).await;
        check("invalid UTF-8", &reply, 400, code::INVALID_REQUEST);
        assert!(reply.json()["field"].is_string(), "{reply:?}");
    }
    let body = and(r#""ttl_seconds":5"#);
    for headers in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json; charset=latin1\r\n",
        "Content-Type: application/json\r\nContent-Type: application/json\r\n",
        "Content-Type: \u{e9}\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    ] {
        let reply = http::call(&shop.address, "POST", RESERVE, headers, body.as_bytes()).await;
        check(headers, &reply, 415, code::UNSUPPORTED_MEDIA_TYPE);
    }
    for key in ["", " ", "a b", "\u{e9}", &text(256), "a\r\nIdempotency-Key: b"] {
        let headers = format!("{json}Idempotency-Key: {key}\r\n");
        let reply = http::call(&shop.address, "POST", RESERVE, &headers, body.as_bytes()).await;
        check(key, &reply, 400, code::INVALID_REQUEST);
        assert_eq!(reply.json()["field"], "Idempotency-Key", "{key:?}");
    }
    for (header, field) in [
        ("If-Match: 7\r\n", "If-Match"),
        ("If-Match: *, \"7\"\r\n", "If-Match"),
        ("If-None-Match: \"7\"\r\n", "If-None-Match"),
        ("If-None-Match: *\r\nIf-Match: *\r\n", "If-None-Match"),
    ] {
        let reply =
            http::call(&shop.address, "PUT", SKU, &format!("{json}{header}"), br#"{"on_hand":1}"#).await;
        check(header, &reply, 400, code::INVALID_REQUEST);
        assert_eq!(reply.json()["field"], field, "{header:?}");
    }
    shop.goes_on(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused() {
    let shop = Shop::new().await;
    let before = shop.record().await;
    let json = "Content-Type: application/json\r\n";
    let long = format!("{}{}", " ".repeat(1 << 20), and(r#""ttl_seconds":5"#));
    let reply = http::call(&shop.address, "POST", RESERVE, json, long.as_bytes()).await;
    check("a body over 1 MiB", &reply, 413, code::BODY_TOO_LARGE);

    // It says nothing of its length until it is too long.
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let head = format!(
        "POST {RESERVE} HTTP/1.1\r\nHost: x\r\n{json}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let reply = http::send(&shop.address, format!("{head}{}0\r\n\r\n", chunk.repeat(17)).as_bytes()).await;
    check("chunks over 1 MiB", &reply, 413, code::BODY_TOO_LARGE);

    // What the length says counts, before any of it is read.
    let claim = format!(
        "POST {RESERVE} HTTP/1.1\r\nHost: x\r\n{json}Connection: close\r\nContent-Length: 99999999999\r\n\r\n"
    );
    let reply = http::send(&shop.address, claim.as_bytes()).await;
    check("a length over 1 MiB", &reply, 413, code::BODY_TOO_LARGE);

    let name = format!("/api/inventory/{}", text(60_000));
    let reply = http::get(&shop.address, &name).await;
    check("a long path", &reply, 400, code::INVALID_REQUEST);
    shop.goes_on(&before).await;
}

/// Such a head is refused by the HTTP library before it is a call.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_be_read_is_refused_with_a_problem() {
    let shop = Shop::new().await;
    let before = shop.record().await;
    let head =
        |headers: &str| format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let many: String = (0..5_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let table = [
        (head(&many), 431, "headers"),
        (head(&format!("X: {}\r\n", text(1 << 20))), 431, "headers"),
        (head("X y: 1\r\n"), 400, "request"),
        ("GET /livez HTTP/1.1\r\n\r\n".to_owned(), 400, "Host"),
        (head("Host: y\r\n"), 400, "Host"),
        ("nonsense\r\n\r\n".to_owned(), 400, "request"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "request"),
        ("GET /a b HTTP/1.1\r\n\r\n".to_owned(), 400, "request"),
        ("\0\0\0\0\r\n\r\n".to_owned(), 400, "request"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", text(70_000)), 414, "uri"),
    ];
    for (bytes, status, field) in table {
        // The connection may be kept where the head could be read.
        let reply = http::send(&shop.address, bytes.replace(" HTTP/1.1\r\n\r\n", CLOSE).as_bytes()).await;
        let shown: String = bytes.chars().take(60).collect();
        check(&format!("{shown:?}"), &reply, status, code::INVALID_REQUEST);
        assert_eq!(reply.json()["field"], field, "{shown:?}: {reply:?}");
    }
    shop.goes_on(&before).await;
}

/// The end of a head that names no host.
const CLOSE: &str = " HTTP/1.1\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_refused() {
    let shop = Shop::new().await;
    let before = shop.record().await;
    let head = format!(
        "POST {RESERVE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    );
    let reply =
        http::send(&shop.address, format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n").as_bytes())
            .await;
    check("a chunk without a length", &reply, 400, code::INVALID_REQUEST);
    assert_eq!(reply.json()["field"], "body", "{reply:?}");
    shop.goes_on(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_answers_is_a_problem_too() {
    let shop = Shop::new().await;
    let before = shop.record().await;
    let sku = "DELETE,GET,HEAD,PUT";
    for (method, path, status, code, allow) in [
        ("GET", "/", 404, code::NOT_FOUND, None),
        ("GET", "/api", 404, code::NOT_FOUND, None),
        ("POST", "/api/checkout/reserve/", 404, code::NOT_FOUND, None),
        ("POST", "/api/checkout/sell", 404, code::NOT_FOUND, None),
        ("GET", "/api/inventory/S/adjust/now", 404, code::NOT_FOUND, None),
        ("GET", "/api/../../etc/passwd", 404, code::NOT_FOUND, None),
        ("GET", "/api/inventory/", 404, code::NOT_FOUND, None),
        ("GET", "/api/reservations/", 404, code::NOT_FOUND, None),
        ("GET", "/api/reservations/7", 404, code::RESERVATION_NOT_FOUND, None),
        ("GET", "/api/reservations/%ff", 404, code::RESERVATION_NOT_FOUND, None),
        ("GET", "/api/batch", 405, code::METHOD_NOT_ALLOWED, Some("POST")),
        ("DELETE", "/api/inventory", 405, code::METHOD_NOT_ALLOWED, Some("GET,HEAD")),
        ("OPTIONS", "/api/reservations", 405, code::METHOD_NOT_ALLOWED, Some("GET,HEAD")),
        ("GET", RESERVE, 405, code::METHOD_NOT_ALLOWED, Some("POST")),
        ("PUT", RESERVE, 405, code::METHOD_NOT_ALLOWED, Some("POST")),
        ("PATCH", SKU, 405, code::METHOD_NOT_ALLOWED, Some(sku)),
        ("DELETE", ADJUST, 405, code::METHOD_NOT_ALLOWED, Some("POST")),
        ("POST", "/api/cluster", 405, code::METHOD_NOT_ALLOWED, Some("GET,HEAD")),
        ("BREW", "/livez", 405, code::METHOD_NOT_ALLOWED, Some("GET,HEAD")),
    ] {
        let reply = http::json(&shop.address, method, path, "{}").await;
        check(&format!("{method} {path}"), &reply, status, code);
        let mut allowed: Option<Vec<_>> =
            reply.header("allow").map(|methods| methods.split(',').map(str::trim).collect());
        allowed.iter_mut().for_each(|methods| methods.sort_unstable());
        assert_eq!(allowed.map(|methods| methods.join(",")).as_deref(), allow, "{method} {path}");
    }
    shop.goes_on(&before).await;
}
