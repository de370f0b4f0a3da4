//! From times and figures to places in the drawing.

use std::ops::Range;

/// Width of a drawing without its column of names, in the drawing's own units.
pub(super) const WIDTH: f64 = 1100.0;

/// Room at the drawing's right end, so that nothing touches its edge.
const MARGIN: f64 = 12.0;

/// The horizontal axis: a part of a run, in microseconds since its start.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// What the drawing begins with.
    pub(super) from_us: u64,
    /// What it ends with; later than `from_us`.
    pub(super) until_us: u64,
}

impl Window {
    /// The place of a moment; of one outside, the nearer end.
    pub(super) fn x(self, at_us: u64) -> f64 {
        let inside = at_us.clamp(self.from_us, self.until_us) - self.from_us;
        inside as f64 * (WIDTH - MARGIN) / self.length_us() as f64
    }

    /// Left edge and width of a length of time, at least `thin` wide; `None` where nothing of it is in the window.
    pub(super) fn band(self, time_us: &Range<u64>, thin: f64) -> Option<(f64, f64)> {
        let seen =
            time_us.start < self.until_us && time_us.end.max(time_us.start.saturating_add(1)) > self.from_us;
        seen.then(|| {
            let left = self.x(time_us.start);
            (left, (self.x(time_us.end) - left).max(thin))
        })
    }

    /// The place of a moment, where it is in the window.
    pub(super) fn point(self, at_us: u64) -> Option<f64> {
        (self.from_us..=self.until_us).contains(&at_us).then(|| self.x(at_us))
    }

    /// How long the window is, in microseconds.
    pub(super) fn length_us(self) -> u64 {
        self.until_us - self.from_us
    }

    /// Round moments for the axis: as many as can be read side by side.
    pub(super) fn ticks(self) -> impl Iterator<Item = u64> {
        const STEPS_S: [u64; 13] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200];
        let enough = STEPS_S.iter().map(|s| s * 1_000_000).find(|step| self.length_us() / step <= 15);
        let step_us = enough.unwrap_or(self.length_us());
        (self.from_us.div_ceil(step_us)..=self.until_us / step_us).map(move |tick| tick * step_us)
    }
}

/// A vertical axis: figures from `low` to `high` on the height between two places of the drawing.
pub(super) struct Height {
    /// Where the highest figure is.
    pub(super) top: f64,
    /// Where the lowest is; greater than `top`, as drawings count downward.
    pub(super) bottom: f64,
}

impl Height {
    /// The place of a figure on an axis from 0 to `high`.
    pub(super) fn linear(&self, figure: f64, high: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (figure / high).clamp(0.0, 1.0)
    }
}

/// The next round figure whose half is round as well: an end for an axis.
pub(super) fn round_up(figure: f64) -> f64 {
    const ROUND: [f64; 7] = [1.0, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0];
    let power = 10_f64.powf(figure.max(1.0).log10().floor());
    ROUND.iter().map(|part| part * power).find(|end| *end >= figure).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Window = Window { from_us: 0, until_us: 60_000_000 };

    #[test]
    fn what_is_outside_is_cut_or_left_out() {
        let window = Window { from_us: 10, until_us: 20 };
        assert_eq!(window.band(&(0..10), 1.0), None);
        assert_eq!(window.band(&(20..30), 1.0), None);
        assert_eq!(window.band(&(0..30), 1.0), Some((0.0, WIDTH - MARGIN)));
        assert_eq!(window.band(&(15..15), 2.0), Some(((WIDTH - MARGIN) / 2.0, 2.0)));
        assert_eq!(window.point(21), None);
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(MINUTE.ticks().collect::<Vec<_>>().len(), 13);
        let slice = Window { from_us: 61_500_000, until_us: 64_000_000 };
        assert_eq!(slice.ticks().collect::<Vec<_>>(), [62_000_000, 63_000_000, 64_000_000]);
        let days = Window { from_us: 0, until_us: 900_000_000_000 };
        assert!(days.ticks().count() <= 16);
    }

    #[test]
    fn an_axis_ends_with_a_round_figure() {
        let ends: Vec<_> = [0.0, 1.0, 3.0, 7.0, 10.0, 480.0, 1_001.0].map(round_up).to_vec();
        assert_eq!(ends, [1.0, 1.0, 3.0, 8.0, 10.0, 600.0, 1_600.0]);
    }
}
