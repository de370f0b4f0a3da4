//! What a plan changes.

use client::api::{Item, PutSkuRequest, Reservation, ReservationState as State};

use super::model::{Entry, Model, Sku, units};
use super::plan::Plan;
use crate::book::Ask;

/// When a command is done, and what only its answer or its events can tell: the id and the token that it gave.
pub(super) struct Moment<'v> {
    pub(super) sequence: u64,
    pub(super) at_ms: u64,
    pub(super) view: Option<&'v Reservation>,
}

impl Model {
    /// Does it.
    pub(super) fn perform(&mut self, ask: &Ask, plan: &Plan, moment: &Moment<'_>) {
        let id = ask.reservation_id().unwrap_or_default();
        match (plan, ask) {
            (Plan::Hold { ttl_ms } | Plan::Join { ttl_ms }, _) => self.make(ask, plan, *ttl_ms, moment),
            (Plan::Sell(part), Ask::Commit(commit)) => {
                self.sell(id, part, commit.payment_token.clone(), moment.at_ms);
            }
            (Plan::End, _) => self.give_back(id, State::Released, moment.at_ms),
            (Plan::Reduce(rest), _) => self.keep(id, rest),
            (Plan::Extend { deadline_ms }, _) => self.move_deadline(id, *deadline_ms),
            (Plan::TakeBack(part), _) => self.take_back(id, part),
            (Plan::Create | Plan::Set, Ask::Put(sku, put)) => self.set(sku, put, moment),
            (Plan::Adjust { on_hand }, Ask::Adjust(sku, _)) => {
                self.revoke_above(sku, *on_hand, moment.at_ms);
                self.change(sku, |sku| sku.on_hand = *on_hand);
            }
            (Plan::Delete, Ask::Delete(sku)) => {
                self.skus.remove(sku);
                self.bought.retain(|(name, _), _| name != sku);
                self.changed_skus.push(sku.clone());
            }
            _ => {}
        }
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Sku)) {
        if let Some(sku) = self.skus.get_mut(name) {
            change(sku);
            self.changed_skus.push(name.to_owned());
        }
    }

    fn changed_items(&mut self, items: &[Item]) {
        self.changed_skus.extend(items.iter().map(|item| item.sku.clone()));
    }

    fn make(&mut self, ask: &Ask, plan: &Plan, ttl_ms: u64, moment: &Moment<'_>) {
        let (Ask::Reserve(reserve), Some(view)) = (ask, moment.view) else { return };
        let id = view.reservation_id.as_str();
        let entry = Entry {
            state: State::Waiting,
            cart_id: reserve.cart_id.clone(),
            customer_id: reserve.customer_id.clone(),
            items: reserve.items.clone(),
            returned: Vec::new(),
            created_ms: moment.at_ms,
            granted_ms: 0,
            deadline_ms: None,
            token: None,
            committed_ms: None,
            payment_token: None,
            ttl_ms,
            made_by: moment.sequence,
            ended_ms: 0,
            place: 0,
            number: 0,
            extensions: 0,
        };
        self.insert(id, entry);
        match plan {
            Plan::Hold { .. } => self.grant(id, view.fencing_token, moment.at_ms),
            _ => self.join(id),
        }
        self.changed.push(id.to_owned());
        self.changed_items(&reserve.items);
    }

    /// A hold begins.
    pub(super) fn grant(&mut self, id: &str, token: Option<u64>, at_ms: u64) {
        if let Some(entry) = self.reservations.get_mut(id) {
            (entry.state, entry.token, entry.granted_ms) = (State::Held, token, at_ms);
            entry.deadline_ms = Some(at_ms + entry.ttl_ms);
        }
        self.hold(id);
    }

    /// One who waits is served.
    pub(super) fn promote(&mut self, id: &str, token: Option<u64>, at_ms: u64) {
        self.leave(id);
        self.grant(id, token, at_ms);
    }

    fn sell(&mut self, id: &str, part: &[Item], payment_token: Option<String>, at_ms: u64) {
        let Some(entry) = self.reservations.get(id).cloned() else { return };
        if entry.state == State::Held {
            self.unhold(id, State::Committed);
            self.changed_items(&entry.items);
        }
        for item in part {
            self.change(&item.sku, |sku| {
                sku.on_hand = sku.on_hand.saturating_sub(item.qty);
                sku.sold += item.qty;
            });
            if let Some(customer) = &entry.customer_id {
                *self.bought.entry((item.sku.clone(), customer.clone())).or_default() += item.qty;
            }
        }
        self.end(id, State::Committed, at_ms);
        if let Some(entry) = self.reservations.get_mut(id) {
            (entry.items, entry.committed_ms, entry.payment_token) =
                (part.to_vec(), Some(at_ms), payment_token);
        }
        self.changed.push(id.to_owned());
    }

    /// A hold or a place in the line ends before its time.
    pub(super) fn give_back(&mut self, id: &str, to: State, at_ms: u64) {
        let Some(entry) = self.reservations.get(id).cloned() else { return };
        match entry.state {
            State::Waiting => self.leave(id),
            _ => self.unhold(id, to),
        }
        self.end(id, to, at_ms);
        self.changed_items(&entry.items);
        self.changed.push(id.to_owned());
    }

    fn keep(&mut self, id: &str, rest: &[Item]) {
        let Some(entry) = self.reservations.get(id).cloned() else { return };
        self.unhold(id, State::Held);
        if let Some(entry) = self.reservations.get_mut(id) {
            entry.items = rest.to_vec();
        }
        self.hold(id);
        let given = entry.items.iter().filter(|item| units(rest, &item.sku) < item.qty);
        self.changed_skus.extend(given.map(|item| item.sku.clone()));
        self.changed.push(id.to_owned());
    }

    fn move_deadline(&mut self, id: &str, deadline_ms: u64) {
        self.unhold(id, State::Held);
        if let Some(entry) = self.reservations.get_mut(id) {
            entry.deadline_ms = Some(deadline_ms);
            entry.extensions += 1;
        }
        self.hold(id);
        self.changed.push(id.to_owned());
    }

    fn take_back(&mut self, id: &str, part: &[Item]) {
        let Some(entry) = self.reservations.get(id).cloned() else { return };
        for item in part {
            self.change(&item.sku, |sku| {
                sku.on_hand += item.qty;
                sku.sold = sku.sold.saturating_sub(item.qty);
            });
            if let Some(customer) = &entry.customer_id
                && let Some(bought) = self.bought.get_mut(&(item.sku.clone(), customer.clone()))
            {
                *bought = bought.saturating_sub(item.qty);
            }
        }
        let all: Vec<Item> = entry.returned.iter().chain(part).cloned().collect();
        if let Some(entry) = self.reservations.get_mut(id) {
            entry.returned = crate::book::summed(&all);
        }
        self.changed.push(id.to_owned());
    }

    fn set(&mut self, name: &str, put: &PutSkuRequest, moment: &Moment<'_>) {
        self.revoke_above(name, put.on_hand, moment.at_ms);
        let figures = |sku: &Sku| (sku.on_hand, sku.safety_stock, sku.max_per_customer);
        let made_by = moment.sequence;
        let before = self.skus.get(name).map(figures);
        let sku = self.skus.entry(name.to_owned()).or_insert_with(|| Sku { made_by, ..Sku::default() });
        sku.on_hand = put.on_hand;
        sku.safety_stock = put.safety_stock.unwrap_or(sku.safety_stock);
        sku.max_per_customer = put.max_per_customer.unwrap_or(sku.max_per_customer);
        if before != Some(figures(sku)) {
            self.changed_skus.push(name.to_owned());
        }
    }

    /// Takes the newest holds away until so many units suffice.
    fn revoke_above(&mut self, name: &str, on_hand: u64, at_ms: u64) {
        while let Some(newest) = self.newest_above(name, on_hand) {
            self.give_back(&newest, State::Revoked, at_ms);
        }
    }

    fn newest_above(&self, name: &str, on_hand: u64) -> Option<String> {
        let sku = self.skus.get(name).filter(|sku| sku.held > on_hand)?;
        let token = |id: &String| self.reservations.get(id).and_then(|entry| entry.token);
        sku.holds.values().map(|(id, _)| id).max_by_key(|id| token(id)).cloned()
    }
}
