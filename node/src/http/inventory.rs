//! `/api/inventory`: a SKU's figures, set, adjusted and read.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use client::api::{AdjustRequest, PutSkuRequest};
use storage::inventory::command::{AdjustSku, Command, PutSku};
use storage::inventory::ids::{Sku, UNITS_MAX};

use super::problem::{Problem, invalid};
use super::{Shared, Store, checkout, parse, reply};

/// The query of an address, as far as it could be read.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// A part of the path, as far as it could be read.
pub(super) type Part = Result<Path<String>, PathRejection>;

/// `PUT /api/inventory/{sku}`: makes a SKU, or sets its figures.
pub(crate) async fn put<S: Store>(
    State(api): Shared<S>,
    sku: Part,
    request: Request,
) -> Result<Response, Problem> {
    let sku = self::sku(sku)?;
    let command = |body: PutSkuRequest| {
        let on_hand = units("on_hand", body.on_hand)?;
        let safety_stock = body.safety_stock.map(|given| units("safety_stock", given)).transpose()?;
        Ok(Command::PutSku(PutSku {
            sku,
            on_hand,
            safety_stock,
            max_per_customer: Default::default(),
            on_shortfall: Default::default(),
            precondition: Default::default(),
        }))
    };
    checkout::run(&api, request, command).await
}

/// `POST /api/inventory/{sku}/adjust`: adds to a SKU's on_hand, or takes from it.
pub(crate) async fn adjust<S: Store>(
    State(api): Shared<S>,
    sku: Part,
    request: Request,
) -> Result<Response, Problem> {
    let sku = self::sku(sku)?;
    let command = |body: AdjustRequest| {
        let delta = delta(body.delta)?;
        let reason = parse::note("reason", body.reason)?;
        let reference = parse::note("reference", body.reference)?;
        Ok(Command::AdjustSku(AdjustSku {
            sku,
            delta,
            reason,
            reference,
            on_shortfall: Default::default(),
            precondition: Default::default(),
        }))
    };
    checkout::run(&api, request, command).await
}

/// `GET /api/inventory/{sku}`: a SKU's figures.
pub(crate) async fn get<S: Store>(
    State(api): Shared<S>,
    sku: Part,
    query: Pairs,
) -> Result<Response, Problem> {
    let sku = self::sku(sku)?;
    let consistency = consistency(query)?;
    let read = api.read(api.store.stock(sku, consistency)).await?;
    Ok(reply::stock(read, consistency))
}

/// How fresh a read is to be.
pub(super) fn consistency(query: Pairs) -> Result<super::store::Consistency, Problem> {
    match query {
        Ok(Query(pairs)) => parse::consistency(&pairs),
        Err(_) => Err(invalid("query", "Is not made of name=value pairs in UTF-8.")),
    }
}

fn sku(part: Part) -> Result<Sku, Problem> {
    match part {
        Ok(Path(name)) => parse::sku("sku", &name),
        Err(_) => Err(invalid("sku", "Is not UTF-8 once its percent signs are decoded.")),
    }
}

fn units(field: &str, given: u64) -> Result<u64, Problem> {
    match given <= UNITS_MAX {
        true => Ok(given),
        false => Err(invalid(field, format!("Must be 0 to {UNITS_MAX}."))),
    }
}

fn delta(given: i64) -> Result<i64, Problem> {
    match (1..=UNITS_MAX).contains(&given.unsigned_abs()) {
        true => Ok(given),
        false => Err(invalid("delta", format!("Must be -{UNITS_MAX} to {UNITS_MAX}, and not 0."))),
    }
}
