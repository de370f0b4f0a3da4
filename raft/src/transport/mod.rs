//! TCP between the nodes: length-delimited, versioned, checksummed frames.
//!
//! ```text
//!   caller ---- calls ------>  server        votes, heartbeats, forwarded commands, read indexes
//!   appender -- appends ---->  server        entries, pipelined, answered in order
//!   sender ---- snapshots -->  server        one at a time
//! ```
//!
//! Each arrow is a connection of its own, and heartbeats have one more of the first kind, so that a megabyte of entries
//! never delays a heartbeat. Connections are kept: only who was not reached, or fell silent, is dialled anew. One
//! begins with a handshake that refuses whatever is not the node it claims to be: another cluster, group or node id,
//! another data directory than the one that the membership knows, or an older state or a second copy of it. Where the
//! cluster file has TLS between nodes (`tls`), each side shows a certificate of its node before that.
//!
//! * `about` is what nodes of different versions say of themselves.
//! * `frame` and `message` are what is said, `wire` what carries it; `dial`, `handshake` how a connection begins;
//!   `caller`, `appender`, `snapshots` the sides that ask, `server` the one that answers; `ping` a word to who was
//!   silent, and `farewell` the last one to all.
//! * `roster` says who belongs to the cluster, and where each is reached.
//! * `judge` says which start of a peer's directory is dealt with, by what `memory` remembers; `refusals` is what the
//!   peers say against this one's.

pub(crate) mod about;
mod appender;
mod caller;
mod dial;
pub(crate) mod farewell;
pub(crate) mod frame;
mod handshake;
mod judge;
#[cfg(test)]
mod link_tests;
pub(crate) mod memory;
pub(crate) mod message;
mod network;
pub(crate) mod ping;
pub(crate) mod refusals;
pub(crate) mod roster;
pub(crate) mod server;
mod snapshots;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use storage::Position;
use storage::histogram::{Distribution, Histogram};
use storage::identity::Identity;
use storage::peers::{Incarnation, Promised};

pub(crate) use caller::{CallError, Caller, Callers};
pub(crate) use network::Network;

use about::{Build, Builds};
use frame::{Frame, Sender};
use memory::Memory;
use message::Introduction;
use refusals::Refusals;
use roster::Roster;
use tls::{PeerTls, Strangers};
use wire::{Tcp, Wire};

use crate::GroupOptions;
use crate::clock::ClusterClock;
use crate::fatal::Fatal;
use crate::promises::Promises;
use crate::replica::Replica;

/// The Raft group that this version serves: one. Frames, log and handshakes carry it for the day of the second.
pub(crate) const GROUP: u64 = 0;

/// A node counts as reachable while something of it arrived this recently.
const REACHABLE: Duration = Duration::from_secs(1);

/// Who this node is, and what it knows of its peers: shared by all connections.
pub(crate) struct Local {
    pub(crate) options: GroupOptions,
    pub(crate) clock: ClusterClock,
    pub(crate) replica: Arc<Replica>,
    pub(crate) fatal: Fatal,
    pub(crate) memory: Memory,
    pub(crate) roster: Roster,
    pub(crate) wire: Arc<dyn Wire>,
    /// `None`: nodes speak without TLS.
    pub(crate) tls: Option<Arc<PeerTls>>,
    pub(crate) strangers: Strangers,
    incarnation: Incarnation,
    cluster_id: RwLock<Option<u128>>,
    promises: Arc<Promises>,
    pub(crate) refusals: Refusals,
    pub(crate) builds: Builds,
    /// How often each peer has shaken hands.
    met: Mutex<BTreeMap<u64, u64>>,
    /// How long each peer took to answer what was replicated to it.
    replicating: Mutex<BTreeMap<u64, Arc<Histogram>>>,
    /// The last term in which this node led and was to hand over.
    handed_over_in: AtomicU64,
}

/// The other end of a connection: which node, and which start of its directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote {
    pub(crate) id: u64,
    pub(crate) incarnation: Incarnation,
    /// The entry of the newest membership that it knew itself to be in.
    pub(crate) member_since: Option<Position>,
}

impl Local {
    pub(crate) fn new(
        options: GroupOptions,
        identity: &Identity,
        clock: ClusterClock,
        replica: Arc<Replica>,
        fatal: Fatal,
        memory: Memory,
        promises: Arc<Promises>,
    ) -> Local {
        let (incarnation, cluster_id) = (Incarnation::of(identity), RwLock::new(identity.cluster_id));
        let (refusals, builds) = (Refusals::default(), Builds::default());
        let (met, replicating, handed_over_in) = (Mutex::default(), Mutex::default(), AtomicU64::default());
        let roster = Roster::new(&options, incarnation.store_id, replica.clone());
        let wire = Arc::new(Tcp);
        Local {
            options,
            clock,
            replica,
            fatal,
            memory,
            roster,
            wire,
            tls: None,
            strangers: Strangers::default(),
            incarnation,
            cluster_id,
            promises,
            refusals,
            builds,
            met,
            replicating,
            handed_over_in,
        }
    }

