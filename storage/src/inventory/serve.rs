//! How a line is joined, served and left.
//!
//! ```text
//!   reserve, wait = true:  fits, and nobody waits --> a hold
//!                          else                   --> the end of the line
//!
//!   a command:  time passes --> serve --> the command's own change --> serve
//!                               while the head fits: it gets a hold, or is passed over where its customer has
//!                               too many units already
//! ```
//!
//! # Invariants
//!
//! 1. Units of a SKU with a line go to the head of the line, and to nobody else: a cart that names such a SKU does not
//!    fit, even where the units would be there. So nobody is overtaken.
//! 2. After each command no line has a head that fits, but for a backlog: where more could be served than
//!    [`PROMOTE_MAX`], the next commands go on, in the order of the SKUs' names.
//! 3. Units that lapse reach the line with the next command, however far the sweep has got, for the first
//!    [`AWAITED_LAPSES_MAX`] SKUs with a line.

use std::collections::BTreeSet;

use super::Inventory;
use super::command::{Reserve, Stamp};
use super::event::{Cause, ReservationChangeKind};
use super::ids::{ReservationId, Sku};
use super::line::Agenda;
use super::outcome::{ReservationView, State};
use super::record::ReservationRecord;
use super::stock::Move;

/// Reservations that one command serves at most, those that are passed over included.
pub const PROMOTE_MAX: usize = 4_096;
/// SKUs with a line to which one command gives back what is due, at most, besides those that it names.
const AWAITED_LAPSES_MAX: usize = 4_096;

impl Inventory {
    /// Puts a cart at the end of the line of its one SKU.
    pub(super) fn join(&mut self, stamp: &Stamp, reserve: &Reserve) -> ReservationView {
        let id = ReservationId { sequence: self.counters.sequence, nonce: reserve.nonce };
        for item in &reserve.items {
            self.change_stock(&item.sku, |stock| stock.join(id));
        }
        // It is kept for as long as it waits.
        let record = ReservationRecord { state: State::Waiting, ..self.new_record(stamp, reserve) };
        self.insert_reservation(id, record)
    }

    /// Takes one who waits out of the line, released.
    pub(super) fn leave(&mut self, stamp: &Stamp, id: ReservationId) {
        for item in self.items_of(id).iter() {
            self.change_stock(&item.sku, |stock| stock.leave(id));
        }
        self.end(stamp, id, State::Released);
    }

    /// Gives back what is due of the SKUs with a line, the earliest first, and serves the lines.
    pub(super) fn serve_what_lapsed(&mut self, stamp: &Stamp) {
        for _ in 0..AWAITED_LAPSES_MAX {
            let Some(sku) = self.stocks.agenda().due(self.now_ms()).cloned() else {
                break;
            };
            self.settle(&sku);
        }
        self.serve_lines(stamp);
    }

    /// Serves the lines of all SKUs that changed, and of those that were left, in the order of their names.
    pub(super) fn serve_lines(&mut self, stamp: &Stamp) {
        self.look_at_changed();
        while self.promotions_left > 0
            && let Some(sku) = self.stocks.agenda().backlog.first().cloned()
            && let Some(head) = self.fitting_head(&sku)
        {
            self.promotions_left -= 1;
            self.caused_by(Cause::Line, |all| all.serve(stamp, &sku, head));
            self.look_at_changed();
        }
    }

    fn look_at_changed(&mut self) {
        while let Some(sku) = self.stocks.agenda_mut().changed.pop_first() {
            let fits = self.fitting_head(&sku).is_some();
            self.stocks.agenda_mut().looked_at(sku, fits);
        }
    }

    /// The head of a SKU's line, where its turn has come: its units are available, or it can never have them since the
    /// limit was lowered below what it waits for.
    pub(super) fn fitting_head(&self, sku: &Sku) -> Option<ReservationId> {
        let stock = self.stocks.get(sku)?;
        let head = stock.line().first()?;
        let record = self.reservations.row(head);
        let wanted = record.items.first()?.qty;
        let fits = stock.record().available() >= wanted;
        (fits || self.is_never_allowed(record.customer_id.as_deref(), sku, wanted)).then_some(head)
    }

    /// The agenda as it follows from the records.
    pub(super) fn agenda(&self) -> Agenda {
        let awaited = self.stocks.in_no_order().filter(|(_, stock)| !stock.line().is_empty());
        let backlog = awaited.map(|(sku, _)| sku).filter(|sku| self.fitting_head(sku).is_some());
        let (lapses, changed) = (self.stocks.awaited_lapses(), BTreeSet::new());
        Agenda { lapses, changed, backlog: backlog.cloned().collect() }
    }

    fn serve(&mut self, stamp: &Stamp, sku: &Sku, head: ReservationId) {
        let record = self.reservations.row(head);
        let wanted = record.items.first().map_or(0, |item| item.qty);
        let customer_id = record.customer_id.clone();
        let limit = customer_id.as_deref().map(|customer| self.check_limit(customer, sku, wanted));
        match limit {
            Some(Err(_)) => self.leave(stamp, head),
            _ => self.promote(stamp, sku, head, wanted),
        }
    }

    fn promote(&mut self, stamp: &Stamp, sku: &Sku, head: ReservationId, qty: u64) {
        let record = self.reservations.row(head);
        let (ttl_ms, customer_id) = (stamp.clamped_ttl_ms(record.ttl_ms), record.customer_id.clone());
        let grant = self.next_grant(ttl_ms);
        let hold = Move::Hold { qty, deadline_ms: grant.deadline_ms };
        self.move_units_of(sku, customer_id.as_ref(), hold, |stock| stock.promote(head, hold));
        self.change_reservation(head, ReservationChangeKind::Held, |record| {
            record.state = State::Held;
            record.grant = Some(grant);
            record.forget_ms = grant.deadline_ms.saturating_add(stamp.retention_ms);
        });
    }
}
