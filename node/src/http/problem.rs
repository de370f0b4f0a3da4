//! Refusals as problem documents: `application/problem+json`, RFC 9457.
//!
//! A [`Kind`] is what all problems of one code share; a [`Problem`] is one of them, with its detail. Every answer
//! of this server that is not a success is one, whoever refused: a route, a parser, the state machine, or the HTTP
//! library (see `server::refusal`).
//!
//! What a kind tells beyond the members of every problem stands beside it in [`KINDS`].

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use client::api::{self, Executed, Shortage};
use client::code;

use super::limits::ECHO_CHARS_MAX;
use super::reply::to_json;

/// What all problems of one code share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The contract's word.
    pub(crate) code: &'static str,
    /// The kind in a few words.
    pub(crate) title: &'static str,
    /// Whether the very same call may succeed later by itself.
    pub(crate) retryable: bool,
}

macro_rules! kinds {
    ($($(#[$more:meta])* $name:ident = $status:ident, $retryable:literal, $title:literal;)+) => {
        $(
            #[doc = $title]
            #[doc = ""]
            $(#[$more])*
            pub(crate) const $name: Kind = Kind {
                status: StatusCode::$status,
                code: code::$name,
                title: $title,
                retryable: $retryable,
            };
        )+

        /// Every kind.
        pub(crate) const KINDS: &[Kind] = &[$($name),+];
    };
}

kinds! {
    /// `"field":"items[0].qty"`: what is at fault.
    INVALID_REQUEST = BAD_REQUEST, false, "The request is invalid";
    /// The `WWW-Authenticate` header is the challenge of RFC 6750.
    UNAUTHENTICATED = UNAUTHORIZED, false, "The call needs a token";
    /// The `WWW-Authenticate` header says so, too.
    FORBIDDEN = FORBIDDEN, false, "The token is not for this";
    NOT_FOUND = NOT_FOUND, false, "There is nothing at this path";
    /// The `Allow` header lists the methods that the path answers.
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, false, "The path does not answer this method";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, false, "The body is too large";
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE, false, "The body must be JSON";
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY, false, "The idempotency key was used for another call";
    /// `"shortages":[{"sku":"PS5","requested":1,"available":0,"held":1,"sold_out":false}]`, and `Retry-After`.
    HELD_BY_OTHERS = CONFLICT, true, "The units are held by others";
    /// `"shortages":[{"sku":"PS5","requested":1,"available":0,"held":0,"sold_out":true}]`.
    INSUFFICIENT_STOCK = CONFLICT, false, "There is not enough stock";
    /// `"reservation_id":"res_0000000000G00000000000001C"`: the cart's live reservation. Retryable, as that may lapse.
    CART_ALREADY_RESERVED = CONFLICT, true, "The cart holds a reservation of other items";
    /// `"sku":"PS5","limit":2,"held":1,"sold":1,"requested":1`. Retryable where it would fit if the customer's own
    /// holds lapsed.
    CUSTOMER_LIMIT = CONFLICT, false, "The customer would have more than one customer may";
    /// `"sku":"PS5"`, where it is a command that named it.
    SKU_NOT_FOUND = NOT_FOUND, false, "There is no such SKU";
    RESERVATION_NOT_FOUND = NOT_FOUND, false, "There is no such reservation";
    FENCING_TOKEN_STALE = PRECONDITION_FAILED, false, "The hold has another fencing token";
    RESERVATION_EXPIRED = GONE, false, "The reservation has expired";
    /// Retryable, since it may be served meanwhile.
    RESERVATION_WAITING = CONFLICT, true, "The reservation waits and holds nothing yet";
    RESERVATION_RELEASED = CONFLICT, false, "The reservation was released";
    ALREADY_COMMITTED = CONFLICT, false, "The reservation is committed already";
    /// `"latest_expires_at":"2026-11-18T11:36:40.123Z"`: how far an extend can go.
    HOLD_LIMIT = CONFLICT, false, "The hold cannot be extended so far, or again";
    NOT_COMMITTED = CONFLICT, false, "The reservation is not committed";
    RETURN_EXCEEDS_SALE = CONFLICT, false, "More would be returned than was sold";
    /// `"version":7`: that of the record as it is, or `null` where there is no such SKU.
    PRECONDITION_FAILED = PRECONDITION_FAILED, false, "The record is not what the call demands";
    /// `"held":3,"waiting":1`: the units under a hold, and how many reservations wait.
    SKU_HAS_HOLDS = CONFLICT, true, "The SKU is held or waited for";
    /// `"oldest":"812.3","resume_after":"812.2"`: the oldest event that is kept (or `null`), and the `after` that
    /// reads on from it.
    EVENTS_EXPIRED = GONE, false, "These events are no longer kept";
    /// `"on_hand":10,"held":3`.
    STOCK_BELOW_HELD = CONFLICT, true, "Stock would fall below what is held";
    MEMBERSHIP_CHANGING = CONFLICT, true, "Another change of the membership is under way";
    MEMBER_EXISTS = CONFLICT, false, "There is such a member already";
    MEMBER_NOT_FOUND = NOT_FOUND, false, "There is no such member";
    MEMBER_UNREACHABLE = CONFLICT, true, "The node does not answer the leader";
    MEMBER_NOT_NEW = CONFLICT, false, "The node's directory is not new";
    MEMBER_BEHIND = CONFLICT, true, "The node has not caught up";
    MEMBER_IS_LEARNER = CONFLICT, false, "The node does not vote";
    MEMBERS_OUT_OF_RANGE = CONFLICT, false, "There would be too many members or too few";
    QUORUM_WOULD_BE_LOST = CONFLICT, true, "The rest would be no quorum";
    LEADER_NOT_TRANSFERRED = CONFLICT, true, "Nobody else took over the lead";
    RATE_LIMITED = TOO_MANY_REQUESTS, true, "The calls come too fast";
    NO_LEADER = SERVICE_UNAVAILABLE, true, "No leader is known";
    NO_QUORUM = SERVICE_UNAVAILABLE, true, "The leader cannot reach a quorum";
    OVERLOADED = SERVICE_UNAVAILABLE, true, "The node takes no more calls for now";
    /// Retryable, since the feature level rises by itself.
    FEATURE_NOT_ACTIVE = SERVICE_UNAVAILABLE, true, "Not every node is upgraded for this call";
    OUTCOME_UNKNOWN = GATEWAY_TIMEOUT, true, "The outcome could not be learned in time";
}
/// One refusal. Boxed, since it travels in results whose other half is small.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq)]
struct Parts {
    status: StatusCode,
    body: api::Problem,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the header of that name says, for those who have no headers: operations of a batch.
    retry_after: Option<u64>,
}

impl Kind {
    /// A problem of this kind.
    pub(crate) fn problem(self, detail: impl Into<Cow<'static, str>>) -> Problem {
        let executed = match self == OUTCOME_UNKNOWN {
            true => Executed::Unknown,
            false => Executed::No,
        };
        let body = api::Problem {
            kind: Cow::Owned(format!("urn:lastunit:problem:{}", self.code)),
            title: Cow::Borrowed(self.title),
            status: self.status.as_u16(),
            detail: detail.into(),
            code: Cow::Borrowed(self.code),
            retryable: self.retryable,
            executed,
            field: None,
            shortages: Vec::new(),
            extra: serde_json::Map::new(),
        };
        Problem(Box::new(Parts { status: self.status, body, headers: Vec::new(), retry_after: None }))
    }
}

/// A request whose `field` is at fault. The field is a path such as `items[0].qty`, the name of a header, a query
/// parameter or a part of the path, or `body`.
pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Problem {
    let mut problem = INVALID_REQUEST.problem(match detail.into() {
        Cow::Owned(detail) => Cow::Owned(shortened(detail)),
        written_here => written_here,
    });
    problem.0.body.field = Some(shortened(field.into()));
    problem
}

/// What repeats the client's own words, no longer than anybody reads: a request must not choose the answer's size.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(ECHO_CHARS_MAX) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

impl Problem {
    /// Names what is short.
    pub(crate) fn shortages(mut self, shortages: Vec<Shortage>) -> Problem {
        self.0.body.shortages = shortages;
        self
    }

    /// Says whether the very same call may succeed later by itself, where that differs within the kind.
    pub(crate) fn retryable(mut self, retryable: bool) -> Problem {
        self.0.body.retryable = retryable;
        self
    }

    /// Answers with another status than that of the kind.
    pub(crate) fn status(mut self, status: StatusCode) -> Problem {
        self.0.status = status;
        self.0.body.status = status.as_u16();
        self
    }

    /// Tells one more thing.
    pub(crate) fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Problem {
        self.0.body.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to come again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Problem {
        self.0.retry_after = Some(seconds);
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The status that it is answered with.
    pub(crate) fn status_code(&self) -> StatusCode {
        self.0.status
    }

    /// The headers that it adds.
    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The document.
    pub(crate) fn body(&self) -> &api::Problem {
        &self.0.body
    }

    /// The whole seconds after which the call may be worth another try.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.0.retry_after
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.0.headers.push((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { status, body, headers, .. } = *self.0;
        let mut response = Response::new(Body::from(to_json(&body)));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(api::PROBLEM_JSON);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response.headers_mut().extend(headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::testing::json_of;

    #[test]
    fn every_code_of_the_contract_has_one_kind() {
        let kinds: BTreeSet<_> = KINDS.iter().map(|kind| kind.code).collect();
        assert_eq!(kinds.len(), KINDS.len());
        assert_eq!(kinds, code::ALL.iter().copied().collect());
    }

    #[tokio::test]
    async fn a_problem_is_a_document_of_rfc_9457() {
        let problem = invalid("items[0].qty", "must be 1 or more").with("hint", 7).retry_after(3);
        let response = problem.into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "3");
        let told = serde_json::json!({
            "type": "urn:lastunit:problem:invalid_request",
            "title": "The request is invalid",
            "status": 400,
            "detail": "must be 1 or more",
            "code": "invalid_request",
            "retryable": false,
            "executed": "no",
            "field": "items[0].qty",
            "hint": 7,
        });
        assert_eq!(json_of(response).await, told);
    }

    #[tokio::test]
    async fn what_repeats_the_request_is_short() {
        let told = json_of(invalid("\u{e9}".repeat(100_000), "x".repeat(100_000)).into_response()).await;
        for name in ["field", "detail"] {
            let text = told[name].as_str().unwrap();
            assert!(text.chars().count() == ECHO_CHARS_MAX + 3 && text.ends_with("..."), "{name}");
        }
    }

    #[tokio::test]
    async fn only_an_unknown_outcome_is_not_known_to_be_unexecuted() {
        for kind in KINDS {
            let told = json_of(kind.problem("so").into_response()).await;
            let executed = if kind.code == "outcome_unknown" { "unknown" } else { "no" };
            assert_eq!(told["executed"], executed, "{}", kind.code);
        }
    }
}
