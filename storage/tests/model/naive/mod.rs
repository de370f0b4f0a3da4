//! The contract in the plainest words: lists that are scanned from end to end, no index, no sum kept.
//!
//! What can be derived is derived each time it is asked for: what is held and who waits are counted among the
//! reservations, what a customer has among what was bought. A SKU's record is looked at before and after, and
//! where it differs there is a new version and an event ([`Naive::note`]). What it answers is what the inventory
//! must answer.
//!
//! | file | what |
//! | --- | --- |
//! | `mod` | time, kept answers, the order of things in one command |
//! | `hold`, `fit` | reserve, commit, release, extend, return; whether a cart fits |
//! | `line` | who waits |
//! | `stock` | put, adjust, delete; the record of a SKU |
//! | `feed`, `lists` | events; pages |

mod feed;
mod fit;
mod hold;
mod line;
mod lists;
mod range;
mod stock;

pub(crate) use feed::{is_wanted, kind_of};

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::inventory::command::{Command, Request, Stamp};
use storage::inventory::event::{Cause, Event, EventPosition, ReservationChangeKind};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{Applied, Grant, Outcome, Rejection, ReservationView, State, StockView};
use storage::inventory::{SWEEP_MAX, SWEEP_TICK_MAX};

/// The naive inventory.
#[derive(Default)]
pub(crate) struct Naive {
    now_ms: u64,
    sequence: u64,
    tokens: u64,
    /// The greatest version of a SKU that is gone.
    deleted_version: u64,
    stamp: Option<Stamp>,
    /// Served from their lines by this command.
    promoted: usize,
    skus: BTreeMap<Sku, Figures>,
    /// In the order of their making.
    reservations: Vec<Reservation>,
    /// Units bought and not returned.
    bought: BTreeMap<(Sku, Arc<str>), u64>,
    answers: BTreeMap<Box<str>, Answer>,
    /// Those kept, and how many were dropped before them.
    events: Vec<Event>,
    dropped: u64,
    last_dropped: Option<EventPosition>,
}

struct Figures {
    on_hand: u64,
    sold: u64,
    safety_stock: u64,
    max_per_customer: Option<u64>,
    /// The command that made it.
    made_by: u64,
    /// The record as the last event showed it, and the moment up to which units that came due are in it.
    noted: StockView,
    noted_ms: u64,
}

struct Reservation {
    id: ReservationId,
    /// Held also when it is due and not swept; see [`Naive::state`].
    state: State,
    cart_id: Arc<str>,
    customer_id: Option<Arc<str>>,
    items: Vec<Item>,
    returned: Vec<Item>,
    created_ms: u64,
    ttl_ms: u64,
    grant: Option<Grant>,
    committed_ms: Option<u64>,
    payment_token: Option<Arc<str>>,
    forget_ms: u64,
    extensions: u64,
}

struct Answer {
    command: Command,
    applied: Applied,
    forget_ms: u64,
}

impl Naive {
    pub(crate) fn apply(&mut self, stamp: &Stamp, request: &Request) -> Applied {
        self.now_ms = self.now_ms.max(stamp.now_ms);
        self.sequence += 1;
        self.stamp = Some(*stamp);
        self.promoted = 0;
        self.sweep(&request.command);
        self.serve_lines();
        let applied = self.answer(stamp, request);
        self.serve_lines();
        let applied = self.with_figures_at_the_end(applied);
        if let (Some(key), Ok(_), false) = (&request.idempotency_key, &applied.result, applied.replayed) {
            let forget_ms = self.now_ms + stamp.idempotency_ms;
            let answer = Answer { command: request.command.clone(), applied: applied.clone(), forget_ms };
            self.answers.insert(key.clone(), answer);
        }
        self.drop_events(stamp);
        applied
    }

    pub(crate) fn reservation(&self, id: ReservationId) -> Option<ReservationView> {
        let kept = self.reservations.iter().find(|one| one.id == id && !self.is_forgotten(one));
        kept.map(|one| self.view(one))
    }

    pub(crate) fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.skus.keys()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ReservationId> {
        self.reservations.iter().map(|one| one.id)
    }

