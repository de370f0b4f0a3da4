//! The checker and a general search for linearizations must agree on small histories of one SKU, good and bad.
//!
//! The search (stateright's tester) knows a shelf: reserve, commit, release and look, each told the sequence after it.
//! It tries every order that real time allows. The checker has the sequences, and looks in one order only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use checker::history::{Call, FeedEvent, Json, Op, Outcome};
use checker::{History, check};
use client::api::{CommitRequest, Item, PutSkuRequest, ReleaseRequest, ReserveRequest};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use support::ask::Ask;
use support::shop::Shop;
use support::{STARTED_MS, by_hand, seeds};

const CALLS: u64 = 9;

/// What a call asks of the shelf; carts are numbered.
#[derive(Clone, Debug, PartialEq)]
enum Wish {
    Put(u64),
    Reserve(u64),
    Commit(u64),
    Release(u64),
    Look,
}

/// What it was told.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Done(u64),
    Refused(u64),
    Seen { sequence: u64, on_hand: u64, held: u64, sold: u64 },
}

/// One SKU, as one who tries every order has to know it.
#[derive(Clone, Debug, Default)]
struct Shelf {
    sequence: u64,
    on_hand: u64,
    sold: u64,
    held: Vec<u64>,
    committed: Vec<u64>,
    released: Vec<u64>,
}

impl SequentialSpec for Shelf {
    type Op = Wish;
    type Ret = Said;

    fn invoke(&mut self, wish: &Wish) -> Said {
        let allowed = match wish {
            Wish::Look => {
                let Shelf { sequence, on_hand, sold, .. } = *self;
                return Said::Seen { sequence, on_hand, held: self.held.len() as u64, sold };
            }
            Wish::Put(_) => true,
            Wish::Reserve(_) => self.on_hand > self.held.len() as u64,
            // Those who did it before are told so again.
            Wish::Commit(cart) => self.held.contains(cart) || self.committed.contains(cart),
            Wish::Release(cart) => self.held.contains(cart) || self.released.contains(cart),
        };
        if !allowed {
            return Said::Refused(self.sequence);
        }
        self.sequence += 1;
        self.change(wish);
        Said::Done(self.sequence)
    }
}

impl Shelf {
    fn change(&mut self, wish: &Wish) {
        match wish {
            Wish::Put(on_hand) => self.on_hand = *on_hand,
            Wish::Reserve(cart) => self.held.push(*cart),
            Wish::Commit(cart) if self.held.contains(cart) => {
                self.held.retain(|other| other != cart);
                self.committed.push(*cart);
                (self.on_hand, self.sold) = (self.on_hand - 1, self.sold + 1);
            }
            Wish::Release(cart) if self.held.contains(cart) => {
                self.held.retain(|other| other != cart);
                self.released.push(*cart);
            }
            _ => {}
        }
    }
}

/// A small history, and what its calls wished for.
fn small(random: &mut StdRng) -> (History, Vec<Wish>) {
    let (mut history, mut shop, mut wishes) = (by_hand::empty(), Shop::default(), Vec::new());
    let put = PutSkuRequest { on_hand: random.random_range(1..4), ..PutSkuRequest::default() };
    for number in 0..CALLS {
        let at_us = 10_000 + number * 1_000;
        let times = (at_us - random.random_range(0..2_500), at_us + random.random_range(1..2_500));
        let cart = random.random_range(0..number.max(1));
        let made = shop.find_cart(&format!("cart-{cart}"));
        let (wish, ask) = match (random.random_range(0..8), made) {
            _ if number == 0 => (Wish::Put(put.on_hand), Some(Ask::Put("S".into(), put.clone()))),
            (0 | 1, Some(id)) => {
                let commit = CommitRequest { reservation_id: id, ..CommitRequest::default() };
                (Wish::Commit(cart), Some(Ask::Commit(commit)))
            }
            (2, Some(reservation_id)) => {
                (Wish::Release(cart), Some(Ask::Release(ReleaseRequest { reservation_id, items: None })))
            }
            (3 | 4, _) => (Wish::Look, None),
            _ => {
                let cart_id = format!("cart-{number}");
                let reserve =
                    ReserveRequest { cart_id, items: vec![Item::new("S", 1)], ..ReserveRequest::default() };
                (Wish::Reserve(number), Some(Ask::Reserve(reserve)))
            }
        };
        let mut call = match ask {
            Some(ask) => {
                let done = shop.command(STARTED_MS + at_us / 1_000, None, &ask, false);
                let (op, target, request) = ask.parts();
                let call = by_hand::call(op, times, Value::Null, done.status, done.sequence, done.body);
                Call { target, request, ..call }
            }
            None => look(&shop, times),
        };
        (call.id, call.client) = (number, number);
        history.calls.push(call);
        wishes.push(wish);
    }
    history.events = shop.events.into_iter().map(|event| FeedEvent { node: 1, event }).collect();
    (history, wishes)
}

