//! A node's view of its cluster, and its counters.

use std::collections::BTreeMap;

use storage::histogram::Distribution;
use storage::inventory::{Counts, Ends, Units};
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
    /// Commands refused here because their customer's were too many.
    pub commands_over_customer_rate: u64,
    /// Commands refused here because their caller's were too many.
    pub commands_over_caller_rate: u64,
    /// Commands waiting to be proposed.
    pub commands_waiting: u64,
    /// Commands waiting at the gate.
    pub gate_waiting: u64,
    /// Entries proposed here that are not answered yet.
    pub entries_under_way: u64,
    /// Calls to the leader with forwarded commands that are not answered yet.
    pub forwards_under_way: u64,
    /// How long the first of those commands that are proposed or forwarded together waited for it, in microseconds.
    pub queue_us: Distribution,
    /// From an entry's proposal to its answers, in microseconds.
    pub propose_us: Distribution,
    /// How long each entry took to be applied, in microseconds.
    pub apply_us: Distribution,
    /// How long each peer took to answer entries that were replicated to it, in microseconds.
    pub replication_us: BTreeMap<u64, Distribution>,
    /// The last entry in this node's log.
    pub last_log_index: Option<u64>,
    /// Commands applied here since start.
    pub commands_applied: u64,
    /// Confirmations of leadership asked of Raft here, by reads and the gate.
    pub read_confirmations: u64,
    /// Leader changes seen since start.
    pub leader_changes: u64,
    /// Comparisons of the nodes' digests made here, while this node led.
    pub digest_comparisons: u64,
    /// Those of them in which nodes differed.
    pub digest_differences: u64,
    /// The log entry of the last of them; 0 before the first.
    pub digests_compared_index: u64,
    /// Checkpoints saved.
    pub checkpoints: u64,
    /// Snapshots built here.
    pub snapshots_built: u64,
    /// Snapshots installed here.
    pub snapshots_installed: u64,
    /// How long saves took, in microseconds.
    pub checkpoint_us: Distribution,
    /// How long it took to build snapshots, likewise.
    pub snapshot_build_us: Distribution,
    /// How long it took to install them, likewise.
    pub snapshot_install_us: Distribution,
    /// How holds ended here.
    pub ends: Ends,
    /// How long ago the earliest deadline passed of a hold that no command has ended yet, in milliseconds.
    pub expiry_overdue_ms: u64,
    /// The units of all SKUs.
    pub units: Units,
    /// The log's counters.
    pub log: LogStats,
    /// What the log can still take.
    pub log_room: LogRoom,
    /// How much the inventory holds.
    pub counts: Counts,
}
