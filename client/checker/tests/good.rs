//! Good histories pass, whatever happens in them.

mod support;

use checker::{Conclusion, Verdict, check};
use support::{Wanted, history, seeds};

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
    for seed in seeds(0..12) {
        let history = history(&Wanted::new(seed));
        let verdict = check(&history);
        assert_eq!(verdict.violations_total(), 0, "SEED={seed}\n{}", told(&verdict));
    }
}

#[test]
fn a_good_history_without_losses_passes_and_nothing_is_in_doubt() {
    for seed in seeds(100..106) {
        let wanted = Wanted { lost_one_in: 0, ..Wanted::new(seed) };
        let verdict = check(&history(&wanted));
        assert_eq!(verdict.conclusion, Conclusion::Passed, "SEED={seed}\n{}", told(&verdict));
    }
}
