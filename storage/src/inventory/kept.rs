//! An event as it is kept: as little of it as tells all of it.
//!
//! ```text
//!   event    #17.3  held  { id, state, cart, customer, items, grant, ... }     of its own: some 300 bytes, 5 pieces
//!   kept     #17.3  held  id  record ----> the reservation's record as it was then, which most likely it still is
//! ```
//!
//! A record is never changed in place while an event has it: the reservation gets another one. Whoever asks for an
//! event gets it whole.

use std::sync::Arc;

use super::Inventory;
use super::event::{
    Cause, Event, EventChange, EventFilter, EventPosition, ReservationChange, ReservationChangeKind,
    StockChange, StockChangeKind,
};
use super::ids::{ReservationId, Sku};
use super::outcome::{State, StockView};
use super::record::{ReservationRecord, ReservedItem, StockRecord};
use super::reservations::{item_list, same_items};

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct KeptEvent {
    pub(super) position: EventPosition,
    pub(super) now_ms: u64,
    pub(super) cause: Cause,
    pub(super) change: KeptChange,
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) enum KeptChange {
    /// To a reservation.
    Reservation(KeptReservation),
    /// To the figures of a SKU, or a new one.
    Figures(Figures),
    /// As it is told: what is rare.
    Whole(EventChange),
}

/// A change of a reservation.
#[derive(Debug, Clone)]
pub(super) struct KeptReservation {
    pub(super) kind: ReservationChangeKind,
    pub(super) before: Option<State>,
    /// Its items before, where they are others now.
    pub(super) items_before: Option<Arc<[ReservedItem]>>,
    pub(super) id: ReservationId,
    /// Its place in the line.
    pub(super) position: Option<u64>,
    /// How it was then.
    pub(super) record: Arc<ReservationRecord>,
}

/// A change of a SKU's figures, which a new one has not had before.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    pub(super) sku: Sku,
    pub(super) before: Option<FiguresAt>,
    pub(super) after: FiguresAt,
}

/// A SKU's figures as they were at one moment, but for its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FiguresAt {
    pub(super) on_hand: u64,
    pub(super) held: u64,
    pub(super) sold: u64,
    pub(super) safety_stock: u64,
    pub(super) max_per_customer: Option<u64>,
    pub(super) waiting: u64,
    pub(super) version: u64,
}

impl KeptEvent {
    /// The event.
    pub(super) fn event(&self) -> Event {
        let change = match &self.change {
            KeptChange::Reservation(kept) => EventChange::Reservation(Arc::new(kept.change(self.now_ms))),
            KeptChange::Figures(figures) => EventChange::Stock(Arc::new(figures.change())),
            KeptChange::Whole(change) => change.clone(),
        };
        Event { position: self.position, now_ms: self.now_ms, cause: self.cause, change }
    }

    /// Whether a filter wants it.
    pub(super) fn fits(&self, filter: &EventFilter) -> bool {
        let of_kind = filter.kinds.as_ref().is_none_or(|kinds| match &self.change {
            KeptChange::Reservation(KeptReservation { kind, .. }) => kinds.reservations.contains(kind),
            KeptChange::Whole(EventChange::Reservation(change)) => kinds.reservations.contains(&change.kind),
            KeptChange::Figures(figures) => kinds.stock.contains(&figures.kind()),
            KeptChange::Whole(EventChange::Stock(change)) => kinds.stock.contains(&change.kind()),
        });
        of_kind && filter.sku.as_ref().is_none_or(|sku| self.names(sku))
    }

    fn names(&self, sku: &Sku) -> bool {
        match &self.change {
            KeptChange::Reservation(kept) => {
                let before = kept.items_before.iter().flat_map(|items| items.iter());
                before.chain(kept.record.items.iter()).any(|item| item.sku == *sku)
            }
            KeptChange::Figures(figures) => figures.sku == *sku,
            KeptChange::Whole(change) => change.names(sku),
        }
    }
}

impl KeptReservation {
    fn change(&self, now_ms: u64) -> ReservationChange {
        ReservationChange {
            kind: self.kind,
            before: self.before,
            items_before: self.items_before.as_deref().map(item_list),
            after: self.record.view(self.id, now_ms, self.position),
        }
    }
}

