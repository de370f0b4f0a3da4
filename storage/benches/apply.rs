//! What a command costs the state machine, in nanoseconds of its own time: with nothing held, with a million live
//! holds, and with a million and caches as cold as a node's.
//!
//! `cargo bench -p storage --bench apply -- [HOLDS] [COLD_MIB] [COMMANDS] [WORKLOAD]`
//!
//! ```text
//!   memory walked | 64 commands made | 64 applied, answers dropped | memory walked | ...
//!   not counted     not counted        counted
//! ```
//!
//! A node does other work between the entries that it applies: it reads sockets, encodes, answers. The walk over
//! `COLD_MIB` of other memory stands for that; an entry has just been decoded when it is applied. What is held besides
//! is spread over 10,000 SKUs, each hold with a kept answer. The slowest 64 are told as well: no command may wait for
//! a table to be made anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "it fails and tells by these, and takes the time"
)]

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use storage::inventory::command::{Command, Commit, IfExpired, Release, Request, Reserve};
use storage::inventory::ids::{Item, ReservationId};
use storage::inventory::outcome::Outcome;
use storage::inventory::{Inventory, SWEEP_TICK_MAX};

use support::{Random, START_MS, Shop, sku, stamp};

/// Commands between two walks.
const BATCH: usize = 64;
const SKUS: u64 = 10_000;
/// SKUs from here on are sold out.
const SOLD_OUT: u64 = SKUS;
const TTL_MS: u64 = 1_800_000;

/// What each workload is called, and how it is run.
const WORKLOADS: [(&str, Workload); 11] = [
    ("reserve, one SKU", |bench| bench.reserves(Cart { skus: 1, ..Cart::PLAIN })),
    ("reserve, 1,000 SKUs", |bench| bench.reserves(Cart { skus: 1_000, ..Cart::PLAIN })),
    ("reserve, 10,000 SKUs", |bench| bench.reserves(Cart::PLAIN)),
    ("reserve, keyed", |bench| bench.reserves(Cart { keyed: true, ..Cart::PLAIN })),
    ("reserve, with customer", |bench| bench.reserves(Cart { customer: true, ..Cart::PLAIN })),
    ("cart of 3", |bench| bench.reserves(Cart { items: 3, ..Cart::PLAIN })),
    ("pair: reserve, commit", Bench::pairs),
    ("release", Bench::releases),
    ("expire, each hold", Bench::expiries),
    ("gate, granted", |bench| bench.gate(0)),
    ("gate, sold out", |bench| bench.gate(SOLD_OUT)),
];

type Workload = fn(&mut Bench) -> Cost;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |place: usize, otherwise| arguments.get(place).map_or(otherwise, |n| n.parse().unwrap());
    let (holds, cold_mib, commands) = (number(0, 1_000_000), number(1, 64), number(2, 20_000) as usize);
    let only = arguments.get(3).map_or("", String::as_str);
    let setups = [(0, 0), (holds, 0), (holds, cold_mib)];
    let costs = setups.map(|(holds, cold_mib)| costs(holds, cold_mib, commands, only));
    println!("ns a command (slowest {BATCH}, us)   no holds       {holds} holds  and {cold_mib} MiB between");
    for (place, (name, ..)) in WORKLOADS.iter().enumerate().filter(|(_, (name, _))| name.contains(only)) {
        let of = |setup: &Vec<Option<Cost>>| setup[place].map_or(String::new(), Cost::text);
        println!("{name:26} {:>18} {:>18} {:>18}", of(&costs[0]), of(&costs[1]), of(&costs[2]));
    }
}

/// What each workload costs with so many holds, one after the other in one inventory.
fn costs(holds: u64, cold_mib: u64, commands: usize, only: &str) -> Vec<Option<Cost>> {
    let mut bench = Bench::new(holds, cold_mib, commands);
    let run = |(name, run): &(&str, Workload)| name.contains(only).then(|| run(&mut bench));
    WORKLOADS.iter().map(run).collect()
}

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    total: Duration,
    commands: u64,
    slowest: Duration,
}

impl Cost {
    fn add(&mut self, took: Duration, commands: u64) {
        self.total += took;
        self.commands += commands;
        self.slowest = self.slowest.max(took);
    }

    fn text(self) -> String {
        let each = self.total.as_nanos() as u64 / self.commands.max(1);
        format!("{each} ({})", self.slowest.as_micros())
    }
}

/// What is reserved.
#[derive(Debug, Clone, Copy)]
struct Cart {
    skus: u64,
    items: u64,
    keyed: bool,
    customer: bool,
    ttl_ms: u64,
}

impl Cart {
    const PLAIN: Cart = Cart { skus: SKUS, items: 1, keyed: false, customer: false, ttl_ms: TTL_MS };
}

struct Bench {
    inventory: Inventory,
    random: Random,
    /// Commands made so far: eight of them in a millisecond.
    made: u64,
    /// What is walked between batches.
    other: Vec<u64>,
    commands: usize,
}

impl Bench {
    fn new(holds: u64, cold_mib: u64, commands: usize) -> Bench {
        let mut shop = Shop::new(0, 1);
        shop.put_skus(SKUS);
        shop.put_skus_of(1_000, 0);
        for number in 0..holds {
            shop.reserve(number.wrapping_mul(7_919) % SKUS);
        }
        let made = shop.inventory.sequence();
        let other = vec![1; cold_mib as usize * (1 << 17)];
        Bench { inventory: shop.inventory, random: Random::new(7), made, other, commands }
    }

