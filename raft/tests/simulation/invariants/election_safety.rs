//! Election safety: at most one leader in a term.
//!
//! A term of the paper is a pair here, in which the greater one counts: openraft lets a node that voted for another one
//! in a term vote for a greater node in the same term, whose leadership then is the later one. So it is one process
//! that leads under a term and its own number: one that starts again is elected anew.

use std::collections::BTreeMap;

use super::{Invariant, Moment};

/// Which start of a node leads, or led, in each term.
#[derive(Default)]
pub(super) struct ElectionSafety(BTreeMap<(u64, u64), u64>);

impl Invariant for ElectionSafety {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if !moment.look.leads {
            return Ok(());
        }
        let term = (moment.look.term, moment.node);
        match self.0.entry(term).or_insert(moment.start) {
            start if *start == moment.start => Ok(()),
            start => Err(format!("starts {start} and {} of a node both lead in term {term:?}", moment.start)),
        }
    }
}
