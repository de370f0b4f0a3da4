//! The JSON of the contract, as types that the node and the client share.
//!
//! ```text
//!  program -> ReserveRequest -> JSON -> node        closed: an unknown field is refused
//!  program <- Reservation    <- JSON <- node        open: an unknown field is skipped, so that an old
//!          <- Problem                               client outlives a new node
//! ```
//!
//! Invariants:
//! - Integers are never floats, and none that a client must keep exact is above 2^53. A digest is text.
//! - Times are text: RFC 3339, UTC, with milliseconds. Nothing here computes with them.
//! - A field that does not apply is left out, except where the contract says `null`.
//!
//! What is absent: ranges. Whether a `qty` is too large or a SKU's name is one is the node's to say, because
//! only its answer names the field.

mod batch;
mod cluster;
mod event;
mod member;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use batch::{AdjustOperation, BatchRequest, BatchResponse, Operation, OperationCall, OperationResult};
pub use cluster::{AuditVerdict, AuditView, ClusterView, ImageAuditView, MemberView, NodeAuditView};
pub use event::{Event, EventData, ReservationEvent, StockEvent};
pub use member::{
    AddMemberRequest, ENTRIES_BEHIND_MAX, LeadRequest, MembershipMember, MembershipView, ReplaceMemberRequest,
};

/// Request header: names a call, so that its tries are executed once. 1 to 255 visible ASCII characters.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Answer header: `true` where this is the kept answer of an earlier call under the same key.
pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";

/// Answer header: the place of the command in the whole history, or of the last one that a read reflects.
pub const SEQUENCE: &str = "lastunit-sequence";

/// Answer header of a stale read: the log entry up to which the node that answered had applied.
pub const APPLIED_INDEX: &str = "lastunit-applied-index";

/// The content type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A SKU and how many units of it.
///
/// Asked and answered with, so it is closed: new facts about an item go into lists beside it, as
/// [`Reservation::returned`] does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Which SKU: `[A-Za-z0-9._:-]{1,128}`.
    pub sku: String,
    /// How many units: 1 to 1,000,000 in a request.
    pub qty: u64,
}

impl Item {
    /// So many units of that SKU.
    pub fn new(sku: impl Into<String>, qty: u64) -> Item {
        Item { sku: sku.into(), qty }
    }
}

/// `POST /api/checkout/reserve`: takes a hold for a whole cart, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReserveRequest {
    /// The shop's name for the cart, 1 to 128 characters.
    pub cart_id: String,
    /// 1 to 100 items; a SKU that stands there twice is summed.
    pub items: Vec<Item>,
    /// Who buys, 1 to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// How long the hold lasts, in seconds; 300 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Joins the waiting line where the cart's one SKU does not fit; `false` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

impl ReserveRequest {
    /// A hold on one SKU for that cart, with the usual time to live.
    pub fn one(cart_id: impl Into<String>, sku: impl Into<String>, qty: u64) -> ReserveRequest {
        let items = vec![Item::new(sku, qty)];
        ReserveRequest { cart_id: cart_id.into(), items, customer_id: None, ttl_seconds: None, wait: None }
    }
}

/// `POST /api/checkout/commit`: sells what a hold holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// Which hold.
    pub reservation_id: String,
    /// The shop's proof of payment, 1 to 255 characters; told apart from others, never interpreted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_token: Option<String>,
    /// Refuse unless the hold has this fencing token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<u64>,
    /// What to do where the hold has expired; `fail` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_expired: Option<IfExpired>,
    /// What is sold; the rest is released. All of it unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
}

/// What a commit does with an expired hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IfExpired {
    /// Refuse with `reservation_expired`.
    #[default]
    Fail,
    /// Commit all the same where all its units are still available.
    Reacquire,
}

/// `POST /api/checkout/release`: gives a hold's units back to sale.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Which hold, or which place in the line.
    pub reservation_id: String,
    /// What is given back; the rest stays held. All of it unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
}

/// `POST /api/checkout/extend`: moves a hold's deadline.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// Which hold.
    pub reservation_id: String,
    /// The new deadline is this many seconds from now, unless the old one is later; 300 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// `POST /api/checkout/return`: takes sold units back into stock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReturnRequest {
    /// Which committed reservation.
    pub reservation_id: String,
    /// What comes back; all that is not returned yet unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
}

