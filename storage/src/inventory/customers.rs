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

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Inventory;
use super::digest;
use super::ids::{Item, Sku};
use super::lapses::Lapses;
use super::names;
use super::outcome::Rejection;
use super::portion::some_of;
use super::record::{CustomerRecord, ReservedItem};
use super::series::Series;
use super::stock::Move;
use super::table::Table;
use crate::planted;

/// What all customers have.
#[derive(Debug, Clone, Default)]
pub(super) struct Customers {
    /// By the hash of the SKU, and then by that of the customer. No series is empty.
    rows: Table<Series<Box<Row>>>,
    /// Those whose place was taken when they came. None of them is in `rows`, and no map is empty.
    others: BTreeMap<Sku, BTreeMap<Arc<str>, Share>>,
    /// The sum of the hashes of all records.
    digest: u64,
    /// The records that changed, came or went since the changes were taken, perhaps more than once.
    changed: Vec<(Sku, Arc<str>)>,
}

#[derive(Debug, Clone)]
struct Row {
    sku: Sku,
    customer: Arc<str>,
    share: Share,
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
        let Some(share) = self.share(sku, customer) else {
            return (0, 0);
        };
        let lapsed = if planted!("limit-counts-lapsed-holds") { 0 } else { share.lapses.due(now_ms).qty };
        let sold = if planted!("limit-forgets-what-was-bought") { 0 } else { share.sold };
        (share.held.saturating_sub(lapsed), sold)
    }

    /// Follows a move of a customer's units. What lapses by itself is moved when the sweep reaches its hold.
    pub(super) fn apply(&mut self, sku: &Sku, customer: &Arc<str>, what: Move) {
        self.change(sku, customer, |share| share.apply(what));
    }

    /// Forgets all that customers have of a SKU that is deleted.
    pub(super) fn remove_sku(&mut self, sku: &Sku) {
        let of_hash = self.rows.get(names::hash(sku.as_str())).into_iter().flat_map(Series::iter);
        let of_sku = of_hash.filter(|(_, row)| row.sku == *sku);
        let customers: Vec<Arc<str>> = of_sku.map(|(_, row)| Arc::clone(&row.customer)).collect();
        let others = self.others.get(sku).into_iter().flat_map(|shares| shares.keys().cloned());
        for customer in customers.into_iter().chain(others.collect::<Vec<_>>()) {
            if let Some(share) = self.forget(sku, &customer).filter(|share| share.sold > 0) {
                self.digest = self.digest.wrapping_sub(share.digest(sku, &customer));
                self.changed.push((sku.clone(), customer));
            }
        }
    }

    /// What is stored of a customer.
    pub(super) fn stored(&self, sku: &Sku, customer: &str) -> Option<CustomerRecord> {
        self.share(sku, customer)?.record()
    }

    /// Adds a record; false where it is there already, or is none that is kept.
    pub(super) fn load(&mut self, sku: Sku, customer: Arc<str>, record: CustomerRecord) -> bool {
        self.digest = self.digest.wrapping_add(digest::customer(&sku, &customer, record));
        let share = self.share_mut(&sku, &customer);
        // What is held is there already where its holds came first.
        let is_new = share.sold == 0;
        share.sold = record.sold;
        record.sold > 0 && is_new
    }

    /// Completes the customers by one item of a loaded hold.
    pub(super) fn load_hold(&mut self, customer: &Arc<str>, deadline_ms: u64, item: &ReservedItem) {
        self.change(&item.sku, customer, |share| share.hold(item.qty, deadline_ms));
    }

    /// What each customer has of each SKU, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Sku, &Arc<str>, &Share)> {
        let rows = self.rows.iter().flat_map(|(_, of_sku)| of_sku.iter());
        let rows = rows.map(|(_, row)| (&row.sku, &row.customer, &row.share));
        let others = self.others.iter();
        rows.chain(
            others.flat_map(|(sku, shares)| shares.iter().map(move |(name, share)| (sku, name, share))),
        )
    }

    /// Every record, in the order of the keys.
    pub(super) fn records(&self) -> impl Iterator<Item = (&Sku, &Arc<str>, CustomerRecord)> {
        let stored = self.iter().filter_map(|(sku, customer, share)| Some((sku, customer, share.record()?)));
        let mut stored: Vec<_> = stored.collect();
        stored.sort_unstable_by_key(|&(sku, customer, _)| (sku, customer));
        stored.into_iter()
    }

    /// The sum of the hashes of all records.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// How many changes there were.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Shows the records that changed since they were shown last: as many as are left to be shown, each of them once.
    pub(super) fn take_changed(
        &mut self,
        left: &mut usize,
        mut take: impl FnMut(&Sku, &Arc<str>, Option<CustomerRecord>),
    ) {
        let mut changed: Vec<_> = some_of(&mut self.changed, left).collect();
        changed.sort_unstable();
        changed.dedup();
        for (sku, customer) in &changed {
            take(sku, customer, self.stored(sku, customer));
        }
    }

    fn change(&mut self, sku: &Sku, customer: &Arc<str>, act: impl FnOnce(&mut Share)) {
        let share = self.share_mut(sku, customer);
        let before = share.sold;
        act(share);
        let (after, gone) = (share.sold, *share == Share::default());
        if after != before {
            let hash =
                |sold| if sold == 0 { 0 } else { digest::customer(sku, customer, CustomerRecord { sold }) };
            self.digest = self.digest.wrapping_sub(hash(before)).wrapping_add(hash(after));
            self.changed.push((sku.clone(), Arc::clone(customer)));
        }
        if gone {
            self.forget(sku, customer);
        }
    }

    fn share(&self, sku: &Sku, customer: &str) -> Option<&Share> {
        match self.row(sku, customer) {
            Some(row) if row.is_of(sku, customer) => Some(&row.share),
            _ => self.others.get(sku)?.get(customer),
        }
    }

    /// The row in the place of a customer, be it his or another one's.
    fn row(&self, sku: &Sku, customer: &str) -> Option<&Row> {
        self.rows.get(names::hash(sku.as_str()))?.get(names::hash(customer)).map(|row| &**row)
    }

    /// The share of a customer, made if there is none.
    fn share_mut(&mut self, sku: &Sku, customer: &Arc<str>) -> &mut Share {
        let taken = self.row(sku, customer).is_some_and(|row| !row.is_of(sku, customer));
        if taken || self.others.get(sku).is_some_and(|shares| shares.contains_key(customer)) {
            let shares = self.others.entry(sku.clone()).or_default();
            return shares.entry(Arc::clone(customer)).or_default();
        }
        let row = || Row { sku: sku.clone(), customer: Arc::clone(customer), share: Share::default() };
        let of_sku = self.rows.get_or_default(names::hash(sku.as_str()));
        &mut of_sku.get_or_insert_with(names::hash(customer), || Box::new(row())).share
    }

    /// Drops a share.
    fn forget(&mut self, sku: &Sku, customer: &str) -> Option<Share> {
        if self.row(sku, customer).is_some_and(|row| row.is_of(sku, customer)) {
            let of_hash = names::hash(sku.as_str());
            let of_sku = self.rows.get_mut(of_hash)?;
            let share = of_sku.remove(names::hash(customer)).map(|row| row.share);
            if of_sku.is_empty() {
                self.rows.remove(of_hash);
            }
            return share;
        }
        let shares = self.others.get_mut(sku)?;
        let share = shares.remove(customer);
        if shares.is_empty() {
            self.others.remove(sku);
        }
        share
    }
}

