//! From a typed body to a command: one function for each call, shared by the call itself and by
//! [`batch`](super::batch).
//!
//! What comes out is in range. What goes in came through serde, so that it is of the right types.

use client::api::{
    self, AdjustRequest, CommitRequest, ExtendRequest, PutSkuRequest, ReleaseRequest, ReserveRequest,
    ReturnRequest,
};
use storage::inventory::command::{
    AdjustSku, Command, Commit, Extend, IfExpired, OnShortfall, Precondition, PutSku, Release, Reserve,
    Return, Setting,
};
use storage::inventory::ids::{Sku, UNITS_MAX};

use super::parse;
use super::problem::{Problem, invalid};

/// `POST /api/checkout/reserve`.
pub(super) fn reserve(body: ReserveRequest, ttl_seconds_max: u64) -> Result<Command, Problem> {
    let cart_id = parse::name("cart_id", body.cart_id)?;
    let customer_id = body.customer_id.map(|id| parse::name("customer_id", id)).transpose()?;
    let items = parse::items(&body.items)?;
    let ttl_ms = parse::ttl_ms(body.ttl_seconds, ttl_seconds_max)?;
    let wait = body.wait.unwrap_or_default();
    if wait && items.len() > 1 {
        return Err(invalid("wait", "A cart can wait for one SKU; this one has several."));
    }
    Ok(Command::Reserve(Reserve { nonce: rand::random(), cart_id, customer_id, items, ttl_ms, wait }))
}

/// `POST /api/checkout/commit`.
pub(super) fn commit(body: CommitRequest) -> Result<Command, Problem> {
    Ok(Command::Commit(Commit {
        reservation_id: parse::reservation_id(&body.reservation_id)?,
        payment_token: parse::note("payment_token", body.payment_token)?,
        fencing_token: body.fencing_token,
        if_expired: match body.if_expired.unwrap_or_default() {
            api::IfExpired::Fail => IfExpired::Fail,
            api::IfExpired::Reacquire => IfExpired::Reacquire,
        },
        items: part(body.items)?,
    }))
}

/// `POST /api/checkout/release`.
pub(super) fn release(body: ReleaseRequest) -> Result<Command, Problem> {
    let reservation_id = parse::reservation_id(&body.reservation_id)?;
    Ok(Command::Release(Release { reservation_id, items: part(body.items)? }))
}

/// `POST /api/checkout/extend`.
pub(super) fn extend(body: ExtendRequest, ttl_seconds_max: u64) -> Result<Command, Problem> {
    let reservation_id = parse::reservation_id(&body.reservation_id)?;
    let ttl_ms = parse::ttl_ms(body.ttl_seconds, ttl_seconds_max)?;
    Ok(Command::Extend(Extend { reservation_id, ttl_ms }))
}

/// `POST /api/checkout/return`.
pub(super) fn take_back(body: ReturnRequest) -> Result<Command, Problem> {
    let reservation_id = parse::reservation_id(&body.reservation_id)?;
    Ok(Command::Return(Return { reservation_id, items: part(body.items)? }))
}

/// `PUT /api/inventory/{sku}`.
pub(super) fn put(sku: Sku, precondition: Precondition, body: PutSkuRequest) -> Result<Command, Problem> {
    let on_hand = units("on_hand", 0, body.on_hand)?;
    let safety_stock = body.safety_stock.map(|given| units("safety_stock", 0, given)).transpose()?;
    let max_per_customer = match body.max_per_customer {
        None => Setting::Keep,
        Some(None) => Setting::Clear,
        Some(Some(given)) => Setting::Set(units("max_per_customer", 1, given)?),
    };
    let on_shortfall = on_shortfall(body.on_shortfall);
    Ok(Command::PutSku(PutSku { sku, on_hand, safety_stock, max_per_customer, on_shortfall, precondition }))
}

/// `POST /api/inventory/{sku}/adjust`.
pub(super) fn adjust(sku: Sku, precondition: Precondition, body: AdjustRequest) -> Result<Command, Problem> {
    let delta = delta(body.delta)?;
    let reason = parse::note("reason", body.reason)?;
    let reference = parse::note("reference", body.reference)?;
    let on_shortfall = on_shortfall(body.on_shortfall);
    Ok(Command::AdjustSku(AdjustSku { sku, delta, reason, reference, on_shortfall, precondition }))
}

/// The field of a call that asks for more units than a SKU may have.
pub(super) fn units_field(command: &Command) -> &'static str {
    match command {
        Command::AdjustSku(_) => "delta",
        Command::Return(_) | Command::Commit(_) => "items",
        _ => "on_hand",
    }
}

fn part(items: Option<Vec<api::Item>>) -> Result<Option<Vec<storage::inventory::ids::Item>>, Problem> {
    items.map(|items| parse::items(&items)).transpose()
}

fn on_shortfall(given: Option<api::OnShortfall>) -> OnShortfall {
    match given.unwrap_or_default() {
        api::OnShortfall::Refuse => OnShortfall::Refuse,
        api::OnShortfall::RevokeNewest => OnShortfall::RevokeNewest,
    }
}

fn units(field: &str, least: u64, given: u64) -> Result<u64, Problem> {
    match (least..=UNITS_MAX).contains(&given) {
        true => Ok(given),
        false => Err(invalid(field, format!("Must be {least} to {UNITS_MAX}."))),
    }
}

fn delta(given: i64) -> Result<i64, Problem> {
    match (1..=UNITS_MAX).contains(&given.unsigned_abs()) {
        true => Ok(given),
        false => Err(invalid("delta", format!("Must be -{UNITS_MAX} to {UNITS_MAX}, and not 0."))),
    }
}
