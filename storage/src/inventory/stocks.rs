//! All SKUs.
//!
//! Every change of one goes through [`Stocks::change`], which keeps the digest and the list of changes.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::digest;
use super::ids::{ReservationId, Sku};
use super::kept::{Figures, FiguresAt};
use super::line::Agenda;
use super::names::{Named, Names};
use super::outcome::{State, StockView};
use super::portion::some_of;
use super::record::{ReservedItem, StockRecord};
use super::stock::Stock;

/// The units of all SKUs together: for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// What the shop owns and has not sold.
    pub on_hand: u128,
    /// What is under a hold.
    pub held: u128,
    /// What was sold, less what came back.
    pub sold: u128,
    /// What a new reserve can take.
    pub available: u128,
}

impl Units {
    fn of(record: &StockRecord) -> Units {
        let [on_hand, held, sold, available] =
            [record.on_hand, record.held, record.sold, record.available()].map(u128::from);
        Units { on_hand, held, sold, available }
    }

    /// The units of one SKU come in. Of as many SKUs as memory has room for, no sum overflows.
    pub(super) fn plus(self, record: &StockRecord) -> Units {
        let other = Units::of(record);
        Units {
            on_hand: self.on_hand + other.on_hand,
            held: self.held + other.held,
            sold: self.sold + other.sold,
            available: self.available + other.available,
        }
    }

    /// The units of one SKU that came in before go out.
    fn minus(self, record: &StockRecord) -> Units {
        let other = Units::of(record);
        Units {
            on_hand: self.on_hand - other.on_hand,
            held: self.held - other.held,
            sold: self.sold - other.sold,
            available: self.available - other.available,
        }
    }
}

/// All SKUs.
#[derive(Debug, Clone, Default)]
pub(super) struct Stocks {
    rows: Names<Row>,
    /// Rows from records that are in no table yet. None, but while an inventory is loaded.
    #[expect(clippy::vec_box, reason = "they move into `rows` as they are, and are not copied on the way")]
    gathered: Vec<Box<Row>>,
    /// The names of all rows, in order.
    names: BTreeSet<Sku>,
    agenda: Agenda,
    /// How many wait, over all lines.
    waiting: usize,
    /// The sum of the units of all rows.
    units: Units,
    /// The sum of the hashes of all rows.
    digest: u64,
    /// The SKUs that changed, came or went since the changes were taken. One that did so more than once by being
    /// deleted may be there more than once.
    changed: Vec<Sku>,
}

#[derive(Debug, Clone)]
struct Row {
    stock: Stock,
    /// Whether the SKU stands in the list of changes.
    changed: bool,
}

impl Named for Row {
    fn name(&self) -> &Arc<str> {
        self.stock.sku().shared()
    }
}

impl Stocks {
    /// A SKU, if there is one of that name.
    pub(super) fn get(&self, sku: &Sku) -> Option<&Stock> {
        self.rows.get(sku.as_str()).map(|row| &row.stock)
    }

    /// Reads what a look-up of a SKU begins with. The number means nothing.
    pub(super) fn glance(&self, sku: &Sku) -> u64 {
        self.rows.glance(sku.as_str())
    }

    /// The SKU that a reservation names, unless it is gone, or gone and made anew.
    pub(super) fn of(&self, sku: &Sku, id: ReservationId) -> Option<&Stock> {
        self.get(sku).filter(|stock| stock.record().created_sequence < id.sequence)
    }

    /// The SKU of a live hold, or one whose name was looked up.
    #[expect(clippy::expect_used, reason = "no SKU is deleted while a live hold names it")]
    pub(super) fn row(&self, sku: &Sku) -> &Stock {
        self.get(sku).expect("the SKU is there")
    }

    /// Changes the SKU of a live hold, or one that this command has looked up. What it was and is, where its record
    /// changed.
    #[expect(clippy::expect_used, reason = "no SKU is deleted while a live hold names it")]
    pub(super) fn change(&mut self, sku: &Sku, act: impl FnOnce(&mut Stock)) -> Option<Figures> {
        let row = self.rows.get_mut(sku.as_str()).expect("the SKU is there");
        let (before, waited) = (*row.stock.record(), row.stock.line().len());
        let lapse_before = row.stock.awaited_lapse_ms();
        act(&mut row.stock);
        let waiting = row.stock.line().len();
        if waited > 0 || waiting > 0 {
            self.waiting = self.waiting - waited + waiting;
            self.agenda.follow(sku, lapse_before, row.stock.awaited_lapse_ms());
        }
        let record = row.stock.record();
        if *record == before {
            return None;
        }
        assert!(record.held <= record.on_hand, "{sku}: more held than on hand");
        self.units = self.units.minus(&before).plus(record);
        // What it was is hashed anew: kept hashes would take more memory, for each SKU, than this takes time.
        let [hash_before, hash] = [&before, record].map(|record| digest::stock(sku, record));
        self.digest = self.digest.wrapping_sub(hash_before).wrapping_add(hash);
        if !std::mem::replace(&mut row.changed, true) {
            self.changed.push(row.stock.sku().clone());
        }
        let at = |record, waiting| FiguresAt::of(record, waiting as u64);
        let (before, after) = (at(&before, waited), at(record, waiting));
        Some(Figures { sku: row.stock.sku().clone(), before: Some(before), after })
    }

    /// Which lines are to be looked at, and when.
    pub(super) fn agenda(&self) -> &Agenda {
        &self.agenda
    }

