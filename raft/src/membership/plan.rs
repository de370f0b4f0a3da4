//! From the membership as it is, and what the leader knows of its nodes, to the one that is asked for, or to a refusal.

use std::collections::{BTreeMap, BTreeSet};

use super::{ENTRIES_BEHIND_MAX, MEMBERS_MAX, Refusal, RefusalKind, VOTERS_MAX, VOTERS_MIN};
use crate::Member;
use crate::types::{Membership, PeerNode};

/// So many voters may be left while one of three is replaced under its own id: both of them are needed either way.
const VOTERS_MIN_MEANWHILE: usize = 2;

/// What the leader knows.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The membership, which is committed and not joint.
    pub(crate) membership: Membership,
    /// How many entries each node lacks that answers, the leader itself included; `None` where that is not known yet.
    pub(crate) behind: BTreeMap<u64, Option<u64>>,
}

impl Known {
    /// The voters.
    pub(crate) fn voters(&self) -> BTreeSet<u64> {
        self.membership.voter_ids().collect()
    }

    /// What adding a node comes to before its directory is known: `true` where it is a member already, as it is to be.
    pub(crate) fn check_new(&self, member: &Member) -> Result<bool, Refusal> {
        let Member { id, raft, http } = member;
        if let Some(node) = self.membership.get_node(id) {
            return match node.raft == *raft && node.http == *http {
                true => Ok(true),
                false => Err(Refusal::new(
                    RefusalKind::Exists,
                    format!("Node {id} is a member already, at {} and {}.", node.raft, node.http),
                )),
            };
        }
        let has = |node: &PeerNode| [&node.raft, &node.http].iter().any(|own| [raft, http].contains(own));
        if let Some((other, _)) = self.membership.nodes().find(|(_, node)| has(node)) {
            return Err(Refusal::new(
                RefusalKind::Exists,
                format!("Node {other} has one of these addresses."),
            ));
        }
        match self.membership.nodes().count() < MEMBERS_MAX {
            true => Ok(false),
            false => {
                Err(out_of_range(format!("A cluster has at most {MEMBERS_MAX} members: remove one first.")))
            }
        }
    }

    /// With a new node, which has that directory, as a learner.
    pub(crate) fn add(&self, member: &Member, store_id: u128) -> Vec<Membership> {
        let node = PeerNode { raft: member.raft.clone(), http: member.http.clone(), store_id };
        let mut nodes = self.nodes();
        nodes.insert(member.id, node);
        vec![uniform(self.voters(), nodes)]
    }

    /// With a learner as a voter; nothing where it is one.
    pub(crate) fn promote(&self, id: u64) -> Result<Vec<Membership>, Refusal> {
        self.check_member(id)?;
        let mut voters = self.voters();
        if !voters.insert(id) {
            return Ok(Vec::new());
        }
        if voters.len() > VOTERS_MAX {
            return Err(out_of_range(format!(
                "A cluster has at most {VOTERS_MAX} voters: remove one first, or replace it by node {id}."
            )));
        }
        self.check_caught_up(id)?;
        self.check_quorum(&voters)?;
        Ok(vec![uniform(voters, self.nodes())])
    }

    /// Without a member.
    pub(crate) fn remove(&self, id: u64, to_replace: bool) -> Result<Vec<Membership>, Refusal> {
        self.check_member(id)?;
        let mut voters = self.voters();
        if voters.remove(&id) {
            self.check_rest(id, &voters, to_replace)?;
        }
        let mut nodes = self.nodes();
        nodes.remove(&id);
        Ok(vec![uniform(voters, nodes)])
    }

    /// With a learner in a voter's place: first both sets of voters, then the new one. Nothing where it is so.
    pub(crate) fn swap(&self, old: u64, new: u64) -> Result<Vec<Membership>, Refusal> {
        self.check_member(new)?;
        let (before, mut voters) = (self.voters(), self.voters());
        let is_new = voters.insert(new);
        if self.membership.get_node(&old).is_none() && !is_new {
            return Ok(Vec::new());
        }
        self.check_member(old)?;
        if !voters.remove(&old) {
            return Err(Refusal::new(RefusalKind::Learner, format!("Node {old} has no vote: remove it.")));
        }
        if !is_new {
            let why = format!("Node {new} votes already, and cannot take node {old}'s place as well.");
            return Err(Refusal::new(RefusalKind::Exists, why));
        }
        self.check_caught_up(new)?;
        self.check_quorum(&voters)?;
        let joint = joint(vec![before, voters.clone()], self.nodes());
        let mut nodes = self.nodes();
        nodes.remove(&old);
        Ok(vec![joint, uniform(voters, nodes)])
    }

