//! What the inventory consists of, as records that the checkpoint and the snapshots carry.
//!
//! The records are the whole state: every index is rebuilt from them. A change of a field here is a change of
//! the format on disk: see `checkpoint::codec`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventPosition};
use super::ids::{ReservationId, Sku};
use super::items::ReservedItems;
use super::outcome::{Grant, Outcome, State};
use super::told::EventsRef;

/// Which record. The order is that of the image: counters, stock, reservations, kept answers, customers,
/// events, feature level.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordKey {
    /// The one record of counters.
    Counters,
    /// A SKU's figures.
    Stock(Sku),
    /// A reservation.
    Reservation(ReservationId),
    /// The kept answer to the command of that sequence, under an idempotency key.
    Answer(u64, Box<str>),
    /// What a customer bought of a SKU.
    Customer(Sku, Arc<str>),
    /// A chunk of the change feed: the events with ordinals from [`CHUNK_EVENTS`] times this on.
    Events(u64),
    /// The feature level, once it was raised.
    Level,
}

/// Events of one full chunk.
pub const CHUNK_EVENTS: u64 = 64;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// See [`RecordKey::Counters`].
    Counters(Counters),
    /// See [`RecordKey::Stock`].
    Stock(StockRecord),
    /// See [`RecordKey::Reservation`].
    Reservation(ReservationRecord),
    /// See [`RecordKey::Answer`].
    Answer(AnswerRecord),
    /// See [`RecordKey::Customer`].
    Customer(CustomerRecord),
    /// See [`RecordKey::Events`]. At most [`CHUNK_EVENTS`] of them, in order; fewer in the last chunk alone.
    Events(Vec<Event>),
    /// See [`RecordKey::Level`].
    Level(LevelRecord),
}

/// A [`RecordKey`] where it lies: to be looked at without a copy.
#[derive(Debug, Clone, Copy)]
pub enum KeyRef<'a> {
    /// See [`RecordKey::Counters`].
    Counters,
    /// See [`RecordKey::Stock`].
    Stock(&'a Sku),
    /// See [`RecordKey::Reservation`].
    Reservation(ReservationId),
    /// See [`RecordKey::Answer`].
    Answer(u64, &'a str),
    /// See [`RecordKey::Customer`].
    Customer(&'a Sku, &'a Arc<str>),
    /// See [`RecordKey::Events`].
    Events(u64),
    /// See [`RecordKey::Level`].
    Level,
}

/// A [`Record`] where it lies.
#[derive(Debug, Clone, Copy)]
pub enum RecordRef<'a> {
    /// See [`Record::Counters`].
    Counters(&'a Counters),
    /// See [`Record::Stock`].
    Stock(&'a StockRecord),
    /// See [`Record::Reservation`].
    Reservation(&'a ReservationRecord),
    /// See [`Record::Answer`].
    Answer(&'a AnswerRecord),
    /// See [`Record::Customer`].
    Customer(CustomerRecord),
    /// See [`Record::Events`].
    Events(EventsRef<'a>),
    /// See [`Record::Level`].
    Level(LevelRecord),
}

/// The counters of the whole history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// The cluster clock at the last command, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// How many commands were applied.
    pub sequence: u64,
    /// The last fencing token given out.
    pub fencing_token: u64,
    /// How many events the change feed has had, those no longer kept included.
    pub events: u64,
    /// The position of the last event that is no longer kept, if there is one.
    pub events_gone: Option<EventPosition>,
    /// The greatest version that a deleted SKU had. New ones begin above it, so that a SKU that is made again never has
    /// a version again that a client may still know.
    pub deleted_version: u64,
    /// The order-free sum of the hashes of all other records, modulo 2^64.
    pub records_digest: u64,
}

/// A SKU's figures. `0 <= held <= on_hand`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRecord {
    /// Units owned and not sold, the held ones included.
    pub on_hand: u64,
    /// Units under holds whose deadline is after `settled_ms`.
    pub held: u64,
    /// Units committed, less units returned.
    pub sold: u64,
    /// Units kept back from sale.
    pub safety_stock: u64,
    /// The most units that one customer may have.
    pub max_per_customer: Option<u64>,
    /// The sequence number of the command that made it. Reservations made before it were of an earlier SKU of
    /// that name, and count for nothing here.
    pub created_sequence: u64,
    /// Grows with every change of the record.
    pub version: u64,
    /// Units of holds with a deadline up to here have been given back.
    pub settled_ms: u64,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationRecord {
    /// Its state. `Held` with a deadline that has passed counts as `Expired`: the sweep is bounded.
    pub state: State,
    /// The shop's name for the cart.
    pub cart_id: Arc<str>,
    /// Who buys.
    pub customer_id: Option<Arc<str>>,
    /// Its items, each SKU once, sorted by SKU.
    pub items: ReservedItems,
    /// When it was made.
    pub created_ms: u64,
    /// How long its hold is to last from its grant, in milliseconds.
    pub ttl_ms: u64,
    /// Its hold; `None` while it has only waited.
    pub grant: Option<Grant>,
    /// When it was committed, released, revoked, or expired (then: its deadline).
    ///
    /// In a box, as is what follows from a commit alone: most reservations of a shop in a flash sale are held.
    pub ended_ms: Option<Box<u64>>,
    /// When it is forgotten; never while it waits. While it is held: when it will be if nothing but time ends it, so
    /// that an expiry is a function of the record alone, whichever command's sweep reaches it.
    pub forget_ms: u64,
    /// With what proof of payment it was committed.
    pub payment_token: Option<Box<Arc<str>>>,
    /// How often its deadline was moved while that was limited; it counts no further than it can. Where it is 0 the
    /// record is encoded as if there were no such field, so whoever encodes the record adds it.
    #[serde(skip)]
    pub extensions: u16,
}

/// What a customer bought of a SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRecord {
    /// Units committed, less units returned; at least 1.
    pub sold: u64,
}

/// The feature level in force: more than 1, which needs no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelRecord {
    /// The level.
    pub level: u16,
}

/// One item of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedItem {
    /// Which SKU.
    pub sku: Sku,
    /// How many units.
    pub qty: u64,
    /// How many of them were returned after the commit.
    pub returned: u64,
}

/// The answer that is given again to a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// The fingerprint of the call that it answers.
    pub fingerprint: u64,
    /// The sequence number of that call's command.
    pub sequence: u64,
    /// What it did.
    pub outcome: Outcome,
    /// When it is forgotten.
    pub forget_ms: u64,
}

