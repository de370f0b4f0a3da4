//! What only the next version has: for the test of an upgrade. No release has it.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use std::sync::Arc;
use storage::inventory::command::{self, Command};

use super::inventory::{self, Part};
use super::problem::Problem;
use super::{Api, Shared, Store, reply};
use crate::auth::Grant;

/// The paths, and the methods that they answer.
pub(super) fn routes<S: Store>() -> [(&'static str, MethodRouter<Arc<Api<S>>>); 1] {
    [("/api/inventory/{sku}/keep_back", post(keep_back::<S>))]
}

/// `POST /api/inventory/{sku}/keep_back`: keeps one unit more of a SKU back from sale.
async fn keep_back<S: Store>(
    State(api): Shared<S>,
    Extension(grant): Extension<Grant>,
    sku: Part,
) -> Result<Response, Problem> {
    let command = Command::KeepBack(inventory::sku(sku)?);
    let answer = api.submit(&grant, command::Request { idempotency_key: None, command }).await;
    Ok(reply::command(answer, "safety_stock"))
}
