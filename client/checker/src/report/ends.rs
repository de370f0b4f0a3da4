//! The ways in which a call ends, as the page tells them.

use crate::call_end::CallEnd;

impl CallEnd {
    /// All of them, from what is best to what is worst; `as usize` is the place here.
    pub(super) const ALL: [CallEnd; 4] =
        [CallEnd::Succeeded, CallEnd::Refused, CallEnd::NotExecuted, CallEnd::Unknown];

    /// Whether the cluster answered what was asked.
    pub(super) fn is_answer(self) -> bool {
        matches!(self, CallEnd::Succeeded | CallEnd::Refused)
    }

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            CallEnd::Succeeded => "succeeded",
            CallEnd::Refused => "refused: sold out, expired and the like",
            CallEnd::NotExecuted => "surely not executed: no leader, overloaded, not reached",
            CallEnd::Unknown => "unknown: no answer came, and it may have been executed",
        }
    }

    /// In style.css.
    pub(super) fn class(self) -> &'static str {
        match self {
            CallEnd::Succeeded => "succeeded",
            CallEnd::Refused => "refused",
            CallEnd::NotExecuted => "away",
            CallEnd::Unknown => "unknown",
        }
    }
}
