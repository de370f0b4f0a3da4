//! Commands of unknown outcome: each may have been executed, and the feed tells.
//!
//! An effect that no answer names must be that of a command that somebody asked for and was never, or not by every
//! try, told the outcome of; and each such command explains as many effects as it had tries in doubt, one under a key.

use std::collections::{HashMap, HashSet};

use client::api::{EventData, ReservationEvent, ReservationState, StockEvent};

use super::model::Model;
use crate::book::{Ask, Book, Command, Noted, ms, summed};
use crate::history::Op;

/// What an effect looks like from outside: the kind of its command, and the cart, reservation or SKU that it names.
type Sight<'b> = (Op, &'b str);

/// What may explain effects that no answer names.
pub(super) struct Doubts<'b> {
    by_sight: HashMap<Sight<'b>, Vec<usize>>,
    left: HashMap<usize, usize>,
    /// Keys whose one effect is known.
    used: HashSet<&'b str>,
}

/// What explains an effect.
pub(super) enum Explained {
    /// That command.
    By(usize),
    /// Only that command, whose effect is another one.
    Twice(usize),
    /// None.
    Nowhere,
}

impl<'b> Doubts<'b> {
    pub(super) fn of(book: &'b Book<'_>) -> Doubts<'b> {
        let mut doubts = Doubts { by_sight: HashMap::new(), left: HashMap::new(), used: HashSet::new() };
        for (place, command) in book.commands.iter().enumerate() {
            let done = command.success().is_some();
            if let Some(key) = command.key.as_deref().filter(|_| done) {
                doubts.used.insert(key);
            }
            if done || command.doubts > 0 {
                doubts.by_sight.entry(sight(command)).or_default().push(place);
            }
            let left = if command.key.is_some() { command.doubts.min(1) } else { command.doubts };
            doubts.left.insert(place, left);
        }
        doubts
    }

    /// Finds what explains these events of one command, and takes it as explained.
    pub(super) fn explain(&mut self, book: &'b Book<'_>, events: &[Noted<'_>], model: &Model) -> Explained {
        let Some(effect) = Effect::of(events) else { return Explained::Nowhere };
        let places = self.by_sight.get(&effect.sight()).map_or(&[][..], Vec::as_slice);
        let mut twice = None;
        for &place in places {
            let command = &book.commands[place];
            if !effect.is_of(command, model) {
                continue;
            }
            let unused = command.key.as_deref().is_none_or(|key| !self.used.contains(key));
            let left = self.left.entry(place).or_default();
            if *left > 0 && unused {
                *left -= 1;
                self.used.extend(command.key.as_deref());
                return Explained::By(place);
            }
            twice = Some(place);
        }
        twice.map_or(Explained::Nowhere, Explained::Twice)
    }
}

fn sight<'b>(command: &'b Command<'_>) -> Sight<'b> {
    let name = match &command.ask {
        Ask::Reserve(reserve) => &reserve.cart_id,
        ask => ask.reservation_id().or(ask.sku()).unwrap_or_default(),
    };
    (command.ask.op(), name)
}

/// The op that a cause of the feed names; `None` for time, the line and what another change brings about.
pub(super) fn op_of(cause: &str) -> Option<Op> {
    Some(match cause {
        "reserve" => Op::Reserve,
        "commit" => Op::Commit,
        "release" => Op::Release,
        "extend" => Op::Extend,
        "return" => Op::Return,
        "put" => Op::Put,
        "adjust" => Op::Adjust,
        "delete" => Op::Delete,
        _ => return None,
    })
}

/// What an event happened by.
pub(super) fn cause_of<'h>(noted: &Noted<'h>) -> &'h str {
    match &noted.event.data {
        EventData::Reservation(change) => &change.cause,
        EventData::Stock(change) => &change.cause,
    }
}

/// The one event that tells most of a command's effect.
struct Effect<'e> {
    op: Op,
    at_ms: u64,
    what: What<'e>,
}

enum What<'e> {
    Reservation(&'e ReservationEvent),
    Stock(&'e StockEvent),
}

impl<'e> Effect<'e> {
    fn of(events: &'e [Noted<'_>]) -> Option<Effect<'e>> {
        events.iter().find_map(|noted| {
            let (op, at_ms) = (op_of(cause_of(noted))?, noted.at_ms);
            match &noted.event.data {
                EventData::Reservation(change) => Some(Effect { op, at_ms, what: What::Reservation(change) }),
                // A change of stock by a reservation's command goes with a change of the reservation.
                EventData::Stock(change) => matches!(op, Op::Put | Op::Adjust | Op::Delete)
                    .then_some(Effect { op, at_ms, what: What::Stock(change) }),
            }
        })
    }

    fn sight(&self) -> Sight<'e> {
        let name = match &self.what {
            What::Reservation(change) if self.op == Op::Reserve => &change.reservation.cart_id,
            What::Reservation(change) => &change.reservation.reservation_id,
            What::Stock(change) => {
                change.after.as_ref().or(change.before.as_ref()).map_or("", |record| &record.sku)
            }
        };
        (self.op, name)
    }

    /// Whether it is what that command would do.
    fn is_of(&self, command: &Command<'_>, model: &Model) -> bool {
        match (&self.what, &command.ask) {
            (What::Reservation(change), ask) => self.is_of_checkout(change, ask, model),
            (What::Stock(change), Ask::Put(_, put)) => {
                let after = change.after.as_ref();
                after.is_some_and(|after| {
                    after.on_hand == put.on_hand
                        && put.safety_stock.is_none_or(|units| units == after.safety_stock)
                        && put.max_per_customer.is_none_or(|limit| limit == after.max_per_customer)
                })
            }
            (What::Stock(change), Ask::Adjust(_, adjust)) => {
                let on_hand = |record: &Option<client::api::InventoryRecord>| {
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
                let held = view.state == ReservationState::Held;
                summed(&view.items) == reserve.items
                    && view.customer_id == reserve.customer_id
                    && (!held || deadline_ms == Some(self.at_ms + ttl_ms))
            }
            Ask::Commit(commit) => {
                let whole = change.items_before.is_none();
                view.payment_token == commit.payment_token
                    && commit.items.as_deref().map_or(whole, |part| summed(part) == summed(&view.items))
            }
            Ask::Extend(extend) => deadline_ms == Some(self.at_ms + model.ttl_ms(extend.ttl_seconds)),
            Ask::Release(release) => match (&release.items, &change.items_before) {
                (None, _) => view.state == ReservationState::Released,
                (Some(_), None) => true,
                (Some(part), Some(before)) => {
                    super::model::less(&summed(before), &summed(part)) == summed(&view.items)
                }
            },
            Ask::Return(_) => true,
            Ask::Put(..) | Ask::Adjust(..) | Ask::Delete(_) => false,
        }
    }
}
