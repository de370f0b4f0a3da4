//! A tiny server of the contract: everything in lists, one command at a time, so that a good history can be made.

use std::collections::{BTreeMap, HashMap};

use client::api::{
    Event, EventData, Executed, IfExpired, InventoryRecord, Item, OnShortfall, Problem, Reservation,
    ReservationEvent, ReservationState as State, Shortage, StockEvent,
};
use client::code;

use super::ask::Ask;

#[derive(Clone, Default)]
pub(crate) struct Shop {
    pub(crate) sequence: u64,
    pub(crate) now_ms: u64,
    token: u64,
    gone_version: u64,
    pub(crate) stock: BTreeMap<String, InventoryRecord>,
    pub(crate) reservations: Vec<Hold>,
    pub(crate) events: Vec<Event>,
    kept: HashMap<String, Done>,
    bought: HashMap<(String, String), u64>,
}

#[derive(Clone)]
pub(crate) struct Hold {
    view: Reservation,
    deadline_ms: u64,
    granted_ms: u64,
    ttl_ms: u64,
}

/// What a command was answered.
#[derive(Clone)]
pub(crate) struct Done {
    pub(crate) status: u16,
    pub(crate) sequence: u64,
    pub(crate) replayed: bool,
    pub(crate) body: serde_json::Value,
}

type Answer = Result<(u16, serde_json::Value), Problem>;

pub(crate) fn time(ms: u64) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap().to_string()
}

fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

fn refused(status: u16, code: &'static str) -> Problem {
    Problem {
        kind: "about:blank".into(),
        title: code.into(),
        status,
        detail: code.into(),
        code: code.into(),
        retryable: false,
        executed: Executed::No,
        field: None,
        shortages: vec![],
        extra: serde_json::Map::new(),
    }
}

fn units(items: &[Item], sku: &str) -> u64 {
    items.iter().filter(|item| item.sku == sku).map(|item| item.qty).sum()
}

fn less(items: &[Item], taken: &[Item]) -> Vec<Item> {
    let left = items.iter().map(|item| Item::new(&item.sku, item.qty - units(taken, &item.sku)));
    left.filter(|item| item.qty > 0).collect()
}

impl Shop {
    /// The same clock and counters, and nothing else.
    pub(crate) fn anew(&self) -> Shop {
        let Shop { sequence, now_ms, token, gone_version, .. } = *self;
        Shop { sequence, now_ms, token, gone_version, ..Shop::default() }
    }

    /// The same without its feed, which is long.
    pub(crate) fn without_events(&mut self) -> Shop {
        let events = std::mem::take(&mut self.events);
        let copy = self.clone();
        self.events = events;
        copy
    }

    /// A command at a moment; what is refused may be refused without one.
    pub(crate) fn command(&mut self, at_ms: u64, key: Option<&str>, ask: &Ask, logged: bool) -> Done {
        if !logged {
            let mut copy = self.without_events();
            copy.sequence += 1;
            if let (None, Err(problem)) = (key.and_then(|key| self.kept.get(key)), copy.execute(ask)) {
                let (status, sequence) = (problem.status, self.sequence);
                return Done { status, sequence, replayed: false, body: json(&problem) };
            }
        }
        self.tick(at_ms);
        if let Some(done) = key.and_then(|key| self.kept.get(key)) {
            return Done { replayed: true, ..done.clone() };
        }
        let result = self.execute(ask);
        self.serve();
        let (status, mut body) = match result {
            Ok(done) => done,
            Err(problem) => {
                return Done {
                    status: problem.status,
                    sequence: self.sequence,
                    replayed: false,
                    body: json(&problem),
                };
            }
        };
        if let Some(sku) = body.get("sku").and_then(|sku| sku.as_str()).and_then(|sku| self.stock.get(sku)) {
            body = json(sku);
        }
        let done = Done { status, sequence: self.sequence, replayed: false, body };
        if let Some(key) = key {
            self.kept.insert(key.to_owned(), done.clone());
        }
        done
    }

