//! Making a change: on the leader, or by way of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardReason, RaftError};
use openraft::raft::Precondition;
use openraft::{EntryPayload, ServerState};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};

use super::plan::{self, Known};
use super::{Change, ChangeError, Changed, Refusal, RefusalKind};
use crate::hand_over::hand_over;
use crate::read::Confirmer;
use crate::transport::message::{Call, Reply};
use crate::transport::roster::member;
use crate::transport::{CallError, Caller, Callers, Local};
use crate::types::{Membership, Raft, StoredMembership, TypeConfig};
use crate::{Member, ReadError};

/// A change that was not executed for want of a leader or a quorum is tried for so long: longer than an election.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the leader is waited for, and how long an entry may take to be committed.
const DEADLINES: (Duration, Duration) = (Duration::from_secs(12), Duration::from_secs(5));

/// How long a node that is to be added may take to answer.
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

/// How long the next leader may take to be known.
const NEXT_LEADER_TIME_MAX: Duration = Duration::from_secs(3);

type Result<T> = std::result::Result<T, ChangeError>;

/// Makes changes of the membership.
pub(crate) struct Changer {
    local: Arc<Local>,
    raft: Raft,
    confirmer: Confirmer,
    callers: Callers,
    /// Held while this node changes anything.
    changing: Mutex<()>,
}

impl Changer {
    pub(crate) fn new(local: Arc<Local>, raft: Raft, confirmer: Confirmer) -> Changer {
        let callers = Callers::new(local.clone());
        Changer { local, raft, confirmer, callers, changing: Mutex::new(()) }
    }

    /// Makes a change, wherever the leader is.
    pub(crate) async fn change(&self, change: &Change) -> Result<Changed> {
        let since = Instant::now();
        loop {
            let changed = match self.raft.as_leader() {
                Ok(_) => self.change_here(change).await,
                Err(elsewhere) => match elsewhere.leader_id.and_then(|id| self.callers.get(id)) {
                    Some(leader) => change_there(&leader, change).await,
                    None => Err(ChangeError::NoLeader),
                },
            };
            match changed {
                Err(ChangeError::NoLeader | ChangeError::NoQuorum) if since.elapsed() < PATIENCE => {
                    sleep(PAUSE).await;
                }
                changed => return changed,
            }
        }
    }

    /// Makes a change, where this node leads.
    pub(crate) async fn change_here(&self, change: &Change) -> Result<Changed> {
        let Ok(_turn) = self.changing.try_lock() else { return Err(changing()) };
        self.confirm().await?;
        match change {
            Change::Lead(to) => self.lead(*to).await,
            _ => {
                let (stored, known) = self.known()?;
                let steps = self.plan(change, &known).await?;
                let changed = !steps.is_empty();
                self.write_all(stored, steps).await?;
                Ok(self.changed(changed))
            }
        }
    }

