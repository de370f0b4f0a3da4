//! What the state machine is told to do.
//!
//! A command carries every choice that is not a function of the state: ids, nonces, limits. What it lacks is
//! the time, which comes with the log entry ([`Stamp`]), so that all commands of one entry share one instant.
//! Commands reach the state machine parsed and in range; apply is total all the same.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{Item, ReservationId, Sku};

/// What the leader stamps on a log entry for all its commands.
///
/// The limits travel here, and not in each node's configuration, because a state machine that read its own
/// node's configuration would differ from its replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The cluster clock, in milliseconds since the Unix epoch. Apply takes the greater of this and its own.
    pub now_ms: u64,
    /// How long a reservation stays readable after it ended, in milliseconds.
    pub retention_ms: u64,
    /// How long the answer under an idempotency key is kept, in milliseconds.
    pub idempotency_ms: u64,
    /// The longest time from a hold's grant to its last possible deadline, in milliseconds.
    pub max_hold_ms: u64,
    /// How long an event of the change feed is kept, in milliseconds.
    pub events_ms: u64,
    /// How many events of the change feed are kept at most.
    pub events_max: u64,
    /// The most that one customer, and one hold, may have.
    #[serde(skip)]
    pub limits: HoldLimits,
}

/// The most that one customer, and one hold, may have, in the whole cluster. What is not given is not limited.
///
/// An entry without any of them is encoded as if there were no such limits, so a stamp leaves them to whoever encodes
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HoldLimits {
    /// Live reservations of one customer at a time, held or waiting.
    pub customer_holds_max: Option<u64>,
    /// Units that one customer's live reservations hold or wait for, of all SKUs together.
    pub customer_units_max: Option<u64>,
    /// How often one hold's deadline may be moved.
    pub hold_extensions_max: Option<u64>,
}

impl HoldLimits {
    /// Nothing is limited.
    pub const NONE: HoldLimits =
        HoldLimits { customer_holds_max: None, customer_units_max: None, hold_extensions_max: None };
}

/// One client's command, with the idempotency key it came with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The client's `Idempotency-Key`, 1 to 255 visible ASCII characters.
    pub idempotency_key: Option<Box<str>>,
    /// What to do.
    pub command: Command,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Nothing but the passing of time: holds that are due end.
    Tick,
    /// Takes a hold for a whole cart, or nothing.
    Reserve(Reserve),
    /// Sells what a hold holds.
    Commit(Commit),
    /// Gives a hold's units back to sale.
    Release(Release),
    /// Moves a hold's deadline.
    Extend(Extend),
    /// Takes sold units back into stock.
    Return(Return),
    /// Makes a SKU, or sets its figures.
    PutSku(PutSku),
    /// Adds to a SKU's on_hand, or takes from it.
    AdjustSku(AdjustSku),
    /// Removes a SKU that nobody holds or waits for.
    DeleteSku(DeleteSku),
    /// Raises the feature level; the leader's, once every member's binary supports it.
    RaiseLevel(u16),
    /// What only the next version has, for the test of an upgrade: one unit more of a SKU is kept back from sale.
    #[cfg(feature = "next-version")]
    KeepBack(Sku),
}

/// See [`Command::Reserve`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// The random half of the reservation's id.
    pub nonce: u64,
    /// The shop's name for the cart, 1 to 128 characters. A cart has at most one live reservation.
    pub cart_id: Arc<str>,
    /// Who buys, 1 to 128 characters.
    pub customer_id: Option<Arc<str>>,
    /// 1 to 100 items, each SKU once, sorted by SKU.
    pub items: Vec<Item>,
    /// How long the hold lasts from its grant, in milliseconds.
    pub ttl_ms: u64,
    /// Joins the waiting line where the cart's one SKU does not fit; then `items` has one item.
    pub wait: bool,
}

/// See [`Command::Commit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Which hold.
    pub reservation_id: ReservationId,
    /// The shop's proof of payment, 1 to 255 characters; told apart from others, never interpreted.
    pub payment_token: Option<Arc<str>>,
    /// Refuse unless the hold has this fencing token.
    pub fencing_token: Option<u64>,
    /// What to do where the hold has expired.
    pub if_expired: IfExpired,
    /// What is sold, in the form of [`Reserve::items`]; the rest is released. All of it unless given.
    pub items: Option<Vec<Item>>,
}

/// What a commit does with an expired hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IfExpired {
    /// Refuse.
    #[default]
    Fail,
    /// Commit all the same where all its units are still available.
    Reacquire,
}

/// See [`Command::Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Which hold, or which place in the line.
    pub reservation_id: ReservationId,
    /// What is given back, in the form of [`Reserve::items`]; the rest stays held. All of it unless given.
    pub items: Option<Vec<Item>>,
}

/// See [`Command::Extend`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extend {
    /// Which hold.
    pub reservation_id: ReservationId,
    /// The new deadline is this many milliseconds from now, unless the old one is later.
    pub ttl_ms: u64,
}

/// See [`Command::Return`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Which committed reservation.
    pub reservation_id: ReservationId,
    /// What comes back, in the form of [`Reserve::items`]. All that is not returned yet unless given.
    pub items: Option<Vec<Item>>,
}

/// See [`Command::PutSku`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutSku {
    /// Which SKU.
    pub sku: Sku,
    /// Units that the shop owns and has not sold, at most [`UNITS_MAX`](super::ids::UNITS_MAX).
    pub on_hand: u64,
    /// Units kept back from sale; `None` leaves it as it is (0 on a new SKU).
    pub safety_stock: Option<u64>,
    /// The most units that one customer may have, at most [`UNITS_MAX`](super::ids::UNITS_MAX).
    pub max_per_customer: Setting<u64>,
    /// What to do where on_hand would fall below what is held.
    pub on_shortfall: OnShortfall,
    /// What must be so for the command to be executed.
    pub precondition: Precondition,
}

/// See [`Command::AdjustSku`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjustSku {
    /// Which SKU.
    pub sku: Sku,
    /// What is added to on_hand; not 0.
    pub delta: i64,
    /// Why, in the shop's words.
    pub reason: Option<Box<str>>,
    /// The shop's own reference, such as a delivery note's number.
    pub reference: Option<Box<str>>,
    /// What to do where on_hand would fall below what is held.
    pub on_shortfall: OnShortfall,
    /// What must be so for the command to be executed.
    pub precondition: Precondition,
}

/// See [`Command::DeleteSku`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSku {
    /// Which SKU.
    pub sku: Sku,
    /// What must be so for the command to be executed.
    pub precondition: Precondition,
}

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Setting<T> {
    /// It stays as it is; on a new SKU there is none.
    #[default]
    Keep,
    /// There is none from now on.
    Clear,
    /// It is this from now on.
    Set(T),
}

/// What to do where on_hand would fall below what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnShortfall {
    /// Refuse.
    #[default]
    Refuse,
    /// Take the newest holds on the SKU away, whole, until the rest fits.
    RevokeNewest,
}

/// What a call demands of a SKU's record before anything is done (RFC 9110, section 13).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// `If-Match: *`: there is such a SKU.
    Exists,
    /// `If-None-Match: *`: there is no such SKU.
    Absent,
    /// `If-Match: "7", "9"`: its version is one of these, of which there are at most
    /// [`VERSIONS_MAX`](super::ids::VERSIONS_MAX). Weak tags match nothing and are left out.
    Versions(Vec<u64>),
}
