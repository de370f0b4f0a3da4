//! The verdict in words, for a terminal.

use std::fmt::Write as _;

use checker::verdict::{Hit, Impact, Rate, Statistics, percentile};
use checker::{Conclusion, History, Verdict};

use super::super::Table;

/// How many violations of a rule are told; the page tells more.
const TOLD_MAX: usize = 5;

/// What the run comes to.
pub(super) fn summary(history: &History, verdict: &Verdict) -> String {
    let (run, statistics) = (&history.run, &verdict.statistics);
    let mut text = format!("\n{}\n", conclusion(verdict));
    for doubt in &verdict.doubts {
        add(&mut text, format_args!("  {doubt}"));
    }
    for rule in &verdict.rules {
        for violation in rule.violations.iter().take(TOLD_MAX) {
            let at_s = violation.at_us as f64 / 1e6;
            add(&mut text, format_args!("  {} at {at_s:.3} s: {}", rule.name, violation.message));
        }
    }
    text.push('\n');
    text.push_str(&operations(statistics));
    text.push('\n');
    text.push_str(&rules(verdict));
    text.push('\n');
    text.push_str(&faults(statistics));
    text.push('\n');
    text.push_str(&service(statistics));
    add(&mut text, format_args!("\nseed {}; once more: {}", run.seed, run.command));
    text
}

fn add(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn conclusion(verdict: &Verdict) -> String {
    match verdict.conclusion {
        Conclusion::Passed => "passed: every promise that was looked at was kept".to_owned(),
        Conclusion::Violated => format!("VIOLATED: {} times", verdict.violations_total()),
        Conclusion::Unknown => "unknown: no promise was broken, but too little was shown".to_owned(),
    }
}

fn operations(statistics: &Statistics) -> String {
    let mut table = Table::new(["operation", "#succeeded", "#refused", "#not executed", "#unknown"]);
    let row = |count: &checker::verdict::OperationCount| {
        [
            count.op.to_string(),
            count.succeeded.to_string(),
            count.refused.to_string(),
            count.not_executed.to_string(),
            count.unknown.to_string(),
        ]
    };
    let rows: Vec<[String; 5]> = statistics.operations.iter().map(row).collect();
    let (between, during) = (statistics.between_faults, statistics.during_faults);
    let mut text = table.rows(&rows);
    add(
        &mut text,
        format_args!("tries dealt with between faults: {}; all others: {}", rate(between), rate(during)),
    );
    text
}

fn rate(Rate { count, of }: Rate) -> String {
    let percent = 100.0 * count as f64 / of.max(1) as f64;
    format!("{count} of {of} ({percent:.2} %)")
}

fn rules(verdict: &Verdict) -> String {
    let mut table = Table::new(["rule", "#looked at", "#violations"]);
    let rows = verdict.rules.iter();
    let rows = rows.map(|it| [it.name.clone(), it.looked_at.to_string(), it.violations_total.to_string()]);
    table.rows(&rows.collect::<Vec<_>>())
}

fn faults(statistics: &Statistics) -> String {
    let mut table = Table::new(["fault", "#done", "#fired"]);
    let rows = statistics.faults.iter();
    let rows = rows.map(|it| [it.fault.clone(), it.begun.to_string(), it.fired.to_string()]);
    table.rows(&rows.collect::<Vec<_>>())
}

/// How long nobody was served.
fn service(statistics: &Statistics) -> String {
    let mut text = String::new();
    if let Some(gap) = statistics.gaps.first() {
        let (length_ms, causes) = ((gap.until_us - gap.from_us) / 1000, gap.causes.join("; "));
        add(&mut text, format_args!("longest time without a write: {length_ms} ms ({causes})"));
    }
    text.push_str(&alone(statistics));
    for ((fault, hit), impacts) in statistics.impacts_by_kind(false) {
        if hit == Hit::Leader {
            let ([p50, p99, max], count) = (times(&impacts), impacts.len());
            add(
                &mut text,
                format_args!(
                    "until served after {fault} of the leader, beside others or without a quorum: p50 {p50}, p99 {p99}, \
                     max {max} ({count} times)"
                ),
            );
        }
    }
    text
}

/// What each kind of fault did that stood alone: until served, the longest time without a write, and how many tries at
/// nodes that it did not hit were not dealt with, and calls not answered.
fn alone(statistics: &Statistics) -> String {
    let alone = statistics.impacts_by_kind(true);
    if alone.is_empty() {
        return "no fault stood alone, with a quorum left\n".to_owned();
    }
    let row = |((fault, hit), impacts): (&(&str, Hit), &Vec<&Impact>)| {
        let [p50, p99, max] = times(impacts);
        let gap_us = impacts.iter().map(|impact| impact.gap_us).max();
        let elsewhere: Rate = impacts.iter().map(|impact| impact.elsewhere).sum();
        let calls: Rate = impacts.iter().map(|impact| impact.calls).sum();
        let count = impacts.len().to_string();
        let whom = whom(*hit).to_owned();
        [fault.to_string(), whom, count, p50, p99, max, took(gap_us), failed(elsewhere), failed(calls)]
    };
    let rows: Vec<[String; 9]> = alone.iter().map(row).collect();
    let heads = [
        "fault alone",
        "of",
        "#times",
        "#served p50",
        "#p99",
        "#max",
        "#without a write",
        "#failed tries elsewhere",
        "#failed calls",
    ];
    Table::new(heads).rows(&rows)
}

fn whom(hit: Hit) -> &'static str {
    match hit {
        Hit::Leader => "the leader",
        Hit::Followers => "a follower",
        Hit::Each => "each in turn",
        Hit::Nobody => "nobody",
    }
}

