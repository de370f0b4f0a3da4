//! Events as an image has them: each as what is other than in those before it.
//!
//! ```text
//!   event     17.2  PS5  held 39, version 118 -> held 40, version 119     17.3  PS5  token 902, held at 17:03:20.118
//!   written   +1 2  "    as it was last    ->      +1,        +1         +0 3  "    +1,             +0
//! ```
//!
//! A number that is likely near another one is written as its difference to that, past the ends of numbers where it
//! must be: to the event before, to the SKU's view before, to the fencing token before; moments to the event's own.
//! Each number before the first is 0. A SKU is left out where the last view of a SKU had the same, and how it was
//! before where that was the last view. So there is half as much to pack, and most of that are bytes of 0 and 1.
//!
//! A chunk is read by itself, and whatever it says makes events or none: nothing that is left out stands for more
//! memory than a pointer.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::event::{
    Cause, Event, EventChange, EventPosition, ReservationChange, ReservationChangeKind, StockChange,
};
use super::ids::{Item, ReservationId, Sku};
use super::kept::FiguresAt;
use super::outcome::{Grant, ReservationView, State, StockView};
use super::record::CHUNK_EVENTS;

/// An event. `T` is a text, `S` a SKU and `L` a list of items: where they lie, or as they were read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written<T, S, L> {
    sequence: i64,
    index: u32,
    now_ms: i64,
    cause: Cause,
    change: WrittenChange<T, S, L>,
}

/// What happened.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WrittenChange<T, S, L> {
    Reservation(WrittenReservation<T, L>),
    Stock(WrittenStock<T, S>),
}

/// See [`ReservationChange`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WrittenReservation<T, L> {
    kind: ReservationChangeKind,
    before: Option<State>,
    items_before: Option<L>,
    after: WrittenView<T, L>,
}

/// See [`ReservationView`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WrittenView<T, L> {
    sequence: i64,
    nonce: u64,
    state: State,
    cart_id: T,
    customer_id: Option<T>,
    items: L,
    returned: L,
    created_ms: i64,
    grant: Option<WrittenGrant>,
    position: Option<u64>,
    committed_ms: Option<i64>,
    payment_token: Option<T>,
    now_ms: i64,
}

/// See [`Grant`].
#[derive(Debug, Serialize, Deserialize)]
struct WrittenGrant {
    fencing_token: i64,
    granted_ms: i64,
    /// From the moment of the grant.
    deadline_ms: i64,
}

/// See [`StockChange`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WrittenStock<T, S> {
    before: WrittenBefore<S>,
    after: Option<WrittenFigures<S>>,
    reason: Option<T>,
    reference: Option<T>,
}

/// A SKU before it changed.
#[derive(Debug, Serialize, Deserialize)]
enum WrittenBefore<S> {
    /// It is new.
    None,
    /// As the last view of a SKU had it.
    AsLast,
    Other(WrittenFigures<S>),
}

/// See [`StockView`].
#[derive(Debug, Serialize, Deserialize)]
struct WrittenFigures<S> {
    sku: Option<S>,
    on_hand: i64,
    held: i64,
    sold: i64,
    safety_stock: i64,
    max_per_customer: Option<u64>,
    waiting: i64,
    version: i64,
}

/// See [`Item`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WrittenItem<S> {
    pub(super) sku: Option<S>,
    pub(super) qty: u64,
}

/// What differences are to.
#[derive(Debug)]
pub(super) struct Last<S> {
    position: EventPosition,
    now_ms: u64,
    fencing_token: u64,
    sku: Option<S>,
    figures: FiguresAt,
}

/// What happened to a SKU, where it lies.
pub(super) struct StockTold<'a> {
    pub(super) before: Option<(&'a Sku, FiguresAt)>,
    pub(super) after: Option<(&'a Sku, FiguresAt)>,
    pub(super) reason: Option<&'a str>,
    pub(super) reference: Option<&'a str>,
}

/// A view of a reservation, where it lies.
pub(super) struct ViewTold<'a, L> {
    pub(super) id: ReservationId,
    pub(super) state: State,
    pub(super) cart_id: &'a str,
    pub(super) customer_id: Option<&'a str>,
    pub(super) items: L,
    pub(super) returned: L,
    pub(super) created_ms: u64,
    pub(super) grant: Option<Grant>,
    pub(super) position: Option<u64>,
    pub(super) committed_ms: Option<u64>,
    pub(super) payment_token: Option<&'a str>,
    pub(super) now_ms: u64,
}

