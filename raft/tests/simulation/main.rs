//! Deterministic simulation: whole clusters with their network, disks and clocks, in one process that follows from a
//! seed.
//!
//! ```text
//!                clients of a shop, an operator                faults, by a schedule
//!                            |                                        |
//!     +----------------------v----------------------------------------v------------------------+
//!     |  node: raft::Group, in a runtime of its own      node            node                   |
//!     |  propose, gate, read, pulse, clock, keeper,      ...             ...                    |
//!     |  log, snapshots, handshake, frames, openraft                                            |
//!     |        |             |             |                                                    |
//!     |     SimDisk       network        Wall            looked at after each millisecond       |
//!     +-------------------------------------------------------|--------------------------------+
//!                                                             v
//!                                     history, and invariants: a file for each
//! ```
//!
//! In every other world an operator changes the members meanwhile: machines join, are promoted, swapped, removed, and
//! come back empty.
//!
//! A seed decides everything: how many nodes there are, their options, what clients ask, what goes wrong and when, how
//! long each message and each write takes, who is elected. The same seed gives the same trace, byte by byte of what
//! goes over the network; a test holds two runs of one against each other. Time is simulated: nobody waits.
//!
//! What runs is our code as it is in a node, and openraft. In the place of these stands something else:
//!
//! * The threads of log and keeper, and those that wait for a disk: a task each, which lets a random time of that disk
//!   pass and then does the very same work (`raft::simulated`, `storage::log::Steps`). So what a thread can do in the
//!   middle of another one's work is not covered, nor are locks: a step is whole.
//! * sled: its image is in one file there, replaced whole with each save. What sled does to its files, and damage of
//!   them, is tested in `storage` and by the processes of `node/tests`.
//! * TCP: `network`. The file system: [`SimDisk`](storage::disk::sim::SimDisk); only lock files are real.
//! * tokio's watch channels: whoever waits for one wakes in the order of waiting (`raft::watch`).
//! * `node`: HTTP, exit codes and process supervision are no part of it. Full disks and damaged bytes are not either.
//!
//! How to run it:
//!
//! ```text
//!   cargo test -p raft --test simulation                                 the seeds that every run of the tests has
//!   SEED=7 cargo test -p raft --test simulation -- one --nocapture       one seed; TRACE=1 prints all that happens
//!   SEED=1000 SEEDS=5000 cargo test -p raft --test simulation -- many    so many seeds, from that one on
//!   SEED=1000 SECONDS=3600 cargo test -p raft --test simulation -- many  seeds from that one on, for so long
//! ```
//!
//! A seed that fails is printed with what was violated and the last lines of its trace, and gives the same again.
#![allow(clippy::unwrap_used, reason = "a test fails where it does")]

mod chance;
mod clocks;
mod cluster;
mod deposed;
mod faults;
mod handed_over;
mod history;
mod invariants;
mod network;
mod node;
mod operator;
mod shop;
mod trace;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use world::{Summary, World};

/// Seeds of every run of the tests.
const SEEDS: u64 = 200;

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn run(seed: u64) -> Summary {
    World::new(seed).run().unwrap_or_else(|why| panic!("{why}"))
}

/// What many seeds came to.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    simulated_ms: u64,
    faults: u64,
    answered: u64,
    changes: u64,
    entries: u64,
    terms: u64,
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, seed: u64, result: Result<Summary, String>) {
        self.seeds += 1;
        match result {
            Ok(summary) => {
                self.simulated_ms += summary.simulated_ms;
                self.faults += summary.faults;
                self.answered += summary.answered;
                self.changes += summary.changes;
                self.entries += summary.entries;
                self.terms += summary.terms;
            }
            Err(why) => {
                eprintln!("{why}");
                self.failed.push(seed);
            }
        }
    }
}

/// Runs seeds on all processors, each on one, until there are so many or the time is over.
fn run_many(first: u64, count: u64, time_max: Option<Duration>) -> Sum {
    let (next, sum, since) = (AtomicU64::new(first), Mutex::new(Sum::default()), Instant::now());
    let work = || {
        while time_max.is_none_or(|max| since.elapsed() < max) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first.saturating_add(count) {
                return;
            }
            // A panic is a violation as well: one that openraft or we have looked for ourselves.
            let ran = thread::Builder::new().spawn(move || World::new(seed).run()).unwrap().join();
            let result = ran.unwrap_or_else(|_| Err(format!("seed {seed}: it panicked")));
            sum.lock().unwrap().add(seed, result);
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..processors).for_each(|_| drop(scope.spawn(work))));
    sum.into_inner().unwrap()
}

#[test]
fn many_seeds_violate_nothing() {
    let time_max = given("SECONDS").map(Duration::from_secs);
    let seeds = given("SEEDS").unwrap_or(if time_max.is_some() { u64::MAX } else { SEEDS });
    let since = Instant::now();
    let sum = run_many(given("SEED").unwrap_or(1), seeds, time_max);
    eprintln!("{sum:?} in {:?}", since.elapsed());
    assert_eq!(sum.failed, [], "seeds that violated something");
    assert!(sum.faults > sum.seeds && sum.answered > 20 * sum.seeds, "too little happened");
    // Every other seed has an operator; one alone may have none.
    assert!(sum.seeds < 20 || sum.changes > sum.seeds, "the members were changed too rarely");
}

/// openraft planned a purge behind a snapshot that lay before the one that it had been asked for by bytes and, as a
/// follower was still being served from there, had not done yet: a debug assertion of its own ended the node.
#[test]
fn a_purge_by_bytes_that_waits_is_not_followed_by_a_lesser_one_by_entries() {
    for seed in [67, 108] {
        World::without_operator(seed).run().unwrap_or_else(|why| panic!("{why}"));
    }
}

/// A node had applied, and saved, what two others had on disk, when its own disk failed at those entries. Its log went
/// on behind what it had applied then, and its snapshot ended before: no follower could have been served from there.
#[test]
fn a_snapshot_that_ends_before_the_log_begins_is_made_anew() {
    World::new(139).run().unwrap_or_else(|why| panic!("{why}"));
}

/// Of these some have an operator.
#[test]
fn one_seed_gives_one_trace() {
    for seed in given("SEED").map_or(1..=3, |seed| seed..=seed) {
        let (first, second) = (run(seed), run(seed));
        eprintln!("{first:?}");
        assert_eq!(first, second, "seed {seed}");
    }
}
