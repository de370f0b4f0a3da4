//! Good histories, made by clients of a tiny server: random, and the same for the same seed.
//!
//! ```text
//!   client   start ---------- the server does it ----------- end       think      start ...
//!   server                    in the order of these moments, each with a sequence
//! ```
//!
//! Some tries are lost, before or after they were executed; some of these calls are tried again under their key, the
//! others end without an answer.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test fail as it does")]
#![allow(clippy::result_large_err, reason = "a refusal is made once, and looked at")]

pub(crate) mod ask;
pub(crate) mod by_hand;
pub(crate) mod shop;
pub(crate) mod talk;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use checker::History;
use checker::history::{
    Answer, Call, Came, End, FeedDigest, FeedEvent, Final, Json, Op, Outcome, Run, Settings, Try,
};
use client::api::{
    AdjustRequest, ClusterView, CommitRequest, ExtendRequest, IfExpired, Item, OnShortfall, PutSkuRequest,
    ReleaseRequest, Reservation, ReservationState, ReserveRequest, ReturnRequest,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use ask::Ask;
use shop::{Done, Shop};

/// The wall clock at the run's start.
pub(crate) const STARTED_MS: u64 = 1_795_000_000_000;

/// What is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) seed: u64,
    pub(crate) calls: usize,
    pub(crate) clients: u64,
    pub(crate) skus: usize,
    /// Of so many tries one is lost; 0 for none.
    pub(crate) lost_one_in: u32,
    /// Only reserve, commit, release and reads of one SKU.
    pub(crate) plain: bool,
    /// Distinguishes names and moments of several histories that become one.
    pub(crate) part: u64,
}

impl Wanted {
    pub(crate) fn new(seed: u64) -> Wanted {
        Wanted { seed, calls: 800, clients: 8, skus: 4, lost_one_in: 12, plain: false, part: 0 }
    }
}

/// The seed that is asked for in the environment, or these.
pub(crate) fn seeds(usual: std::ops::Range<u64>) -> Vec<u64> {
    match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => usual.collect(),
    }
}

/// A good history.
pub(crate) fn history(wanted: &Wanted) -> History {
    let mut history = History::new(run(wanted));
    World::new(wanted, Shop::default(), 0).play(&mut history);
    history.end = Some(End { calls: history.calls.len() as u64 });
    history
}

/// A long good history: many that follow each other, of other SKUs each.
pub(crate) fn long_history(seed: u64, calls: usize) -> History {
    const PART: usize = 1_000;
    let wanted = Wanted { calls: PART, skus: 20, ..Wanted::new(seed) };
    let mut history = History::new(run(&wanted));
    let (mut shop, mut from_us) = (Shop::default(), 0);
    let mut finals: Option<Vec<Final>> = None;
    for part in 0..(calls / PART) as u64 {
        let wanted = Wanted { seed: seed + part, part, ..wanted.clone() };
        (shop, from_us) = World::new(&wanted, shop.anew(), from_us).play(&mut history);
        let last = std::mem::take(&mut history.finals);
        match &mut finals {
            None => finals = Some(last),
            Some(all) => {
                for (all, mut last) in all.iter_mut().zip(last) {
                    all.stock.append(&mut last.stock);
                    all.reservations.append(&mut last.reservations);
                    (all.sequence, all.at_us, all.feed) = (last.sequence, last.at_us, last.feed);
                }
            }
        }
    }
    history.finals = finals.unwrap_or_default();
    history.end = Some(End { calls: history.calls.len() as u64 });
    history
}

fn run(wanted: &Wanted) -> Run {
    Run {
        format: Run::FORMAT,
        version: "0.1.0".into(),
        seed: wanted.seed,
        command: format!("SEED={} cargo test -p checker", wanted.seed),
        nodes: vec![1, 2, 3],
        clients: wanted.clients,
        seconds: 10,
        faults: vec![],
        started_at: shop::time(STARTED_MS),
        settings: Settings::default(),
    }
}

/// What happens next.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Start(u64),
    Arrive(u64),
    Tick,
}

/// A call under way.
struct Pending {
    id: u64,
    ask: Result<Ask, Look>,
    key: Option<String>,
    started_us: u64,
    try_us: u64,
    tries: Vec<Try>,
}

/// A read.
#[derive(Clone)]
struct Look {
    op: Op,
    target: Option<String>,
    query: BTreeMap<String, String>,
    stale: bool,
}

struct World<'w> {
    wanted: &'w Wanted,
    random: StdRng,
    shop: Shop,
    /// A node that is behind.
    behind: Shop,
    events: BinaryHeap<Reverse<(u64, u64, Next)>>,
    pushed: u64,
    pending: BTreeMap<u64, Pending>,
    mine: BTreeMap<u64, Vec<String>>,
    made: usize,
    from_us: u64,
    last_us: u64,
}

