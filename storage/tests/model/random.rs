//! Random commands, few SKUs, few carts and few keys, so that everything collides.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::inventory::command::{
    AdjustSku, Command, Commit, Extend, IfExpired, PutSku, Release, Request, Reserve, Return, Stamp,
};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{Applied, Outcome};

/// How a run is shaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// How many carts there are. Far more than a sweep ends at once, or hardly any.
    pub(crate) carts: u32,
    /// on_hand is set to at most this.
    pub(crate) units: u64,
    /// One command in so many comes after a leap of time.
    pub(crate) leap: u32,
    /// The longest ttl, in milliseconds.
    pub(crate) ttl_ms: u64,
}

/// Few carts and short holds; many carts whose holds all lapse in one leap; something between.
pub(crate) const SHAPES: [Shape; 3] = [
    Shape { carts: 5, units: 6, leap: 40, ttl_ms: 30 },
    Shape { carts: 400, units: 900, leap: 600, ttl_ms: 3_000 },
    Shape { carts: 40, units: 60, leap: 200, ttl_ms: 200 },
];

/// A source of random commands.
pub(crate) struct Source {
    rng: StdRng,
    shape: Shape,
    now_ms: u64,
    /// The latest reservations, for commands to name.
    ids: Vec<ReservationId>,
    /// The latest requests, for commands to repeat.
    requests: Vec<Request>,
}

impl Source {
    pub(crate) fn new(seed: u64) -> Source {
        let shape = SHAPES[(seed % SHAPES.len() as u64) as usize];
        let rng = StdRng::seed_from_u64(seed);
        Source { rng, shape, now_ms: 1_000_000, ids: Vec::new(), requests: Vec::new() }
    }

    /// The next command, and its stamp: most often of the same millisecond as the one before.
    pub(crate) fn next(&mut self) -> (Stamp, Request) {
        self.now_ms += match self.rng.random_range(0..self.shape.leap) {
            0 => self.rng.random_range(0..5 * self.shape.ttl_ms),
            turn if turn % 4 == 1 => self.rng.random_range(1..4),
            _ => 0,
        };
        let behind_ms = if self.rng.random_ratio(1, 50) { self.rng.random_range(0..100) } else { 0 };
        let stamp = Stamp {
            now_ms: self.now_ms - behind_ms,
            retention_ms: 2 * self.shape.ttl_ms,
            idempotency_ms: self.shape.ttl_ms,
            max_hold_ms: 3 * self.shape.ttl_ms / 2,
            events_max: 1_000,
            events_ms: 86_400_000,
        };
        (stamp, self.request())
    }

    /// Notes the answer, so that later commands can name what it made.
    pub(crate) fn heard(&mut self, applied: &Applied) {
        if let Ok(Outcome::Reserved(view)) = &applied.result {
            self.ids.push(view.id);
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
        match self.rng.random_range(0..100) {
            0..2 => Command::Tick,
            2..50 => Command::Reserve(self.reserve()),
            50..64 => Command::Commit(self.commit()),
            64..74 => Command::Release(Release { reservation_id: self.id(), items: None }),
            74..82 => {
                let ttl_ms = self.rng.random_range(1..=2 * self.shape.ttl_ms);
                Command::Extend(Extend { reservation_id: self.id(), ttl_ms })
            }
            82..90 => Command::Return(Return { reservation_id: self.id(), items: None }),
            90..96 => Command::PutSku(self.put()),
            _ => Command::AdjustSku(self.adjust()),
        }
    }

    fn reserve(&mut self) -> Reserve {
        let steady = self.rng.random_ratio(1, 3);
        Reserve {
            nonce: self.rng.random(),
            cart_id: format!("cart-{}", self.rng.random_range(0..self.shape.carts)).into(),
            customer_id: self.rng.random_ratio(1, 2).then(|| "ann".into()),
            items: self.items(),
            ttl_ms: if steady { self.shape.ttl_ms } else { self.rng.random_range(1..=self.shape.ttl_ms) },
            wait: false,
        }
    }

    fn items(&mut self) -> Vec<Item> {
        let wanted = [(0, 3, 4), (1, 1, 3), (2, 1, 6), (3, 1, 100)];
        let mut items = Vec::new();
        for (index, of, in_all) in wanted {
            if self.rng.random_ratio(of, in_all) {
                let most = if self.rng.random_ratio(1, 30) { 2 * self.shape.units } else { 3 };
                items.push(Item { sku: sku(index), qty: self.rng.random_range(1..=most) });
            }
        }
        if items.is_empty() {
            items.push(Item { sku: sku(0), qty: 1 });
        }
        items
    }

    fn commit(&mut self) -> Commit {
        Commit {
            reservation_id: self.id(),
            payment_token: self.rng.random_ratio(2, 3).then(|| self.payment_token()),
            fencing_token: self.rng.random_ratio(1, 6).then(|| self.rng.random_range(1..50)),
            if_expired: match self.rng.random_ratio(1, 2) {
                true => IfExpired::Reacquire,
                false => IfExpired::Fail,
            },
            items: None,
        }
    }

    fn payment_token(&mut self) -> std::sync::Arc<str> {
        format!("pay-{}", self.rng.random_range(0..2)).into()
    }

    fn put(&mut self) -> PutSku {
        PutSku {
            sku: self.any_sku(),
            on_hand: self.rng.random_range(0..=self.shape.units),
            safety_stock: self.rng.random_ratio(1, 2).then(|| self.rng.random_range(0..3)),
            max_per_customer: Default::default(),
            on_shortfall: Default::default(),
            precondition: Default::default(),
        }
    }

    fn adjust(&mut self) -> AdjustSku {
        let units = self.shape.units as i64;
        let delta = self.rng.random_range(-units / 2..=units);
        AdjustSku {
            sku: self.any_sku(),
            delta: if delta == 0 { 1 } else { delta },
            reason: None,
            reference: None,
            on_shortfall: Default::default(),
            precondition: Default::default(),
        }
    }

    fn any_sku(&mut self) -> Sku {
        sku(self.rng.random_range(0..3))
    }

    fn id(&mut self) -> ReservationId {
        let unknown = ReservationId { sequence: 1, nonce: 1 };
        let recent = self.ids.len().saturating_sub(8 + self.shape.carts as usize / 4);
        let latest = self.ids[recent..].to_vec();
        self.recent(&latest).unwrap_or(unknown)
    }

    fn recent<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.rng.random_range(0..of.len())].clone())
    }
}

fn sku(index: usize) -> Sku {
    Sku::new(["A", "B", "C", "unknown"][index]).unwrap()
}
