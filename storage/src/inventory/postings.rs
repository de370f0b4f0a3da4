//! Which reservations are about a text (a cart, a customer), by its hash.
//!
//! ```text
//!   newest   hash -> sequence           of each text one, and mostly the only one
//!   older    (hash, sequence)           the others
//! ```

use std::collections::BTreeSet;
use std::ops::Bound;

use super::names::hash;
use super::table::Table;

/// See the module's documentation. Two texts may have one hash, so that what is found is a candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Postings {
    newest: Table<u64>,
    older: BTreeSet<(u64, u64)>,
}

impl Postings {
    /// Of these texts and sequences.
    pub(super) fn of_all<'a>(all: impl Iterator<Item = (&'a str, u64)>) -> Postings {
        let mut postings = Postings::default();
        all.for_each(|(text, sequence)| postings.insert(text, sequence));
        postings
    }

    /// Enters a reservation.
    pub(super) fn insert(&mut self, text: &str, sequence: u64) {
        let hash = hash(text);
        match self.newest.get_mut(hash) {
            None => _ = self.newest.insert(hash, sequence),
            Some(newest) => {
                let older = sequence.min(*newest);
                *newest = sequence.max(*newest);
                self.older.insert((hash, older));
            }
        }
    }

    /// Takes a reservation out, which is there.
    pub(super) fn remove(&mut self, text: &str, sequence: u64) {
        let hash = hash(text);
        if self.older.remove(&(hash, sequence)) {
            return;
        }
        let before = self.older_of(hash, Bound::Unbounded).next_back();
        match before {
            None => _ = self.newest.remove(hash),
            Some(newest) => {
                self.older.remove(&(hash, newest));
                self.newest.insert(hash, newest);
            }
        }
    }

    /// Reads what a look-up of a text begins with. The number means nothing.
    pub(super) fn glance(&self, text: &str) -> u64 {
        self.newest.glance(hash(text))
    }

    /// The sequences of reservations that may be about a text, in order, after one.
    pub(super) fn of(&self, text: &str, after: Option<u64>) -> impl Iterator<Item = u64> + use<'_> {
        let hash = hash(text);
        let newest = self.newest.get(hash).copied().filter(|newest| Some(*newest) > after);
        self.older_of(hash, after.map_or(Bound::Unbounded, Bound::Excluded)).chain(newest)
    }

    /// The sequences of reservations that may be about a text, the newest first.
    pub(super) fn of_backwards(&self, text: &str) -> impl Iterator<Item = u64> + use<'_> {
        let hash = hash(text);
        let newest = self.newest.get(hash).copied();
        newest
            .into_iter()
            .chain(std::iter::once_with(move || self.older_of(hash, Bound::Unbounded).rev()).flatten())
    }

    fn older_of(&self, hash: u64, after: Bound<u64>) -> impl DoubleEndedIterator<Item = u64> + use<'_> {
        let first = match after {
            Bound::Excluded(sequence) => Bound::Excluded((hash, sequence)),
            _ => Bound::Included((hash, 0)),
        };
        self.older.range((first, Bound::Included((hash, u64::MAX)))).map(|&(_, sequence)| sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postings(sequences: &[u64]) -> Postings {
        Postings::of_all(sequences.iter().map(|&sequence| ("ann", sequence)).chain([("bob", 4)]))
    }

    #[test]
    fn they_are_in_order_whatever_comes_first() {
        for sequences in [[3, 5, 9], [9, 5, 3], [5, 9, 3]] {
            let postings = postings(&sequences);
            assert_eq!(postings.of_backwards("ann").collect::<Vec<_>>(), [9, 5, 3]);
            for (after, following) in [
                (None, &[3, 5, 9][..]),
                (Some(3), &[5, 9]),
                (Some(4), &[5, 9]),
                (Some(5), &[9]),
                (Some(9), &[]),
            ] {
                assert_eq!(postings.of("ann", after).collect::<Vec<_>>(), following);
            }
            assert_eq!(postings.of("bob", None).collect::<Vec<_>>(), [4]);
            assert_eq!(postings.of("eve", None).count(), 0);
        }
    }

    #[test]
    fn what_is_left_is_as_if_the_others_had_never_come() {
        for (removed, left) in [(3, [5, 9]), (5, [3, 9]), (9, [3, 5])] {
            let mut postings = postings(&[3, 5, 9]);
            postings.remove("ann", removed);
            assert_eq!(postings, self::postings(&left));
            left.iter().for_each(|&sequence| postings.remove("ann", sequence));
            assert_eq!(postings, self::postings(&[]));
        }
    }
}
