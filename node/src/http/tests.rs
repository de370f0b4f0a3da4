//! The routes, asked in this process over a store that answers what it is told to.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use raft::ReadError;
use serde_json::{Value, json};
use storage::inventory::command::{Command, IfExpired, OnShortfall, Precondition, Setting};

use super::testing::{Answering, Fake, ask, call, get, json_of, router, text_of, view};
use super::*;

/// A commit of a part that is nothing.
const COMMIT_NOTHING: &str = r#"{"reservation_id":"res_00000000000000000000000001","items":[]}"#;

/// A cart that would wait for two SKUs.
const WAIT_FOR_TWO: &str = r#"{"cart_id":"c","items":[{"sku":"A","qty":1},{"sku":"B","qty":1}],"wait":true}"#;

const RESERVE: &str = r#"{"cart_id":"c-1","items":[{"sku":"PS5","qty":2}]}"#;

async fn told(fake: Fake, request: Request<Body>) -> (u16, Value) {
    let response = ask(&router(&Arc::new(fake)), request).await;
    (response.status().as_u16(), json_of(response).await)
}

/// The command that the store was given by that call.
async fn command_of(method: &str, path: &str, body: &'static str) -> Command {
    let fake = Arc::new(Fake::default());
    let response = ask(&router(&fake), call(method, path, body)).await;
    assert!(response.status().is_success(), "{}", text_of(response).await);
    let mut asked = fake.asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    asked.remove(0).command
}

