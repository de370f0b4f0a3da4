//! An operation of a client as it saw it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Json;

/// An operation of a client, over all its tries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its number: no two calls of a run share one.
    pub id: u64,
    /// Which client made it. A client makes one call at a time.
    pub client: u64,
    /// What it asks for.
    pub op: Op,
    /// The SKU or the reservation's id in the path, where the call has one there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The query of a list, `cursor` included and `consistency` left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// Whether a read asked for the node's own applied state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// Under what condition on the SKU's record a write is to be executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// The JSON body, `null` where there is none.
    pub request: Json,
    /// The idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When its first try began.
    pub started_us: u64,
    /// When its outcome was known.
    pub ended_us: u64,
    /// Its tries, in their order.
    pub tries: Vec<Try>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `POST /api/checkout/reserve`.
    Reserve,
    /// `POST /api/checkout/commit`.
    Commit,
    /// `POST /api/checkout/release`.
    Release,
    /// `POST /api/checkout/extend`.
    Extend,
    /// `POST /api/checkout/return`.
    Return,
    /// `PUT /api/inventory/{sku}`.
    Put,
    /// `POST /api/inventory/{sku}/adjust`.
    Adjust,
    /// `DELETE /api/inventory/{sku}`.
    Delete,
    /// `POST /api/batch`.
    Batch,
    /// `GET /api/inventory/{sku}`.
    GetStock,
    /// `GET /api/reservations/{id}`.
    GetReservation,
    /// `GET /api/inventory`, one page.
    ListStock,
    /// `GET /api/reservations`, one page.
    ListReservations,
}

impl Op {
    /// Whether it changes anything.
    pub fn writes(self) -> bool {
        !matches!(self, Op::GetStock | Op::GetReservation | Op::ListStock | Op::ListReservations)
    }

    /// Its word in the record, such as `get_stock`.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Reserve => "reserve",
            Op::Commit => "commit",
            Op::Release => "release",
            Op::Extend => "extend",
            Op::Return => "return",
            Op::Put => "put",
            Op::Adjust => "adjust",
            Op::Delete => "delete",
            Op::Batch => "batch",
            Op::GetStock => "get_stock",
            Op::GetReservation => "get_reservation",
            Op::ListStock => "list_stock",
            Op::ListReservations => "list_reservations",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Under what condition a write is to be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// `If-Match: "7"`: the SKU's record has this version.
    Version(u64),
    /// `If-None-Match: *`: there is no such SKU.
    Absent,
    /// `If-Match: *`: there is such a SKU.
    Present,
}

/// One try of a call at one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Try {
    /// Which node was asked.
    pub node: u64,
    /// When the request was sent, or the connection begun.
    pub started_us: u64,
    /// When the client had the answer, or gave up.
    pub ended_us: u64,
    /// What came.
    pub came: Came,
}

impl Try {
    /// Whether the command may have been executed, or may be yet, for all that this try tells.
    pub fn leaves_doubt(&self) -> bool {
        match &self.came {
            Came::Answer { status, .. } => *status >= 500 && *status != 503,
            Came::NotSent(_) => false,
            Came::Lost(_) => true,
        }
    }

    /// Whether it was answered as it must be: done, read, or refused by the state of the inventory.
    pub fn is_dealt_with(&self) -> bool {
        matches!(&self.came, Came::Answer { status, .. } if *status < 500 && *status != 429)
    }
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// An answer.
    Answer {
        /// Its HTTP status.
        status: u16,
        /// The problem's code, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// The request surely never reached a node: there was no connection. Why, in words.
    NotSent(String),
    /// The request was sent, at least in part, and no whole answer came. Why, in words.
    Lost(String),
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The last try's answer, a refusal included.
    Answer(Answer),
    /// No try was answered, but each one is known not to have been executed.
    NotExecuted {
        /// Why, in words.
        why: String,
    },
    /// It was never learned whether it was executed.
    Unknown {
        /// Why, in words.
        why: String,
    },
}

/// An answer, of which the checker needs so much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Lastunit-Sequence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// `Idempotency-Replayed`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// `Lastunit-Applied-Index`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_index: Option<u64>,
    /// The body, `null` where there was none.
    pub body: Json,
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Call {
    /// Its answer, a refusal included.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Answer(answer) => Some(answer),
            Outcome::NotExecuted { .. } | Outcome::Unknown { .. } => None,
        }
    }

    /// Its answer, where its status is 2xx.
    pub fn success(&self) -> Option<&Answer> {
        self.answer().filter(|answer| answer.succeeded())
    }
}
