//! The state's digest after each of the last entries that were applied here.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use storage::Position;

/// Entries that are remembered: those of a second and more at full load, so that a question about one that was just
/// applied elsewhere finds it here. 128 KiB.
const ENTRIES: usize = 8_192;

/// What a node knows of its digest at an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DigestAt {
    /// It is this.
    Known(u64),
    /// It is not remembered any more, or never was: the state came in a snapshot or from the disk.
    Gone,
    /// The entry is not applied there yet.
    NotYet,
}

/// See the module. Indexes ascend without a gap.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    digests: VecDeque<(u64, u64)>,
}

impl Ring {
    /// Of a state that was not made here entry by entry: its digest at its last entry is all that is known.
    pub(crate) fn since(applied: Option<Position>, digest: u64) -> Ring {
        Ring { digests: applied.map(|position| (position.index, digest)).into_iter().collect() }
    }

    /// Remembers the digest after the next entry.
    pub(crate) fn push(&mut self, index: u64, digest: u64) {
        if self.digests.len() == ENTRIES {
            self.digests.pop_front();
        }
        self.digests.push_back((index, digest));
    }

    /// The digest after the last entry, and its index; `None` before the first one.
    pub(crate) fn last(&self) -> Option<(u64, u64)> {
        self.digests.back().copied()
    }

    /// The digest after an entry.
    pub(crate) fn at(&self, index: u64) -> DigestAt {
        if self.last().is_none_or(|(last, _)| last < index) {
            return DigestAt::NotYet;
        }
        let place = self.digests.binary_search_by_key(&index, |(index, _)| *index).ok();
        let found = place.and_then(|place| self.digests.get(place));
        found.map_or(DigestAt::Gone, |(_, digest)| DigestAt::Known(*digest))
    }
}

#[cfg(test)]
mod tests {
    use super::DigestAt::{Gone, Known, NotYet};
    use super::*;

    #[test]
    fn the_last_entries_are_remembered_and_no_others() {
        let mut ring = Ring::default();
        assert_eq!((ring.at(0), ring.at(1), ring.last()), (NotYet, NotYet, None));
        (0..ENTRIES as u64 + 10).for_each(|index| ring.push(index, 7 * index));
        let last = ENTRIES as u64 + 9;
        for (index, digest) in
            [(0, Gone), (9, Gone), (10, Known(70)), (last, Known(7 * last)), (last + 1, NotYet)]
        {
            assert_eq!(ring.at(index), digest, "{index}");
        }
        assert_eq!((ring.last(), ring.digests.len()), (Some((last, 7 * last)), ENTRIES));
    }

    #[test]
    fn of_a_state_that_came_whole_only_its_last_entry_is_known() {
        let applied = Some(Position { term: 1, leader: 1, index: 50 });
        let mut ring = Ring::since(applied, 9);
        ring.push(51, 10);
        let known = [(49, Gone), (50, Known(9)), (51, Known(10)), (52, NotYet)];
        known.into_iter().for_each(|(index, digest)| assert_eq!(ring.at(index), digest, "{index}"));
        assert_eq!(Ring::since(None, 9).at(0), NotYet);
    }
}
