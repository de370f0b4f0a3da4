//! The figures of each SKU, and their arithmetic.
//!
//! ```text
//!   on_hand |##########################################|          sold |######|
//!   held    |############|
//!   safety                                     |#######|
//!   available             |____________________|
//! ```
//!
//! Every change of a figure goes through [`Stocks::change`], which keeps the digest and the list of changes.
//! Arithmetic is checked: callers have made sure that it fits, and a sum that does not is a broken invariant, at
//! which the node has to stop.

use std::collections::BTreeMap;

use super::Inventory;
use super::command::{AdjustSku, PutSku};
use super::digest;
use super::ids::{Sku, UNITS_MAX};
use super::lapses::{Due, Lapses};
use super::outcome::{Outcome, Rejection, State, StockView};
use super::record::{ReservationRecord, StockRecord};

/// One SKU.
#[derive(Debug, Clone)]
pub(super) struct Stock {
    record: StockRecord,
    /// Units by deadline; their sum is `record.held`, and every deadline is after `record.settled_ms`.
    lapses: Lapses,
    /// Whether the SKU stands in the list of changes.
    changed: bool,
}

/// All SKUs.
#[derive(Debug, Clone, Default)]
pub(super) struct Stocks {
    rows: BTreeMap<Sku, Stock>,
    /// The sum of the hashes of all rows.
    digest: u64,
    /// The SKUs whose record changed since the changes were taken, each once.
    changed: Vec<Sku>,
}

impl Inventory {
    /// Makes a SKU or sets its figures. Precedence: `StockBelowHeld`, `StockAboveMax`.
    pub(super) fn put_sku(&mut self, put: &PutSku) -> Result<Outcome, Rejection> {
        self.check_put_sku(put)?;
        let outcome = if self.stocks.get(&put.sku).is_none() {
            self.stocks.insert(put.sku.clone(), StockRecord::new(put, self.counters.sequence));
            Outcome::SkuCreated
        } else {
            self.stocks.change(&put.sku, |stock| stock.set(put.on_hand, put.safety_stock));
            Outcome::SkuSet
        };
        Ok(outcome(self.stocks.row(&put.sku).view(&put.sku, self.now_ms())))
    }

    pub(super) fn check_put_sku(&self, put: &PutSku) -> Result<(), Rejection> {
        match self.stock(&put.sku) {
            Some(stock) if put.on_hand < stock.held => Err(Rejection::StockBelowHeld { stock }),
            _ if put.on_hand > UNITS_MAX => Err(Rejection::StockAboveMax),
            _ => Ok(()),
        }
    }

    /// Adds to on_hand, or takes from it. Precedence: `SkuNotFound`, `StockBelowHeld`, `StockAboveMax`.
    pub(super) fn adjust_sku(&mut self, adjust: &AdjustSku) -> Result<Outcome, Rejection> {
        let on_hand = self.check_adjust_sku(adjust)?;
        self.stocks.change(&adjust.sku, |stock| stock.set(on_hand, None));
        Ok(Outcome::SkuSet(self.stocks.row(&adjust.sku).view(&adjust.sku, self.now_ms())))
    }

    /// What on_hand will be.
    pub(super) fn check_adjust_sku(&self, adjust: &AdjustSku) -> Result<u64, Rejection> {
        let sku = &adjust.sku;
        let stock = self.stock(sku).ok_or_else(|| Rejection::SkuNotFound { sku: sku.clone() })?;
        match stock.on_hand.checked_add_signed(adjust.delta) {
            Some(on_hand) if on_hand > UNITS_MAX => Err(Rejection::StockAboveMax),
            Some(on_hand) if on_hand >= stock.held => Ok(on_hand),
            // on_hand is at most UNITS_MAX, so that no delta takes it past 2^64: None is below 0.
            _ => Err(Rejection::StockBelowHeld { stock }),
        }
    }
}

impl StockRecord {
    fn new(put: &PutSku, sequence: u64) -> StockRecord {
        StockRecord {
            on_hand: put.on_hand,
            held: 0,
            sold: 0,
            safety_stock: put.safety_stock.unwrap_or(0),
            max_per_customer: None,
            created_sequence: sequence,
            version: 1,
            settled_ms: 0,
        }
    }