#[tokio::test]
async fn a_reserve_becomes_a_command_with_a_nonce_of_its_own() {
    let body = r#"{"cart_id":"c","items":[{"sku":"B","qty":1},{"sku":"A","qty":2}],"customer_id":"k","ttl_seconds":9}"#;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let Command::Reserve(reserve) = command_of("POST", "/api/checkout/reserve", body).await else {
            panic!("not a reserve");
        };
        assert_eq!((&*reserve.cart_id, reserve.customer_id.as_deref()), ("c", Some("k")));
        assert_eq!(reserve.ttl_ms, 9_000);
        let items: Vec<_> = reserve.items.iter().map(|item| (item.sku.as_str(), item.qty)).collect();
        assert_eq!(items, [("A", 2), ("B", 1)]);
        nonces.push(reserve.nonce);
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[tokio::test]
async fn each_other_call_becomes_its_command() {
    let id = view().id;
    let body = |more: &str| -> &'static str { format!("{{\"reservation_id\":\"{id}\"{more}}}").leak() };
    let more = ",\"payment_token\":\"p\",\"fencing_token\":7,\"if_expired\":\"reacquire\"";
    let Command::Commit(commit) = command_of("POST", "/api/checkout/commit", body(more)).await else {
        panic!("not a commit");
    };
    assert_eq!((commit.reservation_id, commit.payment_token.as_deref()), (id, Some("p")));
    assert_eq!((commit.fencing_token, commit.if_expired), (Some(7), IfExpired::Reacquire));
    let release = command_of("POST", "/api/checkout/release", body("")).await;
    assert!(matches!(release, Command::Release(release) if release.reservation_id == id));
    let extend = command_of("POST", "/api/checkout/extend", body(",\"ttl_seconds\":60")).await;
    assert!(matches!(extend, Command::Extend(extend) if extend.ttl_ms == 60_000));
    let returned = command_of("POST", "/api/checkout/return", body("")).await;
    assert!(matches!(returned, Command::Return(returned) if returned.reservation_id == id));
    let put = command_of("PUT", "/api/inventory/a%3Ab", r#"{"on_hand":1000000000000000}"#).await;
    assert!(matches!(put, Command::PutSku(put) if put.sku.as_str() == "a:b" && put.safety_stock.is_none()));
    let adjust = command_of("POST", "/api/inventory/A/adjust", r#"{"delta":-5,"reason":"r"}"#).await;
    assert!(matches!(adjust, Command::AdjustSku(adjust) if adjust.delta == -5 && adjust.reference.is_none()));
}

#[tokio::test]
async fn the_optional_fields_reach_their_commands() {
    let part = r#"{"reservation_id":"res_00000000000000000000000001","items":[{"sku":"B","qty":1},{"sku":"A","qty":2}]}"#;
    let plain = |items: &Option<Vec<storage::inventory::ids::Item>>| -> Vec<(String, u64)> {
        items.iter().flatten().map(|item| (item.sku.to_string(), item.qty)).collect()
    };
    let sorted = [("A".to_owned(), 2), ("B".to_owned(), 1)];
    let commit = command_of("POST", "/api/checkout/commit", part).await;
    assert!(matches!(commit, Command::Commit(it) if plain(&it.items) == sorted));
    let release = command_of("POST", "/api/checkout/release", part).await;
    assert!(matches!(release, Command::Release(it) if plain(&it.items) == sorted));
    let back = command_of("POST", "/api/checkout/return", part).await;
    assert!(matches!(back, Command::Return(it) if plain(&it.items) == sorted));
    let wait = r#"{"cart_id":"c","items":[{"sku":"A","qty":1},{"sku":"A","qty":1}],"wait":true}"#;
    let reserve = command_of("POST", "/api/checkout/reserve", wait).await;
    assert!(matches!(reserve, Command::Reserve(it) if it.wait && it.items.len() == 1));
    for (limit, setting) in [
        ("", Setting::Keep),
        (",\"max_per_customer\":null", Setting::Clear),
        (",\"max_per_customer\":1", Setting::Set(1)),
    ] {
        let body = format!("{{\"on_hand\":1{limit},\"on_shortfall\":\"revoke_newest\"}}").leak();
        let put = command_of("PUT", "/api/inventory/A", body).await;
        assert!(matches!(put, Command::PutSku(it)
            if it.max_per_customer == setting && it.on_shortfall == OnShortfall::RevokeNewest));
    }
}

#[tokio::test]
async fn what_a_change_demands_goes_with_its_command() {
    for (method, path, header, tags, demanded) in [
        ("PUT", "/api/inventory/A", "if-match", "\"7\"", Precondition::Versions(vec![7])),
        ("PUT", "/api/inventory/A", "if-none-match", "*", Precondition::Absent),
        ("POST", "/api/inventory/A/adjust", "if-match", "*", Precondition::Exists),
        ("DELETE", "/api/inventory/A", "if-match", "\"7\"", Precondition::Versions(vec![7])),
        ("DELETE", "/api/inventory/A", "accept", "*/*", Precondition::None),
    ] {
        let fake = Arc::new(Fake::default());
        let body = if method == "PUT" { r#"{"on_hand":1}"# } else { r#"{"delta":1}"# };
        let mut request = call(method, path, body);
        request.headers_mut().insert(header, tags.parse().unwrap());
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        assert!(ask(&router(&fake), request).await.status().is_success());
        let asked = fake.asked.lock().unwrap().remove(0);
        assert_eq!(asked.idempotency_key.as_deref(), Some("k"));
        let precondition = match asked.command {
            Command::PutSku(it) => it.precondition,
            Command::AdjustSku(it) => it.precondition,
            Command::DeleteSku(it) => it.precondition,
            other => panic!("{other:?}"),
        };
        assert_eq!(precondition, demanded, "{method} {header}: {tags}");
    }
}

#[tokio::test]
async fn a_malformed_id_in_a_path_is_that_of_no_reservation() {
    for path in ["/api/reservations/7", "/api/reservations/%ff", "/api/reservations/res_0"] {
        let (status, told) = told(Fake::default(), get(path)).await;
        assert_eq!((status, &told["code"]), (404, &"reservation_not_found".into()), "{path}");
    }
}

#[tokio::test]
async fn a_request_of_http_1_1_has_one_host() {
    let router = router(&Arc::new(Fake::default()));
    for (version, hosts, status) in [
        (Version::HTTP_11, 0, 400),
        (Version::HTTP_11, 1, 200),
        (Version::HTTP_11, 2, 400),
        (Version::HTTP_10, 0, 200),
        (Version::HTTP_10, 2, 400),
    ] {
        let mut request = Request::builder().version(version).uri("/livez");
        for _ in 0..hosts {
            request = request.header("host", "a");
        }
        let response = ask(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{version:?}, {hosts}");
        if status == 400 {
            assert_eq!(json_of(response).await["field"], "Host");
        }
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let router = router(&Arc::new(Fake::default()));
    for path in ["/api/inventory/PS5", "/api/inventory/NONE"] {
        let got = ask(&router, get(path)).await;
        let head = ask(&router, call("HEAD", path, "")).await;
        assert_eq!(head.status(), got.status());
        for name in ["content-type", "etag", "cache-control", "lastunit-sequence"] {
            assert_eq!(head.headers().get(name), got.headers().get(name), "{path}: {name}");
        }
        assert_eq!(text_of(head).await, "");
    }
}

/// A cache between that keeps what is told of the state would tell it to others as if it were still so.
#[tokio::test]
async fn caches_keep_nothing_of_the_state_but_what_they_ask_again_for() {
    let router = router(&Arc::new(Fake::default()));
    let reservation = format!("/api/reservations/{}", view().id);
    for (path, etag, caching, vary) in [
        ("/api/inventory/PS5", Some("\"2\""), Some("no-cache"), None),
        ("/api/inventory/PS5?consistency=stale", None, Some("no-store"), None),
        ("/api/inventory/NONE", None, Some("no-store"), None),
        ("/api/inventory", None, Some("no-store"), None),
        (&*reservation, None, Some("no-store"), None),
        ("/api/reservations", None, Some("no-store"), None),
        ("/api/cluster", None, Some("no-store"), None),
        ("/api/audit", None, Some("no-store"), None),
        ("/api/events", None, Some("no-store"), Some("Accept")),
        ("/api/events?limit=0", None, Some("no-store"), Some("Accept")),
        ("/livez", None, None, None),
    ] {
        let response = ask(&router, get(path)).await;
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
        let told = (header("etag"), header("cache-control"), header("vary"));
        assert_eq!(told, (etag, caching, vary), "{path}");
    }
    let mut known = get("/api/inventory/PS5");
    known.headers_mut().insert("if-none-match", "*".parse().unwrap());
    let known = ask(&router, known).await;
    assert_eq!(
        (known.status().as_u16(), &known.headers()["cache-control"]),
        (304, &"no-cache".parse().unwrap())
    );
    let put = ask(&router, call("PUT", "/api/inventory/PS5", r#"{"on_hand":8}"#)).await;
    assert_eq!(put.headers().get("cache-control"), None);
}

#[tokio::test]
async fn a_key_goes_with_its_command() {
    let fake = Arc::new(Fake::default());
    let mut request = call("POST", "/api/checkout/reserve", RESERVE);
    request.headers_mut().insert("Idempotency-Key", "k-1".parse().unwrap());
    assert_eq!(ask(&router(&fake), request).await.status(), 201);
    assert_eq!(fake.asked.lock().unwrap()[0].idempotency_key.as_deref(), Some("k-1"));
}

#[tokio::test]
async fn what_is_refused_by_its_form_never_reaches_the_store() {
    for (method, path, body, field) in [
        ("POST", "/api/checkout/reserve", "{}", "cart_id"),
        ("POST", "/api/checkout/reserve?dry=1", RESERVE, "dry"),
        ("POST", "/api/checkout/commit", r#"{"reservation_id":"r"}"#, "reservation_id"),
        ("PUT", "/api/inventory/a%20b", r#"{"on_hand":1}"#, "sku"),
        ("PUT", "/api/inventory/%ff", r#"{"on_hand":1}"#, "sku"),
        ("PUT", "/api/inventory/A", r#"{"on_hand":1000000000000001}"#, "on_hand"),
        ("PUT", "/api/inventory/A", r#"{"on_hand":1,"safety_stock":1000000000000001}"#, "safety_stock"),
        ("POST", "/api/inventory/A/adjust", r#"{"delta":0}"#, "delta"),
        ("POST", "/api/inventory/A/adjust", r#"{"delta":1000000000000001}"#, "delta"),
        ("POST", "/api/inventory/A/adjust", r#"{"delta":-9223372036854775808}"#, "delta"),
        ("GET", "/api/inventory/A?consistency=eventual", "", "consistency"),
        ("GET", "/api/inventory/a%20b", "", "sku"),
        ("PUT", "/api/inventory/A", r#"{"on_hand":1,"max_per_customer":0}"#, "max_per_customer"),
        (
            "PUT",
            "/api/inventory/A",
            r#"{"on_hand":1,"max_per_customer":1000000000000001}"#,
            "max_per_customer",
        ),
        ("POST", "/api/checkout/commit", COMMIT_NOTHING, "items"),
        ("POST", "/api/checkout/reserve", WAIT_FOR_TWO, "wait"),
        ("DELETE", "/api/inventory/a%20b", "", "sku"),
        ("DELETE", "/api/inventory/A?force=1", "", "force"),
        ("GET", "/api/inventory?prefix=a%20b", "", "prefix"),
        ("GET", "/api/inventory?limit=0", "", "limit"),
        ("GET", "/api/inventory?cursor=made-up", "", "cursor"),
        ("GET", "/api/inventory?sku=A", "", "sku"),
        ("GET", "/api/reservations?cart_id=", "", "cart_id"),
        ("GET", "/api/reservations?sku=a%20b", "", "sku"),
        ("GET", "/api/reservations?state=gone", "", "state"),
        ("GET", "/api/reservations?prefix=A", "", "prefix"),
    ] {
        let fake = Arc::new(Fake::default());
        let response = ask(&router(&fake), call(method, path, body)).await;
        assert_eq!(response.status(), 400, "{method} {path}");
        let told = json_of(response).await;
        assert_eq!((&told["code"], &told["field"]), (&"invalid_request".into(), &field.into()), "{path}");
        assert!(fake.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn paths_methods_and_media_types_are_refused_as_problems() {
    let router = router(&Arc::new(Fake::default()));
    for path in ["/", "/api", "/api/checkout/reserve/", "/api/reservations/", "/api/inventory/a/b", "*"] {
        let response = ask(&router, get(path)).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(json_of(response).await["code"], "not_found", "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/api/checkout/reserve", "POST"),
        ("PATCH", "/api/inventory/A", "GET,HEAD,PUT,DELETE"),
        ("OPTIONS", "/api/inventory/A", "GET,HEAD,PUT,DELETE"),
        ("DELETE", "/api/inventory", "GET,HEAD"),
        ("GET", "/api/batch", "POST"),
        ("POST", "/livez", "GET,HEAD"),
    ] {
        let response = ask(&router, call(method, path, "")).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &allow.parse().unwrap())
        );
        assert_eq!(json_of(response).await["code"], "method_not_allowed");
    }
    let mut plain = call("POST", "/api/checkout/reserve", RESERVE);
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let response = ask(&router, plain).await;
    assert_eq!(response.status(), 415);
    assert_eq!(json_of(response).await["code"], "unsupported_media_type");
}

#[tokio::test]
async fn reads_answer_what_the_store_found() {
    let (status, told_stock) = told(Fake::default(), get("/api/inventory/PS5?consistency=stale")).await;
    assert_eq!(
        (status, &told_stock["available"], &told_stock["applied_index"]),
        (200, &6.into(), &17.into())
    );
    let path = format!("/api/reservations/{}", view().id);
    let (status, told_hold) = told(Fake::default(), get(&path)).await;
    assert_eq!((status, &told_hold["cart_id"]), (200, &"c-1".into()));
    let none = || Fake::of(Inventory::default());
    assert_eq!(told(none(), get("/api/inventory/PS5")).await.1["code"], "sku_not_found");
    assert_eq!(told(none(), get(&path)).await.1["code"], "reservation_not_found");
    for (error, code) in [
        (ReadError::NoLeader, "no_leader"),
        (ReadError::NoQuorum, "no_quorum"),
        (ReadError::Overloaded, "overloaded"),
    ] {
        let (status, told) =
            told(Fake { read_error: Some(error), ..Fake::default() }, get("/api/inventory/PS5")).await;
        assert_eq!((status, &told["code"]), (503, &code.into()));
    }
}

#[tokio::test]
async fn the_cluster_is_told_as_this_node_sees_it() {
    let (status, told) = told(Fake::default(), get("/api/cluster")).await;
    let member = |id: u64, role, reachable, matched: Option<u64>| {
        json!({"id": id, "role": role, "http": format!("h{id}:1"), "raft": format!("h{id}:2"),
               "reachable": reachable, "matched_index": matched,
               "version": matched.map(|_| "1.2.3"), "feature_level_max": matched.map(|_| 4)})
    };
    let expected = json!({
        "cluster": "shop", "node_id": 1, "leader_id": 1, "term": 3, "applied_index": 17, "committed_index": 18,
        "state_digest": "0000000000000abc", "feature_level": 3,
        "members": [member(1, "leader", true, Some(17)), member(2, "follower", false, None)],
    });
    assert_eq!((status, told), (200, expected));
}

#[tokio::test]
async fn an_audit_tells_what_each_node_has_found_or_why_it_did_not() {
    let (status, told_audit) = told(Fake::default(), get("/api/audit")).await;
    let image = |digest: &str, findings: &[&str]| {
        json!({"applied_index": 18, "state_digest": digest, "skus": 1, "reservations": 0, "holds": 0, "waiting": 0,
               "answers": 0, "customers": 0, "events": 0, "on_hand": 0, "held": 2, "sold": 0, "findings": findings,
               "findings_total": findings.len()})
    };
    let digest = "0000000000000abc";
    let expected = json!({
        "cluster": "shop", "node_id": 1, "applied_index": 17, "verdict": "broken", "agree": true,
        "nodes": [
            {"id": 1, "state_digest": digest, "image": image("0000000000000abd", &[])},
            {"id": 2, "state_digest": digest, "image": image("0000000000000abe", &["PS5: held is 2"])},
            {"id": 3, "error": "not sent"},
        ],
    });
    assert_eq!((status, told_audit), (200, expected));
    let fake = Fake { read_error: Some(ReadError::NoQuorum), ..Fake::default() };
    let (status, told_why) = told(fake, get("/api/audit")).await;
    assert_eq!((status, &told_why["code"]), (503, &"no_quorum".into()));
    assert_eq!(told(Fake::default(), get("/api/audit?deep=1")).await.0, 400);
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    assert_eq!(told(Fake::default(), get("/readyz")).await.0, 200);
    let fake = Fake { ready: Err("no linearizable read".to_owned()), ..Fake::default() };
    let (status, told_why) = told(fake, get("/readyz")).await;
    assert_eq!(status, 503);
    assert!(told_why["detail"].as_str().unwrap().contains("no linearizable read"));
    assert_eq!(told(Fake::default(), get("/livez")).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_leaves_the_outcome_unknown() {
    let fake = Fake { answer: Answering::Never, ..Fake::default() };
    let (status, told) = told(fake, call("POST", "/api/checkout/reserve", RESERVE)).await;
    assert_eq!((status, &told["executed"]), (504, &"unknown".into()));
}

#[tokio::test]
async fn past_the_bound_calls_are_refused_at_once_but_operators_are_heard() {
    let fake = Arc::new(Fake::default());
    let api = Api::new(Arc::clone(&fake), "shop".to_owned(), 1, 1800);
    api.calls.store(CALLS_MAX, Ordering::Relaxed);
    let router = api.service().router;
    let response = ask(&router, call("POST", "/api/checkout/reserve", RESERVE)).await;
    assert_eq!(response.status(), 503);
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&seconds), "{seconds}");
    assert_eq!(json_of(response).await["code"], "overloaded");
    assert!(fake.asked.lock().unwrap().is_empty());
    let metrics = text_of(ask(&router, get("/metrics")).await).await;
    let line = r#"lastunit_http_requests_total{method="POST",route="/api/checkout/reserve",status="503"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_finished_call_makes_room_for_the_next() {
    let api = Api::new(Arc::new(Fake::default()), "shop".to_owned(), 1, 1800);
    api.calls.store(CALLS_MAX - 1, Ordering::Relaxed);
    let router = api.service().router;
    for _ in 0..3 {
        assert_eq!(ask(&router, call("POST", "/api/checkout/reserve", RESERVE)).await.status(), 201);
    }
}
