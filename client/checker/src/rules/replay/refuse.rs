//! Whether a refusal is true: the contract does not say which of several reasons is told, so each is judged by itself.

use client::api::{
    CommitRequest, IfExpired, Item, OnShortfall, Problem, ReservationState as State, ReserveRequest, Shortage,
};
use client::code;

use super::model::{Entry, Model};
use crate::book::{Ask, summed};
use crate::history::Condition;

impl Model {
    /// Whether a command is rightly refused for that reason at a moment; `None` where it cannot be known.
    pub(super) fn is_true(
        &self,
        ask: &Ask,
        condition: Option<Condition>,
        problem: &Problem,
        at_ms: u64,
    ) -> Option<bool> {
        let plan = self.plan(ask, condition, at_ms);
        let state = ask.reservation_id().map(|id| self.reservations.get(id));
        let is =
            |wanted: &[State]| state.flatten().is_some_and(|entry| wanted.contains(&entry.state_at(at_ms)));
        Some(match (problem.code.as_ref(), ask) {
            (code::INSUFFICIENT_STOCK | code::HELD_BY_OTHERS, Ask::Reserve(reserve)) => {
                self.is_short_as_told(reserve, problem, at_ms)
            }
            (code::CART_ALREADY_RESERVED, Ask::Reserve(reserve)) => {
                let live = self.live_of_cart(&reserve.cart_id, at_ms);
                live.is_some_and(|(_, entry)| entry.items != reserve.items)
            }
            (code::CUSTOMER_LIMIT, Ask::Reserve(reserve)) => {
                let customer = reserve.customer_id.as_deref();
                self.is_over_totals(reserve, at_ms)
                    || reserve.items.iter().any(|item| self.is_over_limit(customer, item, at_ms))
            }
            (code::SKU_NOT_FOUND, Ask::Reserve(reserve)) => {
                reserve.items.iter().any(|item| !self.skus.contains_key(&item.sku))
            }
            (code::SKU_NOT_FOUND, Ask::Return(_)) => plan == Err(code::SKU_NOT_FOUND),
            (code::SKU_NOT_FOUND, ask) => ask.sku().is_some_and(|sku| !self.skus.contains_key(sku)),
            (code::RESERVATION_NOT_FOUND, ask) => {
                ask.reservation_id().is_some_and(|id| self.may_be_forgotten(id, at_ms))
            }
            (code::FENCING_TOKEN_STALE, Ask::Commit(commit)) => {
                let token = state.flatten().and_then(|entry| entry.token);
                commit.fencing_token.is_some() && commit.fencing_token != token
            }
            (code::RESERVATION_EXPIRED, Ask::Commit(commit)) => self.is_over(commit, at_ms),
            (code::RESERVATION_EXPIRED, Ask::Extend(_)) => is(&[State::Expired]),
            (code::RESERVATION_RELEASED, _) => is(&[State::Released, State::Revoked]),
            (code::RESERVATION_WAITING, _) => is(&[State::Waiting]),
            (code::ALREADY_COMMITTED, Ask::Commit(_)) => plan == Err(code::ALREADY_COMMITTED),
            (code::ALREADY_COMMITTED, _) => is(&[State::Committed]),
            (code::NOT_COMMITTED, _) => !is(&[State::Committed]),
            (code::HOLD_LIMIT | code::RETURN_EXCEEDS_SALE, _) => plan.err() == Some(problem.code.as_ref()),
            (code::PRECONDITION_FAILED, ask) => {
                condition.is_some() && !self.surely_holds(ask.sku().unwrap_or_default(), condition, at_ms)
            }
            (code::SKU_HAS_HOLDS, Ask::Delete(name)) => {
                self.skus.get(name).is_some_and(|sku| sku.held_at(at_ms) > 0 || !sku.line.is_empty())
            }
            (code::STOCK_BELOW_HELD, ask) => self.is_below_held(ask, at_ms),
            // What is out of range, or used under that key, is no matter of the state.
            _ => return None,
        })
    }

    /// Whether each short SKU falls short as the refusal tells, and for the reason that it tells.
    fn is_short_as_told(&self, reserve: &ReserveRequest, problem: &Problem, at_ms: u64) -> bool {
        if reserve.wait == Some(true) || self.live_of_cart(&reserve.cart_id, at_ms).is_some() {
            return false;
        }
        let mut hopeless = false;
        let mut shortages = Vec::new();
        for item in &reserve.items {
            let Some(sku) = self.skus.get(&item.sku) else { return false };
            if sku.is_short(item.qty, at_ms) {
                hopeless |= item.qty > sku.sellable();
                shortages.push(self.shortage(item, at_ms));
            }
        }
        let told: Vec<Option<Shortage>> = problem.shortages.iter().cloned().map(Some).collect();
        let wanted = if hopeless { code::INSUFFICIENT_STOCK } else { code::HELD_BY_OTHERS };
        !shortages.is_empty() && problem.code == wanted && told == shortages
    }

