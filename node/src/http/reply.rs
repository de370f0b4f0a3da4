//! Outcomes, rejections and reads as HTTP answers: the only place that maps them to a status and a body.
//!
//! ```text
//!   Answer ---> Outcome ---> 200, 201 and a record \
//!          \--> Rejection -> 4xx and a problem      >-- Lastunit-Sequence; Idempotency-Replayed on a replay
//!   Read ----> 200 and a record, or 404 ----------- /
//!   ProposeError, ReadError -> 503 or 504 and a problem
//! ```
//!
//! Invariant: the answer is a function of the outcome alone, so a replay has the status and the body of the first
//! answer. Times left are counted from the view's own moment, never from this machine's clock.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use client::api;
use jiff::Timestamp;
use raft::{Answer, ProposeError, Read, ReadError};
use serde::Serialize;
use storage::inventory::ids::{Item, UNITS_MAX};
use storage::inventory::outcome::{Applied, Outcome, Rejection, ReservationView, Shortage, State, StockView};

use super::problem::{self, Problem, invalid};
use super::store::Consistency;

/// Answer header: the place of the command in the whole history, or of the last one that a read reflects.
const SEQUENCE: HeaderName = HeaderName::from_static(api::SEQUENCE);
/// Answer header: `true` on the kept answer of an earlier call under the same key.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static(api::IDEMPOTENCY_REPLAYED);
/// Answer header of a stale read: the index of the last log entry that it reflects.
const APPLIED_INDEX: HeaderName = HeaderName::from_static("lastunit-applied-index");

/// How long to wait before a call that found no leader, no quorum or no room is worth another try.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The answer to a command, or why it has none.
pub(crate) fn command(answer: Result<Answer, ProposeError>) -> Response {
    match answer {
        Ok(Answer::Applied(applied) | Answer::Gated(applied)) => self::applied(&applied),
        Err(error) => not_proposed(error).into_response(),
    }
}

/// A SKU as it was read.
pub(crate) fn stock(read: Read<Option<StockView>>, consistency: Consistency) -> Response {
    self::read(&read, consistency, stock_record, || problem::SKU_NOT_FOUND.problem("No SKU has this name."))
}

/// A reservation as it was read.
pub(crate) fn reservation(mut read: Read<Option<ReservationView>>, consistency: Consistency) -> Response {
    if let Some(view) = &mut read.value {
        // While nothing is logged the state's own time rests; what is left is counted from the read's.
        view.now_ms = view.now_ms.max(read.now_ms);
    }
    self::read(&read, consistency, reservation_record, no_reservation)
}

/// Why a read has no answer.
pub(crate) fn not_read(error: ReadError) -> Problem {
    not_proposed(match error {
        ReadError::NoLeader => ProposeError::NoLeader,
        ReadError::NoQuorum => ProposeError::NoQuorum,
        ReadError::Overloaded => ProposeError::Overloaded,
    })
}

