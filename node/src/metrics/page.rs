//! A page of Prometheus' text format, version 0.0.4: for each metric its `HELP`, its `TYPE` and its samples together.

use std::fmt::{Arguments, Display, Write};

use storage::histogram::Distribution;

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins a metric; its samples follow.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// One sample of the metric that was begun last. The labels are written as [`label`] writes them.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        match labels.is_empty() {
            true => self.line(format_args!("{name} {value}")),
            false => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, "", value);
    }

    /// A counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.sample(name, "", value);
    }

    /// A counter with one label, all of whose values are named.
    pub(super) fn by(&mut self, name: &str, help: &str, of: &str, values: &[(&str, u64)]) {
        self.head(name, "counter", help);
        for (value, count) in values {
            self.sample(name, &label(of, value), count);
        }
    }

    /// A histogram of times without labels.
    pub(super) fn times(&mut self, name: &str, help: &str, told: &Distribution) {
        self.head(name, "histogram", help);
        self.distribution(name, "", told);
    }

    /// The samples of a histogram that was begun, with these labels: microseconds are told as seconds.
    pub(super) fn distribution(&mut self, name: &str, labels: &str, told: &Distribution) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound_us, below) in told.cumulative() {
            let bound = seconds(bound_us);
            self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}"));
        }
        let count = told.count();
        self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"));
        self.sample(&format!("{name}_sum"), labels, seconds(told.sum()));
        self.sample(&format!("{name}_count"), labels, count);
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// A label, whatever its value has in it.
pub(super) fn label(name: &str, value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{escaped}\"")
}

/// Microseconds as seconds, exactly and without needless digits.
pub(super) fn seconds(us: u64) -> String {
    let whole = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    whole.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_told_exactly() {
        let table = [(0, "0"), (1, "0.000001"), (250, "0.00025"), (1_000_000, "1"), (9_000_501, "9.000501")];
        for (us, told) in table {
            assert_eq!(seconds(us), told);
        }
    }

    #[test]
    fn a_label_ends_where_it_should() {
        assert_eq!(label("cluster", "a\"b\\c\nd"), r#"cluster="a\"b\\c\nd""#);
    }
}
