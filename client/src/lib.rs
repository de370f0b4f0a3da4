//! A small async client of lastunit over HTTP.
//!
//! ```text
//!  Client::reserve(..) -> Call -> retry -> transport -> any node
//!                                   |  one key, one deadline, back-off
//!                                   +-> next node
//!                answer.rs reads what came back: an answer, a refusal, or neither
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
//! client.put_sku("PS5", &PutSkuRequest { on_hand: 1, safety_stock: None }).await?;
//!
//! match client.reserve(&ReserveRequest::one("cart-1", "PS5", 1)).key("cart-1/try-1").await {
//!     Ok(hold) => {
//!         let payment_token = Some("pay-1".to_owned());
//!         let reservation_id = hold.value.reservation_id;
//!         client.commit(&CommitRequest { reservation_id, payment_token, ..Default::default() }).await?;
//!     }
//!     Err(Error::Refused(refusal)) if refusal.problem.code == code::INSUFFICIENT_STOCK => println!("sold out"),
//!     Err(Error::Unknown(unknown)) => println!("ask again with key {}", unknown.idempotency_key),
//!     Err(other) => return Err(other),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is absent: TLS, which needs certificates that a cluster does not have yet.

pub mod api;
pub mod code;

mod answer;
mod builder;
mod call;
mod calls;
mod error;
mod nodes;
mod retry;
mod transport;

pub use answer::Answer;
pub use builder::{Builder, Client};
pub use call::Call;
pub use error::{Error, Invalid, NotExecuted, Refusal, Tries, Unknown};
