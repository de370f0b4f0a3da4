//! The indexes over the reservations.
//!
//! ```text
//!   every one  --> carts, customers, skus    (hash of the text, sequence)              who and what it is about
//!   held       --> deadlines                 (deadline_ms, fencing_token) -> sequence  what ends next
//!              \-> holds                     (hash of the SKU, fencing_token) -> sequence
//!   ended      --> forgets                   (forget_ms, sequence)                     what is forgotten next
//! ```
//!
//! The sequence in a reservation's id tells it from all others; the nonce, which is as long, is in its row alone.
//!
//! An index is a function of the records, and of nothing else: that is what makes a rebuilt inventory go on like
//! the one that it was rebuilt from.
//!
//! Texts are random and many. A map ordered by text would follow a pointer for each comparison, some twenty in a
//! map of a million, and each is a cache miss; the hash stands in the map's node itself. Two texts may have one
//! hash, so that what is found by hash is a candidate, and its record tells.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::digest::{Digest, Kind};
use super::ids::{ReservationId, Sku};
use super::outcome::State;
use super::record::{ReservationRecord, ReservedItem};

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    carts: Postings,
    customers: Postings,
    skus: Postings,
    deadlines: BTreeMap<(u64, u64), u64>,
    holds: BTreeMap<(u64, u64), u64>,
    forgets: BTreeSet<(u64, u64)>,
}

/// Which reservations are about a text, by its hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Postings(BTreeSet<(u64, u64)>);

impl Indexes {
    /// The indexes over these records. Each of them is sorted first and made as a whole, which takes less time, and
    /// leaves fewer gaps in it, than to enter one record after the other.
    pub(super) fn build<'a>(
        records: impl Iterator<Item = (ReservationId, &'a ReservationRecord)> + Clone,
    ) -> Indexes {
        let of_state = |held: bool| records.clone().filter(move |(_, record)| record.is_held() == held);
        let carts = records.clone().map(|(id, record)| (hash(&record.cart_id), id.sequence));
        let customers =
            records.clone().filter_map(|(id, record)| Some((record.customer_id.as_ref()?, id.sequence)));
        let ended = of_state(false).filter(|(_, record)| record.state != State::Waiting);
        Indexes {
            carts: Postings(carts.collect()),
            customers: Postings(customers.map(|(customer, sequence)| (hash(customer), sequence)).collect()),
            skus: Postings(items(records.clone()).map(|(hash, sequence, _)| (hash, sequence)).collect()),
            deadlines: of_state(true).map(|(id, record)| (record.moment_key(), id.sequence)).collect(),
            holds: items(of_state(true)).map(|(hash, sequence, token)| ((hash, token), sequence)).collect(),
            forgets: ended.map(|(id, record)| (record.forget_ms, id.sequence)).collect(),
        }
    }

    /// Enters a record.
    pub(super) fn insert(&mut self, id: ReservationId, record: &ReservationRecord) {
        self.carts.insert(&record.cart_id, id);
        if let Some(customer) = &record.customer_id {
            self.customers.insert(customer, id);
        }
        self.insert_moment(id, record);
        self.insert_items(id, record);
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, id: ReservationId, record: &ReservationRecord) {
        self.carts.remove(&record.cart_id, id);
        if let Some(customer) = &record.customer_id {
            self.customers.remove(customer, id);
        }
        self.remove_moment(id, record);
        self.remove_items(id, record);
    }

    /// Follows a record's change. Its cart and customer stay.
    pub(super) fn update(
        &mut self,
        id: ReservationId,
        before: &ReservationRecord,
        after: &ReservationRecord,
    ) {
        if (before.state, before.moment_key()) != (after.state, after.moment_key()) {
            self.remove_moment(id, before);
            self.insert_moment(id, after);
        }
        let same_items = Arc::ptr_eq(&before.items, &after.items);
        if !same_items || before.is_held() != after.is_held() {
            self.remove_items(id, before);
            self.insert_items(id, after);
        }
    }

    fn insert_moment(&mut self, id: ReservationId, record: &ReservationRecord) {
        match record.state {
            State::Waiting => {}
            State::Held => _ = self.deadlines.insert(record.moment_key(), id.sequence),
            _ => _ = self.forgets.insert((record.forget_ms, id.sequence)),
        }
    }

