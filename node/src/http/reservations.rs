//! `/api/reservations`: reservations, read, waited for and listed.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use storage::inventory::Inventory;
use storage::inventory::outcome::State as Life;
use storage::inventory::query::ReservationFilter;

use super::inventory::Part;
use super::limits::WAIT_SECONDS_MAX;
use super::problem::{Problem, invalid};
use super::query::Query;
use super::{Shared, Store, pages, parse, poll, reply};
use crate::auth::Grant;

/// `GET /api/reservations/{id}`: a reservation as it is now, or once it has changed.
pub(crate) async fn get<S: Store>(
    State(api): Shared<S>,
    id: Part,
    Extension(grant): Extension<Grant>,
    uri: Uri,
) -> Result<Response, Problem> {
    let id = parse::reservation_id_in_path(id)?;
    let query = Query::of(&uri, &["consistency", "wait_seconds", "while"])?;
    let consistency = query.consistency()?;
    api.covers_reservation(&grant, id).await?;
    let while_in = query.get("while").map(|word| state("while", word)).transpose()?;
    let read = match query.number("wait_seconds", 1..=WAIT_SECONDS_MAX)? {
        None => api.read(consistency, move |inventory| inventory.reservation(id)).await?,
        Some(seconds) => {
            let time_max = Duration::from_secs(seconds);
            poll::reservation(&api, id, consistency, while_in, time_max).await?
        }
    };
    Ok(reply::reservation(read, consistency))
}

/// `GET /api/reservations`: reservations in the order in which they were made.
pub(crate) async fn list<S: Store>(State(api): Shared<S>, uri: Uri) -> Result<Response, Problem> {
    let known = ["cart_id", "customer_id", "sku", "state", "limit", "cursor", "consistency"];
    let query = Query::of(&uri, &known)?;
    let filter = filter(&query)?;
    let (after, limit, consistency) = (query.cursor()?, query.limit()?, query.consistency()?);
    let page = move |inventory: &Inventory| {
        let mut page = inventory.list_reservations(&filter, after, limit);
        pages::end_reservations(&mut page);
        page
    };
    let read = api.read(consistency, page).await?;
    Ok(reply::reservations(read, consistency))
}

fn filter(query: &Query) -> Result<ReservationFilter, Problem> {
    let name = |field| query.get(field).map(|text| parse::name(field, text.to_owned())).transpose();
    Ok(ReservationFilter {
        cart_id: name("cart_id")?,
        customer_id: name("customer_id")?,
        sku: query.get("sku").map(|name| parse::sku("sku", name)).transpose()?,
        state: query.get("state").map(|word| state("state", word)).transpose()?,
    })
}

fn state(field: &str, word: &str) -> Result<Life, Problem> {
    use Life::{Committed, Expired, Held, Released, Revoked, Waiting};
    let states = [Waiting, Held, Committed, Released, Expired, Revoked];
    let detail = "Must be waiting, held, committed, released, expired or revoked.";
    states.into_iter().find(|state| state.as_str() == word).ok_or_else(|| invalid(field, detail))
}
