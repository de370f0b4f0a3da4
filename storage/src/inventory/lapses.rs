//! When held units of one SKU (all of them, or one customer's) lapse: how many units at which deadline.
//!
//! ```text
//!   holds   #7: 2 units till 12:00.000   #8: 1 till 12:00.000   #9: 1 till 12:00.005
//!   lapses  12:00.000 -> 3, 12:00.005 -> 1
//! ```
//!
//! A million holds that end in one millisecond are one entry, so that giving their units back costs one step.
//! That is what keeps the end of a flash sale's holds from stalling the command that comes next.
//!
//! Derived: rebuilt from the holds, never stored.

use super::series::Series;

/// Deadlines looked at, at most, to tell when a short cart may fit. Past that the answer is the last one looked
/// at: too early at worst, and so only a retry that is refused again.
pub(super) const LOOK_AHEAD_MAX: usize = 4_096;

/// Held units by deadline, in milliseconds since the Unix epoch. No entry has 0 units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lapses(Series<u64>);

/// The entries up to some moment, summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Due {
    /// How many entries.
    pub(super) entries: u64,
    /// Their units.
    pub(super) qty: u64,
    /// The deadline of the last one.
    pub(super) last_ms: u64,
}

impl Lapses {
    /// Adds units that lapse at a deadline. Sums saturate, since damaged records may come here before the audit;
    /// those of an inventory are far smaller.
    pub(super) fn add(&mut self, deadline_ms: u64, qty: u64) {
        match self.0.get_mut(deadline_ms) {
            Some(units) => *units = units.saturating_add(qty),
            None => _ = self.0.insert(deadline_ms, qty),
        }
    }

    /// Takes away units that would have lapsed at a deadline, and says whether they were there.
    pub(super) fn remove(&mut self, deadline_ms: u64, qty: u64) -> bool {
        let Some(units) = self.0.get_mut(deadline_ms) else {
            return false;
        };
        let Some(rest) = units.checked_sub(qty) else {
            return false;
        };
        *units = rest;
        if rest == 0 {
            self.0.remove(deadline_ms);
        }
        true
    }

    /// Whether anything is due at a moment.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.next_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms)
    }

    /// The first deadline.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.0.first().map(|(deadline_ms, _)| deadline_ms)
    }

    /// What is due at a moment.
    pub(super) fn due(&self, now_ms: u64) -> Due {
        // Mostly nothing is, which its first deadline tells.
        if !self.is_due(now_ms) {
            return Due::default();
        }
        self.iter().take_while(|&(deadline_ms, _)| deadline_ms <= now_ms).fold(Due::default(), Due::plus)
    }

    /// Takes out what is due at a moment.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Due {
        let due = self.due(now_ms);
        self.0.remove_first(due.entries as usize);
        due
    }

    /// The first deadline by which that many units will have lapsed, looking at [`LOOK_AHEAD_MAX`] at most.
    pub(super) fn lapsed_by_ms(&self, qty: u64) -> u64 {
        let mut due = Due::default();
        for entry in self.iter().take(LOOK_AHEAD_MAX) {
            due = due.plus(entry);
            if due.qty >= qty {
                break;
            }
        }
        due.last_ms
    }

    /// All units.
    pub(super) fn total(&self) -> u64 {
        self.iter().fold(Due::default(), Due::plus).qty
    }

    /// Every deadline and its units, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(deadline_ms, &qty)| (deadline_ms, qty))
    }
}

impl Due {
    fn plus(self, (deadline_ms, qty): (u64, u64)) -> Due {
        Due { entries: self.entries + 1, qty: self.qty + qty, last_ms: deadline_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lapses(entries: &[(u64, u64)]) -> Lapses {
        let mut lapses = Lapses::default();
        entries.iter().for_each(|&(deadline_ms, qty)| lapses.add(deadline_ms, qty));
        lapses
    }

    #[test]
    fn entries_of_one_deadline_are_summed() {
        for entries in [&[(5, 1), (5, 2)][..], &[(5, 1), (7, 9), (5, 2)]] {
            assert_eq!(lapses(entries).iter().next(), Some((5, 3)));
        }
    }

    #[test]
    fn only_what_is_there_is_removed() {
        // Entries, what is removed, whether it was there, what is left.
        type Entries = &'static [(u64, u64)];
        let cases: [(Entries, (u64, u64), bool, Entries); 7] = [
            (&[], (5, 1), false, &[]),
            (&[(5, 2)], (5, 1), true, &[(5, 1)]),
            (&[(5, 2)], (5, 2), true, &[]),
            (&[(5, 2)], (5, 3), false, &[(5, 2)]),
            (&[(5, 2)], (6, 1), false, &[(5, 2)]),
            (&[(5, 2), (6, 1)], (6, 1), true, &[(5, 2)]),
            (&[(5, 2), (6, 1)], (7, 1), false, &[(5, 2), (6, 1)]),
        ];
        for (entries, (deadline_ms, qty), there, left) in cases {
            let mut lapses = lapses(entries);
            assert_eq!(lapses.remove(deadline_ms, qty), there, "{entries:?}");
            assert_eq!(lapses.iter().collect::<Vec<_>>(), left, "{entries:?}");
        }
    }

    #[test]
    fn a_deadline_is_due_at_its_own_millisecond() {
        let cases = [(4, 0, 0), (5, 1, 2), (6, 1, 2), (7, 2, 5), (u64::MAX, 3, 6)];
        for (now_ms, entries, qty) in cases {
            let mut lapses = lapses(&[(5, 2), (7, 3), (9, 1)]);
            let due = lapses.due(now_ms);
            assert_eq!((due.entries, due.qty), (entries, qty), "at {now_ms}");
            assert_eq!(lapses.take_due(now_ms), due);
            assert_eq!(lapses.due(now_ms), Due::default());
            assert_eq!(lapses.iter().count() as u64, 3 - entries);
        }
    }

    #[test]
    fn the_look_ahead_is_bounded() {
        let many: Vec<_> = (1..=2 * LOOK_AHEAD_MAX as u64).map(|ms| (ms, 1)).collect();
        assert_eq!(lapses(&many).lapsed_by_ms(10), 10);
        assert_eq!(lapses(&many).lapsed_by_ms(u64::MAX), LOOK_AHEAD_MAX as u64);
    }
}
