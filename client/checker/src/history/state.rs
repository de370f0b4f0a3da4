//! What nodes say of themselves: looks during the run, and everything after it.

use client::api::{ClusterView, Event, InventoryRecord, Reservation};
use serde::{Deserialize, Serialize};

/// A look at a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at_us: u64,
    /// Which node.
    pub node: u64,
    /// Whether its process was there; a paused one is.
    pub up: bool,
    /// Whether it answered.
    pub reachable: bool,
    /// Its role as it said: `leader`, `follower`, `candidate` or `learner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// Whom it took for the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// The last log entry that it had applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_index: Option<u64>,
}

/// An event of the change feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedEvent {
    /// The node that it was read from.
    pub node: u64,
    /// The event.
    pub event: Event,
}

/// A node's whole state after the run, when everything was healed and no client made calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Final {
    /// When it was read.
    pub at_us: u64,
    /// Which node.
    pub node: u64,
    /// `/api/cluster` of this node: its digest and the log entry at which that is the digest.
    pub cluster: ClusterView,
    /// `Lastunit-Sequence` of the reads below.
    pub sequence: u64,
    /// The whole stock by this node's own stale reads, by SKU.
    pub stock: Vec<InventoryRecord>,
    /// All reservations by this node's own stale reads.
    pub reservations: Vec<Reservation>,
    /// The change feed from its beginning, as this node tells it.
    pub feed: FeedDigest,
}

/// A change feed, in short: two feeds with the same digest are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedDigest {
    /// How many events.
    pub events: u64,
    /// Anything that differs where the events differ.
    pub digest: String,
}
