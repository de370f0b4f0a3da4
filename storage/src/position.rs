//! Where in the Raft log something stands.

use serde::{Deserialize, Serialize};

/// An entry's place in the Raft log: its index, and the term and leader that proposed it.
///
/// Ordered as Raft orders log ids: by term, then leader, then index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The term of the leader that proposed the entry.
    pub term: u64,
    /// The id of that leader.
    pub leader: u64,
    /// The entry's index; the first entry of a history has index 0 (openraft's membership entry).
    pub index: u64,
}
