//! The one way by which a part of the node says that this group must end.

use std::fmt;

use storage::StorageError;

use crate::watch;

/// Why a group has stopped. Displayed as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// What can be done about it.
    pub kind: StopKind,
    /// What happened.
    pub why: String,
}

/// What can be done about a group that has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// A write found no room, and nothing was damaged by that: start the group anew when there is some.
    OutOfSpace,
    /// The process must end.
    Failed,
    /// The process must end, and to start it again mends nothing: the directory is not what the cluster takes it for.
    Refused,
}

impl Stop {
    /// The directory is refused.
    pub(crate) fn refused(why: String) -> Stop {
        Stop { kind: StopKind::Refused, why }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<&StorageError> for Stop {
    fn from(error: &StorageError) -> Stop {
        let kind = if error.is_out_of_space() { StopKind::OutOfSpace } else { StopKind::Failed };
        Stop { kind, why: error.to_string() }
    }
}

impl From<String> for Stop {
    fn from(why: String) -> Stop {
        Stop { kind: StopKind::Failed, why }
    }
}

impl From<&str> for Stop {
    fn from(why: &str) -> Stop {
        Stop::from(why.to_owned())
    }
}

/// Remembers the first reason; every clone is the same.
#[derive(Clone)]
pub(crate) struct Fatal(watch::Sender<Option<Stop>>);

impl Fatal {
    pub(crate) fn new() -> Fatal {
        Fatal(watch::Sender::new(None))
    }

    /// Reports a reason. Only the first one counts: later ones follow from it.
    pub(crate) fn report(&self, why: impl Into<Stop>) {
        self.0.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(why.into());
            }
            first
        });
    }

    /// Whether a reason was reported.
    pub(crate) fn is_reported(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for a reason.
    pub(crate) async fn reason(&self) -> Stop {
        self.0.subscribe().wait_for(Option::is_some).await;
        let reason = self.0.borrow().clone();
        match reason {
            Some(reason) => reason,
            // The sender is self: it cannot be gone. And what was waited for is there.
            None => std::future::pending().await,
        }
    }
}
