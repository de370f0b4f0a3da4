//! What an operator changes: who belongs to the cluster, and who leads it.

use serde::{Deserialize, Serialize};

/// A node that lacks at most so many log entries has caught up, and may be promoted.
pub const ENTRIES_BEHIND_MAX: u64 = 1_000;

/// `POST /api/cluster/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddMemberRequest {
    /// The new node's id.
    pub id: u64,
    /// Where it answers its peers, as host and port.
    pub raft: String,
    /// Where it answers HTTP, as host and port.
    pub http: String,
}

/// `POST /api/cluster/members/{id}/replace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplaceMemberRequest {
    /// The learner that votes in its place.
    pub by: u64,
}

/// `POST /api/cluster/leader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LeadRequest {
    /// Which voter is to lead; whichever has most of the log unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// The cluster as its leader has it after a change, which is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MembershipView {
    /// Whether anything was changed: what was asked for may have been so before.
    pub changed: bool,
    /// The leader, or `null` where none is known yet.
    pub leader_id: Option<u64>,
    /// The current term.
    pub term: u64,
    /// The log entry of the membership.
    pub membership_index: Option<u64>,
    /// Every member.
    pub members: Vec<MembershipMember>,
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MembershipMember {
    /// Its id.
    pub id: u64,
    /// Whether it votes. A learner does not: it only follows.
    pub votes: bool,
    /// Where it answers HTTP.
    pub http: String,
    /// Where it answers its peers.
    pub raft: String,
}
