//! What an operator does to a cluster that is well: each of it goes on while clients do, and nothing of it may be felt.
//!
//! ```text
//!   restart, certs          SIGTERM and a new start, node after node; the latter with certificates that are new
//!   membership, replace, grow    member
//!   transfer                another node leads, as the answer says
//!   backup, tokens          a file that is whole; what is revoked is refused
//! ```
//!
//! What cannot be done is a finding, but for what other faults may stand in the way of: leadership goes to nobody who
//! is behind, and a backup needs a quorum.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use super::cluster::Cluster;
use super::kind::Kind;
use super::recorder::Recorder;
use super::{backup, certs, member, tokens};

/// How long a node may take to end in order.
const ENDS_TIME_MAX: Duration = Duration::from_secs(60);

/// An operation that is to be done.
pub(super) struct Operation<'a> {
    /// To whom.
    pub(super) cluster: &'a Cluster,
    /// What clients know.
    pub(super) recorder: &'a Recorder,
    /// Those nodes that it is about, at least one.
    pub(super) nodes: &'a [u64],
    /// How long it stays so before it is undone, or at its end.
    pub(super) lasts: Duration,
}

impl Operation<'_> {
    /// Does it. Answers whether there is evidence of it.
    pub(super) async fn run(&self, kind: Kind) -> bool {
        let done = match kind {
            Kind::Restart => Ok(self.roll().await),
            Kind::Membership => member::change(self.cluster, self.nodes, self.lasts).await,
            Kind::Replace => member::replace_dead(self.cluster, self.nodes, self.lasts).await,
            Kind::Grow => member::resize(self.cluster, self.nodes, self.lasts).await,
            Kind::Transfer => Ok(self.transfer().await),
            Kind::Backup => self.back_up().await,
            Kind::Certs => self.change_certificates().await,
            Kind::Tokens => self.change_tokens().await,
            _ => Ok(false),
        };
        done.unwrap_or_else(|why| {
            self.cluster.find(format!("{kind}: {why}"));
            false
        })
    }

    /// One node after the other ends in order and comes back.
    async fn roll(&self) -> bool {
        let mut are_in_order = true;
        for id in self.nodes {
            are_in_order &= self.end(*id).await;
            if let Err(why) = self.cluster.start(*id).await {
                self.cluster.find(why);
            }
            self.cluster.wait_serving(*id).await;
        }
        are_in_order
    }

    async fn end(&self, id: u64) -> bool {
        self.cluster.doom(id);
        self.cluster.signal(id, Signal::TERM).await;
        let end = self.cluster.wait_ended(id, ENDS_TIME_MAX).await;
        let is_in_order = end.is_some_and(|status| status.success());
        if !is_in_order {
            self.cluster.find(format!("node {id} did not end in order: {end:?}"));
            self.cluster.kill(id).await;
        }
        is_in_order
    }

    /// Answers whether somebody leads who did not before.
    async fn transfer(&self) -> bool {
        let before = self.cluster.leader();
        let others = self.cluster.nodes.iter().map(|(id, _)| *id).filter(|id| !self.nodes.contains(id));
        let to = others.into_iter().find(|id| before.is_none_or(|(leader, _)| leader != *id));
        let Ok(operator) = self.cluster.wire.operator() else { return false };
        let led = operator.transfer_leader(to).await;
        sleep(self.lasts).await;
        led.is_ok_and(|led| led.value.changed && led.value.leader_id == to)
    }

    async fn back_up(&self) -> Result<bool, String> {
        let mut taken = true;
        for node in self.nodes {
            taken &= backup::take(self.cluster, self.recorder, *node).await?;
        }
        Ok(taken)
    }

    async fn change_certificates(&self) -> Result<bool, String> {
        certs::rotate(self.cluster).await?;
        Ok(self.roll().await)
    }

    async fn change_tokens(&self) -> Result<bool, String> {
        let old = tokens::rotate(self.cluster).await?;
        sleep(self.lasts).await;
        tokens::stay_revoked(self.cluster, &old).await?;
        Ok(true)
    }
}
