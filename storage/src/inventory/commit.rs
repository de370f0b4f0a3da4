//! Commit: what a hold holds, or a part of it, is sold.

use super::Inventory;
use super::command::{Commit, IfExpired, Stamp};
use super::event::ReservationChangeKind;
use super::ids::UNITS_MAX;
use super::outcome::{Outcome, Rejection, State};
use super::parts;
use super::record::{ReservationRecord, ReservedItem};
use super::stock::{Move, Stock};
use crate::planted;

/// How a commit that is not refused goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitPlan {
    /// It was committed with the same payment token.
    Already,
    /// The hold is live.
    SellHeld,
    /// The hold has expired, and its units are available all the same.
    Reacquire,
}

impl Inventory {
    /// Sells what a hold holds. What the command does not name of it is for sale again.
    pub(super) fn commit(&mut self, stamp: &Stamp, commit: &Commit) -> Result<Outcome, Rejection> {
        let id = commit.reservation_id;
        let part = commit.items.as_deref();
        match self.check_commit(commit)? {
            CommitPlan::Already => return Ok(Outcome::Committed(self.view(id))),
            CommitPlan::SellHeld => {
                let deadline_ms = self.reservations.row(id).deadline_ms();
                let sell = |item: &ReservedItem| Move::SellHeld {
                    qty: item.qty,
                    sold: parts::named(part, item),
                    deadline_ms,
                };
                self.move_items(id, |item| Some(sell(item)));
            }
            CommitPlan::Reacquire => {
                let sold = |item: &ReservedItem| Some(parts::named(part, item)).filter(|&qty| qty > 0);
                self.move_items(id, |item| sold(item).map(|qty| Move::Sell { qty }));
            }
        }
        self.mark_committed(stamp, commit);
        Ok(Outcome::Committed(self.view(id)))
    }

    fn mark_committed(&mut self, stamp: &Stamp, commit: &Commit) {
        let now_ms = self.now_ms();
        self.change_reservation(commit.reservation_id, ReservationChangeKind::Committed, |record| {
            record.end(stamp, now_ms, State::Committed);
            record.payment_token = commit.payment_token.clone().map(Box::new);
            if let Some(part) = commit.items.as_deref() {
                record.items = parts::with_units(&record.items, |item| parts::named(Some(part), item));
            }
        });
    }

    /// Precedence: `ReservationNotFound`, `FencingTokenStale`, then by state: committed (the same payment token is
    /// no refusal, another is `AlreadyCommitted`), `ReservationReleased`, `ReservationExpired` (unless it is to be
    /// reacquired), `ReservationWaiting`; then `Invalid` for a part that it does not have, `ReservationExpired`
    /// where it cannot be reacquired, and `StockAboveMax`.
    pub(super) fn check_commit(&self, commit: &Commit) -> Result<CommitPlan, Rejection> {
        let record = self.find(commit.reservation_id)?;
        check_fencing(commit, record)?;
        let plan = match record.state_at(self.now_ms()) {
            State::Committed if planted!("committed-twice-sells-twice") => CommitPlan::Reacquire,
            State::Committed if commit.payment_token.as_ref() == record.payment_token.as_deref() => {
                return Ok(CommitPlan::Already);
            }
            State::Committed => return Err(Rejection::AlreadyCommitted),
            State::Released | State::Revoked => return Err(Rejection::ReservationReleased),
            State::Expired if commit.if_expired == IfExpired::Reacquire => CommitPlan::Reacquire,
            State::Expired => return Err(Rejection::ReservationExpired),
            State::Waiting => return Err(Rejection::ReservationWaiting),
            State::Held => CommitPlan::SellHeld,
        };
        if !parts::is_part(commit.items.as_deref(), &record.items) {
            return Err(Rejection::Invalid { field: "items".into() });
        }
        if plan == CommitPlan::Reacquire && !self.can_reacquire(commit, record) {
            return Err(Rejection::ReservationExpired);
        }
        self.check_sold(commit, record)?;
        Ok(plan)
    }

    /// Whether all that the commit names is available, of the very SKUs that the hold was of, with nobody waiting
    /// for it, and not too much for its customer.
    fn can_reacquire(&self, commit: &Commit, record: &ReservationRecord) -> bool {
        let (id, customer_id) = (commit.reservation_id, record.customer_id.as_deref());
        let part = commit.items.as_deref();
        let wanted = record.items.iter().map(|item| (&item.sku, parts::named(part, item)));
        wanted.filter(|&(_, qty)| qty > 0).all(|(sku, qty)| {
            let stock = self.stocks.of(sku, id);
            let free = |stock: &Stock| stock.at(self.now_ms()).available() >= qty && stock.line().is_empty();
            let fits = |stock: &Stock| free(stock) || planted!("reacquired-without-stock");
            stock.is_some_and(fits)
                && customer_id.is_none_or(|customer| self.check_limit(customer, sku, qty).is_ok())
        })
    }

    fn check_sold(&self, commit: &Commit, record: &ReservationRecord) -> Result<(), Rejection> {
        let fits = |item: &ReservedItem| {
            let qty = parts::named(commit.items.as_deref(), item);
            qty == 0 || self.stocks.row(&item.sku).record().sold + qty <= UNITS_MAX
        };
        if record.items.iter().all(fits) { Ok(()) } else { Err(Rejection::StockAboveMax) }
    }
}

/// One that has had no hold has no token to differ from.
fn check_fencing(commit: &Commit, record: &ReservationRecord) -> Result<(), Rejection> {
    match (commit.fencing_token, record.grant) {
        (Some(token), Some(grant)) if token != grant.fencing_token => {
            Err(Rejection::FencingTokenStale { current: grant.fencing_token })
        }
        _ => Ok(()),
    }
}
