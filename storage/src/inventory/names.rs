//! A map from texts of clients (customers, idempotency keys) to values, ordered by hash.
//!
//! Such texts are random and many. A map ordered by text would follow a pointer for each comparison, some twenty
//! in a map of a million, and each is a cache miss; the hash stands in the map's node itself. Where two texts have
//! one hash they stand side by side, so that even a client who looks for such texts gains nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::digest::{Digest, Kind};

/// See the module's documentation. Its order must not reach any output.
#[derive(Debug, Clone)]
pub(super) struct Names<V>(BTreeMap<(u64, Arc<str>), V>);

impl<V> Names<V> {
    /// The value under a name.
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.entry(name).map(|(_, value)| value)
    }

    /// Puts a value under a name, and gives back the one that was there.
    pub(super) fn insert(&mut self, name: Arc<str>, value: V) -> Option<V> {
        self.0.insert((hash(&name), name), value)
    }

    /// The value under a name, made if there is none.
    pub(super) fn value_or_default(&mut self, name: &Arc<str>) -> &mut V
    where
        V: Default,
    {
        self.0.entry((hash(name), Arc::clone(name))).or_default()
    }

    /// Takes out a name and its value.
    pub(super) fn remove(&mut self, name: &str) -> Option<(Arc<str>, V)> {
        let place = self.entry(name)?.0.clone();
        self.0.remove_entry(&place).map(|((_, name), value)| (name, value))
    }

    /// Every name and its value, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.0.iter().map(|((_, name), value)| (name, value))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn entry(&self, name: &str) -> Option<(&(u64, Arc<str>), &V)> {
        let hash = hash(name);
        // The empty text is the first of every hash, and costs no allocation.
        let alike = self.0.range((hash, Arc::default())..).take_while(|((other, _), _)| *other == hash);
        alike.into_iter().find(|((_, other), _)| **other == *name)
    }
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Names(BTreeMap::new())
    }
}

fn hash(name: &str) -> u64 {
    Digest::of(Kind::Name).text(name).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let mut names = Names(BTreeMap::from([
            ((hash("b"), Arc::from("a")), 1),
            ((hash("b"), Arc::from("b")), 2),
            ((hash("b"), Arc::from("c")), 3),
        ]));
        assert_eq!(names.get("b"), Some(&2));
        assert_eq!(names.get("a"), None, "its own hash is another one");
        assert_eq!(names.remove("b").map(|(_, value)| value), Some(2));
        assert_eq!(names.get("b"), None);
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_name_has_one_value() {
        let mut names = Names::default();
        assert_eq!((names.insert("".into(), 1), names.insert("".into(), 2)), (None, Some(1)));
        assert_eq!((names.get(""), names.get("x"), names.len()), (Some(&2), None, 1));
    }
}
