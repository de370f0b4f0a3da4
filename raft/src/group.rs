//! One Raft group's member in this process: everything wired together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Config, ServerState, SnapshotPolicy};
use storage::disk::{Disk, RealDisk};
use storage::inventory::command::Request;
use storage::inventory::{Inventory, LEVELS};
use storage::log::Log;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::aside::{self, Room};
use crate::audit::Auditor;
use crate::backup::Backuper;
use crate::clock::ClusterClock;
use crate::compaction;
use crate::digests::{self, Compared};
use crate::fatal::{Fatal, Stop};
use crate::form::Formation;
use crate::hand_over::hand_over;
use crate::keeper::Keeper;
use crate::log_store::LogStore;
use crate::look::{Look, Standing};
use crate::membership::{Changer, settle};
use crate::open::{self, Store};
use crate::promises::Promises;
use crate::propose::{self, Proposer};
use crate::read::{self, Confirmer};
use crate::replica::Replica;
use crate::simulated::blocking;
use crate::space::Space;
use crate::state_machine::{Saving, StateMachine};
use crate::transport::about::Build;
use crate::transport::server::{Gate, Server};
use crate::transport::tls::PeerTls;
use crate::transport::wire::{Listening, Tcp, Wire};
use crate::transport::{Local, Network, farewell, memory, ping};
use crate::types::{Raft, TypeConfig};
use crate::{
    Answer, Audit, AuditError, Backup, BackupError, Change, ChangeError, Changed, GroupOptions, Member,
    MemberStatus, ProposeError, Read, ReadError, Role, StartError, Stats, Status, WallClock, level, pulse,
    stall,
};

/// A leader is heard from this often, in milliseconds. It is also the deadline of a heartbeat: above the slowest
/// fsync of a healthy disk (40 ms were seen).
const HEARTBEAT_MS: u64 = 100;

/// A follower campaigns after silence of `ELECTION_MS.1` and a random time between the two, in milliseconds: within
/// a second of a leader's death there is another. With 200 and 350 that was 0.65 s, but leadership moved without a
/// fault where a machine had many times more to do than it could.
const ELECTION_MS: (u64, u64) = (250, 500);

/// Above the slowest install: a retry while an install still runs would never end.
const INSTALL: Duration = Duration::from_secs(600);

/// The Raft core is looked at this often.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// How often it is looked whether the last save was too long ago, in the time that is too long.
const SAVE_LOOKS: u32 = 8;

/// Recovery and a linearizable read for readiness are waited for this long.
const READY: Duration = Duration::from_secs(2);

/// The network between the nodes, and what is laid over it.
type Secured = (Arc<dyn Wire>, Option<Arc<PeerTls>>);

