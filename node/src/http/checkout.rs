//! `/api/checkout`: reserve, commit, release, extend, return.

use axum::extract::{Request, State};
use axum::response::Response;
use client::api::{CommitRequest, ExtendRequest, ReleaseRequest, ReserveRequest, ReturnRequest};
use storage::inventory::command::{self, Command};

use super::body::{self, JsonBody};
use super::problem::Problem;
use super::query::Query;
use super::{Api, Shared, Store, commands, guard, parse, reply};
use crate::trace::{self, Trace};

/// A call of this family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// [`reserve`]
    Reserve,
    /// [`commit`]
    Commit,
    /// [`release`]
    Release,
    /// [`extend`]
    Extend,
    /// [`take_back`]
    Return,
}

impl Call {
    /// All of them.
    pub(crate) const ALL: [Call; 5] =
        [Call::Reserve, Call::Commit, Call::Release, Call::Extend, Call::Return];

    /// Its path.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Call::Reserve => "/api/checkout/reserve",
            Call::Commit => "/api/checkout/commit",
            Call::Release => "/api/checkout/release",
            Call::Extend => "/api/checkout/extend",
            Call::Return => "/api/checkout/return",
        }
    }

    /// The command of its body.
    pub(super) fn command(self, body: &[u8], ttl_seconds_max: u64) -> Result<Command, Problem> {
        match self {
            Call::Reserve => commands::reserve(body::parse(body)?, ttl_seconds_max),
            Call::Commit => commands::commit(body::parse(body)?),
            Call::Release => commands::release(body::parse(body)?),
            Call::Extend => commands::extend(body::parse(body)?, ttl_seconds_max),
            Call::Return => commands::take_back(body::parse(body)?),
        }
    }
}

/// `POST /api/checkout/reserve`: takes a hold for a whole cart, or nothing; or joins the line.
pub(crate) async fn reserve<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    run(&api, request, |body: ReserveRequest| commands::reserve(body, api.ttl_seconds_max)).await
}

/// `POST /api/checkout/commit`: sells what a hold holds, or a part of it.
pub(crate) async fn commit<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    run(&api, request, |body: CommitRequest| commands::commit(body)).await
}

/// `POST /api/checkout/release`: gives a hold's units, or a part of them, back to sale.
pub(crate) async fn release<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    run(&api, request, |body: ReleaseRequest| commands::release(body)).await
}

/// `POST /api/checkout/extend`: moves a hold's deadline.
pub(crate) async fn extend<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    run(&api, request, |body: ExtendRequest| commands::extend(body, api.ttl_seconds_max)).await
}

/// `POST /api/checkout/return`: takes sold units back into stock.
pub(crate) async fn take_back<S: Store>(
    State(api): Shared<S>,
    request: Request,
) -> Result<Response, Problem> {
    run(&api, request, |body: ReturnRequest| commands::take_back(body)).await
}

/// Runs any call whose body becomes a command: parses it, makes the command, gets it applied and answers.
pub(super) async fn run<S: Store, T: JsonBody>(
    api: &Api<S>,
    request: Request,
    command: impl FnOnce(T) -> Result<Command, Problem>,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    Query::of(&head.uri, &[])?;
    let idempotency_key = parse::idempotency_key(&head.headers)?;
    let command = command(body::read(&head.headers, body).await?)?;
    let grant = guard::grant(&head.extensions);
    api.covers(&grant, &command).await?;
    let units_field = commands::units_field(&command);
    let submitted = api.submit(&grant, command::Request { idempotency_key, command });
    let answer = trace::submitting(head.extensions.get::<Trace>(), submitted).await;
    let (answer, units_field) = api.conceal(&grant, Ok((answer, units_field))).await?;
    Ok(reply::command(answer, units_field))
}
