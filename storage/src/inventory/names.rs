//! A map from texts (SKUs, idempotency keys) to values, by hash.
//!
//! Such texts are random and many. A map ordered by text would follow a pointer for each comparison, some twenty
//! in a map of a million, and each is a cache miss; a [`Table`] finds a hash in two. Where a text's place is
//! taken by another one of the same hash it goes to a map by text: who looks for such texts makes nothing slow.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::digest::{Digest, Kind};
use super::table::Table;

/// See the module's documentation. Its order must not reach any output.
#[derive(Debug, Clone)]
pub(super) struct Names<V> {
    by_hash: Table<(Arc<str>, V)>,
    /// Names whose place was taken when they came. None of them is in `by_hash`.
    others: BTreeMap<Arc<str>, V>,
}

impl<V> Names<V> {
    /// The value under a name.
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        match self.by_hash.get(hash(name)) {
            Some((own, value)) if **own == *name => Some(value),
            _ => self.others.get(name),
        }
    }

    /// The value under a name, to be changed.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        match self.by_hash.get_mut(hash(name)) {
            Some((own, value)) if **own == *name => Some(value),
            _ => self.others.get_mut(name),
        }
    }

    /// Puts a value under a name, and gives back the one that was there.
    pub(super) fn insert(&mut self, name: Arc<str>, value: V) -> Option<V> {
        if let Some(place) = self.others.get_mut(&name) {
            return Some(std::mem::replace(place, value));
        }
        let hash = hash(&name);
        match self.by_hash.get_mut(hash) {
            Some((own, place)) if *own == name => Some(std::mem::replace(place, value)),
            Some(_) => self.others.insert(name, value),
            None => self.by_hash.insert(hash, (name, value)).map(|(_, value)| value),
        }
    }

    /// Puts many values under names that are not there yet.
    pub(super) fn extend(&mut self, named: impl ExactSizeIterator<Item = (Arc<str>, V)>) {
        self.by_hash.fit(self.by_hash.len() + named.len());
        named.for_each(|(name, value)| _ = self.insert(name, value));
    }

    /// Takes out a name and its value.
    pub(super) fn remove(&mut self, name: &str) -> Option<(Arc<str>, V)> {
        let hash = hash(name);
        match self.by_hash.get(hash) {
            Some((own, _)) if **own == *name => self.by_hash.remove(hash),
            _ => self.others.remove_entry(name),
        }
    }

    /// Every name and its value, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.by_hash.iter().map(|(_, (name, value))| (name, value)).chain(&self.others)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_hash.len() + self.others.len()
    }
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Names { by_hash: Table::default(), others: BTreeMap::new() }
    }
}

/// The hash that a name stands under.
pub(super) fn hash(name: &str) -> u64 {
    Digest::of(Kind::Name).text(name).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &Names<u32>) -> Vec<(&str, u32)> {
        let mut all: Vec<_> = names.iter().map(|(name, &value)| (&**name, value)).collect();
        all.sort_unstable();
        assert_eq!(all.len(), names.len());
        all
    }

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let mut names = Names::default();
        // The hash of `b` is taken by another name when `b` comes.
        names.by_hash.insert(hash("b"), ("a".into(), 1));
        assert_eq!(names.insert("b".into(), 2), None);
        assert_eq!((names.get("b"), names.get("a")), (Some(&2), None), "its own hash is another one");
        assert_eq!(names.get_mut("b"), Some(&mut 2));
        assert_eq!(names.insert("b".into(), 3), Some(2));
        assert_eq!(of(&names), [("a", 1), ("b", 3)]);
        // It stays where it is when the place is free again, and is there once.
        names.by_hash = Table::default();
        assert_eq!((names.insert("b".into(), 3), names.get("b")), (Some(3), Some(&3)));
        assert_eq!(of(&names), [("b", 3)]);
        assert_eq!((names.remove("b"), names.get("b"), names.len()), (Some(("b".into(), 3)), None, 0));
    }

    #[test]
    fn a_name_has_one_value() {
        let mut names = Names::default();
        assert_eq!((names.insert("".into(), 1), names.insert("".into(), 2)), (None, Some(1)));
        assert_eq!((names.get(""), names.get("x"), names.len()), (Some(&2), None, 1));
        assert_eq!((names.remove("x"), names.remove(""), names.len()), (None, Some(("".into(), 2)), 0));
    }
}
