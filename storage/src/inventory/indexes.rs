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

use std::num::NonZeroU64;
use std::ops::{Bound, RangeBounds};

use super::ids::{ReservationId, Sku};
use super::names::hash;
use super::outcome::State;
use super::postings::Postings;
use super::record::{ReservationRecord, ReservedItem};
use super::series::Series;
use super::sorted::Sorted;
use super::table::Table;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    carts: Postings,
    customers: Postings,
    /// None is without a reservation.
    skus: Table<OfSku>,
    deadlines: Sorted<u64>,
    forgets: Sorted<()>,
}

/// Which reservations are about a SKU, or about one of the same hash. Most SKUs of a large shop have one, or none.
#[derive(Debug, Clone)]
enum OfSku {
    /// One alone: its sequence, and its fencing token, which is 0 where it is not held.
    One(NonZeroU64, u64),
    /// Any number of them.
    Several(Box<Several>),
}

#[derive(Debug, Clone, Default)]
struct Several {
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
            forgets: ended.map(|(id, record)| ((record.forget_ms, id.sequence), ())).collect(),
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
        if before.items != after.items {
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
            _ => _ = self.forgets.insert((record.forget_ms, id.sequence), ()),
        }
    }

    fn remove_moment(&mut self, id: ReservationId, record: &ReservationRecord) {
        match record.state {
            State::Waiting => {}
            State::Held => _ = self.deadlines.remove(record.moment_key()),
            _ => _ = self.forgets.remove((record.forget_ms, id.sequence)),
        }
    }

    fn insert_items(&mut self, id: ReservationId, record: &ReservationRecord) {
        for ReservedItem { sku, .. } in record.items.iter() {
            let hash = hash(sku.as_str());
            match self.skus.get_mut(hash) {
                Some(of) => of.insert(id.sequence, record.token_of_hold()),
                None => _ = self.skus.insert(hash, OfSku::new(id.sequence, record.token_of_hold())),
            }
        }
    }

    fn remove_items(&mut self, id: ReservationId, record: &ReservationRecord) {
        for ReservedItem { sku, .. } in record.items.iter() {
            let hash = hash(sku.as_str());
            let is_empty =
                self.skus.get_mut(hash).is_some_and(|of| of.remove(id.sequence, record.token_of_hold()));
            if is_empty {
                self.skus.remove(hash);
            }
        }
    }

    /// Follows a change of state alone.
    fn update_holds(&mut self, id: ReservationId, before: &ReservationRecord, after: &ReservationRecord) {
        let (before, token) = (before.token_of_hold(), after.token_of_hold());
        for ReservedItem { sku, .. } in after.items.iter() {
            if let Some(of) = self.skus.get_mut(hash(sku.as_str())) {
                of.set_token(id.sequence, before, token);
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
        self.skus.get(hash(sku.as_str())).and_then(OfSku::last).unwrap_or(0)
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
        self.skus.get(hash(sku.as_str())).into_iter().flat_map(move |of| of.after(first))
    }

    /// Holds that may be on a SKU, due ones included, with their fencing tokens: from the greatest one below a bound
    /// down.
    pub(super) fn holds_of_below(&self, sku: &Sku, below: u64) -> impl Iterator<Item = (u64, u64)> {
        self.skus.get(hash(sku.as_str())).into_iter().flat_map(move |of| of.holds_below(below))
    }

    /// The hold that ends next, and when.
    pub(super) fn next_deadline(&self) -> Option<(u64, u64)> {
        self.deadlines.first().map(|((deadline_ms, _), &sequence)| (deadline_ms, sequence))
    }

    /// The reservation that is forgotten next, and when.
    pub(super) fn next_forget(&self) -> Option<(u64, u64)> {
        self.forgets.first().map(|(key, ())| key)
    }

    /// How many are held, those that are due included.
    pub(super) fn holds(&self) -> usize {
        self.deadlines.len()
    }
}

impl OfSku {
    /// The first one. What no reservation of ours has goes where there is room for it.
    fn new(sequence: u64, token: Option<u64>) -> OfSku {
        match NonZeroU64::new(sequence) {
            Some(sequence) if token != Some(0) => OfSku::One(sequence, token.unwrap_or(0)),
            _ => {
                let mut of = OfSku::Several(Box::default());
                of.insert(sequence, token);
                of
            }
        }
    }

    fn insert(&mut self, sequence: u64, token: Option<u64>) {
        self.change_several(|several| {
            several.all.insert(sequence, ());
            token.map(|token| several.holds.insert(token, sequence));
        });
    }

    /// Takes one out; whether none is left.
    fn remove(&mut self, sequence: u64, token: Option<u64>) -> bool {
        match self {
            OfSku::One(own, _) => own.get() == sequence,
            OfSku::Several(several) => {
                several.all.remove(sequence);
                token.map(|token| several.holds.remove(token));
                several.all.is_empty()
            }
        }
    }

    /// One is held from now on, or no more.
    fn set_token(&mut self, sequence: u64, before: Option<u64>, token: Option<u64>) {
        match self {
            OfSku::One(_, own) if token != Some(0) => *own = token.unwrap_or(0),
            _ => self.change_several(|several| {
                before.map(|before| several.holds.remove(before));
                token.map(|token| several.holds.insert(token, sequence));
            }),
        }
    }

    /// Changes the form that takes any number of them, which it has from then on.
    fn change_several(&mut self, act: impl FnOnce(&mut Several)) {
        let mut several = match std::mem::replace(self, OfSku::One(NonZeroU64::MIN, 0)) {
            OfSku::Several(several) => several,
            OfSku::One(sequence, 0) => {
                Box::new(Several { all: Series::One((sequence.get(), ())), holds: Series::None })
            }
            OfSku::One(sequence, token) => {
                let holds = Series::One((token, sequence.get()));
                Box::new(Several { all: Series::One((sequence.get(), ())), holds })
            }
        };
        act(&mut several);
        *self = OfSku::Several(several);
    }

    /// The sequences from a bound on.
    fn after(&self, first: Bound<u64>) -> impl Iterator<Item = u64> {
        let (one, several) = self.forms();
        let one = one
            .map(|(sequence, _)| sequence)
            .filter(move |sequence| (first, Bound::Unbounded).contains(sequence));
        let several = several.map(|several| several.all.range(first, Bound::Unbounded));
        one.into_iter().chain(several.into_iter().flatten().map(|(sequence, ())| sequence))
    }

    /// Fencing tokens and sequences of those that are held, from the greatest token below a bound down.
    fn holds_below(&self, below: u64) -> impl Iterator<Item = (u64, u64)> {
        let (one, several) = self.forms();
        let one =
            one.filter(|&(_, token)| token > 0 && token < below).map(|(sequence, token)| (token, sequence));
        let several =
            several.map(|several| several.holds.range(Bound::Unbounded, Bound::Excluded(below)).rev());
        one.into_iter().chain(several.into_iter().flatten().map(|(token, &sequence)| (token, sequence)))
    }

    /// Reads the end of what is known.
    fn last(&self) -> Option<u64> {
        match self {
            OfSku::One(sequence, _) => Some(sequence.get()),
            OfSku::Several(several) => several.all.last_listed()?.checked_add(several.holds.last_listed()?),
        }
    }

    fn forms(&self) -> (Option<(u64, u64)>, Option<&Several>) {
        match self {
            OfSku::One(sequence, token) => (Some((sequence.get(), *token)), None),
            OfSku::Several(several) => (None, Some(several)),
        }
    }
}

/// Two are equal if the same reservations are about them, in whichever form.
impl PartialEq for OfSku {
    fn eq(&self, other: &Self) -> bool {
        self.after(Bound::Unbounded).eq(other.after(Bound::Unbounded))
            && self.holds_below(u64::MAX).eq(other.holds_below(u64::MAX))
    }
}

impl Eq for OfSku {}

impl ReservationRecord {
    /// Its fencing token while it is held.
    fn token_of_hold(&self) -> Option<u64> {
        self.is_held().then(|| self.fencing_token())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(of: &OfSku) -> (Vec<u64>, Vec<(u64, u64)>) {
        (of.after(Bound::Unbounded).collect(), of.holds_below(u64::MAX).collect())
    }

    #[test]
    fn what_is_about_a_sku_is_the_same_in_either_form() {
        // Sequences and tokens; 0 is what damaged records may have.
        for [first, second] in
            [[(3, Some(7)), (5, None)], [(5, None), (3, Some(7))], [(0, Some(1)), (9, Some(0))]]
        {
            let mut of = OfSku::new(first.0, first.1);
            let one = all(&of);
            assert_eq!(one.0, [first.0]);
            of.insert(second.0, second.1);
            let mut sequences = [first.0, second.0];
            sequences.sort_unstable();
            assert_eq!(all(&of).0, sequences);
            let (low, high) = (Bound::Excluded(sequences[0]), Bound::Excluded(sequences[1]));
            assert!(of.after(low).eq([sequences[1]]) && of.after(high).next().is_none());
            assert!(!of.remove(second.0, second.1));
            assert_eq!((all(&of), &of), (one, &OfSku::new(first.0, first.1)));
            assert!(of.remove(first.0, first.1), "none is left");
        }
    }

    #[test]
    fn holds_are_found_by_their_tokens() {
        for alone in [true, false] {
            let mut of = OfSku::new(3, None);
            if !alone {
                of.insert(4, Some(8));
            }
            let others: &[(u64, u64)] = if alone { &[] } else { &[(8, 4)] };
            assert_eq!(all(&of).1, others);
            of.set_token(3, None, Some(9));
            assert_eq!(all(&of).1, [&[(9, 3)], others].concat());
            assert!(of.holds_below(9).eq(others.iter().copied()));
            of.set_token(3, Some(9), None);
            assert_eq!(all(&of).1, others);
        }
    }

    /// There is one for each SKU that was ever sold: a million took 95 bytes each with two lists.
    #[test]
    fn what_is_about_a_sku_is_two_words() {
        assert_eq!(size_of::<OfSku>(), 16);
    }
}
