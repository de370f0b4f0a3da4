//! What the state machine answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{Item, ReservationId, Sku};

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The command's place in the whole history: 1, 2, 3 ... with no gap. A replay's is the first answer's.
    pub sequence: u64,
    /// Whether this is the kept answer of an earlier command under the same idempotency key.
    pub replayed: bool,
    /// What was done, or why nothing was.
    pub result: Result<Outcome, Rejection>,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Time has passed.
    Ticked,
    /// A new hold.
    Reserved(ReservationView),
    /// The cart's live reservation, held or waiting, which was there already with the same items.
    AlreadyReserved(ReservationView),
    /// The cart stands in the line of its one SKU.
    Waiting(ReservationView),
    /// The reservation is committed: now, or earlier with the same payment token.
    Committed(ReservationView),
    /// The reservation is released, revoked or expired, or a part of it was given back: now, or earlier.
    Released(ReservationView),
    /// The hold has this deadline now.
    Extended(ReservationView),
    /// Units went from sold back to on_hand.
    Returned(ReservationView),
    /// A SKU that was not there was made.
    SkuCreated(StockView),
    /// A SKU's figures were set or adjusted.
    SkuSet(StockView),
    /// A SKU is gone.
    SkuDeleted,
}

/// Where a reservation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It stands in the line of its one SKU and holds nothing.
    Waiting,
    /// Its units are held until the deadline.
    Held,
    /// Its units are sold.
    Committed,
    /// Given back before the deadline.
    Released,
    /// Its deadline passed.
    Expired,
    /// Taken away, since stock fell below what was held.
    Revoked,
}

impl State {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Held => "held",
            State::Committed => "committed",
            State::Released => "released",
            State::Expired => "expired",
            State::Revoked => "revoked",
        }
    }
}

/// A reservation as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationView {
    /// Its id.
    pub id: ReservationId,
    /// Its state.
    pub state: State,
    /// The shop's name for the cart.
    pub cart_id: Arc<str>,
    /// Who buys.
    pub customer_id: Option<Arc<str>>,
    /// What is waited for, held or sold, or was when it ended; each SKU once, sorted by SKU.
    pub items: Vec<Item>,
    /// Units returned after the commit; only SKUs of which some were.
    pub returned: Vec<Item>,
    /// When it was made, in milliseconds since the Unix epoch, cluster clock (as all times here).
    pub created_ms: u64,
    /// Its hold; `None` until it has had one.
    pub grant: Option<Grant>,
    /// Its place in the line, 1 for the head; `None` unless it waits.
    pub position: Option<u64>,
    /// When it was committed.
    pub committed_ms: Option<u64>,
    /// With what proof of payment.
    pub payment_token: Option<Arc<str>>,
    /// The moment this view is of.
    pub now_ms: u64,
}

/// What a reservation has from the moment at which its units were put under a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Larger than that of every hold granted before.
    pub fencing_token: u64,
    /// When the hold was granted: `max_hold` counts from here.
    pub granted_ms: u64,
    /// When the hold ends or ended by itself.
    pub deadline_ms: u64,
}

/// A SKU's figures as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockView {
    /// Which SKU.
    pub sku: Sku,
    /// Units owned and not sold, the held ones included.
    pub on_hand: u64,
    /// Units under live holds.
    pub held: u64,
    /// Units committed, less units returned.
    pub sold: u64,
    /// Units kept back from sale.
    pub safety_stock: u64,
    /// The most units that one customer may have.
    pub max_per_customer: Option<u64>,
    /// Reservations that wait for units of it.
    pub waiting: u64,
    /// Grows with every change of the record; 1 when it is made.
    pub version: u64,
}

impl StockView {
    /// What a new reserve can take.
    pub fn available(&self) -> u64 {
        self.on_hand.saturating_sub(self.held).saturating_sub(self.safety_stock)
    }
}

