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
use super::items::ReservedItems;
use super::outcome::{State, StockView};
use super::record::{ReservationRecord, StockRecord};
use super::reservations::{item_list, same_items};

/// See the module's documentation. 96 bytes.
#[derive(Debug, Clone)]
pub(super) struct KeptEvent {
    /// The two halves of its position, where they leave no gap.
    sequence: u64,
    index: u32,
    pub(super) cause: Cause,
    pub(super) now_ms: u64,
    pub(super) change: KeptChange,
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) enum KeptChange {
    /// To a reservation.
    Reservation(KeptReservation),
    /// To the figures of a SKU, or a new one.
    Figures(KeptFigures),
    /// As it is told: what is rare.
    Whole(EventChange),
}

/// A change of a reservation.
#[derive(Debug, Clone)]
pub(super) struct KeptReservation {
    pub(super) kind: ReservationChangeKind,
    pub(super) before: Option<State>,
    /// Its items before, where they are others now.
    pub(super) items_before: Option<Box<ReservedItems>>,
    pub(super) id: ReservationId,
    /// Its place in the line.
    pub(super) position: Option<u64>,
    /// How it was then.
    pub(super) record: Arc<ReservationRecord>,
}

/// A change of a SKU's figures, as it is kept: 72 bytes, where its figures are 144.
#[derive(Debug, Clone)]
pub(super) struct KeptFigures {
    pub(super) sku: Sku,
    both: Both,
}

/// Figures before and after a change.
#[derive(Debug, Clone)]
enum Both {
    /// Of a new SKU, and its limit.
    Created(ShortFigures, Option<u32>),
    /// Of one that keeps its limit.
    Changed(ShortFigures, ShortFigures, Option<u32>),
    /// As they are: of a SKU whose limit changed, or with numbers that are too long.
    Whole(Box<(Option<FiguresAt>, FiguresAt)>),
}

/// [`FiguresAt`] of a SKU that counts no billions, but for its limit.
#[derive(Debug, Clone, Copy)]
struct ShortFigures {
    on_hand: u32,
    held: u32,
    sold: u32,
    safety_stock: u32,
    waiting: u32,
    version: u32,
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
    /// An event at its place in the feed.
    pub(super) fn new(position: EventPosition, now_ms: u64, cause: Cause, change: KeptChange) -> KeptEvent {
        let EventPosition { sequence, index } = position;
        KeptEvent { sequence, index, cause, now_ms, change }
    }

    /// Its place in the feed.
    pub(super) fn position(&self) -> EventPosition {
        EventPosition { sequence: self.sequence, index: self.index }
    }

    /// The event.
    pub(super) fn event(&self) -> Event {
        let change = match &self.change {
            KeptChange::Reservation(kept) => EventChange::Reservation(Arc::new(kept.change(self.now_ms))),
            KeptChange::Figures(kept) => EventChange::Stock(Arc::new(kept.figures().change())),
            KeptChange::Whole(change) => change.clone(),
        };
        Event { position: self.position(), now_ms: self.now_ms, cause: self.cause, change }
    }

