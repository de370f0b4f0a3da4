//! The HTTP interface: the only place that sees both wire types and commands.
//!
//! ```text
//!   connection        server    accepts, bounds, drains; answers plain checkout calls by itself (lane, direct)
//!      |
//!   observe           mod       counts, times, refuses at once what is too much
//!      |   guard                who may make this call                       (401, 403)
//!      |
//!   checkout, batch, inventory, reservations, events, cluster, members, audit, backup
//!      |   body                 bytes -> typed body                     (400, 413, 415)
//!      |   commands, parse      typed body -> command with values in range     (400)
//!      |   query, precondition  address and headers -> what is wanted          (400)
//!      |   store                submit or read, through whichever node leads
//!      |   reply, record        Outcome, Rejection, Read -> status and body
//!      v
//!   answer            JSON, a problem document, or a stream of events
//! ```
//!
//! A node whose disk is full has no store open, and answers with another router (`full`).
//!
//! What waits for something to happen (`poll`, `stream`) is woken by the one watcher of the change feed (`watch`), and
//! ends when the process is to stop (`drain`).
//!
//! Invariants:
//! - Every answer that is not a success is a problem document, an unknown path's and a wrong method's included.
//! - An outcome gets its status in [`reply`]'s `commands` and nowhere else, a rejection its problem in its
//!   `rejections`; a batch has both from there.
//! - A call costs no task, no lock shared with other calls (but for its buckets, where rates are limited), and no copy
//!   of its body.
//! - Nothing here decides about stock: what passes the parsers goes to the store as it is.
//!
//! What is absent: the limits of commands, which the store has; those of reads are here (`reads`).

mod audit;
mod backup;
mod batch;
mod body;
mod checkout;
mod cloud_event;
mod cluster;
mod commands;
mod cursor;
mod direct;
mod drain;
mod events;
mod full;
mod guard;
mod inventory;
mod limits;
mod members;
#[cfg(feature = "next-version")]
mod next;
mod openapi;
mod pages;
mod parse;
mod poll;
mod precondition;
mod problem;
mod query;
mod reads;
mod record;
mod reply;
mod reservations;
mod server;
mod store;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, ETAG, HOST, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use raft::{Answer, ProposeError, Rate, Read, ReadError};
use storage::inventory::{Inventory, command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub(crate) use drain::Drain;
pub(crate) use full::service as full;
pub(crate) use server::{Door, bind, serve};
pub(crate) use store::Store;

use self::checkout::Call;
use self::events::Events;
use self::limits::{BIG_BODIES_ROOM, CALL_TIME_MAX, CALLS_MAX};
use self::problem::{Problem, invalid};
use self::reads::Reads;
use self::server::{Connections, Crowded};
use self::store::Consistency;
use crate::auth::{Access, Grant};
use crate::clock::Stopwatch;
use crate::metrics::{Metrics, Route};
use crate::tls::Ends;
use crate::trace::Tracer;

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
    /// What is asked of those who call.
    access: Access,
    /// What traces calls.
    tracer: Tracer,
    certificates: Arc<Ends>,
    /// Counters of the HTTP side.
    pub(crate) metrics: Metrics,
    /// How many calls are in flight: at most [`CALLS_MAX`], and a few that are being refused.
    calls: AtomicUsize,
    /// Room for large bodies: see [`BIG_BODIES_ROOM`].
    big_bodies: Arc<Semaphore>,
    /// The change feed, and who waits for it.
    events: Events,
    /// How many reads one token may make.
    reads: Reads,
    /// What became of connections.
    connections: Arc<Connections>,
}

/// What answers the requests of connections.
#[derive(Clone)]
pub(crate) struct Service<S> {
    router: Router,
    /// Answers plain requests of checkout calls without the router; `None`: nothing does.
    api: Option<Arc<Api<S>>>,
    /// What became of connections.
    connections: Arc<Connections>,
    /// It is for operators' calls alone.
    is_crowded: bool,
}

impl<S> Service<S> {
    /// The same for a connection that found a usual seat, or one that found one of the operators'.
    fn seated(self, is_crowded: bool) -> Service<S> {
        let api = if is_crowded { None } else { self.api };
        Service { api, is_crowded, ..self }
    }
}

type Shared<S> = State<Arc<Api<S>>>;

