//! The verdict in words, for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use checker::verdict::{Failover, Rate, Statistics};
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
        format_args!("dealt with between faults: {}; during faults: {}", rate(between), rate(during)),
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
    for (fault, mut times_ms) in failovers(&statistics.failovers) {
        times_ms.sort_unstable();
        let at = |percent: usize| times_ms[(times_ms.len() * percent / 100).min(times_ms.len() - 1)];
        let (count, p50, p99, max) = (times_ms.len(), at(50), at(99), at(100));
        add(
            &mut text,
            format_args!(
                "until served after {fault} of the leader: p50 {p50}, p99 {p99}, max {max} ms ({count} times)"
            ),
        );
    }
    text
}

/// How long it took after each fault of the leader, by its kind; never empty.
fn failovers(all: &[Failover]) -> BTreeMap<&str, Vec<u64>> {
    let mut by_kind: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for failover in all {
        if let Some(served_us) = failover.served_us {
            let time_ms = served_us.saturating_sub(failover.from_us) / 1000;
            by_kind.entry(&failover.fault).or_default().push(time_ms);
        }
    }
    by_kind
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
        let failovers = vec![failover("kill", 700), failover("kill", 500), failover("pause", 900)];
        let told = service(&Statistics { failovers, ..Statistics::default() });
        assert_eq!(
            told,
            "until served after kill of the leader: p50 700, p99 700, max 700 ms (2 times)\n\
             until served after pause of the leader: p50 900, p99 900, max 900 ms (1 times)\n"
        );
    }
}
