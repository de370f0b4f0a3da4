//! What a node once told its peers that is on its disk for good (its vote, and how many entries are committed there)
//! is there after every crash and power cut: a vote is persisted before it is answered.

use std::collections::BTreeMap;

use storage::peers::Promised;

use super::{Invariant, Moment};

/// The most that each node has promised, with each of its directories.
#[derive(Default)]
pub(super) struct Promises(BTreeMap<(u64, u64), Promised>);

impl Invariant for Promises {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let promised = self.0.entry((moment.node, moment.directory)).or_default();
        let log = moment.look.log.last.map_or(0, |last| last.index + 1);
        let (term, node) = moment.look.vote.map_or((0, 0), |vote| (vote.term, vote.node));
        let entries = log.max(moment.look.applied.map_or(0, |applied| applied.index + 1));
        let has = Promised { term, node, entries };
        if !has.covers(promised) {
            return Err(format!("node {} promised {promised:?}, and has {has:?}", moment.node));
        }
        promised.raise(&moment.look.promised);
        Ok(())
    }
}
