//! The figures of one SKU, and their arithmetic.
//!
//! ```text
//!   on_hand |##########################################|          sold |######|
//!   held    |############|
//!   safety                                     |#######|
//!   available             |____________________|
//! ```
//!
//! Arithmetic is checked: callers have made sure that it fits, and a sum that does not is a broken invariant, at
//! which the node has to stop.

use super::command::{PutSku, Setting};
use super::ids::{ReservationId, Sku};
use super::kept::FiguresAt;
use super::lapses::{Due, Lapses};
use super::line::Line;
use super::outcome::StockView;
use super::record::{Counters, StockRecord};

/// One SKU.
#[derive(Debug, Clone)]
pub(super) struct Stock {
    sku: Sku,
    record: StockRecord,
    /// Units by deadline; their sum is `record.held`, and every deadline is after `record.settled_ms`.
    lapses: Lapses,
    /// Who waits for units of it: most SKUs have no line.
    line: Option<Box<Line>>,
}

/// How units of one SKU move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Available units go under a hold.
    Hold {
        /// How many.
        qty: u64,
        /// When the hold ends by itself.
        deadline_ms: u64,
    },
    /// Units under a live hold are for sale again.
    Unhold {
        /// How many.
        qty: u64,
        /// The hold's deadline.
        deadline_ms: u64,
    },
    /// A live hold ends: a part of its units is sold, the rest is for sale again.
    SellHeld {
        /// What it holds.
        qty: u64,
        /// How many of them are sold.
        sold: u64,
        /// The hold's deadline.
        deadline_ms: u64,
    },
    /// Available units are sold.
    Sell {
        /// How many.
        qty: u64,
    },
    /// Sold units come back.
    TakeBack {
        /// How many.
        qty: u64,
    },
    /// A live hold gets another deadline. No figure changes, and so no version.
    Redate {
        /// What it holds.
        qty: u64,
        /// Its deadline before.
        from_ms: u64,
        /// Its deadline from now on.
        to_ms: u64,
    },
}

