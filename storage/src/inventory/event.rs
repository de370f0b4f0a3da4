//! The change feed: what happened to reservations and stock, in order and without a gap.
//!
//! ```text
//!   apply of command 17    settle    stock.changed         17.0   cause time
//!                          sweep     reservation.expired   17.1   cause time
//!                          reserve   stock.changed         17.2   cause reserve
//!                                    reservation.held      17.3   cause reserve
//! ```
//!
//! Events are part of the replicated state: every node has the same ones, and a snapshot carries them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{Item, Sku};
use super::outcome::{ReservationView, State, StockView};

/// An event's place in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct EventPosition {
    /// The sequence number of the command that it happened in.
    pub sequence: u64,
    /// Its place among the events of that command, from 0 on.
    pub index: u32,
}

/// One change of one reservation or SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the feed; that of the next event is greater.
    pub position: EventPosition,
    /// When it happened, in milliseconds since the Unix epoch, cluster clock.
    pub now_ms: u64,
    /// What it happened by.
    pub cause: Cause,
    /// What happened. Shared, so that a page of the feed costs no copies.
    pub change: EventChange,
}

/// What a change happened by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Cause {
    /// A reserve.
    Reserve,
    /// A commit.
    Commit,
    /// A release.
    Release,
    /// An extend.
    Extend,
    /// A return.
    Return,
    /// A put of a SKU.
    Put,
    /// An adjust of a SKU.
    Adjust,
    /// A delete of a SKU.
    Delete,
    /// Time: a deadline came.
    #[default]
    Time,
    /// Stock came free, and the line's head was served.
    Line,
    /// Stock fell below what was held.
    Revoke,
}

/// See [`Event::change`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventChange {
    /// Of a reservation.
    Reservation(Arc<ReservationChange>),
    /// Of a SKU.
    Stock(Arc<StockChange>),
}

/// A change of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationChange {
    /// What happened to it.
    pub kind: ReservationChangeKind,
    /// Its state before; `None` where it is new.
    pub before: Option<State>,
    /// Its items before, where they are others now: a part of it was given back.
    pub items_before: Option<Vec<Item>>,
    /// How it is now.
    pub after: ReservationView,
}

/// What happened to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReservationChangeKind {
    /// It joined a line.
    Waiting,
    /// It got its hold.
    Held,
    /// Its deadline moved.
    Extended,
    /// A part of it was released.
    Reduced,
    /// It was committed, perhaps in part.
    Committed,
    /// Some of its sold units came back.
    Returned,
    /// It was released.
    Released,
    /// Its deadline came.
    Expired,
    /// It was taken away.
    Revoked,
}

/// A change of a SKU's record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StockChange {
    /// How it was; `None` where the SKU is new.
    pub before: Option<StockView>,
    /// How it is now; `None` where the SKU is gone.
    pub after: Option<StockView>,
    /// Why, in the shop's words: an adjust's.
    pub reason: Option<Box<str>>,
    /// The shop's own reference: an adjust's.
    pub reference: Option<Box<str>>,
}

/// Events before the oldest one that is kept were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventsExpired {
    /// The oldest event that is kept.
    pub oldest: Option<EventPosition>,
    /// The last event that is not: who goes on after here gets the oldest one next.
    pub resume_after: EventPosition,
}

/// Which events of the feed are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Only those of this SKU, and of reservations that name it after the change or named it before.
    pub sku: Option<Sku>,
    /// Only those of these kinds. `None`: of every kind.
    pub kinds: Option<EventKinds>,
}

/// Kinds of events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventKinds {
    /// What happened to a reservation.
    pub reservations: Vec<ReservationChangeKind>,
    /// What happened to a SKU.
    pub stock: Vec<StockChangeKind>,
}

impl EventChange {
    /// Whether it is of a SKU, or of a reservation that names it after the change or named it before.
    pub fn names(&self, sku: &Sku) -> bool {
        match self {
            EventChange::Reservation(change) => {
                let before = change.items_before.iter().flatten();
                before.chain(&change.after.items).any(|item| item.sku == *sku)
            }
            EventChange::Stock(change) => {
                [&change.before, &change.after].into_iter().flatten().any(|view| view.sku == *sku)
            }
        }
    }
}

impl StockChange {
    /// What happened to the SKU.
    pub fn kind(&self) -> StockChangeKind {
        match (&self.before, &self.after) {
            (None, _) => StockChangeKind::Created,
            (Some(_), Some(_)) => StockChangeKind::Changed,
            (Some(_), None) => StockChangeKind::Deleted,
        }
    }
}

/// What happened to a SKU; a function of [`StockChange`]'s two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockChangeKind {
    /// It is new.
    Created,
    /// Its record changed.
    Changed,
    /// It is gone.
    Deleted,
}

/// A page of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    /// The events that match, in order.
    pub events: Vec<Event>,
    /// How far the feed was looked through: go on after here. `None`: the cursor stands where it stood.
    pub next: Option<EventPosition>,
    /// Whether the end of the feed was reached.
    pub at_end: bool,
}
