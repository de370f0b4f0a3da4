//! What a rule has found so far.

use crate::verdict::{RuleVerdict, Violation};

/// What a rule has found so far.
pub(crate) struct Findings {
    verdict: RuleVerdict,
}

impl Findings {
    /// A rule that has found nothing yet: its name, and what it demands.
    pub(crate) fn new(name: &str, says: &str) -> Findings {
        let (name, says) = (name.to_owned(), says.to_owned());
        Findings {
            verdict: RuleVerdict { name, says, looked_at: 0, violations: Vec::new(), violations_total: 0 },
        }
    }

    /// One more thing was looked at.
    pub(crate) fn look(&mut self) {
        self.verdict.looked_at += 1;
    }

    /// The rule is broken. The message is made only where it is told.
    pub(crate) fn accuse(&mut self, at_us: u64, calls: &[u64], message: impl FnOnce() -> String) {
        self.verdict.violations_total += 1;
        if self.verdict.violations.len() < RuleVerdict::TOLD_MAX {
            let violation = Violation { at_us, message: message(), calls: calls.to_vec() };
            self.verdict.violations.push(violation);
        }
    }

    /// What it comes to.
    pub(crate) fn verdict(self) -> RuleVerdict {
        self.verdict
    }
}
