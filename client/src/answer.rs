//! What came back from one try, and what it means.
//!
//! ```text
//!  2xx, 304                                Answered
//!  problem, executed "unknown"             Unanswered   ask again with the same key
//!  problem, 429 or 503, retryable          Postponed    was not executed; later, it may be
//!  problem, any other                      Refused
//!  no problem, 5xx                         Unanswered   something between us and the node, or its last breath
//!  no problem, any other                   Invalid
//! ```

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::RETRY_AFTER;

use crate::api::{APPLIED_INDEX, Executed, IDEMPOTENCY_REPLAYED, Problem, SEQUENCE};
use crate::code;
use crate::error::Tries;

/// The status that says: what you have is still true.
const NOT_MODIFIED: u16 = 304;

/// A call's answer, and where it stands in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer<T> {
    /// What was answered.
    pub value: T,
    /// The HTTP status: 201 where something was made, 202 where it waits, 304 where nothing changed.
    pub status: u16,
    /// A write: its command's place in the history. A read: that of the last command which it reflects.
    pub sequence: Option<u64>,
    /// Whether it is the kept answer of an earlier try or call with the same key.
    pub replayed: bool,
    /// A stale read: the log entry up to which the node that answered had applied.
    pub applied_index: Option<u64>,
    /// The tries that were made.
    pub tries: Tries,
}

/// An HTTP answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) sequence: Option<u64>,
    pub(crate) replayed: bool,
    pub(crate) retry_after_seconds: Option<u64>,
    pub(crate) applied_index: Option<u64>,
    pub(crate) body: Bytes,
}

/// What one try came to.
#[derive(Debug, Clone)]
pub(crate) enum Tried {
    /// It was executed.
    Answered(Reply),
    /// A definite no.
    Refused(Reply, Problem),
    /// Not executed now; later, it may be.
    Postponed(Reply, Problem),
    /// It never left this machine.
    NotReached(String),
    /// It may have been executed.
    Unanswered {
        /// What went wrong.
        why: String,
        /// When to ask again, where a node said so.
        retry_after_seconds: Option<u64>,
    },
    /// Nothing that a node would say.
    Invalid(Reply),
}

impl<T> Answer<T> {
    /// The answer with that value, and with the rest from its reply.
    pub(crate) fn new(value: T, reply: &Reply, tries: Tries) -> Answer<T> {
        let Reply { status, sequence, replayed, applied_index, .. } = *reply;
        Answer { value, status, sequence, replayed, applied_index, tries }
    }

    /// The same answer with another value.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Answer<U> {
        let Answer { value, status, sequence, replayed, applied_index, tries } = self;
        Answer { value: to(value), status, sequence, replayed, applied_index, tries }
    }
}

impl Tried {
    /// Whether another node is the better one to ask: this one was not reached, or has no leader.
    pub(crate) fn is_of_its_node(&self) -> bool {
        match self {
            Tried::NotReached(_) => true,
            Tried::Postponed(_, problem) => [code::NO_LEADER, code::NO_QUORUM].contains(&&*problem.code),
            _ => false,
        }
    }
}

impl Reply {
    /// The reply with that status, those headers and that body.
    pub(crate) fn new(status: u16, headers: &HeaderMap, body: Bytes) -> Reply {
        Reply {
            status,
            sequence: number(headers, SEQUENCE),
            replayed: headers.get(IDEMPOTENCY_REPLAYED).is_some_and(|value| value == "true"),
            retry_after_seconds: number(headers, RETRY_AFTER.as_str()),
            applied_index: number(headers, APPLIED_INDEX),
            body,
        }
    }

    /// What the reply means.
    pub(crate) fn read(self) -> Tried {
        if (200..300).contains(&self.status) || self.status == NOT_MODIFIED {
            return Tried::Answered(self);
        }
        let problem = serde_json::from_slice(&self.body).ok();
        self.read_refusal(problem)
    }

    /// What a reply that is no answer means, where its body is that problem document or none.
    pub(crate) fn read_refusal(self, problem: Option<Problem>) -> Tried {
        match problem {
            Some(problem) => self.read_problem(problem),
            None if self.status >= 500 => {
                let why = format!("status {} without a problem document", self.status);
                Tried::Unanswered { why, retry_after_seconds: self.retry_after_seconds }
            }
            None => Tried::Invalid(self),
        }
    }

    fn read_problem(self, problem: Problem) -> Tried {
        let later = matches!(self.status, 429 | 503) && problem.retryable;
        match problem.executed {
            Executed::Unknown => {
                let why = format!("{} {}: {}", self.status, problem.code, problem.detail);
                Tried::Unanswered { why, retry_after_seconds: self.retry_after_seconds }
            }
            Executed::No if later => Tried::Postponed(self, problem),
            Executed::No => Tried::Refused(self, problem),
        }
    }
}

/// The header as a whole number. A `Retry-After` may also be a date: no node sends one, and then we back off.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A problem document.
    pub(crate) fn problem(status: u16, code: &str, retryable: bool, executed: &str) -> String {
        format!(
            r#"{{"type":"about:blank","title":"t","status":{status},"detail":"d","code":"{code}",
                "retryable":{retryable},"executed":"{executed}"}}"#
        )
    }

    fn read(status: u16, body: &str) -> &'static str {
        match Reply::new(status, &HeaderMap::new(), Bytes::copy_from_slice(body.as_bytes())).read() {
            Tried::Answered(_) => "answered",
            Tried::Refused(..) => "refused",
            Tried::Postponed(..) => "postponed",
            Tried::NotReached(_) => "not reached",
            Tried::Unanswered { .. } => "unanswered",
            Tried::Invalid(_) => "invalid",
        }
    }

    #[test]
    fn what_each_reply_means() {
        let table = [
            (200, "{}".to_owned(), "answered"),
            (201, "{}".to_owned(), "answered"),
            (204, String::new(), "answered"),
            (409, problem(409, "held_by_others", true, "no"), "refused"),
            (409, problem(409, "insufficient_stock", false, "no"), "refused"),
            (400, problem(400, "invalid_request", false, "no"), "refused"),
            (429, problem(429, "rate_limited", true, "no"), "postponed"),
            (503, problem(503, "no_leader", true, "no"), "postponed"),
            (503, problem(503, "gone_for_good", false, "no"), "refused"),
            (504, problem(504, "outcome_unknown", true, "unknown"), "unanswered"),
            (503, problem(503, "no_leader", true, "unknown"), "unanswered"),
            (500, problem(500, "broken", false, "unknown"), "unanswered"),
            (502, "<html>".to_owned(), "unanswered"),
            (500, String::new(), "unanswered"),
            (404, "<html>".to_owned(), "invalid"),
            (302, String::new(), "invalid"),
            (304, String::new(), "answered"),
            (409, r#"{"code":"held_by_others"}"#.to_owned(), "invalid"),
        ];
        for (status, body, meaning) in table {
            assert_eq!(read(status, &body), meaning, "{status} {body}");
        }
    }

    #[test]
    fn headers_are_read_and_nonsense_in_them_is_not() {
        let mut headers = HeaderMap::new();
        headers.insert(SEQUENCE, "17".parse().unwrap());
        headers.insert(IDEMPOTENCY_REPLAYED, "true".parse().unwrap());
        headers.insert(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
        let reply = Reply::new(200, &headers, Bytes::new());
        assert_eq!((reply.sequence, reply.replayed, reply.retry_after_seconds), (Some(17), true, None));
    }
}
