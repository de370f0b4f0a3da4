//! The top of the page: what came out, in a word, a sentence and six figures.

use std::fmt::Display;

use super::gaps::took;
use super::kinds::kind;
use super::markup::Markup;
use super::timeline::Scene;
use super::words::{Count, List, Of, Share, Span};
use crate::history::History;
use crate::verdict::{Conclusion, Hit, Impact, Statistics, Verdict, percentile};

/// The page's name, as a browser's tab shows it.
pub(super) fn title(page: &mut Markup, history: &History, verdict: &Verdict) {
    let word = match verdict.conclusion {
        Conclusion::Passed => "passed",
        Conclusion::Violated => "violated",
        Conclusion::Unknown => "unknown",
    };
    page.words("title", &[], format_args!("{word}: lastunit prove, seed {}", history.run.seed));
}

/// Writes the top of the page.
pub(super) fn write(page: &mut Markup, history: &History, verdict: &Verdict, scene: &Scene) {
    page.words("p", &[("class", &"brand")], format_args!("lastunit prove, seed {}", history.run.seed));
    let class = match verdict.conclusion {
        Conclusion::Passed => "verdict passed",
        Conclusion::Violated => "verdict violated",
        Conclusion::Unknown => "verdict open",
    };
    page.within("div", &[("class", &class)], |page| {
        page.words("h1", &[], conclusion(verdict));
        page.words("p", &[], what_was_done(history, verdict));
        page.words("p", &[], what_was_found(verdict));
        doubts(page, verdict);
    });
    tiles(page, verdict, scene);
}

fn conclusion(verdict: &Verdict) -> String {
    match verdict.conclusion {
        Conclusion::Passed => "\u{2713} Passed: every promise that was checked was kept".to_owned(),
        Conclusion::Violated => {
            let broken = verdict.rules.iter().filter(|rule| rule.violations_total > 0).count() as u64;
            let times = Of(verdict.violations_total(), "violation");
            format!("\u{2717} Violated: {times} of {}", Of(broken, "rule"))
        }
        Conclusion::Unknown => {
            "? Unknown: no promise was seen broken, but the run does not show enough".to_owned()
        }
    }
}

fn what_was_done(history: &History, verdict: &Verdict) -> String {
    let run = &history.run;
    let operations = history.calls.len() as u64;
    let asked = format!(
        "{} made {} on a cluster of {} for {}",
        Of(run.clients, "client"),
        Of(operations, "operation"),
        Of(run.nodes.len() as u64, "node"),
        Span(run.seconds.saturating_mul(1_000_000)),
    );
    let kinds: Vec<String> = verdict
        .statistics
        .faults
        .iter()
        .filter(|count| count.begun > 0)
        .map(|count| format!("{}\u{a0}\u{d7}\u{a0}{}", Count(count.begun), kind(&count.fault).called))
        .collect();
    match history.faults.len() as u64 {
        0 => format!("{asked}. Nothing was done to the cluster meanwhile."),
        faults => format!("{asked}, while it was hurt {} ({}).", times(faults), List(&kinds)),
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{} times", Count(count)),
    }
}

fn what_was_found(verdict: &Verdict) -> String {
    let looked_at: u64 = verdict.rules.iter().map(|rule| rule.looked_at).sum();
    if looked_at == 0 {
        return "Nothing was checked.".to_owned();
    }
    let broken: Vec<&str> = verdict
        .rules
        .iter()
        .filter(|rule| rule.violations_total > 0)
        .map(|rule| rule.name.as_str())
        .collect();
    let held = format!(
        "Then the cluster was healed, and all that clients and nodes had said was held against {} in {}",
        Of(verdict.rules.len() as u64, "rule"),
        Of(looked_at, "check"),
    );
    match broken.is_empty() {
        true => format!("{held}: nothing was lost, sold twice or told wrongly, as far as they see."),
        false => format!("{held}. Broken: {}.", List(&broken)),
    }
}

fn doubts(page: &mut Markup, verdict: &Verdict) {
    if !verdict.doubts.is_empty() {
        page.words("p", &[], "Why nothing can be concluded:");
        page.within("ul", &[], |page| verdict.doubts.iter().for_each(|doubt| page.words("li", &[], doubt)));
    }
}

fn tiles(page: &mut Markup, verdict: &Verdict, scene: &Scene) {
    let statistics = &verdict.statistics;
    let kept = verdict.rules.iter().filter(|rule| rule.violations_total == 0 && rule.looked_at > 0).count();
    let fired: u64 = statistics.faults.iter().map(|count| count.fired).sum();
    let between = statistics.between_faults;
    let during = statistics.during_faults;
    page.within("dl", &[("class", &"tiles")], |page| {
        let rules = verdict.rules.len();
        let checks = Of(verdict.rules.iter().map(|rule| rule.looked_at).sum(), "check");
        tile(page, "Rules kept", format_args!("{kept} of {rules}"), format_args!("in {checks}"));
        let begun = Count(scene.faults.len() as u64);
        tile(page, "Faults that bit", format_args!("{} of {begun}", Count(fired)), faults_of(statistics));
        let note = format!("during faults {}", Share(during.count, during.of));
        tile(page, "Tries answered in quiet", Share(between.count, between.of), note);
        gap_tile(page, statistics);
        failover_tile(page, statistics);
        tile(page, "New leaders", Count(scene.changes.len() as u64), "after the first one");
    });
}

fn faults_of(statistics: &Statistics) -> String {
    format!("of {}", Of(statistics.faults.iter().filter(|count| count.begun > 0).count() as u64, "kind"))
}

fn gap_tile(page: &mut Markup, statistics: &Statistics) {
    let longest = statistics.gaps.first().map(|gap| gap.until_us.saturating_sub(gap.from_us));
    let note = match statistics.gaps.len() as u64 {
        0 => "no gap of half a second or more".to_owned(),
        gaps => format!("{} of half a second or more", Of(gaps, "gap")),
    };
    match longest {
        None if statistics.operations.is_empty() => {
            tile(page, "Longest without a write", "-", "nothing was asked")
        }
        Some(length_us) => tile(page, "Longest without a write", Span(length_us), note),
        None => tile(page, "Longest without a write", "under 0.5 s", note),
    }
}

/// Of the hits that stood alone; where there is none, of all.
fn failover_tile(page: &mut Markup, statistics: &Statistics) {
    let hits = || statistics.impacts.iter().filter(|impact| impact.hit == Hit::Leader);
    let (alone, all) = (Impact::times_us(hits().filter(|impact| impact.alone)), Impact::times_us(hits()));
    let (took_us, which) = if alone.is_empty() { (all, "among other faults") } else { (alone, "alone") };
    let [half, most] = [percentile(&took_us, 50), percentile(&took_us, 99)];
    match (half, most) {
        (Some(half), Some(most)) => {
            let note = format!("p50 of {}, {which}; p99 {}", Of(took_us.len() as u64, "time"), took(most));
            tile(page, "Leader hit: back after", took(half), note);
        }
        _ => tile(page, "Leader hit: back after", "-", "no fault hit the leader"),
    }
}

fn tile(page: &mut Markup, name: &str, figure: impl Display, note: impl Display) {
    page.within("div", &[("class", &"tile")], |page| {
        page.words("dt", &[], name);
        page.words("dd", &[], figure);
        page.words("dd", &[("class", &"note")], note);
    });
}