    /// Whether a voter could lead.
    pub(crate) fn check_heir(&self, id: u64) -> Result<(), Refusal> {
        self.check_member(id)?;
        if !self.voters().contains(&id) {
            return Err(Refusal::new(
                RefusalKind::Learner,
                format!("Node {id} has no vote: promote it first."),
            ));
        }
        self.check_caught_up(id)
    }

    /// The voters that have caught up.
    pub(crate) fn healthy(&self) -> BTreeSet<u64> {
        self.voters().into_iter().filter(|id| self.is_caught_up(*id)).collect()
    }

    fn nodes(&self) -> BTreeMap<u64, PeerNode> {
        self.membership.nodes().map(|(id, node)| (*id, node.clone())).collect()
    }

    fn answers(&self, id: u64) -> bool {
        self.behind.contains_key(&id)
    }

    fn is_caught_up(&self, id: u64) -> bool {
        matches!(self.behind.get(&id), Some(Some(entries)) if *entries <= ENTRIES_BEHIND_MAX)
    }

    fn check_member(&self, id: u64) -> Result<(), Refusal> {
        match self.membership.get_node(&id) {
            Some(_) => Ok(()),
            None => Err(Refusal::new(RefusalKind::NotFound, format!("Node {id} is not a member."))),
        }
    }

    fn check_caught_up(&self, id: u64) -> Result<(), Refusal> {
        match self.behind.get(&id) {
            Some(Some(entries)) if *entries <= ENTRIES_BEHIND_MAX => Ok(()),
            Some(Some(entries)) => Err(Refusal::new(
                RefusalKind::Behind,
                format!(
                    "Node {id} lacks {entries} log entries; {ENTRIES_BEHIND_MAX} are the most it may lack."
                ),
            )),
            Some(None) => {
                let why = format!("The leader does not know yet what node {id} has.");
                Err(Refusal::new(RefusalKind::Behind, why))
            }
            None => {
                let why = format!("The leader has not heard of node {id} within the last second.");
                Err(Refusal::new(RefusalKind::Unreachable, why))
            }
        }
    }

    /// Whether the voters that are left without one of them can go on.
    fn check_rest(&self, id: u64, rest: &BTreeSet<u64>, to_replace: bool) -> Result<(), Refusal> {
        let least = if to_replace { VOTERS_MIN_MEANWHILE } else { VOTERS_MIN };
        if rest.len() < least {
            let why = format!(
                "A cluster has at least {VOTERS_MIN} voters: replace node {id} by another one instead."
            );
            return Err(out_of_range(why));
        }
        // However far behind: what answers has its directory, and takes the rest in.
        if to_replace && self.answers(id) {
            let why = format!("Node {id} answers: stop it first, or replace it by a node with another id.");
            return Err(Refusal::new(RefusalKind::QuorumLost, why));
        }
        self.check_quorum(rest)
    }

    fn check_quorum(&self, voters: &BTreeSet<u64>) -> Result<(), Refusal> {
        let healthy = voters.iter().filter(|id| self.is_caught_up(**id)).count();
        let needed = voters.len() / 2 + 1;
        if healthy >= needed {
            return Ok(());
        }
        let why = format!(
            "Of the {} voters that there would be, only {healthy} answer and have caught up; {needed} are needed.",
            voters.len()
        );
        Err(Refusal::new(RefusalKind::QuorumLost, why))
    }
}

/// The membership that ends a joint one; `None` where it is not joint.
pub(crate) fn end(membership: &Membership) -> Option<Membership> {
    let (last, before) = membership.get_joint_config().split_last()?;
    if before.is_empty() {
        return None;
    }
    let leaves = |id: &u64| before.iter().any(|voters| voters.contains(id)) && !last.contains(id);
    let stay = membership.nodes().filter(|(id, _)| !leaves(id));
    Some(uniform(last.clone(), stay.map(|(id, node)| (*id, node.clone())).collect()))
}

fn out_of_range(why: String) -> Refusal {
    Refusal::new(RefusalKind::OutOfRange, why)
}

fn uniform(voters: BTreeSet<u64>, nodes: BTreeMap<u64, PeerNode>) -> Membership {
    joint(vec![voters], nodes)
}

#[expect(clippy::expect_used, reason = "every voter is taken from the nodes of a membership that is valid")]
fn joint(voters: Vec<BTreeSet<u64>>, nodes: BTreeMap<u64, PeerNode>) -> Membership {
    Membership::new(voters, nodes).expect("each voter is one of the nodes")
}

#[cfg(test)]
mod tests;