    /// The same over another network than this machine's.
    pub(crate) fn over(self, wire: Arc<dyn Wire>) -> Local {
        Local { wire, ..self }
    }

    /// The same with TLS between nodes.
    pub(crate) fn secured_by(self, tls: Option<Arc<PeerTls>>) -> Local {
        Local { tls, ..self }
    }

    /// This node's data directory.
    pub(crate) fn store_id(&self) -> u128 {
        self.incarnation.store_id
    }

    /// What this node says of its data directory.
    fn introduction(&self) -> Introduction {
        let applied = self.replica.read().position;
        Introduction { incarnation: self.incarnation, has: self.promises.all(applied) }
    }

    /// The feature level in force here.
    pub(crate) fn level(&self) -> u16 {
        self.replica.read().inventory.level()
    }

    /// What this node's peers are told that is on its disk for good.
    pub(crate) fn promised(&self) -> Promised {
        self.promises.kept()
    }

    /// What each frame says of this node.
    fn sender(&self) -> Sender {
        Sender { wall_ms: self.clock.wall_ms(), promised: self.promised() }
    }

    /// The cluster's id, once this node has one.
    pub(crate) fn cluster_id(&self) -> Option<u128> {
        *self.cluster_id.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the cluster's id, after it is on disk.
    pub(crate) fn set_cluster_id(&self, id: u128) {
        *self.cluster_id.write().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }

    /// Notes that something of a peer has arrived, and what its clock showed.
    ///
    /// # Errors
    /// It is of a directory in whose place the effective membership has another one, or of a start of that node which
    /// is not dealt with any more: what it says is not to be used.
    fn hear(&self, from: &Remote, frame: &Frame) -> io::Result<()> {
        if self.roster.is_superseded(from.id, from.incarnation.store_id, from.member_since) {
            return Err(io::Error::other(format!(
                "another directory of node {} has taken its place",
                from.id
            )));
        }
        if !self.memory.hear(from.id, &from.incarnation, &frame.sender.promised) {
            return Err(io::Error::other(format!("another start of node {} has taken its place", from.id)));
        }
        self.clock.observe(from.id, frame.sender.wall_ms);
        Ok(())
    }

    /// The same, of a connection that begins: the peer is new, was away or started again, or has more to say.
    fn meet(&self, from: &Remote, frame: &Frame, build: Build) -> io::Result<()> {
        self.hear(from, frame)?;
        self.builds.note(from.id, build);
        *self.met.lock().unwrap_or_else(PoisonError::into_inner).entry(from.id).or_default() += 1;
        Ok(())
    }

    /// Notes that a start of a peer has ended, by its own last word, and what that promises: all that the start ever
    /// will. Nothing of it is heard any more, and the next one is judged at once.
    ///
    /// # Errors
    /// It is none that is heard.
    fn part(&self, from: &Remote, frame: &Frame) -> io::Result<()> {
        self.hear(from, frame)?;
        self.memory.part(from.id, &from.incarnation);
        tracing::info!(peer = from.id, "it says farewell");
        Ok(())
    }

    /// How often a connection with each peer has begun.
    pub(crate) fn meetings(&self) -> BTreeMap<u64, u64> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it is noted how long a peer takes to answer what is replicated to it.
    fn replicating(&self, peer: u64) -> Arc<Histogram> {
        let mut all = self.replicating.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(peer).or_default())
    }

    /// How long each peer took to answer what was replicated to it, of those that are members.
    pub(crate) fn replicated(&self) -> BTreeMap<u64, Distribution> {
        let members: BTreeSet<u64> = self.roster.members().iter().map(|member| member.id).collect();
        let mut all = self.replicating.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever replicates to a peer notes it in the very one that is kept here.
        all.retain(|peer, took| members.contains(peer) || Arc::strong_count(took) > 1);
        let of_members = all.iter().filter(|(peer, _)| members.contains(peer));
        of_members.map(|(peer, took)| (*peer, took.read())).collect()
    }

    /// From now on this node leads in that term only until another one does.
    pub(crate) fn hands_over(&self, term: u64) {
        self.handed_over_in.store(term, Ordering::Relaxed);
    }

    /// Whether it was to hand over in that term.
    pub(crate) fn has_handed_over(&self, term: u64) -> bool {
        self.handed_over_in.load(Ordering::Relaxed) == term
    }

    /// Whether something of that peer arrived within the last second.
    pub(crate) fn is_reachable(&self, peer: u64) -> bool {
        self.memory.is_heard_within(peer, REACHABLE)
    }
}
