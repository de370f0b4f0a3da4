//! The names of one sale: its SKU, its buyers' carts, keys and payments.

use client::api::{CommitRequest, ReserveRequest};

/// One sale's names. All begin with a random run id, so that no two sales share one.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    run: String,
    sku: String,
}

impl Shop {
    /// A sale of its own.
    pub(super) fn new() -> Shop {
        let run = format!("sale-{:016x}", rand::random::<u64>());
        Shop { sku: format!("{run}.unit"), run }
    }

    /// What is on sale.
    pub(super) fn sku(&self) -> &str {
        &self.sku
    }

    /// The reserve of that buyer.
    pub(super) fn reserve(&self, buyer: u32) -> ReserveRequest {
        ReserveRequest::one(format!("{}.{buyer}", self.run), &self.sku, 1)
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
