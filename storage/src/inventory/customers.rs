//! What each customer has of each SKU: held and sold, over all orders, also those that are forgotten by now.
//!
//! ```text
//!   PS5, max_per_customer 3
//!     ann   held 1 (till 12:00.000)   sold 1     one more, and no second
//!     bob   held 0                    sold 3     no more
//! ```
//!
//! Only what is sold is stored. What is held follows from the reservations, as a SKU's lapses do. It is kept whether
//! the SKU has a limit or not, so that a limit that is set later counts what was before it.

use std::sync::Arc;

use super::Inventory;
use super::digest;
use super::ids::{Item, Sku};
use super::lapses::Lapses;
use super::names::Names;
use super::outcome::Rejection;
use super::record::{CustomerRecord, ReservationRecord, ReservedItem};
use super::stock::Move;

/// What all customers have.
#[derive(Debug, Clone, Default)]
pub(super) struct Customers {
    rows: Names<OfSku>,
    /// The sum of the hashes of all records.
    digest: u64,
    /// The records that changed, came or went since the changes were taken, perhaps more than once.
    changed: Vec<(Sku, Arc<str>)>,
}

/// What customers have of one SKU, which at least one has.
#[derive(Debug, Clone)]
struct OfSku {
    sku: Sku,
    shares: Names<Share>,
}

/// What one customer has of one SKU. There is none that is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Units committed, less units returned.
    sold: u64,
    /// The sum of `lapses`.
    held: u64,
    /// Units under holds by deadline, those of holds that are due and not swept included.
    lapses: Lapses,
}

impl Inventory {
    /// Whether a customer may have these items besides what there is. Refuses with `CustomerLimit`.
    pub(super) fn check_limits(&self, customer_id: Option<&str>, items: &[Item]) -> Result<(), Rejection> {
        let Some(customer) = customer_id else {
            return Ok(());
        };
        items.iter().try_for_each(|item| self.check_limit(customer, &item.sku, item.qty))
    }

    /// Whether a customer who has nothing yet might have these items: nobody shall wait, with
    /// everybody else behind, for what can never be had. Refuses with `CustomerLimit`.
    pub(super) fn check_never_over(
        &self,
        customer_id: Option<&str>,
        items: &[Item],
    ) -> Result<(), Rejection> {
        match items.iter().any(|item| self.is_never_allowed(customer_id, &item.sku, item.qty)) {
            true => self.check_limits(customer_id, items),
            false => Ok(()),
        }
    }

    /// Whether so many units are more than a customer may have at all.
    pub(super) fn is_never_allowed(&self, customer_id: Option<&str>, sku: &Sku, qty: u64) -> bool {
        let limit = self.stocks.get(sku).and_then(|stock| stock.record().max_per_customer);
        customer_id.is_some() && limit.is_some_and(|limit| qty > limit)
    }

    /// As [`Inventory::check_limits`], for one SKU.
    pub(super) fn check_limit(&self, customer: &str, sku: &Sku, requested: u64) -> Result<(), Rejection> {
        let stock = self.stocks.get(sku);
        let Some(limit) = stock.and_then(|stock| stock.record().max_per_customer) else {
            return Ok(());
        };
        let (held, sold) = self.customers.figures(sku, customer, self.now_ms());
        if held.saturating_add(sold).saturating_add(requested) <= limit {
            return Ok(());
        }
        Err(Rejection::CustomerLimit { sku: sku.clone(), limit, held, sold, requested })
    }
}

impl Customers {
    /// Units that a customer holds, and has bought, of a SKU at a moment.
    pub(super) fn figures(&self, sku: &Sku, customer: &str, now_ms: u64) -> (u64, u64) {
        let share = self.rows.get(sku.as_str()).and_then(|of| of.shares.get(customer));
        share.map_or((0, 0), |share| (share.held.saturating_sub(share.lapses.due(now_ms).qty), share.sold))
    }

    /// Follows a move of a customer's units. What lapses by itself is moved when the sweep reaches its hold.
    pub(super) fn apply(&mut self, sku: &Sku, customer: &Arc<str>, what: Move) {
        self.change(sku, customer, |share| share.apply(what));
    }

    /// Forgets all that customers have of a SKU that is deleted.
    pub(super) fn remove_sku(&mut self, sku: &Sku) {
        let gone = self.rows.remove(sku.as_str());
        for (customer, share) in gone.iter().flat_map(|(_, of)| of.shares.iter()) {
            if share.sold > 0 {
                self.digest = self.digest.wrapping_sub(share.digest(sku, customer));
                self.changed.push((sku.clone(), Arc::clone(customer)));
            }
        }
    }

    /// What is stored of a customer.
    pub(super) fn stored(&self, sku: &Sku, customer: &str) -> Option<CustomerRecord> {
        self.rows.get(sku.as_str())?.shares.get(customer)?.record()
    }

