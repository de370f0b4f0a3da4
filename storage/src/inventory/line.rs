//! The line of one SKU: who waits for its units, first come, first served.
//!
//! ```text
//!   chunks   [ #3 #5 #9 ... ]  [ #812 #815 ... ]  [ #1702 ]      ids ascend: later comers are behind
//!               512 at most        498                1
//!   place of #815   512 + 2nd in its chunk = 514
//! ```
//!
//! The place of one who waits is the lengths of the chunks before his, and his place in his own. Chunks that shrink
//! are joined, so that a hundred thousand who wait are a few hundred chunks, whoever has left.
//!
//! Derived: rebuilt from the reservations that wait, never stored.

use std::collections::{BTreeSet, VecDeque};

use super::ids::{ReservationId, Sku};

/// The most ids of one chunk.
const CHUNK_IDS_MAX: usize = 512;
/// Neighbours that have not more than this together become one.
const CHUNK_IDS_JOINED: usize = CHUNK_IDS_MAX / 2;

/// Who waits, in order. No chunk is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    chunks: VecDeque<VecDeque<ReservationId>>,
    len: usize,
}

/// Which SKUs with a line are to be looked at, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Agenda {
    /// The next moment at which units of a SKU with a line lapse.
    pub(super) lapses: BTreeSet<(u64, Sku)>,
    /// SKUs whose line or figures changed since their head was looked at. Empty between commands.
    pub(super) changed: BTreeSet<Sku>,
    /// SKUs whose head fits: between commands only where there were too many for one command.
    pub(super) backlog: BTreeSet<Sku>,
}

impl Line {
    /// The line of a SKU for which nobody waits.
    pub(super) const EMPTY: &Line = &Line { chunks: VecDeque::new(), len: 0 };

    /// Adds one who comes later than all others.
    pub(super) fn push(&mut self, id: ReservationId) {
        self.len += 1;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK_IDS_MAX => chunk.push_back(id),
            _ => self.chunks.push_back(VecDeque::from([id])),
        }
    }

    /// Takes one out; whether he was there.
    pub(super) fn remove(&mut self, id: ReservationId) -> bool {
        let Some((chunk, place)) = self.find(id) else {
            return false;
        };
        self.len -= 1;
        self.chunks[chunk].remove(place);
        if self.chunks[chunk].is_empty() {
            self.chunks.remove(chunk);
        } else {
            self.join_with_next(chunk);
            self.join_with_next(chunk.saturating_sub(1));
        }
        true
    }

    /// Who is next.
    pub(super) fn first(&self) -> Option<ReservationId> {
        self.chunks.front()?.front().copied()
    }

    /// The place of one who waits; the first one's is 1.
    pub(super) fn position(&self, id: ReservationId) -> Option<u64> {
        let (chunk, place) = self.find(id)?;
        let before: usize = self.chunks.range(..chunk).map(VecDeque::len).sum();
        Some((before + place) as u64 + 1)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Everybody, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ReservationId> {
        self.chunks.iter().flatten().copied()
    }

    fn find(&self, id: ReservationId) -> Option<(usize, usize)> {
        let chunk = self.chunks.partition_point(|chunk| chunk.back().is_some_and(|last| *last < id));
        let place = self.chunks.get(chunk)?.binary_search(&id).ok()?;
        Some((chunk, place))
    }

    /// Keeps chunks from being many and short.
    fn join_with_next(&mut self, chunk: usize) {
        let both: usize = self.chunks.range(chunk..).take(2).map(VecDeque::len).sum();
        if both <= CHUNK_IDS_JOINED
            && let Some(next) = self.chunks.remove(chunk + 1)
        {
            self.chunks[chunk].extend(next);
        }
    }
}

impl Agenda {
    /// Follows a change of a SKU, whose next lapse was and is that where it had and has a line.
    pub(super) fn follow(&mut self, sku: &Sku, before: Option<u64>, after: Option<u64>) {
        if before != after {
            if let Some(ms) = before {
                self.lapses.remove(&(ms, sku.clone()));
            }
            if let Some(ms) = after {
                self.lapses.insert((ms, sku.clone()));
            }
        }
        self.changed.insert(sku.clone());
    }

