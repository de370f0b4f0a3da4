//! Election safety: at most one leader in a term.

use std::collections::BTreeMap;

use super::{Invariant, Moment};

/// Who leads, or led, in each term: by what a node says of itself, and by what entries and votes say of it.
#[derive(Default)]
pub(super) struct ElectionSafety(BTreeMap<u64, u64>);

impl ElectionSafety {
    fn note(&mut self, term: u64, leader: u64) -> Result<(), String> {
        let known = *self.0.entry(term).or_insert(leader);
        if known == leader {
            Ok(())
        } else {
            Err(format!("nodes {known} and {leader} both lead in term {term}"))
        }
    }
}

impl Invariant for ElectionSafety {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if moment.look.leads {
            self.note(moment.look.term, moment.node)?;
        }
        if let Some(vote) = moment.look.vote.filter(|vote| vote.committed) {
            self.note(vote.term, vote.node)?;
        }
        // The entry that initializes a cluster is of no term, and is made by whoever forms it.
        let entries = moment.tail.iter().filter(|entry| entry.position.term > 0);
        entries.map(|entry| entry.position).try_for_each(|at| self.note(at.term, at.leader))
    }
}