    /// What a new reserve can take.
    pub(super) fn available(&self) -> u64 {
        self.on_hand.saturating_sub(self.held).saturating_sub(self.safety_stock)
    }

    /// What it could take if every hold lapsed.
    pub(super) fn sellable(&self) -> u64 {
        self.on_hand.saturating_sub(self.safety_stock)
    }

    fn give_back(&mut self, due: Due) {
        if due.entries > 0 {
            self.held = minus(self.held, due.qty);
            self.version = plus(self.version, due.entries);
            self.settled_ms = due.last_ms;
        }
    }
}

impl Stock {
    /// The stored record, as it is.
    pub(super) fn record(&self) -> &StockRecord {
        &self.record
    }

    /// The stored lapses, as they are.
    pub(super) fn lapses(&self) -> &Lapses {
        &self.lapses
    }

    /// The figures at a moment: what is due then counts as given back, be it settled or not.
    pub(super) fn at(&self, now_ms: u64) -> StockRecord {
        let mut record = self.record;
        record.give_back(self.lapses.due(now_ms));
        record
    }

    /// The figures at a moment, for an answer.
    pub(super) fn view(&self, sku: &Sku, now_ms: u64) -> StockView {
        let StockRecord { on_hand, held, sold, safety_stock, max_per_customer, version, .. } =
            self.at(now_ms);
        let sku = sku.clone();
        StockView { sku, on_hand, held, sold, safety_stock, max_per_customer, waiting: 0, version }
    }

    /// Makes the figures those of a moment.
    pub(super) fn settle(&mut self, now_ms: u64) {
        self.record.give_back(self.lapses.take_due(now_ms));
    }

    /// Puts units under a hold.
    pub(super) fn hold(&mut self, qty: u64, deadline_ms: u64) {
        self.record.held = plus(self.record.held, qty);
        self.lapses.add(deadline_ms, qty);
        self.touch();
    }

    /// Takes units from under a live hold.
    pub(super) fn unhold(&mut self, qty: u64, deadline_ms: u64) {
        self.record.held = minus(self.record.held, qty);
        self.unlapse(qty, deadline_ms);
        self.touch();
    }

    /// Sells units that are under a live hold.
    pub(super) fn sell_held(&mut self, qty: u64, deadline_ms: u64) {
        self.record.held = minus(self.record.held, qty);
        self.unlapse(qty, deadline_ms);
        self.sell(qty);
    }

    /// Sells available units.
    pub(super) fn sell(&mut self, qty: u64) {
        self.record.on_hand = minus(self.record.on_hand, qty);
        self.record.sold = plus(self.record.sold, qty);
        self.touch();
    }

    /// Takes sold units back.
    pub(super) fn take_back(&mut self, qty: u64) {
        self.record.sold = minus(self.record.sold, qty);
        self.record.on_hand = plus(self.record.on_hand, qty);
        self.touch();
    }

    /// Moves units under a live hold to another deadline. No figure changes, and so no version.
    pub(super) fn move_deadline(&mut self, qty: u64, from_ms: u64, to_ms: u64) {
        self.unlapse(qty, from_ms);
        self.lapses.add(to_ms, qty);
    }

    fn set(&mut self, on_hand: u64, safety_stock: Option<u64>) {
        let safety_stock = safety_stock.unwrap_or(self.record.safety_stock);
        if (on_hand, safety_stock) != (self.record.on_hand, self.record.safety_stock) {
            self.record.on_hand = on_hand;
            self.record.safety_stock = safety_stock;
            self.touch();
        }
    }

    fn unlapse(&mut self, qty: u64, deadline_ms: u64) {
        let there = self.lapses.remove(deadline_ms, qty);
        assert!(there, "a live hold's {qty} units at {deadline_ms} are not among those that lapse");
    }

    fn touch(&mut self) {
        self.record.version = plus(self.record.version, 1);
    }
}

