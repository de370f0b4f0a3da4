//! What a simulation sees of a group after each of its steps.

use std::collections::BTreeSet;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use storage::Position;
use storage::inventory::command::{Request, Stamp};
use storage::log::{Entry, LogState, Vote};
use storage::peers::Promised;

use crate::codec;
use crate::types::Proposal;

/// A group at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The current term.
    pub term: u64,
    /// Whether this node leads in it.
    pub leads: bool,
    /// The index of the last entry that it knows to be committed.
    pub committed: Option<u64>,
    /// The last entry applied.
    pub applied: Option<Position>,
    /// The state's digest after that entry.
    pub digest: u64,
    /// The sequence number of the last command applied.
    pub sequence: u64,
    /// What the log spans, on disk or not.
    pub log: LogState,
    /// The vote, on disk or not.
    pub vote: Option<Vote>,
    /// What the peers are told that is on this node's disk for good.
    pub promised: Promised,
}

/// What openraft's metrics tell of it.
pub(crate) struct Standing {
    pub(crate) term: u64,
    pub(crate) leads: bool,
    pub(crate) committed: Option<u64>,
}

impl Standing {
    pub(crate) fn of(raft: &crate::types::Raft) -> Standing {
        let metrics = raft.metrics();
        let now = metrics.borrow_watched();
        let leads = now.state == ServerState::Leader;
        Standing { term: now.current_term, leads, committed: now.local_committed.map(|id| id.index) }
    }
}

/// The members that a log entry makes: the sets of voters, of which there are two while it is joint, and all ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The voters: a quorum of each set decides.
    pub voters: Vec<BTreeSet<u64>>,
    /// All of them, those without a vote included.
    pub ids: BTreeSet<u64>,
}

/// The membership of a log entry; none of one that carries none.
///
/// # Errors
/// The payload cannot be decoded.
pub fn members(entry: &Entry) -> std::io::Result<Option<Members>> {
    match codec::decode_payload(entry.payload.clone())? {
        openraft::EntryPayload::Membership(membership) => {
            let ids = membership.nodes().map(|(id, _)| *id).collect();
            Ok(Some(Members { voters: membership.get_joint_config().clone(), ids }))
        }
        _ => Ok(None),
    }
}

/// The instant and the commands of a log entry; none of one that carries no commands.
///
/// # Errors
/// The payload cannot be decoded.
pub fn commands(entry: &Entry) -> std::io::Result<Option<(Stamp, Vec<Request>)>> {
    match codec::decode_payload(entry.payload.clone())? {
        openraft::EntryPayload::Normal(proposal) => batch(&proposal).map(Some),
        _ => Ok(None),
    }
}

fn batch(proposal: &Proposal) -> std::io::Result<(Stamp, Vec<Request>)> {
    codec::decode_batch(proposal).map(|batch| (batch.stamp, batch.requests))
}
