//! What was counted of a phase, by kind of call.

use std::collections::BTreeMap;
use std::time::Duration;

use super::outcome::Outcome;
use crate::cli::latency::Latencies;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reserve,
    Commit,
    Release,
    Extend,
    Read,
    Batch,
}

/// Every kind, in the order in which they are told.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Reserve, Kind::Commit, Kind::Release, Kind::Extend, Kind::Read, Kind::Batch];

/// The counts of all kinds.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    kinds: [Counts; KINDS.len()],
    /// What the first answer that made no sense was.
    pub(super) first_nonsense: Option<String>,
    /// Why the first call without an answer had none.
    pub(super) first_loss: Option<String>,
}

/// The counts of some calls. An operation is a call, or a part of a batch.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    /// Calls that were made, those included that could not be sent.
    pub(super) calls: u64,
    /// Operations that were done.
    pub(super) done: u64,
    /// Operations that were refused, by code.
    pub(super) refused: BTreeMap<String, u64>,
    /// Operations whose outcome is unknown.
    pub(super) unknown: u64,
    /// Calls that could not be sent: nothing was there to take them.
    pub(super) errors: u64,
    /// Operations that were answered with nonsense; their outcome is unknown, too.
    pub(super) nonsense: u64,
    /// How long calls took that were done, or lost.
    pub(super) latencies: Latencies,
    /// How long calls took that were refused.
    pub(super) refusal_latencies: Latencies,
}

impl Kind {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Reserve => "reserve",
            Kind::Commit => "commit",
            Kind::Release => "release",
            Kind::Extend => "extend",
            Kind::Read => "read",
            Kind::Batch => "batch",
        }
    }
}

impl Tally {
    /// Of no call yet.
    pub(super) fn new() -> Tally {
        Tally { kinds: KINDS.map(|_| Counts::new()), first_nonsense: None, first_loss: None }
    }

    /// The counts of that kind.
    pub(super) fn of(&self, kind: Kind) -> &Counts {
        &self.kinds[kind as usize]
    }

    /// Adds a call that took so long.
    pub(super) fn add_call(&mut self, kind: Kind, outcome: &Outcome<'_>, latency: Duration) {
        let counts = &mut self.kinds[kind as usize];
        counts.calls += 1;
        match outcome {
            Outcome::Refused(_) => counts.refusal_latencies.record(latency),
            Outcome::NotSent(_) => counts.errors += 1,
            _ => counts.latencies.record(latency),
        }
    }

    /// Adds what came of so many operations.
    pub(super) fn add(&mut self, kind: Kind, outcome: &Outcome<'_>, operations: u64) {
        let counts = &mut self.kinds[kind as usize];
        match outcome {
            Outcome::Done(_) => counts.done += operations,
            Outcome::Refused(code) => counts.refuse(code, operations),
            Outcome::Unknown(why) => {
                counts.unknown += operations;
                keep_first(&mut self.first_loss, why);
            }
            Outcome::Nonsense(why) => {
                counts.unknown += operations;
                counts.nonsense += operations;
                keep_first(&mut self.first_nonsense, why);
            }
            Outcome::NotSent(why) => keep_first(&mut self.first_loss, why),
        }
    }

    /// Notes an answer that made no sense though it was counted as done.
    pub(super) fn note_nonsense(&mut self, why: &str) {
        keep_first(&mut self.first_nonsense, why);
    }

    /// Adds another tally.
    pub(super) fn merge(&mut self, other: &Tally) {
        for (mine, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            mine.merge(theirs);
        }
        other.first_nonsense.iter().for_each(|why| keep_first(&mut self.first_nonsense, why));
        other.first_loss.iter().for_each(|why| keep_first(&mut self.first_loss, why));
    }

    /// All kinds together.
    pub(super) fn total(&self) -> Counts {
        let mut total = Counts::new();
        self.kinds.iter().for_each(|counts| total.merge(counts));
        total
    }

    /// Operations that were refused with that code.
    pub(super) fn refused(&self, code: &str) -> u64 {
        self.kinds.iter().filter_map(|counts| counts.refused.get(code)).sum()
    }

    /// Operations that were answered, for one who looks often.
    pub(super) fn answered(&self) -> u64 {
        self.kinds.iter().map(Counts::answered).sum()
    }
}

impl Counts {
    fn new() -> Counts {
        Counts {
            calls: 0,
            done: 0,
            refused: BTreeMap::new(),
            unknown: 0,
            errors: 0,
            nonsense: 0,
            latencies: Latencies::new(),
            refusal_latencies: Latencies::new(),
        }
    }

    /// Operations that were done or refused.
    pub(super) fn answered(&self) -> u64 {
        self.done + self.refused.values().sum::<u64>()
    }

    fn refuse(&mut self, code: &str, operations: u64) {
        match self.refused.get_mut(code) {
            Some(count) => *count += operations,
            None => {
                self.refused.insert(code.to_owned(), operations);
            }
        }
    }

    fn merge(&mut self, other: &Counts) {
        self.calls += other.calls;
        self.done += other.done;
        other.refused.iter().for_each(|(code, count)| self.refuse(code, *count));
        self.unknown += other.unknown;
        self.errors += other.errors;
        self.nonsense += other.nonsense;
        self.latencies.add(&other.latencies);
        self.refusal_latencies.add(&other.refusal_latencies);
    }
}

fn keep_first(first: &mut Option<String>, why: &str) {
    first.get_or_insert_with(|| why.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_outcome_counts_where_it_belongs() {
        let mut tally = Tally::new();
        for outcome in [
            Outcome::Done(b""),
            Outcome::Refused("overloaded"),
            Outcome::Unknown("cut".to_owned()),
            Outcome::NotSent("refused".to_owned()),
            Outcome::Nonsense("html".to_owned()),
        ] {
            tally.add_call(Kind::Reserve, &outcome, MS);
            tally.add(Kind::Reserve, &outcome, 1);
        }
        let counts = tally.of(Kind::Reserve);
        assert_eq!((counts.calls, counts.done, counts.unknown, counts.errors), (5, 1, 2, 1));
        assert_eq!((counts.refused["overloaded"], counts.nonsense, counts.answered()), (1, 1, 2));
        assert_eq!((counts.latencies.len(), counts.refusal_latencies.len()), (3, 1));
        assert_eq!(tally.first_nonsense.as_deref(), Some("html"));
        assert_eq!(tally.first_loss.as_deref(), Some("cut"));
    }

    #[test]
    fn the_total_is_the_sum_of_all_kinds_and_threads() {
        let (mut one, mut other) = (Tally::new(), Tally::new());
        one.add_call(Kind::Batch, &Outcome::Done(b""), MS);
        one.add(Kind::Batch, &Outcome::Done(b""), 900);
        one.add(Kind::Batch, &Outcome::Refused("held_by_others"), 100);
        other.add_call(Kind::Read, &Outcome::Done(b""), MS);
        other.add(Kind::Read, &Outcome::Done(b""), 1);
        one.merge(&other);
        let total = one.total();
        assert_eq!((total.calls, total.done, total.answered(), one.answered()), (2, 901, 1_001, 1_001));
        assert_eq!(total.latencies.len(), 2);
        assert!(KINDS.iter().enumerate().all(|(place, kind)| *kind as usize == place));
    }
}
