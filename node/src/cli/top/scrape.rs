//! What a node's `/metrics` say, as far as it is shown here. A line that is not understood is passed by.

use std::collections::BTreeMap;

/// The samples of a page, by name and labels as they stand there.
#[derive(Debug, Default)]
pub(super) struct Scrape(BTreeMap<String, BTreeMap<String, f64>>);

impl Scrape {
    /// Reads a page.
    pub(super) fn of(page: &str) -> Scrape {
        let mut samples = BTreeMap::<String, BTreeMap<String, f64>>::new();
        for (name, labels, value) in page.lines().filter_map(sample) {
            samples.entry(name.to_owned()).or_default().insert(labels.to_owned(), value);
        }
        Scrape(samples)
    }

    /// The sample of that name and these labels.
    pub(super) fn value(&self, name: &str, labels: &str) -> Option<f64> {
        self.0.get(name)?.get(labels).copied()
    }

    /// The sum of the samples of that name with wanted labels.
    pub(super) fn sum(&self, name: &str, is_wanted: impl Fn(&str) -> bool) -> f64 {
        let samples = self.0.get(name).into_iter().flatten();
        samples.filter(|(labels, _)| is_wanted(labels)).map(|(_, value)| value).sum()
    }

    /// The buckets of a histogram, summed over wanted labels: each bound, and how many values do not exceed it.
    pub(super) fn buckets(&self, name: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<(f64, f64)> {
        let mut buckets = Vec::<(f64, f64)>::new();
        let samples = self.0.get(&format!("{name}_bucket")).into_iter().flatten();
        for (labels, value) in samples.filter(|(labels, _)| is_wanted(labels)) {
            let Some(bound) = bound(labels) else { continue };
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += value,
                None => buckets.push((bound, *value)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }
}

/// The name, the labels without their braces, and the value of a line.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (who, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (name, labels) = who.split_once('{').unwrap_or((who, "}"));
    Some((name, labels.strip_suffix('}')?, value.parse().ok()?))
}

/// The bound of a bucket, which stands last among its labels.
fn bound(labels: &str) -> Option<f64> {
    let (_, bound) = labels.rsplit_once("le=\"")?;
    match bound.strip_suffix('"')? {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

/// The value that a part of all values does not exceed, of buckets: where it lies within a bucket is taken to be even.
/// `None`: there were no values. Infinite: it is beyond the last bound.
pub(super) fn quantile(part: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let all = buckets.last()?.1;
    if all <= 0.0 {
        return None;
    }
    let rank = part * all;
    let place = buckets.iter().position(|(_, below)| *below >= rank)?;
    let (bound, below) = buckets[place];
    let (from, before) = place.checked_sub(1).map_or((0.0, 0.0), |last| buckets[last]);
    if bound.is_infinite() {
        return Some(bound);
    }
    Some(from + (bound - from) * (rank - before) / (below - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a A.\n# TYPE a counter\na_total 7\n\
        t_bucket{route=\"x\",le=\"0.1\"} 90\nt_bucket{route=\"x\",le=\"0.2\"} 100\nt_bucket{route=\"x\",le=\"+Inf\"} 100\n\
        t_bucket{route=\"y\",le=\"0.1\"} 0\nt_bucket{route=\"y\",le=\"0.2\"} 0\nt_bucket{route=\"y\",le=\"+Inf\"} 100\n\
        not a line of any kind\n";

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let page = Scrape::of(PAGE);
        assert_eq!((page.value("a_total", ""), page.value("a_total", "x=\"1\"")), (Some(7.0), None));
        assert_eq!(page.sum("t_bucket", |labels| labels.contains("0.1")), 90.0);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let page = Scrape::of(PAGE);
        let x = page.buckets("t", |labels| labels.starts_with("route=\"x\""));
        assert_eq!(x, [(0.1, 90.0), (0.2, 100.0), (f64::INFINITY, 100.0)]);
        assert_eq!(quantile(0.45, &x), Some(0.05));
        assert!(quantile(0.99, &x).is_some_and(|p99| (p99 - 0.19).abs() < 1e-9));
        let all = page.buckets("t", |_| true);
        assert_eq!(quantile(0.99, &all), Some(f64::INFINITY));
        assert_eq!((quantile(0.99, &[]), quantile(0.99, &[(1.0, 0.0)])), (None, None));
    }
}
