//! How calls to a group are answered, and why they may not be.

use std::fmt;

use serde::{Deserialize, Serialize};
use storage::inventory::outcome::Applied;

/// How a command was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The state machine applied it (or gave a kept answer again).
    Applied(Applied),
    /// The gate: it would surely be refused, says applied state under confirmed leadership. Nothing was logged;
    /// `sequence` is that of the last command that the refusal reflects.
    Gated(Applied),
}

/// Why a command has no answer from the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
pub enum ProposeError {
    /// Not executed: no node is known to lead.
    #[error("no leader is known")]
    NoLeader,
    /// Not executed: the leader cannot reach a quorum.
    #[error("the leader cannot reach a quorum")]
    NoQuorum,
    /// Not executed: too many commands are waiting.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The command was handed to the log, and its fate could not be learned in time.
    #[error("the outcome could not be learned in time")]
    OutcomeUnknown,
    /// Not executed: the leader's disk is full, and nobody else can lead in its place.
    #[error("the leader's disk is full")]
    NoSpace,
    /// Not executed: it takes a feature level that is not in force, since not every node is upgraded.
    #[error("it takes a feature level that is not in force yet")]
    FeatureNotActive,
    /// Not executed: more came of one customer, or of one caller, than the limits allow.
    #[error("too many commands came of one {limit}; the next one may come in {wait_ms} ms")]
    RateLimited {
        /// Whose limit it is.
        limit: Limit,
        /// How long until the next one is let through, in milliseconds.
        wait_ms: u64,
    },
}

/// Whom a rate limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Limit {
    /// Each customer that commands name.
    Customer,
    /// Each caller, by the name that it was given.
    Caller,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Customer => "customer",
            Limit::Caller => "caller",
        })
    }
}

/// Why a linearizable read has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ReadError {
    /// No node is known to lead.
    #[error("no leader is known")]
    NoLeader,
    /// No leader could confirm its leadership with a quorum in time.
    #[error("leadership could not be confirmed by a quorum")]
    NoQuorum,
    /// Too many reads are waiting.
    #[error("too many reads are waiting")]
    Overloaded,
}

/// What a read found, and of which moment it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// What it found.
    pub value: T,
    /// The sequence number of the last command that it reflects.
    pub sequence: u64,
    /// The index of the last log entry that it reflects; `None` before the first one.
    pub applied_index: Option<u64>,
    /// The cluster clock at the read, in milliseconds since the Unix epoch. While nothing is logged it is ahead of
    /// the state machine's own, which rests.
    pub now_ms: u64,
}
