//! A map from sequence numbers to rows, in order, that grows at its end and is forgotten from its beginning.
//!
//! ```text
//!   chunk     #0          #1          #2
//!   numbers   0 .. 63     64 .. 127   128 ..      64 for each chunk; not every command makes a row
//!   rows      [7 9 . 31]  [64 65 66]  [130]       a chunk's rows lie one after the other
//!                  ^ forgotten: its place is given up once half of its chunk's are
//! ```
//!
//! A tree of chunks has 64 times fewer nodes than one of rows, and rows that are made one after the other are
//! neighbours in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Numbers of one chunk: the bits of a word.
const CHUNK: u64 = 64;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct BySequence<T> {
    /// None is without a row.
    chunks: BTreeMap<u64, Chunk<T>>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Chunk<T> {
    /// Which numbers have a place, the first one in the lowest bit.
    places: u64,
    /// A row in each place, or what one has left.
    rows: Vec<Option<T>>,
    /// How many rows there are.
    len: usize,
}

impl<T> BySequence<T> {
    /// The row of a number.
    pub(super) fn get(&self, sequence: u64) -> Option<&T> {
        self.chunks.get(&(sequence / CHUNK))?.get(sequence)
    }

    /// The row of a number, to be changed.
    pub(super) fn get_mut(&mut self, sequence: u64) -> Option<&mut T> {
        self.chunks.get_mut(&(sequence / CHUNK))?.get_mut(sequence)
    }

    /// Puts a row under a number, and gives back the one that was there.
    pub(super) fn insert(&mut self, sequence: u64, row: T) -> Option<T> {
        let number = sequence / CHUNK;
        if self.chunks.last_key_value().is_none_or(|(&last, _)| last < number) {
            self.begin(number);
        }
        let before = self.chunks.entry(number).or_default().insert(sequence, row);
        self.len += usize::from(before.is_none());
        before
    }

    /// Begins a chunk after the last one, which most likely gets no row any more.
    fn begin(&mut self, number: u64) {
        if let Some(mut last) = self.chunks.last_entry() {
            last.get_mut().rows.shrink_to_fit();
        }
        self.chunks.insert(number, Chunk { rows: Vec::with_capacity(CHUNK as usize), ..Chunk::default() });
    }

    /// Takes out a number and its row.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<T> {
        let number = sequence / CHUNK;
        let chunk = self.chunks.get_mut(&number)?;
        let row = chunk.remove(sequence)?;
        if chunk.len == 0 {
            self.chunks.remove(&number);
        }
        self.len -= 1;
        Some(row)
    }

    /// Every number and its row, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> + Clone {
        self.chunks.iter().flat_map(|(&number, chunk)| chunk.iter(number))
    }

    /// The chunk that a number belongs to. Greater numbers are in the same one or a greater one.
    pub(super) fn chunk_of(sequence: u64) -> u64 {
        sequence / CHUNK
    }

    /// The numbers of a chunk, and their rows, in order.
    pub(super) fn in_chunk(&self, number: u64) -> impl Iterator<Item = (u64, &T)> + Clone {
        self.chunks.get(&number).into_iter().flat_map(move |chunk| chunk.iter(number))
    }

    /// The numbers after one, and their rows, in order.
    pub(super) fn after(&self, after: Option<u64>) -> impl Iterator<Item = (u64, &T)> {
        let first = after.map_or(Bound::Unbounded, |after| Bound::Included(after / CHUNK));
        let chunks = self.chunks.range((first, Bound::Unbounded));
        let rows = chunks.flat_map(|(&number, chunk)| chunk.iter(number));
        rows.skip_while(move |&(sequence, _)| Some(sequence) <= after)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl<T> Chunk<T> {
    fn get(&self, sequence: u64) -> Option<&T> {
        self.rows.get(self.place(sequence)?)?.as_ref()
    }

    fn get_mut(&mut self, sequence: u64) -> Option<&mut T> {
        let place = self.place(sequence)?;
        self.rows.get_mut(place)?.as_mut()
    }

    fn insert(&mut self, sequence: u64, row: T) -> Option<T> {
        let before = match self.place(sequence) {
            Some(place) => self.rows[place].replace(row),
            None => {
                self.rows.insert(self.places_before(sequence), Some(row));
                self.places |= bit(sequence);
                None
            }
        };
        self.len += usize::from(before.is_none());
        before
    }

    fn remove(&mut self, sequence: u64) -> Option<T> {
        let place = self.place(sequence)?;
        let row = self.rows[place].take()?;
        self.len -= 1;
        if 2 * self.len <= self.rows.len() {
            self.close_up();
        }
        Some(row)
    }

    /// Gives up the places without a row.
    fn close_up(&mut self) {
        self.places = (0..CHUNK).filter(|&n| self.get(n).is_some()).map(bit).sum();
        self.rows.retain(Option::is_some);
        self.rows.shrink_to_fit();
    }

    fn iter(&self, number: u64) -> impl Iterator<Item = (u64, &T)> + Clone {
        let sequences = (0..CHUNK).filter(|&n| self.places & bit(n) > 0).map(move |n| number * CHUNK + n);
        sequences.zip(&self.rows).filter_map(|(sequence, row)| Some((sequence, row.as_ref()?)))
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        (self.places & bit(sequence) > 0).then(|| self.places_before(sequence))
    }

    fn places_before(&self, sequence: u64) -> usize {
        (self.places & (bit(sequence) - 1)).count_ones() as usize
    }
}

/// The bit of a number in its chunk.
fn bit(sequence: u64) -> u64 {
    1 << (sequence % CHUNK)
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Chunk { places: 0, rows: Vec::new(), len: 0 }
    }
}

