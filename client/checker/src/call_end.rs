//! The four ways in which a call ends.

use crate::history::{Call, Outcome};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// Done, or read.
    Succeeded,
    /// Refused by the state of the inventory, which is a right answer: sold out, expired.
    Refused,
    /// Surely not executed.
    NotExecuted,
    /// Whether it was executed was never learned.
    Unknown,
}

impl CallEnd {
    /// How this call ended.
    pub(crate) fn of(call: &Call) -> CallEnd {
        match &call.outcome {
            Outcome::NotExecuted { .. } => CallEnd::NotExecuted,
            Outcome::Unknown { .. } => CallEnd::Unknown,
            Outcome::Answer(answer) => match answer.status {
                200..300 | 304 => CallEnd::Succeeded,
                429 | 503 => CallEnd::NotExecuted,
                400..500 => CallEnd::Refused,
                _ => CallEnd::Unknown,
            },
        }
    }
}
