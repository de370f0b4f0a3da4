//! `POST /api/batch`: many commands in one call, each its own.
//!
//! ```text
//!   bytes --one pass--> [ text of each operation ]      not JSON, no list, too many, not an object: all refused
//!                          |  one pass each
//!                          v
//!                       Fields -> the call's body -> command      a mistake refuses that operation alone
//!                                                      |
//!                       submit_many: one unit, in order
//!                                                      |
//!                       results, in order, in one buffer
//! ```
//!
//! The operations' texts are only borrowed from the body. An operation is parsed into the fields of all calls at
//! once, because which call it is may be said last; what its call does not take is refused like any unknown field.

use std::fmt;
use std::vec::IntoIter;

use axum::extract::{Request, State};
use axum::response::Response;
use client::api::{
    self, AdjustRequest, CommitRequest, ExtendRequest, IfExpired, Item, OnShortfall, ReleaseRequest,
    ReserveRequest, ReturnRequest,
};
use raft::{Answer, ProposeError};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use storage::inventory::command::{self, Command, Precondition};

use super::body::{self, JsonBody, Shape};
use super::limits::OPERATIONS_MAX;
use super::problem::{Problem, invalid};
use super::query::Query;
use super::{Shared, Store, commands, guard, parse, reply};

/// `POST /api/batch`.
pub(crate) async fn batch<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    Query::of(&head.uri, &[])?;
    if head.headers.contains_key(api::IDEMPOTENCY_KEY) {
        return Err(invalid("Idempotency-Key", "Give each operation an idempotency_key of its own."));
    }
    let big = body::read_big(&head.headers, body, &api.big_bodies).await?;
    let (mut operations, room) = (parse_all(&big.bytes, api.ttl_seconds_max)?, big.room);
    drop(big.bytes);
    let grant = guard::grant(&head.extensions);
    api.refuse_uncovered(&grant, &mut operations).await?;
    let parsed = Parsed::of(operations);
    let answers = api.submit_many(&grant, parsed.requests).await;
    let fates = Fates { each: parsed.each, answers: answers.into_iter() };
    if grant.bounds().is_none() {
        return Ok(reply::results(fates, room));
    }
    let mut concealed = Vec::with_capacity(fates.len());
    for fate in fates {
        concealed.push(api.conceal(&grant, fate).await);
    }
    Ok(reply::results(concealed.into_iter(), room))
}

/// The operations that became commands, and the problems that stand in the place of others.
struct Parsed {
    requests: Vec<command::Request>,
    /// One for each operation: why it is no command, or its field that may ask for too many units.
    each: IntoIter<Result<&'static str, Problem>>,
}

impl Parsed {
    fn of(operations: Vec<Result<command::Request, Problem>>) -> Parsed {
        let mut requests = Vec::with_capacity(operations.len());
        let mut each = Vec::with_capacity(operations.len());
        for operation in operations {
            each.push(operation.map(|request| {
                let units_field = commands::units_field(&request.command);
                requests.push(request);
                units_field
            }));
        }
        Parsed { requests, each: each.into_iter() }
    }
}

pub(super) fn parse_all(
    bytes: &[u8],
    ttl_seconds_max: u64,
) -> Result<Vec<Result<command::Request, Problem>>, Problem> {
    let operations = operations(bytes)?.into_iter();
    Ok(operations.map(|operation| request(operation.get().as_bytes(), ttl_seconds_max)).collect())
}

/// What became of each operation, in their order.
struct Fates {
    each: IntoIter<Result<&'static str, Problem>>,
    answers: IntoIter<Result<Answer, ProposeError>>,
}

impl Iterator for Fates {
    type Item = reply::Fate;

    fn next(&mut self) -> Option<reply::Fate> {
        Some(self.each.next()?.map(|units_field| {
            // A store that answered fewer than it was asked would leave these unknown.
            let answer = self.answers.next().unwrap_or(Err(ProposeError::OutcomeUnknown));
            (answer, units_field)
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.each.size_hint()
    }
}

impl ExactSizeIterator for Fates {}

/// The text of each operation.
fn operations(bytes: &[u8]) -> Result<Vec<&RawValue>, Problem> {
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        // Serde would read it as an object, field by field.
        return Err(invalid("body", "Must be an object with operations."));
    }
    let parsed = serde_json::from_slice::<Envelope>(bytes);
    let Operations(operations) = parsed.map_err(|error| body::misread::<Envelope>(bytes, &error))?.operations;
    if operations.is_empty() {
        return Err(invalid("operations", "Must have at least one operation."));
    }
    match operations.iter().position(|operation| !operation.get().starts_with('{')) {
        None => Ok(operations),
        Some(place) => Err(invalid(format!("operations[{place}]"), "Must be an object.")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    operations: Operations<'a>,
}

/// At most [`OPERATIONS_MAX`] texts: a list that is longer is not read to its end.
struct Operations<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Operations<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Operations<'a>, D::Error> {
        struct Listed;
        impl<'de> Visitor<'de> for Listed {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of 1 to {OPERATIONS_MAX} operations")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
                let mut operations = Vec::new();
                while let Some(operation) = from.next_element()? {
                    if operations.len() == OPERATIONS_MAX {
                        return Err(Error::custom(format_args!("more than {OPERATIONS_MAX} operations")));
                    }
                    operations.push(operation);
                }
                Ok(operations)
            }
        }
        from.deserialize_seq(Listed).map(Operations)
    }
}

fn request(operation: &[u8], ttl_seconds_max: u64) -> Result<command::Request, Problem> {
    let mut fields: Fields = body::parse(operation)?;
    let key = fields.idempotency_key.take();
    let idempotency_key = key.map(|key| parse::key("idempotency_key", key.as_bytes())).transpose()?;
    Ok(command::Request { idempotency_key, command: fields.command(ttl_seconds_max)? })
}

/// The fields of all operations.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    op: Op,
    idempotency_key: Option<String>,
    cart_id: Option<String>,
    customer_id: Option<String>,
    items: Option<Vec<Item>>,
    ttl_seconds: Option<u64>,
    wait: Option<bool>,
    reservation_id: Option<String>,
    payment_token: Option<String>,
    fencing_token: Option<u64>,
    if_expired: Option<IfExpired>,
    sku: Option<String>,
    delta: Option<i64>,
    reason: Option<String>,
    reference: Option<String>,
    on_shortfall: Option<OnShortfall>,
}

