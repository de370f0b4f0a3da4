//! Events as they are [written](super::written), straight from what is kept of them, without a copy of a text or a
//! list.
//!
//! What comes out is, byte for byte, what the [`Event`]s would give.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::event::{Event, EventChange, ReservationChange, StockChange};
use super::ids::{Item, ReservationId, Sku};
use super::kept::{FiguresAt, KeptChange, KeptEvent, KeptReservation};
use super::outcome::{ReservationView, StockView};
use super::record::{ReservationRecord, ReservedItem};
use super::written::{Last, StockTold, ViewTold, Written, WrittenChange, WrittenItem};

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
            Events::Told(events) => serialize(events, told, serializer),
            Events::Kept(events) => serialize(events, kept, serializer),
        }
    }
}

/// What is other in an event than in those before it.
type WrittenTold<'a> = Written<&'a str, &'a Sku, Items<'a>>;

/// Items of a reservation, and the SKU that is left out of them.
#[derive(Debug, Clone, Copy)]
struct Items<'a> {
    list: List<'a>,
    last: Option<&'a Sku>,
}

#[derive(Debug, Clone, Copy)]
enum List<'a> {
    Told(&'a [Item]),
    Kept(&'a [ReservedItem]),
    /// Those of them of which units came back, and how many.
    Returned(&'a [ReservedItem]),
}

fn serialize<'a, E, S: Serializer>(
    events: &'a [E],
    write: impl Fn(&'a E, &mut Last<&'a Sku>) -> WrittenTold<'a>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let (mut list, mut last) = (serializer.serialize_seq(Some(events.len()))?, Last::new());
    for event in events {
        list.serialize_element(&write(event, &mut last))?;
    }
    list.end()
}

fn told<'a>(event: &'a Event, last: &mut Last<&'a Sku>) -> WrittenTold<'a> {
    last.write(event.position, event.now_ms, event.cause, |last| change(&event.change, last))
}

fn kept<'a>(event: &'a KeptEvent, last: &mut Last<&'a Sku>) -> WrittenTold<'a> {
    let now_ms = event.now_ms;
    last.write(event.position(), now_ms, event.cause, |last| match &event.change {
        KeptChange::Reservation(kept) => {
            let items = |list| Items { list, last: last.sku() };
            let KeptReservation { kind, before, items_before, id, position, record } = kept;
            let items_before = items_before.as_deref().map(|before| items(List::Kept(before)));
            let after = view_of(record, *id, now_ms, *position, items);
            last.write_reservation(*kind, *before, items_before, after)
        }
        KeptChange::Figures(figures) => last.write_stock(&StockTold {
            before: figures.before().map(|before| (&figures.sku, before)),
            after: Some((&figures.sku, figures.after())),
            reason: None,
            reference: None,
        }),
        KeptChange::Whole(whole) => change(whole, last),
    })
}

fn change<'a>(
    change: &'a EventChange,
    last: &mut Last<&'a Sku>,
) -> WrittenChange<&'a str, &'a Sku, Items<'a>> {
    match change {
        EventChange::Reservation(change) => {
            let items = |list| Items { list, last: last.sku() };
            let ReservationChange { kind, before, items_before, after } = &**change;
            let items_before = items_before.as_deref().map(|before| items(List::Told(before)));
            last.write_reservation(*kind, *before, items_before, view(after, items))
        }
        EventChange::Stock(change) => {
            let StockChange { before, after, reason, reference } = &**change;
            let at = |view: &'a StockView| (&view.sku, FiguresAt::of_view(view));
            last.write_stock(&StockTold {
                before: before.as_ref().map(at),
                after: after.as_ref().map(at),
                reason: reason.as_deref(),
                reference: reference.as_deref(),
            })
        }
    }
}

fn view<'a>(view: &'a ReservationView, items: impl Fn(List<'a>) -> Items<'a>) -> ViewTold<'a, Items<'a>> {
    ViewTold {
        id: view.id,
        state: view.state,
        cart_id: &view.cart_id,
        customer_id: view.customer_id.as_deref(),
        items: items(List::Told(&view.items)),
        returned: items(List::Told(&view.returned)),
        created_ms: view.created_ms,
        grant: view.grant,
        position: view.position,
        committed_ms: view.committed_ms,
        payment_token: view.payment_token.as_deref(),
        now_ms: view.now_ms,
    }
}

/// See [`ReservationRecord::view`].
fn view_of<'a>(
    record: &'a ReservationRecord,
    id: ReservationId,
    now_ms: u64,
    position: Option<u64>,
    items: impl Fn(List<'a>) -> Items<'a>,
) -> ViewTold<'a, Items<'a>> {
    let state = record.state_at(now_ms);
    ViewTold {
        id,
        state,
        cart_id: &record.cart_id,
        customer_id: record.customer_id.as_deref(),
        items: items(List::Kept(&record.items)),
        returned: items(List::Returned(&record.items)),
        created_ms: record.created_ms,
        grant: record.grant,
        position,
        committed_ms: record.committed_ms_in(state),
        payment_token: record.payment_token.as_deref().map(|token| &**token),
        now_ms,
    }
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let item = |sku, qty| WrittenItem { sku: Some(sku).filter(|sku| self.last != Some(*sku)), qty };
        match self.list {
            List::Told(items) => serializer.collect_seq(items.iter().map(|it| item(&it.sku, it.qty))),
            List::Kept(items) => serializer.collect_seq(items.iter().map(|it| item(&it.sku, it.qty))),
            List::Returned(items) => {
                let returned = || items.iter().filter(|item| item.returned > 0);
                let mut list = serializer.serialize_seq(Some(returned().count()))?;
                for it in returned() {
                    list.serialize_element(&item(&it.sku, it.returned))?;
                }
                list.end()
            }
        }
    }
}