/// Request header: the caller's place in its trace (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl<S: Store> Api<S> {
    /// The interface to that store, for whoever calls.
    pub(crate) fn new(store: S, cluster_name: String, node_id: u64, ttl_seconds_max: u64) -> Api<S> {
        let (metrics, calls) = (Metrics::default(), AtomicUsize::new(0));
        let big_bodies = Arc::new(Semaphore::new(BIG_BODIES_ROOM));
        let events = Events::of(&cluster_name);
        let (access, tracer) = (Access::Open, Tracer::default());
        let (reads, connections) = (Reads::default(), Arc::default());
        Api {
            store,
            cluster_name,
            node_id,
            ttl_seconds_max,
            access,
            tracer,
            certificates: Arc::default(),
            metrics,
            calls,
            big_bodies,
            events,
            reads,
            connections,
        }
    }

    /// The same for those only who read no faster than that, each with a token of its own.
    pub(crate) fn reads_at_most(self, rate: Option<Rate>) -> Api<S> {
        Api { reads: Reads::new(rate), ..self }
    }

    /// The same for those only who are admitted.
    pub(crate) fn guarded_by(self, access: Access) -> Api<S> {
        Api { access, ..self }
    }

    /// The same with calls traced.
    pub(crate) fn traced_by(self, tracer: Tracer) -> Api<S> {
        Api { tracer, ..self }
    }

    /// The same, which tells when these certificates end.
    pub(crate) fn with_certificates(self, certificates: Arc<Ends>) -> Api<S> {
        Api { certificates, ..self }
    }

    /// What ends the calls that would wait for long, once it has begun.
    pub(crate) fn drain(&self) -> Drain {
        self.events.drain.clone()
    }

    /// All that it answers.
    pub(crate) fn service(self) -> Service<S> {
        let api = Arc::new(self);
        let connections = Arc::clone(&api.connections);
        Service { router: Api::routed(Arc::clone(&api)), api: Some(api), connections, is_crowded: false }
    }

    /// The routes.
    fn routed(api: Arc<Api<S>>) -> Router {
        let add = |router: Router<Arc<Api<S>>>, (path, methods)| router.route(path, methods);
        routes(api.ttl_seconds_max)
            .into_iter()
            .fold(Router::new(), add)
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn_with_state(Arc::clone(&api), observe::<S>))
            .with_state(api)
    }

    /// Gets a command applied. A store that does not answer in time leaves the outcome unknown.
    async fn submit(&self, grant: &Grant, request: command::Request) -> Result<Answer, ProposeError> {
        let is_reserve = is_reserve(&request);
        let answer = timeout(CALL_TIME_MAX, self.store.submit(request, grant.token_id())).await;
        let answer = answer.unwrap_or(Err(ProposeError::OutcomeUnknown));
        if is_reserve {
            self.metrics.reserves.count(&answer);
        }
        answer
    }

    /// Gets many commands applied, likewise.
    async fn submit_many(
        &self,
        grant: &Grant,
        requests: Vec<command::Request>,
    ) -> Vec<Result<Answer, ProposeError>> {
        let are_reserves: Vec<bool> = requests.iter().map(is_reserve).collect();
        let answers = timeout(CALL_TIME_MAX, self.store.submit_many(requests, grant.token_id())).await;
        let answers = answers.unwrap_or_else(|_| vec![Err(ProposeError::OutcomeUnknown); are_reserves.len()]);
        let reserves = answers.iter().zip(&are_reserves).filter(|(_, is_reserve)| **is_reserve);
        reserves.for_each(|(answer, _)| self.metrics.reserves.count(answer));
        answers
    }

    /// What a query finds; waits for it, but not for ever.
    async fn read<T: Send>(
        &self,
        consistency: Consistency,
        query: impl FnOnce(&Inventory) -> T + Send,
    ) -> Result<Read<T>, Problem> {
        let read = timeout(CALL_TIME_MAX, self.store.read(consistency, query)).await;
        read.unwrap_or(Err(ReadError::NoQuorum)).map_err(reply::not_read)
    }

    /// Room for one more call, or `None`.
    fn enter(&self) -> Option<Entered<'_>> {
        // Entered first and looked at afterwards: of many that come at once, none slips past the bound.
        let entered = Entered { calls: &self.calls };
        (self.calls.fetch_add(1, Ordering::Relaxed) < CALLS_MAX).then_some(entered)
    }

    /// While a call only waits for something to happen it takes nobody's room.
    fn step_outside(&self) -> Outside<'_> {
        self.calls.fetch_sub(1, Ordering::Relaxed);
        Outside { calls: &self.calls }
    }
}

fn is_reserve(request: &command::Request) -> bool {
    matches!(request.command, command::Command::Reserve(_))
}

