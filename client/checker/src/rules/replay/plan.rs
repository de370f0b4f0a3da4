//! What the contract says a command does at a moment, or why it is refused.

use client::api::{
    AdjustRequest, CommitRequest, ExtendRequest, IfExpired, Item, OnShortfall, PutSkuRequest, ReleaseRequest,
    ReservationState as State, ReserveRequest, ReturnRequest,
};
use client::code;

use super::model::{Entry, Model, all_units, is_part, less};
use crate::book::{Ask, summed};
use crate::history::Condition;

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// A new hold with that time to live.
    Hold { ttl_ms: u64 },
    /// A place in the line.
    Join { ttl_ms: u64 },
    /// The cart has that reservation already.
    Same(String, State),
    /// These are sold, the rest is released.
    Sell(Vec<Item>),
    /// A hold or a place in the line ends.
    End,
    /// These stay held.
    Reduce(Vec<Item>),
    /// The deadline moves.
    Extend { deadline_ms: u64 },
    /// These come back.
    TakeBack(Vec<Item>),
    /// It is so already.
    Nothing,
    /// A new SKU.
    Create,
    /// The SKU is set.
    Set,
    /// So many units on hand.
    Adjust { on_hand: u64 },
    /// The SKU goes.
    Delete,
}

impl Plan {
    /// The status of its answer.
    pub(super) fn status(&self) -> u16 {
        match self {
            Plan::Hold { .. } | Plan::Create => 201,
            Plan::Join { .. } | Plan::Same(_, State::Waiting) => 202,
            Plan::Delete => 204,
            _ => 200,
        }
    }
}

