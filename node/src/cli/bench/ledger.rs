//! What the cluster has acknowledged of each SKU, so that its books can be held against it.
//!
//! All connections write into one ledger. Its figures are sums, which no reader looks at before all have ended, so
//! their order does not matter.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The acknowledged units of each SKU, by its number.
#[derive(Debug)]
pub(super) struct Ledger(Vec<Row>);

#[derive(Debug, Default)]
struct Row {
    reserved: AtomicU64,
    reserved_perhaps: AtomicU64,
    released: AtomicU64,
    released_perhaps: AtomicU64,
    sold: AtomicU64,
    sold_perhaps: AtomicU64,
}

/// A unit of a SKU on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// From stock to a hold.
    Reserve,
    /// From a hold back to stock.
    Release,
    /// From a hold to a buyer.
    Commit,
}

/// The acknowledged units of one SKU, and those of calls whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    /// Units that went to a hold.
    pub(super) reserved: u64,
    /// Units that may have.
    pub(super) reserved_perhaps: u64,
    /// Units that came back from a hold.
    pub(super) released: u64,
    /// Units that may have.
    pub(super) released_perhaps: u64,
    /// Units that went from a hold to a buyer.
    pub(super) sold: u64,
    /// Units that may have.
    pub(super) sold_perhaps: u64,
}

impl Ledger {
    /// Of so many SKUs.
    pub(super) fn new(skus: u32) -> Ledger {
        Ledger((0..skus).map(|_| Row::default()).collect())
    }

    /// A move that was acknowledged.
    pub(super) fn done(&self, what: Move, sku: u32) {
        let row = &self.0[sku as usize];
        let figure = match what {
            Move::Reserve => &row.reserved,
            Move::Release => &row.released,
            Move::Commit => &row.sold,
        };
        figure.fetch_add(1, Relaxed);
    }

    /// A move that may have been made.
    pub(super) fn perhaps(&self, what: Move, sku: u32) {
        let row = &self.0[sku as usize];
        let figure = match what {
            Move::Reserve => &row.reserved_perhaps,
            Move::Release => &row.released_perhaps,
            Move::Commit => &row.sold_perhaps,
        };
        figure.fetch_add(1, Relaxed);
    }

    /// The account of each SKU, by its number.
    pub(super) fn accounts(&self) -> Vec<Account> {
        self.0.iter().map(Row::account).collect()
    }
}

impl Row {
    fn account(&self) -> Account {
        Account {
            reserved: self.reserved.load(Relaxed),
            reserved_perhaps: self.reserved_perhaps.load(Relaxed),
            released: self.released.load(Relaxed),
            released_perhaps: self.released_perhaps.load(Relaxed),
            sold: self.sold.load(Relaxed),
            sold_perhaps: self.sold_perhaps.load(Relaxed),
        }
    }
}