    /// Notes whether the head of a SKU's line fits, which has been looked at.
    pub(super) fn looked_at(&mut self, sku: Sku, fits: bool) {
        if fits {
            self.backlog.insert(sku);
        } else {
            self.backlog.remove(&sku);
        }
    }

    /// Whether the next command may serve somebody even if no time passes before it.
    pub(super) fn is_behind(&self, now_ms: u64) -> bool {
        !self.backlog.is_empty() || self.due(now_ms).is_some()
    }

    /// A SKU of whose units some have lapsed at a moment.
    pub(super) fn due(&self, now_ms: u64) -> Option<&Sku> {
        self.lapses.first().filter(|(ms, _)| *ms <= now_ms).map(|(_, sku)| sku)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sequence: u64) -> ReservationId {
        ReservationId { sequence, nonce: 7 }
    }

    fn line(ids: impl IntoIterator<Item = u64>) -> Line {
        let mut line = Line::default();
        ids.into_iter().for_each(|sequence| line.push(id(sequence)));
        line
    }

    fn assert_in_order(line: &Line, expected: &[u64]) {
        assert!(line.iter().eq(expected.iter().map(|&sequence| id(sequence))));
        assert_eq!((line.len(), line.is_empty()), (expected.len(), expected.is_empty()));
        assert_eq!(line.first(), expected.first().map(|&sequence| id(sequence)));
        for (place, &sequence) in expected.iter().enumerate() {
            assert_eq!(line.position(id(sequence)), Some(place as u64 + 1), "#{sequence}");
        }
    }

    #[test]
    fn places_are_counted_from_one_and_move_up() {
        let mut line = line([3, 5, 9, 11]);
        assert_in_order(&line, &[3, 5, 9, 11]);
        assert!(line.remove(id(5)));
        assert!(line.remove(id(3)));
        assert_in_order(&line, &[9, 11]);
        line.push(id(12));
        assert!(line.remove(id(12)));
        assert!(line.remove(id(9)) && line.remove(id(11)));
        assert_in_order(&line, &[]);
        line.push(id(20));
        assert_in_order(&line, &[20]);
    }

    #[test]
    fn who_does_not_wait_has_no_place() {
        let mut line = line([3, 5, 9]);
        for sequence in [0, 2, 4, 6, 10] {
            assert_eq!(line.position(id(sequence)), None);
            assert!(!line.remove(id(sequence)));
        }
        let other = ReservationId { sequence: 5, nonce: 8 };
        assert!(!line.remove(other) && line.position(other).is_none());
        assert_in_order(&line, &[3, 5, 9]);
    }

    /// The steps of finding a place are the chunks before it: few, whatever has left in what order.
    #[test]
    fn a_long_line_is_few_chunks_whoever_leaves() {
        const WAITING: u64 = 100_000;
        let leaves: [fn(u64) -> bool; 4] = [|_| false, |n| n % 2 == 0, |n| n % 64 != 0, |n| n < WAITING - 9];
        for (case, leaves) in leaves.into_iter().enumerate() {
            let mut line = line(0..WAITING);
            let (gone, stay): (Vec<u64>, Vec<u64>) = (0..WAITING).partition(|&n| leaves(n));
            assert!(gone.iter().all(|&n| line.remove(id(n))));
            let chunks = line.chunks.len();
            assert!(chunks <= 2 + 2 * stay.len() / CHUNK_IDS_JOINED, "case {case}: {chunks} chunks");
            assert!(line.chunks.iter().all(|chunk| (1..=CHUNK_IDS_MAX).contains(&chunk.len())));
            assert!(line.iter().eq(stay.iter().map(|&n| id(n))));
            let (last, len) = (id(stay[stay.len() - 1]), stay.len() as u64);
            assert_eq!((line.position(id(stay[0])), line.position(last)), (Some(1), Some(len)));
        }
    }
}
