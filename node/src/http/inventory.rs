//! `/api/inventory`: a SKU's figures, set, adjusted, read, listed and removed.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::http::header::HeaderMap;
use axum::response::Response;
use client::api::{AdjustRequest, PutSkuRequest};
use storage::inventory::Inventory;
use storage::inventory::command::{self, Command, DeleteSku};
use storage::inventory::ids::Sku;

use super::precondition::{self, ReadConditions};
use super::problem::{Problem, invalid};
use super::query::Query;
use super::{Shared, Store, checkout, commands, guard, parse, reply};

/// A part of the path, as far as it could be read.
pub(super) type Part = Result<Path<String>, PathRejection>;

/// `PUT /api/inventory/{sku}`: makes a SKU, or sets its figures.
pub(crate) async fn put<S: Store>(
    State(api): Shared<S>,
    sku: Part,
    request: Request,
) -> Result<Response, Problem> {
    let sku = self::sku(sku)?;
    let precondition = precondition::of_put(request.headers())?;
    checkout::run(&api, request, |body: PutSkuRequest| commands::put(sku, precondition, body)).await
}

/// `POST /api/inventory/{sku}/adjust`: adds to a SKU's on_hand, or takes from it.
pub(crate) async fn adjust<S: Store>(
    State(api): Shared<S>,
    sku: Part,
    request: Request,
) -> Result<Response, Problem> {
    let sku = self::sku(sku)?;
    let precondition = precondition::of_change(request.headers())?;
    checkout::run(&api, request, |body: AdjustRequest| commands::adjust(sku, precondition, body)).await
}

/// `DELETE /api/inventory/{sku}`: removes a SKU that nobody holds or waits for.
pub(crate) async fn delete<S: Store>(
    State(api): Shared<S>,
    sku: Part,
    request: Request,
) -> Result<Response, Problem> {
    let sku = self::sku(sku)?;
    Query::of(request.uri(), &[])?;
    let precondition = precondition::of_change(request.headers())?;
    let idempotency_key = parse::idempotency_key(request.headers())?;
    let grant = guard::grant(request.extensions());
    let command = Command::DeleteSku(DeleteSku { sku, precondition });
    let units_field = commands::units_field(&command);
    let answer = api.submit(&grant, command::Request { idempotency_key, command }).await;
    Ok(reply::command(answer, units_field))
}

/// `GET /api/inventory/{sku}`: a SKU's figures.
pub(crate) async fn get<S: Store>(
    State(api): Shared<S>,
    sku: Part,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sku = self::sku(sku)?;
    let consistency = Query::of(&uri, &["consistency"])?.consistency()?;
    let conditions = ReadConditions::of(&headers)?;
    let read = api.read(consistency, move |inventory| inventory.stock(&sku)).await?;
    Ok(reply::stock(read, consistency, &conditions))
}

/// `GET /api/inventory`: SKUs in order of their names.
pub(crate) async fn list<S: Store>(State(api): Shared<S>, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["prefix", "limit", "cursor", "consistency"])?;
    let prefix = prefix(query.get("prefix").unwrap_or_default())?;
    let (after, limit, consistency) = (query.cursor()?, query.limit()?, query.consistency()?);
    let page = move |inventory: &Inventory| inventory.list_stocks(&prefix, after.as_ref(), limit);
    let read = api.read(consistency, page).await?;
    Ok(reply::stocks(&read, consistency))
}

pub(super) fn sku(part: Part) -> Result<Sku, Problem> {
    match part {
        Ok(Path(name)) => parse::sku("sku", &name),
        Err(_) => Err(invalid("sku", "Is not UTF-8 once its percent signs are decoded.")),
    }
}

/// The beginning of a SKU's name; all names begin with nothing.
fn prefix(text: &str) -> Result<String, Problem> {
    match text {
        "" => Ok(String::new()),
        text => parse::sku("prefix", text).map(|prefix| prefix.as_str().to_owned()),
    }
}
