//! What a command that judges a cluster has checked, and how it is told.

use std::fmt::Write;

use serde::Serialize;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What came of it.
    pub(super) result: CheckResult,
    /// What was checked, and where it failed, how.
    pub(super) text: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CheckResult {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be made, which is nobody's fault.
    Skipped,
}

impl Finding {
    /// It holds, unless there is a fault.
    pub(super) fn of(text: impl Into<String>, fault: Option<String>) -> Finding {
        let text = text.into();
        match fault {
            None => Finding { result: CheckResult::Passed, text },
            Some(fault) => Finding { result: CheckResult::Failed, text: format!("{text}: {fault}") },
        }
    }

    /// It could not be made.
    pub(super) fn skipped(text: impl Into<String>) -> Finding {
        Finding { result: CheckResult::Skipped, text: text.into() }
    }
}

/// Whether no check failed.
pub(super) fn passed(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.result != CheckResult::Failed)
}

/// The findings, a line each.
pub(super) fn told(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.result {
            CheckResult::Passed => "ok     ",
            CheckResult::Failed => "FAILED ",
            CheckResult::Skipped => "skipped",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word}  {}", finding.text);
    }
    text
}
