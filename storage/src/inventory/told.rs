//! Events as they are written: whole, and straight from what is kept of them, without a copy of a text or a list.
//!
//! What comes out is, field by field, what an [`Event`] would give: see the test.

use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};
use std::sync::Arc;

use super::event::{Event, ReservationChangeKind};
use super::ids::{ReservationId, Sku};
use super::kept::{Figures, FiguresAt, KeptChange, KeptEvent, KeptReservation};
use super::outcome::{Grant, State};
use super::record::{ReservationRecord, ReservedItem};

/// Events of one chunk, where they lie.
#[derive(Debug, Clone, Copy)]
pub struct EventsRef<'a>(Events<'a>);

#[derive(Debug, Clone, Copy)]
enum Events<'a> {
    Told(&'a [Event]),
    Kept(&'a [KeptEvent]),
}

impl<'a> EventsRef<'a> {
    pub(super) fn kept(events: &'a [KeptEvent]) -> EventsRef<'a> {
        EventsRef(Events::Kept(events))
    }

    /// Copies.
    pub fn to_events(self) -> Vec<Event> {
        match self.0 {
            Events::Told(events) => events.to_vec(),
            Events::Kept(events) => events.iter().map(KeptEvent::event).collect(),
        }
    }
}

impl<'a> From<&'a [Event]> for EventsRef<'a> {
    fn from(events: &'a [Event]) -> EventsRef<'a> {
        EventsRef(Events::Told(events))
    }
}

impl Serialize for EventsRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Events::Told(events) => events.serialize(serializer),
            Events::Kept(events) => events.serialize(serializer),
        }
    }
}

impl Serialize for KeptEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_struct("Event", 4)?;
        event.serialize_field("position", &self.position)?;
        event.serialize_field("now_ms", &self.now_ms)?;
        event.serialize_field("cause", &self.cause)?;
        event.serialize_field("change", &Change { change: &self.change, now_ms: self.now_ms })?;
        event.end()
    }
}

/// An event's change, which has to be told the moment that its views are of.
struct Change<'a> {
    change: &'a KeptChange,
    now_ms: u64,
}

impl Serialize for Change<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.change {
            KeptChange::Reservation(kept) => {
                let told = ToldReservation::of(kept, self.now_ms);
                serializer.serialize_newtype_variant("EventChange", 0, "Reservation", &told)
            }
            KeptChange::Figures(figures) => {
                serializer.serialize_newtype_variant("EventChange", 1, "Stock", &ToldFigures::of(figures))
            }
            KeptChange::Whole(change) => change.serialize(serializer),
        }
    }
}

/// See [`ReservationChange`](super::event::ReservationChange).
#[derive(Serialize)]
struct ToldReservation<'a> {
    kind: ReservationChangeKind,
    before: Option<State>,
    items_before: Option<Items<'a>>,
    after: ToldView<'a>,
}

/// See [`ReservationView`](super::outcome::ReservationView).
#[derive(Serialize)]
struct ToldView<'a> {
    id: ReservationId,
    state: State,
    cart_id: &'a Arc<str>,
    customer_id: &'a Option<Arc<str>>,
    items: Items<'a>,
    returned: Returned<'a>,
    created_ms: u64,
    grant: Option<Grant>,
    position: Option<u64>,
    committed_ms: Option<u64>,
    payment_token: &'a Option<Arc<str>>,
    now_ms: u64,
}

/// See [`Item`](super::ids::Item).
#[derive(Serialize)]
struct ToldItem<'a> {
    sku: &'a Sku,
    qty: u64,
}

/// See [`StockChange`](super::event::StockChange).
#[derive(Serialize)]
struct ToldFigures<'a> {
    before: Option<ToldStock<'a>>,
    after: Option<ToldStock<'a>>,
    reason: Option<&'a str>,
    reference: Option<&'a str>,
}

/// See [`StockView`](super::outcome::StockView).
#[derive(Serialize)]
struct ToldStock<'a> {
    sku: &'a Sku,
    on_hand: u64,
    held: u64,
    sold: u64,
    safety_stock: u64,
    max_per_customer: Option<u64>,
    waiting: u64,
    version: u64,
}

/// The items of a reservation.
struct Items<'a>(&'a [ReservedItem]);

/// Those of them of which units came back, and how many.
struct Returned<'a>(&'a [ReservedItem]);

impl<'a> ToldReservation<'a> {
    fn of(kept: &'a KeptReservation, now_ms: u64) -> ToldReservation<'a> {
        let items_before = kept.items_before.as_deref().map(Items);
        let after = ToldView::of(&kept.record, kept.id, now_ms, kept.position);
        ToldReservation { kind: kept.kind, before: kept.before, items_before, after }
    }
}

impl<'a> ToldView<'a> {
    fn of(
        record: &'a ReservationRecord,
        id: ReservationId,
        now_ms: u64,
        position: Option<u64>,
    ) -> ToldView<'a> {
        let state = record.state_at(now_ms);
        ToldView {
            id,
            state,
            cart_id: &record.cart_id,
            customer_id: &record.customer_id,
            items: Items(&record.items),
            returned: Returned(&record.items),
            created_ms: record.created_ms,
            grant: record.grant,
            position,
            committed_ms: record.committed_ms_in(state),
            payment_token: &record.payment_token,
            now_ms,
        }
    }
}

impl<'a> ToldFigures<'a> {
    fn of(figures: &'a Figures) -> ToldFigures<'a> {
        let at = |figures_at| ToldStock::of(&figures.sku, figures_at);
        let (before, after) = (figures.before.map(at), Some(at(figures.after)));
        ToldFigures { before, after, reason: None, reference: None }
    }
}

impl<'a> ToldStock<'a> {
    fn of(sku: &'a Sku, at: FiguresAt) -> ToldStock<'a> {
        let FiguresAt { on_hand, held, sold, safety_stock, max_per_customer, waiting, version } = at;
        ToldStock { sku, on_hand, held, sold, safety_stock, max_per_customer, waiting, version }
    }
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|item| ToldItem { sku: &item.sku, qty: item.qty }))
    }
}

impl Serialize for Returned<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let returned = || self.0.iter().filter(|item| item.returned > 0);
        let mut list = serializer.serialize_seq(Some(returned().count()))?;
        for item in returned() {
            list.serialize_element(&ToldItem { sku: &item.sku, qty: item.returned })?;
        }
        list.end()
    }
}