/// Why a command was refused. Nothing was changed.
///
/// The variants stand in order of precedence: where several apply, the first one here is the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    /// A field is out of the range that the command's documentation gives it. Nodes refuse such calls before they
    /// become commands; this is what keeps apply total.
    Invalid {
        /// The field, by its name on the wire.
        field: Box<str>,
    },
    /// The idempotency key was used with another call or body.
    IdempotencyKeyReused,
    /// The record is not what the call demands.
    PreconditionFailed {
        /// Its version; `None` where there is no such SKU.
        current: Option<u64>,
    },
    /// No reservation of that id, or none any more.
    ReservationNotFound,
    /// The hold's fencing token is another one.
    FencingTokenStale {
        /// The token that the hold has.
        current: u64,
    },
    /// The reservation is committed already (with another payment token).
    AlreadyCommitted,
    /// The hold was released or revoked.
    ReservationReleased,
    /// The hold expired (and, with `reacquire`, its units are gone).
    ReservationExpired,
    /// The reservation stands in the line and holds nothing yet.
    ReservationWaiting,
    /// The reservation is not committed, so nothing of it can be returned.
    NotCommitted,
    /// More would be returned than was sold and not returned yet.
    ReturnExceedsSale,
    /// The deadline would be past `max_hold` after the grant.
    HoldLimit {
        /// The latest deadline that an extend can reach.
        latest_deadline_ms: u64,
    },
    /// The cart has a live reservation, held or waiting, with other items.
    CartAlreadyReserved {
        /// That reservation.
        reservation_id: ReservationId,
    },
    /// No such SKU.
    SkuNotFound {
        /// The first one missing, in the order of the sorted items.
        sku: Sku,
    },
    /// The customer would have more units of a SKU than one customer may.
    CustomerLimit {
        /// The first such SKU, in the order of the sorted items.
        sku: Sku,
        /// The most that one customer may have.
        limit: u64,
        /// What the customer holds.
        held: u64,
        /// What the customer has bought and not returned.
        sold: u64,
        /// What the cart asks.
        requested: u64,
    },
    /// The cart would not fit even if every live hold lapsed.
    InsufficientStock {
        /// Every SKU that is short.
        shortages: Vec<Shortage>,
    },
    /// The cart would fit if live holds lapsed.
    HeldByOthers {
        /// Every SKU that is short.
        shortages: Vec<Shortage>,
        /// The earliest moment at which enough holds may have lapsed.
        earliest_ms: u64,
        /// The moment of the refusal.
        now_ms: u64,
    },
    /// The SKU has holds, or reservations that wait.
    SkuHasHolds {
        /// The figures as they are.
        stock: StockView,
    },
    /// on_hand would fall below what is held.
    StockBelowHeld {
        /// The figures as they are.
        stock: StockView,
    },
    /// on_hand or sold would rise above [`UNITS_MAX`](super::ids::UNITS_MAX).
    StockAboveMax,
    /// The customer would have more at a time, over all carts and SKUs, than the cluster lets one customer have. Last
    /// of a reserve's reasons: see `holders`.
    CustomerTotal {
        /// What there would be too much of.
        of: Total,
        /// The most of it that one customer may have.
        limit: u64,
        /// What the customer has.
        has: u64,
        /// What the cart would add.
        requested: u64,
    },
    /// The hold was extended as often as a hold may be. Told after [`Rejection::HoldLimit`].
    ExtensionLimit {
        /// How often that is.
        limit: u64,
    },
}

/// What the cluster limits for one customer, over all carts and SKUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Total {
    /// Live reservations, held or waiting.
    Holds,
    /// Units that they hold or wait for.
    Units,
}

/// How a SKU falls short of what a cart asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Which SKU.
    pub sku: Sku,
    /// What the cart asks.
    pub requested: u64,
    /// What a reserve could take.
    pub available: u64,
    /// What others hold.
    pub held: u64,
    /// Whether nothing is left even without holds: `on_hand - safety_stock` is 0 or less.
    pub sold_out: bool,
}
