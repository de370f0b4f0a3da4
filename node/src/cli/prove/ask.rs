//! What a client asks for: a call of the contract, before anything came of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use checker::history::{Condition, Op};
use client::api::IDEMPOTENCY_KEY;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    /// Which.
    pub(super) op: Op,
    /// The SKU or the reservation's id in its path.
    pub(super) target: Option<String>,
    /// The query of a list.
    pub(super) query: BTreeMap<String, String>,
    /// Whether a read asks for the node's own applied state.
    pub(super) stale: bool,
    /// Under what condition it is to be executed.
    pub(super) condition: Option<Condition>,
    /// Its JSON body.
    pub(super) body: Option<Value>,
    /// Its idempotency key.
    pub(super) key: Option<String>,
}

impl Ask {
    /// A write with that body.
    pub(super) fn write(op: Op, body: &impl Serialize, key: String) -> Ask {
        // Types of the wire become JSON; what would not is sent as null and refused.
        let body = serde_json::to_value(body).unwrap_or_default();
        Ask { body: Some(body), key: Some(key), ..Ask::bare(op) }
    }

    /// A call without body and key: a read, or a delete.
    pub(super) fn bare(op: Op) -> Ask {
        let query = BTreeMap::new();
        Ask { op, target: None, query, stale: false, condition: None, body: None, key: None }
    }

    /// Of that SKU or reservation.
    pub(super) fn of(mut self, target: impl Into<String>) -> Ask {
        self.target = Some(target.into());
        self
    }

    /// The request; where to is still to be said.
    pub(super) fn request(&self) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let uri = format!("{}{}", self.path(), self.query());
        let mut request = Request::builder().method(self.method()).uri(uri);
        if let Some(key) = &self.key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        request = match self.condition {
            Some(Condition::Version(version)) => request.header(IF_MATCH, format!("\"{version}\"")),
            Some(Condition::Present) => request.header(IF_MATCH, "*"),
            Some(Condition::Absent) => request.header(IF_NONE_MATCH, "*"),
            None => request,
        };
        match &self.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string().into()),
            None => request.body(Full::default()),
        }
    }

    fn method(&self) -> Method {
        match self.op {
            Op::Put => Method::PUT,
            Op::Delete => Method::DELETE,
            op if op.writes() => Method::POST,
            _ => Method::GET,
        }
    }

    fn path(&self) -> String {
        let target = self.target.as_deref().unwrap_or_default();
        match self.op {
            Op::Reserve | Op::Commit | Op::Release | Op::Extend | Op::Return => {
                format!("/api/checkout/{}", self.op)
            }
            Op::Put | Op::Delete | Op::GetStock => format!("/api/inventory/{target}"),
            Op::Adjust => format!("/api/inventory/{target}/adjust"),
            Op::Batch => "/api/batch".to_owned(),
            Op::ListStock => "/api/inventory".to_owned(),
            Op::GetReservation => format!("/api/reservations/{target}"),
            Op::ListReservations => "/api/reservations".to_owned(),
        }
    }

    fn query(&self) -> String {
        let stale = self.stale.then_some(("consistency", "stale"));
        let asked = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<String> = asked
            .chain(stale)
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use client::api::AdjustRequest;

    use super::*;

    #[test]
    fn a_write_carries_key_condition_and_body() {
        let adjust = AdjustRequest { delta: -1, ..AdjustRequest::default() };
        let mut ask = Ask::write(Op::Adjust, &adjust, "k".to_owned()).of("A");
        ask.condition = Some(Condition::Version(7));
        let request = ask.request().unwrap();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "/api/inventory/A/adjust");
        assert_eq!(request.headers()["if-match"], "\"7\"");
        assert_eq!(request.headers()["idempotency-key"], "k");
        assert_eq!(ask.body, Some(serde_json::json!({"delta": -1})));
    }

    #[test]
    fn a_list_carries_its_query() {
        let mut ask = Ask::bare(Op::ListReservations);
        ask.query.insert("cursor".to_owned(), "a=b".to_owned());
        ask.stale = true;
        let request = ask.request().unwrap();
        assert_eq!(request.method(), Method::GET);
        assert_eq!(request.uri(), "/api/reservations?cursor=a%3Db&consistency=stale");
    }
}
