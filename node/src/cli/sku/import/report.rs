//! What is told of an import: the lines that were not done, as they come, and the sum of all.

use indicatif::ProgressBar;
use serde_json::json;

use super::work::{Done, Fate};
use crate::cli::failure::{EXIT_NOT_EXECUTED, EXIT_REFUSED, EXIT_UNKNOWN, Failure};
use crate::cli::out;

/// The report of an import.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    dry_run: bool,
    import_id: String,
    counts: Counts,
    /// So many calls in a row that nobody answered mean that there is no cluster.
    failures_max: u64,
    failures: u64,
    /// Whether somebody still reads what is told.
    heard: bool,
}

/// How many lines came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    made: u64,
    set: u64,
    unchanged: u64,
    adjusted: u64,
    repeated: u64,
    rejected: u64,
    not_executed: u64,
    unknown: u64,
}

impl Counts {
    fn lines(&self) -> u64 {
        let Counts { made, set, unchanged, adjusted, repeated, rejected, not_executed, unknown } = self;
        made + set + unchanged + adjusted + repeated + rejected + not_executed + unknown
    }
}

impl Report {
    /// Nothing is done yet.
    pub(super) fn new(json: bool, dry_run: bool, failures_max: u64, import_id: String) -> Report {
        let counts = Counts::default();
        Report { json, dry_run, import_id, counts, failures_max, failures: 0, heard: true }
    }

    /// Counts a line, and tells of it where it was not done. Nobody has to listen: the import goes on.
    pub(super) fn tell(&mut self, done: Done, bar: &ProgressBar) {
        self.count(&done.fate);
        let Counts { rejected, .. } = self.counts;
        bar.set_message(format!("{}, {rejected} rejected", counted(self.counts.lines())));
        let (code, reason) = match done.fate {
            Fate::Rejected { code, reason } => (code, reason),
            Fate::NotExecuted(why) => ("not_executed".to_owned(), why),
            Fate::Unknown(why) => ("outcome_unknown".to_owned(), why),
            Fate::Made | Fate::Set | Fate::Unchanged | Fate::Adjusted | Fate::Repeated => return,
        };
        let (number, sku) = (done.number, done.sku);
        let line = match self.json {
            true => json!({"line": number, "sku": sku, "code": code, "reason": reason}).to_string(),
            false => {
                let sku = sku.map(|sku| format!("{sku}: ")).unwrap_or_default();
                out::plain(&format!("line {number}: {sku}{code}: {reason}")).into_owned()
            }
        };
        bar.suspend(|| self.say(&line));
    }

    /// Whether nobody answers any more.
    pub(super) fn is_hopeless(&self) -> bool {
        self.failures > self.failures_max
    }

    /// It was interrupted twice: nobody waits for the calls under way.
    pub(super) fn abandoned(mut self) -> Failure {
        self.say_sum();
        Failure::new(EXIT_UNKNOWN, format!("interrupted, with calls under way; {}", self.again()))
    }

    /// Tells the sum, and how the import ended.
    pub(super) fn end(mut self, interrupted: bool, read: Result<(), Failure>) -> Result<(), Failure> {
        if self.counts.lines() > 0 || read.is_ok() {
            self.say_sum();
        }
        let Counts { rejected, not_executed, unknown, .. } = self.counts;
        let lines = counted(self.counts.lines());
        if unknown > 0 {
            let line = format!("outcome of {unknown} of {lines} unknown; {}", self.again());
            return Err(Failure::new(EXIT_UNKNOWN, line));
        }
        if interrupted || not_executed > 0 {
            let why = if interrupted {
                "interrupted".to_owned()
            } else {
                format!("{} not executed", counted(not_executed))
            };
            return Err(Failure::new(EXIT_NOT_EXECUTED, format!("{why}; {}", self.again())));
        }
        read?;
        match rejected {
            0 => Ok(()),
            _ => Err(Failure::new(EXIT_REFUSED, format!("{rejected} of {lines} rejected"))),
        }
    }

    fn again(&self) -> String {
        format!("run it again with --import-id {}: what is done is not done twice", self.import_id)
    }

