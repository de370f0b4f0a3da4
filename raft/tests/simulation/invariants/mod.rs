//! What must hold after every step. A file for each, named as in the Raft paper (Ongaro and Ousterhout, 2014, figure
//! 3), or as in our contract.

mod answers;
mod applied_in_order;
mod clock;
mod election_safety;
mod holds;
mod leader_append_only;
mod leader_completeness;
mod log_matching;
mod membership;
mod promises;
mod state_machine_safety;
mod units;

use raft::look::Look;
use storage::log::{Entry, Log};

pub(crate) use answers::{Answered, Answers, Asked};
pub(crate) use clock::AHEAD_MS_MAX;

use crate::history::History;

/// A node that has changed, and what all agree on by now.
pub(crate) struct Moment<'a> {
    /// The true time, since the beginning.
    pub(crate) now_ms: u64,
    pub(crate) node: u64,
    /// Which of its directories it has: they are counted, for one may be lost.
    pub(crate) directory: u64,
    /// Which start of that node this is.
    pub(crate) start: u64,
    pub(crate) look: &'a Look,
    /// What was seen of the same process before.
    pub(crate) before: Option<&'a Look>,
    pub(crate) log: &'a Log,
    /// The end of its log: all that is new, and some of what is not.
    pub(crate) tail: &'a [Entry],
    pub(crate) history: &'a History,
    /// Which entries of the history are new.
    pub(crate) agreed: std::ops::Range<u64>,
}

/// Something that must hold. Violated: in words.
pub(crate) trait Invariant {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String>;
}

/// All of them, with their names.
pub(crate) fn all() -> Vec<(&'static str, Box<dyn Invariant>)> {
    vec![
        ("election safety", Box::new(election_safety::ElectionSafety::default())),
        ("leader append-only", Box::new(leader_append_only::LeaderAppendOnly)),
        ("log matching", Box::new(log_matching::LogMatching::default())),
        ("leader completeness", Box::new(leader_completeness::LeaderCompleteness)),
        ("state machine safety", Box::new(state_machine_safety::StateMachineSafety)),
        ("promises", Box::new(promises::Promises::default())),
        ("applied in order", Box::new(applied_in_order::AppliedInOrder)),
        ("membership", Box::new(membership::Membership::default())),
        ("units", Box::new(units::Units::default())),
        ("clock", Box::new(clock::Clock)),
        ("holds", Box::new(holds::Holds::default())),
    ]
}
