//! Who stops where digests differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use storage::LEAVE_STOPPED;

/// The digests of some nodes at one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Who compared.
    pub(crate) leader: u64,
    /// At which entry.
    pub(crate) index: u64,
    /// Each node's digest, the leader's among them.
    pub(crate) digests: BTreeMap<u64, u64>,
}

impl Comparison {
    /// The nodes that must stop: all but the majority of those that answered; where there is none, all that differ from
    /// the leader. Nobody where all are alike.
    pub(crate) fn differing(&self) -> BTreeSet<u64> {
        let right = self.of_majority().or_else(|| self.digests.get(&self.leader).copied());
        let differs = |(_, digest): &(&u64, &u64)| Some(**digest) != right;
        self.digests.iter().filter(differs).map(|(id, _)| *id).collect()
    }

    fn of_majority(&self) -> Option<u64> {
        let have = |digest: &u64| self.digests.values().filter(|other| *other == digest).count();
        self.digests.values().find(|digest| 2 * have(digest) > self.digests.len()).copied()
    }

    /// What a node says that stops for it.
    pub(crate) fn last_words(&self, own: u64, directory: &Path) -> String {
        let directory = directory.display();
        let here = self.digests.get(&own).copied().unwrap_or_default();
        let others = self.digests.iter().filter(|(id, _)| **id != own);
        let others: Vec<_> = others.map(|(id, digest)| format!("{digest:016x} on node {id}")).collect();
        format!(
            "{directory}: the replicas differ: at entry {} the digest is {here:016x} here on node {own}, {}; remove \
             {directory}/checkpoint and start again, so that the state is made anew from the snapshot and the log; if \
             this comes back, {LEAVE_STOPPED}",
            self.index,
            others.join(", "),
        )
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at entry {}", self.index)?;
        self.digests.iter().try_for_each(|(id, digest)| write!(f, ", {digest:016x} on node {id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(leader: u64, digests: &[u64]) -> Comparison {
        Comparison { leader, index: 812, digests: (1..).zip(digests.iter().copied()).collect() }
    }

    #[test]
    fn the_minority_stops_and_without_a_majority_who_differs_from_the_leader() {
        let (a, b, c) = (0xa, 0xb, 0xc);
        // The leader, the digests of nodes 1, 2 and so on, and who is to stop.
        type Case<'a> = (u64, &'a [u64], &'a [u64]);
        let cases: [Case<'_>; 15] = [
            (1, &[a], &[]),
            (1, &[a, a], &[]),
            (2, &[a, a, a], &[]),
            (1, &[a, b], &[2]),
            (2, &[a, b], &[1]),
            (1, &[a, a, b], &[3]),
            (1, &[b, a, a], &[1]),
            (2, &[b, a, a], &[1]),
            (1, &[a, b, c], &[2, 3]),
            (3, &[a, b, c], &[1, 2]),
            (1, &[a, a, b, b], &[3, 4]),
            (4, &[a, a, b, b], &[1, 2]),
            (4, &[a, a, a, b, c], &[4, 5]),
            (5, &[a, a, b, b, c], &[1, 2, 3, 4]),
            (1, &[a, a, a, a, a], &[]),
        ];
        for (leader, digests, stops) in cases {
            let found: Vec<_> = comparison(leader, digests).differing().into_iter().collect();
            assert_eq!(found, stops, "node {leader} leads, {digests:x?}");
        }
    }

    #[test]
    fn the_last_words_have_the_entry_and_every_digest_and_node() {
        let words = comparison(1, &[0xa, 0xa, 0xb]).last_words(3, Path::new("data/3"));
        let said = "data/3: the replicas differ: at entry 812 the digest is 000000000000000b here on node 3, \
                    000000000000000a on node 1, 000000000000000a on node 2; remove data/3/checkpoint and start again";
        assert!(words.starts_with(said), "{words}");
        assert!(!words.contains('\n'), "{words}");
    }
}
