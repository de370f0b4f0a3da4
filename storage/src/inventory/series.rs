//! A map from numbers to values that is mostly short, and mostly added to at its end.
//!
//! ```text
//!   nothing    One   Few: a sorted list, 256 at most    Many: a tree
//!   ---------------------------------------------------------------->   as it grows; empty, it is nothing again
//! ```
//!
//! What one SKU or one bucket of a table has is of this kind: deadlines, tokens and sequences come in order, and there
//! are a million SKUs with one hold for each that has a million holds. A tree's first node alone takes 200 bytes, and
//! each level of it is a cache miss; the end of a list is one.

use std::collections::BTreeMap;
use std::ops::Bound;

/// The most entries of a list. Past that an entry in its midst would move too many others.
const FEW_MAX: usize = 256;

/// Entries that a list begins with room for.
const FEW_ROOM: usize = 4;

/// See the module's documentation. Two are equal if their entries are.
#[derive(Debug, Clone, Default)]
pub(super) enum Series<V> {
    /// No entry.
    #[default]
    None,
    /// One entry.
    One((u64, V)),
    /// A list, sorted by key.
    Few(Vec<(u64, V)>),
    /// A tree. It stays one until it is empty.
    #[expect(clippy::box_collection, reason = "it keeps the short forms short, and they are most")]
    Many(Box<BTreeMap<u64, V>>),
}

impl<V> Series<V> {
    /// The value of a key.
    pub(super) fn get(&self, key: u64) -> Option<&V> {
        match self {
            Series::Many(map) => map.get(&key),
            _ => find(self.list(), key).ok().map(|place| &self.list()[place].1),
        }
    }

