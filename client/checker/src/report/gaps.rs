//! How long nobody was served, and after what.

use super::kinds::kind;
use super::markup::Markup;
use super::words::{Count, Moment, Span};
use crate::verdict::{Gap, Hit, Impact, Rate, Statistics, Verdict, percentile};

/// How many gaps are told: the longest.
const TOLD_MAX: usize = 25;

/// Writes what was measured.
pub(super) fn write(page: &mut Markup, verdict: &Verdict) {
    page.words("h2", &[], "How long nobody was served");
    write_alone(page, &verdict.statistics);
    write_others(page, &verdict.statistics);
    write_gaps(page, &verdict.statistics.gaps);
}

fn write_alone(page: &mut Markup, statistics: &Statistics) {
    page.words("h3", &[], "Faults that stood alone");
    let alone = statistics.impacts_by_kind(true);
    if alone.is_empty() {
        page.words("p", &[], "There was none.");
        return;
    }
    page.words(
        "p",
        &[],
        "Nothing else was wrong from 2 s before such a fault until 2 s after it, and it left a quorum. Told is how \
         long it took until a write that began after it was acknowledged, the longest time without such a write, and \
         how many tries at nodes that it did not hit, and how many calls over all their tries, were answered.",
    );
    let heads =
        ["Fault", "Of", "Times", "p50", "p99", "Longest", "Without a write", "Tries elsewhere", "Calls"];
    page.table(&heads, |page| {
        for ((fault, hit), impacts) in &alone {
            let [p50, p99, longest] = times(impacts);
            let gap = Span(impacts.iter().map(|impact| impact.gap_us).max().unwrap_or_default());
            let elsewhere: Rate = impacts.iter().map(|impact| impact.elsewhere).sum();
            let calls: Rate = impacts.iter().map(|impact| impact.calls).sum();
            let [elsewhere, calls] = [elsewhere, calls].map(in_words);
            let count = Count(impacts.len() as u64);
            let called = kind(fault).called;
            page.row(&[&called, &of(*hit), &count, &p50, &p99, &longest, &gap, &elsewhere, &calls]);
        }
    });
}

fn of(hit: Hit) -> &'static str {
    match hit {
        Hit::Leader => "the leader",
        Hit::Followers => "a follower",
        Hit::Each => "each in turn",
        Hit::Nobody => "nobody",
    }
}

fn in_words(Rate { count, of }: Rate) -> String {
    format!("{} of {}", Count(count), Count(of))
}

/// Of several faults: p50, p99 and the longest.
fn times(impacts: &[&Impact]) -> [String; 3] {
    let took_us = Impact::times_us(impacts.iter().copied());
    [50, 99, 100].map(|percent| percentile(&took_us, percent).map_or("-".to_owned(), took))
}

fn write_others(page: &mut Markup, statistics: &Statistics) {
    page.words("h3", &[], "Faults of the leader beside others, or that left no quorum");
    let mut others = statistics.impacts_by_kind(false);
    others.retain(|(_, hit), _| *hit == Hit::Leader);
    if others.is_empty() {
        page.words("p", &[], "There was none.");
        return;
    }
    page.words(
        "p",
        &[],
        "What was healed when counts as much here as how fast a leader is found: how long nobody was served, no more.",
    );
    page.table(&["Fault", "Times", "p50", "p99", "Longest", "Never served again"], |page| {
        for ((fault, _), impacts) in &others {
            let [p50, p99, longest] = times(impacts);
            let never = impacts.iter().filter(|impact| impact.served_us.is_none()).count() as u64;
            let count = Count(impacts.len() as u64);
            page.row(&[&kind(fault).called, &count, &p50, &p99, &longest, &Count(never)]);
        }
    });
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
