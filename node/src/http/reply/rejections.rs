//! Rejections as problems: the one place that gives a rejection its kind, its words and its members.

use storage::inventory::ids::{Sku, UNITS_MAX};
use storage::inventory::outcome::{Rejection, StockView, Total};

use crate::http::problem::{self, Problem, invalid};
use crate::http::record;

/// Why the state machine refused. It does not know which field of the call asked for too many units.
pub(super) fn problem(rejection: &Rejection, units_field: &str) -> Problem {
    match rejection {
        Rejection::Invalid { field } => {
            invalid(field.as_ref(), "Is out of range, or names what the reservation does not have.")
        }
        Rejection::IdempotencyKeyReused => problem::IDEMPOTENCY_KEY_REUSED.problem(
            "This Idempotency-Key was used with another call or body; choose a new key for a new call.",
        ),
        Rejection::PreconditionFailed { current } => precondition_failed(*current),
        Rejection::ReservationNotFound => no_reservation(),
        Rejection::FencingTokenStale { current } => problem::FENCING_TOKEN_STALE
            .problem(format!("The hold's fencing token is {current}; another one was given.")),
        Rejection::AlreadyCommitted => {
            problem::ALREADY_COMMITTED.problem("The reservation is committed; what it held is sold.")
        }
        Rejection::ReservationReleased => {
            problem::RESERVATION_RELEASED.problem("The reservation was released or revoked before this call.")
        }
        Rejection::ReservationExpired => {
            problem::RESERVATION_EXPIRED.problem("The reservation's time is over; reserve again.")
        }
        Rejection::ReservationWaiting => problem::RESERVATION_WAITING
            .problem("The reservation waits in line, and holds nothing yet; it can only be released."),
        Rejection::NotCommitted => problem::NOT_COMMITTED.problem("Only what was committed can be returned."),
        Rejection::ReturnExceedsSale => problem::RETURN_EXCEEDS_SALE
            .problem("More units would be returned than were sold and have not come back yet."),
        Rejection::HoldLimit { latest_deadline_ms } => hold_limit(*latest_deadline_ms),
        Rejection::CartAlreadyReserved { reservation_id } => problem::CART_ALREADY_RESERVED
            .problem("The cart has a live reservation of other items; release it first.")
            .with("reservation_id", reservation_id.to_string()),
        Rejection::SkuNotFound { sku } => {
            problem::SKU_NOT_FOUND.problem(format!("No SKU has the name {sku}.")).with("sku", sku.as_str())
        }
        Rejection::CustomerLimit { sku, limit, held, sold, requested } => {
            customer_limit(sku, [*limit, *held, *sold, *requested])
        }
        Rejection::InsufficientStock { shortages } => problem::INSUFFICIENT_STOCK
            .problem("The cart would not fit even if every hold lapsed.")
            .shortages(record::shortages(shortages)),
        Rejection::HeldByOthers { shortages, earliest_ms, now_ms } => problem::HELD_BY_OTHERS
            .problem("The cart would fit if holds of others lapsed.")
            .shortages(record::shortages(shortages))
            .retry_after(earliest_ms.saturating_sub(*now_ms).div_ceil(1000).max(1)),
        Rejection::SkuHasHolds { stock } => sku_has_holds(stock),
        Rejection::StockBelowHeld { stock } => stock_below_held(stock),
        Rejection::StockAboveMax => {
            invalid(units_field, format!("The SKU's on_hand would be more than {UNITS_MAX} units."))
        }
        Rejection::CustomerTotal { of, limit, has, requested } => {
            customer_total(*of, [*limit, *has, *requested])
        }
        Rejection::ExtensionLimit { limit } => problem::HOLD_LIMIT
            .problem(format!("A hold may be extended {limit} times, and this one was."))
            .with("limited_by", "hold_extensions_max")
            .with("limit", *limit),
    }
}

/// There is no such reservation.
pub(crate) fn no_reservation() -> Problem {
    problem::RESERVATION_NOT_FOUND.problem("No reservation has this id, or it ended too long ago.")
}

/// The record's version is another one, or there is no record.
pub(super) fn precondition_failed(current: Option<u64>) -> Problem {
    let detail = match current {
        Some(version) => format!("The record's version is {version}, which is not what the call demands."),
        None => "There is no such SKU, and the call demands one.".to_owned(),
    };
    problem::PRECONDITION_FAILED.problem(detail).with("version", current)
}

fn hold_limit(latest_deadline_ms: u64) -> Problem {
    let latest = record::time(latest_deadline_ms);
    let detail = format!("This hold can be extended until {latest}, not beyond.");
    problem::HOLD_LIMIT.problem(detail).with("latest_expires_at", latest)
}

fn customer_limit(sku: &Sku, [limit, held, sold, requested]: [u64; 4]) -> Problem {
    let detail =
        format!("One customer may have {limit} units of {sku}; this one holds {held} and has bought {sold}.");
    problem::CUSTOMER_LIMIT
        .problem(detail)
        // It would fit if the customer's own holds lapsed.
        .retryable(sold.saturating_add(requested) <= limit)
        .with("sku", sku.as_str())
        .with("limit", limit)
        .with("held", held)
        .with("sold", sold)
        .with("requested", requested)
}

fn customer_total(of: Total, [limit, has, requested]: [u64; 3]) -> Problem {
    let (limited_by, what) = match of {
        Total::Holds => ("customer_holds_max", "have LIMIT reservations, held or waiting,"),
        Total::Units => ("customer_units_max", "hold and wait for LIMIT units"),
    };
    let what = what.replace("LIMIT", &limit.to_string());
    problem::CUSTOMER_LIMIT
        .problem(format!("One customer may {what} at a time; this one has {has}."))
        // It would fit if the customer's own reservations ended.
        .retryable(requested <= limit)
        .with("limited_by", limited_by)
        .with("limit", limit)
        .with("has", has)
        .with("requested", requested)
}

fn sku_has_holds(stock: &StockView) -> Problem {
    let StockView { sku, held, waiting, .. } = stock;
    let detail = format!("{held} units of {sku} are held, and {waiting} reservations wait for it.");
    problem::SKU_HAS_HOLDS.problem(detail).with("held", *held).with("waiting", *waiting)
}

fn stock_below_held(stock: &StockView) -> Problem {
    let StockView { sku, on_hand, held, .. } = stock;
    let detail =
        format!("{held} units of {sku} are held and {on_hand} on hand; on_hand stays at {held} or more.");
    problem::STOCK_BELOW_HELD.problem(detail).with("on_hand", *on_hand).with("held", *held)
}
