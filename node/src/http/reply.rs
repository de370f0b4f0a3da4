//! What the store said as HTTP answers.
//!
//! ```text
//!   Answer ---> Outcome ---> status and a record   commands    \
//!          \--> Rejection -> 4xx and a problem     rejections   >-- Lastunit-Sequence; on a replay also
//!   Read ----> 200 and a record, 304, 404, 412     reads       /    Idempotency-Replayed; ETag with a SKU
//!   Read ----> 200 and a page                      lists      /
//!   ProposeError, ReadError -> 503 or 504 and a problem
//!
//!   many Answers ------> 200 and one buffer        results     the same statuses and bodies, without headers
//! ```
//!
//! Invariants:
//! - [`commands`] alone maps an outcome to a status, and [`rejections`] alone a rejection to a problem, for a single
//!   call and for an operation of a batch.
//! - The answer is a function of the outcome alone, so a replay has the status and the body of the first answer.
//!   Times left are counted from the view's own moment, never from this machine's clock.

mod commands;
mod lists;
mod reads;
mod rejections;
mod results;
mod written;

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use client::api;
use raft::{Limit, ProposeError, Read, ReadError};
use serde::Serialize;
use storage::planted;

pub(crate) use self::commands::command;
pub(crate) use self::lists::{reservations, stocks};
pub(crate) use self::reads::{refused, reservation, stock};
pub(crate) use self::rejections::no_reservation;
pub(crate) use self::results::{Fate, results};
pub(crate) use self::written::Written;
use super::problem::{self, Problem};
use super::store::Consistency;
use crate::trace::Context;

/// Answer header: the place of the command in the whole history, or of the last one that a read reflects.
const SEQUENCE: HeaderName = HeaderName::from_static(api::SEQUENCE);
/// Answer header: `true` on the kept answer of an earlier call under the same key.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static(api::IDEMPOTENCY_REPLAYED);
/// Answer header of a stale read: the index of the last log entry that it reflects.
const APPLIED_INDEX: HeaderName = HeaderName::from_static("lastunit-applied-index");

/// Answer header: the call in its trace (W3C Trace Context, level 2).
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The content type of all answers but problems and streams.
const JSON: &str = "application/json";

/// `Retry-After` where an upgrade has to come to its end first.
const UPGRADE_RETRY_AFTER_SECONDS: u64 = 30;

/// How long to wait before a call that found no leader, no quorum or no room is worth another try.
pub(crate) const RETRY_AFTER_SECONDS: u64 = 1;

/// The same for those that were too many: each is told another time, so that they do not come again all at once.
const OVERLOADED_RETRY_AFTER_SECONDS: RangeInclusive<u64> = 1..=3;

/// What is added at random to when those who were too fast may come again.
const RATE_LIMITED_JITTER_SECONDS: RangeInclusive<u64> = 0..=2;

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

/// Too much came of one. It is told when the next one is let through, and a little later at random: those who flood
/// together shall not come again together.
pub(crate) fn too_fast(detail: &'static str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let jitter = rand::random_range(RATE_LIMITED_JITTER_SECONDS);
    problem::RATE_LIMITED.problem(detail).retry_after(seconds.max(1) + jitter)
}

/// A disk is full.
pub(crate) fn no_space() -> Problem {
    let detail =
        "Not executed: this node's or the leader's disk is full. It goes on by itself when there is room.";
    problem::OVERLOADED.problem(detail).retry_after(RETRY_AFTER_SECONDS)
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_bytes(status, to_json(body))
}

/// The JSON of a type that this crate or the client crate defines.
pub(crate) fn to_json(body: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::with_capacity(512);
    write_json(&mut json, body);
    json
}

/// Appends the JSON of such a type.
#[expect(clippy::expect_used, reason = "all of these types have text keys and serializers that cannot fail")]
pub(super) fn write_json(into: &mut Vec<u8>, body: &impl Serialize) {
    serde_json::to_writer(into, body).expect("writing plain data into memory succeeds");
}

fn json_bytes(status: StatusCode, json: impl Into<Body>) -> Response {
    let mut response = Response::new(json.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Whether a read says that it is stale: where it is.
fn is_labelled(consistency: Consistency) -> bool {
    consistency == Consistency::Stale && !planted!("stale-read-not-labelled")
}

/// Says where in its trace a call is.
pub(crate) fn tell_trace(headers: &mut HeaderMap, context: Context) {
    // Digits and dashes are a header.
    headers.extend(HeaderValue::try_from(context.to_string()).ok().map(|value| (TRACERESPONSE, value)));
}

/// Of which moment a read is.
pub(super) fn moment<V>(headers: &mut HeaderMap, read: &Read<V>, consistency: Consistency) {
    headers.insert(SEQUENCE, HeaderValue::from(read.sequence));
    if let (true, Some(index)) = (is_labelled(consistency), read.applied_index) {
        headers.insert(APPLIED_INDEX, HeaderValue::from(index));
    }
}

/// A record or a page, with the log index that it reflects where the read is stale.
#[derive(Serialize)]
pub(super) struct Fresh<R> {
    #[serde(flatten)]
    record: R,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_index: Option<Option<u64>>,
}

impl<R> Fresh<R> {
    pub(super) fn new<V>(record: R, read: &Read<V>, consistency: Consistency) -> Fresh<R> {
        let applied_index = is_labelled(consistency).then_some(read.applied_index);
        Fresh { record, applied_index }
    }
}

/// Why a command, or a change of the membership, was not executed, or is not known to be.
pub(crate) fn not_proposed(error: ProposeError) -> Problem {
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
            problem::OVERLOADED
                .problem(detail)
                .retry_after(rand::random_range(OVERLOADED_RETRY_AFTER_SECONDS))
        }
        ProposeError::NoSpace => no_space(),
        ProposeError::FeatureNotActive => {
            let detail = "Not executed: this call takes a feature level that is not in force until every node is upgraded.";
            problem::FEATURE_NOT_ACTIVE.problem(detail).retry_after(UPGRADE_RETRY_AFTER_SECONDS)
        }
        ProposeError::RateLimited { limit, wait_ms } => {
            let detail = match limit {
                Limit::Customer => "Not executed: more calls name this customer than the cluster allows one.",
                Limit::Caller => "Not executed: more calls come with this token than the cluster allows one.",
            };
            too_fast(detail, Duration::from_millis(wait_ms))
        }
        ProposeError::OutcomeUnknown => problem::OUTCOME_UNKNOWN
            .problem("The call may have been executed or not; send it again with the same Idempotency-Key."),
    }
}

#[cfg(test)]
mod tests;