impl<S> Last<S> {
    /// Before the first event of a chunk.
    pub(super) fn new() -> Last<S> {
        let (position, figures) = (EventPosition::default(), FiguresAt::default());
        Last { position, now_ms: 0, fencing_token: 0, sku: None, figures }
    }
}

impl<S: Copy> Last<S> {
    /// The SKU that the last view of one had.
    pub(super) fn sku(&self) -> Option<S> {
        self.sku
    }
}

impl<'a> Last<&'a Sku> {
    /// Writes the head of an event, before its change.
    pub(super) fn write<L>(
        &mut self,
        position: EventPosition,
        now_ms: u64,
        cause: Cause,
        change: impl FnOnce(&mut Self) -> WrittenChange<&'a str, &'a Sku, L>,
    ) -> Written<&'a str, &'a Sku, L> {
        let (sequence, since) = (less(position.sequence, self.position.sequence), less(now_ms, self.now_ms));
        (self.position, self.now_ms) = (position, now_ms);
        Written { sequence, index: position.index, now_ms: since, cause, change: change(self) }
    }

    /// Writes a change of a reservation.
    pub(super) fn write_reservation<L>(
        &mut self,
        kind: ReservationChangeKind,
        before: Option<State>,
        items_before: Option<L>,
        after: ViewTold<'a, L>,
    ) -> WrittenChange<&'a str, &'a Sku, L> {
        let since = |moment_ms| less(moment_ms, self.now_ms);
        let grant = after.grant.map(|grant| WrittenGrant {
            fencing_token: less(grant.fencing_token, self.fencing_token),
            granted_ms: since(grant.granted_ms),
            deadline_ms: less(grant.deadline_ms, grant.granted_ms),
        });
        let view = WrittenView {
            sequence: less(after.id.sequence, self.position.sequence),
            nonce: after.id.nonce,
            state: after.state,
            cart_id: after.cart_id,
            customer_id: after.customer_id,
            items: after.items,
            returned: after.returned,
            created_ms: since(after.created_ms),
            grant,
            position: after.position,
            committed_ms: after.committed_ms.map(since),
            payment_token: after.payment_token,
            now_ms: since(after.now_ms),
        };
        self.fencing_token = after.grant.map_or(self.fencing_token, |grant| grant.fencing_token);
        WrittenChange::Reservation(WrittenReservation { kind, before, items_before, after: view })
    }

    /// Writes a change of a SKU.
    pub(super) fn write_stock<L>(&mut self, told: &StockTold<'a>) -> WrittenChange<&'a str, &'a Sku, L> {
        let before = match told.before {
            None => WrittenBefore::None,
            Some((sku, figures)) if (Some(sku), figures) == (self.sku, self.figures) => WrittenBefore::AsLast,
            Some((sku, figures)) => WrittenBefore::Other(self.write_figures(sku, figures)),
        };
        let after = told.after.map(|(sku, figures)| self.write_figures(sku, figures));
        let StockTold { reason, reference, .. } = *told;
        WrittenChange::Stock(WrittenStock { before, after, reason, reference })
    }

    fn write_figures(&mut self, sku: &'a Sku, at: FiguresAt) -> WrittenFigures<&'a Sku> {
        let last = std::mem::replace(&mut self.figures, at);
        WrittenFigures {
            sku: if self.sku.replace(sku) == Some(sku) { None } else { Some(sku) },
            on_hand: less(at.on_hand, last.on_hand),
            held: less(at.held, last.held),
            sold: less(at.sold, last.sold),
            safety_stock: less(at.safety_stock, last.safety_stock),
            max_per_customer: at.max_per_customer,
            waiting: less(at.waiting, last.waiting),
            version: less(at.version, last.version),
        }
    }
}

/// The events of a chunk, read.
#[derive(Debug)]
pub struct ReadEvents(pub Vec<Event>);

impl<'de> Deserialize<'de> for ReadEvents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ReadEvents, D::Error> {
        deserializer.deserialize_seq(EventsVisitor)
    }
}

struct EventsVisitor;

impl<'de> Visitor<'de> for EventsVisitor {
    type Value = ReadEvents;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the events of a chunk")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut written: A) -> Result<ReadEvents, A::Error> {
        let (mut events, mut last) = (Vec::with_capacity(CHUNK_EVENTS as usize), Last::new());
        while let Some(event) = written.next_element()? {
            if events.len() == CHUNK_EVENTS as usize {
                return Err(A::Error::custom("more events than a chunk has"));
            }
            events.push(last.read(event).map_err(A::Error::custom)?);
        }
        Ok(ReadEvents(events))
    }
}

