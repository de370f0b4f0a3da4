//! The commands on a SKU: put, adjust, delete.
//!
//! ```text
//!   precondition      the record is what the call was made for, else PreconditionFailed
//!   shortfall         on_hand would fall below what is held: StockBelowHeld, or, with revoke_newest,
//!
//!     holds by fencing token   #7: 2 units   #8: 1   #9: 3      on_hand 6 -> 3
//!     revoked, newest first                          #9         held is 3 now: enough
//! ```
//!
//! Reservations remember the SKU that they were made for. One that is older than the SKU of that name is of an
//! earlier one, which was deleted, and counts for nothing in this one.

use super::Inventory;
use super::command::{AdjustSku, DeleteSku, OnShortfall, Precondition, PutSku, Setting, Stamp};
use super::event::{Cause, StockChange};
use super::ids::{ReservationId, Sku, UNITS_MAX};
use super::kept::KeptChange;
use super::outcome::{Outcome, Rejection, State, StockView};
use super::record::StockRecord;
use super::stock::Stock;

impl Inventory {
    /// Makes a SKU or sets its figures.
    pub(super) fn put_sku(&mut self, stamp: &Stamp, put: &PutSku) -> Result<Outcome, Rejection> {
        self.check_put_sku(put)?;
        let outcome = if self.stocks.get(&put.sku).is_none() {
            let made = self.stocks.insert(put.sku.clone(), StockRecord::new(put, &self.counters));
            self.tell(KeptChange::Figures(made.into()));
            Outcome::SkuCreated
        } else {
            self.revoke_above(stamp, &put.sku, put.on_hand);
            self.change_stock(&put.sku, |stock| {
                stock.set(put.on_hand, put.safety_stock, put.max_per_customer);
            });
            Outcome::SkuSet
        };
        // The answer tells the record as the command leaves it, so that its version can be demanded by the next one.
        self.serve_lines(stamp);
        Ok(outcome(self.stocks.row(&put.sku).view(self.now_ms())))
    }

    /// Precedence: `PreconditionFailed`, `StockBelowHeld`, `StockAboveMax`.
    pub(super) fn check_put_sku(&self, put: &PutSku) -> Result<(), Rejection> {
        let stock = self.check_precondition(&put.sku, &put.precondition)?;
        let refuses = put.on_shortfall == OnShortfall::Refuse;
        match stock {
            Some(stock) if refuses && put.on_hand < stock.held => Err(Rejection::StockBelowHeld { stock }),
            _ if put.on_hand > UNITS_MAX => Err(Rejection::StockAboveMax),
            _ => Ok(()),
        }
    }

    /// Adds to on_hand, or takes from it.
    pub(super) fn adjust_sku(&mut self, stamp: &Stamp, adjust: &AdjustSku) -> Result<Outcome, Rejection> {
        let on_hand = self.check_adjust_sku(adjust)?;
        self.revoke_above(stamp, &adjust.sku, on_hand);
        let act = |stock: &mut Stock| stock.set(on_hand, None, Setting::Keep);
        if let Some(figures) = self.stocks.change(&adjust.sku, act) {
            let AdjustSku { reason, reference, .. } = adjust.clone();
            self.tell_stock(StockChange { reason, reference, ..figures.change() });
        }
        self.serve_lines(stamp);
        Ok(Outcome::SkuSet(self.stocks.row(&adjust.sku).view(self.now_ms())))
    }

    /// What on_hand will be. Precedence: `PreconditionFailed`, `SkuNotFound`, `StockBelowHeld`, `StockAboveMax`.
    pub(super) fn check_adjust_sku(&self, adjust: &AdjustSku) -> Result<u64, Rejection> {
        let sku = &adjust.sku;
        let stock = self.check_precondition(sku, &adjust.precondition)?;
        let stock = stock.ok_or_else(|| Rejection::SkuNotFound { sku: sku.clone() })?;
        let revokes = adjust.on_shortfall == OnShortfall::RevokeNewest;
        match stock.on_hand.checked_add_signed(adjust.delta) {
            Some(on_hand) if on_hand > UNITS_MAX => Err(Rejection::StockAboveMax),
            Some(on_hand) if revokes || on_hand >= stock.held => Ok(on_hand),
            // on_hand is at most UNITS_MAX, so that no delta takes it past 2^64: None is below 0, where no
            // revoking helps.
            _ => Err(Rejection::StockBelowHeld { stock }),
        }
    }

