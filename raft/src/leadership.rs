//! Whether this node leads still, by the word of a quorum that was asked after the question arose.
//!
//! openraft confirms reads as well (`ReadPolicy::ReadIndex`), by a clock of when what the voters acknowledged was sent.
//! Version 0.10.0-alpha.37 sets that clock too late. It takes the answer to some entries for the answer to all it has
//! sent since that ends with the same entry, such as the news that this entry is committed. A leader that was paused
//! meanwhile, or reached by late answers, confirmed reads by answers of before its successor was elected, and gave
//! away what had been overtaken. So here each answer is to the very question.
//!
//! ```text
//!   a read --> vote, voters, index, at one moment --> heartbeat to every voter --> a quorum has answered each its own,
//!                                                                                  and votes for nobody else:
//!                                                                                  nobody else led when the read came
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use openraft::RaftState;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};

use crate::ReadError;
use crate::transport::message::{Call, Reply};
use crate::transport::{Caller, Callers, Local};
use crate::types::{LogId, Raft, TypeConfig, Vote};

/// How long the voters' answers are waited for: who hears nothing for longer may campaign.
const DEADLINE: Duration = Duration::from_millis(500);

/// What a leader is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// What it was elected by.
    vote: Vote,
    /// The voters: one set, or both while they change.
    voters: Vec<BTreeSet<u64>>,
    /// The last entry that is committed, as far as this leader can know: at least the first one of its own.
    pub(crate) index: u64,
}

/// What a voter says.
enum Said {
    /// It votes for nobody else.
    Yes,
    /// It votes for somebody else.
    No,
    /// Nothing, or nothing in time.
    Nothing,
}

impl Leadership {
    /// That of this node; `None` where it does not lead, or was told to hand over: then nothing may keep the others
    /// from electing one of them.
    pub(crate) async fn of(raft: &Raft, local: &Local) -> Option<Leadership> {
        let id = *raft.node_id();
        let leadership = raft.with_raft_state(move |state| Leadership::at(state, id)).await.ok().flatten()?;
        (!local.has_handed_over(leadership.vote.leader_id.term)).then_some(leadership)
    }

    fn at(state: &RaftState<TypeConfig>, id: u64) -> Option<Leadership> {
        let vote = *state.vote_ref();
        if !vote.committed || vote.leader_id.node_id != id {
            return None;
        }
        // Before an entry of its own is committed a leader does not know how far its predecessors had come. Whatever
        // they had committed comes before that entry.
        let own = |last: &&LogId| last.leader_id == vote.leader_id;
        let last = state.local_committed().filter(own).or_else(|| state.log_ids.last().filter(own))?;
        let voters = state.membership_state.effective().membership().get_joint_config().clone();
        Some(Leadership { vote, voters, index: last.index })
    }

    /// Asks all voters whether they vote for somebody else by now, and waits for a quorum.
    pub(crate) async fn confirm(&self, callers: &Callers) -> Result<(), ReadError> {
        let this = self.vote.leader_id.node_id;
        let heartbeat = Call::Heartbeat(AppendEntriesRequest {
            vote: self.vote,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        });
        let peers: BTreeSet<u64> = self.voters.iter().flatten().copied().filter(|&id| id != this).collect();
        let asking = peers.into_iter().filter_map(|id| Some((id, callers.get(id)?)));
        let heartbeat = &heartbeat;
        let asked = asking.map(async |(id, caller)| (id, ask(&caller, heartbeat).await));
        let mut answers: FuturesUnordered<_> = asked.collect();
        let (mut agreed, mut otherwise) = (BTreeSet::from([this]), ReadError::NoQuorum);
        while !self.is_quorum(&agreed) {
            match answers.next().await.ok_or(otherwise)? {
                (id, Said::Yes) => drop(agreed.insert(id)),
                (_, Said::No) => otherwise = ReadError::NoLeader,
                (_, Said::Nothing) => {}
            }
        }
        Ok(())
    }

    fn is_quorum(&self, agreed: &BTreeSet<u64>) -> bool {
        self.voters.iter().all(|voters| voters.intersection(agreed).count() > voters.len() / 2)
    }
}

async fn ask(voter: &Caller, heartbeat: &Call) -> Said {
    match voter.call(heartbeat, DEADLINE).await {
        Ok(Reply::Heartbeat(AppendEntriesResponse::HigherVote(_))) => Said::No,
        Ok(Reply::Heartbeat(_)) => Said::Yes,
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(voters: &[&[u64]]) -> Leadership {
        let voters = voters.iter().map(|set| set.iter().copied().collect()).collect();
        Leadership { vote: Vote::new_committed(7, 1), voters, index: 3 }
    }

    #[test]
    fn a_quorum_is_more_than_half_of_each_set_of_voters() {
        for (voters, agreed, is_quorum) in [
            (&[&[1][..]][..], &[1][..], true),
            (&[&[1, 2]], &[1], false),
            (&[&[1, 2]], &[1, 2], true),
            (&[&[1, 2, 3]], &[1], false),
            (&[&[1, 2, 3]], &[1, 3], true),
            // What others say counts for nothing.
            (&[&[1, 2, 3]], &[1, 4, 5], false),
            (&[&[1, 2, 3], &[1, 2, 3, 4, 5]], &[1, 2], false),
            (&[&[1, 2, 3], &[1, 2, 3, 4, 5]], &[1, 4, 5], false),
            (&[&[1, 2, 3], &[1, 2, 3, 4, 5]], &[1, 2, 5], true),
            // A leader that is to go is not among them.
            (&[&[2, 3]], &[1, 2], false),
            (&[&[2, 3]], &[1, 2, 3], true),
        ] {
            let agreed = agreed.iter().copied().collect();
            assert_eq!(of(voters).is_quorum(&agreed), is_quorum, "{voters:?} {agreed:?}");
        }
    }
}
