//! What the checker says of a history.

use std::collections::BTreeMap;
use std::iter::Sum;

use serde::{Deserialize, Serialize};

use crate::history::Op;

/// What the checker says of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it comes to.
    pub conclusion: Conclusion,
    /// Why nothing can be concluded, in sentences; empty unless the conclusion is [`Conclusion::Unknown`].
    pub doubts: Vec<String>,
    /// What each rule found, in the order in which they are told.
    pub rules: Vec<RuleVerdict>,
    /// What was counted and measured.
    pub statistics: Statistics,
}

impl Verdict {
    /// The violations of all rules.
    pub fn violations_total(&self) -> u64 {
        self.rules.iter().map(|rule| rule.violations_total).sum()
    }

    /// What the rule of that name found.
    pub fn rule(&self, name: &str) -> Option<&RuleVerdict> {
        self.rules.iter().find(|rule| rule.name == name)
    }
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every rule looked at something, and none was broken.
    Passed,
    /// A rule was broken.
    Violated,
    /// No rule was broken, but the run does not show enough.
    Unknown,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleVerdict {
    /// Its name, such as `sequence_order`.
    pub name: String,
    /// What it demands, in one sentence.
    pub says: String,
    /// How many things it looked at.
    pub looked_at: u64,
    /// The first of its violations: [`RuleVerdict::TOLD_MAX`] at most.
    pub violations: Vec<Violation>,
    /// How many there are.
    pub violations_total: u64,
}

impl RuleVerdict {
    /// How many violations of one rule are told.
    pub const TOLD_MAX: usize = 100;
}

/// Where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// When, microseconds since the run's start.
    pub at_us: u64,
    /// What is wrong, in a sentence.
    pub message: String,
    /// The calls that show it.
    pub calls: Vec<u64>,
}

/// What was counted and measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Operations by kind and outcome.
    pub operations: Vec<OperationCount>,
    /// Of the tries wholly between faults, and not just after one, how many had an answer that says they were dealt
    /// with.
    pub between_faults: Rate,
    /// The same of all other tries.
    pub during_faults: Rate,
    /// Faults by kind.
    pub faults: Vec<FaultCount>,
    /// Times without an acknowledged write, longest first: those of 500 ms and more.
    pub gaps: Vec<Gap>,
    /// What each fault that bit did to service.
    pub impacts: Vec<Impact>,
}

/// Operations of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationCount {
    /// Of which kind.
    pub op: Op,
    /// Answered with 2xx or 304.
    pub succeeded: u64,
    /// Refused by the state of the inventory: 4xx.
    pub refused: u64,
    /// Surely not executed: 503, 429, or no node was reached.
    pub not_executed: u64,
    /// Never learned whether they were executed.
    pub unknown: u64,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rate {
    /// So many.
    pub count: u64,
    /// Of so many.
    pub of: u64,
}

/// Faults of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCount {
    /// Of which kind.
    pub fault: String,
    /// How many were begun.
    pub begun: u64,
    /// How many bit.
    pub fired: u64,
}

/// A time without an acknowledged write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When the last write before it was acknowledged.
    pub from_us: u64,
    /// When the first one after it was.
    pub until_us: u64,
    /// The faults under way within it, or begun in the second before it: their kinds and nodes, in words.
    pub causes: Vec<String>,
}

/// What a fault that bit did to service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// When the fault was begun.
    pub from_us: u64,
    /// Its kind.
    pub fault: String,
    /// Whom it hit.
    pub hit: Hit,
    /// Whether it stood alone: nothing else was wrong from 2 s before it until 2 s after it, and it left a quorum. Only
    /// of such a fault it is certain what did this.
    pub alone: bool,
    /// When the first write that began after it was acknowledged; `null` where none was.
    pub served_us: Option<u64>,
    /// The longest time without an acknowledged write, from the last one before it to the first one 2 s after it.
    pub gap_us: u64,
    /// Of the calls that began in its time, or within 2 s after it, those that have an answer.
    pub calls: Rate,
    /// Of the tries that began in that time at nodes that it did not hit, those that were dealt with.
    pub elsewhere: Rate,
}

/// Whom a fault hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hit {
    /// The leader, perhaps among others.
    Leader,
    /// Others alone, or the leader was not known.
    Followers,
    /// One node after the other, so that at each moment one was hit.
    Each,
    /// None of those that the cluster began with: others came.
    Nobody,
}

impl Impact {
    /// How long it took until somebody was served, in microseconds. Where nobody was any more that is [`u64::MAX`]: no
    /// time is worse.
    pub fn took_us(&self) -> u64 {
        self.served_us.map_or(u64::MAX, |served_us| served_us.saturating_sub(self.from_us))
    }

    /// How long each of these took, the shortest first.
    pub fn times_us<'i>(all: impl IntoIterator<Item = &'i Impact>) -> Vec<u64> {
        let mut times_us: Vec<u64> = all.into_iter().map(Impact::took_us).collect();
        times_us.sort_unstable();
        times_us
    }
}

impl Statistics {
    /// The faults that stood alone, or those that did not, by kind and whom they hit.
    pub fn impacts_by_kind(&self, alone: bool) -> BTreeMap<(&str, Hit), Vec<&Impact>> {
        let mut by_kind: BTreeMap<(&str, Hit), Vec<&Impact>> = BTreeMap::new();
        for impact in self.impacts.iter().filter(|impact| impact.alone == alone) {
            by_kind.entry((&impact.fault, impact.hit)).or_default().push(impact);
        }
        by_kind
    }
}

impl Sum for Rate {
    fn sum<I: Iterator<Item = Rate>>(rates: I) -> Rate {
        rates.fold(Rate::default(), |sum, one| Rate { count: sum.count + one.count, of: sum.of + one.of })
    }
}

/// The least of these values, sorted, that so many in a hundred do not exceed: the nearest rank. `None` of none.
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!([percentile(&hundred, 50), percentile(&hundred, 99)], [Some(50), Some(99)]);
        assert_eq!(
            [percentile(&[7], 1), percentile(&[7], 99), percentile(&[], 50)],
            [Some(7), Some(7), None]
        );
    }

    #[test]
    fn a_fault_after_which_nobody_was_served_is_the_worst() {
        let impact = |served_us| Impact {
            from_us: 10,
            fault: "kill".into(),
            hit: Hit::Leader,
            alone: true,
            served_us,
            gap_us: 0,
            calls: Rate::default(),
            elsewhere: Rate::default(),
        };
        let times_us = Impact::times_us(&[impact(None), impact(Some(900)), impact(Some(20))]);
        assert_eq!(times_us, [10, 890, u64::MAX]);
    }
}
