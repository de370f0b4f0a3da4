//! The indexes over the reservations.
//!
//! ```text
//!   every one  --> carts, customers          hash of the text -> sequences             who it is about
//!              \-> skus: all                 hash of the SKU -> sequences              what it is about
//!   held       --> skus: holds               hash of the SKU -> fencing_token -> sequence
//!              \-> deadlines                 (deadline_ms, fencing_token) -> sequence  what ends next
//!   ended      --> forgets                   (forget_ms, sequence)                     what is forgotten next
//! ```
//!
//! The sequence in a reservation's id tells it from all others; the nonce, which is as long, is in its row alone.
//!
//! An index is a function of the records, and of nothing else: that is what makes a rebuilt inventory go on like
//! the one that it was rebuilt from.
//!
//! Two texts may have one hash, so that what is found by hash is a candidate, and its record tells.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::ids::{ReservationId, Sku};
use super::names::hash;
use super::outcome::State;
use super::postings::Postings;
use super::record::{ReservationRecord, ReservedItem};
use super::series::Series;
use super::table::Table;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    carts: Postings,
    customers: Postings,
    /// None is without a reservation.
    skus: Table<OfSku>,
    deadlines: BTreeMap<(u64, u64), u64>,
    forgets: BTreeSet<(u64, u64)>,
}

/// Which reservations are about a SKU, or about one of the same hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OfSku {
    /// The sequences of all of them.
    all: Series<()>,
    /// Of those that are held: fencing_token -> sequence.
    holds: Series<u64>,
}

impl Indexes {
    /// The indexes over these records. The trees are sorted first and made as a whole, which takes less time, and
    /// leaves fewer gaps in them, than to enter one record after the other.
    pub(super) fn build<'a>(
        records: impl Iterator<Item = (ReservationId, &'a ReservationRecord)> + Clone,
    ) -> Indexes {
        let of_state = |held: bool| records.clone().filter(move |(_, record)| record.is_held() == held);
        let carts = records.clone().map(|(id, record)| (&*record.cart_id, id.sequence));
        let customers =
            records.clone().filter_map(|(id, record)| Some((record.customer_id.as_deref()?, id.sequence)));
        let ended = of_state(false).filter(|(_, record)| record.state != State::Waiting);
        let mut indexes = Indexes {
            carts: Postings::of_all(carts),
            customers: Postings::of_all(customers),
            skus: Table::default(),
            deadlines: of_state(true).map(|(id, record)| (record.moment_key(), id.sequence)).collect(),
            forgets: ended.map(|(id, record)| (record.forget_ms, id.sequence)).collect(),
        };
        records.for_each(|(id, record)| indexes.insert_items(id, record));
        indexes
    }

    /// Enters a record.
    pub(super) fn insert(&mut self, id: ReservationId, record: &ReservationRecord) {
        self.carts.insert(&record.cart_id, id.sequence);
        if let Some(customer) = &record.customer_id {
            self.customers.insert(customer, id.sequence);
        }
        self.insert_moment(id, record);
        self.insert_items(id, record);
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, id: ReservationId, record: &ReservationRecord) {
        self.carts.remove(&record.cart_id, id.sequence);
        if let Some(customer) = &record.customer_id {
            self.customers.remove(customer, id.sequence);
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
        if !Arc::ptr_eq(&before.items, &after.items) {
            self.remove_items(id, before);
            self.insert_items(id, after);
        } else if before.is_held() != after.is_held() {
            self.update_holds(id, before, after);
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
            let of = self.skus.get_or_default(hash(sku.as_str()));
            of.all.insert(id.sequence, ());
            if record.is_held() {
                of.holds.insert(record.fencing_token(), id.sequence);
            }
        }
    }

    fn remove_items(&mut self, id: ReservationId, record: &ReservationRecord) {
        for ReservedItem { sku, .. } in record.items.iter() {
            let hash = hash(sku.as_str());
            let of = self.skus.get_or_default(hash);
            of.all.remove(id.sequence);
            if record.is_held() {
                of.holds.remove(record.fencing_token());
            }
            if of.all.is_empty() {
                self.skus.remove(hash);
            }
        }
    }

    /// Follows a change of state alone.
    fn update_holds(&mut self, id: ReservationId, before: &ReservationRecord, after: &ReservationRecord) {
        for ReservedItem { sku, .. } in after.items.iter() {
            let of = self.skus.get_or_default(hash(sku.as_str()));
            if before.is_held() {
                of.holds.remove(before.fencing_token());
            }
            if after.is_held() {
                of.holds.insert(after.fencing_token(), id.sequence);
            }
        }
    }

    /// Reads what a look-up of a cart begins with. The number means nothing, nor do those below.
    pub(super) fn glance_at_cart(&self, cart_id: &str) -> u64 {
        self.carts.glance(cart_id)
    }

    /// Reads what a look-up of a SKU begins with.
    pub(super) fn glance_at_sku(&self, sku: &Sku) -> u64 {
        self.skus.glance(hash(sku.as_str()))
    }

    /// Reads the end of what is known of a SKU.
    pub(super) fn last_of_sku(&self, sku: &Sku) -> u64 {
        let last = |of: &OfSku| of.all.last_listed()?.checked_add(of.holds.last_listed()?);
        self.skus.get(hash(sku.as_str())).and_then(last).unwrap_or(0)
    }

    /// The sequences of reservations that may be of a cart, in order, after that of `after`.
    pub(super) fn of_cart(
        &self,
        cart_id: &str,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = u64> + use<'_> {
        self.carts.of(cart_id, sequence(after))
    }

    /// The sequences of reservations that may be of a cart, the newest first.
    pub(super) fn of_cart_backwards(&self, cart_id: &str) -> impl Iterator<Item = u64> + use<'_> {
        self.carts.of_backwards(cart_id)
    }

    /// Reservations that may be of a customer, likewise.
    pub(super) fn of_customer(
        &self,
        customer_id: &str,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = u64> + use<'_> {
        self.customers.of(customer_id, sequence(after))
    }

    /// Reservations that may name a SKU, likewise.
    pub(super) fn of_sku(
        &self,
        sku: &Sku,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = u64> + use<'_> {
        let first = sequence(after).map_or(Bound::Unbounded, Bound::Excluded);
        let of = self.skus.get(hash(sku.as_str())).into_iter();
        of.flat_map(move |of| of.all.range(first, Bound::Unbounded)).map(|(sequence, ())| sequence)
    }

    /// Holds that may be on a SKU, due ones included, with their fencing tokens: from the greatest one below a bound
    /// down.
    pub(super) fn holds_of_below(&self, sku: &Sku, below: u64) -> impl Iterator<Item = (u64, u64)> {
        let of = self.skus.get(hash(sku.as_str())).into_iter();
        let holds = of.flat_map(move |of| of.holds.range(Bound::Unbounded, Bound::Excluded(below)).rev());
        holds.map(|(fencing_token, &sequence)| (fencing_token, sequence))
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

impl ReservationRecord {
    /// What orders it among those of its state, by when something happens to it.
    fn moment_key(&self) -> (u64, u64) {
        if self.is_held() { (self.deadline_ms(), self.fencing_token()) } else { (self.forget_ms, 0) }
    }

    fn is_held(&self) -> bool {
        self.state == State::Held
    }
}

fn sequence(of: Option<ReservationId>) -> Option<u64> {
    of.map(|id| id.sequence)
}