impl<'w> World<'w> {
    fn new(wanted: &'w Wanted, shop: Shop, from_us: u64) -> World<'w> {
        World {
            wanted,
            random: StdRng::seed_from_u64(wanted.seed),
            behind: shop.clone(),
            shop,
            events: BinaryHeap::new(),
            pushed: 0,
            pending: BTreeMap::new(),
            mine: BTreeMap::new(),
            made: 0,
            from_us,
            last_us: from_us,
        }
    }

    fn play(mut self, history: &mut History) -> (Shop, u64) {
        self.stock_up(history);
        for client in 0..self.wanted.clients {
            self.push(self.from_us + 100_000 + client * 1_000, Next::Start(client));
        }
        self.push(self.from_us + 100_000, Next::Tick);
        while let Some(Reverse((at_us, _, next))) = self.events.pop() {
            match next {
                Next::Start(client) if self.made < self.wanted.calls => self.start(at_us, client),
                Next::Start(_) => {}
                Next::Arrive(client) => self.arrive(at_us, client, history),
                Next::Tick if self.pending.is_empty() && self.made >= self.wanted.calls => {}
                Next::Tick => {
                    self.shop.tick(ms(at_us));
                    self.push(at_us + 47_000, Next::Tick);
                }
            }
        }
        self.finish(history);
        (self.shop, self.last_us + 1_000_000)
    }

    fn push(&mut self, at_us: u64, next: Next) {
        self.pushed += 1;
        self.events.push(Reverse((at_us, self.pushed, next)));
    }

    fn sku(&mut self) -> String {
        let number = self.random.random_range(0..self.wanted.skus);
        self.sku_named(number)
    }

    fn sku_named(&self, number: usize) -> String {
        format!("P{}-S{number}", self.wanted.part)
    }

    /// Puts every SKU, one after the other.
    fn stock_up(&mut self, history: &mut History) {
        for number in 0..self.wanted.skus {
            let sku = self.sku_named(number);
            let on_hand = self.random.random_range(2..12);
            let limit = (number % 3 == 1).then_some(Some(3));
            let put = PutSkuRequest { on_hand, max_per_customer: limit, ..PutSkuRequest::default() };
            let at_us = self.from_us + number as u64 * 1_000;
            self.begin(99, at_us, Ok(Ask::Put(sku, put)), None);
            self.arrive(at_us + 300, 99, history);
        }
        self.events.clear();
    }

    fn begin(&mut self, client: u64, at_us: u64, ask: Result<Ask, Look>, key: Option<String>) {
        self.made += 1;
        let id = self.wanted.part * 1_000_000 + self.made as u64;
        let pending = Pending { id, ask, key, started_us: at_us, try_us: at_us, tries: vec![] };
        self.pending.insert(client, pending);
    }

    fn start(&mut self, at_us: u64, client: u64) {
        let ask = self.ask(client);
        let keyed = ask.is_ok() && self.random.random_bool(0.8);
        let key = keyed.then(|| format!("key-{}-{}", self.wanted.part, self.made));
        self.begin(client, at_us, ask, key);
        let later = self.random.random_range(200..4_000);
        self.push(at_us + later, Next::Arrive(client));
    }

    fn ask(&mut self, client: u64) -> Result<Ask, Look> {
        let id = self.pick(client);
        let most = if self.wanted.plain { 75 } else { 100 };
        let (sku, ttl) = (self.sku(), self.random.random_range(1..4));
        let reservation_id = id.clone();
        match (self.random.random_range(0..most), id) {
            (0..32, _) | (_, None) => Ok(Ask::Reserve(self.cart(client, sku, ttl))),
            (32..46, Some(id)) => Err(Look {
                op: Op::GetReservation,
                target: Some(id),
                query: BTreeMap::new(),
                stale: !self.wanted.plain && self.random.random_bool(0.3),
            }),
            (46..52, _) => Err(Look {
                op: Op::GetStock,
                target: Some(sku),
                query: BTreeMap::new(),
                stale: !self.wanted.plain && self.random.random_bool(0.3),
            }),
            (52..64, Some(reservation_id)) => Ok(Ask::Commit(CommitRequest {
                payment_token: Some(format!("pay-{}", self.random.random_range(0..2))),
                if_expired: self.random.random_bool(0.3).then_some(IfExpired::Reacquire),
                reservation_id,
                ..CommitRequest::default()
            })),
            (64..75, Some(reservation_id)) => {
                Ok(Ask::Release(ReleaseRequest { reservation_id, items: None }))
            }
            _ => self.rarer(reservation_id.unwrap_or_default(), sku, ttl),
        }
    }

    fn rarer(&mut self, reservation_id: String, sku: String, ttl: u64) -> Result<Ask, Look> {
        let part = |world: &World<'_>| {
            let view = world.shop.find(&reservation_id).map(|place| world.shop.view(place));
            view.map(|view| vec![Item::new(&view.items[0].sku, 1)])
        };
        let number = |sku: &str| sku.bytes().next_back().map_or(0, |digit| digit - b'0');
        match self.random.random_range(0..14) {
            0..3 => Ok(Ask::Extend(ExtendRequest { reservation_id, ttl_seconds: Some(ttl) })),
            3 => Ok(Ask::Return(ReturnRequest { items: part(self), reservation_id })),
            4 => Ok(Ask::Return(ReturnRequest { items: None, reservation_id })),
            5 => Ok(Ask::Release(ReleaseRequest { items: part(self), reservation_id })),
            6 => Ok(Ask::Commit(CommitRequest {
                items: part(self),
                reservation_id,
                ..CommitRequest::default()
            })),
            7..9 => {
                let delta = [-2, -1, 1, 1, 2, 3][self.random.random_range(0..6)];
                let on_shortfall = self.random.random_bool(0.3).then_some(OnShortfall::RevokeNewest);
                let reason = self.random.random_bool(0.5).then(|| "count".to_owned());
                Ok(Ask::Adjust(sku, AdjustRequest { delta, on_shortfall, reason, reference: None }))
            }
            9 if number(&sku) == 3 => {
                let on_shortfall = self.random.random_bool(0.5).then_some(OnShortfall::RevokeNewest);
                let on_hand = self.random.random_range(0..6);
                Ok(Ask::Put(sku, PutSkuRequest { on_hand, on_shortfall, ..PutSkuRequest::default() }))
            }
            10 if number(&sku) == 2 => Ok(Ask::Delete(sku)),
            11 => {
                let query = BTreeMap::from([("prefix".to_owned(), format!("P{}-", self.wanted.part))]);
                Err(Look { op: Op::ListStock, target: None, query, stale: false })
            }
            _ => {
                let query = BTreeMap::from([("state".to_owned(), "held".to_owned())]);
                Err(Look {
                    op: Op::ListReservations,
                    target: None,
                    query,
                    stale: self.random.random_bool(0.5),
                })
            }
        }
    }

