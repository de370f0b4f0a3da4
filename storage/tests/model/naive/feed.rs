//! The events, as a list from which whole chunks go at the front.

use std::sync::Arc;

use storage::inventory::FEED_DROP_MAX;
use storage::inventory::command::Stamp;
use storage::inventory::event::{
    Cause, Event, EventChange, EventFilter, EventPosition, ReservationChange, ReservationChangeKind,
    StockChange, StockChangeKind,
};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::State;
use storage::inventory::record::CHUNK_EVENTS;

use super::{Naive, units};

impl Naive {
    /// The events that are kept.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The newest event that is not kept any more.
    pub(crate) fn last_dropped(&self) -> Option<EventPosition> {
        self.last_dropped
    }

    pub(crate) fn last_event(&self) -> Option<EventPosition> {
        self.events.last().map(|event| event.position).or(self.last_dropped)
    }

    pub(super) fn tell(
        &mut self,
        id: ReservationId,
        kind: ReservationChangeKind,
        before: Option<State>,
        cause: Cause,
    ) {
        self.tell_items(id, kind, before, cause, None);
    }

    /// The same, where the items changed as well.
    pub(super) fn tell_items(
        &mut self,
        id: ReservationId,
        kind: ReservationChangeKind,
        before: Option<State>,
        cause: Cause,
        items_before: Option<Vec<Item>>,
    ) {
        let after = self.view(self.one(id));
        let items_before = items_before.filter(|items| *items != after.items);
        let change = ReservationChange { kind, before, items_before, after };
        self.push(cause, EventChange::Reservation(Arc::new(change)));
    }

    pub(super) fn tell_stock(&mut self, change: StockChange, cause: Cause) {
        self.push(cause, EventChange::Stock(Arc::new(change)));
    }

    /// Whole chunks go, oldest first, while all of one is too old or there are enough events without it; so many
    /// for each command, and never the last one.
    pub(super) fn drop_events(&mut self, stamp: &Stamp) {
        for _ in 0..FEED_DROP_MAX {
            let (chunk, newest_ms) = self.first_chunk();
            if chunk >= self.events.len() {
                break;
            }
            let old = newest_ms + stamp.events_ms <= self.now_ms;
            let spare = (self.events.len() - chunk) as u64 >= stamp.events_max;
            if !old && !spare {
                break;
            }
            self.last_dropped = self.events.drain(..chunk).next_back().map(|event| event.position);
            self.dropped += chunk as u64;
        }
    }

    /// How many events of the oldest chunk are kept, and when the newest of them happened.
    fn first_chunk(&self) -> (usize, u64) {
        let full = (CHUNK_EVENTS - self.dropped % CHUNK_EVENTS) as usize;
        let chunk = full.min(self.events.len());
        (chunk, chunk.checked_sub(1).map_or(0, |newest| self.events[newest].now_ms))
    }

    fn push(&mut self, cause: Cause, change: EventChange) {
        let index = match self.events.last() {
            Some(last) if last.position.sequence == self.sequence => last.position.index + 1,
            _ => 0,
        };
        let position = EventPosition { sequence: self.sequence, index };
        self.events.push(Event { position, now_ms: self.now_ms, cause, change });
    }
}

/// Whether a reader who asks for this gets that.
pub(crate) fn is_wanted(filter: &EventFilter, event: &Event) -> bool {
    let (on_sku, of_kind) = match &event.change {
        EventChange::Reservation(change) => {
            let before = change.items_before.as_deref().unwrap_or_default();
            let on_sku = |sku: &Sku| units(&change.after.items, sku) + units(before, sku) > 0;
            let of_kind = filter.kinds.as_ref().is_none_or(|kinds| kinds.reservations.contains(&change.kind));
            (filter.sku.as_ref().is_none_or(on_sku), of_kind)
        }
        EventChange::Stock(change) => {
            let stock = change.after.as_ref().or(change.before.as_ref()).unwrap();
            let of_kind = filter.kinds.as_ref().is_none_or(|kinds| kinds.stock.contains(&kind_of(change)));
            (filter.sku.as_ref().is_none_or(|sku| *sku == stock.sku), of_kind)
        }
    };
    on_sku && of_kind
}

pub(crate) fn kind_of(change: &StockChange) -> StockChangeKind {
    match (&change.before, &change.after) {
        (None, _) => StockChangeKind::Created,
        (Some(_), Some(_)) => StockChangeKind::Changed,
        (Some(_), None) => StockChangeKind::Deleted,
    }
}
