//! Which node's turn it is: all apply the same entries, and would all save, and build snapshots, at the same moment.
//!
//! ```text
//!   entries   0 ........ 20,000 ........ 40,000 ........ 60,000 ........ 80,000
//!   node 1    ^                                          ^                           one turn each 60,000
//!   node 2               ^                                                ^
//!   node 3                               ^
//! ```
//!
//! What is counted is the same everywhere, so that nobody has to agree on anything. The nodes are those of the cluster
//! file, not the members: where the files differ, or a node was added that none names, two may have the same turn. That
//! costs some speed and nothing else.

/// A node's place among the nodes of its cluster file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    place: u64,
    nodes: u64,
}

impl Turn {
    /// That of a node which has no others beside it.
    #[cfg(test)]
    pub(crate) const ALONE: Turn = Turn { place: 0, nodes: 1 };

    /// The turns of a node, one of these.
    pub(crate) fn new(node_id: u64, ids: impl Iterator<Item = u64>) -> Turn {
        let (place, nodes) =
            ids.fold((0, 0), |(place, nodes), id| (place + u64::from(id < node_id), nodes + 1));
        Turn { place, nodes: nodes.max(1) }
    }

    /// Whether it was its turn after `since`, up to `now`, where each node has one for `each` that are counted.
    pub(crate) fn has_come(&self, since: u64, now: u64, each: u64) -> bool {
        self.count(now, each) > self.count(since, each)
    }

    /// Which part of what is between two of its turns it begins later than the first node.
    pub(crate) fn share(&self, each: u64) -> u64 {
        (u128::from(each) * u128::from(self.place) / u128::from(self.nodes)) as u64
    }

    fn count(&self, at: u64, each: u64) -> u64 {
        let each = each.max(1);
        // Not negative: a turn before the first is added for everybody.
        at.saturating_add(each - self.share(each)) / each
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(node_id: u64, ids: &[u64], each: u64, upto: u64) -> Vec<u64> {
        let turn = Turn::new(node_id, ids.iter().copied());
        (1..=upto).filter(|&now| turn.has_come(now - 1, now, each)).collect()
    }

    #[test]
    fn nodes_take_turns() {
        assert_eq!(turns(1, &[1, 2, 3], 60, 130), [60, 120]);
        assert_eq!(turns(2, &[1, 2, 3], 60, 130), [20, 80]);
        assert_eq!(turns(3, &[1, 2, 3], 60, 130), [40, 100]);
        assert_eq!(turns(9, &[9, 4], 10, 20), [5, 15], "in the order of the ids, whatever they are");
        assert_eq!(turns(7, &[7], 10, 20), [10, 20]);
        assert_eq!(turns(1, &[1, 2, 3], 1, 3), [1, 2, 3]);
        assert_eq!(turns(1, &[], 0, 2), [1, 2], "nothing is divided by nothing");
    }

    #[test]
    fn a_turn_that_came_long_ago_has_come() {
        let turn = Turn::new(2, [1, 2, 3].into_iter());
        assert!(turn.has_come(0, 500, 60) && !turn.has_come(80, 139, 60) && turn.has_come(80, 140, 60));
        assert!(!turn.has_come(u64::MAX, u64::MAX, 60) && !turn.has_come(9, 9, u64::MAX));
    }
}
