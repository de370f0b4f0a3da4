//! Every outcome and every rejection, with the answer that it becomes.

use std::collections::BTreeSet;

use raft::{Answer, Limit};
use serde_json::{Value, json};
use storage::inventory::ids::{Item, ReservationId};
use storage::inventory::outcome::{
    Applied, Outcome, Rejection, ReservationView, Shortage, State, StockView, Total,
};
use storage::inventory::query::Page;

use super::*;
use crate::http::precondition::ReadConditions;
use crate::http::testing::{applied, json_of, sku, stock_view, text_of, view};

/// The status, the headers that matter and the body of the answer to a command.
async fn told(answer: Result<Answer, ProposeError>) -> (u16, Value, Value) {
    parts(command(answer, "on_hand")).await
}

async fn parts(response: Response) -> (u16, Value, Value) {
    let status = response.status().as_u16();
    let mut headers = serde_json::Map::new();
    for (name, value) in response.headers() {
        if name != CONTENT_TYPE {
            headers.insert(name.to_string(), value.to_str().unwrap().into());
        }
    }
    if [204, 304].contains(&status) {
        assert!(!response.headers().contains_key(CONTENT_TYPE));
        assert_eq!(text_of(response).await, "");
        return (status, headers.into(), Value::Null);
    }
    let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap();
    let problem = if status < 400 { "application/json" } else { "application/problem+json" };
    assert_eq!(content_type, problem);
    (status, headers.into(), json_of(response).await)
}

fn hold() -> Value {
    json!({
        "reservation_id": "res_000000000005000000000000007",
        "state": "held",
        "cart_id": "c-1",
        "items": [{"sku": "PS5", "qty": 2}],
        "expires_in": 299,
        "expires_at": "2026-11-18T11:11:40.123Z",
        "created_at": "2026-11-18T11:06:40.123Z",
        "fencing_token": 42,
    })
}

