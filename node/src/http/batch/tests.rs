//! Batches of all kinds, over a store that answers what it is told to.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::http::testing::{Fake, ask, call, json_of, put, router, view};

const RESERVE: &str = r#"{"op":"reserve","cart_id":"c","items":[{"sku":"A","qty":1}]}"#;

async fn told(fake: &Arc<Fake>, body: String) -> (u16, Value) {
    let response = ask(&router(fake), call("POST", "/api/batch", body)).await;
    (response.status().as_u16(), json_of(response).await)
}

fn batch_of(operations: &[&str]) -> String {
    format!("{{\"operations\":[{}]}}", operations.join(","))
}

#[tokio::test]
async fn each_operation_becomes_its_command_in_order() {
    let id = view().id;
    let of = |op: &str, more: &str| format!(r#"{{"reservation_id":"{id}"{more},"op":"{op}"}}"#);
    let part = r#","items":[{"sku":"A","qty":2}]"#;
    let operations = [
        r#"{"op":"reserve","idempotency_key":"k","cart_id":"c","items":[{"sku":"A","qty":1}],"wait":true}"#
            .to_owned(),
        of("commit", &format!(r#"{part},"payment_token":"p","fencing_token":7,"if_expired":"reacquire""#)),
        of("release", part),
        of("extend", r#","ttl_seconds":60"#),
        of("return", ""),
        r#"{"op":"adjust","sku":"A","delta":-5,"reason":"r","on_shortfall":"revoke_newest"}"#.to_owned(),
    ];
    let fake = Arc::new(Fake::default());
    let operations: Vec<&str> = operations.iter().map(String::as_str).collect();
    let (status, told) = told(&fake, batch_of(&operations)).await;
    assert_eq!((status, told["results"].as_array().unwrap().len()), (200, 6), "{told}");
    let asked = fake.asked.lock().unwrap();
    assert_eq!(asked[0].idempotency_key.as_deref(), Some("k"));
    assert!(matches!(&asked[0].command, Command::Reserve(it) if it.wait && &*it.cart_id == "c"));
    assert!(matches!(&asked[1].command, Command::Commit(it)
        if it.reservation_id == id && it.fencing_token == Some(7) && it.items.as_ref().unwrap()[0].qty == 2));
    assert!(matches!(&asked[2].command, Command::Release(it) if it.items.is_some()));
    assert!(matches!(&asked[3].command, Command::Extend(it) if it.ttl_ms == 60_000));
    assert!(matches!(&asked[4].command, Command::Return(it) if it.items.is_none()));
    assert!(matches!(&asked[5].command, Command::AdjustSku(it)
        if it.delta == -5 && it.on_shortfall == command::OnShortfall::RevokeNewest
            && it.precondition == Precondition::None));
    assert!(asked[1..].iter().all(|request| request.idempotency_key.is_none()));
}

#[tokio::test]
async fn a_bad_operation_fails_alone() {
    for (bad, field) in [
        ("{}", "op"),
        (r#"{"op":"put"}"#, "op"),
        (r#"{"op":null}"#, "op"),
        (r#"{"op":{"reserve":null},"cart_id":"c","items":[{"sku":"A","qty":1}]}"#, "body"),
        (r#"{"op":"reserve","op":"reserve"}"#, "op"),
        (r#"{"op":"reserve","items":[{"sku":"A","qty":1}]}"#, "cart_id"),
        (r#"{"op":"reserve","cart_id":"c"}"#, "items"),
        (r#"{"op":"reserve","cart_id":"c","items":[]}"#, "items"),
        (r#"{"op":"reserve","cart_id":"c","items":[["A",1]]}"#, "body"),
        (r#"{"op":"reserve","cart_id":"c","items":[{"sku":"A","qty":0}]}"#, "items[0].qty"),
        (r#"{"op":"reserve","cart_id":"c","items":[{"sku":"A","qty":1.0}]}"#, "items[0].qty"),
        (r#"{"op":"reserve","cart_id":"c","items":[{"sku":"A","qty":1,"x":1}]}"#, "items[0].x"),
        (r#"{"op":"reserve","cart_id":"c","cart_id":"d"}"#, "cart_id"),
        (r#"{"op":"reserve","cart_id":"c","items":[{"sku":"A","qty":1}],"customer_id":null}"#, "customer_id"),
        (r#"{"op":"reserve","cart_id":"c","items":[{"sku":"A","qty":1}],"delta":1}"#, "delta"),
        (r#"{"op":"reserve","cart_id":"c","items":[{"sku":"A","qty":1}],"colour":1}"#, "colour"),
        (
            r#"{"op":"reserve","cart_id":"c","items":[{"sku":"A","qty":1},{"sku":"B","qty":1}],"wait":true}"#,
            "wait",
        ),
        (r#"{"op":"reserve","cart_id":"\ud800","items":[]}"#, "cart_id"),
        (r#"{"op":"reserve","idempotency_key":"","cart_id":"c","items":[]}"#, "idempotency_key"),
        (r#"{"op":"reserve","idempotency_key":"a b","cart_id":"c","items":[]}"#, "idempotency_key"),
        (r#"{"op":"commit"}"#, "reservation_id"),
        (r#"{"op":"release","reservation_id":"r"}"#, "reservation_id"),
        (r#"{"op":"extend","reservation_id":"res_00000000000000000000000001","items":[]}"#, "items"),
        (r#"{"op":"adjust","delta":1}"#, "sku"),
        (r#"{"op":"adjust","sku":"a b","delta":1}"#, "sku"),
        (r#"{"op":"adjust","sku":"A","delta":0}"#, "delta"),
        (r#"{"op":"adjust","sku":"A","delta":9223372036854775808}"#, "delta"),
    ] {
        let fake = Arc::new(Fake::default());
        let (status, told) = told(&fake, batch_of(&[RESERVE, bad, RESERVE])).await;
        let statuses: Vec<_> =
            (0..3).map(|place| told["results"][place]["status"].as_u64().unwrap()).collect();
        assert_eq!((status, statuses), (200, vec![201, 400, 201]), "{bad}: {told}");
        let refused = &told["results"][1];
        assert_eq!(refused["body"]["field"], field, "{bad}: {refused}");
        assert_eq!((&refused["body"]["code"], refused.get("sequence")), (&"invalid_request".into(), None));
        assert_eq!(fake.asked.lock().unwrap().len(), 2, "{bad}");
    }
}

#[tokio::test]
async fn an_operation_as_deep_as_a_well_fails_alone() {
    let deep = format!(r#"{{"op":"adjust","sku":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let (status, told) = told(&Arc::new(Fake::default()), batch_of(&[&deep, RESERVE])).await;
    assert_eq!(
        (status, &told["results"][0]["status"], &told["results"][1]["status"]),
        (200, &400.into(), &201.into())
    );
}

#[tokio::test]
async fn what_is_no_batch_is_refused_whole() {
    let many = |count: usize| batch_of(&vec!["{}"; count]);
    for (body, field) in [
        (String::new(), "body"),
        ("null".to_owned(), "body"),
        ("[]".to_owned(), "body"),
        (format!(" [[{RESERVE}]]"), "body"),
        ("{}".to_owned(), "operations"),
        (r#"{"operations":null}"#.to_owned(), "operations"),
        (r#"{"operations":{}}"#.to_owned(), "operations"),
        (batch_of(&[]), "operations"),
        (batch_of(&[RESERVE, "7"]), "operations[1]"),
        (batch_of(&["[]"]), "operations[0]"),
        (batch_of(&["null", RESERVE]), "operations[0]"),
        (format!(r#"{{"operations":[{RESERVE}],"atomic":true}}"#), "atomic"),
        (format!(r#"{{"operations":[{RESERVE}],"operations":[]}}"#), "operations"),
        (format!("{} x", batch_of(&[RESERVE])), "body"),
        (many(10_001), "operations"),
    ] {
        let fake = Arc::new(Fake::default());
        let (status, told) = told(&fake, body.clone()).await;
        assert_eq!((status, &told["field"]), (400, &field.into()), "{body:.80}: {told}");
        assert!(fake.asked.lock().unwrap().is_empty());
    }
    for broken in [r#"{"operations":[{"op":}]}"#, r#"{"operations":[{"op":"reserve"}"#] {
        let (status, told) = told(&Arc::new(Fake::default()), broken.to_owned()).await;
        assert_eq!((status, &told["code"]), (400, &"invalid_request".into()), "{broken}");
        assert!(told["field"].as_str().unwrap().starts_with("operations"), "{told}");
    }
    assert_eq!(told(&Arc::new(Fake::default()), many(10_000)).await.0, 200);
}

#[tokio::test]
async fn a_key_of_the_whole_batch_is_refused() {
    let fake = Arc::new(Fake::default());
    let mut request = call("POST", "/api/batch", batch_of(&[RESERVE]));
    request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
    let response = ask(&router(&fake), request).await;
    assert_eq!(response.status(), 400);
    assert_eq!(json_of(response).await["field"], "Idempotency-Key");
    let response = ask(&router(&fake), call("POST", "/api/batch?dry=1", batch_of(&[RESERVE]))).await;
    assert_eq!(json_of(response).await["field"], "dry");
    assert!(fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_refuses_is_told_for_each_operation() {
    let answer = crate::http::testing::Answering::Always(Box::new(Err(ProposeError::NoQuorum)));
    let fake = Arc::new(Fake { answer, ..Fake::default() });
    let (status, told) = told(&fake, batch_of(&[RESERVE, "{}", RESERVE])).await;
    assert_eq!(status, 200);
    for place in [0, 2] {
        let result = &told["results"][place];
        let expected = json!([503, 1, "no_quorum"]);
        assert_eq!(json!([result["status"], result["retry_after"], result["body"]["code"]]), expected);
    }
}

/// A client that does not read its answer would otherwise make room for the next batch, again and again.
#[tokio::test]
async fn a_batch_keeps_its_room_until_its_answer_is_sent() {
    let room = Arc::new(tokio::sync::Semaphore::new(1));
    let taken = Arc::clone(&room).try_acquire_owned().unwrap();
    let answer = reply::results(Vec::new().into_iter(), Some(taken));
    let sent = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    assert_eq!(room.available_permits(), 0, "the body was handed over and is not sent yet");
    drop(sent);
    assert_eq!(room.available_permits(), 1);
}

#[tokio::test]
async fn an_adjust_past_the_most_units_names_its_delta_alone_and_in_a_batch() {
    let fake = Fake::of(storage::inventory::Inventory::default());
    fake.apply(0, Command::PutSku(put("A", 1))).result.unwrap();
    let fake = Arc::new(fake);
    let adjust = r#""delta":1000000000000000"#;
    let (_, batch) = told(&fake, batch_of(&[&format!(r#"{{"op":"adjust","sku":"A",{adjust}}}"#)])).await;
    let single = call("POST", "/api/inventory/A/adjust", format!("{{{adjust}}}"));
    let single = json_of(ask(&router(&fake), single).await).await;
    for told in [&single, &batch["results"][0]["body"]] {
        assert_eq!((&told["status"], &told["field"]), (&400.into(), &"delta".into()), "{told}");
    }
}
