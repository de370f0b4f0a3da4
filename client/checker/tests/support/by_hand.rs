//! Histories written by hand: a few calls, one after the other or at once.

use std::collections::BTreeMap;

use checker::History;
use checker::history::{Answer, Call, Came, Json, Op, Outcome, Try};
use serde_json::{Value, json};

use super::shop::time;
use super::{STARTED_MS, Wanted, run};

/// A run without a call.
pub(crate) fn empty() -> History {
    History::new(run(&Wanted::new(0)))
}

/// A call from `from_us` to `until_us` that was answered so.
pub(crate) fn call(
    op: Op,
    (from_us, until_us): (u64, u64),
    request: Value,
    status: u16,
    sequence: u64,
    body: Value,
) -> Call {
    let target = body["sku"].as_str().filter(|_| !matches!(op, Op::Reserve)).map(str::to_owned);
    let code = body["code"].as_str().map(str::to_owned);
    let came = Came::Answer { status, code };
    let answer = Answer {
        status,
        sequence: Some(sequence),
        replayed: false,
        applied_index: None,
        body: Json::of(&body).unwrap(),
    };
    Call {
        id: sequence,
        client: sequence,
        op,
        target,
        query: BTreeMap::new(),
        stale: false,
        condition: None,
        request: Json::of(&request).unwrap(),
        key: None,
        started_us: from_us,
        ended_us: until_us,
        tries: vec![Try { node: 1, started_us: from_us, ended_us: until_us, came }],
        outcome: Outcome::Answer(answer),
    }
}

/// `PUT` of a new SKU.
pub(crate) fn put(times: (u64, u64), sku: &str, on_hand: u64, sequence: u64) -> Call {
    let record = json!({"sku": sku, "on_hand": on_hand, "held": 0, "available": on_hand, "sold": 0, "safety_stock": 0,
        "max_per_customer": null, "waiting": 0, "version": 1});
    call(Op::Put, times, json!({"on_hand": on_hand}), 201, sequence, record)
}

/// A reserve of one unit for 300 s that was granted.
pub(crate) fn held((from_us, until_us): (u64, u64), sku: &str, sequence: u64) -> Call {
    let cart = format!("cart-{sequence}");
    let items = json!([{"sku": sku, "qty": 1}]);
    let now_ms = STARTED_MS + until_us / 1_000;
    let view = json!({"reservation_id": format!("res_{sequence}"), "state": "held", "cart_id": cart, "items": items,
        "expires_in": 300, "expires_at": time(now_ms + 300_000), "created_at": time(now_ms), "fencing_token": sequence});
    call(Op::Reserve, (from_us, until_us), json!({"cart_id": cart, "items": items}), 201, sequence, view)
}

/// A reserve that was told to wait.
pub(crate) fn waiting((from_us, until_us): (u64, u64), sku: &str, sequence: u64) -> Call {
    let cart = format!("cart-{sequence}");
    let items = json!([{"sku": sku, "qty": 1}]);
    let view = json!({"reservation_id": format!("res_{sequence}"), "state": "waiting", "cart_id": cart, "items": items,
        "created_at": time(STARTED_MS + until_us / 1_000), "position": 1});
    let request = json!({"cart_id": cart, "items": items, "wait": true});
    call(Op::Reserve, (from_us, until_us), request, 202, sequence, view)
}
