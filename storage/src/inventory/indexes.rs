//! The three indexes over the reservations.
//!
//! ```text
//!   held   --> carts      cart_id -> id                         the one live reservation of a cart
//!          \-> deadlines  (deadline_ms, fencing_token) -> id    what ends next
//!   ended  --> forgets    (forget_ms, id)                       what is forgotten next
//! ```
//!
//! An index is a function of the records, and of nothing else: that is what makes a rebuilt inventory go on like
//! the one that it was rebuilt from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ids::ReservationId;
use super::names::Names;
use super::outcome::State;
use super::record::ReservationRecord;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(super) struct Indexes {
    carts: Names<ReservationId>,
    deadlines: BTreeMap<(u64, u64), ReservationId>,
    forgets: BTreeSet<(u64, ReservationId)>,
}

impl Indexes {
    /// The indexes over these records; `None` where two holds have one cart or one fencing token.
    pub(super) fn build<'a>(
        records: impl Iterator<Item = (ReservationId, &'a ReservationRecord)>,
    ) -> Option<Indexes> {
        let (held, ended): (Vec<_>, Vec<_>) = records.partition(|(_, record)| record.state == State::Held);
        let indexes = Indexes {
            carts: held.iter().map(|(id, record)| (Arc::clone(&record.cart_id), *id)).collect(),
            deadlines: held.iter().map(|(id, record)| (record.deadline_key(), *id)).collect(),
            forgets: ended.iter().map(|(id, record)| (record.forget_ms, *id)).collect(),
        };
        (indexes.carts.len() == held.len() && indexes.deadlines.len() == held.len()).then_some(indexes)
    }

    /// Whether there is an entry for each of these records, and none besides.
    pub(super) fn are_of<'a>(
        &self,
        records: impl Iterator<Item = (ReservationId, &'a ReservationRecord)>,
    ) -> bool {
        let (mut held, mut ended) = (0, 0);
        for (id, record) in records {
            *(if record.state == State::Held { &mut held } else { &mut ended }) += 1;
            if !self.has(id, record) {
                return false;
            }
        }
        (self.carts.len(), self.deadlines.len(), self.forgets.len()) == (held, held, ended)
    }

    /// Enters a record.
    pub(super) fn insert(&mut self, id: ReservationId, record: &ReservationRecord) {
        if record.state == State::Held {
            self.carts.insert(Arc::clone(&record.cart_id), id);
            self.deadlines.insert(record.deadline_key(), id);
        } else {
            self.forgets.insert((record.forget_ms, id));
        }
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, id: ReservationId, record: &ReservationRecord) {
        if record.state == State::Held {
            self.carts.remove(&record.cart_id);
            self.deadlines.remove(&record.deadline_key());
        } else {
            self.forgets.remove(&(record.forget_ms, id));
        }
    }

    /// The reservation that holds a cart's items, if any; it may be due.
    pub(super) fn of_cart(&self, cart_id: &str) -> Option<ReservationId> {
        self.carts.get(cart_id).copied()
    }

    /// The hold that ends next, and when.
    pub(super) fn next_deadline(&self) -> Option<(u64, ReservationId)> {
        self.deadlines.first_key_value().map(|(&(deadline_ms, _), &id)| (deadline_ms, id))
    }

    /// The reservation that is forgotten next, and when.
    pub(super) fn next_forget(&self) -> Option<(u64, ReservationId)> {
        self.forgets.first().copied()
    }

    /// How many are held, those that are due included.
    pub(super) fn holds(&self) -> usize {
        self.deadlines.len()
    }

    fn has(&self, id: ReservationId, record: &ReservationRecord) -> bool {
        if record.state == State::Held {
            self.carts.get(&record.cart_id) == Some(&id)
                && self.deadlines.get(&record.deadline_key()) == Some(&id)
        } else {
            self.forgets.contains(&(record.forget_ms, id))
        }
    }
}

impl ReservationRecord {
    fn deadline_key(&self) -> (u64, u64) {
        (self.deadline_ms(), self.fencing_token())
    }
}
