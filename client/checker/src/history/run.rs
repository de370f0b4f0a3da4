//! What was run, and what was done to the cluster meanwhile.

use serde::{Deserialize, Serialize};

/// What was run: the first line of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The record's format: [`Run::FORMAT`].
    pub format: u32,
    /// The version of lastunit that ran.
    pub version: String,
    /// The seed that the schedule of faults and all clients were drawn from.
    pub seed: u64,
    /// The command that repeats the run.
    pub command: String,
    /// The ids of the nodes that the cluster began with.
    pub nodes: Vec<u64>,
    /// How many clients there were.
    pub clients: u64,
    /// For how long clients made calls, in seconds, as asked.
    pub seconds: u64,
    /// The kinds of faults that were asked for.
    pub faults: Vec<String>,
    /// The wall clock at the start, RFC 3339.
    pub started_at: String,
    /// What the nodes were told.
    pub settings: Settings,
}

impl Run {
    /// The format that this crate writes, and the only one that it reads.
    pub const FORMAT: u32 = 1;
}

/// What the nodes were told, as far as an answer depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How long a hold lasts unless its reserve says otherwise.
    pub default_ttl_seconds: u64,
    /// The longest time to live that a reserve may ask for.
    pub max_ttl_seconds: u64,
    /// How long after its grant a hold can be extended to.
    pub max_hold_seconds: u64,
    /// How long reservations that ended stay readable.
    pub retention_seconds: u64,
    /// How long answers are kept for their idempotency keys.
    pub idempotency_seconds: u64,
    /// The most live reservations of one customer at a time; not limited unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_holds_max: Option<u64>,
    /// The most units that they hold or wait for, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_units_max: Option<u64>,
    /// How often a hold may be extended, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_extensions_max: Option<u64>,
    /// Whether every call must show a token; left out where none is asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tokens: bool,
}

impl Default for Settings {
    /// The contract's own figures.
    fn default() -> Settings {
        Settings {
            default_ttl_seconds: 300,
            max_ttl_seconds: 1_800,
            max_hold_seconds: 1_800,
            retention_seconds: 86_400,
            idempotency_seconds: 86_400,
            customer_holds_max: None,
            customer_units_max: None,
            hold_extensions_max: None,
            tokens: false,
        }
    }
}

/// What was done to the cluster, from when until when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// When it was begun.
    pub from_us: u64,
    /// When the last of it was undone; of a kill, when the process was there again.
    pub until_us: u64,
    /// Its kind, such as `kill` or `partition`.
    pub fault: String,
    /// The nodes that it was done to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<u64>,
    /// The links between nodes that it was done to, in one direction each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Whether the leader was among those that it was done to, as far as it was known.
    #[serde(default)]
    pub hit_leader: bool,
    /// What was done, in a phrase.
    pub detail: String,
    /// Whether it bit: the process was really gone, bytes were really held back.
    pub fired: bool,
}

/// The last line of a record: whatever happened is above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many calls there are in the record.
    pub calls: u64,
}

/// A direction between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Who dials or sends.
    pub from: u64,
    /// Who is dialled, or would receive.
    pub to: u64,
}
