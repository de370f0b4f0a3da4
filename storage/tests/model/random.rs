//! Random commands, few SKUs, few carts, few customers and few keys, so that everything collides.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use storage::inventory::command::{
    AdjustSku, Command, Commit, DeleteSku, Extend, HoldLimits, IfExpired, OnShortfall, Precondition, PutSku,
    Release, Request, Reserve, Return, Setting, Stamp,
};
use storage::inventory::ids::{Item, ReservationId, Sku, UNITS_MAX};
use storage::inventory::outcome::{Applied, Outcome, ReservationView, State};

/// How a run is shaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// How many carts there are. Far more than a sweep ends at once, or hardly any.
    pub(crate) carts: u32,
    /// How many customers; a limit is at most three times what one cart takes.
    pub(crate) customers: u32,
    /// on_hand is set to at most this.
    pub(crate) units: u64,
    /// One command in so many comes after a leap of time.
    pub(crate) leap: u32,
    /// The longest ttl, in milliseconds.
    pub(crate) ttl_ms: u64,
    /// So many of ten reserves wait.
    pub(crate) wait: u32,
    /// How many events are kept.
    pub(crate) events_max: u64,
    /// Whether each cart names one SKU, any of them.
    pub(crate) one_sku: bool,
}

const FEW: Shape = Shape {
    carts: 14,
    customers: 4,
    units: 6,
    leap: 40,
    ttl_ms: 30,
    wait: 3,
    events_max: 150,
    one_sku: false,
};
const LONG_LINES: Shape =
    Shape { carts: 60, customers: 9, units: 5, leap: 30, ttl_ms: 40, wait: 8, events_max: 300, ..FEW };
const MIDDLE: Shape =
    Shape { carts: 80, customers: 15, units: 60, leap: 200, ttl_ms: 200, wait: 2, events_max: 1_000, ..FEW };
/// All holds lapse in one leap, many more than a sweep ends.
const MASS: Shape =
    Shape { carts: 400, customers: 200, units: 900, leap: 600, ttl_ms: 3_000, events_max: 5_000, ..FEW };
/// Each cart names one SKU. C and D have few units, and holds that end last: a sweep does not get as far as their
/// lines.
const APART: Shape = Shape { customers: 12, units: 300, leap: 250, ttl_ms: 20_000, one_sku: true, ..MASS };

const SHAPES: [Shape; 12] =
    [FEW, LONG_LINES, MIDDLE, FEW, LONG_LINES, APART, LONG_LINES, MIDDLE, FEW, LONG_LINES, APART, MASS];

/// A source of random commands.
pub(crate) struct Source {
    rng: Box<dyn RngCore>,
    shape: Shape,
    now_ms: u64,
    /// The latest reservations as they were when last heard of, for commands to name.
    views: Vec<ReservationView>,
    /// The versions last heard of.
    versions: Vec<u64>,
    /// The latest requests, for commands to repeat.
    requests: Vec<Request>,
}

impl Source {
    pub(crate) fn new(seed: u64) -> Source {
        Source::shaped(seed, SHAPES[(seed % SHAPES.len() as u64) as usize])
    }

    /// A source whose events are all kept.
    pub(crate) fn with_all_events(seed: u64) -> Source {
        let shape = SHAPES[(seed % SHAPES.len() as u64) as usize];
        Source::shaped(seed, Shape { events_max: u64::MAX, ..shape })
    }

    /// A source that follows from these dice.
    pub(crate) fn of_dice(dice: impl RngCore + 'static) -> Source {
        Source::of(Box::new(dice), FEW)
    }

    fn shaped(seed: u64, shape: Shape) -> Source {
        Source::of(Box::new(StdRng::seed_from_u64(seed)), shape)
    }

