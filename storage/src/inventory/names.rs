//! A map from names (SKUs, idempotency keys) to what has them, by hash.
//!
//! Such texts are random and many. A map ordered by text would follow a pointer for each comparison, some twenty
//! in a map of a million, and each is a cache miss; a [`Table`] finds a hash in two. Where a text's place is
//! taken by another one of the same hash it goes to a map by text: who looks for such texts makes nothing slow.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::digest::{Digest, Kind};
use super::table::Table;

/// What has a name of its own.
pub(super) trait Named {
    /// Its name.
    fn name(&self) -> &Arc<str>;
}

/// See the module's documentation. Its order must not reach any output.
#[derive(Debug, Clone)]
pub(super) struct Names<V> {
    by_hash: Table<Box<V>>,
    /// Values whose place was taken when they came. The name of none of them is in `by_hash`.
    others: BTreeMap<Arc<str>, Box<V>>,
}

impl<V: Named> Names<V> {
    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        match self.by_hash.get(hash(name)) {
            Some(value) if **value.name() == *name => Some(value),
            _ => self.others.get(name).map(|value| &**value),
        }
    }

    /// The value of a name, to be changed. Its name stays.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        match self.by_hash.get_mut(hash(name)) {
            Some(value) if **value.name() == *name => Some(value),
            _ => self.others.get_mut(name).map(|value| &mut **value),
        }
    }

    /// Reads what a look-up of a name begins with. The number means nothing.
    pub(super) fn glance(&self, name: &str) -> u64 {
        self.by_hash.glance(hash(name))
    }

    /// Puts a value under its name, and gives back the one that was there.
    pub(super) fn insert(&mut self, value: Box<V>) -> Option<Box<V>> {
        if let Some(place) = self.others.get_mut(value.name()) {
            return Some(std::mem::replace(place, value));
        }
        let hash = hash(value.name());
        match self.by_hash.get_mut(hash) {
            Some(place) if place.name() == value.name() => Some(std::mem::replace(place, value)),
            Some(_) => self.others.insert(Arc::clone(value.name()), value),
            None => self.by_hash.insert(hash, value),
        }
    }

    /// Makes room for that many values.
    pub(super) fn fit(&mut self, len: usize) {
        self.by_hash.fit(len);
    }

    /// Takes out the value of a name.
    pub(super) fn remove(&mut self, name: &str) -> Option<Box<V>> {
        let hash = hash(name);
        match self.by_hash.get(hash) {
            Some(value) if **value.name() == *name => self.by_hash.remove(hash),
            _ => self.others.remove(name),
        }
    }

    /// Every value, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &V> {
        self.by_hash.iter().map(|(_, value)| value).chain(self.others.values()).map(|value| &**value)
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

    /// A name and a number.
    #[derive(Debug, PartialEq)]
    struct Numbered(Arc<str>, u32);

    impl Named for Numbered {
        fn name(&self) -> &Arc<str> {
            &self.0
        }
    }

    fn numbered(name: &str, number: u32) -> Box<Numbered> {
        Box::new(Numbered(name.into(), number))
    }

    fn of(names: &Names<Numbered>) -> Vec<(&str, u32)> {
        let mut all: Vec<_> = names.iter().map(|value| (&*value.0, value.1)).collect();
        all.sort_unstable();
        assert_eq!(all.len(), names.len());
        all
    }

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let mut names = Names::default();
        // The hash of `b` is taken by another name when `b` comes.
        names.by_hash.insert(hash("b"), numbered("a", 1));
        assert_eq!(names.insert(numbered("b", 2)), None);
        assert_eq!(names.get("b"), Some(&*numbered("b", 2)));
        assert_eq!(names.get("a"), None, "its own hash is another one");
        names.get_mut("b").unwrap().1 += 2;
        assert_eq!(names.insert(numbered("b", 3)), Some(numbered("b", 4)));
        assert_eq!(of(&names), [("a", 1), ("b", 3)]);
        // It stays where it is when the place is free again, and is there once.
        names.by_hash = Table::default();
        assert_eq!(names.insert(numbered("b", 5)), Some(numbered("b", 3)));
        assert_eq!(of(&names), [("b", 5)]);
        assert_eq!(names.remove("b"), Some(numbered("b", 5)));
        assert_eq!((names.get("b"), names.len()), (None, 0));
    }

    #[test]
    fn a_name_has_one_value() {
        let mut names = Names::default();
        names.fit(9);
        assert_eq!(names.insert(numbered("", 1)), None);
        assert_eq!(names.insert(numbered("", 2)), Some(numbered("", 1)));
        assert_eq!((names.get("x"), names.len()), (None, 1));
        assert_eq!((names.remove("x"), names.remove("")), (None, Some(numbered("", 2))));
        assert_eq!(names.len(), 0);
    }
}