fn with(mut record: Value, more: Value) -> Value {
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

fn record() -> Value {
    json!({
        "sku": "PS5", "on_hand": 10, "held": 3, "available": 6, "sold": 5, "safety_stock": 1,
        "max_per_customer": null, "waiting": 0, "version": 9,
    })
}

#[tokio::test]
async fn every_outcome_has_its_status_and_record() {
    let id = view().id.to_string();
    let hold = || with(hold(), json!({"reservation_id": id.as_str()}));
    let committed = ReservationView {
        state: State::Committed,
        customer_id: Some("k".into()),
        committed_ms: Some(view().now_ms),
        payment_token: Some("pay".into()),
        returned: vec![Item { sku: sku("PS5"), qty: 1 }],
        ..view()
    };
    let sold = with(
        hold(),
        json!({
            "state": "committed", "expires_in": 0, "customer_id": "k", "payment_token": "pay",
            "committed_at": "2026-11-18T11:06:40.124Z", "returned": [{"sku": "PS5", "qty": 1}],
        }),
    );
    let ended = |state| ReservationView { state, ..view() };
    let waits = ReservationView { state: State::Waiting, grant: None, position: Some(3), ..view() };
    let mut in_line = with(hold(), json!({"state": "waiting", "position": 3}));
    for of_a_hold in ["expires_in", "expires_at", "fencing_token"] {
        in_line.as_object_mut().unwrap().remove(of_a_hold);
    }
    let mut left_the_line = with(in_line.clone(), json!({"state": "released"}));
    left_the_line.as_object_mut().unwrap().remove("position");
    let left = ReservationView { state: State::Released, position: None, ..waits.clone() };
    let gone = |state: &str| with(hold(), json!({"state": state, "expires_in": 0}));
    for (outcome, status, body) in [
        (Outcome::Reserved(view()), 201, hold()),
        (Outcome::AlreadyReserved(view()), 200, hold()),
        (Outcome::AlreadyReserved(waits.clone()), 202, in_line.clone()),
        (Outcome::Waiting(waits), 202, in_line),
        (Outcome::Released(left), 200, left_the_line),
        (Outcome::Released(ended(State::Revoked)), 200, gone("revoked")),
        (Outcome::Extended(view()), 200, hold()),
        (Outcome::Committed(committed.clone()), 200, sold.clone()),
        (Outcome::Returned(committed), 200, sold),
        (Outcome::Released(ended(State::Released)), 200, gone("released")),
        (Outcome::Released(ended(State::Expired)), 200, gone("expired")),
        (Outcome::SkuCreated(stock_view("PS5")), 201, record()),
        (Outcome::SkuSet(stock_view("PS5")), 200, record()),
        (Outcome::SkuDeleted, 204, Value::Null),
    ] {
        let told = told(Ok(applied(Ok(outcome.clone())))).await;
        let headers = match outcome {
            Outcome::SkuCreated(_) | Outcome::SkuSet(_) => {
                json!({"lastunit-sequence": "40", "etag": "\"9\""})
            }
            _ => json!({"lastunit-sequence": "40"}),
        };
        assert_eq!(told, (status, headers, body), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_replay_is_the_first_answer_with_one_more_header() {
    let result = Ok(Outcome::Reserved(view()));
    let first = told(Ok(applied(result.clone()))).await;
    let replay = Answer::Applied(Applied { sequence: 40, replayed: true, result });
    let headers = json!({"lastunit-sequence": "40", "idempotency-replayed": "true"});
    assert_eq!(told(Ok(replay)).await, (first.0, headers, first.2));
}

#[tokio::test]
async fn every_rejection_has_its_status_and_code() {
    let shortage = Shortage { sku: sku("PS5"), requested: 2, available: 1, held: 3, sold_out: false };
    let shortages = vec![shortage];
    let told_shortages =
        json!([{"sku": "PS5", "requested": 2, "available": 1, "held": 3, "sold_out": false}]);
    let reservation_id = ReservationId { sequence: 1, nonce: 2 };
    let held =
        |earliest_ms| Rejection::HeldByOthers { shortages: shortages.clone(), earliest_ms, now_ms: 5_000 };
    let limit = |sold| Rejection::CustomerLimit { sku: sku("A"), limit: 2, held: 1, sold, requested: 1 };
    let limit_told = json!({"sku": "A", "limit": 2, "held": 1, "requested": 1});
    let held_told = json!({"shortages": told_shortages, "retryable": true});
    for (rejection, status, code, more, retry_after) in [
        (Rejection::Invalid { field: "qty".into() }, 400, "invalid_request", json!({"field": "qty"}), None),
        (Rejection::IdempotencyKeyReused, 422, "idempotency_key_reused", json!({}), None),
        (Rejection::ReservationNotFound, 404, "reservation_not_found", json!({}), None),
        (Rejection::FencingTokenStale { current: 9 }, 412, "fencing_token_stale", json!({}), None),
        (
            Rejection::PreconditionFailed { current: Some(7) },
            412,
            "precondition_failed",
            json!({"version": 7}),
            None,
        ),
        (
            Rejection::PreconditionFailed { current: None },
            412,
            "precondition_failed",
            json!({"version": null}),
            None,
        ),
        (Rejection::ReservationWaiting, 409, "reservation_waiting", json!({"retryable": true}), None),
        (limit(1), 409, "customer_limit", with(limit_told.clone(), json!({"retryable": true})), None),
        (limit(2), 409, "customer_limit", with(limit_told, json!({"sold": 2})), None),
        (
            Rejection::CustomerTotal { of: Total::Holds, limit: 2, has: 2, requested: 1 },
            409,
            "customer_limit",
            json!({"limited_by": "customer_holds_max", "limit": 2, "has": 2, "requested": 1, "retryable": true}),
            None,
        ),
        (
            Rejection::CustomerTotal { of: Total::Units, limit: 2, has: 0, requested: 3 },
            409,
            "customer_limit",
            json!({"limited_by": "customer_units_max", "limit": 2, "has": 0, "requested": 3, "retryable": false}),
            None,
        ),
        (
            Rejection::ExtensionLimit { limit: 2 },
            409,
            "hold_limit",
            json!({"limited_by": "hold_extensions_max", "limit": 2}),
            None,
        ),
        (
            Rejection::SkuHasHolds { stock: StockView { waiting: 4, ..stock_view("A") } },
            409,
            "sku_has_holds",
            json!({"held": 3, "waiting": 4, "retryable": true}),
            None,
        ),
        (Rejection::AlreadyCommitted, 409, "already_committed", json!({}), None),
        (Rejection::ReservationReleased, 409, "reservation_released", json!({}), None),
        (Rejection::ReservationExpired, 410, "reservation_expired", json!({}), None),
        (Rejection::NotCommitted, 409, "not_committed", json!({}), None),
        (Rejection::ReturnExceedsSale, 409, "return_exceeds_sale", json!({}), None),
        (
            Rejection::HoldLimit { latest_deadline_ms: 0 },
            409,
            "hold_limit",
            json!({"latest_expires_at": "1970-01-01T00:00:00.000Z"}),
            None,
        ),
        (
            Rejection::CartAlreadyReserved { reservation_id },
            409,
            "cart_already_reserved",
            json!({"reservation_id": reservation_id.to_string(), "retryable": true}),
            None,
        ),
        (Rejection::SkuNotFound { sku: sku("A") }, 404, "sku_not_found", json!({"sku": "A"}), None),
        (
            Rejection::InsufficientStock { shortages: shortages.clone() },
            409,
            "insufficient_stock",
            json!({"shortages": told_shortages}),
            None,
        ),
        (held(5_001), 409, "held_by_others", held_told.clone(), Some("1")),
        (held(6_001), 409, "held_by_others", held_told.clone(), Some("2")),
        (held(4_000), 409, "held_by_others", held_told, Some("1")),
        (
            Rejection::StockBelowHeld { stock: stock_view("A") },
            409,
            "stock_below_held",
            json!({"on_hand": 10, "held": 3, "retryable": true}),
            None,
        ),
        (Rejection::StockAboveMax, 400, "invalid_request", json!({"field": "on_hand"}), None),
    ] {
        let (got, headers, body) = told(Ok(applied(Err(rejection.clone())))).await;
        assert_eq!((got, &body["code"]), (status, &Value::from(code)), "{rejection:?}");
        assert_eq!(headers["lastunit-sequence"], "40", "{rejection:?}");
        assert_eq!(headers.get("retry-after").and_then(Value::as_str), retry_after, "{rejection:?}");
        let common = json!({"executed": "no", "retryable": false, "status": status});
        for (name, value) in with(common, more).as_object().unwrap() {
            assert_eq!(&body[name], value, "{name} of {rejection:?}");
        }
    }
}

#[tokio::test]
async fn a_gated_refusal_reads_like_any_other() {
    let refused = Applied { sequence: 40, replayed: false, result: Err(Rejection::ReservationNotFound) };
    let gated = told(Ok(Answer::Gated(refused.clone()))).await;
    assert_eq!(gated, told(Ok(Answer::Applied(refused))).await);
}

#[tokio::test]
async fn what_was_not_proposed_says_whether_it_may_have_run() {
    for (error, status, code, executed, retry_after) in [
        (ProposeError::NoLeader, 503, "no_leader", "no", Some("1")),
        (ProposeError::NoQuorum, 503, "no_quorum", "no", Some("1")),
        (ProposeError::NoSpace, 503, "overloaded", "no", Some("1")),
        (ProposeError::FeatureNotActive, 503, "feature_not_active", "no", Some("30")),
        (ProposeError::OutcomeUnknown, 504, "outcome_unknown", "unknown", None),
    ] {
        let (got, headers, body) = told(Err(error)).await;
        assert_eq!((got, &body["code"], &body["executed"]), (status, &code.into(), &executed.into()));
        assert_eq!(headers.get("retry-after").and_then(Value::as_str), retry_after);
        assert_eq!((headers.get("lastunit-sequence"), &body["retryable"]), (None, &true.into()));
    }
}

#[tokio::test]
async fn those_that_are_too_many_are_told_to_come_again_at_different_times() {
    let mut told_seconds = BTreeSet::new();
    for _ in 0..200 {
        let (status, headers, body) = told(Err(ProposeError::Overloaded)).await;
        assert_eq!((status, &body["code"], &body["executed"]), (503, &"overloaded".into(), &"no".into()));
        told_seconds.insert(headers["retry-after"].as_str().unwrap().to_owned());
    }
    assert_eq!(Vec::from_iter(told_seconds), ["1", "2", "3"]);
}

#[tokio::test]
async fn those_that_are_too_fast_are_told_when_the_next_one_is_let_through_and_a_little_later() {
    for (wait_ms, least) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
        let mut told_seconds = BTreeSet::new();
        for _ in 0..200 {
            let error = ProposeError::RateLimited { limit: Limit::Customer, wait_ms };
            let (status, headers, body) = told(Err(error)).await;
            assert_eq!(
                (status, &body["code"], &body["executed"]),
                (429, &"rate_limited".into(), &"no".into())
            );
            assert_eq!(body["retryable"], true);
            told_seconds.insert(headers["retry-after"].as_str().unwrap().parse::<u64>().unwrap());
        }
        assert_eq!(Vec::from_iter(told_seconds), [least, least + 1, least + 2], "{wait_ms}");
    }
}

fn found(value: Option<StockView>) -> Read<Option<StockView>> {
    Read { value, sequence: 41, applied_index: Some(17), now_ms: 0 }
}

fn demanding(name: &'static str, tags: &'static str) -> ReadConditions {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_static(tags));
    ReadConditions::of(&headers).unwrap()
}

#[tokio::test]
async fn a_stale_read_names_the_index_that_it_is_of() {
    let read = |view, consistency| parts(stock(found(view), consistency, &ReadConditions::default()));
    let fresh = read(Some(stock_view("PS5")), Consistency::Linearizable).await;
    assert_eq!(fresh, (200, json!({"lastunit-sequence": "41", "etag": "\"9\""}), record()));
    let stale = read(Some(stock_view("PS5")), Consistency::Stale).await;
    let headers = json!({"lastunit-sequence": "41", "lastunit-applied-index": "17"});
    assert_eq!(stale, (200, headers, with(record(), json!({"applied_index": 17}))));
    let (status, told, body) = read(None, Consistency::Stale).await;
    let headers = json!({"lastunit-sequence": "41", "lastunit-applied-index": "17"});
    assert_eq!((status, told, &body["code"]), (404, headers, &"sku_not_found".into()));
    assert_eq!(body["applied_index"], 17);
}

#[tokio::test]
async fn a_read_is_compared_with_the_tags_that_come_with_it() {
    let headers = json!({"lastunit-sequence": "41", "etag": "\"9\""});
    for (name, tags, status) in [
        ("if-none-match", "\"9\"", 304),
        ("if-none-match", "W/\"9\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"8\"", 200),
        ("if-match", "\"9\"", 200),
        ("if-match", "W/\"9\"", 412),
        ("if-match", "\"8\"", 412),
    ] {
        let response =
            stock(found(Some(stock_view("PS5"))), Consistency::Linearizable, &demanding(name, tags));
        let (got, told, body) = parts(response).await;
        assert_eq!((got, &told), (status, &headers), "{name}: {tags}");
        if status == 412 {
            assert_eq!((&body["code"], &body["version"]), (&"precondition_failed".into(), &9.into()));
        }
        let response = stock(found(None), Consistency::Linearizable, &demanding(name, tags));
        assert_eq!(parts(response).await.0, 404, "{name}: {tags}");
    }
}

#[tokio::test]
async fn a_page_names_where_the_next_one_begins() {
    let page = |next| Page { rows: vec![stock_view("PS5")], next };
    let read = |next| Read { value: page(next), sequence: 41, applied_index: Some(17), now_ms: 0 };
    let (status, headers, body) = parts(stocks(&read(None), Consistency::Linearizable)).await;
    let whole = json!({"data": [record()], "next_cursor": null});
    assert_eq!((status, headers, body), (200, json!({"lastunit-sequence": "41"}), whole.clone()));
    let (_, headers, body) = parts(stocks(&read(Some(sku("PS5"))), Consistency::Stale)).await;
    assert_eq!(headers["lastunit-applied-index"], "17");
    let cursor = crate::http::cursor::encode(&sku("PS5"));
    assert_eq!(body, with(whole, json!({"next_cursor": cursor, "applied_index": 17})));
}

#[tokio::test]
async fn what_is_left_of_a_listed_hold_is_counted_from_the_read() {
    let value = Page { rows: vec![view()], next: None };
    let read = Read { value, sequence: 41, applied_index: None, now_ms: view().now_ms + 99_000 };
    let (_, _, body) = parts(reservations(read, Consistency::Stale)).await;
    assert_eq!((&body["data"][0]["expires_in"], &body["applied_index"]), (&200.into(), &Value::Null));
}

#[tokio::test]
async fn the_results_of_a_batch_are_what_its_calls_would_have_been_answered() {
    let short = Shortage { sku: sku("PS5"), requested: 2, available: 1, held: 3, sold_out: false };
    let refused = Rejection::HeldByOthers { shortages: vec![short], earliest_ms: 7_000, now_ms: 5_000 };
    let replay = Applied { sequence: 9, replayed: true, result: Ok(Outcome::Reserved(view())) };
    let answers = [
        applied(Ok(Outcome::Reserved(view()))),
        Answer::Applied(replay),
        applied(Ok(Outcome::SkuSet(stock_view("PS5")))),
        applied(Err(refused.clone())),
    ];
    let alone = |answer: &Answer| parts(command(Ok(answer.clone()), "on_hand"));
    let mut expected = Vec::new();
    for answer in &answers {
        let (status, headers, body) = alone(answer).await;
        let sequence: u64 = headers["lastunit-sequence"].as_str().unwrap().parse().unwrap();
        let mut result = json!({"status": status, "sequence": sequence, "body": body});
        if headers.get("idempotency-replayed").is_some() {
            result["replayed"] = true.into();
        }
        if let Some(seconds) = headers.get("retry-after") {
            result["retry_after"] = seconds.as_str().unwrap().parse::<u64>().unwrap().into();
        }
        expected.push(result);
    }
    let mut fates: Vec<Fate> = answers.into_iter().map(|answer| Ok((Ok(answer), "delta"))).collect();
    fates.push(Ok((Err(ProposeError::OutcomeUnknown), "delta")));
    fates.push(Err(problem::NOT_FOUND.problem("so")));
    let (status, headers, body) = parts(results(fates.into_iter(), ())).await;
    assert_eq!((status, headers), (200, json!({})));
    let results: client::api::BatchResponse = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(results.results[3].retry_after, Some(2));
    assert_eq!(body["results"].as_array().unwrap()[..4], expected);
    let unknown = &body["results"][4];
    assert_eq!((&unknown["status"], &unknown["body"]["executed"]), (&504.into(), &"unknown".into()));
    assert_eq!((unknown.get("sequence"), &body["results"][5]["body"]["code"]), (None, &"not_found".into()));
}

/// The state's own time rests while nothing is logged, but a buyer's does not.
#[tokio::test]
async fn what_is_left_is_counted_from_the_read() {
    for (now_ms, expires_in) in [(0, 299), (view().now_ms + 99_000, 200), (u64::MAX, 0)] {
        let read = Read { value: Some(view()), sequence: 41, applied_index: Some(17), now_ms };
        let (status, _, body) = parts(reservation(read, Consistency::Linearizable)).await;
        assert_eq!((status, &body["expires_in"]), (200, &expires_in.into()));
    }
}
