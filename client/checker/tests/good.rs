//! Good histories pass, whatever happens in them.

mod support;

use checker::{Conclusion, Verdict, check};
use support::{Wanted, history, long_history, seeds};

fn told(verdict: &Verdict) -> String {
    let broken = verdict.rules.iter().filter(|rule| rule.violations_total > 0);
    let broken = broken.map(|rule| {
        let first: Vec<_> = rule.violations.iter().take(3).collect();
        format!("{} {}: {first:#?}", rule.name, rule.violations_total)
    });
    broken.chain(verdict.doubts.iter().cloned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_history_passes() {
    for seed in seeds(0..8) {
        let history = history(&Wanted::new(seed));
        let verdict = check(&history);
        assert_eq!(verdict.violations_total(), 0, "SEED={seed}\n{}", told(&verdict));
    }
}

#[test]
fn a_good_history_without_losses_passes_and_nothing_is_in_doubt() {
    for seed in seeds(100..104) {
        let wanted = Wanted { lost_one_in: 0, ..Wanted::new(seed) };
        let verdict = check(&history(&wanted));
        assert_eq!(verdict.conclusion, Conclusion::Passed, "SEED={seed}\n{}", told(&verdict));
    }
}

/// `CALLS=1000000` for a million.
#[test]
fn a_long_history_passes() {
    let calls = std::env::var("CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(3_000);
    let history = long_history(seeds(0..1)[0], calls);
    let begun = std::time::Instant::now();
    let verdict = check(&history);
    eprintln!("{} calls, {} events: {:?}", history.calls.len(), history.events.len(), begun.elapsed());
    assert_eq!(verdict.violations_total(), 0, "{}", told(&verdict));
}
