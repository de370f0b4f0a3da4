//! The verdict in words, for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use checker::verdict::{Failover, Rate, Statistics, percentile};
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
    for (fault, failovers) in failovers(&statistics.failovers) {
        let (times_us, count) = (Failover::times_us(failovers.iter().copied()), failovers.len());
        let [p50, p99, max] = [50, 99, 100].map(|percent| took(percentile(&times_us, percent)));
        add(
            &mut text,
            format_args!(
                "until served after {fault} of the leader: p50 {p50}, p99 {p99}, max {max} ({count} times)"
            ),
        );
    }
    text
}

/// The faults of the leader, by their kind.
fn failovers(all: &[Failover]) -> BTreeMap<&str, Vec<&Failover>> {
    let mut by_kind: BTreeMap<&str, Vec<&Failover>> = BTreeMap::new();
    all.iter().for_each(|failover| by_kind.entry(&failover.fault).or_default().push(failover));
    by_kind
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
    fn the_time_until_service_is_told_by_kind() {
        let failover = |fault: &str, ms: u64| Failover {
            from_us: 1_000_000,
            fault: fault.to_owned(),
            nodes: vec![1],
            served_us: Some(1_000_000 + ms * 1000),
        };
        let never = Failover { served_us: None, ..failover("pause", 0) };
        let failovers = vec![failover("kill", 700), failover("kill", 500), failover("pause", 900), never];
        let told = service(&Statistics { failovers, ..Statistics::default() });
        assert_eq!(
            told,
            "until served after kill of the leader: p50 500 ms, p99 700 ms, max 700 ms (2 times)\n\
             until served after pause of the leader: p50 900 ms, p99 never, max never (2 times)\n"
        );
    }
}