fn look(shop: &Shop, times: (u64, u64)) -> Call {
    let record = serde_json::to_value(&shop.stock["S"]).unwrap();
    by_hand::call(Op::GetStock, times, Value::Null, 200, shop.sequence, record)
}

fn said(call: &Call) -> Said {
    let answer = call.answer().unwrap();
    let sequence = answer.sequence.unwrap();
    let figure = |name: &str| answer.body.read::<Value>().unwrap()[name].as_u64().unwrap();
    match call.op {
        Op::GetStock => {
            Said::Seen { sequence, on_hand: figure("on_hand"), held: figure("held"), sold: figure("sold") }
        }
        _ if answer.succeeded() => Said::Done(sequence),
        _ => Said::Refused(sequence),
    }
}

/// Whether some order explains it all.
fn is_linearizable(history: &History, wishes: &[Wish]) -> bool {
    let mut tester = LinearizabilityTester::new(Shelf::default());
    let begun = history.calls.iter().map(|call| (call.started_us, false, call.id));
    let ended = history.calls.iter().map(|call| (call.ended_us, true, call.id));
    let mut moments: Vec<(u64, bool, u64)> = begun.chain(ended).collect();
    moments.sort_unstable();
    for (_, is_end, id) in moments {
        let place = id as usize;
        match is_end {
            false => drop(tester.on_invoke(id, wishes[place].clone()).unwrap()),
            true => drop(tester.on_return(id, said(&history.calls[place])).unwrap()),
        }
    }
    tester.is_consistent()
}

/// Spoils something, or only seems to.
fn spoil(history: &mut History, random: &mut StdRng) -> &'static str {
    let place = random.random_range(1..history.calls.len());
    let other = random.random_range(0..history.calls.len());
    match random.random_range(0..5) {
        0 => "nothing",
        1 => {
            let by_us = random.random_range(0..6_000);
            let call = &mut history.calls[place];
            (call.started_us, call.ended_us) = (call.started_us + by_us, call.ended_us + by_us);
            "a call is made later"
        }
        2 => {
            let by_us = random.random_range(0..6_000);
            let call = &mut history.calls[place];
            (call.started_us, call.ended_us) =
                (call.started_us.saturating_sub(by_us), call.ended_us.saturating_sub(by_us).max(1));
            "a call is made earlier"
        }
        3 if history.calls[place].op == Op::GetStock && history.calls[other].op == Op::GetStock => {
            let outcome = history.calls[other].outcome.clone();
            history.calls[place].outcome = outcome;
            "a look at another moment"
        }
        _ => {
            let Some(call) = history.calls.iter_mut().skip(place).find(|call| call.op == Op::GetStock) else {
                return "nothing";
            };
            if let Outcome::Answer(answer) = &mut call.outcome {
                let mut record: Value = answer.body.read().unwrap();
                let more = |figure: &Value, more| Value::from(figure.as_u64().unwrap() + more);
                (record["on_hand"], record["available"]) =
                    (more(&record["on_hand"], 1), more(&record["available"], 1));
                answer.body = Json::of(&record).unwrap();
            }
            "a look sees a unit more"
        }
    }
}

#[test]
fn the_checker_and_a_search_for_linearizations_agree() {
    let (mut good, mut bad) = (0, 0);
    for seed in seeds(0..400) {
        let random = &mut StdRng::seed_from_u64(seed);
        let (mut history, wishes) = small(random);
        assert!(is_linearizable(&history, &wishes), "SEED={seed}: what the shop makes is linearizable");
        let how = spoil(&mut history, random);
        let (searched, verdict) = (is_linearizable(&history, &wishes), check(&history));
        let passed = verdict.violations_total() == 0;
        assert_eq!(passed, searched, "SEED={seed}, {how}: {:#?}", verdict.rules);
        if passed { good += 1 } else { bad += 1 }
    }
    assert!(good > 50 && bad > 50 || std::env::var("SEED").is_ok(), "{good} good and {bad} bad ones");
}