/// One Raft group's member in this process. A cheap handle.
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    local: Arc<Local>,
    raft: Raft,
    log: Log,
    keeper: Keeper,
    machine: StateMachine,
    proposer: Proposer,
    confirmer: Confirmer,
    formation: Formation,
    auditor: Arc<Auditor>,
    backuper: Backuper,
    changer: Arc<Changer>,
    compared: Arc<Compared>,
    room: Room,
    recovered: AtomicBool,
    leader_changes: AtomicU64,
    tasks: Mutex<JoinSet<()>>,
}

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

    /// Gets a command applied, through the leader, wherever it is.
    ///
    /// # Errors
    /// [`ProposeError::OutcomeUnknown`] is the only one after which the command may have been executed.
    pub async fn submit(&self, request: Request) -> Result<Answer, ProposeError> {
        self.submit_by(request, None).await
    }

    /// The same for a caller of that name, whose commands may be limited: see [`RateLimits`](crate::RateLimits).
    ///
    /// # Errors
    /// As [`Group::submit`], and [`ProposeError::RateLimited`].
    pub async fn submit_by(&self, request: Request, caller: Option<&str>) -> Result<Answer, ProposeError> {
        self.inner.check_level(std::slice::from_ref(&request))?;
        self.inner.proposer.submit(request, caller).await
    }

    /// Gets commands applied in order, through the leader, wherever it is: one answer for each, in the same order. No
    /// command of others comes between them as far as one log entry can carry them (2 MiB; then the next one).
    /// Each has a fate of its own: where the leader fails in the middle some may be applied and the rest unknown, and
    /// none is executed after a later one.
    ///
    /// # Errors
    /// As [`Group::submit`], for each command. More than [`UNIT_COMMANDS_MAX`](crate::UNIT_COMMANDS_MAX), or more than
    /// there is room for in the queue: [`ProposeError::Overloaded`] for all of them.
    pub async fn submit_many(&self, requests: Vec<Request>) -> Vec<Result<Answer, ProposeError>> {
        self.submit_many_by(requests, None).await
    }

    /// The same for a caller of that name. Each command counts by itself, and is refused by itself.
    ///
    /// # Errors
    /// As [`Group::submit_many`], and [`ProposeError::RateLimited`].
    pub async fn submit_many_by(
        &self,
        requests: Vec<Request>,
        caller: Option<&str>,
    ) -> Vec<Result<Answer, ProposeError>> {
        if let Err(why) = self.inner.check_level(&requests) {
            return vec![Err(why); requests.len()];
        }
        self.inner.proposer.submit_many(requests, caller).await
    }

    /// Resolves as soon as the state here has a sequence greater than that: something may have changed.
    pub async fn applied_past(&self, sequence: u64) {
        self.inner.local.replica.wait_past(sequence).await;
    }

    /// A linearizable read: reflects every command answered before this call, through any node.
    pub async fn read<T>(&self, query: impl FnOnce(&Inventory) -> T) -> Result<Read<T>, ReadError> {
        let index = self.inner.confirmer.confirm().await?;
        let applied = self.inner.local.replica.wait_applied(Some(index));
        timeout(READY, applied).await.map_err(|_| ReadError::NoQuorum)?;
        Ok(self.read_stale(query))
    }

    /// This node's own applied state, however old.
    pub fn read_stale<T>(&self, query: impl FnOnce(&Inventory) -> T) -> Read<T> {
        let local = &self.inner.local;
        let applied = local.replica.read();
        let log_ms = applied.inventory.now_ms();
        Read {
            value: query(&applied.inventory),
            sequence: applied.inventory.sequence(),
            applied_index: applied.position.map(|p| p.index),
            now_ms: local.clock.stamp_ms(log_ms, applied.advanced_at),
        }
    }

    /// Every node's digest at one entry, and every sum recomputed from each node's records. It reflects every command
    /// answered before this call.
    ///
    /// # Errors
    /// This node asks for one already, or no quorum says what it has to reflect.
    pub async fn audit(&self) -> Result<Audit, AuditError> {
        self.inner.auditor.audit().await
    }

    /// A backup of this node's state, which reflects every command answered before this call.
    ///
    /// # Errors
    /// This node makes one already, has no room for it, or no quorum says what it has to reflect.
    pub async fn backup(&self) -> Result<Backup, BackupError> {
        self.inner.backuper.backup().await
    }

    /// Changes the members, or who leads, through the leader, wherever it is. Answers once the change is committed.
    ///
    /// # Errors
    /// [`ChangeError::OutcomeUnknown`] is the only one after which the members may have changed. Who leads may have
    /// changed after any of them: a leader that is to go hands over first.
    pub async fn change(&self, change: &Change) -> Result<Changed, ChangeError> {
        self.inner.changer.change(change).await
    }

    /// The way in for commands, for tests of what a peer asks.
    #[cfg(test)]
    pub(crate) fn proposer(&self) -> &Proposer {
        &self.inner.proposer
    }

    /// This node's view of the cluster.
    pub fn status(&self) -> Status {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let local = &self.inner.local;
        let leader_id = self.inner.live_leader(&metrics);
        let members =
            local.roster.members().iter().map(|m| self.inner.member_status(m, &metrics, leader_id)).collect();
        let applied = local.replica.read();
        Status {
            cluster_id: local.cluster_id(),
            leader_id,
            term: metrics.current_term,
            applied_index: applied.position.map(|p| p.index),
            committed_index: metrics.local_committed.map(|id| id.index),
            state_digest: applied.inventory.state_digest(),
            level: applied.inventory.level(),
            members,
        }
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        let counters = &inner.proposer.counters;
        let kept = inner.keeper.counts();
        let (over_customer_rate, over_caller_rate) = inner.proposer.refused_by_rates();
        let (entries_under_way, forwards_under_way) = inner.proposer.under_way();
        let state = inner.of_state();
        Stats {
            entries_proposed: counters.entries.load(Ordering::Relaxed),
            commands_proposed: counters.commands(),
            commands_gated: counters.gated.load(Ordering::Relaxed),
            commands_forwarded: counters.forwarded.load(Ordering::Relaxed),
            commands_over_customer_rate: over_customer_rate,
            commands_over_caller_rate: over_caller_rate,
            commands_waiting: inner.proposer.waiting() as u64,
            gate_waiting: inner.proposer.waiting_at_gate() as u64,
            entries_under_way: entries_under_way as u64,
            forwards_under_way: forwards_under_way as u64,
            queue_us: counters.queueing.read(),
            propose_us: counters.proposing.read(),
            apply_us: inner.local.replica.applying.read(),
            replication_us: inner.local.replicated(),
            last_log_index: inner.log.state().last.map(|last| last.index),
            commands_applied: inner.local.replica.commands.load(Ordering::Relaxed),
            read_confirmations: inner.confirmer.confirmations(),
            leader_changes: inner.leader_changes.load(Ordering::Relaxed),
            digest_comparisons: inner.compared.comparisons(),
            digest_differences: inner.compared.differences(),
            digests_compared_index: inner.compared.index(),
            checkpoints: kept.saves.count(),
            snapshots_built: kept.builds.count(),
            snapshots_installed: kept.installs.count(),
            checkpoint_us: kept.saves,
            snapshot_build_us: kept.builds,
            snapshot_install_us: kept.installs,
            log: inner.log.stats(),
            log_room: inner.log.room(),
            ..state
        }
    }

    /// Whether this node knows a leader, has applied what was committed when it started, and a linearizable read
    /// through it works.
    ///
    /// # Errors
    /// Which of them fails, in words.
    pub async fn ready(&self) -> Result<(), String> {
        if self.inner.local.fatal.is_reported() {
            return Err("this node is stopping".into());
        }
        if !self.inner.recovered.load(Ordering::Acquire) {
            return Err("this node has not applied yet what was committed when it started".into());
        }
        match timeout(READY, self.read(|_| ())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(why.to_string()),
            Err(_) => Err("a linearizable read takes too long".into()),
        }
    }

    /// What a simulation sees of it.
    #[doc(hidden)]
    pub fn look(&self) -> Look {
        let Inner { raft, log, local, .. } = &*self.inner;
        let Standing { term, leads, committed } = Standing::of(raft);
        let promised = local.promised();
        let applied = local.replica.read();
        Look {
            term,
            leads,
            committed,
            applied: applied.position,
            digest: applied.inventory.state_digest(),
            sequence: applied.inventory.sequence(),
            log: log.state(),
            vote: log.vote(),
            promised,
        }
    }

    /// Its log, for the same.
    #[doc(hidden)]
    pub fn log(&self) -> &Log {
        &self.inner.log
    }

    /// Resolves when this group must end: a failed write or fsync, damage, a Raft core that stopped, or no room.
    pub async fn fatal(&self) -> Stop {
        self.inner.local.fatal.reason().await
    }

    /// Hands leadership over, stops taking part, writes the checkpoint, and lets go of the directory: whatever still
    /// holds a part of this group can change nothing there from then on. After a failure nothing more is written.
    ///
    /// # Errors
    /// The checkpoint could not be written, in words. Nothing is lost by that: the log has it all.
    pub async fn shutdown(&self) -> Result<(), String> {
        let inner = &self.inner;
        inner.hand_over().await;
        let mut tasks = std::mem::take(&mut *inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        if let Err(e) = inner.raft.shutdown().await {
            tracing::warn!("raft did not shut down cleanly: {e}");
        }
        if !inner.local.fatal.is_reported() {
            farewell::say(&inner.local).await;
        }
        let saved = if inner.local.fatal.is_reported() { Ok(()) } else { inner.machine.save_all().await };
        inner.keeper.close().await;
        let (log, local) = (inner.log.clone(), inner.local.clone());
        let closing = move || {
            log.close();
            local.memory.close(&local.fatal);
        };
        let closed = blocking(closing).await;
        inner.formation.leave();
        closed.map_err(|e| format!("the log was not closed: {e}"))?;
        saved.map_err(|e| format!("the last checkpoint was not written: {e}"))
    }
}

