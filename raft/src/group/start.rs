//! How a group starts: listens for peers, opens the storage, starts Raft, and wires all parts together.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use storage::disk::{Disk, RealDisk};

use super::{Group, Inner};
use crate::aside::Room;
use crate::audit::Auditor;
use crate::backup::Backuper;
use crate::clock::ClusterClock;
use crate::compaction;
use crate::fatal::Fatal;
use crate::form::Formation;
use crate::keeper::Keeper;
use crate::log_store::LogStore;
use crate::membership::Changer;
use crate::open::{self, Store};
use crate::promises::Promises;
use crate::propose::Proposer;
use crate::read::Confirmer;
use crate::replica::Replica;
use crate::simulated::blocking;
use crate::space::Space;
use crate::state_machine::{Saving, StateMachine};
use crate::transport::tls::PeerTls;
use crate::transport::wire::{Listening, Tcp, Wire};
use crate::transport::{Local, Network};
use crate::types::Raft;
use crate::{GroupOptions, StartError, WallClock};

/// A leader is heard from this often, in milliseconds. It is also the deadline of a heartbeat: above the slowest
/// fsync of a healthy disk (40 ms were seen).
const HEARTBEAT_MS: u64 = 100;

/// A follower campaigns after silence of `ELECTION_MS.1` and a random time between the two, in milliseconds: within
/// a second of a leader's death there is another. With 200 and 350 that was 0.65 s, but leadership moved without a
/// fault where a machine had many times more to do than it could.
const ELECTION_MS: (u64, u64) = (250, 500);

/// Above the slowest install: a retry while an install still runs would never end.
const INSTALL: Duration = Duration::from_secs(600);

/// The network between the nodes, and what is laid over it.
type Secured = (Arc<dyn Wire>, Option<Arc<PeerTls>>);

impl Group {
    /// Opens the storage, listens for peers, and takes part in the group. Returns before there is a leader.
    pub async fn start(options: GroupOptions, wall: Arc<dyn WallClock>) -> Result<Group, StartError> {
        Group::start_on(Arc::new(RealDisk), options, wall).await
    }

    /// As [`Group::start`], on another disk than this machine's: a faulty one, in tests.
    pub async fn start_on(
        disk: Arc<dyn Disk>,
        options: GroupOptions,
        wall: Arc<dyn WallClock>,
    ) -> Result<Group, StartError> {
        Group::start_in(disk, Arc::new(Tcp), options, wall).await
    }

    /// As [`Group::start_on`], with TLS between the nodes, where there is any.
    ///
    /// # Errors
    /// As [`Group::start_on`].
    pub async fn start_secured(
        disk: Arc<dyn Disk>,
        tls: Option<Arc<PeerTls>>,
        options: GroupOptions,
        wall: Arc<dyn WallClock>,
    ) -> Result<Group, StartError> {
        Group::start_with(disk, (Arc::new(Tcp), tls), options, wall).await
    }

    /// As [`Group::start_on`], on another network as well: one in memory, in simulations.
    #[doc(hidden)]
    pub async fn start_in(
        disk: Arc<dyn Disk>,
        wire: Arc<dyn Wire>,
        options: GroupOptions,
        wall: Arc<dyn WallClock>,
    ) -> Result<Group, StartError> {
        Group::start_with(disk, (wire, None), options, wall).await
    }

    async fn start_with(
        disk: Arc<dyn Disk>,
        wire: Secured,
        options: GroupOptions,
        wall: Arc<dyn WallClock>,
    ) -> Result<Group, StartError> {
        let listener = listen(&*wire.0, &options).await?;
        let (opening, space) = (options.clone(), Space::new(disk.clone(), options.data_dir.clone()));
        let opened = blocking(move || open::open(disk, &opening)).await;
        let store = opened.map_err(|e| StartError::Raft(e.to_string()))??;
        Group::wire(options, wall, wire, listener, store, space).await
    }

