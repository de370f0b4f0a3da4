//! The contract's calls through followers of a real cluster: waiting, parts, conditions, lists, batches, stale reads.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};

use support::cluster::{Cluster, IDS};
use support::http::{self, Reply};

const RESERVE: &str = "/api/checkout/reserve";
const COMMIT: &str = "/api/checkout/commit";
const RELEASE: &str = "/api/checkout/release";
const RETURN: &str = "/api/checkout/return";

/// A cluster, asked through its followers in turn.
struct Shop {
    cluster: Cluster,
    followers: Vec<u64>,
}

impl Shop {
    async fn new() -> Shop {
        let cluster = Cluster::start().await;
        let followers = cluster.followers().await;
        Shop { cluster, followers }
    }

    fn address(&self) -> &str {
        self.cluster.http(self.followers[0])
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        http::json(self.address(), method, path, &body.to_string()).await
    }

    /// A call that is answered with that status.
    async fn told(&self, status: u16, method: &str, path: &str, body: Value) -> Value {
        let reply = self.call(method, path, body).await;
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
        assert!(reply.header("lastunit-sequence").is_some(), "{reply:?}");
        reply.json()
    }

    async fn get(&self, path: &str) -> Value {
        let reply = http::get(self.address(), path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    async fn put(&self, sku: &str, on_hand: u64) {
        self.told(201, "PUT", &format!("/api/inventory/{sku}"), json!({"on_hand": on_hand})).await;
    }

    async fn state(&self, reservation: &Value) -> Value {
        self.get(&format!("/api/reservations/{}", id(reservation))).await
    }
}

fn id(reservation: &Value) -> &str {
    reservation["reservation_id"].as_str().unwrap()
}

fn of(reservation: &Value) -> Value {
    json!({"reservation_id": id(reservation)})
}

fn cart(cart: &str, sku: &str, wait: bool) -> Value {
    json!({"cart_id": cart, "items": [{"sku": sku, "qty": 1}], "wait": wait})
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_served_in_order() {
    let shop = Shop::new().await;
    shop.put("L", 1).await;
    let first = shop.told(201, "POST", RESERVE, cart("first", "L", true)).await;
    let second = shop.told(202, "POST", RESERVE, cart("second", "L", true)).await;
    let third = shop.told(202, "POST", RESERVE, cart("third", "L", true)).await;
    assert_eq!((&second["state"], &second["position"]), (&"waiting".into(), &1.into()));
    assert_eq!((&third["position"], third.get("fencing_token")), (&2.into(), None));
    let again = shop.told(202, "POST", RESERVE, cart("third", "L", true)).await;
    assert_eq!(id(&again), id(&third));
    assert_eq!(shop.get("/api/inventory/L").await["waiting"], 2);

    shop.told(200, "POST", RELEASE, of(&first)).await;
    let second = shop.state(&second).await;
    assert_eq!((&second["state"], second.get("position")), (&"held".into(), None));
    assert!(second["fencing_token"].as_u64() > first["fencing_token"].as_u64(), "{second}");
    assert_eq!(shop.state(&third).await["position"], 1);
    let left = shop.told(200, "POST", RELEASE, of(&third)).await;
    assert_eq!(
        (&left["state"], left.get("expires_at"), left.get("position")),
        (&"released".into(), None, None)
    );
    assert_eq!(shop.told(200, "POST", COMMIT, of(&second)).await["state"], "committed");
    shop.cluster.check_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_sold_given_back_and_returned_in_parts() {
    let shop = Shop::new().await;
    shop.put("A", 9).await;
    shop.put("B", 9).await;
    let items = json!([{"sku": "A", "qty": 4}, {"sku": "B", "qty": 2}]);
    let held = shop.told(201, "POST", RESERVE, json!({"cart_id": "c", "items": items})).await;
    let part =
        |sku: &str, qty: u64| json!({"reservation_id": id(&held), "items": [{"sku": sku, "qty": qty}]});
    let less = shop.told(200, "POST", RELEASE, part("A", 1)).await;
    assert_eq!((&less["state"], &less["items"][0]["qty"]), (&"held".into(), &3.into()));
    let sold = shop.told(200, "POST", COMMIT, part("A", 2)).await;
    assert_eq!((&sold["state"], &sold["items"]), (&"committed".into(), &json!([{"sku": "A", "qty": 2}])));
    let back = shop.told(200, "POST", RETURN, part("A", 1)).await;
    assert_eq!(back["returned"], json!([{"sku": "A", "qty": 1}]));
    let figures = |stock: Value| (stock["on_hand"].clone(), stock["held"].clone(), stock["sold"].clone());
    assert_eq!(figures(shop.get("/api/inventory/A").await), (8.into(), 0.into(), 1.into()));
    assert_eq!(figures(shop.get("/api/inventory/B").await), (9.into(), 0.into(), 0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_holds_are_revoked_where_stock_falls_short() {
    let shop = Shop::new().await;
    shop.put("R", 2).await;
    let older = shop.told(201, "POST", RESERVE, cart("older", "R", false)).await;
    let newer = shop.told(201, "POST", RESERVE, cart("newer", "R", false)).await;
    let lost = json!({"delta": -1, "reason": "broken", "on_shortfall": "revoke_newest"});
    let stock = shop.told(200, "POST", "/api/inventory/R/adjust", lost).await;
    assert_eq!((&stock["on_hand"], &stock["held"]), (&1.into(), &1.into()));
    assert_eq!(shop.state(&older).await["state"], "held");
    assert_eq!(shop.state(&newer).await["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_changed_and_read_on_conditions() {
    let shop = Shop::new().await;
    let path = "/api/inventory/E";
    let call = async |method: &str, header: &str, body: &str| {
        let headers = format!("Content-Type: application/json\r\n{header}\r\n");
        http::call(shop.address(), method, path, &headers, body.as_bytes()).await
    };
    let made = call("PUT", "If-None-Match: *", r#"{"on_hand":1}"#).await;
    assert_eq!((made.status, made.header("etag")), (201, Some("\"1\"")), "{made:?}");
    let again = call("PUT", "If-None-Match: *", r#"{"on_hand":1}"#).await;
    assert_eq!((again.status, again.json()["version"].as_u64()), (412, Some(1)), "{again:?}");
    let set = call("PUT", "If-Match: \"7\", \"1\"", r#"{"on_hand":2}"#).await;
    assert_eq!((set.status, set.header("etag")), (200, Some("\"2\"")), "{set:?}");
    let unchanged = call("GET", "If-None-Match: W/\"2\"", "").await;
    assert_eq!(
        (unchanged.status, unchanged.header("etag"), &*unchanged.body),
        (304, Some("\"2\""), &b""[..])
    );
    assert!(unchanged.header("lastunit-sequence").is_some(), "{unchanged:?}");
    assert_eq!(call("GET", "If-None-Match: \"1\"", "").await.status, 200);
    assert_eq!(call("DELETE", "If-Match: \"1\"", "").await.status, 412);
    let gone = call("DELETE", "If-Match: \"2\"\r\nIdempotency-Key: bye", "").await;
    assert_eq!((gone.status, &*gone.body), (204, &b""[..]), "{gone:?}");
    assert!(gone.header("lastunit-sequence").is_some(), "{gone:?}");
    let replayed = call("DELETE", "If-Match: \"2\"\r\nIdempotency-Key: bye", "").await;
    assert_eq!(
        (replayed.status, replayed.header("idempotency-replayed")),
        (204, Some("true")),
        "{replayed:?}"
    );
    assert_eq!(call("GET", "If-None-Match: *", "").await.status, 404);
}

/// All rows of a list, a page from one follower and the next from the other.
async fn pages(shop: &Shop, path: &str, limit: usize) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    for page in 0.. {
        let address = shop.cluster.http(shop.followers[page % 2]);
        let reply = http::get(address, &format!("{path}limit={limit}{cursor}")).await;
        let told = reply.json();
        assert_eq!(reply.status, 200, "{reply:?}");
        let data = told["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        rows.extend(data.iter().cloned());
        match told["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
    unreachable!("the loop has no end")
}

fn names<'a>(rows: &'a [Value], field: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[field].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_through_any_node_and_filtered() {
    let shop = Shop::new().await;
    let skus: Vec<String> = (0..7).map(|n| format!("P-{n}")).collect();
    for sku in skus.iter().map(String::as_str).chain(["A", "Z"]) {
        shop.put(sku, 5).await;
    }
    assert_eq!(names(&pages(&shop, "/api/inventory?prefix=P-&", 3).await, "sku"), skus);
    assert_eq!(pages(&shop, "/api/inventory?", 2).await.len(), 9);

    let mut made = Vec::new();
    for n in 0..6 {
        let mut cart = cart(&format!("cart {n}"), &skus[n % 2], false);
        cart["customer_id"] = format!("k{}", n % 3).into();
        made.push(shop.told(201, "POST", RESERVE, cart).await);
    }
    shop.told(200, "POST", RELEASE, of(&made[0])).await;
    let ids: Vec<&str> = made.iter().map(id).collect();
    for (filter, expected) in [
        ("", vec![0, 1, 2, 3, 4, 5]),
        ("customer_id=k1&", vec![1, 4]),
        ("sku=P-0&", vec![0, 2, 4]),
        ("sku=P-0&state=held&", vec![2, 4]),
        ("state=released&", vec![0]),
        ("cart_id=cart%203&", vec![3]),
        ("cart_id=cart+3&customer_id=k1&", vec![]),
    ] {
        let rows = pages(&shop, &format!("/api/reservations?{filter}"), 2).await;
        let expected: Vec<&str> = expected.into_iter().map(|n: usize| ids[n]).collect();
        assert_eq!(names(&rows, "reservation_id"), expected, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_executed_in_order_and_each_operation_once() {
    let shop = Shop::new().await;
    shop.put("Q", 1).await;
    let reserve = |cart: &str| json!({"op": "reserve", "cart_id": cart, "items": [{"sku": "Q", "qty": 1}]});
    let adjust = json!({"op": "adjust", "idempotency_key": "k", "sku": "Q", "delta": 1});
    let operations = json!([reserve("a"), reserve("b"), adjust, reserve("b"), {"op": "no"}]);
    let reply = shop.call("POST", "/api/batch", json!({"operations": operations})).await;
    let told = reply.json();
    let results = told["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!((reply.status, statuses), (200, vec![201, 409, 200, 201, 400]), "{told}");
    assert_eq!(
        (&results[1]["body"]["code"], results[1]["retry_after"].is_u64()),
        (&"held_by_others".into(), true)
    );
    let sequences: Vec<_> = results[..4].iter().map(|result| result["sequence"].as_u64().unwrap()).collect();
    assert!(sequences.is_sorted(), "{sequences:?}");

    let again = shop.call("POST", "/api/batch", json!({"operations": [adjust]})).await.json();
    let replayed = &again["results"][0];
    assert_eq!((&replayed["replayed"], &replayed["sequence"]), (&true.into(), &results[2]["sequence"]));
    assert_eq!(replayed["body"], results[2]["body"]);
    assert_eq!(shop.get("/api/inventory/Q").await["on_hand"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_operations_are_one_call() {
    let shop = Shop::new().await;
    shop.put("MANY", 0).await;
    let operations = vec![r#"{"op":"adjust","sku":"MANY","delta":1}"#; 10_000].join(",");
    let body = format!(r#"{{"operations":[{operations}]}}"#);
    let told = http::json(shop.address(), "POST", "/api/batch", &body).await.json();
    let results = told["results"].as_array().unwrap();
    let versions: Vec<_> = results.iter().map(|result| result["body"]["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, (2..=10_001).collect::<Vec<_>>());
    assert_eq!(shop.get("/api/inventory/MANY").await["on_hand"], 10_000);
    shop.cluster.check_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stale_read_names_the_index_that_it_is_of() {
    let shop = Shop::new().await;
    shop.put("S", 1).await;
    let held = shop.told(201, "POST", RESERVE, cart("c", "S", false)).await;
    let one = format!("/api/reservations/{}", id(&held));
    shop.cluster.check_digests().await;
    for node in IDS {
        let address = shop.cluster.http(node);
        for path in ["/api/inventory/S", &one, "/api/inventory", "/api/reservations"] {
            let stale = http::get(address, &format!("{path}?consistency=stale")).await;
            let index = stale.json()["applied_index"].as_u64().expect(path);
            assert_eq!(stale.header("lastunit-applied-index"), Some(index.to_string().as_str()), "{path}");
            assert!(stale.header("lastunit-sequence").is_some(), "{path}");
            let fresh = http::get(address, path).await;
            assert_eq!(
                (fresh.json().get("applied_index"), fresh.header("lastunit-applied-index")),
                (None, None)
            );
        }
    }
}
