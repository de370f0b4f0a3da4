//! Outcomes as answers: the one place that gives an outcome its status.

use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderValue};
use axum::response::{IntoResponse, Response};
use raft::{Answer, ProposeError};
use storage::inventory::outcome::{Applied, Outcome, Rejection, ReservationView, State, StockView};

use super::{IDEMPOTENCY_REPLAYED, SEQUENCE, empty, json, not_proposed, rejections};
use crate::http::precondition::etag;
use crate::http::problem::Problem;
use crate::http::record;

/// What is told about a command, be it in an answer of its own or in that of a batch.
pub(super) enum Told<'a> {
    /// A reservation.
    Reservation(StatusCode, &'a ReservationView),
    /// A SKU.
    Stock(StatusCode, &'a StockView),
    /// A status without a body.
    Nothing(StatusCode),
    /// A refusal.
    Refused(Problem),
}

/// The answer to a command, or why it has none. `units_field` is the field of the call that may ask for too many units.
pub(crate) fn command(answer: Result<Answer, ProposeError>, units_field: &'static str) -> Response {
    match answer {
        Ok(Answer::Applied(applied) | Answer::Gated(applied)) => self::applied(&applied, units_field),
        Err(error) => not_proposed(error).into_response(),
    }
}

/// What is told about a command that was applied, or refused by the gate.
pub(super) fn told<'a>(result: &'a Result<Outcome, Rejection>, units_field: &str) -> Told<'a> {
    match result {
        Ok(outcome) => self::outcome(outcome),
        Err(rejection) => Told::Refused(rejections::problem(rejection, units_field)),
    }
}

fn outcome(outcome: &Outcome) -> Told<'_> {
    match outcome {
        Outcome::Reserved(view) => Told::Reservation(StatusCode::CREATED, view),
        Outcome::Waiting(view) => Told::Reservation(StatusCode::ACCEPTED, view),
        Outcome::AlreadyReserved(view) if view.state == State::Waiting => {
            Told::Reservation(StatusCode::ACCEPTED, view)
        }
        Outcome::AlreadyReserved(view)
        | Outcome::Committed(view)
        | Outcome::Released(view)
        | Outcome::Extended(view)
        | Outcome::Returned(view) => Told::Reservation(StatusCode::OK, view),
        Outcome::SkuCreated(view) => Told::Stock(StatusCode::CREATED, view),
        Outcome::SkuSet(view) => Told::Stock(StatusCode::OK, view),
        Outcome::SkuDeleted | Outcome::Ticked => Told::Nothing(StatusCode::NO_CONTENT),
    }
}

fn applied(applied: &Applied, units_field: &str) -> Response {
    let mut response = match told(&applied.result, units_field) {
        Told::Reservation(status, view) => json(status, &record::Reservation::from(view)),
        Told::Stock(status, view) => stock(status, view),
        Told::Nothing(status) => empty(status),
        Told::Refused(problem) => problem.into_response(),
    };
    response.headers_mut().insert(SEQUENCE, HeaderValue::from(applied.sequence));
    if applied.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn stock(status: StatusCode, view: &StockView) -> Response {
    let mut response = json(status, &record::Stock::from(view));
    response.headers_mut().insert(ETAG, etag(view.version));
    response
}