/// What is read, or why it is nothing.
type Read<T> = Result<T, &'static str>;

const NO_SKU: &str = "an event that leaves a SKU out before any was told";

type ReadItems = Vec<WrittenItem<Sku>>;

impl Last<Sku> {
    fn read(&mut self, written: Written<Box<str>, Sku, ReadItems>) -> Read<Event> {
        let Written { sequence, index, now_ms, cause, change } = written;
        let sequence = self.position.sequence.wrapping_add_signed(sequence);
        self.position = EventPosition { sequence, index };
        self.now_ms = self.now_ms.wrapping_add_signed(now_ms);
        let change = match change {
            WrittenChange::Reservation(written) => {
                EventChange::Reservation(Arc::new(self.read_reservation(written)?))
            }
            WrittenChange::Stock(written) => EventChange::Stock(Arc::new(self.read_stock(written)?)),
        };
        Ok(Event { position: self.position, now_ms: self.now_ms, cause, change })
    }

    fn read_reservation(
        &mut self,
        written: WrittenReservation<Box<str>, ReadItems>,
    ) -> Read<ReservationChange> {
        let WrittenReservation { kind, before, items_before, after } = written;
        let items_before = items_before.map(|items| self.read_items(items)).transpose()?;
        let moment_ms = |since: i64| self.now_ms.wrapping_add_signed(since);
        let grant = after.grant.map(|grant| {
            let granted_ms = moment_ms(grant.granted_ms);
            Grant {
                fencing_token: self.fencing_token.wrapping_add_signed(grant.fencing_token),
                granted_ms,
                deadline_ms: granted_ms.wrapping_add_signed(grant.deadline_ms),
            }
        });
        let sequence = self.position.sequence.wrapping_add_signed(after.sequence);
        let view = ReservationView {
            id: ReservationId { sequence, nonce: after.nonce },
            state: after.state,
            cart_id: after.cart_id.into(),
            customer_id: after.customer_id.map(Arc::from),
            items: self.read_items(after.items)?,
            returned: self.read_items(after.returned)?,
            created_ms: moment_ms(after.created_ms),
            grant,
            position: after.position,
            committed_ms: after.committed_ms.map(moment_ms),
            payment_token: after.payment_token.map(Arc::from),
            now_ms: moment_ms(after.now_ms),
        };
        self.fencing_token = grant.map_or(self.fencing_token, |grant| grant.fencing_token);
        Ok(ReservationChange { kind, before, items_before, after: view })
    }

    fn read_items(&self, written: ReadItems) -> Read<Vec<Item>> {
        let items = written.into_iter().map(|WrittenItem { sku, qty }| {
            let sku = sku.or_else(|| self.sku.clone()).ok_or(NO_SKU)?;
            Ok(Item { sku, qty })
        });
        items.collect()
    }

    fn read_stock(&mut self, written: WrittenStock<Box<str>, Sku>) -> Read<StockChange> {
        let WrittenStock { before, after, reason, reference } = written;
        let before = match before {
            WrittenBefore::None => None,
            WrittenBefore::AsLast => Some(self.last_view()?),
            WrittenBefore::Other(figures) => Some(self.read_figures(figures)?),
        };
        let after = after.map(|figures| self.read_figures(figures)).transpose()?;
        Ok(StockChange { before, after, reason, reference })
    }

    fn read_figures(&mut self, written: WrittenFigures<Sku>) -> Read<StockView> {
        self.sku = written.sku.or_else(|| self.sku.take());
        let last = self.figures;
        self.figures = FiguresAt {
            on_hand: last.on_hand.wrapping_add_signed(written.on_hand),
            held: last.held.wrapping_add_signed(written.held),
            sold: last.sold.wrapping_add_signed(written.sold),
            safety_stock: last.safety_stock.wrapping_add_signed(written.safety_stock),
            max_per_customer: written.max_per_customer,
            waiting: last.waiting.wrapping_add_signed(written.waiting),
            version: last.version.wrapping_add_signed(written.version),
        };
        self.last_view()
    }

    fn last_view(&self) -> Read<StockView> {
        self.sku.as_ref().map(|sku| self.figures.view(sku)).ok_or(NO_SKU)
    }
}

fn less(number: u64, other: u64) -> i64 {
    number.wrapping_sub(other) as i64
}
