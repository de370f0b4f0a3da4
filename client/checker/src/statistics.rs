//! What is counted and measured, whatever the rules say.

use std::collections::BTreeMap;

use crate::call_end::CallEnd;
use crate::history::{Fault, History, Op, Try};
use crate::impact;
use crate::verdict::{FaultCount, Gap, OperationCount, Rate, Statistics};

/// Times without an acknowledged write are told from here on.
const GAP_US_MIN: u64 = 500_000;
/// So long after its last fault was undone a cluster may still be busy with it.
pub(crate) const RECOVERS_US: u64 = 2_000_000;
/// A fault that began so long before a gap may be its cause.
const CAUSE_US: u64 = 1_000_000;

/// Counts and measures.
pub(crate) fn of(history: &History) -> Statistics {
    let faulty = Stretches::of(&history.faults);
    let tries = history.calls.iter().flat_map(|call| &call.tries);
    let (between, during): (Vec<&Try>, Vec<&Try>) =
        tries.partition(|one| !faulty.overlap(one.started_us, one.ended_us));
    let writes = acknowledged(history);
    Statistics {
        operations: operations(history),
        between_faults: rate(&between),
        during_faults: rate(&during),
        faults: faults(history),
        gaps: gaps(history, &writes),
        impacts: impact::all(history, &writes),
    }
}

fn operations(history: &History) -> Vec<OperationCount> {
    let mut counts: BTreeMap<Op, OperationCount> = BTreeMap::new();
    for call in &history.calls {
        let none = OperationCount { op: call.op, succeeded: 0, refused: 0, not_executed: 0, unknown: 0 };
        let count = counts.entry(call.op).or_insert(none);
        *match CallEnd::of(call) {
            CallEnd::Succeeded => &mut count.succeeded,
            CallEnd::Refused => &mut count.refused,
            CallEnd::NotExecuted => &mut count.not_executed,
            CallEnd::Unknown => &mut count.unknown,
        } += 1;
    }
    counts.into_values().collect()
}

/// What the inventory decided is a success of the service, a refusal included. Tries, for a call goes on until it is
/// dealt with: of calls nearly all are, however badly the cluster serves.
fn rate(tries: &[&Try]) -> Rate {
    let served = tries.iter().filter(|one| one.is_dealt_with());
    Rate { count: served.count() as u64, of: tries.len() as u64 }
}

fn faults(history: &History) -> Vec<FaultCount> {
    let mut counts: BTreeMap<&str, FaultCount> = BTreeMap::new();
    for fault in &history.faults {
        let none = FaultCount { fault: fault.fault.clone(), begun: 0, fired: 0 };
        let count = counts.entry(&fault.fault).or_insert(none);
        count.begun += 1;
        count.fired += u64::from(fault.fired);
    }
    counts.into_values().collect()
}

/// The acknowledged writes: when each began and when it ended, by their ends.
fn acknowledged(history: &History) -> Vec<(u64, u64)> {
    let done = history.calls.iter().filter(|call| call.op.writes() && call.success().is_some());
    let mut writes: Vec<(u64, u64)> = done.map(|call| (call.ended_us, call.started_us)).collect();
    writes.sort_unstable();
    writes
}

fn gaps(history: &History, writes: &[(u64, u64)]) -> Vec<Gap> {
    let pairs = writes.windows(2).filter_map(|pair| match pair {
        [(from_us, _), (until_us, _)] if until_us - from_us >= GAP_US_MIN => Some((*from_us, *until_us)),
        _ => None,
    });
    let mut gaps: Vec<Gap> = pairs
        .map(|(from_us, until_us)| Gap { from_us, until_us, causes: causes(history, from_us, until_us) })
        .collect();
    gaps.sort_by_key(|gap| std::cmp::Reverse(gap.until_us - gap.from_us));
    gaps
}

fn causes(history: &History, from_us: u64, until_us: u64) -> Vec<String> {
    let early_us = from_us.saturating_sub(CAUSE_US);
    let near = history.faults.iter().filter(|fault| {
        let began = (early_us..until_us).contains(&fault.from_us);
        fault.fired && (began || (fault.from_us < until_us && fault.until_us > from_us))
    });
    near.map(in_words).collect()
}

fn in_words(fault: &Fault) -> String {
    let nodes: Vec<String> = fault.nodes.iter().map(u64::to_string).collect();
    let leader = if fault.hit_leader { ", the leader included" } else { "" };
    match nodes.as_slice() {
        [] => format!("{}{leader}", fault.fault),
        nodes => format!("{} of {}{leader}", fault.fault, nodes.join(", ")),
    }
}

/// Times with a fault under way, or just undone, joined where they touch.
struct Stretches(Vec<(u64, u64)>);

impl Stretches {
    fn of(faults: &[Fault]) -> Stretches {
        let fired = faults.iter().filter(|fault| fault.fired);
        let mut times: Vec<(u64, u64)> =
            fired.map(|fault| (fault.from_us, fault.until_us.saturating_add(RECOVERS_US))).collect();
        times.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (from_us, until_us) in times {
            match joined.last_mut() {
                Some((_, last_us)) if from_us <= *last_us => *last_us = until_us.max(*last_us),
                _ => joined.push((from_us, until_us)),
            }
        }
        Stretches(joined)
    }

    fn overlap(&self, from_us: u64, until_us: u64) -> bool {
        let place = self.0.partition_point(|(_, end_us)| *end_us < from_us);
        self.0.get(place).is_some_and(|(start_us, _)| *start_us <= until_us)
    }
}
