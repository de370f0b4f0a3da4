//! Reserve, commit, release, extend, return.

use std::sync::Arc;

use storage::inventory::command::{Commit, Extend, IfExpired, Release, Reserve, Return, Stamp};
use storage::inventory::event::{Cause, ReservationChangeKind};
use storage::inventory::ids::{Item, ReservationId, UNITS_MAX};
use storage::inventory::outcome::{Outcome, Rejection, ReservationView, State};

use super::{Naive, Reservation, is_part, less, plus, units};

impl Naive {
    pub(super) fn reserve(&mut self, stamp: &Stamp, reserve: &Reserve) -> Result<Outcome, Rejection> {
        let live = |one: &&Reservation| matches!(self.state(one), State::Held | State::Waiting);
        let mut of_cart = self.reservations.iter().filter(live).filter(|one| one.cart_id == reserve.cart_id);
        if let Some(one) = of_cart.next() {
            return match one.items == reserve.items {
                true => Ok(Outcome::AlreadyReserved(self.view(one))),
                false => Err(Rejection::CartAlreadyReserved { reservation_id: one.id }),
            };
        }
        let wants_line = match self.why_not(reserve.customer_id.as_deref(), &reserve.items) {
            Ok(()) => false,
            Err(Rejection::InsufficientStock { .. } | Rejection::HeldByOthers { .. }) if reserve.wait => true,
            // What the customer has of the SKU is looked at when it is promoted, not when it joins.
            Err(Rejection::CustomerLimit { .. })
                if reserve.wait
                    && !self.never_allowed(reserve.customer_id.as_deref(), &reserve.items[0])
                    && self.why_not(None, &reserve.items).is_err() =>
            {
                true
            }
            Err(why) => return Err(why),
        };
        match self.over_totals(stamp, reserve) {
            Some(why) => Err(why),
            None if wants_line => Ok(self.join(stamp, reserve)),
            None => Ok(self.hold(stamp, reserve)),
        }
    }

    fn hold(&mut self, stamp: &Stamp, reserve: &Reserve) -> Outcome {
        let id = self.make(stamp, reserve, State::Held);
        self.grant(stamp, id);
        self.note_all(&reserve.items, Cause::Reserve);
        self.tell(id, ReservationChangeKind::Held, None, Cause::Reserve);
        Outcome::Reserved(self.reservation(id).unwrap())
    }

    pub(super) fn make(&mut self, stamp: &Stamp, reserve: &Reserve, state: State) -> ReservationId {
        let id = ReservationId { sequence: self.sequence, nonce: reserve.nonce };
        self.reservations.push(Reservation {
            id,
            state,
            cart_id: reserve.cart_id.clone(),
            customer_id: reserve.customer_id.clone(),
            items: reserve.items.clone(),
            returned: Vec::new(),
            created_ms: self.now_ms,
            ttl_ms: reserve.ttl_ms.min(stamp.max_hold_ms).max(1),
            grant: None,
            committed_ms: None,
            payment_token: None,
            forget_ms: u64::MAX,
            extensions: 0,
        });
        id
    }

    pub(super) fn commit(&mut self, stamp: &Stamp, commit: &Commit) -> Result<Outcome, Rejection> {
        let view = self.known(commit.reservation_id)?;
        if let (Some(token), Some(grant)) = (commit.fencing_token, view.grant)
            && token != grant.fencing_token
        {
            return Err(Rejection::FencingTokenStale { current: grant.fencing_token });
        }
        match view.state {
            State::Committed if view.payment_token == commit.payment_token => {
                return Ok(Outcome::Committed(view));
            }
            State::Committed => return Err(Rejection::AlreadyCommitted),
            State::Released | State::Revoked => return Err(Rejection::ReservationReleased),
            State::Waiting => return Err(Rejection::ReservationWaiting),
            State::Expired if commit.if_expired == IfExpired::Fail => {
                return Err(Rejection::ReservationExpired);
            }
            State::Expired | State::Held => {}
        }
        let part = part_of(commit.items.as_deref(), &view)?;
        if view.state == State::Expired && !self.can_reacquire(&view, &part) {
            return Err(Rejection::ReservationExpired);
        }
        if part.iter().any(|item| self.skus[&item.sku].sold + item.qty > UNITS_MAX) {
            return Err(Rejection::StockAboveMax);
        }
        self.sell(stamp, &view, part, commit.payment_token.clone());
        Ok(Outcome::Committed(self.known(view.id)?))
    }

    /// Its units are there, nobody waits for them, the customer may have them, and they are of the same SKU.
    fn can_reacquire(&self, view: &ReservationView, part: &[Item]) -> bool {
        let same = |item: &Item| self.is_of_today(view.id, item);
        part.iter().all(same) && self.why_not(view.customer_id.as_deref(), part).is_ok()
    }

    fn sell(&mut self, stamp: &Stamp, view: &ReservationView, part: Vec<Item>, token: Option<Arc<str>>) {
        for item in &part {
            let figures = self.skus.get_mut(&item.sku).unwrap();
            figures.on_hand -= item.qty;
            figures.sold += item.qty;
            if let Some(customer) = &view.customer_id {
                *self.bought.entry((item.sku.clone(), customer.clone())).or_default() += item.qty;
            }
        }
        let now_ms = self.now_ms;
        let one = self.one_mut(view.id);
        one.state = State::Committed;
        one.items = part;
        one.committed_ms = Some(now_ms);
        one.payment_token = token;
        one.forget_ms = now_ms + stamp.retention_ms;
        self.note_all(&view.items, Cause::Commit);
        let (kind, before) = (ReservationChangeKind::Committed, Some(view.state));
        self.tell_items(view.id, kind, before, Cause::Commit, Some(view.items.clone()));
    }

