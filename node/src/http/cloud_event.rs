//! Events of the change feed as CloudEvents 1.0, written without a copy of what they show.
//!
//! The shape is that of [`client::api::Event`]. What happened to a reservation or a SKU is named in one table, by
//! which types are written and filters are read.

use serde::Serialize;
use storage::inventory::event::{
    Cause, Event, EventChange, EventKinds, ReservationChange, ReservationChangeKind, StockChange,
    StockChangeKind,
};

use super::events::text;
use super::record::{self, Items, Reservation, Stock};

/// What the types of events about reservations begin with.
const RESERVATION: &str = "lastunit.reservation.";
/// What the types of events about SKUs begin with.
const STOCK: &str = "lastunit.stock.";

/// What happens to reservations, and its word.
const RESERVATION_KINDS: [(ReservationChangeKind, &str); 9] = [
    (ReservationChangeKind::Waiting, "waiting"),
    (ReservationChangeKind::Held, "held"),
    (ReservationChangeKind::Extended, "extended"),
    (ReservationChangeKind::Reduced, "reduced"),
    (ReservationChangeKind::Committed, "committed"),
    (ReservationChangeKind::Returned, "returned"),
    (ReservationChangeKind::Released, "released"),
    (ReservationChangeKind::Expired, "expired"),
    (ReservationChangeKind::Revoked, "revoked"),
];

/// What happens to SKUs, and its word.
const STOCK_KINDS: [(StockChangeKind, &str); 3] = [
    (StockChangeKind::Created, "created"),
    (StockChangeKind::Changed, "changed"),
    (StockChangeKind::Deleted, "deleted"),
];

/// An event: see [`client::api::Event`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    sequence: String,
    data: Data<'a>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Reservation(ReservationData<'a>),
    Stock(StockData<'a>),
}

/// See [`client::api::ReservationEvent`].
#[derive(Debug, Clone, Serialize)]
struct ReservationData<'a> {
    cause: &'static str,
    state_before: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items_before: Option<Items<'a>>,
    reservation: Reservation<'a>,
}

/// See [`client::api::StockEvent`].
#[derive(Debug, Clone, Serialize)]
struct StockData<'a> {
    cause: &'static str,
    before: Option<Stock<'a>>,
    after: Option<Stock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
}

impl<'a> CloudEvent<'a> {
    /// An event of the feed with this source.
    pub(crate) fn new(event: &'a Event, source: &'a str) -> CloudEvent<'a> {
        let (kind, subject, data) = match &event.change {
            EventChange::Reservation(change) => of_reservation(event.cause, change),
            EventChange::Stock(change) => of_stock(event.cause, change),
        };
        CloudEvent {
            specversion: "1.0",
            id: text(Some(event.position)),
            source,
            kind,
            subject,
            time: record::time(event.now_ms),
            datacontenttype: "application/json",
            sequence: event.position.sequence.to_string(),
            data,
        }
    }

    /// Its place in the feed, and what server-sent events are named by.
    pub(crate) fn id_and_type(&self) -> (&str, &str) {
        (&self.id, &self.kind)
    }
}

fn of_reservation(cause: Cause, change: &ReservationChange) -> (String, String, Data<'_>) {
    let kind = format!("{RESERVATION}{}", word(&RESERVATION_KINDS, change.kind));
    let data = ReservationData {
        cause: cause_word(cause),
        state_before: change.before.map(|state| state.as_str()),
        items_before: change.items_before.as_deref().map(Items),
        reservation: Reservation::from(&change.after),
    };
    (kind, change.after.id.to_string(), Data::Reservation(data))
}

fn of_stock(cause: Cause, change: &StockChange) -> (String, String, Data<'_>) {
    let kind = match (&change.before, &change.after) {
        (None, _) => StockChangeKind::Created,
        (Some(_), Some(_)) => StockChangeKind::Changed,
        (Some(_), None) => StockChangeKind::Deleted,
    };
    let sku = change.after.as_ref().or(change.before.as_ref()).map(|stock| stock.sku.to_string());
    let data = StockData {
        cause: cause_word(cause),
        before: change.before.as_ref().map(Stock::from),
        after: change.after.as_ref().map(Stock::from),
        reason: change.reason.as_deref(),
        reference: change.reference.as_deref(),
    };
    (format!("{STOCK}{}", word(&STOCK_KINDS, kind)), sku.unwrap_or_default(), Data::Stock(data))
}

fn word<K: Copy + PartialEq>(words: &[(K, &'static str)], kind: K) -> &'static str {
    words.iter().find(|(known, _)| *known == kind).map_or("", |(_, word)| word)
}

fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Reserve => "reserve",
        Cause::Commit => "commit",
        Cause::Release => "release",
        Cause::Extend => "extend",
        Cause::Return => "return",
        Cause::Put => "put",
        Cause::Adjust => "adjust",
        Cause::Delete => "delete",
        Cause::Time => "time",
        Cause::Line => "line",
        Cause::Revoke => "revoke",
    }
}

/// The kinds of events that a filter's word means: a full type, or `reservation` or `stock` for all of theirs.
pub(crate) fn kinds_of(name: &str) -> Option<EventKinds> {
    let mut kinds = EventKinds::default();
    match name {
        "reservation" => kinds.reservations = RESERVATION_KINDS.map(|(kind, _)| kind).to_vec(),
        "stock" => kinds.stock = STOCK_KINDS.map(|(kind, _)| kind).to_vec(),
        _ => {
            kinds.reservations.extend(kind_of(&RESERVATION_KINDS, RESERVATION, name));
            kinds.stock.extend(kind_of(&STOCK_KINDS, STOCK, name));
        }
    }
    (kinds != EventKinds::default()).then_some(kinds)
}

fn kind_of<K: Copy>(words: &[(K, &str)], prefix: &str, name: &str) -> Option<K> {
    let word = name.strip_prefix(prefix)?;
    words.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests;
