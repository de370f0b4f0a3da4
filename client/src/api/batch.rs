//! `POST /api/batch`, asked and answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AdjustRequest, CommitRequest, ExtendRequest, ReleaseRequest, ReserveRequest, ReturnRequest};

/// `POST /api/batch`: many commands in one call, each its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// 1 to 10,000 operations, executed in order.
    pub operations: Vec<Operation>,
}

/// One operation of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Operation {
    /// Names this one operation, so that its tries are executed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What to do.
    #[serde(flatten)]
    pub call: OperationCall,
}

/// What an operation of a batch does: the body of the call of that name, with `op` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum OperationCall {
    /// Takes a hold for a whole cart, or nothing.
    Reserve(ReserveRequest),
    /// Sells what a hold holds.
    Commit(CommitRequest),
    /// Gives a hold's units back to sale.
    Release(ReleaseRequest),
    /// Moves a hold's deadline.
    Extend(ExtendRequest),
    /// Takes sold units back into stock.
    Return(ReturnRequest),
    /// Adds to a SKU's on_hand, or takes from it.
    Adjust(AdjustOperation),
}

/// An adjust in a batch: the SKU stands in the body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdjustOperation {
    /// Which SKU.
    pub sku: String,
    /// What to do with it.
    #[serde(flatten)]
    pub adjust: AdjustRequest,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BatchResponse {
    /// One result for each operation, in their order.
    pub results: Vec<OperationResult>,
}

/// The answer to one operation of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationResult {
    /// The HTTP status that the call would have had.
    pub status: u16,
    /// The place of its command in the whole history; left out where it became no command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Whether it is the kept answer of an earlier call under the same key; left out unless it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// Whole seconds after which a refused operation may be worth another try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The body that the call would have had: a record, or a [`Problem`](super::Problem).
    pub body: Value,
}
