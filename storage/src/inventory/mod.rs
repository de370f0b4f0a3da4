//! The state machine: the whole inventory in memory, changed by [`Inventory::apply`] and by nothing else.
//!
//! ```text
//!             reserve                 commit
//!  (nothing) ---------> held ----------------------> committed ---return---> committed (returned units noted)
//!       \                | \--release--> released
//!        \ wait          | \--time-----> expired ----commit, if_expired = reacquire, units available----> committed
//!         \--> waiting --+ (served in the order of the line when units come free: a hold with a fresh ttl)
//!                  \--release, or served too late--> released
//!
//!  held --stock set below what is held, on_shortfall = revoke_newest--> revoked
//! ```
//!
//! A state is left along an arrow only. A commit may sell a part, which releases the rest, and a release may give back
//! a part, which keeps the rest held. Reservations that ended are forgotten when their retention is over.
//!
//! The same commands under the same stamps give the same state, digest and answers on every replica and at every
//! replay, also from the records of any moment in between. So there is no clock here, no randomness, no order of
//! hashing, no float and no configuration: what is not in the state comes with the command or its stamp.
//!
//! # Invariants
//!
//! 1. `0 <= held <= on_hand <= UNITS_MAX` for each SKU, after each event of the feed.
//! 2. `on_hand + sold` of a SKU changes through a put or an adjust alone.
//! 3. `held` is the sum of the SKU's holds with a deadline after `settled_ms`, and no live hold has an earlier one.
//! 4. A cart has at most one reservation that is held or waits. No two holds share a fencing token; a later grant has
//!    the greater.
//! 5. Every refusal precedes the first change: checks borrow the inventory shared.
//! 6. A hold never ends by itself before its deadline. From its deadline on it counts as ended, for every command
//!    and every read, however far the sweep has got.
//! 7. A command ends a bounded number of holds that it does not name, and serves a bounded number of those who wait.
//!    For its own SKUs and theirs it takes one step for each distinct millisecond at which units came due, however many
//!    holds those were. Revoking and deleting alone are as long as what they are asked to take away.
//! 8. Units of a SKU with a line go to its head: nobody is overtaken (see `serve`).
//! 9. A SKU that a live hold names, or that somebody waits for, is there. Other reservations may name one that is
//!    gone, or gone and made anew: they are older than it and count for nothing in it.
//! 10. Every change of a SKU's record, and of a reservation's state, deadline or items, is one event, once.
//! 11. What a command does depends on the state and the command alone; where versions differ in it, on the feature
//!     level, which is part of the state.
//!
//! [`Inventory::audit`] recomputes what 1, 3, 4 and 9 say, and every index; `tests/model` holds the rest against a
//! naive model.
//!
//! # Map
//!
//! | file | what |
//! | --- | --- |
//! | `command`, `outcome`, `ids` | what comes in, what goes out |
//! | `record`, `image`, `load` | what is stored; the inventory as records, and back |
//! | `apply`, `ahead` | the single match; what it will need, looked at before |
//! | `hold`, `commit`, `release`, `take_back`, `parts` | the life of a reservation |
//! | `fit`, `customers`, `holders` | whether a cart fits; whether its customer may have it, of a SKU and in all |
//! | `sku` | put, adjust, delete |
//! | `line`, `serve` | who waits; how lines are joined, served and left |
//! | `expiry`, `lapses` | what time does |
//! | `ends` | how old holds were at their end: for metrics, no part of the state |
//! | `change` | the two ways in which the tables change, and tell the feed |
//! | `event`, `feed`, `kept`, `told`, `written` | the change feed |
//! | `image`, `portion` | the state as records, and which of them changed |
//! | `idempotency`, `told_text`, `forgets` | kept answers |
//! | `level` | which of its abilities the cluster uses |
//! | `stock`, `stocks`, `reservations`, `items`, `indexes` | the tables |
//! | `by_sequence`, `names`, `postings`, `table`, `series`, `sorted` | what they are made of |
//! | `query`, `audit`, `digest` | reads, checks, hashes |
//! | `records_audit`, `records_digest` | the same checks and hashes over records that pass by |
//!
//! Absent on purpose: HTTP, JSON and times as text (the node's), the log and its indexes (Raft's), bytes on disk
//! (the checkpoint's), and any notion that this is the only inventory: ids and sequences are those of one group.

#![deny(clippy::disallowed_types)]

mod ahead;
mod apply;
mod audit;
mod by_sequence;
mod change;
pub mod command;
mod commit;
mod customers;
mod digest;
mod ends;
pub mod event;
mod expiry;
mod feed;
mod fit;
mod forgets;
mod hold;
mod holders;
mod idempotency;
pub mod ids;
mod image;
mod indexes;
pub mod items;
mod kept;
mod lapses;
mod level;
mod line;
mod load;
mod names;
pub mod outcome;
mod parts;
mod portion;
mod postings;
pub mod query;
pub mod record;
mod records_audit;
mod records_digest;
mod release;
mod reservations;
mod series;
mod serve;
mod sku;
mod sorted;
mod stock;
mod stocks;
mod table;
mod take_back;
mod told;
mod told_text;
mod written;

pub use ends::Ends;
pub use expiry::{SWEEP_MAX, SWEEP_TICK_MAX};
pub use feed::FEED_DROP_MAX;
pub use level::{LEVELS, check_levels};
pub use records_audit::{Audited, RecordsAudit};
pub use records_digest::RecordsDigest;
pub use serve::PROMOTE_MAX;
pub use stocks::Units;
pub use told::EventsRef;
pub use written::ReadEvents;

use customers::Customers;
use event::Cause;
use feed::Feed;
use idempotency::Answers;
use level::Level;
use record::Counters;
use reservations::Reservations;
use stocks::Stocks;

/// The whole inventory, in memory.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    counters: Counters,
    stocks: Stocks,
    reservations: Reservations,
    answers: Answers,
    customers: Customers,
    feed: Feed,
    level: Level,
    /// The sequence when the changes were last taken.
    taken_sequence: u64,
    /// What the change under way happens by.
    cause: Cause,
    /// How many reservations that wait the command under way may still serve.
    promotions_left: usize,
    /// How holds ended: counted, and not asked by any command.
    ends: Ends,
}

/// Records that do not make an inventory, or an inventory whose sums do not hold. Says what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inconsistent(pub String);

/// How much there is, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// SKUs.
    pub skus: usize,
    /// Reservations of any state.
    pub reservations: usize,
    /// Live holds (those that the sweep has not reached included).
    pub holds: usize,
    /// Reservations that wait.
    pub waiting: usize,
    /// Kept answers.
    pub answers: usize,
}