/// Too many calls are waiting in this process.
pub(crate) fn overloaded() -> Problem {
    not_proposed(ProposeError::Overloaded)
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(to_json(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The JSON of a type that this crate or the client crate defines.
#[expect(clippy::expect_used, reason = "all of these types have text keys and derived serializers")]
pub(crate) fn to_json(body: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, body).expect("writing plain data into memory succeeds");
    json
}

fn applied(applied: &Applied) -> Response {
    let mut response = match &applied.result {
        Ok(outcome) => self::outcome(outcome),
        Err(rejection) => self::rejection(rejection).into_response(),
    };
    response.headers_mut().insert(SEQUENCE, HeaderValue::from(applied.sequence));
    if applied.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn outcome(outcome: &Outcome) -> Response {
    match outcome {
        Outcome::Ticked => StatusCode::NO_CONTENT.into_response(),
        Outcome::Reserved(view) => json(StatusCode::CREATED, &reservation_record(view)),
        Outcome::AlreadyReserved(view)
        | Outcome::Committed(view)
        | Outcome::Released(view)
        | Outcome::Extended(view)
        | Outcome::Returned(view) => json(StatusCode::OK, &reservation_record(view)),
        Outcome::Waiting(view) => json(StatusCode::ACCEPTED, &reservation_record(view)),
        Outcome::SkuDeleted => StatusCode::NO_CONTENT.into_response(),
        Outcome::SkuCreated(view) => json(StatusCode::CREATED, &stock_record(view)),
        Outcome::SkuSet(view) => json(StatusCode::OK, &stock_record(view)),
    }
}

fn rejection(rejection: &Rejection) -> Problem {
    match rejection {
        Rejection::Invalid { field } => invalid(field.as_ref(), "Is out of the range of this field."),
        Rejection::IdempotencyKeyReused => problem::IDEMPOTENCY_KEY_REUSED.problem(
            "This Idempotency-Key was used with another call or body; choose a new key for a new call.",
        ),
        Rejection::PreconditionFailed { current } => problem::PRECONDITION_FAILED
            .problem("The SKU's record is not what the call demands.")
            .with("version", *current),
        Rejection::ReservationNotFound => no_reservation(),
        Rejection::FencingTokenStale { current } => problem::FENCING_TOKEN_STALE
            .problem(format!("The hold's fencing token is {current}; another one was given.")),
        Rejection::AlreadyCommitted => {
            problem::ALREADY_COMMITTED.problem("The reservation is committed; what it held is sold.")
        }
        Rejection::ReservationReleased => {
            problem::RESERVATION_RELEASED.problem("The reservation was released before this call.")
        }
        Rejection::ReservationExpired => {
            problem::RESERVATION_EXPIRED.problem("The reservation's time is over; reserve again.")
        }
        Rejection::ReservationWaiting => {
            problem::RESERVATION_WAITING.problem("The reservation waits, and holds nothing yet.")
        }
        Rejection::NotCommitted => problem::NOT_COMMITTED.problem("Only what was committed can be returned."),
        Rejection::ReturnExceedsSale => problem::RETURN_EXCEEDS_SALE
            .problem("All units of the reservation were returned before this call."),
        Rejection::HoldLimit { latest_deadline_ms } => hold_limit(*latest_deadline_ms),
        Rejection::CartAlreadyReserved { reservation_id } => problem::CART_ALREADY_RESERVED
            .problem("The cart has a live reservation of other items; release it first.")
            .with("reservation_id", reservation_id.to_string()),
        Rejection::SkuNotFound { sku } => {
            problem::SKU_NOT_FOUND.problem(format!("No SKU has the name {sku}.")).with("sku", sku.as_str())
        }
        Rejection::CustomerLimit { sku, limit, held, sold, requested } => problem::CUSTOMER_LIMIT
            .problem("The customer would have more units than one customer may.")
            .with("sku", sku.as_str())
            .with("limit", *limit)
            .with("held", *held)
            .with("sold", *sold)
            .with("requested", *requested),
        Rejection::InsufficientStock { shortages } => problem::INSUFFICIENT_STOCK
            .problem("The cart would not fit even if every hold lapsed.")
            .shortages(shortage_list(shortages)),
        Rejection::HeldByOthers { shortages, earliest_ms, now_ms } => problem::HELD_BY_OTHERS
            .problem("The cart would fit if holds of others lapsed.")
            .shortages(shortage_list(shortages))
            .retry_after(earliest_ms.saturating_sub(*now_ms).div_ceil(1000).max(1)),
        Rejection::SkuHasHolds { stock } => problem::SKU_HAS_HOLDS
            .problem("The SKU has holds, or reservations that wait.")
            .with("held", stock.held)
            .with("waiting", stock.waiting),
        Rejection::StockBelowHeld { stock } => stock_below_held(stock),
        Rejection::StockAboveMax => {
            invalid("on_hand", format!("The SKU's on_hand would be more than {UNITS_MAX} units."))
        }
    }
}

fn no_reservation() -> Problem {
    problem::RESERVATION_NOT_FOUND.problem("No reservation has this id, or it ended too long ago.")
}

fn hold_limit(latest_deadline_ms: u64) -> Problem {
    let latest = time(latest_deadline_ms);
    let detail = format!("This hold can be extended until {latest}, not beyond.");
    problem::HOLD_LIMIT.problem(detail).with("latest_expires_at", latest)
}

fn stock_below_held(stock: &StockView) -> Problem {
    let StockView { sku, on_hand, held, .. } = stock;
    let detail =
        format!("{held} units of {sku} are held and {on_hand} on hand; on_hand stays at {held} or more.");
    problem::STOCK_BELOW_HELD.problem(detail).with("on_hand", *on_hand).with("held", *held)
}

fn not_proposed(error: ProposeError) -> Problem {
    match error {
        ProposeError::NoLeader => {
            let detail = "Not executed: the nodes are choosing a leader, or this one cannot reach it.";
            problem::NO_LEADER.problem(detail).retry_after(RETRY_AFTER_SECONDS)
        }
        ProposeError::NoQuorum => {
            let detail = "Not executed: the leader cannot reach a majority of the nodes.";
            problem::NO_QUORUM.problem(detail).retry_after(RETRY_AFTER_SECONDS)
        }
        ProposeError::Overloaded => {
            let detail = "Not executed: this node has as many calls waiting as it takes.";
            problem::OVERLOADED.problem(detail).retry_after(RETRY_AFTER_SECONDS)
        }
        ProposeError::OutcomeUnknown => problem::OUTCOME_UNKNOWN
            .problem("The call may have been executed or not; send it again with the same Idempotency-Key."),
    }
}

/// A record with the log index that it reflects.
#[derive(Serialize)]
struct Stale<R> {
    #[serde(flatten)]
    record: R,
    applied_index: Option<u64>,
}

fn read<V, R: Serialize>(
    read: &Read<Option<V>>,
    consistency: Consistency,
    record: impl Fn(&V) -> R,
    missing: impl Fn() -> Problem,
) -> Response {
    let applied_index = read.applied_index;
    let mut response = match (&read.value, consistency) {
        (Some(view), Consistency::Linearizable) => json(StatusCode::OK, &record(view)),
        (Some(view), Consistency::Stale) => {
            json(StatusCode::OK, &Stale { record: record(view), applied_index })
        }
        (None, Consistency::Linearizable) => missing().into_response(),
        (None, Consistency::Stale) => missing().with("applied_index", applied_index).into_response(),
    };
    moment(response.headers_mut(), read, consistency);
    response
}

fn moment<V>(headers: &mut HeaderMap, read: &Read<V>, consistency: Consistency) {
    headers.insert(SEQUENCE, HeaderValue::from(read.sequence));
    if let (Consistency::Stale, Some(index)) = (consistency, read.applied_index) {
        headers.insert(APPLIED_INDEX, HeaderValue::from(index));
    }
}

fn reservation_record(view: &ReservationView) -> api::Reservation {
    api::Reservation {
        reservation_id: view.id.to_string(),
        state: state(view.state),
        cart_id: view.cart_id.to_string(),
        customer_id: view.customer_id.as_deref().map(str::to_owned),
        items: item_list(&view.items),
        expires_in: expires_in(view),
        expires_at: view.grant.map(|grant| time(grant.deadline_ms)),
        created_at: time(view.created_ms),
        fencing_token: view.grant.map(|grant| grant.fencing_token),
        position: view.position,
        committed_at: view.committed_ms.map(time),
        payment_token: view.payment_token.as_deref().map(str::to_owned),
        returned: item_list(&view.returned),
    }
}

fn stock_record(view: &StockView) -> api::InventoryRecord {
    api::InventoryRecord {
        sku: view.sku.to_string(),
        on_hand: view.on_hand,
        held: view.held,
        available: view.available(),
        sold: view.sold,
        safety_stock: view.safety_stock,
        max_per_customer: view.max_per_customer,
        waiting: view.waiting,
        version: view.version,
    }
}

/// Whole seconds left at the view's moment; none once the hold has ended, however it did.
fn expires_in(view: &ReservationView) -> Option<u64> {
    let grant = view.grant?;
    Some(match view.state {
        State::Held => grant.deadline_ms.saturating_sub(view.now_ms) / 1000,
        State::Waiting | State::Committed | State::Released | State::Expired | State::Revoked => 0,
    })
}

fn state(state: State) -> api::ReservationState {
    match state {
        State::Held => api::ReservationState::Held,
        State::Committed => api::ReservationState::Committed,
        State::Released => api::ReservationState::Released,
        State::Expired => api::ReservationState::Expired,
        State::Waiting => api::ReservationState::Waiting,
        State::Revoked => api::ReservationState::Revoked,
    }
}

fn item_list(items: &[Item]) -> Vec<api::Item> {
    items.iter().map(|item| api::Item::new(item.sku.as_str(), item.qty)).collect()
}

fn shortage_list(shortages: &[Shortage]) -> Vec<api::Shortage> {
    let shortage = |short: &Shortage| api::Shortage {
        sku: short.sku.to_string(),
        requested: short.requested,
        available: short.available,
        held: short.held,
        sold_out: short.sold_out,
    };
    shortages.iter().map(shortage).collect()
}

/// RFC 3339, UTC, with milliseconds. What is past the year 9999 is told as its end.
fn time(ms: u64) -> String {
    let known = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", known.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests;
