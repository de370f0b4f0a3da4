//! A client: one call at a time, and a moment of thought between two.

use std::sync::Arc;
use std::time::Duration;

use checker::history::Op;
use client::api::{BatchResponse, Page, Reservation};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::time::sleep;

use super::ask::Ask;
use super::caller::Caller;
use super::shop::Shop;
use super::wire::Reply;
use super::wish::Wishes;

/// Of a hundred writes that succeeded, so many are made again with the same key, through another node.
const REPEATED: u32 = 8;

/// Of so many, for one its key is used again for another call, which must be refused.
const MISUSED_ONE_IN: u32 = 40;

/// The client that puts the stock on sale.
pub(super) const OPENER: u64 = 0;

/// A client.
pub(super) struct Buyer {
    id: u64,
    caller: Caller,
    shop: Arc<Shop>,
    wishes: Wishes,
    think_ms: u64,
}

impl Buyer {
    /// The client of that number; it thinks for so long on average.
    pub(super) fn new(id: u64, seed: u64, caller: Caller, shop: Arc<Shop>, think_ms: u64) -> Buyer {
        // Streams of different clients must have nothing in common, nor with that of the faults.
        let own = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(id + 1);
        let wishes = Wishes::new(id, StdRng::seed_from_u64(own));
        Buyer { id, caller, shop, wishes, think_ms }
    }

    /// Puts the stock on sale. Answers whether all of it is.
    pub(super) async fn open(mut self) -> bool {
        let mut all = true;
        for ask in self.wishes.opening() {
            let reply = self.caller.make(self.id, &ask, &mut self.wishes.dice).await;
            all &= reply.is_some_and(|reply| reply.status < 300);
        }
        all
    }

    /// Makes calls until told to stop; the last one still gets its outcome.
    pub(super) async fn buy(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let ask = self.wishes.next(&self.shop);
            let reply = self.make(&ask).await;
            let again = self.wishes.dice.random_ratio(REPEATED, 100);
            let misuse = self.wishes.dice.random_ratio(1, MISUSED_ONE_IN);
            let is_done = ask.op.writes() && ask.op != Op::Delete && succeeded(reply.as_ref());
            if again && is_done {
                self.make(&ask).await;
            }
            if let Some(other) = self.wishes.misused(&ask).filter(|_| misuse && is_done) {
                self.make(&other).await;
            }
            let think_ms = self.wishes.dice.random_range(0..=2 * self.think_ms);
            sleep(Duration::from_millis(think_ms)).await;
        }
    }

    async fn make(&mut self, ask: &Ask) -> Option<Reply> {
        let reply = self.caller.make(self.id, ask, &mut self.wishes.dice).await?;
        reservations(ask.op, &reply).into_iter().for_each(|known| self.shop.learn(known));
        Some(reply)
    }
}

fn succeeded(reply: Option<&Reply>) -> bool {
    reply.is_some_and(|reply| reply.status < 300)
}

/// The reservations that an answer tells of.
fn reservations(op: Op, reply: &Reply) -> Vec<Reservation> {
    if reply.status >= 300 {
        return Vec::new();
    }
    match op {
        Op::Reserve | Op::Commit | Op::Release | Op::Extend | Op::Return | Op::GetReservation => {
            serde_json::from_slice(&reply.body).into_iter().collect()
        }
        Op::Batch => {
            let response = serde_json::from_slice::<BatchResponse>(&reply.body);
            let results = response.into_iter().flat_map(|response| response.results);
            results.filter_map(|result| serde_json::from_value(result.body).ok()).collect()
        }
        Op::ListReservations => serde_json::from_slice::<Page<Reservation>>(&reply.body)
            .into_iter()
            .flat_map(|page| page.data)
            .collect(),
        Op::Put | Op::Adjust | Op::Delete | Op::GetStock | Op::ListStock => Vec::new(),
    }
}