    /// The next moment at which anything happens by itself, where nothing is due now.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let moment = |one: &Reservation| match (one.state, one.grant) {
            (State::Waiting, _) => None,
            (State::Held, Some(grant)) => Some(grant.deadline_ms),
            _ => Some(one.forget_ms),
        };
        let reservations = self.reservations.iter().filter_map(moment);
        reservations.chain(self.answers.values().map(|answer| answer.forget_ms)).min()
    }

    /// Holds that are due end, the earliest first, so many for each command; as many that ended are forgotten.
    fn sweep(&mut self, command: &Command) {
        let most = if matches!(command, Command::Tick) { SWEEP_TICK_MAX } else { SWEEP_MAX };
        for _ in 0..most {
            let due = self.reservations.iter().filter(|one| self.is_due(one));
            let first = due.min_by_key(|one| one.grant.map(|grant| (grant.deadline_ms, grant.fencing_token)));
            match first.map(|one| one.id) {
                Some(id) => self.expire(id),
                None => break,
            }
        }
        for _ in 0..most {
            let ended = |one: &&Reservation| one.state != State::Held && self.is_forgotten(one);
            let forgotten = self.reservations.iter().filter(ended);
            match forgotten.map(|one| (one.forget_ms, one.id)).min() {
                Some((_, id)) => self.reservations.retain(|one| one.id != id),
                None => break,
            }
        }
        self.answers.retain(|_, answer| answer.forget_ms > self.now_ms);
    }

    fn expire(&mut self, id: ReservationId) {
        for item in self.one(id).items.clone() {
            self.settle(&item.sku);
        }
        let before = self.one(id).state;
        self.one_mut(id).state = State::Expired;
        self.tell(id, ReservationChangeKind::Expired, Some(before), Cause::Time);
    }

    fn answer(&mut self, stamp: &Stamp, request: &Request) -> Applied {
        let refused =
            |naive: &Naive, why| Applied { sequence: naive.sequence, replayed: false, result: Err(why) };
        if let Some(field) = range::out_of_range(&request.command) {
            return refused(self, Rejection::Invalid { field: field.into() });
        }
        if let Some(answer) = request.idempotency_key.as_ref().and_then(|key| self.answers.get(key)) {
            return match without_nonce(&answer.command) == without_nonce(&request.command) {
                true => Applied { replayed: true, ..answer.applied.clone() },
                false => refused(self, Rejection::IdempotencyKeyReused),
            };
        }
        self.settle_what_it_names(&request.command);
        self.serve_lines();
        let result = self.execute(stamp, &request.command);
        Applied { sequence: self.sequence, replayed: false, result }
    }

    fn settle_what_it_names(&mut self, command: &Command) {
        match command {
            Command::Tick | Command::RaiseLevel(_) => {}
            Command::Reserve(reserve) => {
                let of_cart = |one: &&Reservation| one.cart_id == reserve.cart_id && self.is_due(one);
                if let Some(id) = self.reservations.iter().find(of_cart).map(|one| one.id) {
                    self.expire(id);
                }
                reserve.items.iter().for_each(|item| self.settle(&item.sku));
            }
            Command::Commit(commit) => self.settle_reservation(commit.reservation_id),
            Command::Release(release) => self.settle_reservation(release.reservation_id),
            Command::Extend(extend) => self.settle_reservation(extend.reservation_id),
            Command::Return(back) => self.settle_reservation(back.reservation_id),
            Command::PutSku(put) => self.settle(&put.sku),
            Command::AdjustSku(adjust) => self.settle(&adjust.sku),
            Command::DeleteSku(delete) => self.settle(&delete.sku),
            #[cfg(feature = "next-version")]
            Command::KeepBack(sku) => self.settle(sku),
        }
    }

    /// Also one that is to be forgotten and is not gone yet: no answer shows it, but its end is an event.
    fn settle_reservation(&mut self, id: ReservationId) {
        let Some(one) = self.reservations.iter().find(|one| one.id == id) else { return };
        let due = self.is_due(one);
        one.items.clone().iter().for_each(|item| self.settle(&item.sku));
        if due {
            self.expire(id);
        }
    }

    fn execute(&mut self, stamp: &Stamp, command: &Command) -> Result<Outcome, Rejection> {
        match command {
            Command::Tick | Command::RaiseLevel(_) => Ok(Outcome::Ticked),
            Command::Reserve(reserve) => self.reserve(stamp, reserve),
            Command::Commit(commit) => self.commit(stamp, commit),
            Command::Release(release) => self.release(stamp, release),
            Command::Extend(extend) => self.extend(stamp, extend),
            Command::Return(back) => self.take_back(back),
            Command::PutSku(put) => self.put(stamp, put),
            Command::AdjustSku(adjust) => self.adjust(stamp, adjust),
            Command::DeleteSku(delete) => self.delete(delete),
            #[cfg(feature = "next-version")]
            Command::KeepBack(_) => panic!("no random command is of the next version"),
        }
    }

    /// An answer shows a SKU as it is when the command is over, its line served.
    fn with_figures_at_the_end(&self, applied: Applied) -> Applied {
        let result = match applied.result {
            Ok(Outcome::SkuCreated(view)) if !applied.replayed => {
                Ok(Outcome::SkuCreated(self.stock(&view.sku).unwrap()))
            }
            Ok(Outcome::SkuSet(view)) if !applied.replayed => {
                Ok(Outcome::SkuSet(self.stock(&view.sku).unwrap()))
            }
            other => other,
        };
        Applied { result, ..applied }
    }

    /// A reservation's state: due is due.
    fn state(&self, one: &Reservation) -> State {
        if self.is_due(one) { State::Expired } else { one.state }
    }

    fn is_due(&self, one: &Reservation) -> bool {
        one.state == State::Held && one.grant.unwrap().deadline_ms <= self.now_ms
    }

    fn is_forgotten(&self, one: &Reservation) -> bool {
        one.state != State::Waiting && one.forget_ms <= self.now_ms
    }

    fn view(&self, one: &Reservation) -> ReservationView {
        ReservationView {
            id: one.id,
            state: self.state(one),
            cart_id: one.cart_id.clone(),
            customer_id: one.customer_id.clone(),
            items: one.items.clone(),
            returned: one.returned.clone(),
            created_ms: one.created_ms,
            grant: one.grant,
            position: self.position(one),
            committed_ms: one.committed_ms,
            payment_token: one.payment_token.clone(),
            now_ms: self.now_ms,
        }
    }

    fn known(&self, id: ReservationId) -> Result<ReservationView, Rejection> {
        self.reservation(id).ok_or(Rejection::ReservationNotFound)
    }

    fn one(&self, id: ReservationId) -> &Reservation {
        self.reservations.iter().find(|one| one.id == id).unwrap()
    }

    fn one_mut(&mut self, id: ReservationId) -> &mut Reservation {
        self.reservations.iter_mut().find(|one| one.id == id).unwrap()
    }
}

fn without_nonce(command: &Command) -> Command {
    let mut command = command.clone();
    if let Command::Reserve(reserve) = &mut command {
        reserve.nonce = 0;
    }
    command
}

/// Units of a SKU among items.
fn units(items: &[Item], sku: &Sku) -> u64 {
    items.iter().filter(|item| item.sku == *sku).map(|item| item.qty).sum()
}

/// Items less other items; none is left of which there are 0 units.
fn less(items: &[Item], taken: &[Item]) -> Vec<Item> {
    let left = items.iter().map(|item| Item { qty: item.qty - units(taken, &item.sku), ..item.clone() });
    left.filter(|item| item.qty > 0).collect()
}

/// Items and other items.
fn plus(items: &[Item], more: &[Item]) -> Vec<Item> {
    let mut sums = BTreeMap::<Sku, u64>::new();
    for item in items.iter().chain(more) {
        *sums.entry(item.sku.clone()).or_default() += item.qty;
    }
    sums.into_iter().map(|(sku, qty)| Item { sku, qty }).collect()
}

/// Whether these items are a part of those.
fn is_part(part: &[Item], of: &[Item]) -> bool {
    part.iter().all(|item| item.qty <= units(of, &item.sku))
}
