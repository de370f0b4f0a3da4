//! Bars that overlap in time, put into rows.

/// The row of each bar, given as left edge and width in order of their left edges: the first row with room for it.
/// Where all `most` rows are taken, the last one is drawn over.
pub(super) fn rows(bars: &[(f64, f64)], most: usize) -> Vec<usize> {
    let mut ends: Vec<f64> = Vec::new();
    let mut rows = Vec::with_capacity(bars.len());
    for (left, width) in bars {
        let free = ends.iter().position(|end| end <= left);
        let row = free.unwrap_or(ends.len()).min(most.saturating_sub(1));
        ends.resize(ends.len().max(row + 1), 0.0);
        ends[row] = ends[row].max(left + width);
        rows.push(row);
    }
    rows
}

/// How wide text of the drawings' size is, with room around it. Rather too much: fonts differ.
pub(super) fn width_of(text: &str) -> f64 {
    6.8 * text.chars().count() as f64 + 5.0
}

/// The first of some texts, the longest first, that fits into a width.
pub(super) fn longest_fit(texts: &[String], width: f64) -> Option<&String> {
    texts.iter().find(|text| width_of(text) <= width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_that_overlap_are_in_different_rows_as_long_as_there_are_some() {
        let bars = [(0.0, 10.0), (5.0, 10.0), (10.0, 3.0), (11.0, 1.0), (12.0, 1.0)];
        assert_eq!(rows(&bars, 9), [0, 1, 0, 2, 2]);
        assert_eq!(rows(&bars, 2), [0, 1, 0, 1, 1]);
        assert_eq!(rows(&bars, 1), [0; 5]);
    }
}