impl Model {
    /// What the contract says; the code of the refusal where it refuses.
    pub(super) fn plan(
        &self,
        ask: &Ask,
        condition: Option<Condition>,
        at_ms: u64,
    ) -> Result<Plan, &'static str> {
        match ask {
            Ask::Reserve(reserve) => self.plan_reserve(reserve, at_ms),
            Ask::Commit(commit) => self.plan_commit(commit, at_ms),
            Ask::Release(release) => self.plan_release(release, at_ms),
            Ask::Extend(extend) => self.plan_extend(extend, at_ms),
            Ask::Return(back) => self.plan_return(back),
            Ask::Put(sku, _) | Ask::Adjust(sku, _) | Ask::Delete(sku)
                if self.surely_fails(sku, condition, at_ms) =>
            {
                Err(code::PRECONDITION_FAILED)
            }
            Ask::Put(sku, put) => self.plan_put(sku, put, at_ms),
            Ask::Adjust(sku, adjust) => self.plan_adjust(sku, adjust, at_ms),
            Ask::Delete(sku) => self.plan_delete(sku, at_ms),
        }
    }

    fn plan_reserve(&self, reserve: &ReserveRequest, at_ms: u64) -> Result<Plan, &'static str> {
        if let Some((id, entry)) = self.live_of_cart(&reserve.cart_id, at_ms) {
            let same = entry.items == reserve.items;
            let same = same.then(|| Plan::Same(id.to_owned(), entry.state_at(at_ms)));
            return same.ok_or(code::CART_ALREADY_RESERVED);
        }
        let ttl_ms = self.ttl_ms(reserve.ttl_seconds).min(self.settings.max_hold_seconds * 1_000);
        let plan = match self.why_not(reserve.customer_id.as_deref(), &reserve.items, at_ms) {
            Ok(()) => Plan::Hold { ttl_ms },
            Err(code::INSUFFICIENT_STOCK | code::HELD_BY_OTHERS) if reserve.wait == Some(true) => {
                Plan::Join { ttl_ms }
            }
            // What the customer has of the SKU counts when its turn comes.
            Err(code::CUSTOMER_LIMIT)
                if reserve.wait == Some(true) && self.why_not(None, &reserve.items, at_ms).is_err() =>
            {
                Plan::Join { ttl_ms }
            }
            Err(why) => return Err(why),
        };
        if self.is_over_totals(reserve, at_ms) { Err(code::CUSTOMER_LIMIT) } else { Ok(plan) }
    }

    /// Whether its customer would have more at a time than the cluster lets one have.
    pub(super) fn is_over_totals(&self, reserve: &ReserveRequest, at_ms: u64) -> bool {
        let (holds_max, units_max) = (self.settings.customer_holds_max, self.settings.customer_units_max);
        let Some(customer) = reserve.customer_id.as_deref() else { return false };
        if holds_max.or(units_max).is_none() {
            return false;
        }
        let (holds, units) = self.totals(customer, at_ms);
        holds_max.is_some_and(|most| holds + 1 > most)
            || units_max.is_some_and(|most| units + all_units(&reserve.items) > most)
    }

    pub(super) fn ttl_ms(&self, seconds: Option<u64>) -> u64 {
        seconds.unwrap_or(self.settings.default_ttl_seconds).saturating_mul(1_000)
    }

    /// Why a cart cannot have its items at a moment.
    pub(super) fn why_not(
        &self,
        customer: Option<&str>,
        items: &[Item],
        at_ms: u64,
    ) -> Result<(), &'static str> {
        let mut short = None;
        for item in items {
            let Some(sku) = self.skus.get(&item.sku) else { return Err(code::SKU_NOT_FOUND) };
            if sku.is_short(item.qty, at_ms) && short != Some(code::INSUFFICIENT_STOCK) {
                let hopeless = item.qty > sku.sellable();
                short = Some(if hopeless { code::INSUFFICIENT_STOCK } else { code::HELD_BY_OTHERS });
            }
        }
        if items.iter().any(|item| self.is_over_limit(customer, item, at_ms)) {
            return Err(code::CUSTOMER_LIMIT);
        }
        short.map_or(Ok(()), Err)
    }

    pub(super) fn is_over_limit(&self, customer: Option<&str>, item: &Item, at_ms: u64) -> bool {
        let (Some(customer), Some(sku)) = (customer, self.skus.get(&item.sku)) else { return false };
        let Some(limit) = sku.max_per_customer else { return false };
        self.has(customer, &item.sku, sku, at_ms) + item.qty > limit
    }

    pub(super) fn known(&self, id: &str) -> Result<&Entry, &'static str> {
        self.reservations.get(id).ok_or(code::RESERVATION_NOT_FOUND)
    }

    fn plan_commit(&self, commit: &CommitRequest, at_ms: u64) -> Result<Plan, &'static str> {
        let entry = self.known(&commit.reservation_id)?;
        if commit.fencing_token.is_some() && entry.token.is_some() && commit.fencing_token != entry.token {
            return Err(code::FENCING_TOKEN_STALE);
        }
        let part = commit.items.as_deref().map_or_else(|| entry.items.clone(), summed);
        match entry.state_at(at_ms) {
            State::Committed if entry.payment_token == commit.payment_token => return Ok(Plan::Nothing),
            State::Committed => return Err(code::ALREADY_COMMITTED),
            State::Waiting => return Err(code::RESERVATION_WAITING),
            State::Held => {}
            State::Expired if commit.if_expired == Some(IfExpired::Reacquire) => {
                self.reacquire(entry, &part, at_ms)?;
            }
            State::Expired => return Err(code::RESERVATION_EXPIRED),
            _ => return Err(code::RESERVATION_RELEASED),
        }
        if is_part(&part, &entry.items) { Ok(Plan::Sell(part)) } else { Err(code::INVALID_REQUEST) }
    }

    fn reacquire(&self, entry: &Entry, part: &[Item], at_ms: u64) -> Result<(), &'static str> {
        let there = part.iter().all(|item| self.is_of_its_time(entry, &item.sku));
        let free = there && self.why_not(entry.customer_id.as_deref(), part, at_ms).is_ok();
        if free { Ok(()) } else { Err(code::RESERVATION_EXPIRED) }
    }

    /// Whether the SKU that a reservation names is there, and not a later one of the same name.
    fn is_of_its_time(&self, entry: &Entry, sku: &str) -> bool {
        self.skus.get(sku).is_some_and(|sku| sku.made_by < entry.made_by)
    }

    fn plan_release(&self, release: &ReleaseRequest, at_ms: u64) -> Result<Plan, &'static str> {
        let entry = self.known(&release.reservation_id)?;
        let state = entry.state_at(at_ms);
        match state {
            State::Committed => return Err(code::ALREADY_COMMITTED),
            State::Held | State::Waiting => {}
            _ => return Ok(Plan::Nothing),
        }
        let part = release.items.as_deref().map_or_else(|| entry.items.clone(), summed);
        let rest = less(&entry.items, &part);
        match (is_part(&part, &entry.items), rest.is_empty()) {
            (true, true) => Ok(Plan::End),
            (true, false) if state == State::Held => Ok(Plan::Reduce(rest)),
            _ => Err(code::INVALID_REQUEST),
        }
    }

    fn plan_extend(&self, extend: &ExtendRequest, at_ms: u64) -> Result<Plan, &'static str> {
        let entry = self.known(&extend.reservation_id)?;
        match entry.state_at(at_ms) {
            State::Held => {}
            State::Committed => return Err(code::ALREADY_COMMITTED),
            State::Expired => return Err(code::RESERVATION_EXPIRED),
            State::Waiting => return Err(code::RESERVATION_WAITING),
            _ => return Err(code::RESERVATION_RELEASED),
        }
        let deadline_ms = at_ms.saturating_add(self.ttl_ms(extend.ttl_seconds));
        match () {
            () if Some(deadline_ms) <= entry.deadline_ms => Ok(Plan::Nothing),
            () if deadline_ms > entry.granted_ms + self.settings.max_hold_seconds * 1_000 => {
                Err(code::HOLD_LIMIT)
            }
            () if self.settings.hold_extensions_max.is_some_and(|most| entry.extensions >= most) => {
                Err(code::HOLD_LIMIT)
            }
            () => Ok(Plan::Extend { deadline_ms }),
        }
    }

    fn plan_return(&self, back: &ReturnRequest) -> Result<Plan, &'static str> {
        let entry = self.known(&back.reservation_id)?;
        if entry.state != State::Committed {
            return Err(code::NOT_COMMITTED);
        }
        let left = less(&entry.items, &entry.returned);
        let part = back.items.as_deref().map_or_else(|| left.clone(), summed);
        match () {
            () if part.is_empty() || !is_part(&part, &left) => Err(code::RETURN_EXCEEDS_SALE),
            () if !part.iter().all(|item| self.is_of_its_time(entry, &item.sku)) => Err(code::SKU_NOT_FOUND),
            () => Ok(Plan::TakeBack(part)),
        }
    }

    /// Whether a condition on a SKU's record surely fails. A version is known only while nothing lapsed.
    pub(super) fn surely_fails(&self, name: &str, condition: Option<Condition>, at_ms: u64) -> bool {
        let sku = self.skus.get(name);
        match (condition, sku) {
            (None, _) => false,
            (Some(Condition::Absent), sku) => sku.is_some(),
            (Some(Condition::Present | Condition::Version(_)), None) => true,
            (Some(Condition::Present), Some(_)) => false,
            (Some(Condition::Version(version)), Some(sku)) => {
                let exact = !sku.lapsed_since && sku.held_at(at_ms) == sku.held;
                version < sku.version || (exact && version != sku.version)
            }
        }
    }

    fn plan_put(&self, name: &str, put: &PutSkuRequest, at_ms: u64) -> Result<Plan, &'static str> {
        let Some(sku) = self.skus.get(name) else { return Ok(Plan::Create) };
        let revoke = put.on_shortfall == Some(OnShortfall::RevokeNewest);
        if put.on_hand < sku.held_at(at_ms) && !revoke { Err(code::STOCK_BELOW_HELD) } else { Ok(Plan::Set) }
    }

    fn plan_adjust(&self, name: &str, adjust: &AdjustRequest, at_ms: u64) -> Result<Plan, &'static str> {
        let sku = self.skus.get(name).ok_or(code::SKU_NOT_FOUND)?;
        let on_hand = sku.on_hand.checked_add_signed(adjust.delta).ok_or(code::STOCK_BELOW_HELD)?;
        let revoke = adjust.on_shortfall == Some(OnShortfall::RevokeNewest);
        let below = on_hand < sku.held_at(at_ms) && !revoke;
        if below { Err(code::STOCK_BELOW_HELD) } else { Ok(Plan::Adjust { on_hand }) }
    }

    fn plan_delete(&self, name: &str, at_ms: u64) -> Result<Plan, &'static str> {
        let sku = self.skus.get(name).ok_or(code::SKU_NOT_FOUND)?;
        let free = sku.held_at(at_ms) == 0 && sku.line.is_empty();
        if free { Ok(Plan::Delete) } else { Err(code::SKU_HAS_HOLDS) }
    }
}
