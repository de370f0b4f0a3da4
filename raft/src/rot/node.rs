//! A node's storage without its network: entries go into the log and are applied, images are saved and built, all
//! through the parts that a running node has.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use openraft::RaftTypeConfig;
use openraft::storage::{RaftLogReader, RaftSnapshotBuilder, RaftStateMachine};
use storage::disk::RealDisk;
use storage::identity::{DataDir, Identity};
use storage::log::{Entry, Log, LogState, Vote};
use storage::peers::{self, Known};
use storage::snapshot::Snapshot;
use storage::{Position, StorageError};
use tokio::sync::oneshot;

use crate::fatal::Fatal;
use crate::keeper::Keeper;
use crate::log_store::LogStore;
use crate::open;
use crate::promises::Promises;
use crate::replica::Replica;
use crate::space::Space;
use crate::state_machine::{Saving, StateMachine};
use crate::types::TypeConfig;
use crate::{GroupOptions, Member, StartError, Tuning, codec};

/// Short enough for a log of many segments.
pub(super) const SEGMENT_BYTES: u64 = 8 << 10;

type Payload = <TypeConfig as RaftTypeConfig>::Payload;

/// The storage of one node, open.
pub(super) struct Node {
    directory: DataDir,
    log: Log,
    machine: StateMachine,
    keeper: Keeper,
    replica: Arc<Replica>,
}

/// All that a node's directory amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The node and its directory: cluster, cluster id, node id, store id.
    pub(super) whose: (String, Option<u128>, u64, u128),
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<Position>,
    pub(super) log: LogState,
    /// The inventory's digest once all entries of the log are applied, and where that was.
    pub(super) digest: u64,
    pub(super) applied: Option<Position>,
    pub(super) membership: Vec<u8>,
    /// What is known of the peers' directories.
    pub(super) peers: BTreeMap<u64, Known>,
}

fn options(directory: &Path) -> GroupOptions {
    let member = |id| Member { id, http: format!("127.0.0.1:{id}"), raft: format!("127.0.0.1:{}", id + 3) };
    GroupOptions {
        cluster_name: "rot".into(),
        node_id: 1,
        members: (1..=3).map(member).collect(),
        data_dir: directory.to_owned(),
        retention: Duration::from_secs(60),
        idempotency_retention: Duration::from_secs(60),
        max_hold: Duration::from_secs(60),
        events_retention: Duration::from_secs(3_600),
        events_max: 100_000,
        limits: crate::HoldLimits::NONE,
        rates: crate::RateLimits::default(),
        tuning: Tuning { segment_bytes: SEGMENT_BYTES, ..Tuning::default() },
    }
}

impl Node {
    /// Opens a directory as a node that starts does, and applies what the log has.
    pub(super) async fn open(directory: &Path) -> Result<Node, StartError> {
        let store = open::open(Arc::new(RealDisk), &options(directory))?;
        let replica = Arc::new(Replica::new(store.applied, store.snapshot));
        let space = Space::new(Arc::new(RealDisk), directory.to_owned());
        let keeper = Keeper::start(store.checkpoint, store.snapshots, space, Fatal::new());
        let keeper = keeper.expect("a thread starts");
        let machine = StateMachine::new(replica.clone(), keeper.clone(), Saving::NEVER);
        let mut node = Node { directory: store.directory, log: store.log, machine, keeper, replica };
        node.apply_rest().await.map_err(|e| StartError::Raft(e.to_string()))?;
        Ok(node)
    }

    async fn apply_rest(&mut self) -> std::io::Result<()> {
        let next = self.replica.read().position.map_or(0, |p| p.index + 1);
        let end = self.log.state().last.map_or(0, |p| p.index + 1);
        if next < end {
            let promises = Promises::new(self.log.clone()).into();
            let mut reader = LogStore::new(self.log.clone(), promises);
            let entries = reader.entries_stream(next..end).await;
            self.machine.apply(Box::pin(entries.map(|entry| Ok((entry?, None))))).await?;
        }
        Ok(())
    }

    /// Appends an entry that a quorum has, and applies it.
    pub(super) async fn commit(&mut self, position: Position, payload: Payload) {
        let payload = codec::encode_payload(payload).expect("it can be encoded");
        flushed(|done| self.log.append(vec![Entry { position, payload }], done)).await;
        self.log.save_committed(position).expect("the log runs");
        self.apply_rest().await.expect("applied");
    }

    pub(super) async fn vote(&self, vote: Vote) {
        flushed(|done| self.log.save_vote(vote, done)).await;
    }

    pub(super) async fn save(&self) {
        self.machine.save_all().await.expect("saved");
    }

    pub(super) async fn build_snapshot(&mut self) {
        self.machine.build_snapshot().await.expect("built");
    }

    /// As a snapshot from a peer is installed: the image starts anew.
    pub(super) async fn install(&mut self) {
        let snapshot: Snapshot = self.replica.snapshot().expect("one was built");
        self.keeper.install(snapshot).await.expect("installed");
    }

    pub(super) async fn purge(&self, upto: Position) {
        flushed(|done| self.log.purge(upto, done)).await;
    }

    /// Notes what a peer's directory has.
    pub(super) fn meet(&self, id: u64, known: Known) {
        let mut all = peers::read(&RealDisk, self.directory.path()).expect("it can be read");
        all.insert(id, known);
        peers::write(&RealDisk, self.directory.path(), &all).expect("it can be written");
    }

    /// The instant that the inventory is at.
    pub(super) fn now_ms(&self) -> u64 {
        self.replica.read().inventory.now_ms()
    }

    pub(super) fn state(&self) -> State {
        let Identity { cluster_name, cluster_id, node_id, store_id, .. } = self.directory.identity().clone();
        let applied = self.replica.read();
        State {
            whose: (cluster_name, cluster_id, node_id, store_id),
            vote: self.log.vote(),
            committed: self.log.committed(),
            log: self.log.state(),
            digest: applied.inventory.state_digest(),
            applied: applied.position,
            membership: codec::encode_membership(&applied.membership).expect("it was decoded"),
            peers: peers::read(&RealDisk, self.directory.path()).expect("it was read before"),
        }
    }

    /// Lets go of everything. What was not saved is not: the log has it.
    pub(super) async fn close(self) {
        self.keeper.close().await;
    }
}

/// Starts a write and waits until it is on disk.
async fn flushed(start: impl FnOnce(storage::log::Flushed) -> Result<(), StorageError>) {
    let (done, flushed) = oneshot::channel();
    start(Box::new(move |result| drop(done.send(result)))).expect("the log runs");
    flushed.await.expect("it is told").expect("it is written");
}
