//! Random commands: the inventory against a naive model, and against itself rebuilt from its records.
//!
//! `SEED=n cargo test -p storage --test model` repeats one seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; clippy exempts only its #[test] functions"
)]

mod naive;
mod random;

use std::collections::BTreeMap;

use naive::Naive;
use random::Source;
use storage::inventory::Inventory;
use storage::inventory::command::{Command, Request, Stamp};
use storage::inventory::outcome::{Applied, Rejection};
use storage::inventory::record::{Record, RecordKey};

const SEEDS: u64 = 30;
const COMMANDS: u64 = 4_000;

/// Every answer, and now and then every figure, is the naive model's.
#[test]
fn answers_are_the_naive_models() {
    for_each_seed(|seed| {
        let (mut source, mut inventory, mut naive) =
            (Source::new(seed), Inventory::default(), Naive::default());
        for _ in 0..COMMANDS {
            let (stamp, request) = source.next();
            let before = format!("seed {seed}, command {}: {stamp:?} {request:?}", inventory.sequence() + 1);
            let applied = apply_behind_the_gate(&mut inventory, &stamp, &request);
            assert_eq!(applied, naive.apply(&stamp, &request), "{before}");
            source.heard(&applied);
            if inventory.sequence() % 50 == 0 {
                compare(&inventory, &naive);
            }
        }
    });
}

/// The records at any moment make an inventory that goes on as the first one did, to the last answer and digest.
#[test]
fn replay_from_any_checkpoint_is_the_same() {
    for_each_seed(|seed| {
        let (mut source, mut inventory) = (Source::new(seed), Inventory::default());
        let mut rebuilt = Vec::new();
        for turn in 0..COMMANDS / 2 {
            let (stamp, request) = source.next();
            let applied = inventory.apply(&stamp, &request);
            source.heard(&applied);
            for other in &mut rebuilt {
                assert_same(seed, &inventory, &applied, other, &stamp, &request);
            }
            // The oldest makes room for the newest, from 3 commands after the start on.
            if turn % 97 == 3 {
                rebuilt.truncate(4);
                rebuilt.insert(0, Inventory::from_records(inventory.records()).unwrap());
            }
        }
        for other in rebuilt {
            assert!(other.records().eq(inventory.records()), "seed {seed}");
        }
    });
}

/// What `take_changes` tells, applied to an image, keeps it equal to the records.
#[test]
fn changes_keep_an_image_up_to_date() {
    for_each_seed(|seed| {
        let (mut source, mut inventory) = (Source::new(seed), Inventory::default());
        let mut image = BTreeMap::<RecordKey, Record>::new();
        for turn in 0..COMMANDS / 2 {
            let (stamp, request) = source.next();
            let applied = inventory.apply(&stamp, &request);
            source.heard(&applied);
            if turn % 41 == 0 {
                let changed = inventory.changed();
                let keys = update(&mut image, &mut inventory);
                assert!(keys <= changed && inventory.changed() == 0, "seed {seed}");
                assert!(image.clone().into_iter().eq(inventory.records()), "seed {seed}");
            }
        }
    });
}

/// Applies the command after asking the gate, which must be right where no time passes in between.
fn apply_behind_the_gate(inventory: &mut Inventory, stamp: &Stamp, request: &Request) -> Applied {
    let gate = inventory.sure_rejection(request);
    let same_moment = stamp.now_ms <= inventory.now_ms();
    let applied = inventory.apply(stamp, request);
    match (gate, &applied.result) {
        _ if !same_moment => {}
        (Some(foretold), result) => assert_eq!(result.as_ref().err(), Some(&foretold), "{request:?}"),
        (None, Ok(_) | Err(Rejection::IdempotencyKeyReused | Rejection::HoldLimit { .. })) => {}
        (None, Err(missed)) => panic!("the gate missed {missed:?} of {request:?}"),
    }
    applied
}

fn compare(inventory: &Inventory, naive: &Naive) {
    inventory.audit().unwrap();
    for sku in naive.skus() {
        assert_eq!(inventory.stock(sku), naive.stock(sku));
    }
    for id in naive.ids() {
        assert_eq!(inventory.reservation(id), naive.reservation(id));
    }
    // What the inventory has beyond the model is due, and no reader sees it.
    for (key, _) in inventory.records() {
        if let RecordKey::Reservation(id) = key {
            assert_eq!(inventory.reservation(id), naive.reservation(id));
        }
    }
    let due_ms = inventory.next_due_ms();
    if due_ms.is_none_or(|due_ms| due_ms > inventory.now_ms()) {
        assert_eq!(due_ms, naive.next_due_ms());
    }
}

fn assert_same(
    seed: u64,
    first: &Inventory,
    applied: &Applied,
    other: &mut Inventory,
    stamp: &Stamp,
    request: &Request,
) {
    assert_eq!(other.apply(stamp, request), *applied, "seed {seed}, {request:?}");
    assert_eq!(other.state_digest(), first.state_digest(), "seed {seed}, {request:?}");
    assert_eq!(other.counts(), first.counts(), "seed {seed}, {request:?}");
}

fn update(image: &mut BTreeMap<RecordKey, Record>, inventory: &mut Inventory) -> usize {
    let changes = inventory.take_changes();
    let count = changes.len();
    for (key, record) in changes {
        match record {
            Some(record) => drop(image.insert(key, record)),
            None => drop(image.remove(&key)),
        }
    }
    count
}

fn for_each_seed(run: impl Fn(u64)) {
    match std::env::var("SEED") {
        Ok(seed) => run(seed.parse().expect("SEED is a number")),
        Err(_) => (0..SEEDS).for_each(|seed| {
            eprintln!("SEED={seed}");
            run(seed);
        }),
    }
}

/// The test of the tests: each kind of command succeeds, is refused and is replayed often enough.
#[test]
fn the_random_commands_reach_every_answer() {
    let mut seen = BTreeMap::<String, u64>::new();
    let mut unswept = 0;
    for seed in 0..SEEDS {
        let (mut source, mut inventory) = (Source::new(seed), Inventory::default());
        for _ in 0..COMMANDS {
            let (stamp, request) = source.next();
            let applied = inventory.apply(&stamp, &request);
            source.heard(&applied);
            *seen.entry(name_of(&request.command, &applied)).or_default() += 1;
            unswept += u64::from(inventory.next_due_ms().is_some_and(|due_ms| due_ms <= inventory.now_ms()));
        }
    }
    assert!(unswept >= 10, "only {unswept} times more was due than a sweep ends");
    for line in include_str!("reached.txt").lines() {
        let count = seen.get(line).copied().unwrap_or(0);
        assert!(count >= 10, "{line}: only {count} times, in {seen:#?}");
    }
}

fn name_of(command: &Command, applied: &Applied) -> String {
    let first_word = |text: String| text.split(['(', ' ']).next().unwrap_or_default().to_owned();
    let what = match &applied.result {
        Ok(_) if applied.replayed => "replayed".to_owned(),
        Ok(outcome) => first_word(format!("{outcome:?}")),
        Err(rejection) => first_word(format!("{rejection:?}")),
    };
    format!("{} -> {what}", first_word(format!("{command:?}")))
}