    fn now_ms(&self) -> u64 {
        START_MS + self.made / 8
    }

    fn request(&mut self, keyed: bool, command: Command) -> Request {
        self.made += 1;
        let mut number = || self.random.next();
        let key = || format!("{:016x}-{:016x}-00", number(), number()).into();
        Request { idempotency_key: keyed.then(key), command }
    }

    fn reserve(&mut self, cart: Cart) -> Request {
        let first = self.random.next() % cart.skus;
        let mut items: Vec<_> =
            (0..cart.items).map(|n| Item { sku: sku((first + n * 3_331) % cart.skus), qty: 1 }).collect();
        items.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        let reserve = Reserve {
            nonce: self.random.next(),
            cart_id: format!("cart-{:016x}", self.random.next()).into(),
            customer_id: cart.customer.then(|| format!("customer-{:016x}", self.random.next()).into()),
            items,
            ttl_ms: cart.ttl_ms,
            wait: false,
        };
        self.request(cart.keyed, Command::Reserve(reserve))
    }

    /// Applies a batch in the time that is counted, and adds what it took. The ids of the reservations in the answers.
    fn apply(&mut self, requests: &[Request], cost: &mut Cost) -> Vec<ReservationId> {
        let stamp = stamp(self.now_ms());
        let mut ids = Vec::with_capacity(requests.len());
        let start = Instant::now();
        self.inventory.look_ahead(requests);
        for request in requests {
            match self.inventory.apply(&stamp, request).result.unwrap() {
                Outcome::Reserved(view) | Outcome::Committed(view) | Outcome::Released(view) => {
                    ids.push(view.id);
                }
                _ => {}
            }
        }
        cost.add(start.elapsed(), requests.len() as u64);
        ids
    }

    fn walk(&mut self) {
        for line in self.other.chunks_mut(8) {
            line[0] = line[0].wrapping_mul(3);
        }
        black_box(&self.other);
    }

    fn batch(&mut self, cart: Cart) -> Vec<Request> {
        self.walk();
        (0..BATCH).map(|_| self.reserve(cart)).collect()
    }

    fn reserves(&mut self, cart: Cart) -> Cost {
        let mut cost = Cost::default();
        for _ in 0..self.commands / BATCH {
            let batch = self.batch(cart);
            self.apply(&batch, &mut cost);
        }
        cost
    }

    /// Holds that are not counted, in an order of no meaning.
    fn held(&mut self, cart: Cart) -> Vec<ReservationId> {
        let mut ids = Vec::new();
        for _ in 0..self.commands / BATCH {
            let batch = self.batch(cart);
            ids.extend(self.apply(&batch, &mut Cost::default()));
        }
        (1..ids.len()).rev().for_each(|last| ids.swap(last, (self.random.next() % last as u64) as usize));
        ids
    }

    /// Each hold is committed right after the batch in which it was granted.
    fn pairs(&mut self) -> Cost {
        let mut cost = Cost::default();
        for _ in 0..self.commands / BATCH {
            let batch = self.batch(Cart::PLAIN);
            let ids = self.apply(&batch, &mut cost);
            self.walk();
            let commits: Vec<_> = ids.into_iter().map(|id| self.request(false, commit(id))).collect();
            self.apply(&commits, &mut cost);
        }
        Cost { commands: cost.commands / 2, ..cost }
    }

    fn releases(&mut self) -> Cost {
        let (ids, mut cost) = (self.held(Cart::PLAIN), Cost::default());
        for some in ids.chunks(BATCH) {
            self.walk();
            let release = |&reservation_id| Command::Release(Release { reservation_id, items: None });
            let batch: Vec<_> = some.iter().map(|id| self.request(false, release(id))).collect();
            self.apply(&batch, &mut cost);
        }
        cost
    }

    /// Holds that come due together, and the ticks that end them.
    fn expiries(&mut self) -> Cost {
        let (ttl_ms, mut cost) = (60_000, Cost::default());
        let due = self.held(Cart { ttl_ms, ..Cart::PLAIN }).len();
        self.made += 8 * ttl_ms;
        let tick = self.request(false, Command::Tick);
        while cost.commands < due as u64 {
            let before = self.inventory.counts().holds;
            self.walk();
            let (stamp, start) = (stamp(self.now_ms()), Instant::now());
            self.inventory.apply(&stamp, &tick).result.unwrap();
            let took = start.elapsed();
            cost.add(took, (before - self.inventory.counts().holds).min(SWEEP_TICK_MAX) as u64);
        }
        cost
    }

    /// What is asked of every command before it is logged.
    fn gate(&mut self, first: u64) -> Cost {
        let mut cost = Cost::default();
        for _ in 0..self.commands / BATCH {
            let mut batch = self.batch(Cart { skus: 1_000, keyed: true, ..Cart::PLAIN });
            for request in &mut batch {
                let Command::Reserve(reserve) = &mut request.command else { continue };
                reserve.items[0].sku = sku(first + self.random.next() % 1_000);
            }
            let start = Instant::now();
            let refused =
                batch.iter().filter(|request| self.inventory.sure_rejection(request).is_some()).count();
            cost.add(start.elapsed(), BATCH as u64);
            assert_eq!(refused, if first == SOLD_OUT { BATCH } else { 0 });
        }
        cost
    }
}

fn commit(reservation_id: ReservationId) -> Command {
    Command::Commit(Commit {
        reservation_id,
        payment_token: Some("pay_0123456789".into()),
        fencing_token: None,
        if_expired: IfExpired::Fail,
        items: None,
    })
}
