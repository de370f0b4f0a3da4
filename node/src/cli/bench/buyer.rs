//! What one connection asks for, call after call, and what it makes of the answers.
//!
//! ```text
//!   next -> Call -> render -> bytes ... answer -> Outcome -> settle -> tally, ledger, holds
//! ```
//!
//! The ledger gets every unit that was acknowledged, and every one that may have moved. A hold whose commit, release
//! or extend was refused or is unknown is not asked for again: it stays in the ledger as it stands.

mod render;

use std::ops::Range;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::ledger::{Ledger, Move};
use super::outcome::{self, Outcome};
use super::plan::{Phase, Plan, Workload};
use super::tally::{Kind, Tally};

/// How many holds a buyer of the mixed workload keeps to go on with; more of them lapse.
const HOLDS_MAX: usize = 64;

/// Of a hundred calls of the mixed workload, in this order: reserves, commits, releases, extends; the rest are reads.
/// More is reserved than is sold or given back, as in any shop: so there is nearly always a hold to go on with.
const MIX: [u32; 4] = [45, 25, 10, 10];

/// One connection's calls.
#[derive(Debug)]
pub(super) struct Buyer {
    plan: Arc<Plan>,
    skus: Range<u32>,
    number: u32,
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
    /// The run that it is a part of.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The buyer of that number.
    pub(super) fn new(plan: &Arc<Plan>, phase: &Phase, number: u32) -> Buyer {
        let seed = plan.seed ^ u64::from(number) << 32 ^ u64::from(phase.letter as u32);
        Buyer {
            plan: Arc::clone(plan),
            skus: phase.skus.clone(),
            number,
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
        if share >= reserves + commits + releases + extends {
            return self.read();
        }
        // Without a hold to go on with there is nothing to do but to get one.
        let Some(hold) = self.any_hold() else { return self.reserve() };
        match share - reserves {
            share if share < commits => Call::Commit(hold),
            share if share < commits + releases => Call::Release(hold),
            _ => Call::Extend(hold),
        }
    }

    /// Of reservations and of SKUs, by chance.
    fn read(&mut self) -> Call {
        let hold = if self.random.random() { self.any_hold() } else { None };
        hold.map_or_else(|| self.read_sku(), Call::ReadReservation)
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
        let (results, rest) = match outcome {
            Outcome::Done(body) => (outcome::results(body).unwrap_or_default(), None),
            lost => (Vec::new(), Some(lost)),
        };
        if rest.is_none() && results.len() != self.picked.len() {
            tally.note_nonsense(&format!("{} results of {} operations", results.len(), self.picked.len()));
        }
        let nonsense = Outcome::Nonsense("a batch without a result for each operation".to_owned());
        for (place, &sku) in self.picked.iter().enumerate() {
            let result = results.get(place).or(rest).unwrap_or(&nonsense);
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

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::ledger::Account;
    use super::super::plan::{End, To};
    use super::*;
    use crate::cli::reach::Credential;

    pub(in crate::cli::bench) fn plan(workload: Workload) -> Plan {
        Plan {
            run: "bench-1".to_owned(),
            seed: 1,
            workload,
            connections: 1,
            threads: 1,
            end: End::Calls(1),
            warm_up: Duration::ZERO,
            rate: None,
            skus: 5,
            stock: 9,
            batch: 3,
            cart: 1,
            customers: 0,
            ttl_seconds: 60,
            keys: false,
            to: To::All,
            credential: Credential::default(),
        }
    }

    pub(in crate::cli::bench) fn buyer(plan: Plan) -> Buyer {
        let (_, phase) = plan.phases();
        Buyer::new(&Arc::new(plan), &phase, 7)
    }

    pub(in crate::cli::bench) fn hold() -> Hold {
        Hold { sku: 2, id: "res_1".to_owned() }
    }

    #[test]
    fn a_pair_commits_what_it_reserved() {
        let (mut buyer, mut tally, ledger) = (buyer(plan(Workload::Pair)), Tally::new(), Ledger::new(5));
        let reserve = buyer.next();
        let sku = buyer.picked[0];
        let held = Outcome::Done(br#"{"reservation_id":"res_9"}"#);
        buyer.settle(reserve, &held, &mut tally, &ledger);
        let commit = buyer.next();
        assert_eq!(commit, Call::Commit(Hold { sku, id: "res_9".to_owned() }));
        buyer.settle(commit, &Outcome::Done(b"{}"), &mut tally, &ledger);
        assert_eq!(buyer.next(), Call::Reserve);
        let account = Account { reserved: 1, sold: 1, ..Account::default() };
        assert_eq!(ledger.accounts()[sku as usize], account);
        assert_eq!((tally.of(Kind::Reserve).done, tally.of(Kind::Commit).done), (1, 1));
    }

    #[test]
    fn units_of_a_call_without_an_answer_may_have_moved() {
        let (mut buyer, mut tally, ledger) = (buyer(plan(Workload::Mixed)), Tally::new(), Ledger::new(5));
        let lost = Outcome::Unknown("cut".to_owned());
        buyer.settle(Call::Commit(hold()), &lost, &mut tally, &ledger);
        buyer.settle(Call::Release(hold()), &lost, &mut tally, &ledger);
        buyer.settle(Call::Release(hold()), &Outcome::Refused("overloaded"), &mut tally, &ledger);
        buyer.settle(Call::Extend(hold()), &lost, &mut tally, &ledger);
        let account = Account { sold_perhaps: 1, released_perhaps: 1, ..Account::default() };
        assert_eq!(ledger.accounts()[2], account);
        assert_eq!(buyer.holds, [hold()], "an extend takes no hold away");
    }

    #[test]
    fn a_batch_is_settled_result_by_result() {
        let results = r#"{"results":[{"status":201,"body":{}},
            {"status":409,"body":{"code":"held_by_others","executed":"no"}},
            {"status":504,"body":{"code":"outcome_unknown","executed":"unknown"}}]}"#;
        // What came of the call, and what of its operations: done, refused, unknown.
        for (outcome, counts) in [
            (Outcome::Done(results.as_bytes()), (1, 1, 1)),
            (Outcome::Done(br#"{"results":[{"status":201,"body":{}}]}"#), (1, 0, 2)),
            (Outcome::Done(b"{}"), (0, 0, 3)),
            (Outcome::Refused("overloaded"), (0, 3, 0)),
            (Outcome::Unknown("cut".to_owned()), (0, 0, 3)),
            (Outcome::NotSent("refused".to_owned()), (0, 0, 0)),
        ] {
            let (mut buyer, mut tally, ledger) = (buyer(plan(Workload::Batch)), Tally::new(), Ledger::new(5));
            let call = buyer.next();
            buyer.settle(call, &outcome, &mut tally, &ledger);
            let told = tally.of(Kind::Batch);
            assert_eq!((told.done, told.refused.values().sum(), told.unknown), counts, "{outcome:?}");
            let accounts = ledger.accounts();
            let sum = |figure: fn(&Account) -> u64| accounts.iter().map(figure).sum::<u64>();
            assert_eq!((sum(|a| a.reserved), sum(|a| a.reserved_perhaps)), (counts.0, counts.2));
        }
    }

    #[test]
    fn a_batch_with_more_results_or_fewer_than_operations_makes_no_sense() {
        for (count, nonsense) in
            [(2, Some("2 results of 3 operations")), (3, None), (4, Some("4 results of 3 operations"))]
        {
            let results = vec![r#"{"status":201,"body":{}}"#; count].join(",");
            let body = format!(r#"{{"results":[{results}]}}"#);
            let (mut buyer, mut tally, ledger) = (buyer(plan(Workload::Batch)), Tally::new(), Ledger::new(5));
            let call = buyer.next();
            buyer.settle(call, &Outcome::Done(body.as_bytes()), &mut tally, &ledger);
            assert_eq!(tally.first_nonsense.as_deref(), nonsense);
        }
    }

    #[test]
    fn the_mixed_workload_has_its_shares() {
        let (mut buyer, mut tally, ledger) = (buyer(plan(Workload::Mixed)), Tally::new(), Ledger::new(5));
        for _ in 0..10_000 {
            let call = buyer.next();
            let held = Outcome::Done(br#"{"reservation_id":"res_9"}"#);
            buyer.settle(call, &held, &mut tally, &ledger);
        }
        let [reserves, commits, releases, extends] =
            [Kind::Reserve, Kind::Commit, Kind::Release, Kind::Extend].map(|kind| tally.of(kind).done);
        // A seed gives the same calls always, so this says what they are, give or take a percent.
        for (done, share) in [(reserves, 45), (commits, 25), (releases, 10), (extends, 10)] {
            assert!(done.abs_diff(share * 100) < 150, "{done} are not {share} %");
        }
        assert_eq!(reserves + commits + releases + extends + tally.of(Kind::Read).done, 10_000);
    }
}
