//! What an operator asks: the cluster as a node sees it, and its audit.

use serde::{Deserialize, Serialize};

/// `GET /api/cluster`: the cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterView {
    /// The cluster's name.
    pub cluster: String,
    /// The node that answered.
    pub node_id: u64,
    /// The leader, or `null` where none is known.
    pub leader_id: Option<u64>,
    /// The current term.
    pub term: u64,
    /// The last log entry that this node applied; `null` before the first.
    pub applied_index: Option<u64>,
    /// The last log entry that this node knows to be committed; `null` before the first.
    pub committed_index: Option<u64>,
    /// The digest of this node's state at `applied_index`: equal on every node at one index.
    pub state_digest: String,
    /// The feature level in force: it rises by itself once every member supports more.
    pub feature_level: u16,
    /// Every member.
    pub members: Vec<MemberView>,
}

/// A member of the cluster as the node that answered sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemberView {
    /// Its id.
    pub id: u64,
    /// `leader`, `follower`, `candidate` or `learner`.
    pub role: String,
    /// Where it answers HTTP.
    pub http: String,
    /// Where it answers its peers.
    pub raft: String,
    /// Whether it was heard from within the last second.
    pub reachable: bool,
    /// The last log entry known to be on its disk; `null` unless the node that answered leads.
    pub matched_index: Option<u64>,
    /// Its lastunit; `null` until it has said so to the node that answered.
    pub version: Option<String>,
    /// The highest feature level that its lastunit supports; likewise.
    pub feature_level_max: Option<u16>,
}

/// `GET /api/audit`: every node's digest at one log entry, and every sum recomputed from each node's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditView {
    /// The cluster's name.
    pub cluster: String,
    /// The node that answered.
    pub node_id: u64,
    /// The log entry at which the nodes' digests are compared.
    pub applied_index: u64,
    /// What it comes to.
    pub verdict: AuditVerdict,
    /// Whether all nodes that told have one digest at `applied_index`.
    pub agree: bool,
    /// What each node has found in itself.
    pub nodes: Vec<NodeAuditView>,
}

/// What an audit comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    /// All nodes agree, and nothing was found in any.
    Sound,
    /// Nothing was found, but not all nodes told.
    Incomplete,
    /// Digests differ, or a sum is not what it must be.
    Broken,
}

/// What a node has found in itself, or why it did not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeAuditView {
    /// Its id.
    pub id: u64,
    /// Why it did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its digest at the audit's `applied_index`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_digest: Option<String>,
    /// Its records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageAuditView>,
}

/// What the records of a node add up to, at a moment of its own: not before the audit's `applied_index`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImageAuditView {
    /// The last log entry that they reflect; `null` before the first.
    pub applied_index: Option<u64>,
    /// Their digest, recomputed.
    pub state_digest: String,
    /// SKUs.
    pub skus: u64,
    /// Reservations of any state.
    pub reservations: u64,
    /// Those that are held.
    pub holds: u64,
    /// Those that wait.
    pub waiting: u64,
    /// Answers kept for their idempotency keys.
    pub answers: u64,
    /// What each customer bought of each SKU: how many such records.
    pub customers: u64,
    /// Events of the change feed that are kept.
    pub events: u64,
    /// Units on hand, over all SKUs.
    pub on_hand: u64,
    /// Units held, over all SKUs, as the SKUs' records say.
    pub held: u64,
    /// Units sold, over all SKUs.
    pub sold: u64,
    /// What is not as it must be, in words: the first 20.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub findings_total: u64,
}
