//! Where this node leads: all that waits is stamped and packed, written as entries, and answered once applied.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use openraft::errors::{ClientWriteError, ForwardReason};
use openraft::raft::ClientWriteResult;
use storage::inventory::command::Stamp;
use storage::inventory::outcome::Applied;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{DEADLINE, Shared};
use crate::pack::{Entry, pack};
use crate::types::{Callback, Proposal, TypeConfig};
use crate::waiting::{Result, Waiting, gathering};
use crate::{Answer, ProposeError};

/// One of the turns, for as long as anything of it is under way.
type Turn = Arc<OwnedSemaphorePermit>;

/// What became of an entry: one answer for each command, or why there is none of any.
type Fate = std::result::Result<Vec<Applied>, ProposeError>;

impl Shared {
    /// Writes units as entries, but for those that the gate is to answer, or that there is no room for.
    pub(super) async fn lead(self: Arc<Self>, units: Vec<Waiting>, turn: OwnedSemaphorePermit) {
        let entries = match pack(&self.stamp(), self.fitting(self.divert(units))) {
            Ok(entries) => entries,
            Err(e) => {
                return self.local.fatal.report(format!("commands could not be encoded: {e}"));
            }
        };
        let turn = Arc::new(turn);
        for entry in entries {
            match entry {
                Entry::Units(proposal, units) => self.write_units(proposal, units, turn.clone()).await,
                Entry::Parts(parts, unit) => self.write_parts(parts, unit, turn.clone()).await,
            }
        }
    }

    async fn write_units(self: &Arc<Self>, proposal: Proposal, units: Vec<Waiting>, turn: Turn) {
        let commands = units.iter().map(Waiting::len).sum();
        let shared = self.clone();
        let done = move |result| shared.done(units, fate(result), turn);
        self.write(proposal, commands, done).await;
    }

    /// Writes a unit that no entry can carry into consecutive ones. One after the other without waiting, so that
    /// nothing of others comes between; what is tried again is decided when the fate of all is known.
    async fn write_parts(self: &Arc<Self>, parts: Vec<(Proposal, usize)>, unit: Waiting, turn: Turn) {
        let (mut rest, answers) = gathering(unit.len());
        for (proposal, commands) in parts {
            let part = rest.split_first(commands);
            let done = move |result| match fate(result) {
                Ok(applied) => part.answer(&mut applied.into_iter().map(answered)),
                Err(why) => part.answer(&mut std::iter::repeat(Err(why))),
            };
            self.write(proposal, commands, done).await;
        }
        let shared = self.clone();
        tokio::spawn(async move {
            let answers = answers.wait(Instant::now() + DEADLINE).await;
            shared.settle(vec![unit], answers).await;
            drop(turn);
        });
    }

    async fn write(
        &self,
        proposal: Proposal,
        commands: usize,
        done: impl FnOnce(ClientWriteResult<TypeConfig>) + Send + 'static,
    ) {
        let counters = Arc::clone(&self.proposer.counters);
        counters.entries.fetch_add(1, Ordering::Relaxed);
        counters.commands.fetch_add(commands as u64, Ordering::Relaxed);
        let begun = Instant::now();
        let done = move |result| {
            done(result);
            counters.proposing.add(begun.elapsed());
        };
        if let Err(fatal) = self.raft.write(proposal).responder(Callback::new(done)).await {
            self.local.fatal.report(format!("raft has stopped: {fatal}"));
        }
    }

    /// Refuses clients' commands where the log has no room for them, and passes ticks on. None of them was logged.
    fn fitting(&self, units: Vec<Waiting>) -> Vec<Waiting> {
        if !self.room.is_refused() {
            return units;
        }
        let (ticks, refused): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| unit.requests.is_tick());
        refused.into_iter().for_each(|unit| unit.refuse(ProposeError::NoSpace));
        ticks
    }

    fn stamp(&self) -> Stamp {
        let options = &self.local.options;
        Stamp {
            now_ms: self.now_ms(),
            retention_ms: options.retention.as_millis() as u64,
            idempotency_ms: options.idempotency_retention.as_millis() as u64,
            max_hold_ms: options.max_hold.as_millis() as u64,
            events_ms: options.events_retention.as_millis() as u64,
            events_max: options.events_max,
            limits: options.limits,
        }
    }

    /// Runs where the entry was applied, or was refused: nothing here may wait.
    fn done(&self, units: Vec<Waiting>, fate: Fate, turn: Turn) {
        match fate {
            Ok(applied) => {
                let mut answers = applied.into_iter().map(answered);
                units.into_iter().for_each(|unit| unit.answer(&mut answers));
            }
            Err(ProposeError::OutcomeUnknown) => {
                units.into_iter().for_each(|unit| unit.refuse(ProposeError::OutcomeUnknown));
            }
            Err(why) => {
                let proposer = self.proposer.clone();
                tokio::spawn(async move {
                    proposer.again_soon(units, why).await;
                    drop(turn);
                });
            }
        }
    }
}

fn fate(result: ClientWriteResult<TypeConfig>) -> Fate {
    match result {
        Ok(written) => Ok(written.data),
        Err(ClientWriteError::ForwardToLeader(elsewhere)) => Err(match elsewhere.reason {
            ForwardReason::LeaseExpired => ProposeError::NoQuorum,
            _ => ProposeError::NoLeader,
        }),
        // Discarded here, but another node may have committed it.
        Err(_) => Err(ProposeError::OutcomeUnknown),
    }
}

fn answered(applied: Applied) -> Result {
    Ok(Answer::Applied(applied))
}
