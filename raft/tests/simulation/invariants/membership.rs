//! From one membership to the next any two quorums have a node in common: a change is of one voter at most, or goes by
//! a joint membership, which needs a quorum of both (Ongaro, 2014, sections 4.1 and 4.3). And there are never fewer
//! than two voters.

use std::collections::BTreeSet;

use raft::look::Members;

use super::{Invariant, Moment};

/// The voters by the entry before.
#[derive(Default)]
pub(super) struct Membership(Option<Members>);

impl Invariant for Membership {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for index in moment.agreed.clone() {
            let members = moment.history.entry(index).and_then(|agreed| agreed.members.clone());
            let Some(members) = members else { continue };
            if let Some(before) = &self.0
                && !is_safe(&before.voters, &members.voters)
            {
                return Err(format!("entry {index} makes {members:?} of {before:?}"));
            }
            self.0 = Some(members);
        }
        Ok(())
    }
}

fn is_safe(before: &[BTreeSet<u64>], after: &[BTreeSet<u64>]) -> bool {
    let is_enough = after.iter().all(|voters| voters.len() >= 2);
    let share = |one: &BTreeSet<u64>| after.iter().any(|other| one.symmetric_difference(other).count() <= 1);
    is_enough && before.iter().any(share)
}

#[test]
fn quorums_that_share_no_node_are_found() {
    let sets = |all: &[&[u64]]| -> Vec<BTreeSet<u64>> {
        all.iter().map(|ids| ids.iter().copied().collect()).collect()
    };
    for (before, after, safe) in [
        (sets(&[&[1, 2, 3]]), sets(&[&[1, 2, 3, 4]]), true),
        (sets(&[&[1, 2, 3]]), sets(&[&[2, 3]]), true),
        (sets(&[&[1, 2, 3]]), sets(&[&[1, 2, 3], &[1, 2, 4]]), true),
        (sets(&[&[1, 2, 3], &[1, 2, 4]]), sets(&[&[1, 2, 4]]), true),
        (sets(&[&[1, 2, 3]]), sets(&[&[1, 2, 4]]), false),
        (sets(&[&[1, 2, 3]]), sets(&[&[1, 2, 3, 4, 5]]), false),
        (sets(&[&[1, 2]]), sets(&[&[1]]), false),
    ] {
        assert_eq!(is_safe(&before, &after), safe, "{before:?} -> {after:?}");
    }
}
