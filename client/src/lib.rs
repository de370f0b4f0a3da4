//! A small async client of lastunit over HTTP.
//!
//! ```text
//!  Client::reserve(..) -> Call -> retry -> transport -> any node
//!                                   |  one key, one deadline, back-off
//!                                   +-> next node
//!                answer.rs reads what came back: an answer, a refusal, or neither
//!
//!  Client::skus() -> List -> page: Call, or rows: call after call
//!  Client::events() -> Events -> page: Call, or follow: connection after connection
//! ```
//!
//! # What may be relied on
//!
//! - All tries of one call carry one `Idempotency-Key`, so that a write is executed once, however often it is
//!   sent. The key is the caller's ([`Call::key`]) or a random one.
//! - What may have been executed is never called refused: see [`Error`], which tells the two apart.
//! - A `Retry-After` is obeyed, and no call outlasts its deadline, whatever the nodes do.
//! - A refusal such as `held_by_others` is an answer. It is retried only where [`Call::retry_refusals`] asks.
//!
//! # Example
//!
//! ```no_run
//! use client::api::{CommitRequest, PutSkuRequest, ReserveRequest};
//! use client::{Client, Error, code};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::new(["http://127.0.0.1:8101", "http://127.0.0.1:8102", "http://127.0.0.1:8103"])?;
//! client.put_sku("PS5", &PutSkuRequest { on_hand: 1, ..Default::default() }).await?;
//!
//! match client.reserve(&ReserveRequest::one("cart-1", "PS5", 1)).key("cart-1/try-1").await {
//!     Ok(hold) => {
//!         let payment_token = Some("pay-1".to_owned());
//!         let reservation_id = hold.value.reservation_id;
//!         client.commit(&CommitRequest { reservation_id, payment_token, ..Default::default() }).await?;
//!     }
//!     Err(Error::Refused(refusal)) if refusal.problem.code == code::INSUFFICIENT_STOCK => println!("sold out"),
//!     Err(Error::Unknown(unknown)) => println!("ask again: {unknown}"),
//!     Err(other) => return Err(other),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! - Checkout: [`reserve`](Client::reserve), [`commit`](Client::commit), [`release`](Client::release),
//!   [`extend`](Client::extend) and [`return_`](Client::return_), of whole carts or parts of them.
//! - Stock: [`put_sku`](Client::put_sku), [`adjust`](Client::adjust) and [`delete_sku`](Client::delete_sku), only
//!   [`if_version`](Call::if_version), [`if_absent`](Call::if_absent) or [`if_present`](Call::if_present).
//! - Reads: [`sku`](Client::sku), [`reservation`](Client::reservation) and [`cluster`](Client::cluster); also
//!   [`stale`](Call::stale), [`if_changed_since`](Call::if_changed_since), or
//!   [`wait_seconds`](Call::wait_seconds) for the next change.
//! - Lists: [`skus`](Client::skus) and [`reservations`](Client::reservations), [`page`](List::page) by page or all
//!   [`rows`](List::rows).
//! - Many commands in one call: [`batch`](Client::batch).
//! - One request to one node, with nothing tried again: [`send_once`](Client::send_once).
//! - All of it at one moment: [`backup`](Client::backup), piece by piece.
//! - What happens: [`events`](Client::events), [`page`](Events::page) by page, or [`follow`](Events::follow)ed
//!   whatever node dies.
//!
//! `client/examples/checkout.rs` is a whole checkout, with a waiting line, to be run against a cluster.
//!
//! Nodes at `https://` addresses are called by TLS; [`ca`](Builder::ca) says by which authorities they are trusted.

pub mod api;
pub mod code;

mod answer;
mod backup;
mod builder;
mod call;
mod calls;
mod error;
mod events;
mod follow;
mod list;
mod message;
mod nodes;
mod once;
mod retry;
mod tls;
mod transport;

pub use answer::Answer;
pub use backup::Download;
pub use builder::{Builder, Client};
pub use call::Call;
pub use calls::batch::{Batch, Outcomes, Record};
pub use error::{Error, Invalid, NotExecuted, Refusal, Tries, Unknown};
pub use events::Events;
pub use follow::Follow;
pub use list::{List, Rows};
pub use once::Missing;
