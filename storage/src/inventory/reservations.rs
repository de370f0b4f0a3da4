//! All reservations.
//!
//! Every change of one goes through [`Reservations::change`], which keeps the indexes, the digest and the list of
//! changes.

use std::sync::Arc;

use super::by_sequence::BySequence;
use super::digest;
use super::holders::{Has, Holders};
use super::ids::{Item, ReservationId, Sku};
use super::indexes::Indexes;
use super::outcome::{ReservationView, State};
use super::portion::some_of;
use super::record::{ReservationRecord, ReservedItem};
use crate::planted;

/// All reservations.
#[derive(Debug, Clone, Default)]
pub(super) struct Reservations {
    rows: BySequence<Row>,
    indexes: Indexes,
    /// What customers have at a time: counted from when the first command, or whoever opens, asks for it.
    holders: Option<Holders>,
    /// The sum of the hashes of all rows.
    digest: u64,
    /// The ids whose record changed since the changes were taken, each once.
    changed: Vec<ReservationId>,
}

#[derive(Debug, Clone)]
struct Row {
    /// The other half of its id.
    nonce: u64,
    /// Shared with the events that tell it.
    record: Arc<ReservationRecord>,
    /// What the record adds to the digest.
    hash: u64,
    /// Whether the reservation stands in the list of changes.
    changed: bool,
}

impl Reservations {
    /// A reservation that is not to be forgotten yet.
    pub(super) fn find(&self, id: ReservationId, now_ms: u64) -> Option<&ReservationRecord> {
        self.stored(id).filter(|record| record.forget_ms > now_ms)
    }

    /// A reservation, be it to be forgotten or not.
    pub(super) fn stored(&self, id: ReservationId) -> Option<&ReservationRecord> {
        self.shared(id).map(|record| &**record)
    }

    /// The same, to be shared.
    pub(super) fn shared(&self, id: ReservationId) -> Option<&Arc<ReservationRecord>> {
        self.rows.get(id.sequence).filter(|row| row.nonce == id.nonce).map(|row| &row.record)
    }

