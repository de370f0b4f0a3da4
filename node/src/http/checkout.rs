//! `/api/checkout`: reserve, commit, release, extend, return.

use axum::extract::{Request, State};
use axum::response::Response;
use client::api::{self, CommitRequest, ExtendRequest, ReleaseRequest, ReserveRequest, ReturnRequest};
use storage::inventory::command::{self, Command, Commit, Extend, IfExpired, Release, Reserve, Return};

use super::body::{self, JsonBody};
use super::problem::Problem;
use super::{Api, Shared, Store, parse, reply};

/// `POST /api/checkout/reserve`: takes a hold for a whole cart, or nothing.
pub(crate) async fn reserve<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    let command = |body: ReserveRequest| {
        Ok(Command::Reserve(Reserve {
            nonce: rand::random(),
            cart_id: parse::name("cart_id", body.cart_id)?,
            customer_id: body.customer_id.map(|id| parse::name("customer_id", id)).transpose()?,
            items: parse::items(&body.items)?,
            ttl_ms: parse::ttl_ms(body.ttl_seconds, api.ttl_seconds_max)?,
            wait: false,
        }))
    };
    run(&api, request, command).await
}

/// `POST /api/checkout/commit`: sells what a hold holds.
pub(crate) async fn commit<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    let command = |body: CommitRequest| {
        Ok(Command::Commit(Commit {
            reservation_id: parse::reservation_id(&body.reservation_id)?,
            payment_token: parse::note("payment_token", body.payment_token)?,
            fencing_token: body.fencing_token,
            if_expired: match body.if_expired.unwrap_or_default() {
                api::IfExpired::Fail => IfExpired::Fail,
                api::IfExpired::Reacquire => IfExpired::Reacquire,
            },
            items: None,
        }))
    };
    run(&api, request, command).await
}

/// `POST /api/checkout/release`: gives a hold's units back to sale.
pub(crate) async fn release<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    let command = |body: ReleaseRequest| {
        let reservation_id = parse::reservation_id(&body.reservation_id)?;
        Ok(Command::Release(Release { reservation_id, items: None }))
    };
    run(&api, request, command).await
}

/// `POST /api/checkout/extend`: moves a hold's deadline.
pub(crate) async fn extend<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    let command = |body: ExtendRequest| {
        let reservation_id = parse::reservation_id(&body.reservation_id)?;
        let ttl_ms = parse::ttl_ms(body.ttl_seconds, api.ttl_seconds_max)?;
        Ok(Command::Extend(Extend { reservation_id, ttl_ms }))
    };
    run(&api, request, command).await
}

/// `POST /api/checkout/return`: takes sold units back into stock.
pub(crate) async fn take_back<S: Store>(
    State(api): Shared<S>,
    request: Request,
) -> Result<Response, Problem> {
    let command = |body: ReturnRequest| {
        let reservation_id = parse::reservation_id(&body.reservation_id)?;
        Ok(Command::Return(Return { reservation_id, items: None }))
    };
    run(&api, request, command).await
}

/// Runs any call that is a command: parses its body, makes the command, gets it applied and answers.
pub(super) async fn run<S: Store, T: JsonBody>(
    api: &Api<S>,
    request: Request,
    command: impl FnOnce(T) -> Result<Command, Problem>,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    parse::no_query(&head.uri)?;
    let idempotency_key = parse::idempotency_key(&head.headers)?;
    let command = command(body::read(&head.headers, body).await?)?;
    let answer = api.submit(command::Request { idempotency_key, command }).await;
    Ok(reply::command(answer))
}
