//! Calls that no client should make, through a follower of a real cluster.
//!
//! Whatever comes: a problem document with the right code and the field at fault, nothing taken, never a 5xx, and the
//! node goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use client::Client;
use client::api::{PutSkuRequest, ReserveRequest};
use client::code;

use support::cluster::Cluster;
use support::http::{self, Reply};

const RESERVE: &str = "/api/checkout/reserve";
const COMMIT: &str = "/api/checkout/commit";
const EXTEND: &str = "/api/checkout/extend";
const RELEASE: &str = "/api/checkout/release";
const RETURN: &str = "/api/checkout/return";
const SKU: &str = "/api/inventory/S";
const ADJUST: &str = "/api/inventory/S/adjust";

/// The greatest number of units that a figure may be.
const UNITS_MAX: u64 = 1_000_000_000_000_000;

/// A cluster with one SKU, asked through a follower.
struct Shop {
    cluster: Cluster,
    address: String,
    client: Client,
}

impl Shop {
    async fn new() -> Shop {
        let cluster = Cluster::start().await;
        let follower = cluster.followers().await[0];
        let (address, client) = (cluster.http(follower).to_owned(), cluster.only(follower));
        let stock = PutSkuRequest {
            on_hand: 7_000_000,
            safety_stock: Some(3),
            max_per_customer: None,
            on_shortfall: None,
        };
        client.put_sku("S", &stock).await.unwrap();
        Shop { cluster, address, client }
    }

    /// The SKU's whole record: what was taken shows in it, and a change that was undone in its version.
    async fn record(&self) -> String {
        let stock = self.client.sku("S").await.unwrap().value;
        format!("{stock:?}")
    }

    /// Each of these calls is refused with 400 for this field, and none of them changes anything.
    async fn refuses(&self, table: &[(&str, &str, String, &str)]) {
        let before = self.record().await;
        for (method, path, body, field) in table {
            let reply = http::json(&self.address, method, path, body).await;
            let shown: String = body.chars().take(200).collect();
            check(&format!("{method} {path} {shown}"), &reply, 400, code::INVALID_REQUEST);
            assert_eq!(reply.json()["field"].as_str(), Some(*field), "{method} {path} {shown}: {reply:?}");
        }
        self.goes_on(&before).await;
    }

    /// Nothing was taken, and the node serves.
    async fn goes_on(&self, before: &str) {
        assert_eq!(self.record().await, before);
        self.client.ready().await.unwrap();
        let good = ReserveRequest::one(format!("good-{}", rand::random::<u64>()), "S", 1);
        let held = self.client.reserve(&good).await.unwrap().value;
        self.client.release(&held.reservation_id).await.unwrap();
        self.cluster.check_digests().await;
    }
}

fn check(what: &str, reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{what}: {reply:?}");
    assert_eq!(reply.json()["executed"], "no", "{what}: {reply:?}");
    assert_eq!(reply.json()["retryable"], false, "{what}: {reply:?}");
    assert!(reply.body.len() < 4096, "{what}: a call must not choose how long its refusal is");
}

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
        ("GET", "/api/reservations/res_1", String::new(), "reservation_id"),
        ("GET", "/api/inventory/S?consistency=maybe", String::new(), "consistency"),
        ("GET", "/api/inventory/S?fresh=1", String::new(), "fresh"),
        ("POST", "/api/checkout/reserve?dry=1", cart(&format!("[{item}]")), "dry"),
    ];
    // The sum is looked at when it is applied: only there is it known what stands on hand.
    table.push(("POST", ADJUST, format!(r#"{{"delta":{UNITS_MAX}}}"#), "on_hand"));
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
        ("POST", RESERVE, and(r#""colour":"red""#), "colour"),
        ("POST", RESERVE, cart(&deep), "items[0][0]"),
        ("POST", RESERVE, deep.clone(), "body[0]"),
        ("POST", RESERVE, format!(r#"{{"a":{deep}}}"#), "a"),
        ("POST", COMMIT, of(r#""if_expired":7"#), "if_expired"),
        ("POST", COMMIT, of(r#""if_expired":{"fail":null}"#), "body"),
        ("POST", COMMIT, of(r#""fencing_token":"1""#), "fencing_token"),
        ("POST", COMMIT, "{}".to_owned(), "reservation_id"),
        ("POST", RELEASE, of(r#""why":"no""#), "why"),
        ("POST", RETURN, "{}".to_owned(), "reservation_id"),
        ("PUT", SKU, "{}".to_owned(), "on_hand"),
        ("PUT", SKU, r#"{"on_hand":"1"}"#.to_owned(), "on_hand"),
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

/// Such a head is refused by the HTTP library before it is a call, so that its status is all that is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_be_read_is_answered_before_the_connection_closes() {
    let shop = Shop::new().await;
    let before = shop.record().await;
    let head =
        |headers: &str| format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let many: String = (0..5_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let table = [
        (head(&many), 431),
        (head(&format!("X: {}\r\n", text(1 << 20))), 431),
        (head("X y: 1\r\n"), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("GET /a b HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("\0\0\0\0\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\n\r\n", text(70_000)), 414),
    ];
    for (bytes, status) in table {
        let reply = http::send(&shop.address, bytes.as_bytes()).await;
        let shown: String = bytes.chars().take(60).collect();
        assert_eq!(reply.status, status, "{shown:?}: {reply:?}");
    }
    shop.goes_on(&before).await;
}

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
    let sku = "GET,HEAD,PUT";
    for (method, path, status, code, allow) in [
        ("GET", "/", 404, code::NOT_FOUND, None),
        ("GET", "/api", 404, code::NOT_FOUND, None),
        ("POST", "/api/checkout/reserve/", 404, code::NOT_FOUND, None),
        ("POST", "/api/checkout/sell", 404, code::NOT_FOUND, None),
        ("GET", "/api/inventory/S/adjust/now", 404, code::NOT_FOUND, None),
        ("GET", "/api/../../etc/passwd", 404, code::NOT_FOUND, None),
        ("GET", "/api/inventory/", 404, code::NOT_FOUND, None),
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
