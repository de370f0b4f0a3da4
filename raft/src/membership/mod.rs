//! Changing the members of a running cluster, and who leads it: one change at a time, asked of any node, made by the
//! leader, answered once it is committed.
//!
//! ```text
//!   add      probe: a new directory? --> join: the cluster's id, on its disk --> [1 2 3] + 4, a learner
//!   promote  has it caught up? ----------------------------------------------> [1 2 3 4]
//!   remove   is the rest a quorum that is there and has caught up? ----------> [1 2 3]
//!   swap     likewise of the new voters ---> [1 2 3][1 2 4] ----------------> [1 2 4]
//!   lead     hand over to a voter that has caught up
//! ```
//!
//! * `plan` says what the next membership is, or why there is none: a pure function of what the leader knows.
//! * `change` makes it so; `settle` is what each node does about a membership that it has applied, and ends a change of
//!   two steps whose leader died between them.
//!
//! Invariants: an entry changes the voters by one at most, or is joint; each is proposed on condition that the
//! membership before it is the one that was looked at; and a leader proposes none before an entry of its own term is
//! committed (openraft checks the last two, too). A node is added with the directory that it showed, and that was new:
//! an id may come again, a directory never does.

mod change;
mod plan;
pub(crate) mod settle;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Member;

pub(crate) use change::Changer;

/// A cluster has at least so many voters, but while one of them is replaced under its own id.
pub const VOTERS_MIN: usize = 3;

/// A cluster has at most so many voters.
pub const VOTERS_MAX: usize = 5;

/// A cluster has at most so many members: voters, and learners that are to replace some.
pub const MEMBERS_MAX: usize = 7;

/// A node that lacks at most so many log entries has caught up: it takes them in a moment.
pub const ENTRIES_BEHIND_MAX: u64 = 1_000;

/// A change that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new node follows without a vote.
    Add(Member),
    /// A learner votes from now on.
    Promote(u64),
    /// A member is none any more.
    Remove {
        /// Which one.
        id: u64,
        /// It is to be added again with a new directory: until then two voters may be left. Refused where it answers.
        to_replace: bool,
    },
    /// A learner takes a voter's place, in one step.
    Swap {
        /// The voter that is no member any more.
        old: u64,
        /// The learner that votes in its place.
        new: u64,
    },
    /// A voter leads: this one, or whichever has most of the log.
    Lead(Option<u64>),
}

/// What a change has come to: the cluster as the leader has it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Whether anything was changed: what was asked for may have been so before.
    pub changed: bool,
    /// The leader, where one is known.
    pub leader_id: Option<u64>,
    /// Its term.
    pub term: u64,
    /// The log entry of the membership.
    pub membership_index: Option<u64>,
    /// The members by their ids, and whether each votes.
    pub members: Vec<(Member, bool)>,
}

/// Why there was no change, or nobody knows whether there was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ChangeError {
    /// Not executed: no node is known to lead.
    #[error("no leader is known")]
    NoLeader,
    /// Not executed: the leader cannot reach a quorum.
    #[error("the leader cannot reach a quorum")]
    NoQuorum,
    /// It was handed to the log, and its fate could not be learned in time.
    #[error("the outcome could not be learned in time")]
    OutcomeUnknown,
    /// Not executed, for this reason; but the lead may have gone elsewhere.
    #[error("{0}")]
    Refused(Refusal),
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of reason it is.
    pub kind: RefusalKind,
    /// The reason, in a sentence.
    pub why: String,
}

/// What kind of reason a change is refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// Another change is under way.
    Changing,
    /// The id or an address belongs to a member already.
    Exists,
    /// There is no such member.
    NotFound,
    /// The node does not answer.
    Unreachable,
    /// The node's directory is not new.
    NotNew,
    /// The node has not caught up.
    Behind,
    /// The node does not vote.
    Learner,
    /// There would be too many or too few.
    OutOfRange,
    /// What would be left could not agree on anything.
    QuorumLost,
    /// Leadership was not taken over by the node that was to.
    NotTransferred,
}

impl Refusal {
    /// One of that kind.
    pub(crate) fn new(kind: RefusalKind, why: impl Into<String>) -> Refusal {
        Refusal { kind, why: why.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<Refusal> for ChangeError {
    fn from(refusal: Refusal) -> ChangeError {
        ChangeError::Refused(refusal)
    }
}
