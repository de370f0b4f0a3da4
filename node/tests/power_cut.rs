//! The power of all nodes fails at once, under load, again and again: what was acknowledged holds.
//!
//! ```text
//!   load over all nodes --> cut: every file system shut down, its journal not flushed --> kill -9 --> unmount
//!        ^                                                                                              |
//!        |      what was acknowledged is checked: new answers after each cut, all of them at one        v
//!        +----- node after every tenth, at every node after the last <------- serve <-- start <-- mount
//! ```
//!
//! The moments are random, and so is what goes on: load alone; a node that was down and catches up; nodes that have
//! just been started and are still recovering. Segments and snapshots are small, so that cuts meet the moments at
//! which one begins or ends. `CUTS=n` cuts so often (100 unless set), `SEED=n` repeats the moments of a run.
//!
//! It needs root and loop devices; without them it says so and tests nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use support::books::Books;
use support::cluster::{Cluster, IDS, Place, free_places};
use support::mount::Mount;
use support::trade::{self, Trade};
use support::{copy, say, seed, wait_for};

/// How large a node's device is.
const DEVICE_BYTES: u64 = 128 << 20;

/// What makes segments and snapshots small.
const SMALL: [&str; 3] = ["env", "LASTUNIT_SEGMENT_BYTES=131072", "LASTUNIT_SNAPSHOT_ENTRIES=100"];

/// How long the load lasts before a cut, in milliseconds.
const LOAD_MS: std::ops::RangeInclusive<u64> = 100..=400;

/// How long after their start the nodes lose power again, in milliseconds: most are not ready by then.
const RECOVERY_MS: std::ops::RangeInclusive<u64> = 0..=1_000;

/// How long a node that catches up has before the cut, in milliseconds.
const CATCH_UP_MS: std::ops::RangeInclusive<u64> = 0..=600;

/// How many clusters lose power while they form, how often each, and how long after the start, in milliseconds.
const FORMINGS: u64 = 5;
const CUTS_EACH: u64 = 3;
const FORMING_MS: std::ops::RangeInclusive<u64> = 0..=700;

/// A call that lost its nodes is given up soon: its fate is learned when they are back.
const PATIENCE: Duration = Duration::from_millis(500);

/// So many cuts meet every moment.
const MANY_CUTS: u64 = 100;

/// Everything is checked after so many cuts.
const CHECK_ALL_EVERY: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_power_cuts_of_all_nodes() {
    let mounts = match Mount::three(DEVICE_BYTES) {
        Ok(mounts) => mounts,
        Err(why) => return say(&format!("SKIPPED, nothing was tested: {why}")),
    };
    let (cuts_wanted, seed) = (given("CUTS").unwrap_or(MANY_CUTS), seed());
    say(&format!("SEED={seed} CUTS={cuts_wanted}"));
    let begun = Instant::now();
    let mut storm = Storm::new(&mounts, seed).await;
    let mut checked = 0;
    while storm.cuts < cuts_wanted {
        storm.round().await;
        if storm.cuts / CHECK_ALL_EVERY > checked {
            checked = storm.cuts / CHECK_ALL_EVERY;
            let node = *IDS.choose(&mut storm.random).unwrap();
            storm.books.check_all(&storm.cluster, &[node]).await;
            storm.tell(begun);
        }
    }
    storm.books.check_all(&storm.cluster, &IDS).await;
    storm.tell(begun);
    assert!(storm.books.acknowledged() > storm.cuts, "too little was acknowledged to tell anything");
    assert!(storm.cuts < MANY_CUTS || storm.cuts_in_recovery > 0, "no cut met a recovery");
}

/// Whatever a node had on its disk by then, the next start goes on with it, and the cluster is formed once.
#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_while_a_cluster_forms_leave_one_that_does() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut formed = 0;
    for _ in 0..FORMINGS {
        let mounts = match Mount::three(DEVICE_BYTES) {
            Ok(mounts) => mounts,
            Err(why) => return say(&format!("SKIPPED, nothing was tested: {why}")),
        };
        let data_dirs = mounts.iter().map(|mount| mount.path().to_owned()).collect();
        let mut cluster = Cluster::stopped_in(seed, small_places(), trade::LIMITS, data_dirs).await;
        for _ in 0..CUTS_EACH {
            IDS.into_iter().for_each(|id| cluster.spawn(id));
            sleep(Duration::from_millis(random.random_range(FORMING_MS))).await;
            formed += u64::from(cluster.view(1).await.is_some_and(|view| view.leader_id.is_some()));
            cut(&mut cluster, &mounts);
        }
        cluster.start_all().await;
        let mut books = Books::open(&cluster).await;
        trade_a_while(&cluster, &mut books, "formed").await;
        books.check_all(&cluster, &IDS).await;
    }
    let cuts = FORMINGS * CUTS_EACH;
    say(&format!(
        "SEED={seed}: {cuts} power cuts while {FORMINGS} clusters formed, {formed} of them after it"
    ));
}

