//! Which answer is forgotten next, by the chunks that answers lie in.
//!
//! ```text
//!   answers   chunk #0: 12:00.000 12:00.000 12:00.004 ...   chunk #1: 12:00.004 12:00.003 ...    when each goes
//!   firsts    #0 -> 12:00.000                               #1 -> 12:00.003
//!   order     (12:00.000, #0) (12:00.003, #1)
//! ```
//!
//! Answers are forgotten by moment, and those of one moment by sequence. In a chunk they are by sequence, and so nearly
//! in that order: an entry for each answer took 17 bytes, and one for each chunk takes less than one.

use std::collections::BTreeMap;

use super::by_sequence::BySequence;
use super::sorted::Sorted;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Forgets {
    /// When the first answer of each chunk is forgotten.
    firsts: BTreeMap<u64, u64>,
    /// The same, in order: (forget_ms, chunk).
    order: Sorted<()>,
}

/// What is forgotten at some moment.
pub(super) trait Forgotten {
    /// That moment.
    fn forget_ms(&self) -> u64;
}

impl Forgets {
    /// Those of these rows.
    pub(super) fn of<T: Forgotten>(rows: &BySequence<T>) -> Forgets {
        let mut forgets = Forgets::default();
        rows.iter().for_each(|(sequence, row)| forgets.insert(sequence, row.forget_ms()));
        forgets
    }

    /// An answer came.
    pub(super) fn insert(&mut self, sequence: u64, forget_ms: u64) {
        let chunk = BySequence::<()>::chunk_of(sequence);
        let first = match self.firsts.last_key_value() {
            // Mostly it is the last one.
            Some((&last, &first)) if last == chunk => Some(first),
            _ => self.firsts.get(&chunk).copied(),
        };
        if first.is_none_or(|first| forget_ms < first) {
            self.set(chunk, Some(forget_ms));
        }
    }

    /// An answer went; these are left.
    pub(super) fn remove<T: Forgotten>(&mut self, sequence: u64, forget_ms: u64, rows: &BySequence<T>) {
        let chunk = BySequence::<T>::chunk_of(sequence);
        if self.firsts.get(&chunk) == Some(&forget_ms) {
            self.set(chunk, rows.in_chunk(chunk).map(|(_, row)| row.forget_ms()).min());
        }
    }

    /// When the next answer is forgotten.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.order.first().map(|((forget_ms, _), ())| forget_ms)
    }

    /// The sequence of the answer of these rows that is forgotten next.
    pub(super) fn next<T: Forgotten>(&self, rows: &BySequence<T>) -> Option<u64> {
        let ((forget_ms, chunk), ()) = self.order.first()?;
        let next = rows.in_chunk(chunk).find(|(_, row)| row.forget_ms() == forget_ms);
        next.map(|(sequence, _)| sequence)
    }

    fn set(&mut self, chunk: u64, first: Option<u64>) {
        let before = match first {
            Some(forget_ms) => self.firsts.insert(chunk, forget_ms),
            None => self.firsts.remove(&chunk),
        };
        if before == first {
            return;
        }
        if let Some(forget_ms) = before {
            self.order.remove((forget_ms, chunk));
        }
        if let Some(forget_ms) = first {
            self.order.insert((forget_ms, chunk), ());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    impl Forgotten for u64 {
        fn forget_ms(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn the_next_one_is_that_of_a_list_in_order_in_whichever_order_they_come_and_go() {
        // In order as they come; all at once; backwards; without an order; in order, with one in nine much sooner.
        let moments: [fn(u64) -> u64; 5] = [
            |n| n / 3,
            |_| 7,
            |n| 1_000 - n,
            |n| n * 7_919 % 101,
            |n| if n % 9 == 0 { n / 9 } else { 100 + n },
        ];
        for forget_ms in moments {
            let (mut rows, mut forgets) = (BySequence::default(), Forgets::default());
            let mut list = BTreeSet::new();
            let check = |forgets: &Forgets, rows: &BySequence<u64>, list: &BTreeSet<(u64, u64)>| {
                let next = list.first().copied();
                assert_eq!((forgets.next_ms(), forgets.next(rows)), (next.map(|n| n.0), next.map(|n| n.1)));
            };
            for sequence in (0..700).filter(|sequence| sequence % 4 > 0) {
                rows.insert(sequence, forget_ms(sequence));
                forgets.insert(sequence, forget_ms(sequence));
                list.insert((forget_ms(sequence), sequence));
                check(&forgets, &rows, &list);
                // One from the midst now and then.
                if sequence % 5 == 0
                    && let Some(row) = rows.remove(sequence / 2)
                {
                    forgets.remove(sequence / 2, row, &rows);
                    list.remove(&(row, sequence / 2));
                    check(&forgets, &rows, &list);
                }
            }
            assert_eq!(forgets, Forgets::of(&rows));
            while let Some(sequence) = forgets.next(&rows) {
                let row = rows.remove(sequence).unwrap();
                forgets.remove(sequence, row, &rows);
                assert_eq!(list.pop_first(), Some((row, sequence)));
                check(&forgets, &rows, &list);
            }
            assert_eq!((list.len(), forgets), (0, Forgets::default()));
        }
    }
}
