//! The schedule of faults: what is done to the cluster, in which order and for how long, drawn from a seed.
//!
//! ```text
//!   seed, kinds, pace --> Schedule --next--> Round { quiet, faults: one or two at once }
//! ```
//!
//! In a calm schedule each fault stands alone: one at a time, on one node, with the cluster well before and after it.
//! What such a fault does to service is its doing alone, so that figures can be had of it.
//!
//! Every kind that is asked for has its turn before any has its second. The same seed gives the same rounds; at which
//! moment each begins depends on how long the cluster took to recover from the one before. Who leads cannot be drawn,
//! so a fault names its victims by their role: whom it hits is known, and recorded, when it is done.

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::act::Act;
use super::kind::Kind;
use crate::config::NODES;

/// How long a fault lasts, in milliseconds.
const LASTS_MS: (u64, u64) = (1_000, 8_000);
/// How long it is quiet before the next, in milliseconds.
const QUIET_MS: (u64, u64) = (2_500, 6_000);
/// How long a round takes at full length, in milliseconds, with what the cluster needs to recover.
const ROUND_MS: u64 = 10_000;
/// How long a fault lasts in a calm schedule at least, in milliseconds: a leader is missed, and another one elected.
/// It goes on until those that it did not hit serve.
const CALM_LASTS_MS: (u64, u64) = (1_200, 1_600);
/// How long it is quiet there before the next, in milliseconds: longer than a fault counts as near to another one.
const CALM_QUIET_MS: (u64, u64) = (2_200, 2_600);
/// A short run's faults are shorter, but not shorter than this part of what they would be.
const PACE_MIN: f64 = 0.2;
/// Nor shorter than this, in milliseconds: something must have the time to meet it.
const SHORTEST_MS: u64 = 600;

/// What is done, one round after the other.
#[derive(Debug)]
pub(super) struct Schedule {
    dice: StdRng,
    kinds: Vec<Kind>,
    /// Those that have not had their turn.
    bag: Vec<Kind>,
    nodes: usize,
    /// 1 at full length.
    pace: f64,
    calm: Option<Whom>,
}

/// Whom faults hit that stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Whom {
    /// Whoever leads.
    Leader,
    /// Somebody else.
    Follower,
    /// Now the one, now the other.
    Either,
}

impl Whom {
    /// Its word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Whom::Leader => "leader",
            Whom::Follower => "follower",
            Whom::Either => "either",
        }
    }
}

/// Quiet, and then one or two faults at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Round {
    /// How long nothing is done before, in milliseconds.
    pub(super) quiet_ms: u64,
    /// What is done at once.
    pub(super) faults: Vec<Planned>,
}

/// A fault that is to come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    /// How long it lasts, in milliseconds; whatever it takes to recover comes on top.
    pub(super) lasts_ms: u64,
    /// Whether it then lasts until those that it did not hit serve.
    pub(super) until_served: bool,
    /// Whom it hits.
    pub(super) victims: Victims,
    /// What is done.
    pub(super) act: Act,
}

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Victims {
    /// Whether the leader is the first of them.
    pub(super) leader: bool,
    /// How many.
    pub(super) count: usize,
    /// Which of the others: the order of the nodes is turned by so much.
    pub(super) turn: usize,
}

impl Schedule {
    /// A schedule for a run of so many seconds; a calm one where it is said whom the faults hit.
    pub(super) fn new(seed: u64, kinds: &[Kind], nodes: usize, seconds: u64, calm: Option<Whom>) -> Schedule {
        // Another stream than those of the clients.
        let dice = StdRng::seed_from_u64(seed ^ 0x5ced_u64);
        let wanted_ms = ROUND_MS * kinds.len().max(1) as u64;
        let pace = (seconds as f64 * 1000.0 / wanted_ms as f64).clamp(PACE_MIN, 1.0);
        Schedule { dice, kinds: kinds.to_vec(), bag: Vec::new(), nodes, pace, calm }
    }

    /// What comes next; `None` where no kind is asked for.
    pub(super) fn next(&mut self) -> Option<Round> {
        let first = self.draw()?;
        if let Some(whom) = self.calm {
            return Some(self.calm_round(first, whom));
        }
        let quiet_ms = self.paced(QUIET_MS);
        let mut faults = vec![self.plan(first)];
        if let Some(second) = self.companion(first) {
            faults.push(self.plan(second));
        }
        Some(Round { quiet_ms, faults })
    }

    fn calm_round(&mut self, kind: Kind, whom: Whom) -> Round {
        let quiet_ms = self.dice.random_range(CALM_QUIET_MS.0..=CALM_QUIET_MS.1);
        let lasts_ms = self.dice.random_range(CALM_LASTS_MS.0..=CALM_LASTS_MS.1);
        let act = Act::draw(kind, &mut self.dice);
        let leader = match whom {
            Whom::Leader => true,
            Whom::Follower => false,
            Whom::Either => self.dice.random_bool(0.5),
        };
        let count = self.count(kind).unwrap_or(1);
        let victims = Victims { leader, count, turn: self.dice.random_range(0..self.nodes) };
        let until_served = kind != Kind::All;
        Round { quiet_ms, faults: vec![Planned { lasts_ms, until_served, victims, act }] }
    }

    fn draw(&mut self) -> Option<Kind> {
        if self.bag.is_empty() {
            self.bag = self.kinds.clone();
            self.bag.shuffle(&mut self.dice);
        }
        self.bag.pop()
    }

