//! Holds: how a cart gets one, and how its deadline moves.
//!
//! Each command here and in `commit`, `release` and `take_back` is two functions. `check_...` looks at the state as
//! it is now, in the order of precedence that its documentation gives, and cannot change anything: it borrows the
//! inventory shared. Only what it let pass gets to the second function, which changes the state and cannot refuse.
//! The sold-out gate asks the same checks.

use super::Inventory;
use super::command::{Extend, Reserve, Stamp};
use super::event::{Cause, ReservationChangeKind};
use super::ids::{Item, ReservationId};
use super::outcome::{Grant, Outcome, Rejection, ReservationView, State};
use super::record::{ReservationRecord, ReservedItem};
use super::stock::Move;
use crate::planted;

/// How a reserve that is not refused goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReservePlan {
    /// The cart's live reservation has the same items.
    Already(ReservationId),
    /// The cart gets a hold.
    Grant,
    /// The cart gets a place in the line of its one SKU.
    Join,
}

impl Inventory {
    /// Takes a hold for a whole cart, or nothing.
    pub(super) fn reserve(&mut self, stamp: &Stamp, reserve: &Reserve) -> Result<Outcome, Rejection> {
        let newest = self.reservations.newest_of_cart(&reserve.cart_id);
        if let Some(id) = newest {
            self.expire_if_due(id);
        }
        reserve.items.iter().for_each(|item| self.settle(&item.sku));
        let plan = self.check_after(newest, reserve)?;
        if let ReservePlan::Already(id) = plan {
            return Ok(Outcome::AlreadyReserved(self.view(id)));
        }
        self.count_ahead(&stamp.limits);
        self.check_totals(stamp, reserve)?;
        match plan {
            ReservePlan::Join => Ok(Outcome::Waiting(self.join(stamp, reserve))),
            _ => Ok(Outcome::Reserved(self.grant(stamp, reserve))),
        }
    }

    /// Precedence: the cart's live reservation (the same items are no refusal, others are `CartAlreadyReserved`),
    /// then `SkuNotFound`, `CustomerLimit`, `InsufficientStock`, `HeldByOthers`. One that may wait is refused for no
    /// shortage, and what its customer has of the SKU already is not looked at before it is served. Last of all comes
    /// `CustomerTotal`, which depends on the stamp: see `holders`.
    pub(super) fn check_reserve(&self, reserve: &Reserve) -> Result<ReservePlan, Rejection> {
        self.check_after(self.reservations.newest_of_cart(&reserve.cart_id), reserve)
    }

    /// The same, where the cart's newest reservation is known: the only one of its that may be live.
    fn check_after(
        &self,
        newest: Option<ReservationId>,
        reserve: &Reserve,
    ) -> Result<ReservePlan, Rejection> {
        if let Some((id, record)) = newest.and_then(|id| self.live(id)) {
            return match record.has_items(&reserve.items) {
                true => Ok(ReservePlan::Already(id)),
                false => Err(Rejection::CartAlreadyReserved { reservation_id: id }),
            };
        }
        match self.check_fits(&reserve.items) {
            Err(missing @ Rejection::SkuNotFound { .. }) => Err(missing),
            Err(_) if reserve.wait => {
                self.check_never_over(reserve.customer_id.as_deref(), &reserve.items)?;
                Ok(ReservePlan::Join)
            }
            fits => {
                self.check_limits(reserve.customer_id.as_deref(), &reserve.items)?;
                fits.map(|()| ReservePlan::Grant)
            }
        }
    }

    fn grant(&mut self, stamp: &Stamp, reserve: &Reserve) -> ReservationView {
        let grant = self.next_grant(stamp.clamped_ttl_ms(reserve.ttl_ms));
        let deadline_ms = grant.deadline_ms;
        for item in &reserve.items {
            let what = Move::Hold { qty: item.qty, deadline_ms };
            self.move_units(&item.sku, reserve.customer_id.as_ref(), what);
        }
        let id = ReservationId { sequence: self.counters.sequence, nonce: reserve.nonce };
        let record = ReservationRecord {
            grant: Some(grant),
            forget_ms: deadline_ms.saturating_add(stamp.retention_ms),
            ..self.new_record(stamp, reserve)
        };
        self.insert_reservation(id, record)
    }

    /// The record of a new reservation, but for its hold or its place in a line.
    pub(super) fn new_record(&self, stamp: &Stamp, reserve: &Reserve) -> ReservationRecord {
        ReservationRecord {
            state: State::Held,
            cart_id: reserve.cart_id.clone(),
            customer_id: reserve.customer_id.clone(),
            items: reserve.items.iter().map(|item| self.reserved_item(item)).collect(),
            created_ms: self.now_ms(),
            ttl_ms: stamp.clamped_ttl_ms(reserve.ttl_ms),
            grant: None,
            ended_ms: None,
            forget_ms: u64::MAX,
            payment_token: None,
            extensions: 0,
        }
    }

