//! Simulation.
#![allow(clippy::unwrap_used, reason = "a test fails where it does")]

mod chance;
mod clocks;
mod faults;
mod history;
mod invariants;
mod network;
mod node;
mod shop;
mod trace;
mod world;

use world::World;

#[test]
fn one() {
    let seed = std::env::var("SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    let since = std::time::Instant::now();
    let summary = World::new(seed).run().unwrap_or_else(|why| panic!("{why}"));
    println!("{summary:?} {:?}", since.elapsed());
}
