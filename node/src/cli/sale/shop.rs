//! The names of one sale: its SKU, its buyers' carts, keys and payments.

use std::time::Duration;

use client::api::{CommitRequest, ReserveRequest};

/// How long a hold lasts where the call does not say, in seconds.
const HOLD_SECONDS_DEFAULT: u64 = 300;

/// One sale's names and rules. All names begin with a random run id, so that no two sales share one.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    run: String,
    sku: String,
    rules: Rules,
}

/// What the buyers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rules {
    /// A buyer who finds no unit waits in the line, until the last unit is sold.
    pub(super) wait: bool,
    /// Of a hundred buyers who get a hold, so many never pay.
    pub(super) abandon_percent: u32,
    /// How long a hold lasts, in seconds; the cluster's usual time unless given.
    pub(super) hold_seconds: Option<u64>,
}

impl Rules {
    /// How long a hold lasts.
    pub(super) fn hold(&self) -> Duration {
        Duration::from_secs(self.hold_seconds.unwrap_or(HOLD_SECONDS_DEFAULT))
    }

    /// Whether that buyer leaves a hold unpaid. A function of the buyer alone, so that one who asks again does as
    /// before.
    pub(super) fn abandons(&self, buyer: u32) -> bool {
        // Knuth's multiplicative hash: neighbours in the queue decide for themselves.
        let mixed = buyer.wrapping_mul(2_654_435_761) >> 16;
        mixed % 100 < self.abandon_percent
    }
}

impl Shop {
    /// A sale of its own.
    pub(super) fn new(rules: Rules) -> Shop {
        let run = format!("sale-{:016x}", rand::random::<u64>());
        Shop { sku: format!("{run}.unit"), run, rules }
    }

    /// What is on sale.
    pub(super) fn sku(&self) -> &str {
        &self.sku
    }

    /// What the buyers do.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The reserve of that buyer.
    pub(super) fn reserve(&self, buyer: u32) -> ReserveRequest {
        ReserveRequest {
            wait: self.rules.wait.then_some(true),
            ttl_seconds: self.rules.hold_seconds,
            ..ReserveRequest::one(format!("{}.{buyer}", self.run), &self.sku, 1)
        }
    }

    /// The key of that buyer's reserve.
    pub(super) fn reserve_key(&self, buyer: u32) -> String {
        format!("{}.r{buyer}", self.run)
    }

    /// The commit of that buyer's hold.
    pub(super) fn commit(&self, buyer: u32, reservation_id: &str) -> CommitRequest {
        CommitRequest {
            reservation_id: reservation_id.to_owned(),
            payment_token: Some(self.payment(buyer)),
            ..CommitRequest::default()
        }
    }

    /// The key of that buyer's commit.
    pub(super) fn commit_key(&self, buyer: u32) -> String {
        format!("{}.c{buyer}", self.run)
    }

    /// That buyer's payment token.
    pub(super) fn payment(&self, buyer: u32) -> String {
        format!("{}.pay{buyer}", self.run)
    }
}