    /// Adds a record; false where it is there already, or is none that is kept.
    pub(super) fn load(&mut self, sku: Sku, customer: Arc<str>, record: CustomerRecord) -> bool {
        self.digest = self.digest.wrapping_add(digest::customer(&sku, &customer, record));
        let share = Share { sold: record.sold, ..Share::default() };
        let of = self.rows.value_or(sku.shared(), || OfSku::new(&sku));
        record.sold > 0 && of.shares.insert(customer, share).is_none()
    }

    /// Completes the customers by one item of a loaded hold.
    pub(super) fn load_hold(&mut self, record: &ReservationRecord, item: &ReservedItem) {
        if let Some(customer) = &record.customer_id {
            let (qty, deadline_ms) = (item.qty, record.deadline_ms());
            self.change(&item.sku, customer, |share| share.hold(qty, deadline_ms));
        }
    }

    /// Every SKU of which customers have some, in order, and what they have, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Sku, &Names<Share>)> {
        let mut rows: Vec<_> = self.rows.iter().map(|(_, of)| (&of.sku, &of.shares)).collect();
        rows.sort_unstable_by_key(|(sku, _)| *sku);
        rows.into_iter()
    }

    /// Every record, in the order of the keys.
    pub(super) fn records(&self) -> impl Iterator<Item = (&Sku, &Arc<str>, CustomerRecord)> {
        self.iter().flat_map(|(sku, shares)| {
            let stored = shares.iter().filter_map(|(customer, share)| Some((customer, share.record()?)));
            let mut stored: Vec<_> = stored.collect();
            stored.sort_unstable_by_key(|(customer, _)| *customer);
            stored.into_iter().map(move |(customer, record)| (sku, customer, record))
        })
    }

    /// The sum of the hashes of all records.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// How many changes there were.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// The records that changed since the last call, each once.
    pub(super) fn take_changed(&mut self) -> Vec<(Sku, Arc<str>)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    fn change(&mut self, sku: &Sku, customer: &Arc<str>, act: impl FnOnce(&mut Share)) {
        let of = self.rows.value_or(sku.shared(), || OfSku::new(sku));
        let share = of.shares.value_or(customer, Share::default);
        let before = share.sold;
        act(share);
        let gone = *share == Share::default();
        if share.sold != before {
            let hash =
                |sold| if sold == 0 { 0 } else { digest::customer(sku, customer, CustomerRecord { sold }) };
            self.digest = self.digest.wrapping_sub(hash(before)).wrapping_add(hash(share.sold));
            self.changed.push((sku.clone(), Arc::clone(customer)));
        }
        if gone {
            self.forget(sku, customer);
        }
    }

    /// Drops what is empty.
    fn forget(&mut self, sku: &Sku, customer: &str) {
        let left = self.rows.get_mut(sku.as_str()).map_or(0, |of| {
            of.shares.remove(customer);
            of.shares.len()
        });
        if left == 0 {
            self.rows.remove(sku.as_str());
        }
    }
}

impl OfSku {
    fn new(sku: &Sku) -> OfSku {
        OfSku { sku: sku.clone(), shares: Names::default() }
    }
}

impl Share {
    /// Units under holds, those of holds that are due and not swept included.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Units under holds, by deadline.
    pub(super) fn lapses(&self) -> &Lapses {
        &self.lapses
    }

    fn record(&self) -> Option<CustomerRecord> {
        (self.sold > 0).then_some(CustomerRecord { sold: self.sold })
    }

    fn digest(&self, sku: &Sku, customer: &str) -> u64 {
        digest::customer(sku, customer, CustomerRecord { sold: self.sold })
    }

    fn apply(&mut self, what: Move) {
        match what {
            Move::Hold { qty, deadline_ms } => self.hold(qty, deadline_ms),
            Move::Unhold { qty, deadline_ms } => self.unhold(qty, deadline_ms),
            Move::SellHeld { qty, sold, deadline_ms } => {
                self.unhold(qty, deadline_ms);
                self.sold = self.sold.saturating_add(sold);
            }
            Move::Sell { qty } => self.sold = self.sold.saturating_add(qty),
            Move::TakeBack { qty } => self.sold = self.sold.saturating_sub(qty),
            Move::Redate { qty, from_ms, to_ms } => {
                self.unhold(qty, from_ms);
                self.hold(qty, to_ms);
            }
        }
    }

    fn hold(&mut self, qty: u64, deadline_ms: u64) {
        self.held = self.held.saturating_add(qty);
        self.lapses.add(deadline_ms, qty);
    }

    fn unhold(&mut self, qty: u64, deadline_ms: u64) {
        let there = self.lapses.remove(deadline_ms, qty);
        assert!(there, "a customer's {qty} units held till {deadline_ms} are not among those that lapse");
        self.held = self.held.saturating_sub(qty);
    }
}