impl JsonBody for Fields {
    fn shape(&self) -> Shape {
        Shape::with(self.items.as_ref())
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Reserve,
    Commit,
    Release,
    Extend,
    Return,
    Adjust,
}

impl Fields {
    fn command(mut self, ttl_seconds_max: u64) -> Result<Command, Problem> {
        let call = self.take()?;
        self.check_nothing_is_left()?;
        match call {
            Call::Reserve(body) => commands::reserve(body, ttl_seconds_max),
            Call::Commit(body) => commands::commit(body),
            Call::Release(body) => commands::release(body),
            Call::Extend(body) => commands::extend(body, ttl_seconds_max),
            Call::Return(body) => commands::take_back(body),
            Call::Adjust(sku, body) => commands::adjust(parse::sku("sku", &sku)?, Precondition::None, body),
        }
    }

    /// Takes out what the operation's call has in its body.
    fn take(&mut self) -> Result<Call, Problem> {
        Ok(match self.op {
            Op::Reserve => Call::Reserve(ReserveRequest {
                cart_id: given("cart_id", &mut self.cart_id)?,
                items: given("items", &mut self.items)?,
                customer_id: self.customer_id.take(),
                ttl_seconds: self.ttl_seconds.take(),
                wait: self.wait.take(),
            }),
            Op::Commit => Call::Commit(CommitRequest {
                reservation_id: self.reservation_id()?,
                payment_token: self.payment_token.take(),
                fencing_token: self.fencing_token.take(),
                if_expired: self.if_expired.take(),
                items: self.items.take(),
            }),
            Op::Release => Call::Release(ReleaseRequest {
                reservation_id: self.reservation_id()?,
                items: self.items.take(),
            }),
            Op::Extend => Call::Extend(ExtendRequest {
                reservation_id: self.reservation_id()?,
                ttl_seconds: self.ttl_seconds.take(),
            }),
            Op::Return => Call::Return(ReturnRequest {
                reservation_id: self.reservation_id()?,
                items: self.items.take(),
            }),
            Op::Adjust => Call::Adjust(
                given("sku", &mut self.sku)?,
                AdjustRequest {
                    delta: given("delta", &mut self.delta)?,
                    reason: self.reason.take(),
                    reference: self.reference.take(),
                    on_shortfall: self.on_shortfall.take(),
                },
            ),
        })
    }

    fn reservation_id(&mut self) -> Result<String, Problem> {
        given("reservation_id", &mut self.reservation_id)
    }

    fn check_nothing_is_left(&self) -> Result<(), Problem> {
        let left = [
            ("cart_id", self.cart_id.is_some()),
            ("customer_id", self.customer_id.is_some()),
            ("items", self.items.is_some()),
            ("ttl_seconds", self.ttl_seconds.is_some()),
            ("wait", self.wait.is_some()),
            ("reservation_id", self.reservation_id.is_some()),
            ("payment_token", self.payment_token.is_some()),
            ("fencing_token", self.fencing_token.is_some()),
            ("if_expired", self.if_expired.is_some()),
            ("sku", self.sku.is_some()),
            ("delta", self.delta.is_some()),
            ("reason", self.reason.is_some()),
            ("reference", self.reference.is_some()),
            ("on_shortfall", self.on_shortfall.is_some()),
        ];
        match left.iter().find(|(_, left)| *left) {
            None => Ok(()),
            Some((field, _)) => Err(invalid(*field, "Is not a field of this operation.")),
        }
    }
}

/// The call that an operation stands for, with its body.
enum Call {
    Reserve(ReserveRequest),
    Commit(CommitRequest),
    Release(ReleaseRequest),
    Extend(ExtendRequest),
    Return(ReturnRequest),
    Adjust(String, AdjustRequest),
}

fn given<T>(field: &str, value: &mut Option<T>) -> Result<T, Problem> {
    value.take().ok_or_else(|| invalid(field, "Is missing."))
}

#[cfg(test)]
mod tests;
