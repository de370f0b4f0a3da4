//! The answer to a call as the bytes of HTTP/1.1, for the fast lane: to the byte what the library would write of
//! [`command`](super::command)'s answer, or of a problem.

use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, HeaderName};
use client::api::PROBLEM_JSON;
use raft::Answer;
use storage::inventory::outcome::Applied;

use super::commands::{Told, told};
use super::{Fate, IDEMPOTENCY_REPLAYED, JSON, SEQUENCE, TRACERESPONSE, not_proposed, write_json};
use crate::clock;
use crate::http::precondition::etag;
use crate::http::problem::Problem;
use crate::http::record;
use crate::trace::Context;

/// Room for one answer after the other.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The head, and at last the body behind it.
    bytes: Vec<u8>,
    body: Vec<u8>,
}

impl Written {
    /// The last answer.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the last answer, and gives back what room it took beyond that much.
    pub(crate) fn keep_at_most(&mut self, bytes: usize) {
        for buffer in [&mut self.bytes, &mut self.body] {
            buffer.clear();
            buffer.shrink_to(bytes);
        }
    }

    /// Writes the answer to a call, in the place of the last one. It says where it is in a trace, and where it `ends`
    /// its connection.
    pub(crate) fn answer(&mut self, fate: Fate, ends: bool, context: Option<Context>) -> StatusCode {
        self.bytes.clear();
        self.body.clear();
        let status = match fate {
            Ok((Ok(Answer::Applied(applied) | Answer::Gated(applied)), units_field)) => {
                self.applied(&applied, units_field)
            }
            Ok((Err(error), _)) => self.problem(&not_proposed(error)),
            Err(problem) => self.problem(&problem),
        };
        if let Some(context) = context {
            self.header(&TRACERESPONSE, context.to_string().as_bytes());
        }
        self.end(ends);
        status
    }

    fn applied(&mut self, applied: &Applied, units_field: &str) -> StatusCode {
        let status = match told(&applied.result, units_field) {
            Told::Reservation(status, view) => {
                record::Reservation::from(view).write(&mut self.body);
                self.begin(status, JSON)
            }
            Told::Stock(status, view) => {
                write_json(&mut self.body, &record::Stock::from(view));
                self.begin(status, JSON);
                self.header(&ETAG, etag(view.version).as_bytes());
                status
            }
            Told::Nothing(status) => self.line(status),
            Told::Refused(problem) => self.problem(&problem),
        };
        self.number(&SEQUENCE, applied.sequence);
        if applied.replayed {
            self.header(&IDEMPOTENCY_REPLAYED, b"true");
        }
        status
    }

    fn problem(&mut self, problem: &Problem) -> StatusCode {
        write_json(&mut self.body, problem.body());
        self.begin(problem.status_code(), PROBLEM_JSON);
        for (name, value) in problem.headers() {
            self.header(name, value.as_bytes());
        }
        problem.status_code()
    }

    fn begin(&mut self, status: StatusCode, content_type: &str) -> StatusCode {
        self.line(status);
        self.header(&CONTENT_TYPE, content_type.as_bytes());
        status
    }

    fn line(&mut self, status: StatusCode) -> StatusCode {
        let reason = status.canonical_reason().unwrap_or_default();
        self.append(&[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"]);
        status
    }

    fn end(&mut self, ends: bool) {
        // All that is without a body is a 204, which has no length either.
        if !self.body.is_empty() {
            self.number(&CONTENT_LENGTH, self.body.len() as u64);
        }
        if ends {
            self.header(&CONNECTION, b"close");
        }
        clock::with_http_date(|date| self.header(&DATE, date.as_bytes()));
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.append(&mut self.body);
    }

    fn header(&mut self, name: &HeaderName, value: &[u8]) {
        self.append(&[name.as_str().as_bytes(), b": ", value, b"\r\n"]);
    }

    fn number(&mut self, name: &HeaderName, value: u64) {
        self.append(&[name.as_str().as_bytes(), b": "]);
        // JSON's digits are plain ones, and are written without a copy.
        write_json(&mut self.bytes, &value);
        self.append(&[b"\r\n"]);
    }

    fn append(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
    }
}