impl Stocks {
    /// A SKU, if there is one of that name.
    pub(super) fn get(&self, sku: &Sku) -> Option<&Stock> {
        self.rows.get(sku)
    }

    /// A SKU that a reservation names, or that this command has looked up.
    #[expect(clippy::expect_used, reason = "SKUs are looked up before they are reserved, and never removed")]
    pub(super) fn row(&self, sku: &Sku) -> &Stock {
        self.rows.get(sku).expect("the SKU of a reservation is there")
    }

    /// The stored name of a SKU, so that a million holds of it share one copy.
    pub(super) fn shared_name(&self, sku: &Sku) -> Sku {
        self.rows.get_key_value(sku).map_or_else(|| sku.clone(), |(name, _)| name.clone())
    }

    /// Changes a SKU that a reservation names, or that this command has looked up.
    #[expect(clippy::expect_used, reason = "SKUs are looked up before they are reserved, and never removed")]
    pub(super) fn change(&mut self, sku: &Sku, act: impl FnOnce(&mut Stock)) {
        let stock = self.rows.get_mut(sku).expect("the SKU of a reservation is there");
        let before = stock.record;
        act(stock);
        if stock.record == before {
            return;
        }
        assert!(stock.record.held <= stock.record.on_hand, "{sku}: more held than on hand");
        self.digest = self.digest.wrapping_sub(digest::stock(sku, &before));
        self.digest = self.digest.wrapping_add(digest::stock(sku, &stock.record));
        if !std::mem::replace(&mut stock.changed, true) {
            self.changed.push(sku.clone());
        }
    }

    /// Makes a SKU's figures those of a moment. A name that is no SKU's is left alone.
    pub(super) fn settle(&mut self, sku: &Sku, now_ms: u64) {
        if self.rows.get(sku).is_some_and(|stock| stock.lapses.is_due(now_ms)) {
            self.change(sku, |stock| stock.settle(now_ms));
        }
    }

    /// Adds a new SKU.
    pub(super) fn insert(&mut self, sku: Sku, record: StockRecord) {
        self.load(sku.clone(), record, true);
        self.changed.push(sku);
    }

    /// Adds a SKU from a record; false where it is there already.
    pub(super) fn load(&mut self, sku: Sku, record: StockRecord, changed: bool) -> bool {
        self.digest = self.digest.wrapping_add(digest::stock(&sku, &record));
        let stock = Stock { record, lapses: Lapses::default(), changed };
        self.rows.insert(sku, stock).is_none()
    }

    /// Completes one item of a loaded reservation: shares the SKU's name, and makes its units lapse if they are
    /// held. False where there is no such SKU.
    pub(super) fn load_item(&mut self, record: &mut ReservationRecord, index: usize) -> bool {
        let (state, deadline_ms) = (record.state, record.deadline_ms());
        let item = &mut record.items[index];
        let place = &item.sku..=&item.sku;
        let Some((name, stock)) = self.rows.range_mut::<Sku, _>(place).next() else {
            return false;
        };
        if state == State::Held && deadline_ms > stock.record.settled_ms {
            stock.lapses.add(deadline_ms, item.qty);
        }
        item.sku = name.clone();
        true
    }

    /// Every SKU, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Sku, &Stock)> {
        self.rows.iter()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The sum of the hashes of all rows.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// How many rows changed.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// The SKUs that changed since the last call, each once.
    pub(super) fn take_changed(&mut self) -> Vec<Sku> {
        for sku in &self.changed {
            if let Some(stock) = self.rows.get_mut(sku) {
                stock.changed = false;
            }
        }
        std::mem::take(&mut self.changed)
    }
}

#[expect(clippy::expect_used, reason = "a sum that does not fit is a broken invariant: the node has to stop")]
fn plus(a: u64, b: u64) -> u64 {
    a.checked_add(b).expect("units fit into 64 bits")
}

#[expect(clippy::expect_used, reason = "a sum below zero is a broken invariant: the node has to stop")]
fn minus(a: u64, b: u64) -> u64 {
    a.checked_sub(b).expect("units are never taken where there are none")
}
