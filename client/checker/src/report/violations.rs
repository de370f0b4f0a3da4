//! What was broken: each violation with its time, its reason and the calls that show it.

use std::collections::{BTreeMap, BTreeSet};

use super::calls;
use super::markup::Markup;
use super::timeline;
use super::words::{Count, Moment, Of};
use crate::history::{Call, History};
use crate::verdict::{RuleVerdict, Verdict, Violation};

/// How many violations the page tells.
const TOLD_MAX: usize = 100;

/// How many of one rule. Where many rules are broken it is less, so that none leaves another without room.
const TOLD_OF_A_RULE_MAX: usize = 20;

/// How many are told at once; the others when they are asked for, so that the timeline stays near the top.
const AT_ONCE: usize = 3;

/// How many calls of a violation.
const CALLS_MAX: usize = 8;

/// A violation that the page tells.
pub(super) struct Told<'a> {
    rule: &'a RuleVerdict,
    /// What it is.
    pub(super) violation: &'a Violation,
}

/// Which violations the page tells, in the order of time: their numbers, from 1, are the places here.
pub(super) fn told(verdict: &Verdict) -> Vec<Told<'_>> {
    let of_a_rule = |rule| move |violation| Told { rule, violation };
    let broken = verdict.rules.iter().filter(|rule| rule.violations_total > 0).count();
    let share = (TOLD_MAX / broken.max(1)).clamp(1, TOLD_OF_A_RULE_MAX);
    let first = |rule: &RuleVerdict| rule.violations.len().min(share);
    let mut told: Vec<Told> = verdict
        .rules
        .iter()
        .flat_map(|rule| rule.violations[..first(rule)].iter().map(of_a_rule(rule)))
        .collect();
    told.sort_by_key(|told| told.violation.at_us);
    told
}

/// Writes them, where there are any.
pub(super) fn write(page: &mut Markup, history: &History, verdict: &Verdict, told: &[Told]) {
    if told.is_empty() {
        return;
    }
    page.words("h2", &[("id", &"violations")], "What was broken");
    let total = verdict.violations_total();
    if total > told.len() as u64 {
        let told = Count(told.len() as u64);
        page.words(
            "p",
            &[],
            format_args!("{told} of {} are told here: the first of each rule.", Count(total)),
        );
    }
    let calls = calls_of(history, told);
    let (at_once, later) = told.split_at(told.len().min(AT_ONCE));
    write_some(page, 1, at_once, &calls);
    if !later.is_empty() {
        page.within("details", &[], |page| {
            page.words("summary", &[], format_args!("{} more", Of(later.len() as u64, "violation")));
            write_some(page, 1 + at_once.len(), later, &calls);
        });
    }
}

fn write_some(page: &mut Markup, first: usize, told: &[Told], calls: &BTreeMap<u64, &Call>) {
    for (number, told) in (first..).zip(told) {
        page.within("div", &[("class", &"violation")], |page| write_one(page, number, told, calls));
    }
}

fn calls_of<'a>(history: &'a History, told: &[Told]) -> BTreeMap<u64, &'a Call> {
    let named: BTreeSet<u64> = told.iter().flat_map(|told| told.violation.calls.iter().copied()).collect();
    history.calls.iter().filter(|call| named.contains(&call.id)).map(|call| (call.id, call)).collect()
}

fn write_one(page: &mut Markup, number: usize, told: &Told, calls: &BTreeMap<u64, &Call>) {
    let Told { rule, violation } = told;
    page.words("h3", &[], format_args!("{number}. {} at {}", rule.name, Moment(violation.at_us)));
    page.words("p", &[], &violation.message);
    page.words("p", &[("class", &"quiet")], format_args!("The rule: {}", rule.says));
    let known: Vec<&Call> =
        violation.calls.iter().take(CALLS_MAX).filter_map(|id| calls.get(id).copied()).collect();
    if known.len() > 1 {
        timeline::draw_calls(page, violation.at_us, &known);
    }
    page.within("ul", &[], |page| {
        for id in violation.calls.iter().take(CALLS_MAX) {
            match calls.get(id) {
                Some(call) => calls::write(page, call),
                None => page.words("li", &[], format_args!("call {id}, which the history does not have")),
            }
        }
        if let Some(more @ 1..) = violation.calls.len().checked_sub(CALLS_MAX) {
            page.words("li", &[], format_args!("and {more} more"));
        }
    });
}
