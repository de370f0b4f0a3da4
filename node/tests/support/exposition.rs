//! A strict reader of Prometheus' text format (version 0.0.4), and of its rules for names.
//!
//! ```text
//!   # HELP lastunit_x_seconds What it is.        each metric once: HELP, TYPE, its samples and nothing between
//!   # TYPE lastunit_x_seconds histogram
//!   lastunit_x_seconds_bucket{le="0.1"} 3
//! ```

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a sample.
pub(crate) type Labels = BTreeMap<String, String>;

/// A page of metrics.
#[derive(Debug)]
pub(crate) struct Exposition {
    metrics: BTreeMap<String, Metric>,
}

#[derive(Debug)]
struct Metric {
    kind: String,
    /// By the sample's own name, which for histograms is longer, and its labels.
    samples: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    /// Reads a page, or panics with what is wrong with it.
    pub(crate) fn of(text: &str) -> Exposition {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut metrics = BTreeMap::<String, Metric>::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = comment(line, "HELP");
            assert!(help.ends_with('.') && help.len() > 3, "no sentence: {line}");
            let (of, kind) = comment(lines.next().expect("a TYPE behind a HELP"), "TYPE");
            assert_eq!(of, name, "another TYPE than HELP");
            let mut metric = Metric { kind: kind.to_owned(), samples: BTreeMap::new() };
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let (sample, value) = sample(line);
                assert!(metric.owns(name, &sample.0), "{line} stands under {name}");
                assert_eq!(metric.samples.insert(sample, value), None, "twice: {line}");
            }
            metric.check(name);
            assert!(metrics.insert(name.to_owned(), metric).is_none(), "{name} is there twice");
        }
        Exposition { metrics }
    }

    /// The names of all samples that there may be: of a histogram those of its parts as well.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let parts = |(name, metric): (&String, &Metric)| match metric.kind.as_str() {
            "histogram" => ["", "_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")).to_vec(),
            _ => vec![name.clone()],
        };
        self.metrics.iter().flat_map(parts).collect()
    }

    /// The names of all metrics.
    pub(crate) fn metrics(&self) -> BTreeSet<String> {
        self.metrics.keys().cloned().collect()
    }

    /// Every sample's name and labels.
    pub(crate) fn samples(&self) -> BTreeSet<(String, Labels)> {
        self.metrics.values().flat_map(|metric| metric.samples.keys().cloned()).collect()
    }

    /// The sum of the samples of that name that have this label.
    pub(crate) fn sum(&self, name: &str, (label, value): (&str, &str)) -> f64 {
        let wanted = |(sample, labels): &(String, Labels)| {
            sample == name && labels.get(label).is_some_and(|given| given == value)
        };
        let all = self.metrics.values().flat_map(|metric| &metric.samples);
        all.filter(|(sample, _)| wanted(sample)).map(|(_, value)| value).sum()
    }

    /// The sample of that name without labels.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let key = (name.to_owned(), Labels::new());
        self.metrics.values().find_map(|metric| metric.samples.get(&key).copied())
    }
}

impl Metric {
    fn owns(&self, name: &str, sample: &str) -> bool {
        match (self.kind.as_str(), sample.strip_prefix(name)) {
            ("histogram", Some(part)) => ["_bucket", "_sum", "_count"].contains(&part),
            (_, rest) => rest == Some(""),
        }
    }

    fn check(&self, name: &str) {
        assert!(name.starts_with("lastunit_") || name.starts_with("process_"), "whose is {name}?");
        assert!(is_name(name), "{name} is no name");
        for word in [
            "ms",
            "us",
            "ns",
            "millis",
            "milliseconds",
            "microseconds",
            "minutes",
            "kb",
            "mb",
            "kib",
            "percent",
        ] {
            assert!(!name.split('_').any(|part| part == word), "{name}: {word} is no base unit");
        }
        let values = || self.samples.values();
        match self.kind.as_str() {
            "counter" => {
                assert!(name.ends_with("_total"), "the counter {name} is no total");
                assert!(values().all(|value| *value >= 0.0 && value.is_finite()), "{name}: {self:?}");
            }
            "gauge" => {
                let reserved = ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end));
                assert!(!reserved, "{name} is a gauge");
                assert!(!name.ends_with("_info") || values().all(|value| *value == 1.0), "{name}: {self:?}");
            }
            "histogram" => {
                assert!(name.ends_with("_seconds") || name.ends_with("_bytes"), "{name} has no unit");
                self.check_histogram(name);
            }
            other => panic!("{name} is a {other}"),
        }
    }

    /// Buckets grow, end with that of all, and add up; each has its sum and count.
    fn check_histogram(&self, name: &str) {
        let mut series = BTreeMap::<Labels, Vec<(f64, f64)>>::new();
        for ((sample, labels), value) in &self.samples {
            let mut labels = labels.clone();
            let bound = labels.remove("le");
            let buckets = series.entry(labels).or_default();
            match sample.ends_with("_bucket") {
                true => buckets.push((number(&bound.expect("a bucket has a bound")), *value)),
                false => assert_eq!(bound, None, "{sample} has a bound"),
            }
        }
        for (labels, mut buckets) in series {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}: {buckets:?}");
            let part = |part: &str| self.samples.get(&(format!("{name}{part}"), labels.clone())).copied();
            assert_eq!(buckets.last().map(|last| last.0), Some(f64::INFINITY), "{name} {labels:?}");
            assert_eq!(buckets.last().map(|last| last.1), part("_count"), "{name} {labels:?}");
            assert!(part("_sum").is_some_and(|sum| sum >= 0.0), "{name} {labels:?}");
        }
    }
}

/// The name and the rest of a comment of that kind.
fn comment<'a>(line: &'a str, kind: &str) -> (&'a str, &'a str) {
    let rest = line
        .strip_prefix("# ")
        .and_then(|line| line.strip_prefix(kind))
        .and_then(|line| line.strip_prefix(' '));
    rest.and_then(|rest| rest.split_once(' ')).unwrap_or_else(|| panic!("no {kind}: {line}"))
}

/// The name, the labels and the value of a sample.
fn sample(line: &str) -> ((String, Labels), f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line}"));
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "no name: {line}");
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(line, rest),
        None => (Labels::new(), rest),
    };
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line}"));
    ((name.to_owned(), labels), number(value))
}

/// The labels up to the brace that closes them, and what is behind that.
fn labels<'a>(line: &str, mut rest: &'a str) -> (Labels, &'a str) {
    let mut labels = Labels::new();
    loop {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(is_name(name) && !name.starts_with("__") && !name.contains(':'), "no label: {line}");
        let (value, after) = quoted(value).unwrap_or_else(|| panic!("no end of a label: {line}"));
        assert_eq!(labels.insert(name.to_owned(), value), None, "a label twice: {line}");
        match after.split_at_checked(1) {
            Some((",", after)) => rest = after,
            Some(("}", after)) => return (labels, after),
            _ => panic!("no end of the labels: {line}"),
        }
    }
}

/// The text up to the quotation mark that ends it, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            plain => value.push(plain),
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    let ends = !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit());
    ends && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        _ => text
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .unwrap_or_else(|| panic!("no number: {text}")),
    }
}
