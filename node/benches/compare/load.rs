//! The load on Redis: so many connections, each a task with one call at a time, and the books afterwards.
//!
//! ```text
//!   connections open, stock is put | warm-up | measured: calls that end in it, processor time | all answers in, books
//!                                            begin                                          end
//! ```
//!
//! `flash` has no warm-up: its requests are counted out, and it is measured from the first to the last answer.
//! The generator is as cheap as that of `lastunit bench`: raw sockets without delay, buffers that are used again, and
//! both run on as many threads as there are processors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::measured::Measured;
use super::options::Options;
use super::redis::Redis;
use super::shop::{Reserved, Shop};
use super::workload::{FLASH_REQUESTS, Workload};

/// The longest time that is told apart, in microseconds.
const LATENCY_MICROS_MAX: u64 = 60_000_000;

/// How long after the connections are open the load begins, so that all begin together.
const LEAD: Duration = Duration::from_millis(20);

/// How long a flash sale is waited for.
const FLASH_TIME_MAX: Duration = Duration::from_secs(3600);

/// What all connections of one run share.
struct Rush {
    workload: Workload,
    /// When the first calls are made.
    first: Instant,
    /// From when on calls count, and until when: those that end within.
    begin: Instant,
    end: Instant,
    /// Requests of `flash` that nobody has taken yet.
    left: AtomicU64,
}

/// What a connection has seen.
struct Tally {
    micros: Histogram<u64>,
    held: u64,
    sold_out: u64,
}

/// Runs a workload on servers that are new.
pub(crate) async fn run(redis: &Redis, workload: Workload, options: &Options) -> Measured {
    let mut keeper = Shop::open(redis).await;
    keeper.put(workload.skus(), workload.stock()).await;
    let mut shops = Vec::new();
    for _ in 0..workload.connections(options.connections) {
        shops.push(Shop::open(redis).await);
    }
    let rush = Arc::new(Rush::new(workload, options));
    let mut tasks = JoinSet::new();
    for (number, shop) in (0..).zip(shops) {
        tasks.spawn(buy(shop, number, Arc::clone(&rush)));
    }
    let (cpu, elapsed, tally) = watch(redis, &rush, tasks).await;
    check(&mut keeper, workload, &tally).await;
    tally.measured(cpu, elapsed)
}

/// Waits for the load's end. Answers the processor time of what is measured, how long that was, and what became of all.
async fn watch(redis: &Redis, rush: &Rush, tasks: JoinSet<Tally>) -> (f64, Duration, Tally) {
    sleep_until(rush.begin).await;
    let before = redis.cpu_seconds();
    if rush.workload == Workload::Flash {
        let tally = Tally::of(tasks.join_all().await);
        return (redis.cpu_seconds() - before, rush.begin.elapsed(), tally);
    }
    sleep_until(rush.end).await;
    let cpu = redis.cpu_seconds() - before;
    (cpu, rush.end - rush.begin, Tally::of(tasks.join_all().await))
}

/// One connection, from its first cart to its last.
async fn buy(mut shop: Shop, number: u64, rush: Arc<Rush>) -> Tally {
    let mut tally = Tally::new();
    let mut random = StdRng::seed_from_u64(number);
    let skus = rush.workload.skus();
    sleep_until(rush.first).await;
    for cart in 0.. {
        if !rush.goes_on() {
            break;
        }
        shop.choose(random.random_range(0..skus), number, cart);
        let start = Instant::now();
        tally.add(operate(&mut shop, rush.workload).await);
        let end = Instant::now();
        if (rush.begin..rush.end).contains(&end) {
            tally.micros.saturating_record((end - start).as_micros() as u64);
        }
    }
    tally
}

async fn operate(shop: &mut Shop, workload: Workload) -> Reserved {
    let reserved = shop.reserve().await;
    if let (Workload::Pair, Reserved::Held { token }) = (workload, reserved) {
        shop.commit(token).await;
    }
    reserved
}

/// Compares what the server has with what the connections were told: a run that lost or oversold a unit is no run.
async fn check(keeper: &mut Shop, workload: Workload, tally: &Tally) {
    let put = workload.skus() * workload.stock();
    let (stock, sold) = keeper.count(workload.skus()).await;
    assert_eq!(put - stock, tally.held, "units that are gone, and those that were granted");
    let commits = if workload == Workload::Pair { tally.held } else { 0 };
    assert_eq!(sold, commits, "units that are sold");
    assert_eq!(keeper.held().await, tally.held - commits, "carts that hold a unit");
    if workload == Workload::Flash {
        assert_eq!((tally.held, tally.held + tally.sold_out), (put, FLASH_REQUESTS), "a sale that sold out");
    }
}

impl Rush {
    fn new(workload: Workload, options: &Options) -> Rush {
        let first = Instant::now() + LEAD;
        let (begin, length) = match workload {
            Workload::Flash => (first, FLASH_TIME_MAX),
            _ => (first + options.warm_up(), options.measured()),
        };
        Rush { workload, first, begin, end: begin + length, left: AtomicU64::new(FLASH_REQUESTS) }
    }

    /// Whether there is another cart to serve.
    fn goes_on(&self) -> bool {
        match self.workload {
            Workload::Flash => {
                let take = |left: u64| left.checked_sub(1);
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            }
            _ => Instant::now() < self.end,
        }
    }
}

impl Tally {
    fn new() -> Tally {
        let micros = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3).expect("the bounds are sound");
        Tally { micros, held: 0, sold_out: 0 }
    }

    /// All of them together.
    fn of(tallies: Vec<Tally>) -> Tally {
        let mut all = Tally::new();
        for tally in tallies {
            all.micros.add(tally.micros).expect("all have the same bounds");
            all.held += tally.held;
            all.sold_out += tally.sold_out;
        }
        all
    }

    fn add(&mut self, reserved: Reserved) {
        match reserved {
            Reserved::Held { .. } => self.held += 1,
            Reserved::SoldOut => self.sold_out += 1,
        }
    }

    fn measured(&self, cpu: f64, elapsed: Duration) -> Measured {
        let count = self.micros.len() as f64;
        let at = |quantile| self.micros.value_at_quantile(quantile) as f64 / 1e3;
        Measured {
            rate: count / elapsed.as_secs_f64(),
            elapsed_seconds: elapsed.as_secs_f64(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            cpu_seconds: cpu / count * 1e3,
        }
    }
}
