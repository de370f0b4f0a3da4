//! How long nobody was served, and after what.

use std::collections::BTreeMap;

use super::kinds::kind;
use super::markup::Markup;
use super::words::{Count, Moment, Span};
use crate::verdict::{Failover, Gap, Verdict, percentile};

/// How many gaps are told: the longest.
const TOLD_MAX: usize = 25;

/// Writes what was measured.
pub(super) fn write(page: &mut Markup, verdict: &Verdict) {
    page.words("h2", &[], "How long nobody was served");
    write_failovers(page, &verdict.statistics.failovers);
    write_gaps(page, &verdict.statistics.gaps);
}

fn write_failovers(page: &mut Markup, failovers: &[Failover]) {
    page.words(
        "h3",
        &[],
        "From a fault that hit the leader to the next write that began and was acknowledged",
    );
    if failovers.is_empty() {
        page.words("p", &[], "No fault hit the leader.");
        return;
    }
    let mut by_kind: BTreeMap<&str, Vec<&Failover>> = BTreeMap::new();
    failovers.iter().for_each(|failover| by_kind.entry(&failover.fault).or_default().push(failover));
    page.table(&["Fault", "Times", "p50", "p99", "Longest", "Never served again"], |page| {
        by_kind.iter().for_each(|(name, failovers)| write_kind(page, kind(name).called, failovers));
        if by_kind.len() > 1 {
            write_kind(page, "any of them", &failovers.iter().collect::<Vec<_>>());
        }
    });
}

fn write_kind(page: &mut Markup, name: &str, failovers: &[&Failover]) {
    let took_us = Failover::times_us(failovers.iter().copied());
    let figure = |percent| percentile(&took_us, percent).map_or("-".to_owned(), took);
    let never = Count(failovers.iter().filter(|failover| failover.served_us.is_none()).count() as u64);
    page.row(&[&name, &Count(failovers.len() as u64), &figure(50), &figure(99), &figure(100), &never]);
}

/// How long it took until somebody was served.
pub(super) fn took(us: u64) -> String {
    if us == u64::MAX { "never".to_owned() } else { Span(us).to_string() }
}

fn write_gaps(page: &mut Markup, gaps: &[Gap]) {
    page.words("h3", &[], "Times of half a second or more without an acknowledged write");
    if gaps.is_empty() {
        page.words("p", &[], "There was none.");
        return;
    }
    page.table(&["Length", "From", "After"], |page| {
        for gap in gaps.iter().take(TOLD_MAX) {
            let length = Span(gap.until_us.saturating_sub(gap.from_us));
            let causes = if gap.causes.is_empty() { "no fault".to_owned() } else { gap.causes.join("; ") };
            page.row(&[&length, &Moment(gap.from_us), &causes]);
        }
    });
    if let Some(more @ 1..) = gaps.len().checked_sub(TOLD_MAX) {
        page.words("p", &[("class", &"quiet")], format_args!("And {more} shorter ones."));
    }
}
