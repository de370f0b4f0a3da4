//! What runs from a group's start until its shutdown.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::time::sleep;

use super::Inner;
use crate::membership::settle;
use crate::state_machine::StateMachine;
use crate::transport::server::{Gate, Server};
use crate::transport::wire::Listening;
use crate::transport::{Local, memory, ping};
use crate::types::TypeConfig;
use crate::{aside, compaction, digests, level, propose, pulse, read, stall};

/// The Raft core is looked at this often.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// How often it is looked whether the last save was too long ago, in the time that is too long.
const SAVE_LOOKS: u32 = 8;

impl Inner {
    /// Spawns all that runs from the start to the shutdown.
    pub(super) fn spawn_all(
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