impl Inner {
    fn spawn_all(
        self: &Arc<Self>,
        listener: Box<dyn Listening>,
        confirming: read::Worker,
        proposing: propose::Worker,
    ) {
        let server = Server {
            local: self.local.clone(),
            raft: self.raft.clone(),
            log: self.log.clone(),
            keeper: self.keeper.clone(),
            proposer: self.proposer.clone(),
            confirmer: self.confirmer.clone(),
            formation: self.formation.clone(),
            auditor: self.auditor.clone(),
            changer: self.changer.clone(),
            room: self.room.clone(),
            gate: Gate::default(),
        };
        let (raft, formation) = (self.raft.clone(), self.formation.clone());
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(server.run(listener));
        tasks.spawn(ping::run(self.local.clone()));
        tasks.spawn(memory::run(self.local.clone()));
        tasks.spawn(confirming.run());
        tasks.spawn(proposing.run());
        tasks.spawn(pulse::run(self.local.clone(), raft.clone(), self.proposer.clone()));
        let (leading, changer) = (self.proposer.clone(), self.changer.clone());
        tasks.spawn(level::run(self.local.clone(), raft.clone(), leading, changer));
        tasks.spawn(digests::run(self.local.clone(), raft.clone(), self.compared.clone()));
        tasks.spawn(settle::run(self.local.clone(), raft.clone(), self.changer.clone()));
        tasks.spawn(async move { formation.run(&raft).await });
        tasks.spawn(compaction::run(self.local.clone(), self.raft.clone(), self.log.clone()));
        tasks.spawn(aside::run(self.local.clone(), self.raft.clone(), self.room.clone()));
        tasks.spawn(stall::run(self.local.clone(), self.log.clone()));
        tasks.spawn(save_regularly(self.machine.clone(), self.local.clone()));
        tasks.spawn(note_recovery(Arc::downgrade(self)));
        tasks.spawn(watch_core(Arc::downgrade(self), self.raft.metrics()));
    }