    /// Removes a SKU.
    pub(super) fn delete_sku(&mut self, delete: &DeleteSku) -> Result<Outcome, Rejection> {
        self.check_delete_sku(delete)?;
        self.customers.remove_sku(&delete.sku);
        let before = self.stocks.remove(&delete.sku);
        let version = before.as_ref().map_or(0, |stock| stock.version);
        self.counters.deleted_version = self.counters.deleted_version.max(version);
        self.tell_stock(StockChange { before, ..StockChange::default() });
        Ok(Outcome::SkuDeleted)
    }

    /// Precedence: `PreconditionFailed`, `SkuNotFound`, `SkuHasHolds`.
    pub(super) fn check_delete_sku(&self, delete: &DeleteSku) -> Result<(), Rejection> {
        let stock = self.check_precondition(&delete.sku, &delete.precondition)?;
        let stock = stock.ok_or_else(|| Rejection::SkuNotFound { sku: delete.sku.clone() })?;
        if stock.held > 0 || stock.waiting > 0 {
            return Err(Rejection::SkuHasHolds { stock });
        }
        Ok(())
    }

    /// Keeps one unit more of a SKU back from sale.
    #[cfg(feature = "next-version")]
    pub(super) fn keep_back(&mut self, sku: &Sku) -> Result<Outcome, Rejection> {
        self.check_keep_back(sku)?;
        let StockRecord { on_hand, safety_stock, .. } = *self.stocks.row(sku).record();
        let safety_stock = UNITS_MAX.min(safety_stock + 1);
        self.change_stock(sku, |stock| stock.set(on_hand, Some(safety_stock), Setting::Keep));
        Ok(Outcome::SkuSet(self.stocks.row(sku).view(self.now_ms())))
    }

    /// Precedence: `SkuNotFound`.
    #[cfg(feature = "next-version")]
    pub(super) fn check_keep_back(&self, sku: &Sku) -> Result<(), Rejection> {
        self.stock(sku).map(drop).ok_or_else(|| Rejection::SkuNotFound { sku: sku.clone() })
    }

    /// The SKU's figures now, where they are what the call demands.
    fn check_precondition(&self, sku: &Sku, demanded: &Precondition) -> Result<Option<StockView>, Rejection> {
        let stock = self.stock(sku);
        let current = stock.as_ref().map(|stock| stock.version);
        let holds = match demanded {
            Precondition::None => true,
            Precondition::Exists => current.is_some(),
            Precondition::Absent => current.is_none(),
            Precondition::Versions(versions) => current.is_some_and(|version| versions.contains(&version)),
        };
        if holds { Ok(stock) } else { Err(Rejection::PreconditionFailed { current }) }
    }

    /// Takes the newest holds on a SKU away, whole, until not more than so many units are held. One walk: what is due
    /// and not swept is stepped over once.
    fn revoke_above(&mut self, stamp: &Stamp, sku: &Sku, on_hand: u64) {
        let mut below = u64::MAX;
        while self.stocks.row(sku).record().held > on_hand {
            let Some((fencing_token, id)) = self.newest_hold_of(sku, below) else {
                return;
            };
            below = fencing_token;
            self.settle_items_of(id);
            self.caused_by(Cause::Revoke, |all| {
                all.unhold_all(id);
                all.end(stamp, id, State::Revoked);
            });
        }
    }

    /// The live hold on a SKU with the greatest fencing token below one.
    fn newest_hold_of(&self, sku: &Sku, below: u64) -> Option<(u64, ReservationId)> {
        let live = |(_, id): &(u64, ReservationId)| {
            let record = self.reservations.row(*id);
            !record.is_due(self.now_ms()) && record.items.iter().any(|item| item.sku == *sku)
        };
        self.reservations.holds_of_below(sku, below).find(live)
    }
}
