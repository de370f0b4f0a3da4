//! What one connection asks for, call after call, and what it makes of the answers.
//!
//! ```text
//!   next -> Call -> render -> bytes ... answer -> Outcome -> settle -> tally, ledger, holds
//! ```
//!
//! The ledger gets every unit that was acknowledged, and every one that may have moved. A hold whose commit, release
//! or extend was refused or is unknown is not asked for again: it stays in the ledger as it stands.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::ledger::{Ledger, Move};
use super::outcome::{self, Outcome};
use super::plan::{Phase, Plan, Workload};
use super::request::{self, Request};
use super::tally::{Kind, Tally};

/// How many holds a buyer of the mixed workload keeps to go on with; more of them lapse.
const HOLDS_MAX: usize = 64;

/// Of a hundred calls of the mixed workload, in this order: reserves, commits, releases, extends; the rest are reads.
const MIX: [u32; 4] = [40, 25, 15, 10];

/// One connection's calls.
#[derive(Debug)]
pub(super) struct Buyer {
    plan: Arc<Plan>,
    skus: Range<u32>,
    /// Begins the carts and keys of this buyer in this phase.
    name: String,
    random: StdRng,
    calls: u64,
    /// The SKUs of the reserve, or of all those of the batch, that is under way.
    picked: Vec<u32>,
    holds: Vec<Hold>,
}

/// A hold of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    sku: u32,
    id: String,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// Takes a unit of each SKU that was picked.
    Reserve,
    /// Takes a unit of each SKU that was picked, each for a cart of its own.
    Batch,
    /// Sells a hold.
    Commit(Hold),
    /// Gives a hold back.
    Release(Hold),
    /// Moves a hold's deadline.
    Extend(Hold),
    /// Reads a reservation.
    ReadReservation(Hold),
    /// Reads the SKU that was picked.
    ReadSku,
}

impl Call {
    /// Its kind.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Call::Reserve => Kind::Reserve,
            Call::Batch => Kind::Batch,
            Call::Commit(_) => Kind::Commit,
            Call::Release(_) => Kind::Release,
            Call::Extend(_) => Kind::Extend,
            Call::ReadReservation(_) | Call::ReadSku => Kind::Read,
        }
    }

    /// The status that it is answered with when it is done.
    pub(super) fn status_done(&self) -> u16 {
        if *self == Call::Reserve { 201 } else { 200 }
    }
}

impl Buyer {
    /// The buyer of that number.
    pub(super) fn new(plan: &Arc<Plan>, phase: &Phase, number: u32) -> Buyer {
        let seed = plan.seed ^ u64::from(number) << 32 ^ u64::from(phase.letter as u32);
        Buyer {
            plan: Arc::clone(plan),
            skus: phase.skus.clone(),
            name: format!("{}.{}{number}", plan.run, phase.letter),
            random: StdRng::seed_from_u64(seed),
            calls: 0,
            picked: Vec::new(),
            holds: Vec::new(),
        }
    }

    /// The next call.
    pub(super) fn next(&mut self) -> Call {
        self.calls += 1;
        match self.plan.workload {
            Workload::Pair => self.holds.pop().map_or_else(|| self.reserve(), Call::Commit),
            Workload::Mixed => self.mixed(),
            Workload::Batch => self.batch(),
            Workload::Hot | Workload::Spread | Workload::Cart | Workload::Flash => self.reserve(),
        }
    }

    fn reserve(&mut self) -> Call {
        self.picked.clear();
        while self.picked.len() < self.plan.cart as usize {
            let sku = self.pick();
            if !self.picked.contains(&sku) {
                self.picked.push(sku);
            }
        }
        Call::Reserve
    }

    fn batch(&mut self) -> Call {
        self.picked.clear();
        for _ in 0..self.plan.batch {
            let sku = self.pick();
            self.picked.push(sku);
        }
        Call::Batch
    }

    fn mixed(&mut self) -> Call {
        let share = self.random.random_range(0..100);
        let [reserves, commits, releases, extends] = MIX;
        if share < reserves {
            return self.reserve();
        }
        let hold = self.any_hold();
        if share >= reserves + commits + releases + extends {
            // Reads of reservations and of SKUs take turns.
            let read = hold.filter(|_| self.calls.is_multiple_of(2));
            return read.map_or_else(|| self.read_sku(), Call::ReadReservation);
        }
        // Without a hold to go on with there is nothing to do but to get one.
        let Some(hold) = hold else { return self.reserve() };
        match share - reserves {
            share if share < commits => Call::Commit(hold),
            share if share < commits + releases => Call::Release(hold),
            _ => Call::Extend(hold),
        }
    }

    fn read_sku(&mut self) -> Call {
        self.reserve();
        Call::ReadSku
    }

    /// Takes one of its holds out.
    fn any_hold(&mut self) -> Option<Hold> {
        let place = self.random.random_range(0..self.holds.len().max(1));
        (place < self.holds.len()).then(|| self.holds.swap_remove(place))
    }

    fn pick(&mut self) -> u32 {
        match self.skus.len() {
            1 => self.skus.start,
            _ => self.random.random_range(self.skus.clone()),
        }
    }