    /// The value of a key, to be changed.
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        match self {
            Series::None => None,
            Series::One((own, value)) => (*own == key).then_some(value),
            Series::Few(list) => find(list, key).ok().map(|place| &mut list[place].1),
            Series::Many(map) => map.get_mut(&key),
        }
    }

    /// Puts a value under a key, and gives back the one that was there.
    pub(super) fn insert(&mut self, key: u64, value: V) -> Option<V> {
        match self {
            Series::One((own, old)) if *own == key => return Some(std::mem::replace(old, value)),
            Series::Few(list) => match find(list, key) {
                Ok(place) => return Some(std::mem::replace(&mut list[place].1, value)),
                Err(place) if list.len() < FEW_MAX => {
                    if list.len() == list.capacity() {
                        // Lists are many and short: one that doubled would leave a third of their memory unused.
                        list.reserve_exact(2 + list.len() / 4);
                    }
                    list.insert(place, (key, value));
                    return None;
                }
                Err(_) => {}
            },
            Series::Many(map) => return map.insert(key, value),
            Series::None | Series::One(_) => {}
        }
        self.grow((key, value));
        None
    }

    /// The value of a key, made if there is none.
    #[expect(clippy::expect_used, reason = "what is not there is put there")]
    pub(super) fn get_or_insert_with(&mut self, key: u64, make: impl FnOnce() -> V) -> &mut V {
        if self.get(key).is_none() {
            self.insert(key, make());
        }
        self.get_mut(key).expect("the key is there")
    }

    /// Takes the next form, with one entry more.
    fn grow(&mut self, entry: (u64, V)) {
        *self = match std::mem::take(self) {
            Series::None => Series::One(entry),
            Series::One(only) => {
                let (first, last) = if only.0 < entry.0 { (only, entry) } else { (entry, only) };
                let mut list = Vec::with_capacity(FEW_ROOM);
                list.extend([first, last]);
                Series::Few(list)
            }
            Series::Few(list) => Series::Many(Box::new(list.into_iter().chain([entry]).collect())),
            Series::Many(mut map) => {
                map.insert(entry.0, entry.1);
                Series::Many(map)
            }
        };
    }

    /// Takes out a key and its value.
    pub(super) fn remove(&mut self, key: u64) -> Option<V> {
        let removed = match self {
            Series::None => None,
            Series::One((own, _)) if *own != key => None,
            Series::One(_) => match std::mem::take(self) {
                Series::One((_, value)) => Some(value),
                _ => None,
            },
            Series::Few(list) => find(list, key).ok().map(|place| list.remove(place).1),
            Series::Many(map) => map.remove(&key),
        };
        self.nothing_if_empty();
        removed
    }

    /// Takes out so many entries from the first one on.
    pub(super) fn remove_first(&mut self, count: usize) {
        match self {
            Series::None => {}
            Series::One(_) => {
                if count > 0 {
                    *self = Series::None;
                }
            }
            Series::Few(list) => _ = list.drain(..count.min(list.len())),
            Series::Many(map) => (0..count).for_each(|_| _ = map.pop_first()),
        }
        self.nothing_if_empty();
    }

    /// Takes out the entries whose key is of that kind.
    pub(super) fn split_off(&mut self, goes: impl Fn(u64) -> bool) -> Series<V> {
        let gone = match self {
            Series::One((key, _)) if goes(*key) => return std::mem::take(self),
            Series::None | Series::One(_) => return Series::None,
            Series::Few(list) => {
                let mut gone = Vec::with_capacity(list.iter().filter(|(key, _)| goes(*key)).count());
                gone.extend(list.extract_if(.., |(key, _)| goes(*key)));
                list.shrink_to_fit();
                gone
            }
            Series::Many(map) => {
                let all = std::mem::take(&mut **map).into_iter();
                let (gone, left) = all.partition::<Vec<_>, _>(|(key, _)| goes(*key));
                map.extend(left);
                gone
            }
        };
        self.nothing_if_empty();
        Series::of_sorted(gone)
    }

    fn of_sorted(mut list: Vec<(u64, V)>) -> Series<V> {
        match list.len() {
            0 => Series::None,
            1 => list.pop().map_or(Series::None, Series::One),
            2..=FEW_MAX => Series::Few(list),
            _ => Series::Many(Box::new(list.into_iter().collect())),
        }
    }

    fn nothing_if_empty(&mut self) {
        let empty = match self {
            Series::None | Series::One(_) => false,
            Series::Few(list) => list.is_empty(),
            Series::Many(map) => map.is_empty(),
        };
        if empty {
            *self = Series::None;
        }
    }

    /// The entry with the smallest key.
    pub(super) fn first(&self) -> Option<(u64, &V)> {
        match self {
            Series::Many(map) => map.first_key_value().map(|(&key, value)| (key, value)),
            _ => self.list().first().map(|(key, value)| (*key, value)),
        }
    }

    /// The greatest key; of a tree none, since to find it is a walk.
    pub(super) fn last_listed(&self) -> Option<u64> {
        self.list().last().map(|(key, _)| *key)
    }

    /// Whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Series::None)
    }

    /// Every entry, by key.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &V)> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }

    /// The entries between two bounds, by key.
    pub(super) fn range(
        &self,
        from: Bound<u64>,
        to: Bound<u64>,
    ) -> impl DoubleEndedIterator<Item = (u64, &V)> {
        let many = match self {
            Series::Many(map) => Some(map.range((from, to))),
            _ => None,
        };
        let list = self.list();
        let first = list.partition_point(|(key, _)| match from {
            Bound::Unbounded => false,
            Bound::Included(from) => *key < from,
            Bound::Excluded(from) => *key <= from,
        });
        let end = list.partition_point(|(key, _)| match to {
            Bound::Unbounded => true,
            Bound::Included(to) => *key <= to,
            Bound::Excluded(to) => *key < to,
        });
        let listed = list[first..end.max(first)].iter().map(|(key, value)| (*key, value));
        listed.chain(many.into_iter().flatten().map(|(&key, value)| (key, value)))
    }

    /// The entries, where they are no tree.
    fn list(&self) -> &[(u64, V)] {
        match self {
            Series::None | Series::Many(_) => &[],
            Series::One(entry) => std::slice::from_ref(entry),
            Series::Few(list) => list,
        }
    }
}

impl<V: PartialEq> PartialEq for Series<V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for Series<V> {}