/// `PUT /api/inventory/{sku}`: makes a SKU, or sets its figures.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PutSkuRequest {
    /// Units that the shop owns and has not sold, those under a hold included.
    pub on_hand: u64,
    /// Units kept back from sale; left as they are unless given, 0 on a new SKU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_stock: Option<u64>,
    /// The most units that one customer may have; `null` (in Rust `Some(None)`) takes the limit away; left as it is
    /// unless given.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub max_per_customer: Option<Option<u64>>,
    /// What to do where on_hand would fall below what is held; `refuse` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_shortfall: Option<OnShortfall>,
}

/// Tells a field that is `null` from one that is not there.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// What to do where on_hand would fall below what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnShortfall {
    /// Refuse with `stock_below_held`.
    #[default]
    Refuse,
    /// Take the newest holds on the SKU away, whole, until the rest fits.
    RevokeNewest,
}

/// `POST /api/inventory/{sku}/adjust`: adds to a SKU's on_hand, or takes from it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AdjustRequest {
    /// What is added to on_hand; not 0.
    pub delta: i64,
    /// Why, in the shop's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The shop's own reference, such as a delivery note's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What to do where on_hand would fall below what is held; `refuse` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_shortfall: Option<OnShortfall>,
}

/// Where a reservation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReservationState {
    /// It stands in the line of its one SKU and holds nothing.
    Waiting,
    /// Its units are held until `expires_at`.
    Held,
    /// Its units are sold.
    Committed,
    /// Given back before its time.
    Released,
    /// Its time passed.
    Expired,
    /// Taken away, since stock fell below what was held.
    Revoked,
}

impl ReservationState {
    /// Its word on the wire, such as `held`.
    pub fn as_str(self) -> &'static str {
        match self {
            ReservationState::Waiting => "waiting",
            ReservationState::Held => "held",
            ReservationState::Committed => "committed",
            ReservationState::Released => "released",
            ReservationState::Expired => "expired",
            ReservationState::Revoked => "revoked",
        }
    }
}

/// A reservation as it was at the moment that the answer reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reservation {
    /// Its id, `res_` and 26 characters.
    pub reservation_id: String,
    /// Its state.
    pub state: ReservationState,
    /// The shop's name for the cart.
    pub cart_id: String,
    /// Who buys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// What is waited for, held or sold, or was when it ended; each SKU once.
    pub items: Vec<Item>,
    /// Whole seconds left, rounded down; left out, as all of a hold, until there has been one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// When the hold ends or ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// Larger than that of every hold granted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<u64>,
    /// Its place in the line, 1 for the head, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// When it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<String>,
    /// With what proof of payment it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_token: Option<String>,
    /// Units returned after the commit; only SKUs of which some were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returned: Vec<Item>,
}

/// A SKU's figures as they were at the moment that the answer reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InventoryRecord {
    /// Which SKU.
    pub sku: String,
    /// Units that the shop owns and has not sold, those under a hold included.
    pub on_hand: u64,
    /// Units under a live hold.
    pub held: u64,
    /// `max(0, on_hand - held - safety_stock)`: what a new reserve can take.
    pub available: u64,
    /// Units committed, less units returned.
    pub sold: u64,
    /// Units kept back from sale.
    pub safety_stock: u64,
    /// The most units that one customer may have; `null` where there is no limit.
    pub max_per_customer: Option<u64>,
    /// Reservations that wait for units of this SKU.
    pub waiting: u64,
    /// Grows with every change of the record.
    pub version: u64,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Page"))]
pub struct Page<T> {
    /// The rows; a page may be short, or empty, and still have a next one.
    pub data: Vec<T>,
    /// The `cursor` of the next page; `null` at the end.
    pub next_cursor: Option<String>,
}

/// How a SKU falls short of what a cart asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shortage {
    /// Which SKU.
    pub sku: String,
    /// What the cart asks.
    pub requested: u64,
    /// What a reserve could take.
    pub available: u64,
    /// What others hold.
    pub held: u64,
    /// Whether nothing is left even without holds: `on_hand - safety_stock` is 0 or less.
    pub sold_out: bool,
}

/// Whether a refused call may have been executed all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Executed {
    /// It was not, and will not be.
    No,
    /// Its fate could not be learned: ask again with the same idempotency key.
    Unknown,
}

/// A refusal: `application/problem+json` of RFC 9457.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// A URI reference that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The kind of problem in a few words, the same for every one of its kind.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// This one problem, for people.
    pub detail: Cow<'static, str>,
    /// One of the words of [`code`](crate::code), stable for ever.
    pub code: Cow<'static, str>,
    /// Whether the very same call may succeed later by itself.
    pub retryable: bool,
    /// Whether it may have been executed all the same.
    pub executed: Executed,
    /// Which field of the request is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Every SKU that is short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortages: Vec<Shortage>,
    /// Whatever else that kind of problem tells.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