    fn of(rng: Box<dyn RngCore>, shape: Shape) -> Source {
        Source {
            rng,
            shape,
            now_ms: 1_000_000,
            views: Vec::new(),
            versions: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// The next command, and its stamp: most often of the same millisecond as the one before.
    pub(crate) fn next(&mut self) -> (Stamp, Request) {
        let turn = self.rng.random_range(0..self.shape.leap);
        self.now_ms += match turn {
            0 => self.rng.random_range(0..5 * self.shape.ttl_ms),
            turn if turn % 4 == 1 => self.rng.random_range(1..4),
            _ => 0,
        };
        let stamp = self.stamp();
        // Right after a leap a SKU may go whose units the sweep has not reached.
        if turn == 0 && self.shape.one_sku && self.one_in(2) {
            let delete = DeleteSku { sku: sku(3), precondition: Precondition::None };
            return (stamp, Request { idempotency_key: None, command: Command::DeleteSku(delete) });
        }
        (stamp, self.request())
    }

    /// Notes the answer, so that later commands can name what it made.
    pub(crate) fn heard(&mut self, applied: &Applied) {
        match &applied.result {
            Ok(Outcome::SkuCreated(stock) | Outcome::SkuSet(stock)) => self.versions.push(stock.version),
            Ok(
                Outcome::Reserved(view)
                | Outcome::AlreadyReserved(view)
                | Outcome::Waiting(view)
                | Outcome::Committed(view)
                | Outcome::Released(view)
                | Outcome::Extended(view)
                | Outcome::Returned(view),
            ) => self.note(view),
            _ => {}
        }
        self.versions.drain(..self.versions.len().saturating_sub(4));
        let recent = 8 + self.shape.carts as usize / 2;
        self.views.drain(..self.views.len().saturating_sub(recent));
    }

    /// Notes a reservation as it is now.
    pub(crate) fn note(&mut self, view: &ReservationView) {
        match self.views.iter_mut().find(|known| known.id == view.id) {
            Some(known) => *known = view.clone(),
            None => self.views.push(view.clone()),
        }
    }

    fn stamp(&mut self) -> Stamp {
        let (ttl_ms, keep_all) = (self.shape.ttl_ms, self.shape.events_max == u64::MAX);
        let behind_ms = if self.rng.random_ratio(1, 50) { self.rng.random_range(0..100) } else { 0 };
        let other_limits = self.rng.random_ratio(1, 40);
        Stamp {
            now_ms: self.now_ms - behind_ms,
            retention_ms: if other_limits { ttl_ms / 2 } else { 2 * ttl_ms },
            idempotency_ms: ttl_ms,
            max_hold_ms: if other_limits { ttl_ms / 3 } else { 3 * ttl_ms / 2 },
            events_ms: if keep_all { u64::MAX / 2 } else { 6 * ttl_ms },
            events_max: self.shape.events_max,
            limits: self.limits(),
        }
    }

    /// Mostly none: a line grows long only while nobody is limited.
    fn limits(&mut self) -> HoldLimits {
        if !self.rng.random_ratio(1, 6) {
            return HoldLimits::NONE;
        }
        HoldLimits {
            customer_holds_max: self.one_in(2).then(|| self.rng.random_range(1..5)),
            customer_units_max: self.one_in(2).then(|| self.rng.random_range(1..2 * self.shape.units)),
            hold_extensions_max: self.one_in(2).then(|| self.rng.random_range(0..3)),
        }
    }

    fn request(&mut self) -> Request {
        if self.rng.random_ratio(1, 12)
            && let Some(request) = self.recent(&self.requests.clone())
        {
            return request;
        }
        let keyed = self.rng.random_ratio(1, 3);
        let idempotency_key = keyed.then(|| format!("key-{}", self.rng.random_range(0..80)).into());
        let request = Request { idempotency_key, command: self.command() };
        self.requests.push(request.clone());
        self.requests.drain(..self.requests.len().saturating_sub(8));
        request
    }

    fn command(&mut self) -> Command {
        let more_reserves = self.shape.one_sku && self.one_in(2);
        match self.rng.random_range(0..if more_reserves { 46 } else { 100 }) {
            0..2 => Command::Tick,
            2..46 => Command::Reserve(self.reserve()),
            46..59 => Command::Commit(self.commit()),
            59..70 => Command::Release(self.release()),
            70..77 => Command::Extend(self.extend()),
            77..85 => Command::Return(self.take_back()),
            85..92 => Command::PutSku(self.put()),
            92..97 => Command::AdjustSku(self.adjust()),
            _ => Command::DeleteSku(self.delete()),
        }
    }

    fn reserve(&mut self) -> Reserve {
        let wait = self.rng.random_ratio(self.shape.wait, 10);
        let mut items = self.items();
        if wait && !self.one_in(60) {
            items.truncate(1);
        }
        let last = self.shape.one_sku && items[0].sku >= sku(2);
        let steady = last || self.one_in(3);
        let customers = self.shape.customers;
        Reserve {
            nonce: self.rng.random(),
            cart_id: format!("cart-{}", self.rng.random_range(0..self.shape.carts)).into(),
            customer_id: self
                .rng
                .random_ratio(1, 2)
                .then(|| format!("ann-{}", self.rng.random_range(0..customers)).into()),
            items,
            ttl_ms: if steady { self.shape.ttl_ms } else { self.rng.random_range(1..=self.shape.ttl_ms) },
            wait,
        }
    }

    fn items(&mut self) -> Vec<Item> {
        if self.shape.one_sku {
            return vec![Item { sku: self.any_sku(), qty: self.rng.random_range(1..=3) }];
        }
        let wanted = [(0, 3, 4), (1, 1, 3), (2, 1, 6), (3, 1, 12), (4, 1, 100)];
        let mut items = Vec::new();
        for (index, of, in_all) in wanted {
            if self.rng.random_ratio(of, in_all) {
                let most = if self.one_in(30) { 2 * self.shape.units } else { 3 };
                items.push(Item { sku: sku(index), qty: self.rng.random_range(1..=most) });
            }
        }
        if items.is_empty() {
            items.push(Item { sku: sku(0), qty: 1 });
        }
        if self.one_in(8) { items.split_off(items.len() - 1) } else { items }
    }

    fn commit(&mut self) -> Commit {
        let view = self.view(State::Held);
        Commit {
            payment_token: self.rng.random_ratio(2, 3).then(|| self.payment_token()),
            fencing_token: self.rng.random_ratio(1, 4).then(|| self.fencing_token(view.as_ref())),
            if_expired: match self.rng.random_ratio(1, 2) {
                true => IfExpired::Reacquire,
                false => IfExpired::Fail,
            },
            items: self.rng.random_ratio(1, 3).then(|| self.part(view.as_ref())),
            reservation_id: id_of(view),
        }
    }

    /// Most often the right one.
    fn fencing_token(&mut self, view: Option<&ReservationView>) -> u64 {
        let right = view.and_then(|view| view.grant).map(|grant| grant.fencing_token);
        let other = self.rng.random_range(1..50);
        right.filter(|_| !self.one_in(4)).unwrap_or(other)
    }

    /// A part of what was heard of, all of it, or something else.
    fn part(&mut self, view: Option<&ReservationView>) -> Vec<Item> {
        let Some(view) = view.filter(|_| !self.one_in(10)) else { return self.items() };
        let mut part = Vec::new();
        for item in &view.items {
            match self.rng.random_range(0..3) {
                0 => part.push(item.clone()),
                1 => part.push(Item { qty: self.rng.random_range(1..=item.qty), ..item.clone() }),
                _ => {}
            }
        }
        if part.is_empty() && !self.one_in(20) { view.items.clone() } else { part }
    }

    fn release(&mut self) -> Release {
        let view = self.view(State::Held);
        let items = self.rng.random_ratio(1, 3).then(|| self.part(view.as_ref()));
        Release { reservation_id: id_of(view), items }
    }

    fn extend(&mut self) -> Extend {
        let ttl_ms = self.rng.random_range(1..=2 * self.shape.ttl_ms);
        Extend { reservation_id: id_of(self.view(State::Held)), ttl_ms }
    }

    fn take_back(&mut self) -> Return {
        let view = self.view(State::Committed);
        let items = self.rng.random_ratio(1, 2).then(|| self.part(view.as_ref()));
        Return { reservation_id: id_of(view), items }
    }

    fn payment_token(&mut self) -> Arc<str> {
        format!("pay-{}", self.rng.random_range(0..2)).into()
    }

    fn put(&mut self) -> PutSku {
        let at_the_bound = self.one_in(15);
        let sku = self.any_sku();
        let most = self.units_of(&sku);
        PutSku {
            on_hand: match at_the_bound {
                true => self.rng.random_range(UNITS_MAX..=UNITS_MAX + 1),
                false => self.rng.random_range(0..=most),
            },
            sku,
            safety_stock: self.rng.random_ratio(1, 2).then(|| self.rng.random_range(0..3)),
            max_per_customer: match self.rng.random_range(0..8) {
                0..3 => Setting::Keep,
                3..5 => Setting::Clear,
                _ => Setting::Set(self.rng.random_range(0..10)),
            },
            on_shortfall: self.on_shortfall(),
            precondition: self.precondition(true),
        }
    }

    fn adjust(&mut self) -> AdjustSku {
        let sku = self.any_sku();
        let units = self.units_of(&sku) as i64;
        let delta = match self.rng.random_range(0..60) {
            0 => i64::MAX,
            1 => 0,
            _ => self.rng.random_range(-units / 2..=units),
        };
        AdjustSku {
            sku,
            delta,
            reason: self.rng.random_ratio(1, 2).then(|| "count".into()),
            reference: self.rng.random_ratio(1, 3).then(|| "note 7".into()),
            on_shortfall: self.on_shortfall(),
            precondition: self.precondition(false),
        }
    }

    fn delete(&mut self) -> DeleteSku {
        // Mostly one that carts seldom name: the others shall have a history.
        let sku = if self.one_in(6) { self.any_sku() } else { sku(3) };
        DeleteSku { sku, precondition: self.precondition(false) }
    }

    fn on_shortfall(&mut self) -> OnShortfall {
        if self.rng.random_ratio(1, 2) { OnShortfall::RevokeNewest } else { OnShortfall::Refuse }
    }

    fn precondition(&mut self, may_be_absent: bool) -> Precondition {
        match self.rng.random_range(0..16) {
            0 => Precondition::Exists,
            1 if may_be_absent => Precondition::Absent,
            2 => Precondition::Versions(vec![self.rng.random_range(1..9)]),
            3 | 4 => Precondition::Versions(self.versions.clone()),
            _ => Precondition::None,
        }
    }

    /// The most units that a SKU gets.
    fn units_of(&self, name: &Sku) -> u64 {
        if self.shape.one_sku && *name >= sku(2) { 6 } else { self.shape.units }
    }

    fn any_sku(&mut self) -> Sku {
        sku(self.rng.random_range(0..4))
    }

    /// A reservation for a command to name: most often one that it is for.
    fn view(&mut self, of: State) -> Option<ReservationView> {
        let wanted = |view: &ReservationView| view.state == of;
        let known = |view: &ReservationView| view.now_ms + 2 * self.shape.ttl_ms > self.now_ms;
        let mut views = self.views.clone();
        match self.rng.random_range(0..8) {
            0 => {}
            1..5 if views.iter().any(wanted) => views.retain(wanted),
            _ => views.retain(known),
        }
        self.recent(&views)
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.rng.random_ratio(1, many)
    }

    fn recent<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.rng.random_range(0..of.len())].clone())
    }
}

fn id_of(view: Option<ReservationView>) -> ReservationId {
    view.map_or(ReservationId { sequence: 1, nonce: 1 }, |view| view.id)
}

pub(crate) fn sku(index: usize) -> Sku {
    Sku::new(["A", "B", "C", "D", "unknown"][index]).unwrap()
}
