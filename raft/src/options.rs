//! What a group is started with, and why it may not start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage::StorageError;
use storage::inventory::command::HoldLimits;

use crate::RateLimits;
use crate::turn::Turn;

/// The one thing this crate must be told about the outside world's time.
pub trait WallClock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, as this machine believes.
    fn now_ms(&self) -> u64;
}

/// One node of the cluster, and where it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Where it answers HTTP.
    pub http: String,
    /// Where it answers its peers.
    pub raft: String,
}

/// What a group is started with.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// The cluster's name; nodes of another name are refused.
    pub cluster_name: String,
    /// This node's id, one of `members`.
    pub node_id: u64,
    /// All nodes of the cluster file: who forms the cluster, where it is new.
    pub members: Vec<Member>,
    /// Where this node keeps its files.
    pub data_dir: PathBuf,
    /// How long an ended reservation stays readable.
    pub retention: Duration,
    /// How long the answer under an idempotency key is kept.
    pub idempotency_retention: Duration,
    /// The longest time from a hold's grant to its deadline.
    pub max_hold: Duration,
    /// How long an event of the change feed is kept.
    pub events_retention: Duration,
    /// How many events of the change feed are kept at most.
    pub events_max: u64,
    /// The most that one customer, and one hold, may have.
    pub limits: HoldLimits,
    /// How many commands one customer, and one caller, may hand in.
    pub rates: RateLimits,
    /// Sizes and paces: the default, but in tests.
    pub tuning: Tuning,
}

impl GroupOptions {
    /// When it is this node's turn to do what all nodes do now and then.
    pub(crate) fn turn(&self) -> Turn {
        Turn::new(self.node_id, self.members.iter().map(|member| member.id))
    }
}

/// Sizes and paces that no operator needs to set, and tests set low.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// How long a segment of the log is, in bytes.
    pub segment_bytes: u64,
    /// A snapshot is built about this many entries after the last one, in this node's turn; after a long one later, but
    /// at most ten times as many after it (see `compaction`). At most as many entries stay behind it, so that a
    /// follower that was away for a moment is served from the log.
    pub snapshot_entries: u64,
    /// The same in bytes of log, whichever comes first.
    pub snapshot_bytes: u64,
    /// How often the leader compares the digests of all nodes.
    pub digests_every: Duration,
    /// A checkpoint is saved when about this many records changed and no image is being written: from half of them on
    /// in this node's turn, from half as many again at any time. With more of them a SKU that sells all the time is
    /// written less often for as many reserves; and all of them gather in memory, some 200 bytes each, while as many
    /// more may be on their way to the disk.
    pub save_records: usize,
    /// What changed is saved about this often at least.
    pub save_every: Duration,
    /// Where to dial these nodes, by id, other than at the address that they answer at: a test's proxy.
    pub via: BTreeMap<u64, String>,
}

impl Default for Tuning {
    /// An entry carries all the commands that waited: even under full load 20,000 of them are more than twice what is
    /// written while a snapshot is installed.
    fn default() -> Tuning {
        Tuning {
            segment_bytes: 32 << 20,
            snapshot_entries: 20_000,
            snapshot_bytes: 256 << 20,
            digests_every: Duration::from_secs(30),
            save_records: 60_000,
            save_every: Duration::from_secs(5),
            via: BTreeMap::new(),
        }
    }
}

/// Why a group did not start. Displayed as one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This node's storage.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The raft address cannot be listened on.
    #[error("cannot listen on {addr} (key `raft` of node {node_id}): {source}")]
    Listen {
        /// The address.
        addr: String,
        /// The node.
        node_id: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// Raft itself.
    #[error("raft did not start: {0}")]
    Raft(String),
}