    /// Keeps the membership as it is, as far as this node changes it; `None` while it does.
    pub(crate) fn hold(&self) -> Option<MutexGuard<'_, ()>> {
        self.changing.try_lock().ok()
    }

    /// Ends a change of two steps whose leader died between them, where this node leads and none is under way.
    pub(super) async fn end_joint(&self) {
        let Ok(_turn) = self.changing.try_lock() else { return };
        let stored = self.local.roster.effective();
        let Some(next) = plan::end(stored.membership()) else { return };
        match self.write(&stored, next).await {
            Ok(()) => tracing::info!("a change of the membership that its leader left half done is done now"),
            Err(why) => tracing::debug!("a change of the membership is still half done: {why}"),
        }
    }

    /// This node leads, and has applied what was committed.
    async fn confirm(&self) -> Result<()> {
        let index = self.confirmer.confirm_here().await.map_err(not_confirmed)?;
        let applied = self.local.replica.wait_applied(Some(index));
        timeout(PROBE_TIME_MAX, applied).await.map_err(|_| ChangeError::NoQuorum)
    }

    /// The committed membership, and what is known of its nodes.
    fn known(&self) -> Result<(StoredMembership, Known)> {
        let (applied, effective) = (self.local.roster.applied(), self.local.roster.effective());
        let membership = applied.membership().clone();
        if applied.log_id() != effective.log_id() || membership.get_joint_config().len() != 1 {
            return Err(changing());
        }
        let behind = self.behind();
        Ok((applied, Known { membership, behind }))
    }

    /// How many entries each node lacks that answers.
    fn behind(&self) -> BTreeMap<u64, Option<u64>> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let last = next(metrics.last_log_index);
        let lacks = |matched: Option<u64>| last.saturating_sub(next(matched));
        let peers = metrics.replication.unwrap_or_default().into_iter();
        let heard = peers.filter(|(id, _)| self.local.is_reachable(*id));
        let heard = heard.map(|(id, matched)| (id, matched.map(|matched| lacks(Some(matched.index)))));
        heard.chain([(self.local.options.node_id, Some(0))]).collect()
    }

    async fn plan(&self, change: &Change, known: &Known) -> Result<Vec<Membership>> {
        match change {
            Change::Add(new) => match known.check_new(new)? {
                true => Ok(Vec::new()),
                false => Ok(known.add(new, self.join(new).await?)),
            },
            Change::Promote(id) => Ok(known.promote(*id)?),
            Change::Remove { id, to_replace } => {
                let steps = known.remove(*id, *to_replace)?;
                self.leave_the_lead(*id, known).await?;
                Ok(steps)
            }
            Change::Swap { old, new } => {
                let steps = known.swap(*old, *new)?;
                self.leave_the_lead(*old, known).await?;
                Ok(steps)
            }
            Change::Lead(_) => Ok(Vec::new()),
        }
    }

    /// Has a node join whose directory is new; answers that directory.
    async fn join(&self, new: &Member) -> Result<u128> {
        self.local.roster.introduce(new.id, &new.raft);
        let caller = Caller::new(self.local.clone(), new.id);
        let joined = self.join_by(&caller, new).await;
        self.local.roster.forget(new.id);
        joined
    }

    async fn join_by(&self, caller: &Caller, new: &Member) -> Result<u128> {
        let own = self.local.cluster_id().ok_or(ChangeError::NoLeader)?;
        let probed = caller.call(&Call::Probe, PROBE_TIME_MAX).await.map_err(|why| unreachable(new, &why))?;
        let store_id = match probed {
            Reply::Probe { store_id, cluster_id, has_log: false, .. }
                if cluster_id.is_none_or(|theirs| theirs == own) =>
            {
                store_id
            }
            other => {
                let why =
                    format!("Node {} was part of a cluster before: give it an empty directory.", new.id);
                tracing::info!("not added: {other:?}");
                return Err(Refusal::new(RefusalKind::NotNew, why).into());
            }
        };
        // This node leads, and has applied an entry of its own term: it is newer than any that old leaders left behind.
        let applied = self.local.replica.read().position;
        let join = Call::Join { cluster_id: own, applied };
        match caller.call(&join, PROBE_TIME_MAX).await.map_err(|why| unreachable(new, &why))? {
            Reply::Joined => Ok(store_id),
            other => Err(unreachable(new, &format!("{other:?}"))),
        }
    }

    /// Where it is this node that is to go, another one leads first, and makes the change.
    async fn leave_the_lead(&self, id: u64, known: &Known) -> Result<()> {
        if id != self.local.options.node_id {
            return Ok(());
        }
        let heirs: Vec<u64> = known.healthy().into_iter().filter(|heir| *heir != id).collect();
        hand_over(&self.local, &self.raft, &heirs).await;
        match self.raft.metrics().borrow_watched().state {
            ServerState::Leader => Err(not_transferred()),
            _ => Err(ChangeError::NoLeader),
        }
    }

    async fn lead(&self, to: Option<u64>) -> Result<Changed> {
        let (_, known) = self.known()?;
        let own = self.local.options.node_id;
        let heirs: Vec<u64> = match to {
            Some(id) if id == own => return Ok(self.changed(false)),
            Some(id) => known.check_heir(id).map(|()| vec![id])?,
            None => known.healthy().into_iter().filter(|heir| *heir != own).collect(),
        };
        hand_over(&self.local, &self.raft, &heirs).await;
        let is_known = |m: &openraft::RaftMetrics<TypeConfig>| m.current_leader.is_some();
        let waiting = self.raft.wait(Some(NEXT_LEADER_TIME_MAX));
        let led = waiting.metrics(is_known, "there is a leader again").await;
        match led.map(|metrics| metrics.current_leader) {
            Ok(leader) if is_as_asked(leader, own, to) => Ok(self.changed(true)),
            Ok(_) => Err(not_transferred()),
            Err(_) => Err(ChangeError::OutcomeUnknown),
        }
    }

    /// Writes one membership after the other. Once the first is committed nobody can say any more that nothing was
    /// done.
    async fn write_all(&self, mut stored: StoredMembership, steps: Vec<Membership>) -> Result<()> {
        for (place, next) in steps.into_iter().enumerate() {
            match self.write(&stored, next).await {
                Err(_) if place > 0 => return Err(ChangeError::OutcomeUnknown),
                written => written?,
            }
            stored = self.local.roster.applied();
        }
        Ok(())
    }

    /// Writes a membership, where the one before is still this.
    async fn write(&self, before: &StoredMembership, next: Membership) -> Result<()> {
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: *before.log_id() };
        let writing = self.raft.append_membership(next, EntryPayload::Blank, [unchanged]);
        match timeout(DEADLINES.1, writing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(why))) => Err(not_written(why)),
            Ok(Err(RaftError::Fatal(_))) | Err(_) => Err(ChangeError::OutcomeUnknown),
        }
    }

    fn changed(&self, changed: bool) -> Changed {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let applied = self.local.roster.applied();
        let voters: Vec<u64> = applied.voter_ids().collect();
        let members = applied.nodes().map(|(id, node)| (member(*id, node), voters.contains(id))).collect();
        Changed {
            changed,
            leader_id: metrics.current_leader,
            term: metrics.current_term,
            membership_index: applied.log_id().as_ref().map(|id| id.index),
            members,
        }
    }
}

