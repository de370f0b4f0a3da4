//! A map from 64-bit hashes to values, in no order, that grows by a bucket at a time.
//!
//! ```text
//!   6 buckets     0      1      2      3      4      5        a hash's bucket: its last 3 bits; where there is no
//!   hash ...101                                       x       such bucket (110, 111) its last 2
//!   hash ...110                 x
//!
//!   the next bucket to be added is 6: those of bucket 2 that end in 110 go there
//! ```
//!
//! That is linear hashing (W. Litwin, VLDB 1980). A look-up is two cache misses, where a tree of a million has five,
//! and no command waits for a table to be made anew: only the list of the buckets is copied when it doubles. A bucket
//! is a [`Series`]: clients choose the texts whose hashes these are, and whoever finds a million that end in the same
//! bits has made one bucket a tree, and nothing slow.

use super::series::Series;

/// Entries for each bucket, on average, at most.
const BUCKET_LEN: usize = 8;

/// See the module's documentation. Its order must not reach any output. Two are equal if their entries are.
#[derive(Debug, Clone)]
pub(super) struct Table<V> {
    /// At least one.
    buckets: Vec<Series<V>>,
    len: usize,
}

impl<V> Table<V> {
    /// The value of a hash.
    pub(super) fn get(&self, hash: u64) -> Option<&V> {
        self.buckets[self.place(hash)].get(hash)
    }

    /// The value of a hash, to be changed.
    pub(super) fn get_mut(&mut self, hash: u64) -> Option<&mut V> {
        let place = self.place(hash);
        self.buckets[place].get_mut(hash)
    }

    /// Puts a value under a hash, and gives back the one that was there.
    pub(super) fn insert(&mut self, hash: u64, value: V) -> Option<V> {
        let place = self.place(hash);
        let before = self.buckets[place].insert(hash, value);
        if before.is_none() {
            self.len += 1;
            self.fit(self.len);
        }
        before
    }

    /// Takes out a hash and its value.
    pub(super) fn remove(&mut self, hash: u64) -> Option<V> {
        let place = self.place(hash);
        let removed = self.buckets[place].remove(hash);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Makes as many buckets as that many entries need.
    pub(super) fn fit(&mut self, len: usize) {
        while self.buckets.len() * BUCKET_LEN < len {
            self.split();
        }
    }

    /// Reads what a look-up of a hash begins with. The number means nothing.
    pub(super) fn glance(&self, hash: u64) -> u64 {
        self.buckets[self.place(hash)].last_listed().unwrap_or(0)
    }

    /// Every hash and its value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.buckets.iter().flat_map(Series::iter)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a bucket, for half of the entries of the one that had them so far.
    fn split(&mut self) {
        let added = self.buckets.len();
        let whole = (added + 1).next_power_of_two();
        let goes = |hash: u64| hash as usize & (whole - 1) == added;
        let new = self.buckets[added - whole / 2].split_off(goes);
        self.buckets.push(new);
    }

    fn place(&self, hash: u64) -> usize {
        let whole = self.buckets.len().next_power_of_two();
        let place = hash as usize & (whole - 1);
        if place < self.buckets.len() { place } else { place - whole / 2 }
    }
}

impl<V: Default> Table<V> {
    /// The value of a hash, made if there is none.
    pub(super) fn get_or_default(&mut self, hash: u64) -> &mut V {
        if self.get(hash).is_none() {
            self.insert(hash, V::default());
        }
        let place = self.place(hash);
        self.buckets[place].get_or_insert_with(hash, V::default)
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table { buckets: vec![Series::None], len: 0 }
    }
}

impl<V: PartialEq> PartialEq for Table<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(hash, value)| other.get(hash) == Some(value))
    }
}

impl<V: Eq> Eq for Table<V> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::inventory::names;

    fn assert_same(table: &Table<u64>, map: &BTreeMap<u64, u64>) {
        let mut entries: Vec<_> = table.iter().map(|(hash, &value)| (hash, value)).collect();
        entries.sort_unstable();
        assert!(entries.iter().copied().eq(map.iter().map(|(&hash, &value)| (hash, value))));
        assert_eq!(table.len(), map.len());
        assert!(map.iter().all(|(&hash, value)| table.get(hash) == Some(value)));
    }

    #[test]
    fn it_is_a_map_at_every_number_of_buckets() {
        let (mut table, mut map) = (Table::default(), BTreeMap::new());
        for number in 0..1_000 {
            let hash = names::hash(&format!("name {}", number % 700));
            assert_eq!(table.insert(hash, number), map.insert(hash, number));
            let other = names::hash(&format!("name {}", number / 3));
            if number % 5 == 0 {
                assert_eq!(table.remove(other), map.remove(&other));
            }
            assert_eq!(table.get(other), map.get(&other));
            assert_eq!(table.get_mut(other), map.get_mut(&other));
            assert_same(&table, &map);
        }
        let mut same = Table::default();
        same.fit(5_000);
        map.iter().for_each(|(&hash, &value)| _ = same.insert(hash, value));
        assert_eq!(table, same, "the number of buckets does not tell two apart");
        *same.get_or_default(names::hash("name 1")) += 1;
        assert_ne!(table, same);
    }

    /// Steps are bounded whatever hashes come: each bucket is a map of its own.
    #[test]
    fn hashes_that_share_a_bucket_are_told_apart() {
        let (mut table, mut map) = (Table::default(), BTreeMap::new());
        for number in 0..2_000u64 {
            let hash = number << 32 | 7;
            assert_eq!(table.insert(hash, number), map.insert(hash, number));
        }
        assert_same(&table, &map);
        map.retain(|&hash, _| table.remove(hash).is_none());
        assert!(map.is_empty() && table.iter().next().is_none());
    }

    /// What may be long is not done at once.
    #[test]
    fn a_table_grows_by_a_bucket_at_a_time() {
        let mut table = Table::default();
        for number in 0..10_000 {
            let before = table.buckets.len();
            table.insert(names::hash(&number.to_string()), number);
            assert!(table.buckets.len() <= before + 1);
        }
        let longest = table.buckets.iter().map(|bucket| bucket.iter().count()).max();
        assert!(longest < Some(8 * BUCKET_LEN), "{longest:?}");
    }
}
