//! Whether a cluster kept its promises: the record of a run, and what a sceptic makes of it.
//!
//! ```text
//!  clients, faults, change feed,                       rules, none of which
//!  final state of every node   ----> History --check-->  knows the server  ----> Verdict
//!                                    (NDJSON)
//! ```
//!
//! A [`History`] holds what clients asked, what they were answered and when, by one clock; what was done to the
//! cluster meanwhile; and what every node says at the end. [`check()`] holds it against the contract.
//!
//! Invariants:
//! - Nothing here knows the server's code: what a rule expects comes from the contract alone.
//! - A rule that cannot know does not accuse.
//! - Work is near-linear in the length of the history.
//!
//! What is absent: how a history comes about (`lastunit prove` makes it), and the clock: all times are in the record.

pub mod history;
pub mod report;
pub mod verdict;

mod book;
mod call_end;
mod check;
mod impact;
mod rules;
mod statistics;

pub use check::check;
pub use history::{History, HistoryError, Record};
pub use verdict::{Conclusion, Verdict};
