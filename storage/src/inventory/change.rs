//! The two ways in which stock and reservations change. Each of them tells the feed.
//!
//! ```text
//!   commands, time, the line --> move_units --> change_stock        --> Stocks
//!                            |              \-------------------------> Customers
//!                            \----------------> change_reservation  --> Reservations
//! ```

use std::sync::Arc;

use super::Inventory;
use super::command::Stamp;
use super::event::{Cause, EventChange, ReservationChangeKind, StockChange};
use super::ids::{ReservationId, Sku};
use super::items::ReservedItems;
use super::kept::{KeptChange, KeptReservation};
use super::outcome::{ReservationView, State};
use super::record::{ReservationRecord, ReservedItem};
use super::stock::{Move, Stock};
use crate::planted;

impl Inventory {
    /// Changes the SKU of a live hold, or one that this command has looked up.
    pub(super) fn change_stock(&mut self, sku: &Sku, act: impl FnOnce(&mut Stock)) {
        if let Some(figures) = self.stocks.change(sku, act) {
            self.tell(KeptChange::Figures(figures.into()));
        }
    }

    /// Adds the event of a change of a SKU that is more than figures.
    pub(super) fn tell_stock(&mut self, change: StockChange) {
        self.tell(KeptChange::Whole(EventChange::Stock(Arc::new(change))));
    }

    /// Does something for another cause than that of the command under way.
    pub(super) fn caused_by<T>(&mut self, cause: Cause, act: impl FnOnce(&mut Inventory) -> T) -> T {
        let before = std::mem::replace(&mut self.cause, cause);
        let done = act(self);
        self.cause = before;
        done
    }

    /// Changes a reservation that an index names, or that this command has looked up.
    pub(super) fn change_reservation(
        &mut self,
        id: ReservationId,
        kind: ReservationChangeKind,
        act: impl FnOnce(&mut ReservationRecord),
    ) {
        let (before, record) = self.reservations.change(id, act);
        if planted!("event-lost-at-revoke") && kind == ReservationChangeKind::Revoked {
            return;
        }
        self.ends.note(kind, &record, self.counters.now_ms);
        let items_before = record.items_before(&before);
        let (before, position) = (Some(before.state), self.position(id, &record));
        let kept = KeptReservation { kind, before, items_before, id, position, record };
        self.tell(KeptChange::Reservation(kept));
    }

    /// Adds a new reservation.
    pub(super) fn insert_reservation(
        &mut self,
        id: ReservationId,
        record: ReservationRecord,
    ) -> ReservationView {
        let kind = match record.state {
            State::Waiting => ReservationChangeKind::Waiting,
            _ => ReservationChangeKind::Held,
        };
        let record = Arc::new(record);
        let position = self.position(id, &record);
        let view = record.view(id, self.now_ms(), position);
        self.reservations.insert(id, Arc::clone(&record));
        let kept = KeptReservation { kind, before: None, items_before: None, id, position, record };
        self.tell(KeptChange::Reservation(kept));
        view
    }

    /// Moves units of the SKU of a live hold, or of one that this command has looked up.
    pub(super) fn move_units(&mut self, sku: &Sku, customer_id: Option<&Arc<str>>, what: Move) {
        self.move_units_of(sku, customer_id, what, |stock| stock.apply(what));
    }

    /// The same, where more than the units changes.
    pub(super) fn move_units_of(
        &mut self,
        sku: &Sku,
        customer_id: Option<&Arc<str>>,
        what: Move,
        act: impl FnOnce(&mut Stock),
    ) {
        if let Some(customer) = customer_id {
            self.customers.apply(sku, customer, what);
        }
        self.change_stock(sku, act);
    }

    /// Moves units of each item of a reservation; `None`: that item is left alone.
    pub(super) fn move_items(&mut self, id: ReservationId, how: impl Fn(&ReservedItem) -> Option<Move>) {
        let customer_id = self.reservations.row(id).customer_id.clone();
        for item in self.items_of(id).iter() {
            if let Some(what) = how(item) {
                self.move_units(&item.sku, customer_id.as_ref(), what);
            }
        }
    }

    /// Gives all units of a live hold back to sale.
    pub(super) fn unhold_all(&mut self, id: ReservationId) {
        let deadline_ms = self.reservations.row(id).deadline_ms();
        self.move_items(id, |item| Some(Move::Unhold { qty: item.qty, deadline_ms }));
    }

    /// Ends a reservation, released or revoked.
    pub(super) fn end(&mut self, stamp: &Stamp, id: ReservationId, state: State) {
        let now_ms = self.now_ms();
        let kind = match state {
            State::Revoked => ReservationChangeKind::Revoked,
            _ => ReservationChangeKind::Released,
        };
        self.change_reservation(id, kind, |record| record.end(stamp, now_ms, state));
    }

    /// Gives back what is due of a SKU. A name that is no SKU's is left alone.
    pub(super) fn settle(&mut self, sku: &Sku) {
        let now_ms = self.now_ms();
        if self.stocks.get(sku).is_some_and(|stock| stock.lapses().is_due(now_ms)) {
            self.caused_by(Cause::Time, |all| all.change_stock(sku, |stock| stock.settle(now_ms)));
        }
    }

    /// Gives back what is due of the SKUs of a reservation.
    pub(super) fn settle_items_of(&mut self, id: ReservationId) {
        if self.reservations.stored(id).is_some() {
            self.items_of(id).iter().for_each(|item| self.settle(&item.sku));
        }
    }

    /// A reservation that an index names, or that this command has looked up, for an answer.
    pub(super) fn view(&self, id: ReservationId) -> ReservationView {
        self.view_of(id, self.reservations.row(id))
    }

    /// A reservation as it is now.
    pub(super) fn view_of(&self, id: ReservationId, record: &ReservationRecord) -> ReservationView {
        record.view(id, self.now_ms(), self.position(id, record))
    }

    /// Its place in the line, if it waits.
    fn position(&self, id: ReservationId, record: &ReservationRecord) -> Option<u64> {
        let waits = |item: &ReservedItem| self.stocks.get(&item.sku)?.line().position(id);
        match record.state {
            State::Waiting => record.items.first().and_then(waits),
            _ => None,
        }
    }

    /// The items of a reservation that an index names, or that this command has looked up.
    pub(super) fn items_of(&self, id: ReservationId) -> ReservedItems {
        self.reservations.row(id).items.clone()
    }
}

impl ReservationRecord {
    /// Ends it at a moment; it is forgotten when its retention is over.
    pub(super) fn end(&mut self, stamp: &Stamp, now_ms: u64, state: State) {
        self.state = state;
        self.ended_ms = Some(Box::new(now_ms));
        self.forget_ms = now_ms.saturating_add(stamp.retention_ms);
    }
}