    fn count(&mut self, fate: &Fate) {
        let counts = &mut self.counts;
        let (count, answered) = match fate {
            Fate::Made => (&mut counts.made, true),
            Fate::Set => (&mut counts.set, true),
            Fate::Unchanged => (&mut counts.unchanged, true),
            Fate::Adjusted => (&mut counts.adjusted, true),
            Fate::Repeated => (&mut counts.repeated, true),
            Fate::Rejected { .. } => (&mut counts.rejected, true),
            Fate::NotExecuted(_) => (&mut counts.not_executed, false),
            Fate::Unknown(_) => (&mut counts.unknown, false),
        };
        *count += 1;
        self.failures = if answered { 0 } else { self.failures + 1 };
    }

    fn say_sum(&mut self) {
        let sum = if self.json { self.json_sum() } else { self.text_sum() };
        self.say(&sum);
    }

    fn json_sum(&self) -> String {
        let Counts { made, set, unchanged, adjusted, repeated, rejected, not_executed, unknown } =
            self.counts;
        json!({
            "lines": self.counts.lines(), "made": made, "set": set, "unchanged": unchanged, "adjusted": adjusted,
            "repeated": repeated, "rejected": rejected, "not_executed": not_executed, "unknown": unknown,
            "dry_run": self.dry_run, "import_id": self.import_id,
        })
        .to_string()
    }

    /// `2000 lines: 1500 made, 490 set, 10 rejected`
    fn text_sum(&self) -> String {
        let Counts { made, set, unchanged, adjusted, repeated, rejected, not_executed, unknown } =
            self.counts;
        let parts = [
            (made, "made"),
            (set, "set"),
            (unchanged, "unchanged"),
            (adjusted, "adjusted"),
            (repeated, "done before"),
            (rejected, "rejected"),
            (not_executed, "not executed"),
            (unknown, "unknown"),
        ];
        let told: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let dry = if self.dry_run { "dry run, nothing was changed: " } else { "" };
        let lines = counted(self.counts.lines());
        match told.is_empty() {
            true => format!("{dry}{lines}"),
            false => format!("{dry}{lines}: {}", told.join(", ")),
        }
    }

    fn say(&mut self, line: &str) {
        self.heard = self.heard && out::text(&format!("{line}\n")).is_ok();
    }
}

/// `1 line`, `2 lines`.
fn counted(lines: u64) -> String {
    format!("{lines} {}", if lines == 1 { "line" } else { "lines" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fates: &[Fate]) -> Report {
        let mut report = Report::new(false, false, 2, "i".to_owned());
        fates.iter().for_each(|fate| report.count(fate));
        report
    }

    fn rejected() -> Fate {
        Fate::Rejected { code: "c".to_owned(), reason: "r".to_owned() }
    }

    #[test]
    fn the_worst_line_makes_the_exit_code() {
        let (not_executed, unknown) = (Fate::NotExecuted("w".to_owned()), Fate::Unknown("w".to_owned()));
        let broken = || Err(Failure::usage("broken"));
        let table = [
            (vec![Fate::Made, Fate::Set], false, Ok(()), 0),
            (vec![Fate::Made, rejected()], false, Ok(()), 1),
            (vec![Fate::Made, rejected()], false, broken(), 2),
            (vec![rejected(), not_executed.clone()], false, broken(), 3),
            (vec![Fate::Made], true, Ok(()), 3),
            (vec![not_executed, unknown], true, broken(), 4),
        ];
        for (fates, interrupted, read, code) in table {
            let ended = report(&fates).end(interrupted, read);
            assert_eq!(ended.map_or_else(|failure| failure.code, |()| 0), code, "{fates:?}");
        }
    }

    #[test]
    fn nobody_who_answers_makes_it_hopeless_only_in_a_row() {
        let not_executed = || Fate::NotExecuted("w".to_owned());
        assert!(report(&[not_executed(), not_executed(), not_executed()]).is_hopeless());
        assert!(!report(&[not_executed(), not_executed(), Fate::Made, not_executed()]).is_hopeless());
    }

    #[test]
    fn the_sum_tells_what_there_was() {
        assert_eq!(report(&[]).text_sum(), "0 lines");
        assert_eq!(report(&[Fate::Made]).text_sum(), "1 line: 1 made");
        assert_eq!(report(&[Fate::Made, Fate::Made, rejected()]).text_sum(), "3 lines: 2 made, 1 rejected");
    }
}