impl KeyRef<'_> {
    /// A copy.
    pub fn to_key(self) -> RecordKey {
        match self {
            KeyRef::Counters => RecordKey::Counters,
            KeyRef::Stock(sku) => RecordKey::Stock(sku.clone()),
            KeyRef::Reservation(id) => RecordKey::Reservation(id),
            KeyRef::Answer(sequence, key) => RecordKey::Answer(sequence, key.into()),
            KeyRef::Customer(sku, customer) => RecordKey::Customer(sku.clone(), Arc::clone(customer)),
            KeyRef::Events(chunk) => RecordKey::Events(chunk),
            KeyRef::Level => RecordKey::Level,
        }
    }
}

impl<'a> From<&'a RecordKey> for KeyRef<'a> {
    fn from(key: &'a RecordKey) -> KeyRef<'a> {
        match key {
            RecordKey::Counters => KeyRef::Counters,
            RecordKey::Stock(sku) => KeyRef::Stock(sku),
            RecordKey::Reservation(id) => KeyRef::Reservation(*id),
            RecordKey::Answer(sequence, key) => KeyRef::Answer(*sequence, key),
            RecordKey::Customer(sku, customer) => KeyRef::Customer(sku, customer),
            RecordKey::Events(chunk) => KeyRef::Events(*chunk),
            RecordKey::Level => KeyRef::Level,
        }
    }
}

impl<'a> From<&'a Record> for RecordRef<'a> {
    fn from(record: &'a Record) -> RecordRef<'a> {
        match record {
            Record::Counters(record) => RecordRef::Counters(record),
            Record::Stock(record) => RecordRef::Stock(record),
            Record::Reservation(record) => RecordRef::Reservation(record),
            Record::Answer(record) => RecordRef::Answer(record),
            Record::Customer(record) => RecordRef::Customer(*record),
            Record::Events(events) => RecordRef::Events((&**events).into()),
            Record::Level(record) => RecordRef::Level(*record),
        }
    }
}
