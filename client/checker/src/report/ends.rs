//! The four ways in which a call ends, as the page tells them.

use crate::history::{Call, Outcome};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Done, or read.
    Succeeded,
    /// Refused by the state of the inventory, which is a right answer: sold out, expired.
    Refused,
    /// Surely not executed.
    NotExecuted,
    /// Whether it was executed was never learned.
    Unknown,
}

impl End {
    /// All of them, from what is best to what is worst; `as usize` is the place here.
    pub(super) const ALL: [End; 4] = [End::Succeeded, End::Refused, End::NotExecuted, End::Unknown];

    /// How this call ended.
    pub(super) fn of(call: &Call) -> End {
        match &call.outcome {
            Outcome::NotExecuted { .. } => End::NotExecuted,
            Outcome::Unknown { .. } => End::Unknown,
            Outcome::Answer(answer) => match answer.status {
                200..300 | 304 => End::Succeeded,
                429 | 503 => End::NotExecuted,
                400..500 => End::Refused,
                _ => End::Unknown,
            },
        }
    }

    /// Whether the cluster answered what was asked.
    pub(super) fn is_answer(self) -> bool {
        matches!(self, End::Succeeded | End::Refused)
    }

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            End::Succeeded => "succeeded",
            End::Refused => "refused: sold out, expired and the like",
            End::NotExecuted => "surely not executed: no leader, overloaded, not reached",
            End::Unknown => "unknown: no answer came, and it may have been executed",
        }
    }

    /// In style.css.
    pub(super) fn class(self) -> &'static str {
        match self {
            End::Succeeded => "succeeded",
            End::Refused => "refused",
            End::NotExecuted => "away",
            End::Unknown => "unknown",
        }
    }
}
