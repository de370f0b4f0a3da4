//! The change feed.

use serde::{Deserialize, Serialize};

use super::{InventoryRecord, Item, Reservation, ReservationState};

/// An event of the change feed, in the JSON form of CloudEvents 1.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// `1.0`.
    pub specversion: String,
    /// The event's place in the feed, `sequence.index`: what `after` and `Last-Event-ID` take.
    pub id: String,
    /// `/clusters/` and the cluster's name.
    pub source: String,
    /// `lastunit.reservation.` or `lastunit.stock.` and what happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reservation's id, or the SKU.
    pub subject: String,
    /// When it happened, cluster clock.
    pub time: String,
    /// `application/json`.
    pub datacontenttype: String,
    /// The sequence number of the command that it happened in (the CloudEvents extension, which is text).
    pub sequence: String,
    /// What happened.
    pub data: EventData,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum EventData {
    /// To a reservation.
    Reservation(ReservationEvent),
    /// To a SKU.
    Stock(StockEvent),
}

/// A change of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReservationEvent {
    /// What it happened by: `reserve`, `commit`, `release`, `extend`, `return`, `time`, `line` or `revoke`.
    pub cause: String,
    /// Its state before; `null` where it is new.
    pub state_before: Option<ReservationState>,
    /// Its items before; left out unless they are others now: a part of it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_before: Option<Vec<Item>>,
    /// How it is now.
    pub reservation: Reservation,
}

/// A change of a SKU's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StockEvent {
    /// What it happened by: a reservation's causes, or `put`, `adjust`, `delete`.
    pub cause: String,
    /// How it was; `null` where the SKU is new.
    pub before: Option<InventoryRecord>,
    /// How it is now; `null` where the SKU is gone.
    pub after: Option<InventoryRecord>,
    /// Why, in the shop's words: an adjust's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The shop's own reference: an adjust's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}
