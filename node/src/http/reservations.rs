//! `/api/reservations`: reservations, read.

use axum::extract::{Path, State};
use axum::response::Response;

use super::inventory::{Pairs, Part, consistency};
use super::problem::{Problem, invalid};
use super::{Shared, Store, parse, reply};

/// `GET /api/reservations/{id}`: a reservation as it is now.
pub(crate) async fn get<S: Store>(
    State(api): Shared<S>,
    id: Part,
    query: Pairs,
) -> Result<Response, Problem> {
    let id = match id {
        Ok(Path(text)) => parse::reservation_id(&text)?,
        Err(_) => {
            return Err(invalid("reservation_id", "Is not UTF-8 once its percent signs are decoded."));
        }
    };
    let consistency = consistency(query)?;
    let read = api.read(api.store.reservation(id, consistency)).await?;
    Ok(reply::reservation(read, consistency))
}
