//! The HTTP interface: the only place that sees both wire types and commands.
//!
//! ```text
//!   connection        server    accepts, bounds, drains
//!      |
//!   observe           mod       counts, times, refuses at once what is too much
//!      |
//!   checkout, inventory, reservations, cluster
//!      |   body, parse          bytes -> typed body -> values in range   (400, 413, 415)
//!      |   store                submit or read, through whichever node leads
//!      |   reply                Outcome, Rejection, Read -> status and body
//!      v
//!   answer            JSON, or a problem document
//! ```
//!
//! Invariants:
//! - Every answer that is not a success is a problem document, an unknown path's and a wrong method's included.
//! - A call costs no task, no lock shared with other calls and no copy of its body.
//! - Nothing here decides about stock: what passes the parsers goes to the store as it is.
//!
//! What is absent: authentication and rate limits.

mod body;
mod checkout;
mod cluster;
mod inventory;
mod limits;
mod parse;
mod problem;
mod reply;
mod reservations;
mod server;
mod store;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use raft::{Answer, ProposeError, ReadError};
use storage::inventory::command;
use tokio::time::timeout;

pub(crate) use server::{bind, serve};
pub(crate) use store::Store;

use self::limits::{CALL_TIME_MAX, CALLS_MAX};
use self::problem::Problem;
use crate::clock::Stopwatch;
use crate::metrics::{Metrics, Route};

/// What every handler shares.
pub(crate) struct Api<S> {
    /// The replicated store.
    pub(crate) store: S,
    /// The cluster's name.
    pub(crate) cluster_name: String,
    /// This node's id.
    pub(crate) node_id: u64,
    /// The greatest `ttl_seconds`.
    pub(crate) ttl_seconds_max: u64,
    /// Counters of the HTTP side.
    pub(crate) metrics: Metrics,
    /// How many calls are in flight: at most [`CALLS_MAX`], and a few that are being refused.
    calls: AtomicUsize,
}

type Shared<S> = State<Arc<Api<S>>>;

impl<S: Store> Api<S> {
    /// The interface to that store.
    pub(crate) fn new(store: S, cluster_name: String, node_id: u64, ttl_seconds_max: u64) -> Api<S> {
        let (metrics, calls) = (Metrics::default(), AtomicUsize::new(0));
        Api { store, cluster_name, node_id, ttl_seconds_max, metrics, calls }
    }

    /// The routes.
    pub(crate) fn router(self) -> Router {
        let api = Arc::new(self);
        Router::new()
            .route("/api/checkout/reserve", post(checkout::reserve::<S>))
            .route("/api/checkout/commit", post(checkout::commit::<S>))
            .route("/api/checkout/release", post(checkout::release::<S>))
            .route("/api/checkout/extend", post(checkout::extend::<S>))
            .route("/api/checkout/return", post(checkout::take_back::<S>))
            .route("/api/reservations/{id}", get(reservations::get::<S>))
            .route("/api/inventory/{sku}", get(inventory::get::<S>).put(inventory::put::<S>))
            .route("/api/inventory/{sku}/adjust", post(inventory::adjust::<S>))
            .route("/api/cluster", get(cluster::cluster::<S>))
            .route("/livez", get(cluster::livez))
            .route("/readyz", get(cluster::readyz::<S>))
            .route("/metrics", get(cluster::metrics::<S>))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn_with_state(Arc::clone(&api), observe::<S>))
            .with_state(api)
    }

    /// Gets a command applied. A store that does not answer in time leaves the outcome unknown.
    async fn submit(&self, request: command::Request) -> Result<Answer, ProposeError> {
        let answer = timeout(CALL_TIME_MAX, self.store.submit(request)).await;
        answer.unwrap_or(Err(ProposeError::OutcomeUnknown))
    }

    /// Waits for a read, but not for ever.
    async fn read<T>(&self, read: impl Future<Output = Result<T, ReadError>>) -> Result<T, Problem> {
        let read = timeout(CALL_TIME_MAX, read).await;
        read.unwrap_or(Err(ReadError::NoQuorum)).map_err(reply::not_read)
    }

    /// Room for one more call, or `None`.
    fn enter(&self) -> Option<Entered<'_>> {
        // Entered first and looked at afterwards: of many that come at once, none slips past the bound.
        let entered = Entered { calls: &self.calls };
        (self.calls.fetch_add(1, Ordering::Relaxed) < CALLS_MAX).then_some(entered)
    }
}

/// A call in flight.
struct Entered<'a> {
    calls: &'a AtomicUsize,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts and times a call, and refuses it at once where too many are in flight.
async fn observe<S: Store>(State(api): Shared<S>, request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = Route::of(request.method(), path);
    let entered = api.enter();
    let response = match entered.is_some() || route.is_of_operators() {
        true => next.run(request).await,
        false => reply::overloaded().into_response(),
    };
    api.metrics.answered(route, response.status(), watch.elapsed());
    response
}

async fn not_found() -> Problem {
    problem::NOT_FOUND.problem("No call has this path.")
}

/// The router adds `Allow`.
async fn method_not_allowed(method: Method) -> Problem {
    problem::METHOD_NOT_ALLOWED.problem(format!("This path does not answer {method}; see Allow."))
}

#[cfg(test)]
mod tests;
