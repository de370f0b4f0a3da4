//! A history in, a verdict out.

use crate::book::Book;
use crate::history::History;
use crate::rules;
use crate::statistics;
use crate::verdict::{Conclusion, Rate, RuleVerdict, Statistics, Verdict};

/// Of the tries between faults so many in a hundred must have been dealt with, or the run shows too little.
const SUCCEEDED_MIN: u64 = 90;

/// Holds a history against the contract.
pub fn check(history: &History) -> Verdict {
    let book = Book::of(history);
    let rules = rules::all(&book);
    let statistics = statistics::of(history);
    let violated = rules.iter().any(|rule| rule.violations_total > 0);
    let doubts = if violated { Vec::new() } else { doubts(history, &rules, &statistics) };
    let conclusion = match (violated, doubts.is_empty()) {
        (true, _) => Conclusion::Violated,
        (false, true) => Conclusion::Passed,
        (false, false) => Conclusion::Unknown,
    };
    Verdict { conclusion, doubts, rules, statistics }
}

/// Why a run without a violation shows too little.
fn doubts(history: &History, rules: &[RuleVerdict], statistics: &Statistics) -> Vec<String> {
    let idle = rules.iter().filter(|rule| rule.looked_at == 0);
    let cut_off = (!history.is_whole()).then(|| "The record has no end: the run was broken off.".to_owned());
    let mut doubts = Vec::from_iter(cut_off);
    doubts.extend(idle.map(|rule| format!("{} had nothing to look at.", rule.name)));
    let fired = |kind: &String| statistics.faults.iter().any(|count| count.fault == *kind && count.fired > 0);
    let silent = history.run.faults.iter().filter(|kind| !fired(kind));
    doubts.extend(silent.map(|kind| format!("No fault of the kind {kind} fired.")));
    let Rate { count, of } = statistics.between_faults;
    if of == 0 || count * 100 < of * SUCCEEDED_MIN {
        doubts.push(format!(
            "Of {of} tries between faults {count} were dealt with, less than {SUCCEEDED_MIN} %."
        ));
    }
    let indexes = history.finals.iter().map(|last| last.cluster.applied_index);
    let distinct: std::collections::BTreeSet<_> = indexes.collect();
    if history.finals.len() < history.run.nodes.len() {
        doubts.push("Not every node's state at the end is known.".into());
    } else if distinct.len() == history.finals.len() && history.finals.len() > 1 {
        doubts.push("No two nodes' digests were read at one log entry.".into());
    }
    doubts
}
