//! What a group tells of itself: its view of the cluster, counters, and what a simulation sees.

use std::sync::atomic::Ordering;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use storage::log::Log;

use super::{Group, Inner};
use crate::look::{Look, Standing};
use crate::transport::about::Build;
use crate::types::TypeConfig;
use crate::{Member, MemberStatus, Role, Stats, Status};

impl Group {
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
}

impl Inner {
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
}