    async fn wire(
        options: GroupOptions,
        wall: Arc<dyn WallClock>,
        (wire, tls): Secured,
        listener: Box<dyn Listening>,
        store: Store,
        space: Space,
    ) -> Result<Group, StartError> {
        let Store { directory, memory, log, checkpoint, snapshots, snapshot, applied } = store;
        let fatal = Fatal::new();
        let failing = fatal.clone();
        log.on_failure(move |why| failing.report(&why));
        let keeper = Keeper::start(checkpoint, snapshots, space, fatal.clone()).map_err(raft_error)?;
        let replica = Arc::new(Replica::new(applied, snapshot));
        let machine = StateMachine::new(replica.clone(), keeper.clone(), saving(&options));
        let voters = options.members.iter().map(|member| member.id).collect();
        let clock = ClusterClock::new(wall, options.node_id, voters);
        let promises = Arc::new(Promises::new(log.clone()));
        let local =
            Local::new(options, directory.identity(), clock, replica, fatal, memory, promises.clone());
        let local = Arc::new(local.over(wire).secured_by(tls));
        let raft = start_raft(&local, LogStore::new(log.clone(), promises), machine.clone()).await?;
        local.roster.follow(raft.metrics());
        let (confirmer, confirming) = Confirmer::new(local.clone(), raft.clone());
        let room = Room::new(log.clone());
        let (proposer, proposing) =
            Proposer::new(local.clone(), log.clone(), raft.clone(), confirmer.clone(), room.clone());
        let formation = Formation::new(local.clone(), log.clone(), directory);
        let auditor = Arc::new(Auditor::new(local.clone(), machine.clone(), confirmer.clone()));
        let backuper = Backuper::new(local.clone(), machine.clone(), confirmer.clone());
        let changer = Arc::new(Changer::new(local.clone(), raft.clone(), confirmer.clone()));
        let inner = Arc::new(Inner {
            local,
            raft,
            log,
            keeper,
            machine,
            proposer,
            confirmer,
            formation,
            auditor,
            backuper,
            changer,
            compared: Arc::default(),
            room,
            recovered: AtomicBool::new(false),
            leader_changes: AtomicU64::new(0),
            tasks: Mutex::default(),
        });
        inner.spawn_all(listener, confirming, proposing);
        Ok(Group { inner })
    }
}

async fn listen(wire: &dyn Wire, options: &GroupOptions) -> Result<Box<dyn Listening>, StartError> {
    let own = options.members.iter().find(|m| m.id == options.node_id);
    let addr = own.map(|m| m.raft.clone()).unwrap_or_default();
    let node_id = options.node_id;
    wire.listen(&addr).await.map_err(|source| StartError::Listen { addr, node_id, source })
}

fn raft_error(why: impl ToString) -> StartError {
    StartError::Raft(why.to_string())
}

async fn start_raft(local: &Arc<Local>, log: LogStore, machine: StateMachine) -> Result<Raft, StartError> {
    let config = Config {
        cluster_name: local.options.cluster_name.clone(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        install_snapshot_timeout: INSTALL.as_millis() as u64,
        // `compaction` asks for snapshots long before; this is the bound that it keeps.
        snapshot_policy: SnapshotPolicy::LogsSinceLast(
            local.options.tuning.snapshot_entries.saturating_mul(compaction::ENTRIES_TIMES),
        ),
        // What lies behind a snapshot is purged where `compaction` asks for it, and nowhere else.
        max_in_snapshot_log_to_keep: u64::MAX,
        // A node that was cut off asks before it campaigns, and so unseats nobody when it comes back.
        enable_pre_vote: Some(true),
        // A leader that restarts is elected anew: it does not know how far it had committed, and would confirm reads
        // at less than what it had answered.
        enable_leader_restore: Some(false),
        // The handshake refuses a follower that lacks what was committed. One that lacks less must not end the leader
        // either: openraft takes it for a broken invariant, and would panic.
        allow_log_reversion: Some(true),
        ..Config::default()
    };
    let config = Arc::new(config.validate().map_err(raft_error)?);
    let network = Network::new(local.clone());
    Raft::new(local.options.node_id, config, network, log, machine).await.map_err(raft_error)
}

fn saving(options: &GroupOptions) -> Saving {
    Saving { records: options.tuning.save_records, turn: options.turn() }
}