    /// Whether a filter wants it.
    pub(super) fn fits(&self, filter: &EventFilter) -> bool {
        let of_kind = filter.kinds.as_ref().is_none_or(|kinds| match &self.change {
            KeptChange::Reservation(KeptReservation { kind, .. }) => kinds.reservations.contains(kind),
            KeptChange::Whole(EventChange::Reservation(change)) => kinds.reservations.contains(&change.kind),
            KeptChange::Figures(kept) => kinds.stock.contains(&kept.kind()),
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
            KeptChange::Figures(kept) => kept.sku == *sku,
            KeptChange::Whole(change) => change.names(sku),
        }
    }
}

impl KeptReservation {
    fn change(&self, now_ms: u64) -> ReservationChange {
        ReservationChange {
            kind: self.kind,
            before: self.before,
            items_before: self.items_before.as_ref().map(|items| item_list(items)),
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
}

impl KeptFigures {
    /// All of them.
    pub(super) fn figures(&self) -> Figures {
        Figures { sku: self.sku.clone(), before: self.before(), after: self.after() }
    }

    /// Those before.
    pub(super) fn before(&self) -> Option<FiguresAt> {
        match &self.both {
            Both::Created(..) => None,
            Both::Changed(before, _, limit) => Some(before.whole(*limit)),
            Both::Whole(both) => both.0,
        }
    }

    /// Those after.
    pub(super) fn after(&self) -> FiguresAt {
        match &self.both {
            Both::Created(after, limit) | Both::Changed(_, after, limit) => after.whole(*limit),
            Both::Whole(both) => both.1,
        }
    }

    fn kind(&self) -> StockChangeKind {
        if self.before().is_none() { StockChangeKind::Created } else { StockChangeKind::Changed }
    }
}

impl From<Figures> for KeptFigures {
    fn from(figures: Figures) -> KeptFigures {
        let Figures { sku, before, after } = figures;
        let both =
            Both::short(before.as_ref(), &after).unwrap_or_else(|| Both::Whole(Box::new((before, after))));
        KeptFigures { sku, both }
    }
}

impl Both {
    /// `None` where they do not fit.
    fn short(before: Option<&FiguresAt>, after: &FiguresAt) -> Option<Both> {
        let limit = after.max_per_customer.map(u32::try_from).transpose().ok()?;
        let short = ShortFigures::of(after)?;
        match before {
            None => Some(Both::Created(short, limit)),
            Some(before) if before.max_per_customer == after.max_per_customer => {
                Some(Both::Changed(ShortFigures::of(before)?, short, limit))
            }
            Some(_) => None,
        }
    }
}

impl ShortFigures {
    fn of(at: &FiguresAt) -> Option<ShortFigures> {
        let short = |number: u64| u32::try_from(number).ok();
        Some(ShortFigures {
            on_hand: short(at.on_hand)?,
            held: short(at.held)?,
            sold: short(at.sold)?,
            safety_stock: short(at.safety_stock)?,
            waiting: short(at.waiting)?,
            version: short(at.version)?,
        })
    }

    fn whole(&self, limit: Option<u32>) -> FiguresAt {
        FiguresAt {
            on_hand: self.on_hand.into(),
            held: self.held.into(),
            sold: self.sold.into(),
            safety_stock: self.safety_stock.into(),
            max_per_customer: limit.map(u64::from),
            waiting: self.waiting.into(),
            version: self.version.into(),
        }
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
        KeptEvent::new(position, now_ms, cause, kept.unwrap_or(KeptChange::Whole(change)))
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
        of_one_sku.then(|| KeptChange::Figures(figures.into()))
    }
}

impl ReservationRecord {
    /// Its items before, where a change made others of them.
    pub(super) fn items_before(&self, before: &ReservationRecord) -> Option<Box<ReservedItems>> {
        let same = self.items == before.items || same_items(&self.items, &before.items);
        (!same).then(|| Box::new(before.items.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(number: u64, limit: Option<u64>) -> FiguresAt {
        FiguresAt {
            on_hand: number,
            held: number / 2,
            sold: number / 3,
            safety_stock: number / 5,
            max_per_customer: limit,
            waiting: number / 7,
            version: number / 11,
        }
    }

    /// The event of a new SKU had its view beside it, 240 bytes for each of a million that were put; with its figures
    /// as they are each event was 176.
    #[test]
    fn an_event_that_tells_figures_is_all_in_one_place() {
        assert_eq!((size_of::<KeptFigures>(), size_of::<KeptChange>()), (72, 72));
        assert_eq!(size_of::<KeptEvent>(), 96);
    }

    #[test]
    fn figures_come_back_as_they_were_however_long_they_are() {
        let several = [0, 1, 1_000, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX];
        let limits = [None, Some(0), Some(5), Some(u64::from(u32::MAX) + 1)];
        let all = || several.iter().flat_map(|&number| limits.map(|limit| figures(number, limit)));
        for after in all() {
            for before in all().map(Some).chain([None]) {
                let sku = Sku::new("PS5").unwrap();
                let kept = KeptFigures::from(Figures { sku: sku.clone(), before, after });
                assert_eq!((kept.before(), kept.after(), &kept.sku), (before, after, &sku));
                let made = if before.is_none() { StockChangeKind::Created } else { StockChangeKind::Changed };
                assert_eq!(kept.kind(), made);
            }
        }
        let short = KeptFigures::from(Figures {
            sku: Sku::new("PS5").unwrap(),
            before: Some(figures(1_000, Some(2))),
            after: figures(999, Some(2)),
        });
        assert!(matches!(short.both, Both::Changed(..)));
    }
}