    fn cart(&mut self, client: u64, sku: String, ttl: u64) -> ReserveRequest {
        let mut items = vec![Item::new(&sku, self.random.random_range(1..3))];
        let other = self.sku();
        if !self.wanted.plain && other > sku && self.random.random_bool(0.3) {
            items.push(Item::new(other, 1));
        }
        let wait = (!self.wanted.plain && items.len() == 1 && self.random.random_bool(0.5)).then_some(true);
        let cart = self.random.random_range(0..self.made as u64 + 10);
        ReserveRequest {
            cart_id: format!("cart-{}-{cart}", self.wanted.part),
            items,
            customer_id: (!self.wanted.plain).then(|| format!("customer-{}-{client}", self.wanted.part)),
            ttl_seconds: Some(ttl),
            wait,
        }
    }

    /// One of this client's own, or sometimes another one's, mostly a late one.
    fn pick(&mut self, client: u64) -> Option<String> {
        let client = if self.random.random_bool(0.2) { client / 2 } else { client };
        let mine = self.mine.get(&client)?;
        let last = mine.len().min(6);
        Some(mine[mine.len() - 1 - self.random.random_range(0..last)].clone())
    }

    fn arrive(&mut self, at_us: u64, client: u64, history: &mut History) {
        let Some(mut pending) = self.pending.remove(&client) else { return };
        let lost = self.wanted.lost_one_in > 0
            && client != 99
            && self.random.random_ratio(1, self.wanted.lost_one_in);
        let later = at_us + self.random.random_range(100..3_000);
        let node = self.random.random_range(1..4);
        if lost {
            if self.random.random_bool(0.5) {
                self.execute(at_us, &pending, node);
            }
            let came = Came::Lost("reset".into());
            pending.tries.push(Try { node, started_us: pending.try_us, ended_us: later, came });
            let again = (pending.ask.is_err() || pending.key.is_some()) && self.random.random_bool(0.6);
            if again {
                pending.try_us = later;
                self.pending.insert(client, pending);
                return self.push(later + 1_500, Next::Arrive(client));
            }
            self.record(client, pending, later, Outcome::Unknown { why: "reset".into() }, history);
        } else {
            let answer = self.execute(at_us, &pending, node);
            let code = answer.body.read::<serde_json::Value>().unwrap()["code"].as_str().map(str::to_owned);
            let came = Came::Answer { status: answer.status, code };
            pending.tries.push(Try { node, started_us: pending.try_us, ended_us: later, came });
            self.learn(client, &answer);
            self.record(client, pending, later, Outcome::Answer(answer), history);
        }
        let think = self.random.random_range(5_000..90_000);
        self.push(later + think, Next::Start(client));
    }