    /// The same, to be worked on.
    pub(super) fn agenda_mut(&mut self) -> &mut Agenda {
        &mut self.agenda
    }

    /// The agenda as it follows from the rows, but for what needs the reservations.
    pub(super) fn awaited_lapses(&self) -> BTreeSet<(u64, Sku)> {
        let awaited = |(sku, stock): (&Sku, &Stock)| Some((stock.awaited_lapse_ms()?, sku.clone()));
        self.in_no_order().filter_map(awaited).collect()
    }

    /// Sets the agenda of loaded SKUs.
    pub(super) fn load_agenda(&mut self, agenda: Agenda) {
        self.agenda = agenda;
    }

    /// Adds a new SKU, and tells what it is.
    pub(super) fn insert(&mut self, sku: Sku, record: StockRecord) -> Figures {
        let figures = Figures { sku: sku.clone(), before: None, after: FiguresAt::of(&record, 0) };
        self.changed.push(sku.clone());
        let row = self.new_row(sku.clone(), record, true);
        self.rows.insert(row);
        self.names.insert(sku);
        figures
    }

    /// Gathers a SKU from a record.
    pub(super) fn gather(&mut self, sku: Sku, record: StockRecord) {
        let row = self.new_row(sku, record, false);
        self.gathered.push(row);
    }

    /// Makes tables of the SKUs that were gathered; false where one is there twice.
    pub(super) fn load_gathered(&mut self) -> bool {
        if self.gathered.is_empty() {
            return true;
        }
        let rows = std::mem::take(&mut self.gathered);
        let all = self.names.len() + rows.len();
        // As a whole: a set that grows by names in order stays half empty.
        self.names = std::mem::take(&mut self.names)
            .into_iter()
            .chain(rows.iter().map(|row| row.stock.sku().clone()))
            .collect();
        self.rows.fit(self.rows.len() + rows.len());
        rows.into_iter().for_each(|row| _ = self.rows.insert(row));
        self.names.len() == all
    }

    /// Takes a SKU out, for which nobody waits, and tells what it was.
    pub(super) fn remove(&mut self, sku: &Sku) -> Option<StockView> {
        let row = self.rows.remove(sku.as_str())?;
        self.names.remove(sku);
        self.digest = self.digest.wrapping_sub(digest::stock(sku, row.stock.record()));
        self.units = self.units.minus(row.stock.record());
        if !row.changed {
            self.changed.push(row.stock.sku().clone());
        }
        Some(row.stock.view_of(row.stock.record(), 0))
    }

    /// Completes a SKU by one item of a loaded reservation; those that wait come in order. Its units lapse if they are
    /// held, and it stands in the line if it waits. The item gets the SKU's own copy of its name. False where the SKU
    /// is gone, or gone and made anew.
    pub(super) fn load_item(
        &mut self,
        id: ReservationId,
        state: State,
        deadline_ms: u64,
        item: &mut ReservedItem,
    ) -> bool {
        let Some(row) = self.rows.get_mut(item.sku.as_str()) else {
            return false;
        };
        let current = row.stock.record().created_sequence < id.sequence;
        match state {
            State::Held if current => row.stock.load_hold(deadline_ms, item.qty),
            State::Waiting if current => {
                row.stock.load_waiting(id);
                self.waiting += 1;
            }
            _ => {}
        }
        item.sku = row.stock.sku().clone();
        current
    }

    /// The SKUs whose name starts with `prefix`, in order, after `after`.
    pub(super) fn following<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&Sku>,
    ) -> impl Iterator<Item = &'a Stock> + use<'a> {
        let first = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let following = self.names.range::<str, _>((first, Bound::Unbounded));
        following.take_while(move |sku| sku.as_str().starts_with(prefix)).map(|sku| self.row(sku))
    }

    /// Every SKU, in no order that means anything, and without a look-up for each.
    pub(super) fn in_no_order(&self) -> impl Iterator<Item = (&Sku, &Stock)> {
        self.rows.iter().map(|row| (row.stock.sku(), &row.stock))
    }

    /// Every SKU, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Sku, &Stock)> {
        self.names.iter().map(|sku| (sku, self.row(sku)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many wait, over all lines.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The sum of the units of all rows.
    pub(super) fn units(&self) -> Units {
        self.units
    }

    /// The sum of the hashes of all rows.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// How many rows changed.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Shows the SKUs that changed since they were shown last: as many as are left to be shown. One that is gone may be
    /// shown again.
    pub(super) fn take_changed(
        &mut self,
        left: &mut usize,
        mut take: impl FnMut(&Sku, Option<&StockRecord>),
    ) {
        let Stocks { rows, changed, .. } = self;
        for sku in some_of(changed, left) {
            match rows.get_mut(sku.as_str()) {
                // It stood in the list before it was deleted and made anew, and was shown.
                Some(row) if !row.changed => {}
                Some(row) => {
                    row.changed = false;
                    take(&sku, Some(row.stock.record()));
                }
                None => take(&sku, None),
            }
        }
    }

    fn new_row(&mut self, sku: Sku, record: StockRecord, changed: bool) -> Box<Row> {
        let hash = digest::stock(&sku, &record);
        self.digest = self.digest.wrapping_add(hash);
        self.units = self.units.plus(&record);
        Box::new(Row { stock: Stock::new(sku, record), changed })
    }
}
