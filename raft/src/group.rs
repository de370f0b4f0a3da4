//! One Raft group's member in this process: its parts, and what can be asked of it.
//!
//! * `start` opens the storage, starts Raft and wires the parts; `tasks` is what runs from then on.
//! * `figures` is what it tells of itself: status, counters, and what a simulation sees.

mod figures;
mod start;
mod tasks;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storage::inventory::command::Request;
use storage::inventory::{Inventory, LEVELS};
use storage::log::Log;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::aside::Room;
use crate::audit::Auditor;
use crate::backup::Backuper;
use crate::digests::Compared;
use crate::fatal::Stop;
use crate::form::Formation;
use crate::hand_over::hand_over;
use crate::keeper::Keeper;
use crate::membership::Changer;
use crate::propose::Proposer;
use crate::read::Confirmer;
use crate::simulated::blocking;
use crate::state_machine::StateMachine;
use crate::transport::{Local, farewell};
use crate::types::Raft;
use crate::{
    Answer, Audit, AuditError, Backup, BackupError, Change, ChangeError, Changed, ProposeError, Read,
    ReadError,
};

/// Recovery and a linearizable read for readiness are waited for this long.
const READY: Duration = Duration::from_secs(2);

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
    /// Nothing of a level that is not in force here is handed on: who leads may be of a version that cannot read it.
    fn check_level(&self, requests: &[Request]) -> Result<(), ProposeError> {
        // Asked for each command, and but for those of a later version without a look at the state.
        let needed = requests.iter().map(|request| request.command.level_needed()).max().unwrap_or(0);
        match needed <= *LEVELS.start() || needed <= self.local.level() {
            true => Ok(()),
            false => Err(ProposeError::FeatureNotActive),
        }
    }

    /// Hands leadership to whichever peer has most of the log, where this node leads.
    async fn hand_over(&self) {
        let voters = self.local.roster.voters().into_iter();
        let heirs: Vec<u64> = voters.filter(|id| *id != self.local.options.node_id).collect();
        hand_over(&self.local, &self.raft, &heirs).await;
    }
}
