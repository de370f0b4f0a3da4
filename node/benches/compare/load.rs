//! The load on Redis: threads of their own, each with its share of the connections, each with one call at a time.
//!
//! ```text
//!   put stock | warm-up: connect, call until its end | measured: connect, call until its end | read the books
//!                                                      `-- processor time, first to last answer --'
//! ```
//!
//! It is built as the load of `lastunit bench` is, so that both cost about the same: raw sockets without delay, buffers
//! that are used again, threads that share nothing and run their connections without handing them over.

use std::net::TcpStream;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::runtime;
use tokio::task::JoinSet;

use super::machine::cpu_seconds;
use super::measured::Measured;
use super::options::Options;
use super::redis::Redis;
use super::shop::{Reserved, Scripts, Shop};
use super::tally::{Cpu, Tally};
use super::workload::{FLASH_REQUESTS, Workload};

/// The warm-up, or what is measured.
struct Phase {
    workload: Workload,
    /// Tells its carts from those of the other phase.
    letter: char,
    skus: Range<u64>,
    end: End,
}

/// When a phase ends.
enum End {
    /// At that moment.
    At(Instant),
    /// When nothing of so many calls is left.
    Calls(AtomicU64),
}

/// What a phase came to.
struct Loaded {
    tally: Tally,
    cpu: Cpu,
    elapsed: Duration,
}

/// Runs a workload on servers that are new.
pub(crate) async fn run(redis: &Redis, workload: Workload, options: &Options) -> Measured {
    let mut keeper = Shop::keeper(redis).await;
    keeper.put(workload.skus_put(), workload.stock()).await;
    let warmed = load(redis, keeper.scripts(), Phase::warm_up(workload, options), options).await;
    let loaded = load(redis, keeper.scripts(), Phase::measured(workload, options), options).await;
    if workload == Workload::Flash {
        assert_eq!(loaded.tally.held, workload.stock(), "a sale that sold out");
    }
    check(&mut keeper, workload, warmed.tally.held + loaded.tally.held).await;
    loaded.tally.measured(loaded.cpu, loaded.elapsed)
}

/// Runs a phase to its end.
async fn load(redis: &Redis, scripts: &Scripts, phase: Phase, options: &Options) -> Loaded {
    let connections = phase.workload.connections(options.connections);
    let mut shares: Vec<Vec<(u64, TcpStream)>> = (0..options.threads).map(|_| Vec::new()).collect();
    for (number, share) in (0..connections).zip((0..shares.len()).cycle()) {
        shares[share].push((number, redis.connect()));
    }
    let phase = Arc::new(phase);
    let (start, before) = (Instant::now(), cpu(redis));
    let mut threads = JoinSet::new();
    for share in shares {
        let (phase, scripts, waits) = (Arc::clone(&phase), scripts.clone(), redis.replicas() > 0);
        threads.spawn_blocking(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work(share, &phase, &scripts, waits))
        });
    }
    let tally = Tally::of(threads.join_all().await);
    Loaded { tally, elapsed: start.elapsed(), cpu: cpu(redis).since(&before) }
}

/// What was used until now.
fn cpu(redis: &Redis) -> Cpu {
    Cpu { servers_seconds: redis.cpu_seconds(), load_seconds: cpu_seconds(std::process::id()) }
}

/// One thread, from its first call to its last answer.
async fn work(share: Vec<(u64, TcpStream)>, phase: &Arc<Phase>, scripts: &Scripts, waits: bool) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::new()));
    let mut tasks = JoinSet::new();
    for (number, socket) in share {
        let shop = Shop::open(socket, scripts.clone(), waits);
        tasks.spawn(buy(shop, number, Arc::clone(phase), Arc::clone(&tally)));
    }
    tasks.join_all().await;
    tally.lock().unwrap().clone()
}

/// One connection, from its first cart to its last.
async fn buy(mut shop: Shop, number: u64, phase: Arc<Phase>, tally: Arc<Mutex<Tally>>) {
    let mut random = StdRng::seed_from_u64(number);
    let mut cart = 0_u64;
    while phase.goes_on() {
        cart += 1;
        shop.choose(random.random_range(phase.skus.clone()), format_args!("{}{number}.{cart}", phase.letter));
        let start = Instant::now();
        let reserved = shop.reserve().await;
        tally.lock().unwrap().add(reserved, start.elapsed());
        if phase.workload == Workload::Pair && reserved == Reserved::Held {
            let start = Instant::now();
            shop.commit().await;
            tally.lock().unwrap().add_commit(start.elapsed());
        }
    }
}

/// Compares what the server has with what the connections were told: a run that lost or oversold a unit is no run.
async fn check(keeper: &mut Shop, workload: Workload, granted: u64) {
    let skus = workload.skus_put();
    let (stock, sold) = keeper.count(skus).await;
    assert_eq!(skus * workload.stock() - stock, granted, "units that are gone, and those that were granted");
    let commits = if workload == Workload::Pair { granted } else { 0 };
    assert_eq!(sold, commits, "units that are sold");
    assert_eq!(keeper.held().await, granted - commits, "carts that hold a unit");
}

impl Phase {
    fn warm_up(workload: Workload, options: &Options) -> Phase {
        let skus = workload.skus_warm();
        Phase { workload, letter: 'w', skus, end: End::At(Instant::now() + options.warm_up()) }
    }

    fn measured(workload: Workload, options: &Options) -> Phase {
        let end = match workload {
            Workload::Flash => End::Calls(AtomicU64::new(FLASH_REQUESTS)),
            _ => End::At(Instant::now() + options.measured()),
        };
        Phase { workload, letter: 'm', skus: 0..workload.skus(), end }
    }

    /// Whether there is another cart to serve.
    fn goes_on(&self) -> bool {
        match &self.end {
            End::At(end) => Instant::now() < *end,
            End::Calls(left) => {
                let take = |left: u64| left.checked_sub(1);
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            }
        }
    }
}
