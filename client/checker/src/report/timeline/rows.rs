//! Bars that overlap in time, put into rows.

/// Rows that fill from left to right.
pub(super) struct Rows {
    /// Where the last bar of each row ends.
    ends: Vec<f64>,
    most: usize,
}

impl Rows {
    /// None yet, and never more than `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { ends: Vec::new(), most }
    }

    /// Puts a bar into the first row with room for it, and says which; `None` where there is none.
    pub(super) fn put(&mut self, (left, width): (f64, f64)) -> Option<usize> {
        let free = self.ends.iter().position(|end| *end <= left);
        let row = free.or_else(|| (self.ends.len() < self.most).then_some(self.ends.len()))?;
        self.end(row, left + width);
        Some(row)
    }

    /// Draws a bar over others, in the row that ends first.
    pub(super) fn put_over(&mut self, (left, width): (f64, f64)) -> usize {
        let first = (0..self.ends.len()).min_by(|a, b| self.ends[*a].total_cmp(&self.ends[*b]));
        let row = first.unwrap_or(0);
        self.end(row, left + width);
        row
    }

    fn end(&mut self, row: usize, end: f64) {
        self.ends.resize(self.ends.len().max(row + 1), end);
        self.ends[row] = self.ends[row].max(end);
    }
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
        let mut rows = Rows::new(2);
        let bars = [(0.0, 10.0), (5.0, 10.0), (10.0, 3.0), (11.0, 1.0), (13.0, 1.0)];
        assert_eq!(bars.map(|bar| rows.put(bar)), [Some(0), Some(1), Some(0), None, Some(0)]);
        assert_eq!(rows.put_over((13.0, 9.0)), 0);
        assert_eq!([rows.put((15.0, 1.0)), rows.put((15.5, 1.0))], [Some(1), None]);
    }
}