    /// Every third round has a second fault, one to processes and one to links.
    fn companion(&mut self, first: Kind) -> Option<Kind> {
        let wanted = self.dice.random_ratio(1, 3) && !first.stands_alone();
        let fits = |kind: &Kind| wanted && !kind.stands_alone() && kind.is_of_links() != first.is_of_links();
        let fitting: Vec<Kind> = self.kinds.iter().copied().filter(fits).collect();
        (!fitting.is_empty()).then(|| fitting[self.dice.random_range(0..fitting.len())])
    }

    fn plan(&mut self, kind: Kind) -> Planned {
        let (lasts_ms, act) = (self.paced(LASTS_MS), Act::draw(kind, &mut self.dice));
        Planned { lasts_ms: lasts_ms.max(SHORTEST_MS), until_served: false, victims: self.victims(act), act }
    }

    fn paced(&mut self, (least, most): (u64, u64)) -> u64 {
        (self.dice.random_range(least..=most) as f64 * self.pace) as u64
    }

    /// How many it hits, where the dice have no say.
    fn count(&self, kind: Kind) -> Option<usize> {
        match kind {
            kind if kind.hits_all() => Some(self.nodes),
            // As many as there are beyond three: the others stay. Where there are three, others come.
            Kind::Grow => Some(self.nodes - NODES.start()),
            Kind::Membership => Some(usize::from(self.nodes == *NODES.end())),
            // What the contract says of one wrong clock, it says of no second one; and nobody survives two lost disks.
            Kind::Clock | Kind::Disk => Some(1),
            kind if kind.is_operation() => Some(1),
            _ => None,
        }
    }

    /// A minority mostly, and sometimes one node more than that.
    fn victims(&mut self, act: Act) -> Victims {
        let minority = (self.nodes - 1) / 2;
        let count = match self.count(act.kind()) {
            Some(count) => count,
            None if self.dice.random_ratio(1, 6) => minority + 1,
            None => self.dice.random_range(1..=minority),
        };
        // Only a leader has leadership to hand over.
        let leader = self.dice.random_bool(0.5) || act == Act::Operation(Kind::Transfer);
        Victims { leader, count, turn: self.dice.random_range(0..self.nodes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(seed: u64, count: usize) -> Vec<Round> {
        let mut schedule = Schedule::new(seed, &Kind::ALL, 3, 600, None);
        (0..count).filter_map(|_| schedule.next()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        assert_eq!(rounds(7, 50), rounds(7, 50));
        assert_ne!(rounds(7, 50), rounds(8, 50));
    }

    #[test]
    fn every_kind_has_its_turn_before_any_has_its_second() {
        let mut schedule = Schedule::new(3, &Kind::ALL, 5, 600, None);
        let first = (0..Kind::ALL.len()).filter_map(|_| schedule.next());
        let mut kinds: Vec<Kind> = first.map(|round| round.faults[0].act.kind()).collect();
        kinds.sort();
        assert_eq!(kinds, Kind::ALL);
    }

    #[test]
    fn two_hundred_faults_are_done_in_an_hour_if_recovery_takes_five_seconds() {
        let round_ms = |round: &Round| {
            round.quiet_ms + round.faults.iter().map(|fault| fault.lasts_ms).max().unwrap_or_default() + 5_000
        };
        let rounds = rounds(1, 400);
        let total_ms: u64 = rounds.iter().map(round_ms).sum();
        let faults: usize = rounds.iter().map(|round| round.faults.len()).sum();
        assert!(3_600_000 * faults as u64 / total_ms > 250, "{faults} in {total_ms} ms");
    }

    #[test]
    fn a_minority_is_hurt_mostly_and_one_wrong_clock_at_a_time() {
        let faults: Vec<Planned> = rounds(5, 600).into_iter().flat_map(|round| round.faults).collect();
        let some = |fault: &&Planned| !fault.act.kind().hits_all();
        let majorities = faults.iter().filter(some).filter(|fault| fault.victims.count > 1).count();
        assert!(majorities > 20 && majorities < faults.len() / 4, "{majorities} of {}", faults.len());
        let clocks = faults.iter().filter(|fault| fault.act.kind() == Kind::Clock);
        assert!(clocks.clone().count() > 20 && clocks.clone().all(|fault| fault.victims.count == 1));
    }

    #[test]
    fn a_short_run_has_short_faults() {
        let mut schedule = Schedule::new(1, &Kind::ALL, 3, 10, None);
        let round = schedule.next().unwrap();
        assert!(round.quiet_ms <= 1_200 && round.faults[0].lasts_ms <= 1_600, "{round:?}");
    }

    #[test]
    fn in_a_calm_schedule_each_fault_is_one_of_one_node() {
        let mut schedule = Schedule::new(1, &[Kind::Kill, Kind::Partition], 5, 300, Some(Whom::Leader));
        for round in (0..100).filter_map(|_| schedule.next()) {
            let [fault] = round.faults.as_slice() else { panic!("{round:?}") };
            assert!(round.quiet_ms > 2_000 && fault.until_served, "{round:?}");
            assert_eq!((fault.victims.leader, fault.victims.count), (true, 1), "{round:?}");
        }
    }

    #[test]
    fn a_resize_hits_those_that_leave_also_in_a_calm_schedule() {
        for calm in [None, Some(Whom::Follower)] {
            for (nodes, kind, count) in
                [(5, Kind::Grow, 2), (3, Kind::Grow, 0), (5, Kind::Membership, 1), (3, Kind::Membership, 0)]
            {
                let mut schedule = Schedule::new(1, &[kind], nodes, 300, calm);
                for round in (0..20).filter_map(|_| schedule.next()) {
                    assert_eq!(round.faults[0].victims.count, count, "{kind} of {nodes}: {round:?}");
                }
            }
        }
    }

    #[test]
    fn without_kinds_nothing_is_done() {
        assert_eq!(Schedule::new(1, &[], 3, 10, None).next(), None);
    }
}
