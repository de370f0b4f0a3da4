//! What a command did, as its events tell it, and which commands could have done it.

use std::collections::HashMap;

use client::api::{
    EventData, InventoryRecord, Item, PutSkuRequest, Reservation, ReservationEvent,
    ReservationState as State, StockEvent,
};

use super::doubts::{cause_of, op_of};
use super::model::Model;
use super::plan::Plan;
use crate::book::{Ask, Command, Noted, ms, summed};
use crate::history::Op;

/// What an effect looks like from outside: the kind of its command, and the cart, reservation or SKU that it names.
pub(super) type Sight<'b> = (Op, &'b str);

/// The one event that tells most of a command's effect.
pub(super) struct Effect<'e> {
    op: Op,
    at_ms: u64,
    what: What<'e>,
    /// The time to live of the hold that one who waits was granted later, in milliseconds, where it was.
    granted_ms: Option<u64>,
}

enum What<'e> {
    Reservation(&'e ReservationEvent),
    Stock(&'e StockEvent),
}

impl<'e> Effect<'e> {
    /// Of all events of one command, and the holds that were granted later.
    pub(super) fn of(events: &'e [Noted<'_>], granted: &HashMap<&str, u64>) -> Option<Effect<'e>> {
        events.iter().find_map(|noted| {
            let (op, at_ms) = (op_of(cause_of(noted))?, noted.at_ms);
            let (what, granted_ms) = match &noted.event.data {
                EventData::Reservation(change) => {
                    let granted_ms = granted.get(change.reservation.reservation_id.as_str()).copied();
                    (What::Reservation(change), granted_ms)
                }
                // A change of stock by a reservation's command goes with a change of the reservation.
                EventData::Stock(_) if !matches!(op, Op::Put | Op::Adjust | Op::Delete) => return None,
                EventData::Stock(change) => (What::Stock(change), None),
            };
            Some(Effect { op, at_ms, what, granted_ms })
        })
    }

    /// What of it anybody sees.
    pub(super) fn sight(&self) -> Sight<'e> {
        let name = match &self.what {
            What::Reservation(change) if self.op == Op::Reserve => &change.reservation.cart_id,
            What::Reservation(change) => &change.reservation.reservation_id,
            What::Stock(change) => {
                change.after.as_ref().or(change.before.as_ref()).map_or("", |record| &record.sku)
            }
        };
        (self.op, name)
    }

    /// Whether it is what that command asks for, so far as the two alone can tell.
    pub(super) fn is_of(&self, command: &Command<'_>, model: &Model) -> bool {
        match (&self.what, &command.ask) {
            (What::Reservation(change), ask) => self.is_of_checkout(change, ask, model),
            (What::Stock(change), Ask::Put(_, put)) => {
                change.after.as_ref().is_some_and(|after| is_set(change.before.as_ref(), after, put))
            }
            (What::Stock(change), Ask::Adjust(_, adjust)) => {
                let on_hand = |record: &Option<InventoryRecord>| {
                    record.as_ref().and_then(|record| i64::try_from(record.on_hand).ok())
                };
                let delta =
                    on_hand(&change.after).zip(on_hand(&change.before)).map(|(after, before)| after - before);
                delta == Some(adjust.delta)
                    && change.reason == adjust.reason
                    && change.reference == adjust.reference
            }
            (What::Stock(_), Ask::Delete(_)) => true,
            _ => false,
        }
    }

    fn is_of_checkout(&self, change: &ReservationEvent, ask: &Ask, model: &Model) -> bool {
        let view = &change.reservation;
        let deadline_ms = view.expires_at.as_deref().and_then(ms);
        match ask {
            Ask::Reserve(reserve) => {
                let ttl_ms = model.ttl_ms(reserve.ttl_seconds).min(model.settings.max_hold_seconds * 1_000);
                let lasts = match view.state {
                    State::Held => deadline_ms == Some(self.at_ms + ttl_ms),
                    _ => self.granted_ms.is_none_or(|granted_ms| granted_ms == ttl_ms),
                };
                summed(&view.items) == reserve.items && view.customer_id == reserve.customer_id && lasts
            }
            Ask::Commit(commit) => {
                let whole = change.items_before.is_none();
                view.payment_token == commit.payment_token
                    && commit.items.as_deref().map_or(whole, |part| summed(part) == summed(&view.items))
            }
            Ask::Extend(extend) => deadline_ms == Some(self.at_ms + model.ttl_ms(extend.ttl_seconds)),
            Ask::Release(release) => match (&release.items, &change.items_before) {
                (None, _) => view.state == State::Released,
                (Some(part), None) => view.state == State::Released && summed(part) == summed(&view.items),
                (Some(part), Some(before)) => {
                    super::model::less(&summed(before), &summed(part)) == summed(&view.items)
                }
            },
            Ask::Return(_) => true,
            Ask::Put(..) | Ask::Adjust(..) | Ask::Delete(_) => false,
        }
    }

    /// Whether that command, done as the model stands, comes to just this.
    pub(super) fn is_done_by(&self, command: &Command<'_>, model: &Model) -> bool {
        let Ok(plan) = model.plan(&command.ask, command.condition, self.at_ms) else { return false };
        match &self.what {
            What::Reservation(change) => self.is_planned_checkout(&change.reservation, &plan, model),
            What::Stock(change) => {
                let (before, after) = (change.before.as_ref(), change.after.as_ref());
                match plan {
                    Plan::Create => before.is_none(),
                    Plan::Set => before.is_some(),
                    Plan::Adjust { on_hand } => after.is_some_and(|after| after.on_hand == on_hand),
                    Plan::Delete => after.is_none(),
                    _ => false,
                }
            }
        }
    }

    fn is_planned_checkout(&self, view: &Reservation, plan: &Plan, model: &Model) -> bool {
        let items = || summed(&view.items);
        match plan {
            Plan::Hold { .. } => view.state == State::Held,
            Plan::Join { .. } => view.state == State::Waiting,
            Plan::Sell(part) => view.state == State::Committed && items() == summed(part),
            Plan::End => view.state == State::Released,
            Plan::Reduce(rest) => view.state == State::Held && items() == summed(rest),
            Plan::Extend { deadline_ms } => view.expires_at.as_deref().and_then(ms) == Some(*deadline_ms),
            Plan::TakeBack(part) => model.known(&view.reservation_id).is_ok_and(|entry| {
                let returned: Vec<Item> = entry.returned.iter().chain(part).cloned().collect();
                summed(&returned) == summed(&view.returned)
            }),
            _ => false,
        }
    }
}

/// Whether a record was set so; what the call leaves out stays as it was.
fn is_set(before: Option<&InventoryRecord>, after: &InventoryRecord, put: &PutSkuRequest) -> bool {
    let safety_stock = before.map_or(0, |record| record.safety_stock);
    let limit = before.and_then(|record| record.max_per_customer);
    after.on_hand == put.on_hand
        && after.safety_stock == put.safety_stock.unwrap_or(safety_stock)
        && after.max_per_customer == put.max_per_customer.unwrap_or(limit)
}
