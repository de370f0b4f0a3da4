//! What a timeline shows, gathered once from a history and its verdict.

use std::collections::BTreeSet;

use super::leaders::{Leader, leaders};
use super::spells::{Spell, spells};
use crate::call_end::CallEnd;
use crate::history::{Call, Fault, History, Sample};
use crate::report::buckets::Ended;
use crate::verdict::{Gap, Verdict};

/// What a timeline shows.
pub(in crate::report) struct Scene<'a> {
    /// When the last thing of the run happened, in microseconds since its start; at least one second.
    pub(in crate::report) end_us: u64,
    /// A lane for each node, in the order of their ids.
    pub(in crate::report) lanes: Vec<Lane<'a>>,
    /// Faults that were done to no node in particular.
    pub(in crate::report) homeless: Vec<&'a Fault>,
    /// All faults, in the order in which they began.
    pub(in crate::report) faults: Vec<&'a Fault>,
    /// How each call ended, in no particular order.
    pub(in crate::report) ended: Vec<Ended>,
    /// Leaders after the first one.
    pub(in crate::report) changes: Vec<Leader>,
    /// Times without an acknowledged write, longest first.
    pub(in crate::report) gaps: &'a [Gap],
    /// When a rule was broken: of each violation that the page tells, in its order.
    pub(in crate::report) violations_us: Vec<u64>,
}

/// What is shown of one node.
pub(in crate::report) struct Lane<'a> {
    /// Its id.
    pub(in crate::report) node: u64,
    /// What it was, in order of time and without a gap.
    pub(in crate::report) spells: Vec<Spell>,
    /// What was done to it, in the order in which it began.
    pub(in crate::report) faults: Vec<&'a Fault>,
}

impl<'a> Scene<'a> {
    /// What is to be shown of a history and its verdict.
    pub(in crate::report) fn of(history: &'a History, verdict: &'a Verdict, violations_us: Vec<u64>) -> Self {
        let mut faults: Vec<&Fault> = history.faults.iter().collect();
        faults.sort_by_key(|fault| (fault.from_us, fault.until_us));
        let mut samples: Vec<&Sample> = history.samples.iter().collect();
        samples.sort_by_key(|sample| sample.at_us);
        let end_us = end_us(history);
        let leaders = leaders(&samples);
        let lane = |node| lane(node, &faults, spells(&samples, node, &leaders, end_us));
        Self {
            end_us,
            lanes: nodes(history).into_iter().map(lane).collect(),
            homeless: faults.iter().copied().filter(|fault| hit(fault).is_empty()).collect(),
            ended: history.calls.iter().map(ended).collect(),
            changes: leaders.into_iter().skip(1).collect(),
            faults,
            gaps: &verdict.statistics.gaps,
            violations_us,
        }
    }
}

/// The nodes that a fault was done to, or where it names none, those at the ends of its links.
pub(in crate::report) fn hit(fault: &Fault) -> BTreeSet<u64> {
    match fault.nodes.is_empty() {
        true => fault.links.iter().flat_map(|link| [link.from, link.to]).collect(),
        false => fault.nodes.iter().copied().collect(),
    }
}

/// Just behind the last thing, so that windows, which end before their end, have it within.
fn end_us(history: &History) -> u64 {
    let calls = history.calls.iter().map(|call| call.ended_us);
    let faults = history.faults.iter().map(|fault| fault.until_us);
    let samples = history.samples.iter().map(|sample| sample.at_us);
    calls.chain(faults).chain(samples).max().unwrap_or(0).max(1_000_000).saturating_add(1)
}

/// Those that the cluster began with, and those that were seen or hit later.
fn nodes(history: &History) -> BTreeSet<u64> {
    let sampled = history.samples.iter().map(|sample| sample.node);
    let hit = history.faults.iter().flat_map(hit);
    history.run.nodes.iter().copied().chain(sampled).chain(hit).collect()
}

fn lane<'a>(node: u64, faults: &[&'a Fault], spells: Vec<Spell>) -> Lane<'a> {
    let faults = faults.iter().copied().filter(|fault| hit(fault).contains(&node)).collect();
    Lane { node, spells, faults }
}

fn ended(call: &Call) -> Ended {
    let took_us = call.ended_us.saturating_sub(call.started_us);
    Ended { at_us: call.ended_us, took_us, end: CallEnd::of(call) }
}