    /// Writes the call.
    pub(super) fn render(&self, call: &Call, host: &str, request: &mut Request) {
        let (name, number) = (&self.name, self.calls);
        let key = format_args!("{name}.{number}");
        let key = self.plan.keys.then_some(key);
        match call {
            Call::Reserve => request.post(host, "/api/checkout/reserve", key, |body| self.reserve_body(body)),
            Call::Batch => request.post(host, "/api/batch", None, |body| self.batch_body(body)),
            Call::Commit(hold) => request.post(host, "/api/checkout/commit", key, |body| {
                write!(body, "{{\"reservation_id\":\"{}\",\"payment_token\":\"{name}.{number}\"}}", hold.id)
            }),
            Call::Release(hold) => request.post(host, "/api/checkout/release", key, |body| {
                write!(body, "{{\"reservation_id\":\"{}\"}}", hold.id)
            }),
            Call::Extend(hold) => request.post(host, "/api/checkout/extend", key, |body| {
                let ttl_seconds = self.plan.ttl_seconds;
                write!(body, "{{\"reservation_id\":\"{}\",\"ttl_seconds\":{ttl_seconds}}}", hold.id)
            }),
            Call::ReadReservation(hold) => request.get(host, format_args!("/api/reservations/{}", hold.id)),
            Call::ReadSku => {
                request.get(host, format_args!("/api/inventory/{}.{}", self.plan.run, self.picked[0]));
            }
        }
    }

    fn reserve_body(&self, body: &mut Vec<u8>) -> io::Result<()> {
        body.push(b'{');
        let cart = format_args!("{}.{}", self.name, self.calls);
        request::reserve(body, &self.plan, cart, &self.picked, self.customer(0))?;
        body.push(b'}');
        Ok(())
    }

    fn batch_body(&self, body: &mut Vec<u8>) -> io::Result<()> {
        body.extend_from_slice(b"{\"operations\":[");
        for (place, sku) in self.picked.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(body, "{comma}{{\"op\":\"reserve\",")?;
            if self.plan.keys {
                write!(body, "\"idempotency_key\":\"{}.{}.{place}\",", self.name, self.calls)?;
            }
            let cart = format_args!("{}.{}.{place}", self.name, self.calls);
            request::reserve(body, &self.plan, cart, std::slice::from_ref(sku), self.customer(place))?;
            body.push(b'}');
        }
        body.extend_from_slice(b"]}");
        Ok(())
    }

    /// Whose turn it is, of the customers.
    fn customer(&self, place: usize) -> Option<u32> {
        let turn = self.calls.wrapping_mul(7_919).wrapping_add(self.name.len() as u64 + place as u64);
        let turn = turn.checked_rem(u64::from(self.plan.customers))?;
        u32::try_from(turn).ok()
    }

    /// Takes what came of a call to the books.
    pub(super) fn settle(&mut self, call: Call, outcome: &Outcome<'_>, tally: &mut Tally, ledger: &Ledger) {
        let kind = call.kind();
        match call {
            Call::Batch => return self.settle_batch(outcome, tally, ledger),
            Call::Reserve => self.settle_reserve(outcome, tally, ledger),
            Call::Commit(hold) => settle_move(Move::Commit, hold.sku, outcome, ledger),
            Call::Release(hold) => settle_move(Move::Release, hold.sku, outcome, ledger),
            Call::Extend(hold) | Call::ReadReservation(hold) => self.keep(hold),
            Call::ReadSku => {}
        }
        tally.add(kind, outcome, 1);
    }

    fn settle_reserve(&mut self, outcome: &Outcome<'_>, tally: &mut Tally, ledger: &Ledger) {
        for &sku in &self.picked {
            settle_move(Move::Reserve, sku, outcome, ledger);
        }
        if let (Outcome::Done(body), Workload::Pair | Workload::Mixed) = (outcome, self.plan.workload) {
            match outcome::reservation_id(body) {
                Some(id) => self.keep(Hold { sku: self.picked[0], id: id.to_owned() }),
                None => tally.note_nonsense("a reservation without its id"),
            }
        }
    }

    fn settle_batch(&self, outcome: &Outcome<'_>, tally: &mut Tally, ledger: &Ledger) {
        let results = match outcome {
            Outcome::Done(body) => outcome::results(body),
            _ => Ok(Vec::new()),
        };
        let unread = match (outcome, &results) {
            (Outcome::Done(_), Ok(results)) if results.len() == self.picked.len() => None,
            (Outcome::Done(_), Ok(results)) => Some(format!("{} results of a batch", results.len())),
            (Outcome::Done(_), Err(why)) => Some(format!("results of a batch: {why}")),
            _ => None,
        };
        let unread = unread.map(Outcome::Nonsense);
        let mut results = results.unwrap_or_default().into_iter();
        for &sku in &self.picked {
            let result = results.next();
            let result = result.as_ref().or(unread.as_ref()).unwrap_or(outcome);
            settle_move(Move::Reserve, sku, result, ledger);
            tally.add(Kind::Batch, result, 1);
        }
    }

    fn keep(&mut self, hold: Hold) {
        if self.holds.len() < HOLDS_MAX {
            self.holds.push(hold);
        }
    }
}

fn settle_move(what: Move, sku: u32, outcome: &Outcome<'_>, ledger: &Ledger) {
    match outcome {
        Outcome::Done(_) => ledger.done(what, sku),
        Outcome::Unknown(_) | Outcome::Nonsense(_) => ledger.perhaps(what, sku),
        Outcome::Refused(_) | Outcome::NotSent(_) => {}
    }
}