    fn remove_moment(&mut self, id: ReservationId, record: &ReservationRecord) {
        match record.state {
            State::Waiting => {}
            State::Held => _ = self.deadlines.remove(&record.moment_key()),
            _ => _ = self.forgets.remove(&(record.forget_ms, id.sequence)),
        }
    }

    fn insert_items(&mut self, id: ReservationId, record: &ReservationRecord) {
        for ReservedItem { sku, .. } in record.items.iter() {
            let hash = hash(sku.as_str());
            self.skus.0.insert((hash, id.sequence));
            if record.is_held() {
                self.holds.insert((hash, record.fencing_token()), id.sequence);
            }
        }
    }

    fn remove_items(&mut self, id: ReservationId, record: &ReservationRecord) {
        for ReservedItem { sku, .. } in record.items.iter() {
            let hash = hash(sku.as_str());
            self.skus.0.remove(&(hash, id.sequence));
            if record.is_held() {
                self.holds.remove(&(hash, record.fencing_token()));
            }
        }
    }

    /// The sequences of reservations that may be of a cart, in order, after that of `after`.
    pub(super) fn of_cart(
        &self,
        cart_id: &str,
        after: Option<ReservationId>,
    ) -> impl DoubleEndedIterator<Item = u64> + use<'_> {
        self.carts.of(cart_id, after)
    }

    /// Reservations that may be of a customer, likewise.
    pub(super) fn of_customer(
        &self,
        customer_id: &str,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = u64> + use<'_> {
        self.customers.of(customer_id, after)
    }

    /// Reservations that may name a SKU, likewise.
    pub(super) fn of_sku(
        &self,
        sku: &Sku,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = u64> + use<'_> {
        self.skus.of(sku.as_str(), after)
    }

    /// Holds that may be on a SKU, due ones included, with their fencing tokens: from the greatest one below a bound
    /// down.
    pub(super) fn holds_of_below(&self, sku: &Sku, below: u64) -> impl Iterator<Item = (u64, u64)> {
        let hash = hash(sku.as_str());
        self.holds
            .range((hash, 0)..(hash, below))
            .rev()
            .map(|(&(_, fencing_token), &sequence)| (fencing_token, sequence))
    }

    /// The hold that ends next, and when.
    pub(super) fn next_deadline(&self) -> Option<(u64, u64)> {
        self.deadlines.first_key_value().map(|(&(deadline_ms, _), &sequence)| (deadline_ms, sequence))
    }

    /// The reservation that is forgotten next, and when.
    pub(super) fn next_forget(&self) -> Option<(u64, u64)> {
        self.forgets.first().copied()
    }

    /// How many are held, those that are due included.
    pub(super) fn holds(&self) -> usize {
        self.deadlines.len()
    }
}

impl Postings {
    /// The sequences of reservations that may be about a text, in order, after that of `after`.
    fn of(&self, text: &str, after: Option<ReservationId>) -> impl DoubleEndedIterator<Item = u64> + use<'_> {
        let hash = hash(text);
        let first = after.map_or(Bound::Included((hash, 0)), |id| Bound::Excluded((hash, id.sequence)));
        let last = Bound::Included((hash, u64::MAX));
        self.0.range((first, last)).map(|&(_, sequence)| sequence)
    }

    fn insert(&mut self, text: &str, id: ReservationId) {
        self.0.insert((hash(text), id.sequence));
    }

    fn remove(&mut self, text: &str, id: ReservationId) {
        self.0.remove(&(hash(text), id.sequence));
    }
}

impl ReservationRecord {
    /// What orders it among those of its state, by when something happens to it.
    fn moment_key(&self) -> (u64, u64) {
        if self.is_held() { (self.deadline_ms(), self.fencing_token()) } else { (self.forget_ms, 0) }
    }

    fn is_held(&self) -> bool {
        self.state == State::Held
    }
}

/// The hash of the SKU, the reservation's sequence and its fencing token, for each item of each record.
fn items<'a>(
    records: impl Iterator<Item = (ReservationId, &'a ReservationRecord)>,
) -> impl Iterator<Item = (u64, u64, u64)> {
    records.flat_map(|(id, record)| {
        record.items.iter().map(move |item| (hash(item.sku.as_str()), id.sequence, record.fencing_token()))
    })
}

fn hash(text: &str) -> u64 {
    Digest::of(Kind::Name).text(text).finish()
}
