//! Forming a cluster: its nodes, all new, agree on its id and its first membership, once.
//!
//! ```text
//!   node with the lowest id                      every other node
//!   -----------------------                      ----------------
//!   makes the cluster's id, on disk
//!   probes all: new? which store?   ---------->  new, store s
//!   all answered, all new (or joined to this id)
//!   join(id)                        ---------->  id on disk; from now on Raft is answered
//!   all joined: initialize Raft with all stores
//! ```
//!
//! A crash at any point leaves logs empty, and the next start goes on with the same id. A node whose directory is
//! empty while another one's log is not, and knows the node, has lost its data: it takes part in nothing, for its old
//! votes are gone, and says so. Where the others do not know it, it is new: it waits until it is added.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storage::identity::DataDir;
use storage::log::Log;
use storage::{LEAVE_STOPPED, Position};

use crate::fatal::Stop;
use crate::simulated::{blocking, random};
use crate::transport::message::{Call, Reply};
use crate::transport::{Caller, Callers, Local};
use crate::types::{PeerNode, Raft};

/// How long a probe or a join waits for its answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long between two rounds: at first, and at most. A node that the others refuse shall not fill their logs.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// This node's part in forming the cluster.
#[derive(Clone)]
pub(crate) struct Formation {
    local: Arc<Local>,
    log: Log,
    directory: Arc<Mutex<Option<DataDir>>>,
}

/// What a peer answered to a probe.
struct Probed {
    store_id: u128,
    cluster_id: Option<u128>,
    has_log: bool,
    knows_us: bool,
}

impl Formation {
    pub(crate) fn new(local: Arc<Local>, log: Log, directory: DataDir) -> Formation {
        Formation { local, log, directory: Arc::new(Mutex::new(Some(directory))) }
    }

    /// The answer to a peer's probe.
    pub(crate) fn probed(&self, from: u64) -> Reply {
        Reply::Probe {
            store_id: self.local.store_id(),
            cluster_id: self.local.cluster_id(),
            has_log: self.has_log(),
            knows_caller: self.local.roster.effective().get_node(&from).is_some(),
        }
    }

    /// The answer to a peer's join; `applied` is how far the one has come that is about to add this node.
    pub(crate) async fn joined(&self, cluster_id: u128, applied: Option<Position>) -> Result<Reply, String> {
        self.local.refusals.note_membership(applied);
        self.join(cluster_id).await.map(|()| Reply::Joined)
    }

    fn has_log(&self) -> bool {
        self.log.state().last.is_some()
    }

    /// Waits for the disk on a thread of its own.
    async fn join(&self, cluster_id: u128) -> Result<(), String> {
        let formation = self.clone();
        let joining = blocking(move || formation.join_here(cluster_id));
        joining.await.map_err(|e| e.to_string())?
    }

    fn join_here(&self, cluster_id: u128) -> Result<(), String> {
        let mut directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = directory.as_mut().ok_or("this node is stopping")?;
        directory.join(cluster_id).map_err(|e| e.to_string())?;
        self.local.set_cluster_id(cluster_id);
        Ok(())
    }

    /// Lets go of the directory: this node takes part in nothing any more.
    pub(crate) fn leave(&self) {
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Goes on until the cluster is formed. Returns at once where it is already.
    pub(crate) async fn run(&self, raft: &Raft) {
        if self.has_log() {
            return;
        }
        let callers = Callers::new(self.local.clone());
        let (mut pause, longest) = PAUSES;
        while !self.has_log() && !self.local.fatal.is_reported() {
            if let Err(why) = self.round(raft, &callers.all()).await {
                tracing::debug!("the cluster is not formed yet: {why}");
            }
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 5 / 4);
        }
    }

    /// Whether this node is the one that makes the others join.
    fn is_first(&self) -> bool {
        let lowest = self.local.options.members.iter().map(|m| m.id).min();
        lowest == Some(self.local.options.node_id)
    }

    async fn round(&self, raft: &Raft, callers: &BTreeMap<u64, Arc<Caller>>) -> Result<(), String> {
        let mut stores = BTreeMap::from([(self.local.options.node_id, self.local.store_id())]);
        for (id, caller) in callers {
            let probed = probe(caller).await.map_err(|e| format!("node {id}: {e}"))?;
            self.check_new(*id, &probed)?;
            stores.insert(*id, probed.store_id);
        }
        if !self.is_first() || self.has_log() {
            return Ok(());
        }
        let cluster_id = match self.local.cluster_id() {
            Some(id) => id,
            None => random(),
        };
        self.join(cluster_id).await?;
        for (id, caller) in callers {
            join(caller, cluster_id).await.map_err(|e| format!("node {id}: {e}"))?;
        }
        self.initialize(raft, &stores).await
    }

    /// A peer with a log has seen the cluster formed. If this node never joined it has lost its directory.
    fn check_new(&self, id: u64, probed: &Probed) -> Result<(), String> {
        if !probed.has_log {
            return Ok(());
        }
        if self.local.cluster_id().is_none() && probed.cluster_id.is_some() && probed.knows_us {
            self.local.fatal.report(Stop::refused(format!(
                "{}: this directory is empty, but node {id} is part of a formed cluster that counts on this node's \
                 vote; put its directory back, or {LEAVE_STOPPED}",
                self.local.options.data_dir.display()
            )));
        }
        Err(format!("node {id} has a log already"))
    }

    async fn initialize(&self, raft: &Raft, stores: &BTreeMap<u64, u128>) -> Result<(), String> {
        let node = |m: &crate::Member| PeerNode {
            raft: m.raft.clone(),
            http: m.http.clone(),
            store_id: stores.get(&m.id).copied().unwrap_or_default(),
        };
        let members: BTreeMap<u64, PeerNode> =
            self.local.options.members.iter().map(|m| (m.id, node(m))).collect();
        tracing::info!(nodes = members.len(), "all nodes are new: forming the cluster");
        raft.initialize(members).await.map_err(|e| e.to_string())
    }
}

async fn probe(caller: &Caller) -> Result<Probed, String> {
    match caller.call(&Call::Probe, DEADLINE).await.map_err(|e| e.to_string())? {
        Reply::Probe { store_id, cluster_id, has_log, knows_caller } => {
            Ok(Probed { store_id, cluster_id, has_log, knows_us: knows_caller })
        }
        other => Err(format!("{other:?}")),
    }
}

async fn join(caller: &Caller, cluster_id: u128) -> Result<(), String> {
    match caller.call(&Call::Join { cluster_id, applied: None }, DEADLINE).await.map_err(|e| e.to_string())? {
        Reply::Joined => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
