//! Every way in which a body can be wrong, and the field that is named for it.

use axum::response::IntoResponse;
use serde_json::Value;

use super::*;
use crate::http::testing::json_of;

async fn told(problem: Problem) -> (u16, Value) {
    let response = problem.into_response();
    (response.status().as_u16(), json_of(response).await)
}

async fn field_of<T: JsonBody + std::fmt::Debug>(body: &[u8]) -> String {
    let shown = String::from_utf8_lossy(body).into_owned();
    let (status, told) = told(parse::<T>(body).expect_err(&shown)).await;
    assert_eq!((status, &told["code"]), (400, &Value::from("invalid_request")), "{shown}");
    told["field"].as_str().expect(&shown).to_owned()
}

#[test]
fn a_whole_reserve_parses() {
    let body = br#" {"cart_id":"[{\"\\","items":[{"sku":"A","qty":1},{"qty":2,"sku":"B"}],"customer_id":"k","ttl_seconds":9} "#;
    let parsed: ReserveRequest = parse(body).unwrap();
    assert_eq!((parsed.cart_id.as_str(), parsed.items.len(), parsed.ttl_seconds), ("[{\"\\", 2, Some(9)));
}

#[tokio::test]
async fn a_wrong_reserve_names_its_field() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"7", "body"),
        (b"{}", "cart_id"),
        (br#"{"cart_id":"c"}"#, "items"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":1}]} x"#, "body"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":1}]}{}"#, "body"),
        (br#"{"cart_id":7,"items":[]}"#, "cart_id"),
        (br#"{"cart_id":null,"items":[]}"#, "cart_id"),
        (br#"{"cart_id":"c","items":{}}"#, "items"),
        (br#"{"cart_id":"c","items":[7]}"#, "items[0]"),
        (br#"{"cart_id":"c","items":[{"sku":"A"}]}"#, "items[0].qty"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":1},{"qty":1}]}"#, "items[1].sku"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":"1"}]}"#, "items[0].qty"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":1.0}]}"#, "items[0].qty"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":1e3}]}"#, "items[0].qty"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":-1}]}"#, "items[0].qty"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":18446744073709551616}]}"#, "items[0].qty"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":1,"colour":"red"}]}"#, "items[0].colour"),
        (br#"{"cart_id":"c","items":[{"sku":"A","sku":"B","qty":1}]}"#, "items[0].sku"),
        (br#"{"cart_id":"c","cart_id":"d","items":[]}"#, "cart_id"),
        (br#"{"cart_id":"c","items":[],"colour":"red"}"#, "colour"),
        (br#"{"cart_id":"c","items":[],"wait":"true"}"#, "wait"),
        (br#"{"cart_id":"c","items":[],"wait":1}"#, "wait"),
        (br#"{"cart_id":"c","items":[],"wait":null}"#, "wait"),
        (br#"{"cart_id":"c","items":[],"ttl_seconds":null}"#, "ttl_seconds"),
        (br#"{"cart_id":"null","items":[],"customer_id":null}"#, "customer_id"),
        (br#"{"cart_id":"c","items":null}"#, "items"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":-0}]}"#, "items[0].qty"),
        (br#"{"cart_id":"c","items":[{"sku":"A","qty":null}]}"#, "items[0].qty"),
        (br#"{"cart_id":"c","items":[],"ttl_seconds":"9"}"#, "ttl_seconds"),
        (br#"{"cart_id":"c","items":[],"ttl_seconds":99999999999999999999}"#, "ttl_seconds"),
        (br#"{"cart_id":"c","items":[],"customer_id":["k"]}"#, "customer_id"),
        (b"{\"cart_id\":\"\xff\",\"items\":[]}", "cart_id"),
        (b"{\"\xff\":1}", "body"),
        (br#"{"cart_id":"\ud800","items":[]}"#, "cart_id"),
    ];
    for (body, field) in cases {
        assert_eq!(field_of::<ReserveRequest>(body).await, *field, "{}", String::from_utf8_lossy(body));
    }
}

#[tokio::test]
async fn wrong_bodies_of_the_other_calls_name_their_field() {
    assert_eq!(field_of::<CommitRequest>(br#"{"payment_token":"p"}"#).await, "reservation_id");
    assert_eq!(field_of::<CommitRequest>(br#"{"reservation_id":"r","if_expired":"no"}"#).await, "if_expired");
    assert_eq!(
        field_of::<CommitRequest>(br#"{"reservation_id":"r","fencing_token":-1}"#).await,
        "fencing_token"
    );
    for optional in ["payment_token", "fencing_token", "if_expired", "items"] {
        let body = format!(r#"{{"reservation_id":"r","{optional}":null}}"#);
        assert_eq!(field_of::<CommitRequest>(body.as_bytes()).await, optional);
    }
    let items = br#"{"reservation_id":"r","items":[{"sku":"A","qty":1},{"sku":"A"}]}"#;
    assert_eq!(field_of::<CommitRequest>(items).await, "items[1].qty");
    assert_eq!(field_of::<ReleaseRequest>(br#"{"reservation_id":"r","items":{}}"#).await, "items");
    assert_eq!(field_of::<ReturnRequest>(br#"{"reservation_id":"r","items":["A"]}"#).await, "items[0]");
    assert_eq!(
        field_of::<ExtendRequest>(br#"{"reservation_id":"r","ttl_seconds":1.5}"#).await,
        "ttl_seconds"
    );
    assert_eq!(field_of::<ReturnRequest>(br#"{"reservation_id":7}"#).await, "reservation_id");
    assert_eq!(field_of::<PutSkuRequest>(br#"{"safety_stock":1}"#).await, "on_hand");
    for (body, field) in [
        (&br#"{"on_hand":1,"max_per_customer":"1"}"#[..], "max_per_customer"),
        (br#"{"on_hand":1,"max_per_customer":-1}"#, "max_per_customer"),
        (br#"{"on_hand":1,"max_per_customer":null,"safety_stock":null}"#, "safety_stock"),
        (br#"{"on_hand":1,"on_shortfall":null}"#, "on_shortfall"),
        (br#"{"on_hand":1,"on_shortfall":"revoke"}"#, "on_shortfall"),
    ] {
        assert_eq!(field_of::<PutSkuRequest>(body).await, field);
    }
    for (body, limit) in [
        (&br#"{"on_hand":1}"#[..], None),
        (br#"{"on_hand":1,"max_per_customer":null}"#, Some(None)),
        (br#"{"on_hand":1,"max_per_customer":2}"#, Some(Some(2))),
    ] {
        assert_eq!(parse::<PutSkuRequest>(body).unwrap().max_per_customer, limit);
    }
    assert_eq!(field_of::<AdjustRequest>(br#"{"delta":9223372036854775808}"#).await, "delta");
    assert_eq!(field_of::<AdjustRequest>(br#"{"delta":1,"reason":{}}"#).await, "reason");
}

#[tokio::test]
async fn nesting_costs_nothing() {
    for nested in ["[".repeat(1_000_000), "{\"a\":".repeat(200_000)] {
        let body = format!("{{\"cart_id\":{nested}");
        assert_eq!(field_of::<ReserveRequest>(body.as_bytes()).await, "cart_id");
        let alone = field_of::<ReserveRequest>(nested.as_bytes()).await;
        assert!(["body[0]", "a"].contains(&alone.as_str()), "{alone}");
    }
}

/// Serde's derived types read an array field by field, and `{"fail":null}` as the word `fail`.
#[tokio::test]
async fn an_array_is_no_object_and_an_object_no_word() {
    assert_eq!(field_of::<ReserveRequest>(br#"["c",[{"sku":"A","qty":1}],null,null]"#).await, "body");
    assert_eq!(field_of::<ReserveRequest>(br#"{"cart_id":"c","items":[["A",1]]}"#).await, "body");
    assert_eq!(field_of::<ReleaseRequest>(br#"["r"]"#).await, "body");
    let commit = br#"{"reservation_id":"r","if_expired":{"fail":null}}"#;
    assert_eq!(field_of::<CommitRequest>(commit).await, "body");
}

#[test]
fn only_json_in_utf_8_is_a_content_type() {
    for (media_type, good) in [
        ("application/json", true),
        ("Application/JSON", true),
        ("application/json; charset=utf-8", true),
        ("application/json;charset=\"UTF-8\"", true),
        ("application/json; charset=latin1", false),
        ("application/json; profile=x", false),
        ("application/jsonp", false),
        ("text/plain", false),
        ("application/x-www-form-urlencoded", false),
        ("", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, media_type.parse().unwrap());
        assert_eq!(check_content_type(&headers).is_ok(), good, "{media_type}");
    }
    assert!(check_content_type(&HeaderMap::new()).is_err());
    let mut twice = HeaderMap::new();
    twice.append(CONTENT_TYPE, "application/json".parse().unwrap());
    twice.append(CONTENT_TYPE, "application/json".parse().unwrap());
    assert!(check_content_type(&twice).is_err());
}

#[tokio::test]
async fn a_body_is_bounded_whether_or_not_it_says_its_length() {
    let at = bytes(Body::from(vec![b' '; BODY_BYTES_MAX])).await;
    assert_eq!(at.unwrap().len(), BODY_BYTES_MAX);
    let past = bytes(Body::from(vec![b' '; BODY_BYTES_MAX + 1])).await.unwrap_err();
    assert_eq!(told(past).await.0, 413);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, (BODY_BYTES_MAX as u64).into());
    assert_eq!(check_length(&headers, BODY_BYTES_MAX).unwrap(), BODY_BYTES_MAX);
    headers.insert(CONTENT_LENGTH, (BODY_BYTES_MAX as u64 + 1).into());
    let past = check_length(&headers, BODY_BYTES_MAX).unwrap_err();
    assert_eq!(told(past).await.1["code"], "body_too_large");
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    for (encoding, good) in [("identity", true), ("Identity", true), ("gzip", false), ("identity, br", false)]
    {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        let checked = check_content_type(&headers);
        assert_eq!(checked.is_ok(), good, "{encoding}");
        if let Err(problem) = checked {
            let response = problem.into_response();
            assert_eq!(response.status(), 415);
            assert_eq!(response.headers()["accept-encoding"], "identity");
        }
    }
}

fn of_batch(length: Option<usize>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
    length.into_iter().for_each(|length| drop(headers.insert(CONTENT_LENGTH, length.into())));
    headers
}

#[tokio::test]
async fn a_big_body_takes_room_for_what_it_has_above_a_small_one() {
    for (length, room_taken) in [
        (0, 0),
        (BODY_BYTES_MAX, 0),
        (BODY_BYTES_MAX + 1, 1),
        (2 * BODY_BYTES_MAX, 1),
        (2 * BODY_BYTES_MAX + 1, 2),
        (BATCH_BYTES_MAX, 31),
    ] {
        for claimed in [None, Some(length)] {
            let room = Arc::new(Semaphore::new(31));
            let body = Body::from(vec![b' '; length]);
            let big = read_big(&of_batch(claimed), body, &room).await.map_err(|_| "refused").unwrap();
            assert_eq!((big.bytes.len(), 31 - room.available_permits()), (length, room_taken), "{claimed:?}");
            drop(big);
            assert_eq!(room.available_permits(), 31);
        }
    }
}

#[tokio::test]
async fn without_room_a_big_body_is_refused_and_a_small_one_is_not() {
    let room = Arc::new(Semaphore::new(1));
    let body = |length| Body::from(vec![b' '; length]);
    for claimed in [None, Some(3 * BODY_BYTES_MAX)] {
        let refused = read_big(&of_batch(claimed), body(3 * BODY_BYTES_MAX), &room).await;
        let (status, told) = told(refused.map(drop).unwrap_err()).await;
        assert_eq!((status, &told["code"]), (503, &"overloaded".into()));
        assert_eq!(room.available_permits(), 1, "what is refused takes no room");
    }
    let held = read_big(&of_batch(None), body(2 * BODY_BYTES_MAX), &room).await.map_err(drop).unwrap();
    assert!(read_big(&of_batch(None), body(BODY_BYTES_MAX), &room).await.is_ok());
    drop(held);
    for claimed in [None, Some(BATCH_BYTES_MAX + 1)] {
        let room = Arc::new(Semaphore::new(64));
        let refused = read_big(&of_batch(claimed), body(BATCH_BYTES_MAX + 1), &room).await;
        assert_eq!(told(refused.map(drop).unwrap_err()).await.0, 413);
    }
}