    /// A reservation that an index names, or that this command has looked up.
    #[expect(
        clippy::expect_used,
        reason = "the id comes from an index or from a look-up in the same command"
    )]
    pub(super) fn row(&self, id: ReservationId) -> &ReservationRecord {
        self.stored(id).expect("the reservation is there")
    }

    /// The cart's newest reservation: the only one of its that may be live, since a cart gets no other one before
    /// that has ended.
    pub(super) fn newest_of_cart(&self, cart_id: &str) -> Option<ReservationId> {
        let mut newest_first = self.indexes.of_cart_backwards(cart_id).map(|sequence| self.id(sequence));
        newest_first.find(|&id| *self.row(id).cart_id == *cart_id)
    }

    /// Reservations that may be of a cart, in order of their making, after `after`.
    pub(super) fn of_cart(
        &self,
        cart_id: &str,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = ReservationId> + use<'_> {
        self.indexes.of_cart(cart_id, after).map(|sequence| self.id(sequence))
    }

    /// Reservations that may be of a customer, likewise.
    pub(super) fn of_customer(
        &self,
        customer_id: &str,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = ReservationId> + use<'_> {
        self.indexes.of_customer(customer_id, after).map(|sequence| self.id(sequence))
    }

    /// Reservations that may name a SKU, likewise.
    pub(super) fn of_sku(
        &self,
        sku: &Sku,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = ReservationId> + use<'_> {
        self.indexes.of_sku(sku, after).map(|sequence| self.id(sequence))
    }

    /// Holds that may be on a SKU, due ones included, with their fencing tokens: from the greatest one below a bound
    /// down.
    pub(super) fn holds_of_below(&self, sku: &Sku, below: u64) -> impl Iterator<Item = (u64, ReservationId)> {
        self.indexes.holds_of_below(sku, below).map(|(token, sequence)| (token, self.id(sequence)))
    }

    /// The hold that ends next, and when.
    pub(super) fn next_deadline(&self) -> Option<(u64, ReservationId)> {
        self.indexes.next_deadline().map(|(deadline_ms, sequence)| (deadline_ms, self.id(sequence)))
    }

    /// The reservation that is forgotten next, and when.
    pub(super) fn next_forget(&self) -> Option<(u64, ReservationId)> {
        self.indexes.next_forget().map(|(forget_ms, sequence)| (forget_ms, self.id(sequence)))
    }

    /// The id of a reservation that an index names.
    #[expect(clippy::expect_used, reason = "the sequence comes from an index")]
    fn id(&self, sequence: u64) -> ReservationId {
        let row = self.rows.get(sequence).expect("the reservation is there");
        ReservationId { sequence, nonce: row.nonce }
    }

    /// What stands in which order by cart, deadline, retention and so on.
    pub(super) fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    /// Counts what customers have at a time, unless it is counted already; from then on it is kept up to date.
    pub(super) fn count_holders(&mut self) {
        if self.holders.is_none() {
            self.holders = Some(Holders::of(self.iter().map(|(_, record)| record)));
        }
    }

    /// What a customer has at a moment: at once where it is counted, by a walk where it is not.
    pub(super) fn has(&self, customer: &str, now_ms: u64) -> Has {
        match &self.holders {
            Some(holders) => holders.has(customer, now_ms),
            None => Holders::of(self.iter().map(|(_, record)| record)).has(customer, now_ms),
        }
    }

    /// Whether it is counted what customers have.
    #[cfg(test)]
    pub(super) fn counts_holders(&self) -> bool {
        self.holders.is_some()
    }

    /// Whether what is counted of customers is what the reservations say.
    pub(super) fn holders_hold(&self) -> bool {
        let counted = |holders: &Holders| *holders == Holders::of(self.iter().map(|(_, record)| record));
        self.holders.as_ref().is_none_or(counted)
    }

    /// Adds a new reservation.
    pub(super) fn insert(&mut self, id: ReservationId, record: Arc<ReservationRecord>) {
        self.indexes.insert(id, &record);
        if let Some(holders) = &mut self.holders {
            holders.enter(&record);
        }
        self.changed.push(id);
        self.add(id, record, true);
    }

    /// Changes a reservation that an index names, or that this command has looked up. Its cart and customer stay. What
    /// it was and is.
    #[expect(
        clippy::expect_used,
        reason = "the id comes from an index or from a look-up in the same command"
    )]
    pub(super) fn change(
        &mut self,
        id: ReservationId,
        act: impl FnOnce(&mut ReservationRecord),
    ) -> (Arc<ReservationRecord>, Arc<ReservationRecord>) {
        let Reservations { rows, indexes, holders, digest: sum, changed } = self;
        let row = rows.get_mut(id.sequence).expect("the reservation is there");
        let mut after = ReservationRecord::clone(&row.record);
        act(&mut after);
        let before = std::mem::replace(&mut row.record, Arc::new(after));
        indexes.update(id, &before, &row.record);
        if let Some(holders) = holders {
            holders.follow(&before, &row.record);
        }
        let unchanged = planted!("digest-misses-a-change") && before.state == row.record.state;
        let hash = if unchanged { row.hash } else { digest::reservation(id, &row.record) };
        *sum = sum.wrapping_sub(row.hash).wrapping_add(hash);
        row.hash = hash;
        if !std::mem::replace(&mut row.changed, true) {
            changed.push(id);
        }
        (before, Arc::clone(&row.record))
    }

    /// Takes a reservation out.
    pub(super) fn remove(&mut self, id: ReservationId) {
        let Some(row) = self.rows.remove(id.sequence) else {
            return;
        };
        self.indexes.remove(id, &row.record);
        if let Some(holders) = &mut self.holders {
            holders.leave(&row.record);
        }
        self.digest = self.digest.wrapping_sub(row.hash);
        if !row.changed {
            self.changed.push(id);
        }
    }

    /// Adds a reservation from a record, to no index yet; false where it is there already.
    pub(super) fn load(&mut self, id: ReservationId, record: ReservationRecord) -> bool {
        self.add(id, Arc::new(record), false)
    }

    /// A record that was loaded, to be completed.
    pub(super) fn loaded(&mut self, id: ReservationId) -> Option<&mut ReservationRecord> {
        self.rows.get_mut(id.sequence).map(|row| Arc::make_mut(&mut row.record))
    }

    /// Builds the indexes once all records are loaded.
    pub(super) fn load_indexes(&mut self) {
        self.indexes = Indexes::build(self.iter());
    }

    /// The ids after `after`, in order.
    pub(super) fn following(
        &self,
        after: Option<ReservationId>,
    ) -> impl Iterator<Item = ReservationId> + use<'_> {
        self.rows.after(after.map(|id| id.sequence)).map(|(sequence, row)| row.id(sequence))
    }

    /// Every reservation, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ReservationId, &ReservationRecord)> + Clone {
        self.rows.iter().map(|(sequence, row)| (row.id(sequence), &*row.record))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The sum of the hashes of all rows.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// How many rows changed.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Shows the reservations that changed since they were shown last, each once: as many as are left to be shown.
    pub(super) fn take_changed(
        &mut self,
        left: &mut usize,
        mut take: impl FnMut(ReservationId, Option<&ReservationRecord>),
    ) {
        let Reservations { rows, changed, .. } = self;
        for id in some_of(changed, left) {
            let row = rows.get_mut(id.sequence).filter(|row| row.nonce == id.nonce);
            let record = row.map(|row| {
                row.changed = false;
                &row.record
            });
            take(id, record.map(|record| &**record));
        }
    }

    fn add(&mut self, id: ReservationId, record: Arc<ReservationRecord>, changed: bool) -> bool {
        let hash = digest::reservation(id, &record);
        self.digest = self.digest.wrapping_add(hash);
        let row = Row { nonce: id.nonce, record, hash, changed };
        self.rows.insert(id.sequence, row).is_none()
    }
}