    pub(super) fn release(&mut self, stamp: &Stamp, release: &Release) -> Result<Outcome, Rejection> {
        let view = self.known(release.reservation_id)?;
        match view.state {
            State::Committed => return Err(Rejection::AlreadyCommitted),
            State::Released | State::Expired | State::Revoked => return Ok(Outcome::Released(view)),
            State::Waiting | State::Held => {}
        }
        let part = part_of(release.items.as_deref(), &view)?;
        let rest = less(&view.items, &part);
        match (view.state, rest.is_empty()) {
            (_, true) => self.let_go(stamp, view.id, State::Released, Cause::Release),
            (State::Held, false) => {
                self.one_mut(view.id).items = rest;
                self.note_all(&part, Cause::Release);
                let (kind, before) = (ReservationChangeKind::Reduced, Some(State::Held));
                self.tell_items(view.id, kind, before, Cause::Release, Some(view.items));
            }
            _ => return Err(Rejection::Invalid { field: "items".into() }),
        }
        Ok(Outcome::Released(self.known(release.reservation_id)?))
    }

    /// Ends a hold, or a place in the line, before its time.
    pub(super) fn let_go(&mut self, stamp: &Stamp, id: ReservationId, to: State, cause: Cause) {
        let before = self.one(id).state;
        let forget_ms = self.now_ms + stamp.retention_ms;
        let one = self.one_mut(id);
        one.state = to;
        one.forget_ms = forget_ms;
        let items = one.items.clone();
        self.note_all(&items, cause);
        let kind = match to {
            State::Revoked => ReservationChangeKind::Revoked,
            _ => ReservationChangeKind::Released,
        };
        self.tell(id, kind, Some(before), cause);
    }

    pub(super) fn extend(&mut self, stamp: &Stamp, extend: &Extend) -> Result<Outcome, Rejection> {
        let view = self.known(extend.reservation_id)?;
        match view.state {
            State::Committed => return Err(Rejection::AlreadyCommitted),
            State::Released | State::Revoked => return Err(Rejection::ReservationReleased),
            State::Expired => return Err(Rejection::ReservationExpired),
            State::Waiting => return Err(Rejection::ReservationWaiting),
            State::Held => {}
        }
        let mut grant = view.grant.unwrap();
        let latest_deadline_ms = grant.granted_ms + stamp.max_hold_ms;
        let wanted_ms = self.now_ms + extend.ttl_ms;
        if wanted_ms <= grant.deadline_ms {
            return Ok(Outcome::Extended(view));
        }
        if wanted_ms > latest_deadline_ms {
            return Err(Rejection::HoldLimit { latest_deadline_ms });
        }
        let extensions = self.one(view.id).extensions;
        if let Some(limit) = stamp.limits.hold_extensions_max {
            if extensions >= limit {
                return Err(Rejection::ExtensionLimit { limit });
            }
            self.one_mut(view.id).extensions += 1;
        }
        grant.deadline_ms = wanted_ms;
        self.one_mut(view.id).grant = Some(grant);
        self.one_mut(view.id).forget_ms = wanted_ms + stamp.retention_ms;
        self.tell(view.id, ReservationChangeKind::Extended, Some(State::Held), Cause::Extend);
        Ok(Outcome::Extended(self.known(view.id)?))
    }

    pub(super) fn take_back(&mut self, back: &Return) -> Result<Outcome, Rejection> {
        let view = self.known(back.reservation_id)?;
        if view.state != State::Committed {
            return Err(Rejection::NotCommitted);
        }
        let left = less(&view.items, &view.returned);
        let part = back.items.clone().unwrap_or(left.clone());
        if part.is_empty() || !is_part(&part, &left) {
            return Err(Rejection::ReturnExceedsSale);
        }
        if let Some(item) = part.iter().find(|item| !self.is_of_today(view.id, item)) {
            return Err(Rejection::SkuNotFound { sku: item.sku.clone() });
        }
        if part.iter().any(|item| self.skus[&item.sku].on_hand + item.qty > UNITS_MAX) {
            return Err(Rejection::StockAboveMax);
        }
        for item in &part {
            let figures = self.skus.get_mut(&item.sku).unwrap();
            figures.on_hand += item.qty;
            figures.sold -= item.qty;
            if let Some(customer) = &view.customer_id {
                *self.bought.get_mut(&(item.sku.clone(), customer.clone())).unwrap() -= item.qty;
            }
        }
        self.one_mut(view.id).returned = plus(&view.returned, &part);
        self.note_all(&part, Cause::Return);
        self.tell(view.id, ReservationChangeKind::Returned, Some(State::Committed), Cause::Return);
        Ok(Outcome::Returned(self.known(view.id)?))
    }

    /// Whether the SKU is there, and not a later one of the same name.
    fn is_of_today(&self, id: ReservationId, item: &Item) -> bool {
        self.skus.get(&item.sku).is_some_and(|figures| figures.made_by < id.sequence)
    }
}

/// The part that a command names; all of it unless it names one.
fn part_of(named: Option<&[Item]>, view: &ReservationView) -> Result<Vec<Item>, Rejection> {
    let part = named.unwrap_or(&view.items);
    if part.iter().any(|item| units(&view.items, &item.sku) < item.qty) {
        return Err(Rejection::Invalid { field: "items".into() });
    }
    Ok(part.to_vec())
}