    /// One more sequence, and all that is due by then.
    pub(crate) fn tick(&mut self, at_ms: u64) {
        self.sequence += 1;
        self.now_ms = self.now_ms.max(at_ms);
        self.sweep();
        self.serve();
    }

    fn sweep(&mut self) {
        let now_ms = self.now_ms;
        let due = |hold: &Hold| hold.view.state == State::Held && hold.deadline_ms <= now_ms;
        while let Some(place) =
            (0..self.reservations.len()).filter(|&place| due(&self.reservations[place])).min_by_key(
                |&place| (self.reservations[place].deadline_ms, self.reservations[place].view.fencing_token),
            )
        {
            self.end(place, State::Expired, "time");
        }
    }

    fn end(&mut self, place: usize, to: State, cause: &str) {
        let before = self.reservations[place].view.clone();
        let view = &mut self.reservations[place].view;
        view.state = to;
        view.expires_in = view.expires_in.map(|_| 0);
        view.position = None;
        for item in before.items.clone() {
            self.change(&item.sku, cause, |record| match before.state {
                State::Waiting => record.waiting -= 1,
                _ => record.held -= item.qty,
            });
        }
        self.tell(place, Some(before.state), None, cause);
    }

    fn serve(&mut self) {
        let skus: Vec<String> = self.stock.keys().cloned().collect();
        for sku in skus {
            while let Some(place) = self
                .head(&sku)
                .filter(|&place| self.stock[&sku].available >= self.reservations[place].view.items[0].qty)
            {
                let item = self.reservations[place].view.items[0].clone();
                let customer = self.reservations[place].view.customer_id.clone();
                if self.over_limit(customer.as_deref(), &item) {
                    self.end(place, State::Released, "line");
                    continue;
                }
                self.grant(place);
                self.change(&sku, "line", |record| {
                    record.waiting -= 1;
                    record.held += item.qty;
                });
                self.tell(place, Some(State::Waiting), None, "line");
            }
        }
    }

    fn waiting(&self, sku: &str) -> Vec<usize> {
        let waits = |place: &usize| {
            let view = &self.reservations[*place].view;
            view.state == State::Waiting && view.items[0].sku == sku
        };
        (0..self.reservations.len()).filter(waits).collect()
    }

    fn head(&self, sku: &str) -> Option<usize> {
        self.waiting(sku).first().copied()
    }

    fn grant(&mut self, place: usize) {
        self.token += 1;
        let (token, now_ms) = (self.token, self.now_ms);
        let hold = &mut self.reservations[place];
        (hold.granted_ms, hold.deadline_ms) = (now_ms, now_ms + hold.ttl_ms);
        hold.view.state = State::Held;
        hold.view.fencing_token = Some(token);
        hold.view.expires_at = Some(time(hold.deadline_ms));
        hold.view.expires_in = Some(hold.ttl_ms / 1_000);
        hold.view.position = None;
    }

    fn change(&mut self, sku: &str, cause: &str, change: impl FnOnce(&mut InventoryRecord)) {
        self.change_because(sku, cause, (None, None), change);
    }

    fn change_because(
        &mut self,
        sku: &str,
        cause: &str,
        (reason, reference): (Option<String>, Option<String>),
        change: impl FnOnce(&mut InventoryRecord),
    ) {
        let Some(record) = self.stock.get_mut(sku) else { return };
        let before = record.clone();
        change(record);
        record.available = record.on_hand.saturating_sub(record.held).saturating_sub(record.safety_stock);
        if *record != before {
            record.version += 1;
            let after = Some(record.clone());
            let change = StockEvent { cause: cause.into(), before: Some(before), after, reason, reference };
            self.push("stock.changed", sku.to_owned(), EventData::Stock(change));
        }
    }