/// The proof that the checks can fail: all nodes go back to what they were a moment ago, as if nothing since had been
/// on a disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_forgot_is_found_out() {
    let place = tempfile::tempdir().unwrap();
    let data_dirs = IDS.map(|id| place.path().join(id.to_string())).to_vec();
    let mut cluster = Cluster::start_in(seed(), small_places(), trade::LIMITS, data_dirs).await;
    let mut books = Books::open(&cluster).await;
    trade_a_while(&cluster, &mut books, "kept").await;
    books.check_all(&cluster, &IDS).await;
    cluster.kill_all();
    let kept = |id| place.path().join(format!("kept-{id}"));
    IDS.into_iter().for_each(|id| copy(&cluster.data_dir(id), &kept(id)));
    cluster.start_all().await;
    trade_a_while(&cluster, &mut books, "forgotten").await;
    cluster.kill_all();
    for id in IDS {
        std::fs::remove_dir_all(cluster.data_dir(id)).unwrap();
        copy(&kept(id), &cluster.data_dir(id));
    }
    cluster.start_all().await;
    let found = AssertUnwindSafe(books.check_new(&cluster)).catch_unwind().await;
    let why = found.expect_err("what was forgotten is missed");
    let why = why.downcast_ref::<String>().expect("a check says why it fails");
    assert!(why.contains(" is lost: ") || why.contains("executed twice"), "{why}");
}

async fn trade_a_while(cluster: &Cluster, books: &mut Books, name: &str) {
    let trade = Trade::start(cluster.client(), name, seed(), support::PATIENCE / 4);
    wait_for("some is traded", async || (trade.answered() > 100).then_some(())).await;
    books.add(trade.stop().await);
}

/// A cluster whose power fails.
struct Storm<'a> {
    mounts: &'a [Mount; 3],
    cluster: Cluster,
    books: Books,
    random: StdRng,
    cuts: u64,
    cuts_in_recovery: u64,
    cuts_in_snapshot: u64,
    rounds: u64,
}

impl Storm<'_> {
    async fn new(mounts: &[Mount; 3], seed: u64) -> Storm<'_> {
        let data_dirs = mounts.iter().map(|mount| mount.path().to_owned()).collect();
        let cluster = Cluster::start_in(seed, small_places(), trade::LIMITS, data_dirs).await;
        let books = Books::open(&cluster).await;
        let random = StdRng::seed_from_u64(seed);
        Storm { mounts, cluster, books, random, cuts: 0, cuts_in_recovery: 0, cuts_in_snapshot: 0, rounds: 0 }
    }

    /// Load, a cut or two, and what must hold after it.
    async fn round(&mut self) {
        self.rounds += 1;
        let (name, seed) = (self.rounds.to_string(), self.random.random());
        let trade = Trade::start(self.cluster.client(), &name, seed, PATIENCE);
        match self.random.random_range(0..10) {
            0..6 => self.some(LOAD_MS).await,
            6..8 => self.catch_up().await,
            _ => {
                self.some(LOAD_MS).await;
                self.cut();
                self.some(RECOVERY_MS).await;
                self.cuts_in_recovery += 1;
            }
        }
        self.cut();
        self.books.add(trade.stop().await);
        self.cluster.ready(&IDS).await;
        self.books.check_new(&self.cluster).await;
    }

    /// A node is down for a while, and back for a moment.
    async fn catch_up(&mut self) {
        let away = *IDS.choose(&mut self.random).unwrap();
        self.cluster.kill(away);
        self.some(LOAD_MS).await;
        self.cluster.spawn(away);
        self.some(CATCH_UP_MS).await;
    }

    async fn some(&mut self, ms: std::ops::RangeInclusive<u64>) {
        sleep(Duration::from_millis(self.random.random_range(ms))).await;
    }

    /// The power fails, and comes back, and so do the nodes.
    fn cut(&mut self) {
        cut(&mut self.cluster, self.mounts);
        self.cuts += 1;
        self.cuts_in_snapshot += u64::from(self.mounts.iter().any(has_half_a_snapshot));
        IDS.into_iter().for_each(|id| self.cluster.spawn(id));
    }

    fn tell(&self, begun: Instant) {
        say(&format!(
            "{} power cuts of all nodes ({} while recovering, {} with a snapshot half written), {} of \
             {} operations acknowledged, {} checks of answers: 0 lost, after {} s",
            self.cuts,
            self.cuts_in_recovery,
            self.cuts_in_snapshot,
            self.books.acknowledged(),
            self.books.operations(),
            self.books.checks(),
            begun.elapsed().as_secs()
        ));
    }
}

/// The power fails, and comes back.
fn cut(cluster: &mut Cluster, mounts: &[Mount; 3]) {
    block_in_place(|| Mount::cut(mounts));
    cluster.kill_all();
    block_in_place(|| mounts.iter().for_each(Mount::restore));
}

fn small_places() -> Vec<Place> {
    let small = |place| Place { launcher: SMALL.map(str::to_owned).to_vec(), ..place };
    free_places().into_iter().map(small).collect()
}

/// Whether a temporary file of a snapshot is left.
fn has_half_a_snapshot(mount: &Mount) -> bool {
    let names = std::fs::read_dir(mount.path().join("snapshots")).into_iter().flatten();
    names.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "tmp"))
}

fn given(name: &str) -> Option<u64> {
    let given = std::env::var(name).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