/// The place of a key, or where it belongs. Mostly that is the end.
fn find<V>(list: &[(u64, V)], key: u64) -> Result<usize, usize> {
    match list.last() {
        Some((last, _)) if *last < key => Err(list.len()),
        _ => list.binary_search_by_key(&key, |(own, _)| *own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths around each change of form.
    const LENGTHS: [u64; 8] = [0, 1, 2, 3, FEW_MAX as u64 - 1, FEW_MAX as u64, FEW_MAX as u64 + 1, 1_000];

    fn entries(series: &Series<u64>) -> Vec<(u64, u64)> {
        series.iter().map(|(key, &value)| (key, value)).collect()
    }

    fn filled(keys: impl Iterator<Item = u64>) -> (Series<u64>, BTreeMap<u64, u64>) {
        let (mut series, mut map) = (Series::default(), BTreeMap::new());
        for key in keys {
            assert_eq!(series.insert(key, key * 2), map.insert(key, key * 2));
        }
        (series, map)
    }

    fn assert_same(series: &Series<u64>, map: &BTreeMap<u64, u64>) {
        assert!(series.iter().eq(map.iter().map(|(&key, value)| (key, value))));
        assert!(series.iter().rev().eq(map.iter().rev().map(|(&key, value)| (key, value))));
        assert_eq!(series.is_empty(), map.is_empty());
        assert_eq!(series.first(), map.first_key_value().map(|(&key, value)| (key, value)));
    }

    #[test]
    fn it_is_a_map_in_every_form() {
        for length in LENGTHS {
            // In order, backwards, and from both sides.
            let orders: [fn(u64, u64) -> u64; 3] =
                [|n, _| n, |n, length| length - n, |n, length| if n % 2 == 0 { n } else { 2 * length - n }];
            for order in orders {
                let (mut series, mut map) = filled((0..length).map(|n| order(n, length)));
                assert_same(&series, &map);
                for key in 0..=2 * length {
                    assert_eq!(series.get(key), map.get(&key));
                    assert_eq!(series.get_mut(key), map.get_mut(&key));
                }
                for key in (0..=2 * length).filter(|key| key % 3 > 0) {
                    assert_eq!(series.remove(key), map.remove(&key));
                }
                assert_same(&series, &map);
                assert_eq!(series.insert(7, 9), map.insert(7, 9));
                assert_same(&series, &map);
            }
        }
    }

    #[test]
    fn ranges_are_those_of_a_map() {
        for length in LENGTHS {
            let (series, map) = filled((0..length).map(|n| 2 * n));
            let bounds = |key| [Bound::Unbounded, Bound::Included(key), Bound::Excluded(key)];
            for (low, high) in [(0, 3), (2, 4), (3, length), (length / 2, 2 * length + 1), (1, 2)] {
                for (from, to) in bounds(low).into_iter().flat_map(|from| bounds(high).map(|to| (from, to))) {
                    let expected = map
                        .iter()
                        .map(|(&key, value)| (key, value))
                        .filter(|(key, _)| std::ops::RangeBounds::contains(&(from, to), key));
                    if low < high {
                        assert!(series.range(from, to).eq(expected), "{length}: {from:?} {to:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn first_entries_and_those_of_a_kind_are_taken_out() {
        for length in LENGTHS {
            let (mut series, _) = filled(0..length);
            let odd = series.split_off(|key| key % 2 == 1);
            assert!(odd.iter().map(|(key, _)| key).eq((0..length).filter(|key| key % 2 == 1)));
            assert!(series.iter().map(|(key, _)| key).eq((0..length).filter(|key| key % 2 == 0)));
            for count in [0, 1, 2, 400] {
                let left = entries(&series).split_off(count.min(entries(&series).len()));
                series.remove_first(count);
                assert_eq!(entries(&series), left);
            }
        }
    }

    #[test]
    fn the_form_does_not_tell_two_apart() {
        let (grown, _) = filled(0..300);
        let (mut shrunk, _) = filled(0..400);
        (300..400).for_each(|key| _ = shrunk.remove(key));
        assert_eq!(grown, shrunk);
        (0..300).for_each(|key| _ = shrunk.remove(key));
        assert_eq!((shrunk.is_empty(), shrunk), (true, Series::None));
    }
}