/// Every path, and the methods that it answers.
fn routes<S: Store>(ttl_seconds_max: u64) -> Vec<(&'static str, MethodRouter<Arc<Api<S>>>)> {
    let sku = get(inventory::get::<S>).put(inventory::put::<S>).delete(inventory::delete::<S>);
    let calls = [
        (Call::Reserve.path(), post(checkout::reserve::<S>)),
        (Call::Commit.path(), post(checkout::commit::<S>)),
        (Call::Release.path(), post(checkout::release::<S>)),
        (Call::Extend.path(), post(checkout::extend::<S>)),
        (Call::Return.path(), post(checkout::take_back::<S>)),
        ("/api/reservations", get(reservations::list::<S>)),
        ("/api/reservations/{id}", get(reservations::get::<S>)),
        ("/api/inventory", get(inventory::list::<S>)),
        ("/api/inventory/{sku}", sku),
        ("/api/inventory/{sku}/adjust", post(inventory::adjust::<S>)),
        ("/api/batch", post(batch::batch::<S>)),
        ("/api/events", get(events::get::<S>)),
        ("/api/cluster", get(cluster::cluster::<S>)),
        ("/api/cluster/members", post(members::add::<S>)),
        ("/api/cluster/members/{id}", delete(members::remove::<S>)),
        ("/api/cluster/members/{id}/promote", post(members::promote::<S>)),
        ("/api/cluster/members/{id}/replace", post(members::replace::<S>)),
        ("/api/cluster/leader", post(members::lead::<S>)),
        ("/api/cluster/backup", get(backup::backup::<S>)),
        ("/api/audit", get(audit::audit::<S>)),
        ("/livez", get(cluster::livez)),
        ("/readyz", get(cluster::readyz::<S>)),
        ("/metrics", get(cluster::metrics::<S>)),
    ];
    #[cfg(feature = "next-version")]
    let calls = calls.into_iter().chain(next::routes());
    calls.into_iter().chain(openapi::routes(ttl_seconds_max)).collect()
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

/// A call that waits, and is not counted as in flight. It comes back in without asking for room: it is nearly done.
struct Outside<'a> {
    calls: &'a AtomicUsize,
}

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts and times a call, and refuses it at once where too many are in flight.
async fn observe<S: Store>(State(api): Shared<S>, mut request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = Route::of(request.method(), path);
    let trace = api.tracer.begin(traceparent(request.headers()));
    let is_crowded = request.extensions().get::<Crowded>().is_some();
    let entered = if is_crowded { None } else { api.enter() };
    let of_state =
        [Method::GET, Method::HEAD].contains(request.method()) && request.uri().path().starts_with("/api/");
    let admitted = check_host(&request)
        .and_then(|()| guard::admit(&api.access, request.method(), path, request.headers()))
        .and_then(|grant| if of_state { api.reads.take(grant) } else { Ok(grant) });
    let mut response = match admitted {
        Err(problem) => problem.into_response(),
        Ok(grant) if entered.is_some() || route.is_of_operators() => {
            request.extensions_mut().insert(grant);
            if let Some(trace) = &trace {
                request.extensions_mut().insert(trace.clone());
            }
            next.run(request).await
        }
        Ok(_) => reply::overloaded().into_response(),
    };
    if of_state {
        bound_caches(response.headers_mut());
    }
    if let Some(trace) = &trace {
        reply::tell_trace(response.headers_mut(), trace.context());
        api.tracer.end(trace, route.names(), response.status().as_u16());
    }
    api.metrics.answered(route, response.status(), watch.elapsed());
    response
}

/// The caller's place in its trace, where it says one: two of them say nothing.
fn traceparent(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    given.next().filter(|_| given.next().is_none()).map(HeaderValue::as_bytes)
}

/// A cache may keep what has a tag to ask again with, and asks each time; it keeps nothing else of the state.
fn bound_caches(headers: &mut HeaderMap) {
    let word = if headers.contains_key(ETAG) { "no-cache" } else { "no-store" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(word));
}

/// One `Host` comes with each request of HTTP/1.1 (RFC 9112, section 3.2); the library leaves that to us.
fn check_host(request: &Request) -> Result<(), Problem> {
    let hosts = request.headers().get_all(HOST).iter().count();
    match hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11) {
        true => Ok(()),
        false => Err(invalid("Host", "A request of HTTP/1.1 has one Host.")),
    }
}

async fn not_found() -> Problem {
    problem::NOT_FOUND.problem("No call has this path.")
}

/// The router adds `Allow`.
async fn method_not_allowed(method: Method) -> Problem {
    problem::METHOD_NOT_ALLOWED.problem(format!("This path does not answer {method}; see Allow."))
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