impl Row {
    fn id(&self, sequence: u64) -> ReservationId {
        ReservationId { sequence, nonce: self.nonce }
    }
}

impl ReservationRecord {
    /// Its state at a moment: a hold whose deadline has come is over, be it swept or not.
    pub(super) fn state_at(&self, now_ms: u64) -> State {
        if self.is_due(now_ms) { State::Expired } else { self.state }
    }

    /// Whether it is a hold whose deadline has come.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let early_ms = if planted!("hold-ends-too-early") { 1 } else { 0 };
        self.state == State::Held && self.deadline_ms() <= now_ms + early_ms
    }

    /// Whether it waits, or holds units that are not due.
    pub(super) fn is_live_at(&self, now_ms: u64) -> bool {
        matches!(self.state_at(now_ms), State::Waiting | State::Held)
    }

    fn returned_list(&self) -> Vec<Item> {
        let returned = self.items.iter().filter(|item| item.returned > 0);
        returned.map(|item| Item { sku: item.sku.clone(), qty: item.returned }).collect()
    }

    /// When its hold ends by itself; the end of time where it has none.
    pub(super) fn deadline_ms(&self) -> u64 {
        self.grant.map_or(u64::MAX, |grant| grant.deadline_ms)
    }

    /// The fencing token of its hold; 0, which no hold has, where it has none.
    pub(super) fn fencing_token(&self) -> u64 {
        self.grant.map_or(0, |grant| grant.fencing_token)
    }

    /// The record at a moment, for an answer, with its place in the line.
    pub(super) fn view(&self, id: ReservationId, now_ms: u64, position: Option<u64>) -> ReservationView {
        let state = self.state_at(now_ms);
        ReservationView {
            id,
            state,
            cart_id: self.cart_id.clone(),
            customer_id: self.customer_id.clone(),
            items: item_list(&self.items),
            returned: self.returned_list(),
            created_ms: self.created_ms,
            grant: self.grant,
            position,
            committed_ms: self.committed_ms_in(state),
            payment_token: self.payment_token.as_deref().cloned(),
            now_ms,
        }
    }

    /// Whether its view at that moment is this one.
    pub(super) fn has_view(&self, view: &ReservationView) -> bool {
        let state = self.state_at(view.now_ms);
        let same = |item: &ReservedItem, told: &Item| item.sku == told.sku && item.qty == told.qty;
        let items = self.items.len() == view.items.len()
            && self.items.iter().zip(&view.items).all(|(item, told)| same(item, told));
        items
            && self.returned_list() == view.returned
            && (state, self.created_ms, self.grant) == (view.state, view.created_ms, view.grant)
            && (&self.cart_id, &self.customer_id) == (&view.cart_id, &view.customer_id)
            && self.committed_ms_in(state) == view.committed_ms
            && self.payment_token.as_deref() == view.payment_token.as_ref()
    }

    /// When it was committed, if that is its state.
    pub(super) fn committed_ms_in(&self, state: State) -> Option<u64> {
        self.ended_ms.as_deref().copied().filter(|_| state == State::Committed)
    }
}

/// What is waited for, held or sold.
pub(super) fn item_list(items: &[ReservedItem]) -> Vec<Item> {
    items.iter().map(|item| Item { sku: item.sku.clone(), qty: item.qty }).collect()
}

/// Whether the same units of the same SKUs are waited for, held or sold.
pub(super) fn same_items(items: &[ReservedItem], others: &[ReservedItem]) -> bool {
    let same = |(a, b): (&ReservedItem, &ReservedItem)| a.sku == b.sku && a.qty == b.qty;
    items.len() == others.len() && items.iter().zip(others).all(same)
}
