//! Views of the store as the JSON of the contract, written without a copy of what they show.
//!
//! The shapes are those of [`client::api`], which own their texts because a client does; an answer only borrows
//! them. A test holds the two together, field by field.

mod written;

use std::cell::RefCell;
use std::fmt::Display;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::Serialize;
use serde::ser::Serializer;
use storage::inventory::ids::{self, ReservationId};
use storage::inventory::outcome::{self, ReservationView, State, StockView};

/// A reservation: see [`client::api::Reservation`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reservation<'a> {
    #[serde(serialize_with = "text")]
    reservation_id: ReservationId,
    state: &'static str,
    cart_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<&'a str>,
    items: Items<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    created_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    fencing_token: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Items::is_empty")]
    returned: Items<'a>,
}

impl<'a> From<&'a ReservationView> for Reservation<'a> {
    fn from(view: &'a ReservationView) -> Reservation<'a> {
        Reservation {
            reservation_id: view.id,
            state: view.state.as_str(),
            cart_id: &view.cart_id,
            customer_id: view.customer_id.as_deref(),
            items: Items(&view.items),
            expires_in: view.grant.map(|grant| seconds_left(view, grant)),
            expires_at: view.grant.map(|grant| Time(grant.deadline_ms)),
            created_at: Time(view.created_ms),
            fencing_token: view.grant.map(|grant| grant.fencing_token),
            position: view.position,
            committed_at: view.committed_ms.map(Time),
            payment_token: view.payment_token.as_deref(),
            returned: Items(&view.returned),
        }
    }
}

/// Whole seconds left at the view's moment; none once the hold has ended, however it did.
fn seconds_left(view: &ReservationView, grant: outcome::Grant) -> u64 {
    match view.state {
        State::Held => grant.deadline_ms.saturating_sub(view.now_ms) / 1000,
        State::Waiting | State::Committed | State::Released | State::Expired | State::Revoked => 0,
    }
}

/// A SKU's figures: see [`client::api::InventoryRecord`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stock<'a> {
    sku: &'a str,
    on_hand: u64,
    held: u64,
    available: u64,
    sold: u64,
    safety_stock: u64,
    max_per_customer: Option<u64>,
    waiting: u64,
    version: u64,
}

impl<'a> From<&'a StockView> for Stock<'a> {
    fn from(view: &'a StockView) -> Stock<'a> {
        Stock {
            sku: view.sku.as_str(),
            on_hand: view.on_hand,
            held: view.held,
            available: view.available(),
            sold: view.sold,
            safety_stock: view.safety_stock,
            max_per_customer: view.max_per_customer,
            waiting: view.waiting,
            version: view.version,
        }
    }
}

/// How a SKU falls short.
pub(crate) fn shortages(shortages: &[outcome::Shortage]) -> Vec<client::api::Shortage> {
    let shortage = |short: &outcome::Shortage| client::api::Shortage {
        sku: short.sku.to_string(),
        requested: short.requested,
        available: short.available,
        held: short.held,
        sold_out: short.sold_out,
    };
    shortages.iter().map(shortage).collect()
}

/// RFC 3339, UTC, with milliseconds. What is past the year 9999 is told as its end.
pub(crate) fn time(ms: u64) -> String {
    with_time(ms, str::to_owned)
}

static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

const DAY_MS: u64 = 86_400_000;

thread_local! {
    /// The day that was written last, and a moment of it: the calendar is asked once a day.
    static DAY: RefCell<(u64, Vec<u8>)> = const { RefCell::new((0, Vec::new())) };
}

/// Tells a time's text.
fn with_time<T>(ms: u64, tell: impl FnOnce(&str) -> T) -> T {
    let ms = ms.min(Timestamp::MAX.as_millisecond().unsigned_abs());
    DAY.with_borrow_mut(|(day, text)| {
        if *day != ms / DAY_MS || text.is_empty() {
            (*day, *text) = (ms / DAY_MS, by_calendar(ms).into_bytes());
        }
        // 2026-11-22T12:34:56.789Z
        for (place, digits, value) in [
            (11, 2, ms / 3_600_000 % 24),
            (14, 2, ms / 60_000 % 60),
            (17, 2, ms / 1000 % 60),
            (20, 3, ms % 1000),
        ] {
            write_digits(&mut text[place..place + digits], value);
        }
        tell(std::str::from_utf8(text).unwrap_or_default())
    })
}

fn by_calendar(ms: u64) -> String {
    let known = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    PRINTER.timestamp_to_string(&known.unwrap_or(Timestamp::MAX))
}

fn write_digits(into: &mut [u8], mut value: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Items: see [`client::api::Item`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Items<'a>(pub(crate) &'a [ids::Item]);

impl Items<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|item| Item { sku: item.sku.as_str(), qty: item.qty }))
    }
}

#[derive(Serialize)]
struct Item<'a> {
    sku: &'a str,
    qty: u64,
}

/// Milliseconds since the Unix epoch, written by [`time`].
#[derive(Debug, Clone, Copy)]
struct Time(u64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        with_time(self.0, |text| serializer.serialize_str(text))
    }
}

fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests;