impl StockRecord {
    /// The figures of a new SKU.
    pub(super) fn new(put: &PutSku, counters: &Counters) -> StockRecord {
        StockRecord {
            on_hand: put.on_hand,
            held: 0,
            sold: 0,
            safety_stock: put.safety_stock.unwrap_or(0),
            max_per_customer: put.max_per_customer.applied_to(None),
            created_sequence: counters.sequence,
            version: plus(counters.deleted_version, 1),
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
    /// A SKU from its record, with nothing held yet.
    pub(super) fn new(sku: Sku, record: StockRecord) -> Stock {
        Stock { sku, record, lapses: Lapses::default(), line: None }
    }

    /// Its name: the one copy that all its reservations share.
    pub(super) fn sku(&self) -> &Sku {
        &self.sku
    }

    /// The stored record, as it is.
    pub(super) fn record(&self) -> &StockRecord {
        &self.record
    }

    /// The stored lapses, as they are.
    pub(super) fn lapses(&self) -> &Lapses {
        &self.lapses
    }

    /// Who waits for units of it.
    pub(super) fn line(&self) -> &Line {
        self.line.as_deref().unwrap_or(Line::EMPTY)
    }

    /// When the next units lapse, where somebody waits for them.
    pub(super) fn awaited_lapse_ms(&self) -> Option<u64> {
        if self.line().is_empty() { None } else { self.lapses.next_ms() }
    }

    /// The figures at a moment: what is due then counts as given back, be it settled or not.
    pub(super) fn at(&self, now_ms: u64) -> StockRecord {
        let mut record = self.record;
        record.give_back(self.lapses.due(now_ms));
        record
    }

    /// The figures at a moment, for an answer.
    pub(super) fn view(&self, now_ms: u64) -> StockView {
        self.view_of(&self.at(now_ms), self.line().len() as u64)
    }

    /// The figures of a record of this SKU with so many waiting.
    pub(super) fn view_of(&self, record: &StockRecord, waiting: u64) -> StockView {
        FiguresAt::of(record, waiting).view(&self.sku)
    }

    /// Makes the figures those of a moment.
    pub(super) fn settle(&mut self, now_ms: u64) {
        self.record.give_back(self.lapses.take_due(now_ms));
    }

    /// Moves units.
    pub(super) fn apply(&mut self, what: Move) {
        match what {
            Move::Hold { qty, deadline_ms } => self.hold(qty, deadline_ms),
            Move::Unhold { qty, deadline_ms } => self.unhold(qty, deadline_ms),
            Move::SellHeld { qty, sold, deadline_ms } => {
                self.unhold(qty, deadline_ms);
                self.sell(sold);
            }
            Move::Sell { qty } => self.sell(qty),
            Move::TakeBack { qty } => {
                self.record.sold = minus(self.record.sold, qty);
                self.record.on_hand = plus(self.record.on_hand, qty);
            }
            Move::Redate { qty, from_ms, to_ms } => {
                self.unlapse(qty, from_ms);
                self.lapses.add(to_ms, qty);
                return;
            }
        }
        self.touch();
    }

    /// Puts one at the end of the line.
    pub(super) fn join(&mut self, id: ReservationId) {
        self.line.get_or_insert_default().push(id);
        self.touch();
    }

    /// Takes one out of the line.
    pub(super) fn leave(&mut self, id: ReservationId) {
        self.out_of_line(id);
        self.touch();
    }

    /// Takes one out of the line and puts units under his hold: one change of the record.
    pub(super) fn promote(&mut self, id: ReservationId, hold: Move) {
        self.out_of_line(id);
        self.apply(hold);
    }

    /// Sets what a put sets. The version grows where anything differs.
    pub(super) fn set(&mut self, on_hand: u64, safety_stock: Option<u64>, limit: Setting<u64>) {
        let before = self.record;
        self.record.on_hand = on_hand;
        self.record.safety_stock = safety_stock.unwrap_or(before.safety_stock);
        self.record.max_per_customer = limit.applied_to(before.max_per_customer);
        if self.record != before {
            self.touch();
        }
    }

    /// Puts a loaded reservation that waits at the end of the line.
    pub(super) fn load_waiting(&mut self, id: ReservationId) {
        self.line.get_or_insert_default().push(id);
    }

    /// Makes units of a loaded hold lapse.
    pub(super) fn load_hold(&mut self, deadline_ms: u64, qty: u64) {
        if deadline_ms > self.record.settled_ms {
            self.lapses.add(deadline_ms, qty);
        }
    }

    fn hold(&mut self, qty: u64, deadline_ms: u64) {
        self.record.held = plus(self.record.held, qty);
        self.lapses.add(deadline_ms, qty);
    }

    fn unhold(&mut self, qty: u64, deadline_ms: u64) {
        self.record.held = minus(self.record.held, qty);
        self.unlapse(qty, deadline_ms);
    }

    fn sell(&mut self, qty: u64) {
        self.record.on_hand = minus(self.record.on_hand, qty);
        self.record.sold = plus(self.record.sold, qty);
    }

    fn unlapse(&mut self, qty: u64, deadline_ms: u64) {
        let there = self.lapses.remove(deadline_ms, qty);
        assert!(there, "a live hold's {qty} units at {deadline_ms} are not among those that lapse");
    }

    fn out_of_line(&mut self, id: ReservationId) {
        let there = self.line.as_mut().is_some_and(|line| line.remove(id));
        assert!(there, "{id} waits, and is not in the line");
        self.line.take_if(|line| line.is_empty());
    }

    fn touch(&mut self) {
        self.record.version = plus(self.record.version, 1);
    }
}

impl Setting<u64> {
    fn applied_to(self, before: Option<u64>) -> Option<u64> {
        match self {
            Setting::Keep => before,
            Setting::Clear => None,
            Setting::Set(value) => Some(value),
        }
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
