//! What was checked: each rule in a sentence, how often it looked, and what it found.

use super::markup::Markup;
use super::words::{Count, Of};
use crate::verdict::{RuleVerdict, Verdict};

/// Writes the table.
pub(super) fn write(page: &mut Markup, verdict: &Verdict) {
    page.words("h2", &[], "What was checked");
    if verdict.rules.is_empty() {
        page.words("p", &[], "No rule was checked.");
        return;
    }
    page.table(&["Rule", "What it demands", "Looked at", "Found"], |page| {
        verdict.rules.iter().for_each(|rule| write_rule(page, rule));
    });
}

fn write_rule(page: &mut Markup, rule: &RuleVerdict) {
    page.within("tr", &[], |page| {
        page.within("td", &[], |page| page.words("code", &[], &rule.name));
        page.words("td", &[], &rule.says);
        page.words("td", &[], Count(rule.looked_at));
        match (rule.looked_at, rule.violations_total) {
            (0, 0) => page.words("td", &[("class", &"still unsure")], "? nothing to look at"),
            (_, 0) => page.words("td", &[("class", &"still good")], "\u{2713} kept"),
            (_, broken) => {
                let words = format_args!("\u{2717} {}", Of(broken, "violation"));
                page.words("td", &[("class", &"still bad")], words);
            }
        }
    });
}