    fn shortage(&self, item: &Item, at_ms: u64) -> Option<Shortage> {
        let sku = self.skus.get(&item.sku)?;
        Some(Shortage {
            sku: item.sku.clone(),
            requested: item.qty,
            available: sku.available_at(at_ms),
            held: sku.held_at(at_ms),
            sold_out: sku.sellable() == 0,
        })
    }

    fn is_over(&self, commit: &CommitRequest, at_ms: u64) -> bool {
        let Some(entry) = self.reservations.get(&commit.reservation_id) else { return false };
        let reacquires = commit.if_expired == Some(IfExpired::Reacquire);
        let ask = Ask::Commit(commit.clone());
        entry.state_at(at_ms) == State::Expired
            && (!reacquires || self.plan(&ask, None, at_ms) == Err(code::RESERVATION_EXPIRED))
    }

    /// Whether a reservation is unknown, or ended so long ago that it may be forgotten.
    pub(super) fn may_be_forgotten(&self, id: &str, at_ms: u64) -> bool {
        let Some(entry) = self.reservations.get(id) else { return true };
        let forgotten = |ended_ms: u64| ended_ms + self.settings.retention_seconds * 1_000 <= at_ms;
        match entry.state_at(at_ms) {
            State::Held | State::Waiting => false,
            _ => forgotten(self.ended_ms(entry)),
        }
    }

    fn ended_ms(&self, entry: &Entry) -> u64 {
        if entry.state == State::Held { entry.deadline_ms.unwrap_or(0) } else { entry.ended_ms }
    }

    /// Whether a condition surely holds.
    fn surely_holds(&self, name: &str, condition: Option<Condition>, at_ms: u64) -> bool {
        let sku = self.skus.get(name);
        match condition {
            None => true,
            Some(Condition::Absent) => sku.is_none(),
            Some(Condition::Present) => sku.is_some(),
            Some(Condition::Version(version)) => sku.is_some_and(|sku| {
                !sku.lapsed_since && sku.held_at(at_ms) == sku.held && sku.version == version
            }),
        }
    }

    fn is_below_held(&self, ask: &Ask, at_ms: u64) -> bool {
        let Some(sku) = ask.sku().and_then(|name| self.skus.get(name)) else { return false };
        let (to, on_shortfall) = match ask {
            Ask::Put(_, put) => (i128::from(put.on_hand), put.on_shortfall),
            Ask::Adjust(_, adjust) => {
                (i128::from(sku.on_hand) + i128::from(adjust.delta), adjust.on_shortfall)
            }
            _ => return false,
        };
        let revokes = on_shortfall == Some(OnShortfall::RevokeNewest);
        to < 0 || (!revokes && to < i128::from(sku.held_at(at_ms)))
    }

    /// The moments up to `to_ms` at which what a command sees may change: [`Model::now_ms`], and each deadline of its
    /// SKUs and its reservation. `None` where they are too many to be tried.
    pub(super) fn moments(&self, ask: &Ask, to_ms: u64) -> Option<Vec<u64>> {
        const MOMENTS_MAX: usize = 64;
        let from_ms = self.now_ms;
        let of_reservation = ask.reservation_id().and_then(|id| self.reservations.get(id));
        let (mine, cart) = match ask {
            Ask::Reserve(reserve) => (reserve.items.clone(), self.live_of_cart(&reserve.cart_id, from_ms)),
            Ask::Commit(commit) => (commit.items.as_deref().map(summed).unwrap_or_default(), None),
            _ => (Vec::new(), None),
        };
        let entries = of_reservation.into_iter().chain(cart.map(|(_, entry)| entry));
        let deadlines = entries.clone().filter_map(|entry| entry.deadline_ms);
        let items =
            mine.iter().chain(entries.clone().flat_map(|entry| &entry.items)).map(|item| item.sku.as_str());
        let skus = items.chain(ask.sku()).filter_map(|name| self.skus.get(name));
        let lapses = skus
            .flat_map(|sku| sku.holds.range(..=(to_ms, u64::MAX)).map(|((deadline_ms, _), _)| *deadline_ms));
        // How far an extension reaches depends on the very moment: the last one before the deadline tells most.
        let extends = matches!(ask, Ask::Extend(_));
        if extends && to_ms == u64::MAX {
            return None;
        }
        let mut moments: Vec<u64> = deadlines.chain(lapses.take(4 * MOMENTS_MAX)).collect();
        if extends {
            moments.extend(moments.clone().iter().map(|deadline_ms| deadline_ms.saturating_sub(1)));
            moments.push(to_ms);
        }
        moments.retain(|moment| (from_ms + 1..=to_ms).contains(moment));
        moments.push(from_ms);
        moments.sort_unstable();
        moments.dedup();
        (moments.len() <= MOMENTS_MAX).then_some(moments)
    }
}
