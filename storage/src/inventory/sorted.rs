//! A map in the order of moments, to whose end most is added: what ends next, what is forgotten next.
//!
//! ```text
//!   from     (5, 0)            (9, 4)            (20, 1)
//!   entries  [ 64, sorted ]    [ 64, sorted ]    [ grows ]      a chunk's keys: its own `from` up to the next one's
//! ```
//!
//! A tree whose keys come in ascending order leaves each of its nodes half empty: a million deadlines took 53 bytes
//! each there, and take 26 here.

use std::collections::BTreeMap;

/// What an entry stands under: a moment, and what tells it from the others of that moment.
pub(super) type Key = (u64, u64);

/// The most entries of a chunk.
const CHUNK_MAX: usize = 64;

/// See the module's documentation. Two are equal if their entries are.
#[derive(Debug, Clone)]
pub(super) struct Sorted<V> {
    /// By a bound below which no key of theirs is. None is empty.
    chunks: BTreeMap<Key, Vec<(Key, V)>>,
    len: usize,
}

impl<V> Sorted<V> {
    /// Puts a value under a key, and gives back the one that was there.
    pub(super) fn insert(&mut self, key: Key, value: V) -> Option<V> {
        let Some(chunk) = self.chunk_for(key) else {
            self.begin(key, value);
            return None;
        };
        let place = match find(chunk, key) {
            Ok(place) => return Some(std::mem::replace(&mut chunk[place].1, value)),
            Err(place) => place,
        };
        if chunk.len() < CHUNK_MAX {
            chunk.insert(place, (key, value));
            self.len += 1;
        } else if place == CHUNK_MAX {
            self.begin(key, value);
        } else {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            if let Some(&(from, _)) = upper.first() {
                self.chunks.insert(from, upper);
            }
            // There is room now.
            return self.insert(key, value);
        }
        None
    }

    /// The chunk that a key belongs to, by the bounds that there are; `None` where there is no chunk.
    fn chunk_for(&mut self, key: Key) -> Option<&mut Vec<(Key, V)>> {
        if self.chunks.first_key_value().is_some_and(|(&from, _)| key < from)
            && let Some((_, first)) = self.chunks.pop_first()
        {
            self.chunks.insert(key, first);
        }
        self.chunks.range_mut(..=key).next_back().map(|(_, chunk)| chunk)
    }

    /// Begins a chunk with an entry that is after all those of the chunk before it.
    fn begin(&mut self, key: Key, value: V) {
        let mut chunk = Vec::with_capacity(CHUNK_MAX);
        chunk.push((key, value));
        self.chunks.insert(key, chunk);
        self.len += 1;
    }

    /// Takes out a key and its value.
    pub(super) fn remove(&mut self, key: Key) -> Option<V> {
        let (&from, chunk) = self.chunks.range_mut(..=key).next_back()?;
        let place = find(chunk, key).ok()?;
        let (_, value) = chunk.remove(place);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(&from);
        } else if 2 * chunk.len() <= chunk.capacity() {
            chunk.shrink_to_fit();
        }
        Some(value)
    }

    /// The entry with the smallest key.
    pub(super) fn first(&self) -> Option<(Key, &V)> {
        let (_, chunk) = self.chunks.first_key_value()?;
        chunk.first().map(|(key, value)| (*key, value))
    }

    /// Every entry, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &V)> {
        self.chunks.values().flatten().map(|(key, value)| (*key, value))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Sorted { chunks: BTreeMap::new(), len: 0 }
    }
}

impl<V> FromIterator<(Key, V)> for Sorted<V> {
    /// They are put in order first, so that chunks are full.
    fn from_iter<I: IntoIterator<Item = (Key, V)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        let mut sorted = Sorted::default();
        entries.into_iter().for_each(|(key, value)| _ = sorted.insert(key, value));
        sorted
    }
}

impl<V: PartialEq> PartialEq for Sorted<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for Sorted<V> {}

/// The place of a key, or where it belongs. Mostly that is the end.
fn find<V>(chunk: &[(Key, V)], key: Key) -> Result<usize, usize> {
    match chunk.last() {
        Some((last, _)) if *last < key => Err(chunk.len()),
        _ => chunk.binary_search_by_key(&key, |(own, _)| *own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_same(sorted: &Sorted<u64>, map: &BTreeMap<Key, u64>) {
        assert!(sorted.iter().eq(map.iter().map(|(&key, value)| (key, value))));
        assert_eq!(sorted.len(), map.len());
        assert_eq!(sorted.first(), map.first_key_value().map(|(&key, value)| (key, value)));
    }

    #[test]
    fn it_is_a_map_in_whichever_order_entries_come_and_go() {
        // Which numbers, of how many, in which steps: a step without a common divisor reaches each of them.
        for (of, step) in [(1, 1), (64, 1), (65, 1), (300, 299), (1_000, 1), (1_000, 7), (1_000, 501)] {
            let (mut sorted, mut map) = (Sorted::default(), BTreeMap::new());
            let keys = (0..of).map(|n| n * step % of).map(|number| (number / 3, number % 3));
            for key in keys.clone() {
                assert_eq!(sorted.insert(key, 1), map.insert(key, 1));
                assert_eq!(sorted.insert(key, key.0), map.insert(key, key.0));
            }
            assert_same(&sorted, &map);
            assert_eq!(sorted, map.iter().rev().map(|(&key, &value)| (key, value)).collect());
            for key in keys.filter(|key| key.0 % 4 > 0) {
                assert_eq!(sorted.remove(key), map.remove(&key));
                assert_eq!(sorted.remove(key), None);
                let back = (key.0 + 1, 9);
                assert_eq!(sorted.insert(back, 2), map.insert(back, 2));
                assert_eq!(sorted.remove(back), map.remove(&back));
                assert_eq!(sorted.first(), map.first_key_value().map(|(&key, value)| (key, value)));
            }
            assert_same(&sorted, &map);
            while let Some((key, _)) = sorted.first() {
                assert_eq!(sorted.remove(key), map.remove(&key));
            }
            assert_same(&sorted, &map);
            assert!(sorted.chunks.is_empty());
        }
    }

    /// What made it necessary: entries that come in order, and most that are taken out again.
    #[test]
    fn no_room_is_kept_for_what_is_not_there() {
        let room = |sorted: &Sorted<u64>| sorted.chunks.values().map(Vec::capacity).sum::<usize>();
        let mut sorted: Sorted<u64> = (0..6_400).map(|moment| ((moment, 0), moment)).collect();
        assert_eq!((sorted.chunks.len(), room(&sorted)), (100, 6_400));
        (0..6_400).filter(|moment| moment % 64 > 1).for_each(|moment| _ = sorted.remove((moment, 0)));
        assert_eq!((sorted.len(), sorted.chunks.len()), (200, 100));
        assert!(room(&sorted) <= 400, "{}", room(&sorted));
    }
}
