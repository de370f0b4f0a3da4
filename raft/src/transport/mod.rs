//! TCP between the nodes: length-delimited, versioned, checksummed frames.
//!
//! ```text
//!   caller ---- calls ------>  server        votes, heartbeats, forwarded commands, read indexes
//!   appender -- appends ---->  server        entries, pipelined, answered in order
//!   sender ---- snapshots -->  server        one at a time
//! ```
//!
//! Each arrow is a connection of its own, so that a megabyte of entries never delays a heartbeat. A connection
//! begins with a handshake that refuses whatever is not the node it claims to be: another cluster, group or node
//! id, or another data directory than the one that the membership knows.

mod appender;
mod caller;
mod dial;
mod frame;
pub(crate) mod message;
mod network;
pub(crate) mod ping;
pub(crate) mod server;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub(crate) use caller::{CallError, Caller, callers};
pub(crate) use network::Network;

use crate::clock::ClusterClock;
use crate::fatal::Fatal;
use crate::replica::Replica;
use crate::{GroupOptions, Member};

/// The Raft group that this version serves: one. Frames, log and handshakes carry it for the day of the second.
pub(crate) const GROUP: u64 = 0;

/// A node counts as reachable while something of it arrived this recently.
const REACHABLE: Duration = Duration::from_secs(1);

/// Who this node is, and what it knows of its peers: shared by all connections.
pub(crate) struct Local {
    pub(crate) options: GroupOptions,
    pub(crate) store_id: u128,
    pub(crate) clock: ClusterClock,
    pub(crate) replica: Arc<Replica>,
    pub(crate) fatal: Fatal,
    cluster_id: RwLock<Option<u128>>,
    heard: Mutex<BTreeMap<u64, Instant>>,
}

impl Local {
    pub(crate) fn new(
        options: GroupOptions,
        store_id: u128,
        cluster_id: Option<u128>,
        clock: ClusterClock,
        replica: Arc<Replica>,
        fatal: Fatal,
    ) -> Local {
        let cluster_id = RwLock::new(cluster_id);
        Local { options, store_id, clock, replica, fatal, cluster_id, heard: Mutex::default() }
    }

    /// The cluster's id, once this node has one.
    pub(crate) fn cluster_id(&self) -> Option<u128> {
        *self.cluster_id.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the cluster's id, after it is on disk.
    pub(crate) fn set_cluster_id(&self, id: u128) {
        *self.cluster_id.write().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }

    /// A member of the cluster file.
    pub(crate) fn member(&self, id: u64) -> Option<&Member> {
        self.options.members.iter().find(|member| member.id == id)
    }

    /// The data directory that the membership knows a node by, once there is a membership.
    pub(crate) fn known_store(&self, id: u64) -> Option<u128> {
        let applied = self.replica.read();
        applied.membership.membership().get_node(&id).map(|node| node.store_id)
    }

    /// Notes that something of a peer has arrived, and what its clock showed.
    pub(crate) fn hear(&self, peer: u64, wall_ms: u64) {
        self.clock.observe(peer, wall_ms);
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, Instant::now());
    }

    /// Whether something of that peer arrived within the last second.
    pub(crate) fn is_reachable(&self, peer: u64) -> bool {
        self.heard_within(peer, REACHABLE)
    }

    /// Whether something of that peer arrived within that time.
    fn heard_within(&self, peer: u64, time: Duration) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&peer).is_some_and(|at| at.elapsed() < time)
    }
}
