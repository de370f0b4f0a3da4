//! The answer to a batch: what each of its calls would have been answered, in one buffer.

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use raft::{Answer, ProposeError};
use serde::Serialize;
use storage::inventory::outcome::{Applied, ReservationView};

use super::commands::{Told, told};
use super::{json_bytes, not_proposed, write_json};
use crate::http::problem::Problem;
use crate::http::record;

/// About as many bytes as a result has.
const RESULT_BYTES: usize = 384;

/// What became of one operation: refused before it was a command, or answered by the store; then with the field that
/// may have asked for too many units.
pub(crate) type Fate = Result<(Result<Answer, ProposeError>, &'static str), Problem>;

/// The answer to a batch with these results, in the order of its operations. It keeps `room` until it is sent.
pub(crate) fn results<R: Send + 'static>(results: impl ExactSizeIterator<Item = Fate>, room: R) -> Response {
    let mut json = Vec::with_capacity(RESULT_BYTES * results.len() + 16);
    json.extend_from_slice(b"{\"results\":[");
    for (place, result) in results.enumerate() {
        if place > 0 {
            json.push(b',');
        }
        write(&mut json, result);
    }
    json.extend_from_slice(b"]}");
    json_bytes(StatusCode::OK, Bytes::from_owner(Roomed { json, _room: room }))
}

/// An answer with the room that it takes: the connection lets go of both when it has sent them.
struct Roomed<R> {
    json: Vec<u8>,
    _room: R,
}

impl<R> AsRef<[u8]> for Roomed<R> {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

/// See [`client::api::OperationResult`].
#[derive(Serialize)]
struct ResultRecord<B> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    body: B,
}

fn write(json: &mut Vec<u8>, result: Fate) {
    match result {
        Ok((Ok(Answer::Applied(applied) | Answer::Gated(applied)), units_field)) => {
            write_applied(json, &applied, units_field);
        }
        Ok((Err(error), _)) => write_problem(json, None, &not_proposed(error)),
        Err(problem) => write_problem(json, None, &problem),
    }
}

fn write_applied(json: &mut Vec<u8>, applied: &Applied, units_field: &str) {
    let sequence = Some(applied.sequence);
    let result = |status: StatusCode| ResultRecord {
        status: status.as_u16(),
        sequence,
        replayed: applied.replayed,
        retry_after: None,
        body: (),
    };
    match told(&applied.result, units_field) {
        Told::Reservation(status, view) => write_reservation(json, status, applied, view),
        Told::Stock(status, view) => write_json(json, &result(status).with(record::Stock::from(view))),
        Told::Nothing(status) => write_json(json, &result(status)),
        Told::Refused(problem) => write_problem(json, sequence, &problem),
    }
}

/// By hand, as the reservation itself: nearly every result of a large batch is one.
fn write_reservation(json: &mut Vec<u8>, status: StatusCode, applied: &Applied, view: &ReservationView) {
    json.extend_from_slice(b"{\"status\":");
    json.extend_from_slice(status.as_str().as_bytes());
    json.extend_from_slice(b",\"sequence\":");
    write_json(json, &applied.sequence);
    if applied.replayed {
        json.extend_from_slice(b",\"replayed\":true");
    }
    json.extend_from_slice(b",\"body\":");
    record::Reservation::from(view).write(json);
    json.push(b'}');
}

impl ResultRecord<()> {
    fn with<B>(self, body: B) -> ResultRecord<B> {
        let ResultRecord { status, sequence, replayed, retry_after, body: () } = self;
        ResultRecord { status, sequence, replayed, retry_after, body }
    }
}

fn write_problem(json: &mut Vec<u8>, sequence: Option<u64>, problem: &Problem) {
    let (body, retry_after) = (problem.body(), problem.retry_after_seconds());
    write_json(json, &ResultRecord { status: body.status, sequence, replayed: false, retry_after, body });
}