impl<T> Default for BySequence<T> {
    fn default() -> Self {
        BySequence { chunks: BTreeMap::new(), len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_same(rows: &BySequence<u64>, map: &BTreeMap<u64, u64>) {
        assert!(rows.iter().eq(map.iter().map(|(&sequence, row)| (sequence, row))));
        assert_eq!(rows.len(), map.len());
        assert!((0..20).flat_map(|number| rows.in_chunk(number)).eq(rows.iter()));
        for after in [0, 1, 63, 64, 65, 200, 1_000, u64::MAX] {
            let expected = map.range((Bound::Excluded(after), Bound::Unbounded));
            assert!(rows.after(Some(after)).eq(expected.map(|(&sequence, row)| (sequence, row))));
        }
        assert!(rows.after(None).eq(rows.iter()));
    }

    #[test]
    fn it_is_a_map_in_whichever_order_rows_come_and_go() {
        // Which numbers, of how many, in which steps: a step without a common divisor reaches each of them.
        for (of, step) in [(64, 1), (65, 1), (300, 1), (300, 7), (300, 299), (1_000, 37)] {
            let (mut rows, mut map) = (BySequence::default(), BTreeMap::new());
            let sequences = (0..of).map(|n| n * step % of).filter(|sequence| sequence % 5 > 0);
            for sequence in sequences.clone() {
                assert_eq!(rows.insert(sequence, 1), map.insert(sequence, 1));
                assert_eq!(rows.insert(sequence, sequence), map.insert(sequence, sequence));
            }
            assert_same(&rows, &map);
            for sequence in sequences {
                *rows.get_mut(sequence).unwrap() += 1;
                assert_eq!((rows.get(sequence), rows.get(of)), (Some(&(sequence + 1)), None));
                assert_eq!(rows.remove(sequence), map.remove(&sequence).map(|row| row + 1));
                assert_eq!((rows.remove(sequence), rows.get(sequence)), (None, None));
                assert_eq!(rows.len(), map.len());
                let kept = sequence % 3 == 0;
                if kept {
                    assert_eq!(rows.insert(sequence, 9), map.insert(sequence, 9));
                    assert_eq!(rows.remove(sequence), map.remove(&sequence));
                }
            }
            assert!(rows.chunks.is_empty());
        }
    }

    /// What most rows have left takes no memory.
    #[test]
    fn a_chunk_gives_up_the_places_of_forgotten_rows() {
        let mut rows = BySequence::default();
        (0..6_400).for_each(|sequence| _ = rows.insert(sequence, sequence));
        (0..6_400).filter(|sequence| sequence % 64 > 0).for_each(|sequence| _ = rows.remove(sequence));
        assert!(rows.iter().map(|(sequence, _)| sequence).eq((0..100).map(|chunk| chunk * 64)));
        let places: usize = rows.chunks.values().map(|chunk| chunk.rows.capacity()).sum();
        assert!(places <= 300, "{places} places for {} rows", rows.len());
    }
}