impl Row {
    fn is_of(&self, sku: &Sku, customer: &str) -> bool {
        *self.customer == *customer && self.sku == *sku
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sku(name: &str) -> Sku {
        Sku::new(name).unwrap()
    }

    fn of(customers: &Customers) -> Vec<(&str, &str, u64)> {
        customers.records().map(|(sku, customer, record)| (sku.as_str(), &**customer, record.sold)).collect()
    }

    /// The place of `ann` is taken by `bob` when she comes.
    #[test]
    fn customers_of_one_hash_are_told_apart() {
        let (shoe, hat) = (sku("SHOE"), sku("HAT"));
        let mut customers = Customers::default();
        let share = Share { sold: 1, ..Share::default() };
        let bob = Row { sku: shoe.clone(), customer: "bob".into(), share };
        let of_shoe = customers.rows.get_or_default(names::hash("SHOE"));
        of_shoe.insert(names::hash("ann"), Box::new(bob));
        for (sku, customer, sold) in [(&shoe, "ann", 2), (&hat, "ann", 3)] {
            assert!(customers.load(sku.clone(), customer.into(), CustomerRecord { sold }));
        }
        assert_eq!(of(&customers), [("HAT", "ann", 3), ("SHOE", "ann", 2), ("SHOE", "bob", 1)]);
        assert!(
            !customers.load(shoe.clone(), "ann".into(), CustomerRecord { sold: 2 }),
            "it is there already"
        );
        // She stays where she is when her place is free again, and is there once.
        customers.rows.remove(names::hash("SHOE"));
        customers.apply(&shoe, &"ann".into(), Move::Sell { qty: 5 });
        assert_eq!(of(&customers), [("HAT", "ann", 3), ("SHOE", "ann", 7)]);
        customers.remove_sku(&shoe);
        assert_eq!(of(&customers), [("HAT", "ann", 3)]);
        assert!(customers.others.is_empty());
    }

    #[test]
    fn who_has_nothing_left_is_forgotten() {
        let (shoe, ann) = (sku("SHOE"), Arc::from("ann"));
        let mut customers = Customers::default();
        let (qty, deadline_ms) = (2, 9);
        customers.apply(&shoe, &ann, Move::Hold { qty, deadline_ms });
        assert_eq!((customers.figures(&shoe, "ann", 0), customers.iter().count()), ((2, 0), 1));
        customers.apply(&shoe, &ann, Move::Unhold { qty, deadline_ms });
        assert_eq!((customers.figures(&shoe, "ann", 0), customers.iter().count()), ((0, 0), 0));
    }
}
