//! What each fault did to service: how long nobody was served, and who had no answer.
//!
//! ```text
//!   another fault   |----|                                         must have ended, or begin, out of this:
//!                           <- 2 s -><------ the fault ------><- 2 s ->
//!   writes          . . . . . .      |          |. . . . . . . . . . . .
//!                                    `- served -'
//! ```
//!
//! Where two faults overlap, or what is left is no quorum, nobody can say what of it came of one of them. So those that
//! stood alone are told apart from the others: only they say how long an election takes.

use std::iter::once;

use crate::history::{Fault, History, Try};
use crate::statistics::RECOVERS_US;
use crate::verdict::{Hit, Impact, Rate};

/// The kinds of faults that hit all nodes, and leave a quorum nevertheless: they do it to one after the other, or take
/// no node away.
const EACH: [&str; 3] = ["restart", "certs", "tokens"];

/// What each fault that bit did. `writes`: when each acknowledged write ended and when it began, by their ends.
pub(crate) fn all(history: &History, writes: &[(u64, u64)]) -> Vec<Impact> {
    let (tries, calls) = (tries(history), calls(history));
    let bit = history.faults.iter().enumerate().filter(|(_, fault)| fault.fired);
    bit.map(|(place, fault)| {
        let over_us = fault.until_us.max(fault.from_us).saturating_add(RECOVERS_US);
        Impact {
            from_us: fault.from_us,
            fault: fault.fault.clone(),
            hit: hit(fault),
            alone: leaves_quorum(fault, history.run.nodes.len()) && stands_alone(place, &history.faults),
            served_us: served_us(writes, fault.from_us),
            gap_us: gap_us(writes, fault.from_us, over_us),
            calls: rate(within(&calls, fault.from_us, over_us).iter().map(|(_, is_answered)| *is_answered)),
            elsewhere: elsewhere(within(&tries, fault.from_us, over_us), &fault.nodes),
        }
    })
    .collect()
}

fn hit(fault: &Fault) -> Hit {
    match (fault.fault.as_str(), fault.hit_leader) {
        (kind, _) if EACH.contains(&kind) => Hit::Each,
        (_, true) => Hit::Leader,
        _ if fault.nodes.is_empty() && fault.links.is_empty() => Hit::Nobody,
        (_, false) => Hit::Followers,
    }
}

fn leaves_quorum(fault: &Fault, nodes: usize) -> bool {
    hit(fault) == Hit::Each || fault.nodes.len() <= nodes.saturating_sub(1) / 2
}

/// Faults are few, a thousandth of the calls: each is held against each.
fn stands_alone(place: usize, faults: &[Fault]) -> bool {
    let Some(fault) = faults.get(place) else { return false };
    let is_apart = |other: &Fault| {
        let gap_us = |before: &Fault, after: &Fault| after.from_us.checked_sub(before.until_us);
        let between_us = gap_us(other, fault).or_else(|| gap_us(fault, other));
        between_us.is_some_and(|between_us| between_us >= RECOVERS_US)
    };
    faults.iter().enumerate().all(|(other, it)| other == place || is_apart(it))
}

/// When the first write that began after a moment was acknowledged.
fn served_us(writes: &[(u64, u64)], after_us: u64) -> Option<u64> {
    let later = &writes[writes.partition_point(|(ended_us, _)| *ended_us <= after_us)..];
    later.iter().find(|(_, started_us)| *started_us > after_us).map(|(ended_us, _)| *ended_us)
}

/// The longest time between two acknowledged writes that lies in these, at least in part.
fn gap_us(writes: &[(u64, u64)], from_us: u64, until_us: u64) -> u64 {
    let [begin, end] = [from_us, until_us].map(|us| writes.partition_point(|(ended_us, _)| *ended_us <= us));
    let before = begin.checked_sub(1).and_then(|last| writes.get(last)).map_or(from_us, |(us, _)| *us);
    let after = writes.get(end).map_or(until_us, |(us, _)| *us);
    let moments = writes[begin..end].iter().map(|(us, _)| *us).chain(once(after));
    let gaps = moments.scan(before, |last, us| Some(us - std::mem::replace(last, us)));
    gaps.max().unwrap_or_default()
}