impl Figures {
    /// The change, as it is told.
    pub(super) fn change(&self) -> StockChange {
        let before = self.before.map(|before| before.view(&self.sku));
        StockChange { before, after: Some(self.after.view(&self.sku)), ..StockChange::default() }
    }

    fn kind(&self) -> StockChangeKind {
        if self.before.is_none() { StockChangeKind::Created } else { StockChangeKind::Changed }
    }
}

impl FiguresAt {
    /// Those of a record, with so many waiting.
    pub(super) fn of(record: &StockRecord, waiting: u64) -> FiguresAt {
        FiguresAt {
            on_hand: record.on_hand,
            held: record.held,
            sold: record.sold,
            safety_stock: record.safety_stock,
            max_per_customer: record.max_per_customer,
            waiting,
            version: record.version,
        }
    }

    /// Those that a view tells.
    pub(super) fn of_view(view: &StockView) -> FiguresAt {
        FiguresAt {
            on_hand: view.on_hand,
            held: view.held,
            sold: view.sold,
            safety_stock: view.safety_stock,
            max_per_customer: view.max_per_customer,
            waiting: view.waiting,
            version: view.version,
        }
    }

    /// The figures of a SKU, for an answer.
    pub(super) fn view(&self, sku: &Sku) -> StockView {
        StockView {
            sku: sku.clone(),
            on_hand: self.on_hand,
            held: self.held,
            sold: self.sold,
            safety_stock: self.safety_stock,
            max_per_customer: self.max_per_customer,
            waiting: self.waiting,
            version: self.version,
        }
    }
}

impl Inventory {
    /// A loaded event as it is kept, by the records that there are.
    pub(super) fn keep_loaded(&self, event: Event) -> KeptEvent {
        let Event { position, now_ms, cause, change } = event;
        let kept = match &change {
            EventChange::Reservation(change) => self.keep_reservation(change, now_ms),
            EventChange::Stock(change) => self.keep_figures(change),
        };
        KeptEvent { position, now_ms, cause, change: kept.unwrap_or(KeptChange::Whole(change)) }
    }

    /// By the reservation's record, where that says the same to this day.
    fn keep_reservation(&self, change: &ReservationChange, now_ms: u64) -> Option<KeptChange> {
        let ReservationChange { kind, before, items_before, after } = change;
        let record = self.reservations.shared(after.id).filter(|_| items_before.is_none())?;
        let (id, position) = (after.id, after.position);
        let same = now_ms == after.now_ms && record.has_view(after);
        let (kind, before, record) = (*kind, *before, Arc::clone(record));
        let kept = KeptReservation { kind, before, items_before: None, id, position, record };
        same.then_some(KeptChange::Reservation(kept))
    }

    fn keep_figures(&self, change: &StockChange) -> Option<KeptChange> {
        let StockChange { before, after: Some(after), reason: None, reference: None } = change else {
            return None;
        };
        let sku = self.stocks.get(&after.sku).map_or(&after.sku, |stock| stock.sku()).clone();
        let of_one_sku = before.as_ref().is_none_or(|before| before.sku == after.sku);
        let before = before.as_ref().map(FiguresAt::of_view);
        let figures = Figures { sku, before, after: FiguresAt::of_view(after) };
        of_one_sku.then_some(KeptChange::Figures(figures))
    }
}

impl ReservationRecord {
    /// Its items before, where a change made others of them.
    pub(super) fn items_before(&self, before: &ReservationRecord) -> Option<Arc<[ReservedItem]>> {
        let same = Arc::ptr_eq(&self.items, &before.items) || same_items(&self.items, &before.items);
        (!same).then(|| Arc::clone(&before.items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event of a new SKU had its view beside it: 240 bytes for each of a million that were put.
    #[test]
    fn an_event_that_tells_figures_is_all_in_one_place() {
        assert_eq!(size_of::<Option<FiguresAt>>(), size_of::<FiguresAt>());
        assert_eq!(size_of::<KeptChange>(), size_of::<Figures>());
    }
}