    /// Nothing of a level that is not in force here is handed on: who leads may be of a version that cannot read it.
    fn check_level(&self, requests: &[Request]) -> Result<(), ProposeError> {
        // Asked for each command, and but for those of a later version without a look at the state.
        let needed = requests.iter().map(|request| request.command.level_needed()).max().unwrap_or(0);
        match needed <= *LEVELS.start() || needed <= self.local.level() {
            true => Ok(()),
            false => Err(ProposeError::FeatureNotActive),
        }
    }

    /// What the inventory tells of itself, all of one moment.
    fn of_state(&self) -> Stats {
        let applied = self.local.replica.read();
        let inventory = &applied.inventory;
        let now_ms = self.local.clock.stamp_ms(inventory.now_ms(), applied.advanced_at);
        let overdue_ms =
            inventory.next_deadline_ms().map_or(0, |deadline_ms| now_ms.saturating_sub(deadline_ms));
        Stats {
            counts: inventory.counts(),
            units: inventory.units(),
            ends: inventory.ends().clone(),
            expiry_overdue_ms: overdue_ms,
            ..Stats::default()
        }
    }

    /// The leader, unless nothing was heard of it lately: Raft itself remembers the last one for as long as there is
    /// no other.
    fn live_leader(&self, metrics: &RaftMetrics<TypeConfig>) -> Option<u64> {
        let leader = metrics.current_leader?;
        let live = leader == self.local.options.node_id || self.local.is_reachable(leader);
        live.then_some(leader)
    }

