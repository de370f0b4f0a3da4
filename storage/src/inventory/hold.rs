//! The life of a hold: reserve, commit, release, extend, return.
//!
//! Each command is two functions. `check_...` looks at the state as it is now, in the order of precedence that its
//! documentation gives, and cannot change anything: it borrows the inventory shared. Only what it let pass gets to
//! the second function, which changes the state and cannot refuse. The sold-out gate asks the same checks.

use std::sync::Arc;

use super::Inventory;
use super::command::{Commit, Extend, IfExpired, Release, Reserve, Return, Stamp};
use super::ids::{Item, ReservationId, UNITS_MAX};
use super::outcome::{Grant, Outcome, Rejection, ReservationView, State};
use super::record::{ReservationRecord, ReservedItem};
use super::stock::Stock;

/// How a reserve that is not refused goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReservePlan {
    /// The cart's live hold has the same items.
    Already(ReservationId),
    /// The cart gets a hold.
    Grant,
}

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
    /// Takes a hold for a whole cart, or nothing.
    pub(super) fn reserve(&mut self, stamp: &Stamp, reserve: &Reserve) -> Result<Outcome, Rejection> {
        match self.check_reserve(reserve)? {
            ReservePlan::Already(id) => Ok(Outcome::AlreadyReserved(self.view(id))),
            ReservePlan::Grant => Ok(Outcome::Reserved(self.grant(stamp, reserve))),
        }
    }

    /// Precedence: the cart's live hold (the same items are no refusal, others are `CartAlreadyReserved`), then
    /// `SkuNotFound`, `InsufficientStock`, `HeldByOthers`.
    pub(super) fn check_reserve(&self, reserve: &Reserve) -> Result<ReservePlan, Rejection> {
        if let Some((id, hold)) = self.live_hold_of(&reserve.cart_id) {
            return match hold.has_items(&reserve.items) {
                true => Ok(ReservePlan::Already(id)),
                false => Err(Rejection::CartAlreadyReserved { reservation_id: id }),
            };
        }
        self.check_fits(&reserve.items)?;
        Ok(ReservePlan::Grant)
    }

    fn grant(&mut self, stamp: &Stamp, reserve: &Reserve) -> ReservationView {
        let now_ms = self.now_ms();
        // At least 1 ms: a deadline is after the moment of its grant, and so after what its SKUs have settled.
        let ttl_ms = reserve.ttl_ms.min(stamp.max_hold_ms).max(1);
        let deadline_ms = now_ms.saturating_add(ttl_ms);
        let id = ReservationId { sequence: self.counters.sequence, nonce: reserve.nonce };
        self.counters.fencing_token += 1;
        for item in &reserve.items {
            self.stocks.change(&item.sku, |stock| stock.hold(item.qty, deadline_ms));
        }
        let record = ReservationRecord {
            state: State::Held,
            cart_id: reserve.cart_id.clone(),
            customer_id: reserve.customer_id.clone(),
            items: reserve.items.iter().map(|item| self.reserved_item(item)).collect(),
            created_ms: now_ms,
            ttl_ms,
            grant: Some(Grant {
                fencing_token: self.counters.fencing_token,
                granted_ms: now_ms,
                deadline_ms,
            }),
            ended_ms: None,
            forget_ms: deadline_ms.saturating_add(stamp.retention_ms),
            payment_token: None,
        };
        self.reservations.insert(id, record);
        self.view(id)
    }

    /// Sells what a hold holds.
    pub(super) fn commit(&mut self, stamp: &Stamp, commit: &Commit) -> Result<Outcome, Rejection> {
        let id = commit.reservation_id;
        match self.check_commit(commit)? {
            CommitPlan::Already => return Ok(Outcome::Committed(self.view(id))),
            CommitPlan::SellHeld => {
                let deadline_ms = self.reservations.row(id).deadline_ms();
                self.change_stock_of(id, |stock, item| stock.sell_held(item.qty, deadline_ms));
            }
            CommitPlan::Reacquire => self.change_stock_of(id, |stock, item| stock.sell(item.qty)),
        }
        self.end(stamp, id, State::Committed, commit.payment_token.clone());
        Ok(Outcome::Committed(self.view(id)))
    }

    /// Precedence: `ReservationNotFound`, `FencingTokenStale`, then by state: committed (the same payment token is
    /// no refusal, another is `AlreadyCommitted`), `ReservationReleased`, `ReservationExpired` (unless it can be
    /// reacquired); last `StockAboveMax`.
    pub(super) fn check_commit(&self, commit: &Commit) -> Result<CommitPlan, Rejection> {
        let record = self.find(commit.reservation_id)?;
        let current = record.fencing_token();
        if commit.fencing_token.is_some_and(|token| token != current) {
            return Err(Rejection::FencingTokenStale { current });
        }
        let plan = match record.state_at(self.now_ms()) {
            State::Committed if commit.payment_token == record.payment_token => {
                return Ok(CommitPlan::Already);
            }
            State::Committed => return Err(Rejection::AlreadyCommitted),
            State::Waiting => return Err(Rejection::ReservationWaiting),
            State::Released | State::Revoked => return Err(Rejection::ReservationReleased),
            State::Expired if commit.if_expired == IfExpired::Reacquire && self.is_available(record) => {
                CommitPlan::Reacquire
            }
            State::Expired => return Err(Rejection::ReservationExpired),
            State::Held => CommitPlan::SellHeld,
        };
        let fits = |item: &ReservedItem| self.stocks.row(&item.sku).record().sold + item.qty <= UNITS_MAX;
        if record.items.iter().all(fits) { Ok(plan) } else { Err(Rejection::StockAboveMax) }
    }

    /// Gives a hold's units back to sale.
    pub(super) fn release(&mut self, stamp: &Stamp, release: &Release) -> Result<Outcome, Rejection> {
        let id = release.reservation_id;
        if self.check_release(release)? == State::Held {
            let deadline_ms = self.reservations.row(id).deadline_ms();
            self.change_stock_of(id, |stock, item| stock.unhold(item.qty, deadline_ms));
            self.end(stamp, id, State::Released, None);
        }
        Ok(Outcome::Released(self.view(id)))
    }

    /// The state that it is in: held, released or expired. Precedence: `ReservationNotFound`, `AlreadyCommitted`.
    pub(super) fn check_release(&self, release: &Release) -> Result<State, Rejection> {
        match self.find(release.reservation_id)?.state_at(self.now_ms()) {
            State::Committed => Err(Rejection::AlreadyCommitted),
            state => Ok(state),
        }
    }

    /// Moves a hold's deadline to a later moment.
    pub(super) fn extend(&mut self, stamp: &Stamp, extend: &Extend) -> Result<Outcome, Rejection> {
        let id = extend.reservation_id;
        let (from_ms, to_ms) = self.check_extend(stamp, extend)?;
        if from_ms != to_ms {
            self.change_stock_of(id, |stock, item| stock.move_deadline(item.qty, from_ms, to_ms));
            self.reservations.change(id, |record| {
                record.grant = record.grant.map(|grant| Grant { deadline_ms: to_ms, ..grant });
                record.forget_ms = to_ms.saturating_add(stamp.retention_ms);
            });
        }
        Ok(Outcome::Extended(self.view(id)))
    }

    /// The deadline before and after. Precedence: as [`Inventory::check_live`], then `HoldLimit`. An extend that
    /// leaves the deadline where it is passes, whatever the limit says by now.
    fn check_extend(&self, stamp: &Stamp, extend: &Extend) -> Result<(u64, u64), Rejection> {
        let record = self.check_live(extend.reservation_id)?;
        let granted_ms = record.grant.map_or(record.created_ms, |grant| grant.granted_ms);
        let latest_deadline_ms = granted_ms.saturating_add(stamp.max_hold_ms);
        let wanted_ms = self.now_ms().saturating_add(extend.ttl_ms);
        let to_ms = wanted_ms.max(record.deadline_ms());
        if to_ms > record.deadline_ms() && to_ms > latest_deadline_ms {
            return Err(Rejection::HoldLimit { latest_deadline_ms });
        }
        Ok((record.deadline_ms(), to_ms))
    }

    /// A live hold. Precedence: `ReservationNotFound`, then by state: `AlreadyCommitted`, `ReservationReleased`,
    /// `ReservationExpired`.
    pub(super) fn check_live(&self, id: ReservationId) -> Result<&ReservationRecord, Rejection> {
        let record = self.find(id)?;
        match record.state_at(self.now_ms()) {
            State::Held => Ok(record),
            State::Committed => Err(Rejection::AlreadyCommitted),
            State::Waiting => Err(Rejection::ReservationWaiting),
            State::Released | State::Revoked => Err(Rejection::ReservationReleased),
            State::Expired => Err(Rejection::ReservationExpired),
        }
    }

    /// Takes all units of a committed reservation that are still sold back into stock.
    pub(super) fn take_back(&mut self, back: &Return) -> Result<Outcome, Rejection> {
        let id = back.reservation_id;
        self.check_return(back)?;
        self.change_stock_of(id, |stock, item| stock.take_back(item.qty - item.returned));
        self.reservations.change(id, |record| {
            record.items.iter_mut().for_each(|item| item.returned = item.qty);
        });
        Ok(Outcome::Returned(self.view(id)))
    }

    /// Precedence: `ReservationNotFound`, `NotCommitted`, `ReturnExceedsSale`, `StockAboveMax`.
    pub(super) fn check_return(&self, back: &Return) -> Result<(), Rejection> {
        let record = self.find(back.reservation_id)?;
        if record.state != State::Committed {
            return Err(Rejection::NotCommitted);
        }
        if record.items.iter().all(|item| item.returned == item.qty) {
            return Err(Rejection::ReturnExceedsSale);
        }
        let on_hand = |item: &ReservedItem| self.stocks.row(&item.sku).record().on_hand;
        let fits = |item: &ReservedItem| on_hand(item) + (item.qty - item.returned) <= UNITS_MAX;
        if record.items.iter().all(fits) { Ok(()) } else { Err(Rejection::StockAboveMax) }
    }

    /// The cart's hold, if it has one that is not due.
    pub(super) fn live_hold_of(&self, cart_id: &str) -> Option<(ReservationId, &ReservationRecord)> {
        let id = self.reservations.indexes().of_cart(cart_id)?;
        let hold = self.reservations.row(id);
        (!hold.is_due(self.now_ms())).then_some((id, hold))
    }

    fn find(&self, id: ReservationId) -> Result<&ReservationRecord, Rejection> {
        self.reservations.find(id, self.now_ms()).ok_or(Rejection::ReservationNotFound)
    }

    fn is_available(&self, record: &ReservationRecord) -> bool {
        let now_ms = self.now_ms();
        record.items.iter().all(|item| self.stocks.row(&item.sku).at(now_ms).available() >= item.qty)
    }

    fn reserved_item(&self, item: &Item) -> ReservedItem {
        ReservedItem { sku: self.stocks.shared_name(&item.sku), qty: item.qty, returned: 0 }
    }

    fn change_stock_of(&mut self, id: ReservationId, act: impl Fn(&mut Stock, &ReservedItem)) {
        for item in &self.reservations.row(id).items {
            self.stocks.change(&item.sku, |stock| act(stock, item));
        }
    }

    fn end(&mut self, stamp: &Stamp, id: ReservationId, state: State, payment_token: Option<Arc<str>>) {
        let now_ms = self.now_ms();
        self.reservations.change(id, |record| {
            record.state = state;
            record.payment_token = payment_token;
            record.ended_ms = Some(now_ms);
            record.forget_ms = now_ms.saturating_add(stamp.retention_ms);
        });
    }

    fn view(&self, id: ReservationId) -> ReservationView {
        self.reservations.row(id).view(id, self.now_ms())
    }
}

impl ReservationRecord {
    /// Whether these are its items. Both are sorted by SKU.
    fn has_items(&self, items: &[Item]) -> bool {
        let own = self.items.iter().map(|item| (&item.sku, item.qty));
        own.eq(items.iter().map(|item| (&item.sku, item.qty)))
    }
}