    /// A hold from now on, with the next fencing token.
    pub(super) fn next_grant(&mut self, ttl_ms: u64) -> Grant {
        if !planted!("fencing-token-used-twice") || self.cause != Cause::Line {
            self.counters.fencing_token += 1;
        }
        let granted_ms = self.now_ms();
        let deadline_ms = granted_ms.saturating_add(ttl_ms);
        Grant { fencing_token: self.counters.fencing_token, granted_ms, deadline_ms }
    }

    /// Moves a hold's deadline to a later moment.
    pub(super) fn extend(&mut self, stamp: &Stamp, extend: &Extend) -> Result<Outcome, Rejection> {
        let id = extend.reservation_id;
        let (from_ms, to_ms) = self.check_extend(stamp, extend)?;
        // Only where they are limited: an entry without limits leaves the state that it left before there were any.
        let counted = u16::from(stamp.limits.hold_extensions_max.is_some());
        if from_ms != to_ms {
            self.move_items(id, |item| Some(Move::Redate { qty: item.qty, from_ms, to_ms }));
            self.change_reservation(id, ReservationChangeKind::Extended, |record| {
                record.grant = record.grant.map(|grant| Grant { deadline_ms: to_ms, ..grant });
                record.forget_ms = to_ms.saturating_add(stamp.retention_ms);
                record.extensions = record.extensions.saturating_add(counted);
            });
        }
        Ok(Outcome::Extended(self.view(id)))
    }

    /// The deadline before and after. Precedence: as [`Inventory::check_live`], then `HoldLimit`, `ExtensionLimit`. An
    /// extend that leaves the deadline where it is passes, whatever the limits say by now, and does not count.
    fn check_extend(&self, stamp: &Stamp, extend: &Extend) -> Result<(u64, u64), Rejection> {
        let Grant { granted_ms, deadline_ms, .. } = self.check_live(extend.reservation_id)?;
        let latest_deadline_ms = granted_ms.saturating_add(stamp.max_hold_ms);
        let wanted_ms = self.now_ms().saturating_add(extend.ttl_ms);
        if wanted_ms > deadline_ms && wanted_ms > latest_deadline_ms {
            return Err(Rejection::HoldLimit { latest_deadline_ms });
        }
        let extensions = u64::from(self.reservations.row(extend.reservation_id).extensions);
        match stamp.limits.hold_extensions_max {
            Some(limit) if wanted_ms > deadline_ms && extensions >= limit => {
                return Err(Rejection::ExtensionLimit { limit });
            }
            _ => {}
        }
        Ok((deadline_ms, wanted_ms.max(deadline_ms)))
    }

    /// A live hold. Precedence: `ReservationNotFound`, then by state: `AlreadyCommitted`, `ReservationReleased`,
    /// `ReservationExpired`, `ReservationWaiting`.
    pub(super) fn check_live(&self, id: ReservationId) -> Result<Grant, Rejection> {
        let record = self.find(id)?;
        match (record.state_at(self.now_ms()), record.grant) {
            (State::Held, Some(grant)) => Ok(grant),
            (State::Held | State::Waiting, _) => Err(Rejection::ReservationWaiting),
            (State::Committed, _) => Err(Rejection::AlreadyCommitted),
            (State::Released | State::Revoked, _) => Err(Rejection::ReservationReleased),
            (State::Expired, _) => Err(Rejection::ReservationExpired),
        }
    }

    /// A reservation, unless it has ended.
    fn live(&self, id: ReservationId) -> Option<(ReservationId, &ReservationRecord)> {
        let record = self.reservations.row(id);
        matches!(record.state_at(self.now_ms()), State::Waiting | State::Held).then_some((id, record))
    }

    /// A reservation that is not to be forgotten yet.
    pub(super) fn find(&self, id: ReservationId) -> Result<&ReservationRecord, Rejection> {
        self.reservations.find(id, self.now_ms()).ok_or(Rejection::ReservationNotFound)
    }

    fn reserved_item(&self, item: &Item) -> ReservedItem {
        ReservedItem { sku: self.stocks.row(&item.sku).sku().clone(), qty: item.qty, returned: 0 }
    }
}

impl Stamp {
    /// How long a hold lasts from its grant. At least 1 ms: a deadline is after the moment of its grant, and so
    /// after what its SKUs have settled.
    pub(super) fn clamped_ttl_ms(&self, ttl_ms: u64) -> u64 {
        ttl_ms.min(self.max_hold_ms).max(1)
    }
}

impl ReservationRecord {
    /// Whether these are its items. Both are sorted by SKU.
    fn has_items(&self, items: &[Item]) -> bool {
        let own = self.items.iter().map(|item| (&item.sku, item.qty));
        own.eq(items.iter().map(|item| (&item.sku, item.qty)))
    }
}
