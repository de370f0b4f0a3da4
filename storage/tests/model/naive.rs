//! The contract in the plainest words: lists that are scanned from end to end, no index, no sum kept, no sweep.
//!
//! When time moves, every hold that is due ends at once and everything that is to be forgotten goes. What it
//! answers is what the inventory must answer.

use std::collections::{BTreeMap, BTreeSet};

use storage::inventory::command::{Command, Commit, Extend, IfExpired, PutSku, Request, Reserve, Stamp};
use storage::inventory::ids::{Item, ReservationId, Sku, UNITS_MAX};
use storage::inventory::outcome::{
    Applied, Grant, Outcome, Rejection, ReservationView, Shortage, State, StockView,
};

#[derive(Default)]
struct Figures {
    on_hand: u64,
    sold: u64,
    safety_stock: u64,
    /// Changes made by commands.
    changes: u64,
    /// The moments at which units lapsed: each is one change.
    lapses: BTreeSet<u64>,
}

struct Hold {
    view: ReservationView,
    forget_ms: u64,
}

struct Answer {
    command: Command,
    applied: Applied,
    forget_ms: u64,
}

/// The naive inventory.
#[derive(Default)]
pub(crate) struct Naive {
    now_ms: u64,
    sequence: u64,
    tokens: u64,
    skus: BTreeMap<Sku, Figures>,
    holds: Vec<Hold>,
    answers: BTreeMap<Box<str>, Answer>,
}

impl Naive {
    pub(crate) fn apply(&mut self, stamp: &Stamp, request: &Request) -> Applied {
        self.pass_time(stamp);
        self.sequence += 1;
        if let Some(answer) = request.idempotency_key.as_ref().and_then(|key| self.answers.get(key)) {
            return match without_nonce(&answer.command) == without_nonce(&request.command) {
                true => Applied { replayed: true, ..answer.applied.clone() },
                false => self.applied(Err(Rejection::IdempotencyKeyReused)),
            };
        }
        let result = self.execute(stamp, &request.command);
        let applied = self.applied(result);
        if let (Some(key), Ok(_)) = (&request.idempotency_key, &applied.result) {
            let forget_ms = self.now_ms + stamp.idempotency_ms;
            let answer = Answer { command: request.command.clone(), applied: applied.clone(), forget_ms };
            self.answers.insert(key.clone(), answer);
        }
        applied
    }

    pub(crate) fn stock(&self, sku: &Sku) -> Option<StockView> {
        let figures = self.skus.get(sku)?;
        Some(StockView {
            sku: sku.clone(),
            on_hand: figures.on_hand,
            held: self.holds_of(sku).iter().map(|(_, qty)| qty).sum(),
            sold: figures.sold,
            safety_stock: figures.safety_stock,
            version: figures.changes + figures.lapses.len() as u64,
            max_per_customer: None,
            waiting: 0,
        })
    }

    pub(crate) fn reservation(&self, id: ReservationId) -> Option<ReservationView> {
        let hold = self.holds.iter().find(|hold| hold.view.id == id)?;
        Some(ReservationView { now_ms: self.now_ms, ..hold.view.clone() })
    }

    pub(crate) fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.skus.keys()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ReservationId> {
        self.holds.iter().map(|hold| hold.view.id)
    }