    fn learn(&mut self, client: u64, answer: &Answer) {
        if let Ok(view) = answer.body.read::<Reservation>() {
            self.mine.entry(client).or_default().push(view.reservation_id);
        }
    }

    fn record(
        &mut self,
        client: u64,
        pending: Pending,
        ended_us: u64,
        outcome: Outcome,
        history: &mut History,
    ) {
        self.last_us = self.last_us.max(ended_us);
        let (op, target, request, query, stale) = match &pending.ask {
            Ok(ask) => {
                let (op, target, request) = ask.parts();
                (op, target, request, BTreeMap::new(), false)
            }
            Err(look) => (look.op, look.target.clone(), Json::null(), look.query.clone(), look.stale),
        };
        let Pending { id, key, started_us, tries, .. } = pending;
        let condition = None;
        history.calls.push(Call {
            id,
            client: self.wanted.part * 100 + client,
            op,
            target,
            query,
            stale,
            condition,
            request,
            key,
            started_us,
            ended_us,
            tries,
            outcome,
        });
    }

    fn execute(&mut self, at_us: u64, pending: &Pending, node: u64) -> Answer {
        if self.shop.sequence.is_multiple_of(64) {
            self.behind = self.shop.without_events();
        }
        match &pending.ask {
            Ok(ask) => {
                let logged = self.random.random_bool(0.85);
                let done = self.shop.command(ms(at_us), pending.key.as_deref(), ask, logged);
                let Done { status, sequence, replayed, body } = done;
                let body = Json::of(&body).unwrap();
                Answer { status, sequence: Some(sequence), replayed, applied_index: None, body }
            }
            Err(look) => look.at(if look.stale && node == 3 { &self.behind } else { &self.shop }),
        }
    }

    fn finish(&mut self, history: &mut History) {
        // Until nothing is held, not even by those whom the last ones made room for.
        loop {
            self.last_us += 5_000_000;
            self.shop.tick(ms(self.last_us));
            if (0..self.shop.reservations.len())
                .all(|place| self.shop.view(place).state != ReservationState::Held)
            {
                break;
            }
        }
        let events = std::mem::take(&mut self.shop.events);
        history.events.extend(events.into_iter().map(|event| FeedEvent { node: 1, event }));
        let view = |node| ClusterView {
            cluster: "test".into(),
            node_id: node,
            leader_id: Some(1),
            term: 1,
            applied_index: Some(77),
            committed_index: Some(77),
            feature_level: 1,
            state_digest: "d1".into(),
            members: vec![],
        };
        for node in 1..=3 {
            history.finals.push(Final {
                at_us: self.last_us + 1_000,
                node,
                cluster: view(node),
                sequence: self.shop.sequence,
                stock: self.shop.stock.values().cloned().collect(),
                reservations: (0..self.shop.reservations.len()).map(|place| self.shop.view(place)).collect(),
                feed: FeedDigest { events: history.events.len() as u64, digest: "f1".into() },
            });
        }
    }
}

impl Look {
    fn at(&self, shop: &Shop) -> Answer {
        let target = self.target.as_deref().unwrap_or_default();
        let all = || (0..shop.reservations.len()).map(|place| shop.view(place));
        let state = self.query.get("state").map_or("", String::as_str);
        let found = match self.op {
            Op::GetReservation => shop.find(target).map(|place| Json::of(&shop.view(place))),
            Op::GetStock => shop.stock.get(target).map(Json::of),
            Op::ListStock => {
                let data: Vec<_> = shop.stock.values().cloned().collect();
                Some(Json::of(&client::api::Page { data, next_cursor: None }))
            }
            _ => {
                let data: Vec<_> = all().filter(|view| view.state.as_str() == state).collect();
                Some(Json::of(&client::api::Page { data, next_cursor: None }))
            }
        };
        let (status, body) = match found {
            Some(body) => (200, body.unwrap()),
            None => (404, Json::of(&serde_json::json!({"type": "", "title": "", "status": 404, "detail": "", "code": "not_found", "retryable": false, "executed": "no"})).unwrap()),
        };
        let applied_index = (self.stale && status == 200).then_some(shop.sequence + 10);
        Answer { status, sequence: Some(shop.sequence), replayed: false, applied_index, body }
    }
}

fn ms(at_us: u64) -> u64 {
    STARTED_MS + at_us / 1_000
}