/// All tries, by when they began.
fn tries(history: &History) -> Vec<(u64, &Try)> {
    let all = history.calls.iter().flat_map(|call| &call.tries);
    let mut tries: Vec<(u64, &Try)> = all.map(|one| (one.started_us, one)).collect();
    tries.sort_by_key(|(us, _)| *us);
    tries
}

/// All calls, by when they began, and whether each has an answer.
fn calls(history: &History) -> Vec<(u64, bool)> {
    let all = history.calls.iter().map(|call| (call.started_us, call.answer().is_some()));
    let mut calls: Vec<(u64, bool)> = all.collect();
    calls.sort_unstable();
    calls
}

/// Those of a sorted list that began at one moment or later, and before another.
fn within<T>(sorted: &[(u64, T)], from_us: u64, until_us: u64) -> &[(u64, T)] {
    let place = |us: u64| sorted.partition_point(|(started_us, _)| *started_us < us);
    &sorted[place(from_us)..place(until_us)]
}

fn elsewhere(tries: &[(u64, &Try)], hit: &[u64]) -> Rate {
    let elsewhere = tries.iter().map(|(_, one)| one).filter(|one| !hit.contains(&one.node));
    rate(elsewhere.map(|one| one.is_dealt_with()))
}

fn rate(are: impl Iterator<Item = bool>) -> Rate {
    are.fold(Rate::default(), |rate, is| Rate { count: rate.count + u64::from(is), of: rate.of + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: &str, from_s: u64, until_s: u64, nodes: &[u64], hit_leader: bool) -> Fault {
        Fault {
            from_us: from_s * 1_000_000,
            until_us: until_s * 1_000_000,
            fault: kind.to_owned(),
            nodes: nodes.to_vec(),
            links: Vec::new(),
            hit_leader,
            detail: String::new(),
            fired: true,
        }
    }

    #[test]
    fn a_fault_stands_alone_where_no_other_is_near_and_a_quorum_is_left() {
        for (what, others, alone) in [
            ("none", vec![], true),
            ("one that was over long before", vec![fault("slow", 1, 8, &[2], false)], true),
            ("one that was just over", vec![fault("slow", 1, 9, &[2], false)], false),
            ("one around it", vec![fault("slow", 1, 60, &[2], false)], false),
            ("one within it", vec![fault("slow", 11, 12, &[2], false)], false),
            ("one that began just after", vec![fault("slow", 16, 20, &[2], false)], false),
            ("one that began long after", vec![fault("slow", 17, 20, &[2], false)], true),
        ] {
            let faults: Vec<Fault> = others.into_iter().chain([fault("kill", 10, 15, &[1], true)]).collect();
            assert_eq!(stands_alone(faults.len() - 1, &faults), alone, "{what}");
        }
        for (kind, nodes, left) in [
            ("kill", &[1][..], true),
            ("kill", &[1, 2], false),
            ("all", &[1, 2, 3], false),
            ("restart", &[1, 2, 3], true),
            ("tokens", &[1, 2, 3], true),
        ] {
            assert_eq!(leaves_quorum(&fault(kind, 1, 2, nodes, true), 3), left, "{kind} of {nodes:?}");
        }
    }

    #[test]
    fn what_names_no_node_hit_nobody() {
        for (kind, nodes, leader, whom) in [
            ("grow", &[][..], false, Hit::Nobody),
            ("grow", &[1, 2], true, Hit::Leader),
            ("grow", &[2, 3], false, Hit::Followers),
            ("restart", &[1, 2, 3], true, Hit::Each),
        ] {
            assert_eq!(hit(&fault(kind, 1, 2, nodes, leader)), whom, "{kind} of {nodes:?}");
        }
    }

    #[test]
    fn service_is_back_with_the_first_write_that_began_after_the_fault() {
        // Ends and beginnings: one was under way when the fault came.
        let writes = [(9, 8), (12, 9), (40, 30), (41, 39), (99, 98)];
        assert_eq!(served_us(&writes, 10), Some(40));
        assert_eq!(served_us(&writes, 98), None);
        assert_eq!(gap_us(&writes, 10, 50), 58, "to the first one after it");
        assert_eq!(gap_us(&writes, 10, 40), 28);
        assert_eq!(gap_us(&writes, 99, 120), 21, "nobody is served any more");
        assert_eq!(gap_us(&[], 10, 50), 40);
    }
}