    /// The next moment at which anything happens by itself.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let holds = self.holds.iter().map(|hold| match hold.view.state {
            State::Held => hold.view.grant.unwrap().deadline_ms,
            _ => hold.forget_ms,
        });
        holds.chain(self.answers.values().map(|answer| answer.forget_ms)).min()
    }

    fn pass_time(&mut self, stamp: &Stamp) {
        self.now_ms = self.now_ms.max(stamp.now_ms);
        for hold in &mut self.holds {
            if hold.view.state == State::Held && hold.view.grant.unwrap().deadline_ms <= self.now_ms {
                hold.view.state = State::Expired;
                for item in &hold.view.items {
                    self.skus.get_mut(&item.sku).unwrap().lapses.insert(hold.view.grant.unwrap().deadline_ms);
                }
            }
        }
        self.holds.retain(|hold| hold.forget_ms > self.now_ms);
        self.answers.retain(|_, answer| answer.forget_ms > self.now_ms);
    }

    fn execute(&mut self, stamp: &Stamp, command: &Command) -> Result<Outcome, Rejection> {
        match command {
            Command::Tick => Ok(Outcome::Ticked),
            Command::Reserve(reserve) => self.reserve(stamp, reserve),
            Command::Commit(commit) => self.commit(stamp, commit),
            Command::Release(release) => self.release(stamp, release.reservation_id),
            Command::Extend(extend) => self.extend(stamp, extend),
            Command::Return(back) => self.take_back(back.reservation_id),
            Command::PutSku(put) => self.put(put),
            Command::AdjustSku(adjust) => self.adjust(&adjust.sku, adjust.delta),
            Command::DeleteSku(_) => Err(Rejection::Invalid { field: "op".into() }),
        }
    }

    fn reserve(&mut self, stamp: &Stamp, reserve: &Reserve) -> Result<Outcome, Rejection> {
        let live = |hold: &&Hold| hold.view.state == State::Held && hold.view.cart_id == reserve.cart_id;
        if let Some(hold) = self.holds.iter().find(live) {
            let view = self.reservation(hold.view.id).unwrap();
            return match view.items == reserve.items {
                true => Ok(Outcome::AlreadyReserved(view)),
                false => Err(Rejection::CartAlreadyReserved { reservation_id: view.id }),
            };
        }
        self.why_not(&reserve.items)?;
        self.tokens += 1;
        let deadline_ms = self.now_ms + reserve.ttl_ms;
        let view = ReservationView {
            id: ReservationId { sequence: self.sequence, nonce: reserve.nonce },
            state: State::Held,
            cart_id: reserve.cart_id.clone(),
            customer_id: reserve.customer_id.clone(),
            items: reserve.items.clone(),
            returned: Vec::new(),
            created_ms: self.now_ms,
            grant: Some(Grant { fencing_token: self.tokens, granted_ms: self.now_ms, deadline_ms }),
            position: None,
            committed_ms: None,
            payment_token: None,
            now_ms: self.now_ms,
        };
        self.each_sku(&view.items, |_, _| {});
        self.holds.push(Hold { view: view.clone(), forget_ms: deadline_ms + stamp.retention_ms });
        Ok(Outcome::Reserved(view))
    }

    fn why_not(&self, items: &[Item]) -> Result<(), Rejection> {
        if let Some(item) = items.iter().find(|item| !self.skus.contains_key(&item.sku)) {
            return Err(Rejection::SkuNotFound { sku: item.sku.clone() });
        }
        let short = |item: &&Item| self.stock(&item.sku).unwrap().available() < item.qty;
        let short: Vec<&Item> = items.iter().filter(short).collect();
        if short.is_empty() {
            return Ok(());
        }
        let shortages = short.iter().map(|item| self.shortage(item)).collect();
        match short.iter().map(|item| self.fits_at_ms(item)).collect::<Option<Vec<u64>>>() {
            None => Err(Rejection::InsufficientStock { shortages }),
            Some(moments) => Err(Rejection::HeldByOthers {
                shortages,
                earliest_ms: moments.into_iter().max().unwrap(),
                now_ms: self.now_ms,
            }),
        }
    }

    fn shortage(&self, item: &Item) -> Shortage {
        let stock = self.stock(&item.sku).unwrap();
        Shortage {
            sku: item.sku.clone(),
            requested: item.qty,
            available: stock.available(),
            held: stock.held,
            sold_out: stock.on_hand <= stock.safety_stock,
        }
    }

    /// When so many holds have lapsed that the item fits; `None`: not even when all have.
    fn fits_at_ms(&self, item: &Item) -> Option<u64> {
        let mut stock = self.stock(&item.sku).unwrap();
        let mut holds = self.holds_of(&item.sku);
        holds.sort();
        for (deadline_ms, qty) in holds {
            stock.held -= qty;
            if stock.available() >= item.qty {
                return Some(deadline_ms);
            }
        }
        None
    }

    fn commit(&mut self, stamp: &Stamp, commit: &Commit) -> Result<Outcome, Rejection> {
        let view = self.known(commit.reservation_id)?;
        if commit.fencing_token.is_some_and(|token| token != view.grant.unwrap().fencing_token) {
            return Err(Rejection::FencingTokenStale { current: view.grant.unwrap().fencing_token });
        }
        let available = |item: &Item| self.stock(&item.sku).unwrap().available() >= item.qty;
        match view.state {
            State::Committed if view.payment_token == commit.payment_token => {
                return Ok(Outcome::Committed(view));
            }
            State::Committed => return Err(Rejection::AlreadyCommitted),
            State::Waiting => return Err(Rejection::ReservationWaiting),
            State::Released | State::Revoked => return Err(Rejection::ReservationReleased),
            State::Expired if commit.if_expired == IfExpired::Fail => {
                return Err(Rejection::ReservationExpired);
            }
            State::Expired if !view.items.iter().all(available) => return Err(Rejection::ReservationExpired),
            State::Expired | State::Held => {}
        }
        let now_ms = self.now_ms;
        self.each_sku(&view.items, |figures, qty| {
            figures.on_hand -= qty;
            figures.sold += qty;
        });
        let hold = self.hold(view.id);
        hold.view.state = State::Committed;
        hold.view.committed_ms = Some(now_ms);
        hold.view.payment_token = commit.payment_token.clone();
        hold.forget_ms = now_ms + stamp.retention_ms;
        Ok(Outcome::Committed(self.known(view.id)?))
    }

    fn release(&mut self, stamp: &Stamp, id: ReservationId) -> Result<Outcome, Rejection> {
        let view = self.known(id)?;
        match view.state {
            State::Committed => return Err(Rejection::AlreadyCommitted),
            State::Released | State::Expired | State::Revoked | State::Waiting => {
                return Ok(Outcome::Released(view));
            }
            State::Held => {}
        }
        let forget_ms = self.now_ms + stamp.retention_ms;
        self.each_sku(&view.items, |_, _| {});
        self.hold(id).view.state = State::Released;
        self.hold(id).forget_ms = forget_ms;
        Ok(Outcome::Released(self.known(id)?))
    }

    fn extend(&mut self, stamp: &Stamp, extend: &Extend) -> Result<Outcome, Rejection> {
        let view = self.known(extend.reservation_id)?;
        match view.state {
            State::Committed => return Err(Rejection::AlreadyCommitted),
            State::Waiting => return Err(Rejection::ReservationWaiting),
            State::Released | State::Revoked => return Err(Rejection::ReservationReleased),
            State::Expired => return Err(Rejection::ReservationExpired),
            State::Held => {}
        }
        let latest_deadline_ms = view.created_ms + stamp.max_hold_ms;
        let deadline_ms = view.grant.unwrap().deadline_ms.max(self.now_ms + extend.ttl_ms);
        if deadline_ms > view.grant.unwrap().deadline_ms && deadline_ms > latest_deadline_ms {
            return Err(Rejection::HoldLimit { latest_deadline_ms });
        }
        if deadline_ms > view.grant.unwrap().deadline_ms {
            self.hold(view.id).view.grant.as_mut().unwrap().deadline_ms = deadline_ms;
            self.hold(view.id).forget_ms = deadline_ms + stamp.retention_ms;
        }
        Ok(Outcome::Extended(self.known(view.id)?))
    }

    fn take_back(&mut self, id: ReservationId) -> Result<Outcome, Rejection> {
        let view = self.known(id)?;
        if view.state != State::Committed {
            return Err(Rejection::NotCommitted);
        }
        if !view.returned.is_empty() {
            return Err(Rejection::ReturnExceedsSale);
        }
        self.each_sku(&view.items, |figures, qty| {
            figures.on_hand += qty;
            figures.sold -= qty;
        });
        self.hold(id).view.returned = view.items;
        Ok(Outcome::Returned(self.known(id)?))
    }

    fn put(&mut self, put: &PutSku) -> Result<Outcome, Rejection> {
        let known = self.stock(&put.sku);
        if let Some(stock) = known.clone().filter(|stock| put.on_hand < stock.held) {
            return Err(Rejection::StockBelowHeld { stock });
        }
        if put.on_hand > UNITS_MAX {
            return Err(Rejection::StockAboveMax);
        }
        let figures = self.skus.entry(put.sku.clone()).or_default();
        let safety_stock = put.safety_stock.unwrap_or(figures.safety_stock);
        let same = (figures.on_hand, figures.safety_stock) == (put.on_hand, safety_stock);
        figures.changes += u64::from(known.is_none() || !same);
        (figures.on_hand, figures.safety_stock) = (put.on_hand, safety_stock);
        let outcome = if known.is_none() { Outcome::SkuCreated } else { Outcome::SkuSet };
        Ok(outcome(self.stock(&put.sku).unwrap()))
    }

    fn adjust(&mut self, sku: &Sku, delta: i64) -> Result<Outcome, Rejection> {
        let stock = self.stock(sku).ok_or(Rejection::SkuNotFound { sku: sku.clone() })?;
        let on_hand = i128::from(stock.on_hand) + i128::from(delta);
        if on_hand < i128::from(stock.held) {
            return Err(Rejection::StockBelowHeld { stock });
        }
        if on_hand > i128::from(UNITS_MAX) {
            return Err(Rejection::StockAboveMax);
        }
        let figures = self.skus.get_mut(sku).unwrap();
        figures.on_hand = on_hand as u64;
        figures.changes += 1;
        Ok(Outcome::SkuSet(self.stock(sku).unwrap()))
    }

    /// Deadline and units of every live hold on a SKU.
    fn holds_of(&self, sku: &Sku) -> Vec<(u64, u64)> {
        let live = self.holds.iter().filter(|hold| hold.view.state == State::Held);
        live.flat_map(|hold| hold.view.items.iter().map(|item| (hold.view.grant.unwrap().deadline_ms, item)))
            .filter(|(_, item)| item.sku == *sku)
            .map(|(deadline_ms, item)| (deadline_ms, item.qty))
            .collect()
    }

    fn each_sku(&mut self, items: &[Item], act: impl Fn(&mut Figures, u64)) {
        for item in items {
            let figures = self.skus.get_mut(&item.sku).unwrap();
            figures.changes += 1;
            act(figures, item.qty);
        }
    }

    fn known(&self, id: ReservationId) -> Result<ReservationView, Rejection> {
        self.reservation(id).ok_or(Rejection::ReservationNotFound)
    }

    fn hold(&mut self, id: ReservationId) -> &mut Hold {
        self.holds.iter_mut().find(|hold| hold.view.id == id).unwrap()
    }

    fn applied(&self, result: Result<Outcome, Rejection>) -> Applied {
        Applied { sequence: self.sequence, replayed: false, result }
    }
}

fn without_nonce(command: &Command) -> Command {
    match command {
        Command::Reserve(reserve) => Command::Reserve(Reserve { nonce: 0, ..reserve.clone() }),
        other => other.clone(),
    }
}