/// Whether that one leads which was to take over from `own`: that very node, or whichever.
fn is_as_asked(leader: Option<u64>, own: u64, to: Option<u64>) -> bool {
    leader.is_some_and(|leader| to.map_or(leader != own, |to| leader == to))
}

async fn change_there(leader: &Caller, change: &Change) -> Result<Changed> {
    match leader.call(&Call::Change(change.clone()), DEADLINES.0).await {
        Ok(Reply::Changed(changed)) => changed,
        Ok(Reply::Failed(_)) | Err(CallError::NotSent(_)) => Err(ChangeError::NoLeader),
        Ok(_) | Err(CallError::Lost(_)) => Err(ChangeError::OutcomeUnknown),
    }
}

fn not_confirmed(why: ReadError) -> ChangeError {
    match why {
        ReadError::NoLeader => ChangeError::NoLeader,
        ReadError::NoQuorum | ReadError::Overloaded => ChangeError::NoQuorum,
    }
}

/// What it means that an entry was not written: only of these is it certain that it never will be.
fn not_written(why: ClientWriteError<TypeConfig>) -> ChangeError {
    match why {
        ClientWriteError::ForwardToLeader(elsewhere) => match elsewhere.reason {
            ForwardReason::LeaseExpired => ChangeError::NoQuorum,
            _ => ChangeError::NoLeader,
        },
        ClientWriteError::ChangeMembershipError(ChangeMembershipError::UncommittedLeaderLog(_)) => {
            ChangeError::NoLeader
        }
        ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => changing(),
        // Discarded here, but another node may have committed it.
        ClientWriteError::LogEntryDiscarded(_) => ChangeError::OutcomeUnknown,
    }
}

fn changing() -> ChangeError {
    Refusal::new(RefusalKind::Changing, "Another change of the membership is under way.").into()
}

fn not_transferred() -> ChangeError {
    let why = "No voter that was to take over did so in time: see who leads now.";
    Refusal::new(RefusalKind::NotTransferred, why).into()
}

fn unreachable(new: &Member, why: &impl ToString) -> ChangeError {
    let Member { id, raft, .. } = new;
    let why = format!("Node {id} does not answer at {raft}: {}.", why.to_string());
    Refusal::new(RefusalKind::Unreachable, why).into()
}

#[cfg(test)]
mod tests {
    use super::is_as_asked;

    /// A third node won the election, and the answer was that all was done.
    #[test]
    fn the_lead_is_where_it_was_to_go_only_if_that_very_node_has_it() {
        for (leader, to, is) in [
            (Some(2), Some(2), true),
            (Some(3), Some(2), false),
            (Some(1), Some(2), false),
            (Some(3), None, true),
            (Some(1), None, false),
            (None, Some(2), false),
            (None, None, false),
        ] {
            assert_eq!(is_as_asked(leader, 1, to), is, "{leader:?} leads, {to:?} was to");
        }
    }
}
