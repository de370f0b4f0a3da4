//! openraft's type parameters, decided once. None of them leaves this crate.

use std::fmt;

use bytes::Bytes;
use openraft::raft::responder::Responder;
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use openraft::{EntryPayload, OptionalSend, RaftTypeConfig};
use serde::{Deserialize, Serialize};
use storage::Position;
use storage::inventory::outcome::Applied;

use crate::runtime::Runtime;
use crate::state_machine::StateMachine;

/// One group of lastunit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Proposal;
    type R = Vec<Applied>;
    type NodeId = u64;
    type Node = PeerNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = openraft::impls::Vote<LeaderId>;
    type Payload = EntryPayload<Proposal, u64, PeerNode>;
    type Entry = openraft::impls::Entry<LeaderId, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T: OptionalSend + 'static> = Callback<T>;
    type Batch<T: OptionalSend + 'static> = openraft::impls::InlineBatch<T>;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;
pub(crate) type LogId = LogIdOf<TypeConfig>;
pub(crate) type Vote = VoteOf<TypeConfig>;
/// Who votes, and every node.
pub(crate) type Membership = openraft::Membership<u64, PeerNode>;
pub(crate) type StoredMembership = StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<TypeConfig>;
pub(crate) type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;

/// The commands of one log entry, encoded by [`codec`](crate::codec): written once by the leader, then shipped
/// as they stand to every log and every peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal(pub(crate) Bytes);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of commands", self.0.len())
    }
}

/// What the membership records of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct PeerNode {
    /// Where it answers its peers.
    pub(crate) raft: String,
    /// Where it answers HTTP.
    pub(crate) http: String,
    /// Its data directory: a node that comes back with another one is not that node.
    pub(crate) store_id: u128,
}

/// A responder that runs a closure where the answer arises, so that one apply wakes its waiters directly and no
/// task stands between.
pub(crate) struct Callback<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Callback<T> {
    pub(crate) fn new(run: impl FnOnce(T) + Send + 'static) -> Callback<T> {
        Callback(Box::new(run))
    }
}

impl<T: Send + 'static> Responder<TypeConfig, T> for Callback<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

/// Storage's name for openraft's log id.
pub(crate) fn position(id: &LogId) -> Position {
    Position { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

/// openraft's name for storage's position.
pub(crate) fn log_id(position: Position) -> LogId {
    let leader = LeaderId { term: position.term, node_id: position.leader };
    LogId::new(leader, position.index)
}
