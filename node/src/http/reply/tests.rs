//! Every outcome and every rejection, with the answer that it becomes.

use serde_json::{Value, json};
use storage::inventory::ids::ReservationId;

use super::*;
use crate::http::testing::{applied, json_of, sku, stock_view, view};

/// The status, the headers that matter and the body of the answer to a command.
async fn told(answer: Result<Answer, ProposeError>) -> (u16, Value, Value) {
    parts(command(answer)).await
}

async fn parts(response: Response) -> (u16, Value, Value) {
    let status = response.status().as_u16();
    let mut headers = serde_json::Map::new();
    for (name, value) in response.headers() {
        if name != CONTENT_TYPE {
            headers.insert(name.to_string(), value.to_str().unwrap().into());
        }
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
    let gone = |state: &str| with(hold(), json!({"state": state, "expires_in": 0}));
    for (outcome, status, body) in [
        (Outcome::Reserved(view()), 201, hold()),
        (Outcome::AlreadyReserved(view()), 200, hold()),
        (Outcome::Extended(view()), 200, hold()),
        (Outcome::Committed(committed.clone()), 200, sold.clone()),
        (Outcome::Returned(committed), 200, sold),
        (Outcome::Released(ended(State::Released)), 200, gone("released")),
        (Outcome::Released(ended(State::Expired)), 200, gone("expired")),
        (Outcome::SkuCreated(stock_view("PS5")), 201, record()),
        (Outcome::SkuSet(stock_view("PS5")), 200, record()),
    ] {
        let told = told(Ok(applied(Ok(outcome.clone())))).await;
        assert_eq!(told, (status, json!({"lastunit-sequence": "40"}), body), "{outcome:?}");
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
    let held_told = json!({"shortages": told_shortages, "retryable": true});
    for (rejection, status, code, more, retry_after) in [
        (Rejection::Invalid { field: "qty".into() }, 400, "invalid_request", json!({"field": "qty"}), None),
        (Rejection::IdempotencyKeyReused, 422, "idempotency_key_reused", json!({}), None),
        (Rejection::ReservationNotFound, 404, "reservation_not_found", json!({}), None),
        (Rejection::FencingTokenStale { current: 9 }, 412, "fencing_token_stale", json!({}), None),
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
            json!({"reservation_id": reservation_id.to_string()}),
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
            json!({"on_hand": 10, "held": 3}),
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
        (ProposeError::Overloaded, 503, "overloaded", "no", Some("1")),
        (ProposeError::OutcomeUnknown, 504, "outcome_unknown", "unknown", None),
    ] {
        let (got, headers, body) = told(Err(error)).await;
        assert_eq!((got, &body["code"], &body["executed"]), (status, &code.into(), &executed.into()));
        assert_eq!(headers.get("retry-after").and_then(Value::as_str), retry_after);
        assert_eq!((headers.get("lastunit-sequence"), &body["retryable"]), (None, &true.into()));
    }
}

#[tokio::test]
async fn a_stale_read_names_the_index_that_it_is_of() {
    let read = |value| Read { value, sequence: 41, applied_index: Some(17), now_ms: 0 };
    let fresh = parts(stock(read(Some(stock_view("PS5"))), Consistency::Linearizable)).await;
    assert_eq!(fresh, (200, json!({"lastunit-sequence": "41"}), record()));
    let headers = json!({"lastunit-sequence": "41", "lastunit-applied-index": "17"});
    let stale = parts(stock(read(Some(stock_view("PS5"))), Consistency::Stale)).await;
    assert_eq!(stale, (200, headers.clone(), with(record(), json!({"applied_index": 17}))));
    let (status, told, body) = parts(stock(read(None), Consistency::Stale)).await;
    assert_eq!((status, told, &body["code"]), (404, headers, &"sku_not_found".into()));
    assert_eq!(body["applied_index"], 17);
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

#[test]
fn times_have_milliseconds_and_no_end() {
    assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(time(1_795_000_000_120), "2026-11-18T11:06:40.120Z");
    assert_eq!(time(951_782_400_001), "2000-02-29T00:00:00.001Z");
    assert_eq!(time(u64::MAX), time(u64::MAX - 1));
    assert!(time(u64::MAX).starts_with("9999-12-"));
}
