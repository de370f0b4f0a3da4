//! One record as it was read.

use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use raft::Read;
use serde::Serialize;
use storage::inventory::outcome::{ReservationView, StockView};

use super::rejections::{no_reservation, precondition_failed};
use super::{Fresh, empty, json, moment};
use crate::http::precondition::{ReadConditions, Verdict, etag};
use crate::http::problem::{self, Problem};
use crate::http::record;
use crate::http::store::Consistency;

/// A SKU as it was read.
pub(crate) fn stock(
    read: Read<Option<StockView>>,
    consistency: Consistency,
    conditions: &ReadConditions,
) -> Response {
    let Some(view) = &read.value else {
        return refused(&read, consistency, problem::SKU_NOT_FOUND.problem("No SKU has this name."));
    };
    let mut response = match conditions.verdict(view.version) {
        Verdict::Answer => found(&read, consistency, record::Stock::from(view)),
        Verdict::NotModified => empty(StatusCode::NOT_MODIFIED),
        Verdict::Failed => refused(&read, consistency, precondition_failed(Some(view.version))),
    };
    if consistency == Consistency::Linearizable {
        // Two nodes may tell different things of one version, as of a hold that lapsed: a tag would mix them up.
        response.headers_mut().insert(ETAG, etag(view.version));
    }
    moment(response.headers_mut(), &read, consistency);
    response
}

/// A reservation as it was read.
pub(crate) fn reservation(mut read: Read<Option<ReservationView>>, consistency: Consistency) -> Response {
    if let Some(view) = &mut read.value {
        // While nothing is logged the state's own time rests; what is left is counted from the read's.
        view.now_ms = view.now_ms.max(read.now_ms);
    }
    match &read.value {
        Some(view) => found(&read, consistency, record::Reservation::from(view)),
        None => refused(&read, consistency, no_reservation()),
    }
}

fn found<V>(read: &Read<V>, consistency: Consistency, record: impl Serialize) -> Response {
    let mut response = json(StatusCode::OK, &Fresh::new(record, read, consistency));
    moment(response.headers_mut(), read, consistency);
    response
}

/// A refusal by what was read, which is of a moment like any answer to a read.
pub(crate) fn refused<V>(read: &Read<V>, consistency: Consistency, problem: Problem) -> Response {
    let problem = match consistency {
        Consistency::Linearizable => problem,
        Consistency::Stale => problem.with("applied_index", read.applied_index),
    };
    let mut response = problem.into_response();
    moment(response.headers_mut(), read, consistency);
    response
}
