//! Many commands in one call: one proposal to the log, each command its own.
//!
//! ```text
//!   Batch { reserve k1, commit k2, adjust k3 } -> POST /api/batch -> [ Ok(Answer), Err(Refused), Ok(Answer) ]
//! ```
//!
//! Every operation has an idempotency key from the moment that it joins the batch, so the batch may be sent as often
//! as it takes: what was executed answers the same again, and what was not has another chance.

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, Reply, Tried};
use crate::api::{
    AdjustOperation, AdjustRequest, BatchRequest, BatchResponse, CommitRequest, ExtendRequest,
    InventoryRecord, Operation, OperationCall, OperationResult, Problem, ReleaseRequest, Reservation,
    ReserveRequest, ReturnRequest,
};
use crate::builder::Client;
use crate::call::{Call, json};
use crate::error::{Error, Tries};
use crate::message::{Message, random_key};
use crate::retry;

/// Operations that go in one call, each with its idempotency key: 1 to 10,000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch(BatchRequest);

/// What an operation of a batch answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// Of an adjust.
    Sku(InventoryRecord),
    /// Of every other operation.
    Reservation(Reservation),
}

/// What became of each operation, in their order: as if each had been a call of its own.
///
/// An operation that was not executed, or whose outcome is unknown, is not tried again by itself. Send the batch
/// again: its keys make sure that nothing is executed twice.
pub type Outcomes = Vec<Result<Answer<Record>, Error>>;

impl Batch {
    /// No operation yet.
    pub fn new() -> Batch {
        Batch(BatchRequest { operations: Vec::new() })
    }

    /// Adds an operation under a random key.
    pub fn push(&mut self, call: impl Into<OperationCall>) -> &mut Batch {
        self.push_keyed(random_key(), call)
    }

    /// Adds an operation under that key.
    pub fn push_keyed(&mut self, key: impl Into<String>, call: impl Into<OperationCall>) -> &mut Batch {
        self.0.operations.push(Operation { idempotency_key: Some(key.into()), call: call.into() });
        self
    }

    /// Adds an adjust of that SKU under a random key.
    pub fn push_adjust(&mut self, sku: impl Into<String>, adjust: AdjustRequest) -> &mut Batch {
        self.push(AdjustOperation { sku: sku.into(), adjust })
    }

    /// The operations with their keys.
    pub fn operations(&self) -> &[Operation] {
        &self.0.operations
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Client {
    /// Makes many calls in one. One that is refused fails alone; a batch that cannot be parsed fails whole.
    ///
    /// Refusals of the whole: `invalid_request`, `body_too_large` (32 MiB).
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), client::Error> {
    /// use client::Batch;
    /// use client::api::{AdjustRequest, ReserveRequest};
    ///
    /// let mut batch = Batch::new();
    /// batch.push(ReserveRequest::one("cart-1", "PS5", 1));
    /// batch.push_keyed("delivery-7", client::api::AdjustOperation {
    ///     sku: "XBOX".to_owned(),
    ///     adjust: AdjustRequest { delta: 20, ..Default::default() },
    /// });
    /// for outcome in client.batch(&batch).await?.value {
    ///     match outcome {
    ///         Ok(answer) => println!("{:?}", answer.value),
    ///         Err(error) => println!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch(&self, batch: &Batch) -> Call<Outcomes> {
        let message = Message::keyless(Method::POST, "/api/batch".to_owned(), &batch.0);
        let operations = batch.0.operations.clone();
        Call::new(self, message, move |reply, tries| {
            let response: BatchResponse = json(reply, tries)?;
            outcomes(operations, response.results, tries)
        })
    }
}

fn outcomes(
    operations: Vec<Operation>,
    results: Vec<OperationResult>,
    tries: Tries,
) -> Result<Outcomes, String> {
    if results.len() != operations.len() {
        return Err(format!("{} results of {} operations", results.len(), operations.len()));
    }
    let pairs = operations.into_iter().zip(results);
    Ok(pairs.map(|(operation, result)| outcome(&operation, result, tries)).collect())
}

/// What became of one operation. It is read as the answer of its own call would be.
fn outcome(
    operation: &Operation,
    result: OperationResult,
    mut tries: Tries,
) -> Result<Answer<Record>, Error> {
    let OperationResult { status, sequence, replayed, retry_after, body } = result;
    let call = retry::Call { key: operation.idempotency_key.as_deref(), writes: true };
    let reply = Reply {
        status,
        sequence,
        replayed,
        retry_after_seconds: retry_after,
        applied_index: None,
        body: Bytes::new(),
    };
    if (200..300).contains(&status) {
        let record = record(&operation.call, body);
        let record = record.map_err(|cause| retry::invalid(status, cause.to_string(), tries, &call))?;
        return Ok(Answer::new(record, &reply, tries));
    }
    let tried = reply.read_refusal(Problem::deserialize(body).ok());
    tries.unanswered += u32::from(matches!(tried, Tried::Unanswered { .. }));
    let (reply, tries) = retry::end(tried, tries, &call)?;
    Err(retry::invalid(reply.status, "a problem that is an answer".to_owned(), tries, &call))
}

fn record(call: &OperationCall, body: Value) -> Result<Record, serde_json::Error> {
    match call {
        OperationCall::Adjust(_) => serde_json::from_value(body).map(Record::Sku),
        _ => serde_json::from_value(body).map(Record::Reservation),
    }
}

macro_rules! operation {
    ($request:ident, $variant:ident) => {
        impl From<$request> for OperationCall {
            fn from(request: $request) -> OperationCall {
                OperationCall::$variant(request)
            }
        }
    };
}

operation!(ReserveRequest, Reserve);
operation!(CommitRequest, Commit);
operation!(ReleaseRequest, Release);
operation!(ExtendRequest, Extend);
operation!(ReturnRequest, Return);
operation!(AdjustOperation, Adjust);
