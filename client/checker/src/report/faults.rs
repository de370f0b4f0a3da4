//! What was done to the cluster: by kind, and one by one.

use std::collections::BTreeSet;

use super::kinds::{Kind, kind};
use super::markup::Markup;
use super::timeline::hit;
use super::words::{Count, List, Moment, Of, Span};
use crate::history::{Fault, History};
use crate::verdict::{FaultCount, Verdict};

/// How many faults are told one by one.
const TOLD_MAX: usize = 500;

/// Writes both.
pub(super) fn write(page: &mut Markup, history: &History, verdict: &Verdict) {
    page.words("h2", &[], "What was done to the cluster");
    let counts = &verdict.statistics.faults;
    let kinds: BTreeSet<&str> = history
        .run
        .faults
        .iter()
        .chain(counts.iter().map(|count| &count.fault))
        .map(String::as_str)
        .collect();
    if kinds.is_empty() {
        page.words("p", &[], "Nothing: no fault was asked for.");
        return;
    }
    page.table(&["Fault", "Option", "What it does", "Begun", "Bit", "Hit the leader"], |page| {
        kinds.iter().for_each(|kind| write_kind(page, kind, counts, &history.faults));
    });
    write_list(page, &history.faults);
}

fn write_kind(page: &mut Markup, name: &str, counts: &[FaultCount], faults: &[Fault]) {
    let count = counts.iter().find(|count| count.fault == name);
    let [begun, fired] = count.map_or([0, 0], |count| [count.begun, count.fired]);
    let leaders = faults.iter().filter(|fault| fault.fault == name && fault.hit_leader).count();
    page.within("tr", &[], |page| {
        let Kind { called, says, .. } = kind(name);
        page.words("td", &[("class", &"still")], called);
        page.within("td", &[], |page| page.words("code", &[], name));
        page.words("td", &[], says);
        page.words("td", &[], Count(begun));
        match fired {
            0 => page.words("td", &[("class", &"unsure")], "? never"),
            fired => page.words("td", &[], Count(fired)),
        }
        page.words("td", &[], Count(leaders as u64));
    });
}

fn write_list(page: &mut Markup, faults: &[Fault]) {
    let mut faults: Vec<&Fault> = faults.iter().collect();
    faults.sort_by_key(|fault| fault.from_us);
    page.within("details", &[], |page| {
        page.words("summary", &[], format_args!("All {}, one by one", Of(faults.len() as u64, "fault")));
        page.table(&["From", "For", "Fault", "Nodes", "What was done", "Did it bite?"], |page| {
            faults.iter().take(TOLD_MAX).for_each(|fault| write_fault(page, fault));
        });
        if let Some(more @ 1..) = faults.len().checked_sub(TOLD_MAX) {
            page.words("p", &[], format_args!("And {} later ones.", Count(more as u64)));
        }
    });
}

fn write_fault(page: &mut Markup, fault: &Fault) {
    let nodes: Vec<u64> = hit(fault).into_iter().collect();
    let leader = if fault.hit_leader { " (leader hit)" } else { "" };
    page.row(&[
        &Moment(fault.from_us),
        &Span(fault.until_us.saturating_sub(fault.from_us)),
        &kind(&fault.fault).called,
        &format_args!("{}{leader}", List(&nodes)),
        &fault.detail,
        if fault.fired { &"yes" } else { &"no" },
    ]);
}
