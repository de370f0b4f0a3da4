//! How a call can fail.
//!
//! ```text
//!  Refused      a node answered: no. It was not executed.
//!  NotExecuted  no try of it was executed: not reached, or 503 with `executed: "no"`. Try again later.
//!  Unknown      some try may have been executed. Only the same call with the same key tells.
//!  Invalid      the answer is none of the contract's.
//!  Usage        nothing was sent.
//! ```

use std::fmt;

use crate::api::{Executed, Problem};

/// How a call failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A definite no.
    #[error("refused: {0}")]
    Refused(Box<Refusal>),
    /// Not executed, and will not be. The same call may succeed later.
    #[error("not executed: {0}")]
    NotExecuted(Box<NotExecuted>),
    /// It may have been executed, or may be yet. Make the same call with the same key until it is answered.
    #[error("outcome unknown: {0}")]
    Unknown(Box<Unknown>),
    /// Something answered, but not as a node answers. Of a write, it is unknown whether it was executed.
    #[error("invalid answer: {0}")]
    Invalid(Box<Invalid>),
    /// The call cannot be made: an address, a key or a body that cannot be sent.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// The problem document, where a node sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Error::Refused(refusal) => Some(&refusal.problem),
            Error::NotExecuted(not_executed) => not_executed.problem.as_ref(),
            Error::Unknown(_) | Error::Invalid(_) | Error::Usage(_) => None,
        }
    }

    /// Whether it may have been executed all the same.
    pub fn executed(&self) -> Executed {
        match self {
            Error::Unknown(_) => Executed::Unknown,
            Error::Invalid(invalid) => invalid.executed,
            Error::Refused(_) | Error::NotExecuted(_) | Error::Usage(_) => Executed::No,
        }
    }

    /// The tries that were made.
    pub fn tries(&self) -> Tries {
        match self {
            Error::Refused(refusal) => refusal.tries,
            Error::NotExecuted(not_executed) => not_executed.tries,
            Error::Unknown(unknown) => unknown.tries,
            Error::Invalid(invalid) => invalid.tries,
            Error::Usage(_) => Tries::default(),
        }
    }
}

/// How often a call was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// All tries, the last one included.
    pub made: u32,
    /// Those that may have been executed although they brought no answer.
    pub unanswered: u32,
}

/// See [`Error::Refused`].
///
/// Where `tries.unanswered` is not 0, an earlier try of this call got lost and this one, sent later, was
/// refused: the lost one had changed nothing by then. Only if it is still under way could it do so yet; who must
/// exclude even that makes the call again with the same key.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What the node said.
    pub problem: Problem,
    /// The place in the history of the last command that the refusal reflects.
    pub sequence: Option<u64>,
    /// In how many seconds it may be otherwise.
    pub retry_after_seconds: Option<u64>,
    /// The tries that were made.
    pub tries: Tries,
}

impl Refusal {
    /// `events_expired`: the cursor from which the feed can be read on, without what is gone.
    pub fn resume_after(&self) -> Option<&str> {
        self.problem.extra.get("resume_after")?.as_str()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.problem.status, self.problem.code, self.problem.detail)
    }
}

/// See [`Error::NotExecuted`].
#[derive(Debug, Clone)]
pub struct NotExecuted {
    /// What went wrong with the last try.
    pub why: String,
    /// What the node said, where the last try reached one.
    pub problem: Option<Problem>,
    /// The tries that were made.
    pub tries: Tries,
}

impl fmt::Display for NotExecuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (tries: {})", self.why, self.tries.made)
    }
}

/// See [`Error::Unknown`].
#[derive(Debug, Clone)]
pub struct Unknown {
    /// The key that all tries carried: with it, the same call brings the answer. `None` for a batch, whose
    /// operations have theirs.
    pub idempotency_key: Option<String>,
    /// What went wrong with the last try.
    pub why: String,
    /// The tries that were made.
    pub tries: Tries,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (tries: {}", self.why, self.tries.made)?;
        match &self.idempotency_key {
            Some(key) => write!(f, ", idempotency key: {key})"),
            None => f.write_str(")"),
        }
    }
}

/// See [`Error::Invalid`].
#[derive(Debug, Clone)]
pub struct Invalid {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with the answer.
    pub why: String,
    /// The key of a write.
    pub idempotency_key: Option<String>,
    /// `Unknown` of a write, `No` of a read.
    pub executed: Executed,
    /// The tries that were made.
    pub tries: Tries,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}: {}", self.status, self.why)
    }
}
