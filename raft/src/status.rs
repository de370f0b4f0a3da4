//! A node's view of its cluster, and its counters.

use storage::inventory::Counts;
use storage::log::{LogRoom, LogStats};

use crate::{Build, Member};

/// This node's view of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The cluster's id; `None` before it is formed.
    pub cluster_id: Option<u128>,
    /// The leader, where one is known and was heard from lately.
    pub leader_id: Option<u64>,
    /// The current term.
    pub term: u64,
    /// The last entry applied here.
    pub applied_index: Option<u64>,
    /// The last entry known here to be committed.
    pub committed_index: Option<u64>,
    /// The digest of the state at `applied_index`.
    pub state_digest: u64,
    /// The feature level in force here.
    pub level: u16,
    /// Every member.
    pub members: Vec<MemberStatus>,
}

/// A member as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member.
    pub member: Member,
    /// What it is, or for other nodes: what this one knows of it.
    pub role: Role,
    /// Whether it was heard from within the last second (this node itself: always).
    pub reachable: bool,
    /// The last entry known to be on its disk, where this node is the leader.
    pub matched_index: Option<u64>,
    /// What it has said of its binary, where it said so to this node.
    pub build: Option<Build>,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It votes and follows.
    Follower,
    /// It campaigns; known of this node itself only.
    Candidate,
    /// It follows without a vote, or belongs to no cluster yet.
    Learner,
}

impl Role {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Learner => "learner",
        }
    }
}

/// Counters and gauges for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Log entries proposed here.
    pub entries_proposed: u64,
    /// Commands in them.
    pub commands_proposed: u64,
    /// Commands answered by the gate.
    pub commands_gated: u64,
    /// Commands forwarded to the leader.
    pub commands_forwarded: u64,
    /// Commands waiting to be proposed.
    pub commands_waiting: u64,
    /// Commands applied here since start.
    pub commands_applied: u64,
    /// Confirmations of leadership asked of Raft here, by reads and the gate.
    pub read_confirmations: u64,
    /// Leader changes seen since start.
    pub leader_changes: u64,
    /// Comparisons of the nodes' digests made here, while this node led.
    pub digest_comparisons: u64,
    /// The log entry of the last of them; 0 before the first.
    pub digests_compared_index: u64,
    /// Checkpoints saved.
    pub checkpoints: u64,
    /// Snapshots built here.
    pub snapshots_built: u64,
    /// Snapshots installed here.
    pub snapshots_installed: u64,
    /// The log's counters.
    pub log: LogStats,
    /// What the log can still take.
    pub log_room: LogRoom,
    /// How much the inventory holds.
    pub counts: Counts,
}
