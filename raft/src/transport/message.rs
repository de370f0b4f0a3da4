//! What nodes say to each other. A change of any of these is a change of the frame version, and nodes of two frame
//! versions do not talk: an upgrade would not be a rolling one. What can be added without it: a number to what a
//! handshake says (`about`), and a kind behind the others, sent to nobody who does not say that it knows it.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};
use storage::Position;
use storage::peers::{Incarnation, Promised};

use super::about::About;
use crate::audit::NodeAudit;
use crate::digests::{Comparison, DigestAt};
use crate::types::{SnapshotMeta, TypeConfig, Vote};
use crate::waiting::Forwarded;
use crate::{Answer, Change, ChangeError, Changed, ProposeError, ReadError};

/// The first message on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The Raft group that the connection is for.
    pub(crate) group: u64,
    /// The cluster's name, as in both cluster files.
    pub(crate) cluster_name: String,
    /// The cluster's id, once the dialler has one.
    pub(crate) cluster_id: Option<u128>,
    /// Who dials.
    pub(crate) from: u64,
    /// Whom it means to reach.
    pub(crate) to: u64,
    /// The dialler's data directory.
    pub(crate) introduction: Introduction,
    /// The log entry of the newest membership that the dialler knows itself to be in.
    pub(crate) member_since: Option<Position>,
    /// What the connection will carry.
    pub(crate) channel: Channel,
    /// The dialler's build.
    pub(crate) about: About,
}

/// What each side of a handshake says of its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    /// Which start of which directory it is.
    pub(crate) incarnation: Incarnation,
    /// All that the directory has: its vote, and every entry, committed or not.
    pub(crate) has: Promised,
}

/// What a connection carries. Each has its own, so that none holds up another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Channel {
    /// Calls and replies, in any order.
    Calls,
    /// Requests to append, answered in order.
    Appends,
    /// One snapshot after another.
    Snapshots,
}

/// The answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Greeting {
    /// The connection is on.
    Welcome {
        /// The answerer's data directory.
        introduction: Introduction,
        /// Its cluster's id, once it has one.
        cluster_id: Option<u128>,
        /// The log entry of the newest membership that the answerer knows itself to be in.
        member_since: Option<Position>,
        /// The log entry of the newest membership that the answerer knows the dialler to be in.
        names_you_since: Option<Position>,
        /// The answerer's build.
        about: About,
    },
    /// It is not; the sentence is for the operator of the dialling node.
    Refused(String),
    /// It is not: the membership of that log entry knows the dialling node by another data directory. Whatever that
    /// one promised is lost, so the node must take part in nothing.
    StoreLost(Position),
    /// It is not: the membership of that log entry does not know the dialling node. It is to be added yet, or was
    /// removed.
    NotMember(Position),
    /// It is not: the dialler's directory belongs to another cluster of the same name; this is the answerer's.
    OtherCluster(u128),
    /// Not now: another process that says it is the dialling node was heard from a moment ago.
    InUse,
    /// It is not, and will never be: the dialler's directory is not the one that the answerer dealt with.
    Reverted(Reverted),
    /// It is not: this feature level is in force, and the dialler does not support it.
    Level(u16),
}

/// How a directory is known not to be the newest of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reverted {
    /// It was started again since.
    Superseded,
    /// A copy of it was started as well.
    Copied,
    /// It had more: this much.
    Forgotten(Promised),
}

/// A call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Call {
    /// Raft: RequestVote.
    Vote(VoteRequest<TypeConfig>),
    /// Raft: would you vote for me?
    PreVote(VoteRequest<TypeConfig>),
    /// Raft: a heartbeat, apart from the stream of entries.
    Heartbeat(AppendEntriesRequest<TypeConfig>),
    /// Raft: leadership is handed over.
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    /// The index that a linearizable read must have seen applied.
    ReadIndex,
    /// Units of commands from a node that does not lead.
    Forward(Vec<Forwarded>),
    /// Forming: are you new, and whose directory do you have?
    Probe,
    /// Forming, and adding: this is the cluster's id from now on.
    Join {
        /// The id.
        cluster_id: u128,
        /// The entry that the caller applied last, where the cluster is formed already: no membership up to it, nor any
        /// entry that it superseded, counts against the node.
        applied: Option<Position>,
    },
    /// Has your log room, so that you could lead?
    HasRoom,
    /// The digest after that entry.
    DigestAt(u64),
    /// The one who is called is not what the others are.
    Differs(Comparison),
    /// Everything recomputed, and the digest after that entry.
    Audit(u64),
    /// The index that must have been applied before the gate may refuse a command.
    GateIndex,
    /// A change of the membership, or of who leads.
    Change(Change),
}

/// The answer to a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To [`Call::Vote`] and [`Call::PreVote`].
    Vote(VoteResponse<TypeConfig>),
    /// To [`Call::Heartbeat`].
    Heartbeat(AppendEntriesResponse<TypeConfig>),
    /// To [`Call::TransferLeader`].
    TransferLeader(TransferLeaderResponse<TypeConfig>),
    /// To [`Call::ReadIndex`] and [`Call::GateIndex`].
    ReadIndex(Result<u64, ReadError>),
    /// To [`Call::Forward`]: one answer for each command, in order.
    Forward(Vec<Result<Answer, ProposeError>>),
    /// To [`Call::Probe`].
    Probe {
        /// The answerer's data directory.
        store_id: u128,
        /// Its cluster's id, once it has one.
        cluster_id: Option<u128>,
        /// Whether its log holds anything.
        has_log: bool,
        /// Whether its newest membership, committed or not, knows a node of the caller's id.
        knows_caller: bool,
    },
    /// To [`Call::Join`]: the id is on disk.
    Joined,
    /// To any call: it was not done, and why.
    Failed(String),
    /// To [`Call::HasRoom`].
    HasRoom(bool),
    /// To [`Call::DigestAt`].
    DigestAt(DigestAt),
    /// To [`Call::Differs`]: whether it believes so, and stops.
    Differs(bool),
    /// To [`Call::Audit`]; the error says why there is none.
    Audit(Result<NodeAudit, String>),
    /// To [`Call::Change`].
    Changed(Result<Changed, ChangeError>),
}

/// The start of a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotBegin {
    /// The vote of the leader that sends it.
    pub(crate) vote: Vote,
    /// What it is an image of.
    pub(crate) meta: SnapshotMeta,
    /// How many bytes will follow.
    pub(crate) length: u64,
}

/// The answer to a snapshot; the error says why it was not taken.
pub(crate) type SnapshotDone = Result<SnapshotResponse<TypeConfig>, String>;

/// The answer to a request to append; the outer error is for a node whose Raft has stopped.
pub(crate) type Appended = Result<StreamAppendResult<TypeConfig>, String>;