/// p50, p99 and the longest.
fn times(impacts: &[&Impact]) -> [String; 3] {
    let times_us = Impact::times_us(impacts.iter().copied());
    [50, 99, 100].map(|percent| took(percentile(&times_us, percent)))
}

fn failed(Rate { count, of }: Rate) -> String {
    format!("{} of {of}", of - count)
}

fn took(time_us: Option<u64>) -> String {
    match time_us {
        None | Some(u64::MAX) => "never".to_owned(),
        Some(time_us) => format!("{} ms", time_us / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_until_service_is_told_by_kind_and_apart_where_a_fault_did_not_stand_alone() {
        let impact = |fault: &str, hit, ms: u64, alone| Impact {
            from_us: 1_000_000,
            fault: fault.to_owned(),
            hit,
            alone,
            served_us: Some(1_000_000 + ms * 1000),
            gap_us: ms * 1000 + 1_000,
            calls: Rate { count: 10, of: 10 },
            elsewhere: Rate { count: 19, of: 20 },
        };
        let never = Impact { served_us: None, ..impact("pause", Hit::Leader, 0, false) };
        let impacts = vec![
            impact("kill", Hit::Leader, 700, true),
            impact("kill", Hit::Leader, 500, true),
            impact("kill", Hit::Leader, 6_000, false),
            impact("kill", Hit::Followers, 20, true),
            impact("slow", Hit::Followers, 20, false),
            never,
        ];
        let told = service(&Statistics { impacts, ..Statistics::default() });
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "fault alone  of          times  served p50     p99     max  without a write  failed tries elsewhere  \
                 failed calls",
                "kill         the leader      2      500 ms  700 ms  700 ms           701 ms                 2 of 40  \
                 \x20    0 of 20",
                "kill         a follower      1       20 ms   20 ms   20 ms            21 ms                 1 of 20  \
                 \x20    0 of 10",
                "until served after kill of the leader, beside others or without a quorum: p50 6000 ms, p99 6000 ms, \
                 max 6000 ms (1 times)",
                "until served after pause of the leader, beside others or without a quorum: p50 never, p99 never, \
                 max never (1 times)",
            ]
        );
    }
}