    fn tell(&mut self, place: usize, before: Option<State>, items_before: Option<Vec<Item>>, cause: &str) {
        let view = self.view(place);
        let id = view.reservation_id.clone();
        let change = ReservationEvent {
            cause: cause.into(),
            state_before: before,
            items_before: items_before.filter(|items| *items != view.items),
            reservation: view,
        };
        self.push("reservation.changed", id, EventData::Reservation(change));
    }

    fn push(&mut self, kind: &str, subject: String, data: EventData) {
        let sequence = self.sequence.to_string();
        let same = self.events.iter().rev().take_while(|event| event.sequence == sequence).count();
        self.events.push(Event {
            specversion: "1.0".into(),
            id: format!("{sequence}.{same}"),
            source: "/clusters/test".into(),
            kind: format!("lastunit.{kind}"),
            subject,
            time: time(self.now_ms),
            datacontenttype: "application/json".into(),
            sequence,
            data,
        });
    }

    /// A reservation as it is now.
    pub(crate) fn view(&self, place: usize) -> Reservation {
        let hold = &self.reservations[place];
        let mut view = hold.view.clone();
        if view.state == State::Held {
            view.expires_in = Some(hold.deadline_ms.saturating_sub(self.now_ms) / 1_000);
        }
        if view.state == State::Waiting {
            let line = self.waiting(&view.items[0].sku);
            view.position = line.iter().position(|&other| other == place).map(|at| at as u64 + 1);
        }
        view
    }

    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.reservations.iter().position(|hold| hold.view.reservation_id == id)
    }

    /// The reservation that a cart has or had.
    pub(crate) fn find_cart(&self, cart_id: &str) -> Option<String> {
        let of_cart = self.reservations.iter().find(|hold| hold.view.cart_id == cart_id);
        of_cart.map(|hold| hold.view.reservation_id.clone())
    }

    fn over_limit(&self, customer: Option<&str>, item: &Item) -> bool {
        let (Some(customer), Some(limit)) = (customer, self.stock[&item.sku].max_per_customer) else {
            return false;
        };
        let mine = self.reservations.iter().map(|hold| &hold.view).filter(|view| view.state == State::Held);
        let held: u64 = mine
            .filter(|view| view.customer_id.as_deref() == Some(customer))
            .map(|view| units(&view.items, &item.sku))
            .sum();
        let bought = self.bought.get(&(item.sku.clone(), customer.to_owned())).copied().unwrap_or(0);
        held + bought + item.qty > limit
    }

    fn why_not(&self, customer: Option<&str>, items: &[Item]) -> Result<(), Problem> {
        if items.iter().any(|item| !self.stock.contains_key(&item.sku)) {
            return Err(refused(404, code::SKU_NOT_FOUND));
        }
        if items.iter().any(|item| self.over_limit(customer, item)) {
            return Err(refused(409, code::CUSTOMER_LIMIT));
        }
        let short = |item: &&Item| {
            let record = &self.stock[&item.sku];
            record.available < item.qty || record.waiting > 0
        };
        let shortage = |item: &Item| {
            let InventoryRecord { available, held, on_hand, safety_stock, .. } = self.stock[&item.sku];
            let sold_out = on_hand <= safety_stock;
            Shortage { sku: item.sku.clone(), requested: item.qty, available, held, sold_out }
        };
        let hopeless = |item: &Item| {
            let record = &self.stock[&item.sku];
            record.on_hand.saturating_sub(record.safety_stock) < item.qty
        };
        let shortages: Vec<Shortage> = items.iter().filter(short).map(shortage).collect();
        if shortages.is_empty() {
            return Ok(());
        }
        let hopeless = items.iter().filter(short).any(hopeless);
        let code = if hopeless { code::INSUFFICIENT_STOCK } else { code::HELD_BY_OTHERS };
        Err(Problem { shortages, ..refused(409, code) })
    }

    fn execute(&mut self, ask: &Ask) -> Answer {
        match ask {
            Ask::Reserve(reserve) => self.reserve(reserve),
            Ask::Commit(commit) => self.commit(commit),
            Ask::Release(release) => self.release(release),
            Ask::Extend(extend) => self.extend(extend),
            Ask::Return(back) => self.take_back(back),
            Ask::Put(sku, put) => self.put(sku, put),
            Ask::Adjust(sku, adjust) => self.adjust(sku, adjust),
            Ask::Delete(sku) => self.delete(sku),
        }
    }

    fn reserve(&mut self, reserve: &client::api::ReserveRequest) -> Answer {
        let live = |hold: &Hold| {
            hold.view.cart_id == reserve.cart_id && matches!(hold.view.state, State::Held | State::Waiting)
        };
        if let Some(place) = self.reservations.iter().position(live) {
            let status = if self.reservations[place].view.state == State::Held { 200 } else { 202 };
            let same = self.reservations[place].view.items == reserve.items;
            let same = same.then(|| (status, json(&self.view(place))));
            return same.ok_or_else(|| refused(409, code::CART_ALREADY_RESERVED));
        }
        let why = self.why_not(reserve.customer_id.as_deref(), &reserve.items).err();
        let waits = reserve.wait == Some(true)
            && why.as_ref().is_some_and(|why| why.code != code::SKU_NOT_FOUND)
            && self.why_not(None, &reserve.items).is_err();
        match why {
            Some(why) if !waits => return Err(why),
            _ => {}
        }
        let place = self.make(reserve);
        for item in &reserve.items {
            self.change(&item.sku, "reserve", |record| {
                if waits { record.waiting += 1 } else { record.held += item.qty }
            });
        }
        if !waits {
            self.grant(place);
        }
        self.tell(place, None, None, "reserve");
        Ok((if waits { 202 } else { 201 }, json(&self.view(place))))
    }

    fn make(&mut self, reserve: &client::api::ReserveRequest) -> usize {
        let view = Reservation {
            reservation_id: format!("res_{}", self.sequence),
            state: State::Waiting,
            cart_id: reserve.cart_id.clone(),
            customer_id: reserve.customer_id.clone(),
            items: reserve.items.clone(),
            expires_in: None,
            expires_at: None,
            created_at: time(self.now_ms),
            fencing_token: None,
            position: None,
            committed_at: None,
            payment_token: None,
            returned: vec![],
        };
        let ttl_ms = reserve.ttl_seconds.unwrap_or(300) * 1_000;
        self.reservations.push(Hold { view, deadline_ms: 0, granted_ms: 0, ttl_ms });
        self.reservations.len() - 1
    }

    fn known(&self, id: &str) -> Result<(usize, Reservation), Problem> {
        let place = self.find(id).ok_or_else(|| refused(404, code::RESERVATION_NOT_FOUND))?;
        Ok((place, self.reservations[place].view.clone()))
    }

    fn commit(&mut self, commit: &client::api::CommitRequest) -> Answer {
        let (place, view) = self.known(&commit.reservation_id)?;
        if commit.fencing_token.is_some()
            && view.fencing_token.is_some()
            && commit.fencing_token != view.fencing_token
        {
            return Err(refused(412, code::FENCING_TOKEN_STALE));
        }
        let part = commit.items.clone().unwrap_or(view.items.clone());
        match view.state {
            State::Committed if view.payment_token == commit.payment_token => {
                return Ok((200, json(&self.view(place))));
            }
            State::Committed => return Err(refused(409, code::ALREADY_COMMITTED)),
            State::Waiting => return Err(refused(409, code::RESERVATION_WAITING)),
            State::Held => {}
            State::Expired if commit.if_expired == Some(IfExpired::Reacquire) => {
                let free = self.why_not(view.customer_id.as_deref(), &part);
                free.map_err(|_| refused(410, code::RESERVATION_EXPIRED))?;
            }
            State::Expired => return Err(refused(410, code::RESERVATION_EXPIRED)),
            _ => return Err(refused(409, code::RESERVATION_RELEASED)),
        }
        let now = time(self.now_ms);
        let hold = &mut self.reservations[place].view;
        (hold.state, hold.items, hold.committed_at) = (State::Committed, part.clone(), Some(now));
        (hold.payment_token, hold.expires_in) = (commit.payment_token.clone(), Some(0));
        for item in &view.items {
            let sold = units(&part, &item.sku);
            self.change(&item.sku, "commit", |record| {
                record.held -= if view.state == State::Held { item.qty } else { 0 };
                record.on_hand -= sold;
                record.sold += sold;
            });
            if let Some(customer) = &view.customer_id {
                *self.bought.entry((item.sku.clone(), customer.clone())).or_default() += sold;
            }
        }
        self.tell(place, Some(view.state), Some(view.items), "commit");
        Ok((200, json(&self.view(place))))
    }

    fn release(&mut self, release: &client::api::ReleaseRequest) -> Answer {
        let (place, view) = self.known(&release.reservation_id)?;
        match view.state {
            State::Committed => return Err(refused(409, code::ALREADY_COMMITTED)),
            State::Held | State::Waiting => {}
            _ => return Ok((200, json(&self.view(place)))),
        }
        let part = release.items.clone().unwrap_or(view.items.clone());
        let rest = less(&view.items, &part);
        if rest.is_empty() {
            self.end(place, State::Released, "release");
            return Ok((200, json(&self.view(place))));
        }
        if view.state == State::Waiting {
            return Err(refused(400, code::INVALID_REQUEST));
        }
        self.reservations[place].view.items = rest;
        for item in &part {
            self.change(&item.sku, "release", |record| record.held -= item.qty);
        }
        self.tell(place, Some(State::Held), Some(view.items), "release");
        Ok((200, json(&self.view(place))))
    }

    fn extend(&mut self, extend: &client::api::ExtendRequest) -> Answer {
        let (place, view) = self.known(&extend.reservation_id)?;
        match view.state {
            State::Held => {}
            State::Committed => return Err(refused(409, code::ALREADY_COMMITTED)),
            State::Waiting => return Err(refused(409, code::RESERVATION_WAITING)),
            State::Expired => return Err(refused(410, code::RESERVATION_EXPIRED)),
            _ => return Err(refused(409, code::RESERVATION_RELEASED)),
        }
        let to_ms = self.now_ms + extend.ttl_seconds.unwrap_or(300) * 1_000;
        let hold = &mut self.reservations[place];
        if to_ms > hold.deadline_ms {
            if to_ms > hold.granted_ms + 1_800_000 {
                return Err(refused(409, code::HOLD_LIMIT));
            }
            hold.deadline_ms = to_ms;
            hold.view.expires_at = Some(time(to_ms));
            self.tell(place, Some(State::Held), None, "extend");
        }
        Ok((200, json(&self.view(place))))
    }

    fn take_back(&mut self, back: &client::api::ReturnRequest) -> Answer {
        let (place, view) = self.known(&back.reservation_id)?;
        if view.state != State::Committed {
            return Err(refused(409, code::NOT_COMMITTED));
        }
        let left = less(&view.items, &view.returned);
        let part = back.items.clone().unwrap_or(left.clone());
        if part.is_empty() || part.iter().any(|item| item.qty > units(&left, &item.sku)) {
            return Err(refused(409, code::RETURN_EXCEEDS_SALE));
        }
        if part.iter().any(|item| !self.stock.contains_key(&item.sku)) {
            return Err(refused(404, code::SKU_NOT_FOUND));
        }
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for item in view.returned.iter().chain(&part) {
            *sums.entry(item.sku.clone()).or_default() += item.qty;
        }
        self.reservations[place].view.returned =
            sums.into_iter().map(|(sku, qty)| Item { sku, qty }).collect();
        for item in &part {
            self.change(&item.sku, "return", |record| {
                record.on_hand += item.qty;
                record.sold -= item.qty;
            });
            if let Some(customer) = &view.customer_id {
                *self.bought.get_mut(&(item.sku.clone(), customer.clone())).unwrap() -= item.qty;
            }
        }
        self.tell(place, Some(State::Committed), None, "return");
        Ok((200, json(&self.view(place))))
    }

    fn revoke_above(&mut self, sku: &str, on_hand: u64) {
        while self.stock[sku].held > on_hand {
            let newest = (0..self.reservations.len())
                .filter(|&place| self.reservations[place].view.state == State::Held)
                .filter(|&place| units(&self.reservations[place].view.items, sku) > 0)
                .max_by_key(|&place| self.reservations[place].view.fencing_token);
            self.end(newest.unwrap(), State::Revoked, "revoke");
        }
    }

    fn check_on_hand(&self, sku: &str, to: i64, on_shortfall: Option<OnShortfall>) -> Result<u64, Problem> {
        let refuses = on_shortfall != Some(OnShortfall::RevokeNewest);
        let held = self.stock.get(sku).map_or(0, |record| record.held);
        match u64::try_from(to) {
            Ok(to) if to >= held || !refuses => Ok(to),
            _ => Err(refused(409, code::STOCK_BELOW_HELD)),
        }
    }

    fn put(&mut self, sku: &str, put: &client::api::PutSkuRequest) -> Answer {
        let on_hand = self.check_on_hand(sku, i64::try_from(put.on_hand).unwrap(), put.on_shortfall)?;
        let known = self.stock.contains_key(sku);
        if known {
            self.revoke_above(sku, on_hand);
        }
        let set = |record: &mut InventoryRecord| {
            record.on_hand = on_hand;
            record.safety_stock = put.safety_stock.unwrap_or(record.safety_stock);
            record.max_per_customer = put.max_per_customer.unwrap_or(record.max_per_customer);
            record.available = record.on_hand.saturating_sub(record.held).saturating_sub(record.safety_stock);
        };
        if known {
            self.change(sku, "put", set);
            return Ok((200, json(&self.stock[sku])));
        }
        let mut record = InventoryRecord {
            sku: sku.to_owned(),
            on_hand: 0,
            held: 0,
            available: 0,
            sold: 0,
            safety_stock: 0,
            max_per_customer: None,
            waiting: 0,
            version: self.gone_version + 1,
        };
        set(&mut record);
        self.stock.insert(sku.to_owned(), record.clone());
        let after = Some(record.clone());
        let change = StockEvent { cause: "put".into(), before: None, after, reason: None, reference: None };
        self.push("stock.created", sku.to_owned(), EventData::Stock(change));
        Ok((201, json(&record)))
    }

    fn adjust(&mut self, sku: &str, adjust: &client::api::AdjustRequest) -> Answer {
        let record = self.stock.get(sku).ok_or_else(|| refused(404, code::SKU_NOT_FOUND))?;
        let to = i64::try_from(record.on_hand).unwrap() + adjust.delta;
        let on_hand = self.check_on_hand(sku, to, adjust.on_shortfall)?;
        self.revoke_above(sku, on_hand);
        let why = (adjust.reason.clone(), adjust.reference.clone());
        self.change_because(sku, "adjust", why, |record| record.on_hand = on_hand);
        Ok((200, json(&self.stock[sku])))
    }

    fn delete(&mut self, sku: &str) -> Answer {
        let record = self.stock.get(sku).ok_or_else(|| refused(404, code::SKU_NOT_FOUND))?.clone();
        if record.held > 0 || record.waiting > 0 {
            return Err(refused(409, code::SKU_HAS_HOLDS));
        }
        self.stock.remove(sku);
        self.bought.retain(|(name, _), _| name != sku);
        self.gone_version = self.gone_version.max(record.version);
        let before = Some(record);
        let change =
            StockEvent { cause: "delete".into(), before, after: None, reason: None, reference: None };
        self.push("stock.deleted", sku.to_owned(), EventData::Stock(change));
        Ok((204, serde_json::Value::Null))
    }
}
