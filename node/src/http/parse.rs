//! From a typed body to values in range: whatever passes here may be a [`Command`](storage::inventory::command).
//!
//! Each function names the field that it refuses. None of them knows the state.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::http::HeaderMap;
use client::api;
use storage::inventory::ids::{Item, ReservationId, Sku};

use super::inventory::Part;
use super::limits::{ITEMS_MAX, KEY_BYTES_MAX, NAME_CHARS_MAX, QTY_MAX, TEXT_CHARS_MAX, TTL_SECONDS_DEFAULT};
use super::problem::{Problem, invalid};
use super::reply::no_reservation;

/// The `Idempotency-Key`, where there is one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Box<str>>, Problem> {
    let mut given = headers.get_all(api::IDEMPOTENCY_KEY).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => self::key("Idempotency-Key", key.as_bytes()).map(Some),
        (Some(_), Some(_)) => Err(invalid("Idempotency-Key", "There must be one Idempotency-Key.")),
    }
}

/// An idempotency key.
pub(crate) fn key(field: &str, text: &[u8]) -> Result<Box<str>, Problem> {
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(text) {
        Ok(text) if fits => Ok(Box::from(text)),
        _ => {
            let detail = format!("An idempotency key has 1 to {KEY_BYTES_MAX} visible ASCII characters.");
            Err(invalid(field, detail))
        }
    }
}

/// A cart's or a customer's id.
pub(crate) fn name<T: From<String>>(field: &str, text: String) -> Result<T, Problem> {
    bounded(field, text, NAME_CHARS_MAX)
}

/// A payment token, a reason or a reference.
pub(crate) fn note<T: From<String>>(field: &str, text: Option<String>) -> Result<Option<T>, Problem> {
    text.map(|text| bounded(field, text, TEXT_CHARS_MAX)).transpose()
}

fn bounded<T: From<String>>(field: &str, text: String, chars_max: usize) -> Result<T, Problem> {
    // A character has at most four bytes: most texts need no counting.
    let fits = !text.is_empty() && (text.len() <= chars_max || text.chars().count() <= chars_max);
    match fits {
        true => Ok(text.into()),
        false => Err(invalid(field, format!("Must have 1 to {chars_max} characters."))),
    }
}

/// A SKU's name.
pub(crate) fn sku(field: &str, name: &str) -> Result<Sku, Problem> {
    let detail = "Must be 1 to 128 letters, digits, dots, underscores, colons and hyphens of ASCII.";
    Sku::new(name).ok_or_else(|| invalid(field, detail))
}

/// A reservation's id.
pub(crate) fn reservation_id(text: &str) -> Result<ReservationId, Problem> {
    let detail = "Must be the reservation_id of a reserve's answer: res_ and 26 characters.";
    text.parse().map_err(|()| invalid("reservation_id", detail))
}

/// The reservation's id in a path: nothing has an id that is none.
pub(crate) fn reservation_id_in_path(part: Part) -> Result<ReservationId, Problem> {
    let id = part.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(no_reservation)
}

/// A cart's items: each SKU once, sorted, with the sum of its quantities.
pub(crate) fn items(given: &[api::Item]) -> Result<Vec<Item>, Problem> {
    match given {
        [] => return Err(invalid("items", "Must have at least one item.")),
        [one] => {
            return Ok(vec![Item { sku: sku("items[0].sku", &one.sku)?, qty: quantity(0, one.qty)? }]);
        }
        _ if given.len() > ITEMS_MAX => {
            return Err(invalid("items", format!("Must have at most {ITEMS_MAX} items.")));
        }
        _ => {}
    }
    let mut sums = BTreeMap::new();
    for (place, item) in given.iter().enumerate() {
        let sku = Sku::new(&item.sku).map_or_else(|| sku(&format!("items[{place}].sku"), &item.sku), Ok)?;
        // The sum so far is at most QTY_MAX, and so is the quantity: this cannot wrap.
        let sum: &mut u64 = sums.entry(sku).or_default();
        *sum += quantity(place, item.qty)?;
        check_sum(place, *sum)?;
    }
    Ok(sums.into_iter().map(|(sku, qty)| Item { sku, qty }).collect())
}

fn quantity(place: usize, qty: u64) -> Result<u64, Problem> {
    match (1..=QTY_MAX).contains(&qty) {
        true => Ok(qty),
        false => Err(invalid(format!("items[{place}].qty"), format!("Must be 1 to {QTY_MAX}."))),
    }
}

fn check_sum(place: usize, sum: u64) -> Result<(), Problem> {
    if sum <= QTY_MAX {
        return Ok(());
    }
    let detail =
        format!("The quantities of one SKU add up to {sum}; at most {QTY_MAX} units of it fit a cart.");
    Err(invalid(format!("items[{place}].qty"), detail))
}

/// A time to live, in milliseconds.
pub(crate) fn ttl_ms(given: Option<u64>, seconds_max: u64) -> Result<u64, Problem> {
    let seconds = given.unwrap_or_else(|| TTL_SECONDS_DEFAULT.min(seconds_max));
    match (1..=seconds_max).contains(&seconds) {
        true => Ok(seconds * 1000),
        false => Err(invalid("ttl_seconds", format!("Must be 1 to {seconds_max}."))),
    }
}

#[cfg(test)]
mod tests;