    fn member_status(
        &self,
        member: &Member,
        metrics: &RaftMetrics<TypeConfig>,
        leader_id: Option<u64>,
    ) -> MemberStatus {
        let is_self = member.id == self.local.options.node_id;
        let voter = metrics.membership_config.membership().voter_ids().any(|id| id == member.id);
        let role = match metrics.state {
            _ if leader_id == Some(member.id) => Role::Leader,
            ServerState::Candidate if is_self => Role::Candidate,
            _ if voter => Role::Follower,
            _ => Role::Learner,
        };
        let matched = metrics.replication.as_ref().and_then(|all| all.get(&member.id).cloned().flatten());
        MemberStatus {
            member: member.clone(),
            role,
            reachable: is_self || self.local.is_reachable(member.id),
            matched_index: matched.map(|id| id.index),
            build: if is_self { Some(Build::own()) } else { self.local.builds.of(member.id) },
        }
    }

    /// Hands leadership to whichever peer has most of the log, where this node leads.
    async fn hand_over(&self) {
        let voters = self.local.roster.voters().into_iter();
        let heirs: Vec<u64> = voters.filter(|id| *id != self.local.options.node_id).collect();
        hand_over(&self.local, &self.raft, &heirs).await;
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

/// Saves what changed, where it is not much and nothing else would. The nodes of a group begin one after the other.
async fn save_regularly(machine: StateMachine, local: Arc<Local>) {
    let every = local.options.tuning.save_every;
    let look_every = every / SAVE_LOOKS;
    sleep(Duration::from_millis(local.options.turn().share(every.as_millis() as u64))).await;
    loop {
        sleep(look_every).await;
        if let Err(e) = machine.save_if_older(every).await {
            local.fatal.report(e.to_string());
        }
    }
}

/// Notes when everything that was committed before the start has been applied again.
async fn note_recovery(inner: Weak<Inner>) {
    let Some(raft) = inner.upgrade().map(|inner| inner.raft.clone()) else {
        return;
    };
    if raft.wait_for_recovery(None).await.is_ok()
        && let Some(inner) = inner.upgrade()
    {
        inner.recovered.store(true, Ordering::Release);
    }
}

/// Follows the Raft core: counts leaders, and ends the process where the core has stopped. It looks now and then:
/// the core's figures change several times with every entry, and waking up for each would cost more than they say.
async fn watch_core(inner: Weak<Inner>, metrics: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>) {
    let mut leader = None;
    while let Some(inner) = inner.upgrade() {
        let (state, current_leader, term) = {
            let now = metrics.borrow_watched();
            (now.running_state.clone(), now.current_leader, now.current_term)
        };
        if let Err(stopped) = state {
            return inner.local.fatal.report(format!("raft has stopped: {stopped}"));
        }
        if current_leader.is_some() && current_leader != leader {
            leader = current_leader;
            inner.leader_changes.fetch_add(1, Ordering::Relaxed);
            tracing::info!(leader, term, "there is a leader");
        }
        drop(inner);
        sleep(WATCH_EVERY).await;
    }
}
