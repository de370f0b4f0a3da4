//! How long answers took, on an axis of powers of ten: a line for the median, one for the slowest in a hundred.

use std::fmt::Write;
use std::ops::Range;

use super::axis::{Height, WIDTH, Window};
use super::shapes::{Anchor, label, path};
use crate::report::buckets::{Bucket, Buckets};
use crate::report::markup::Markup;
use crate::report::words::Span;

/// What is drawn of each slice of time.
type Figure = fn(&Bucket) -> Option<u64>;

/// The lines, and the axis that they stand on.
pub(super) struct Latency<'a> {
    buckets: &'a Buckets,
    height: &'a Height,
    /// The powers of ten, in microseconds, around all figures: their exponents.
    powers: Range<i32>,
}

impl<'a> Latency<'a> {
    /// Of these slices of time, on this height.
    pub(super) fn of(buckets: &'a Buckets, height: &'a Height) -> Self {
        let figures = || buckets.list.iter().flat_map(|bucket| [bucket.p50_us, bucket.p99_us]).flatten();
        let low = figures().min().unwrap_or(1_000).max(1).ilog10() as i32;
        let most = figures().max().unwrap_or(1_000_000).max(1);
        let high = most.ilog10() as i32 + i32::from(!is_power_of_ten(most));
        Self { buckets, height, powers: low..high.max(low + 1) }
    }

    /// Names the axis, to the left of `x`.
    pub(super) fn draw_axis(&self, page: &mut Markup, x: f64) {
        for power in self.lines() {
            label(page, "note", (x, self.y(power) + 4.0), Anchor::End, Span(power));
        }
    }

    /// Draws both lines over a grid of powers of ten.
    pub(super) fn draw(&self, page: &mut Markup, window: Window) {
        for power in self.lines() {
            path(page, "grid", format_args!("M0 {:.1}H{WIDTH}", self.y(power)));
        }
        let lines: [(&str, Figure, &str); 2] = [
            ("p50", |b| b.p50_us, "half of the answers were at least this fast"),
            ("p99", |b| b.p99_us, "99 in 100 answers were at least this fast"),
        ];
        for (class, figure, meaning) in lines {
            let line = self.line(window, figure);
            if !line.is_empty() {
                page.shape("path", &[("class", &class), ("d", &line)], meaning);
            }
        }
    }

    fn lines(&self) -> impl Iterator<Item = u64> {
        (self.powers.start..=self.powers.end).map(|power| 10_u64.pow(power.unsigned_abs()))
    }

    fn y(&self, figure_us: u64) -> f64 {
        let [low, high] = [self.powers.start, self.powers.end].map(f64::from);
        self.height.linear((figure_us.max(1) as f64).log10() - low, high - low)
    }

    /// A step for each slice with an answer. Where there was none, the line is broken.
    fn line(&self, window: Window, figure: Figure) -> String {
        let mut path = String::new();
        let mut drawn = false;
        for (slice, figure) in self.buckets.list.iter().map(figure).enumerate() {
            if let Some(figure_us) = figure {
                let time_us = self.buckets.time_us(slice);
                let [left, right] = [window.x(time_us.start), window.x(time_us.end)];
                let y = self.y(figure_us);
                let _ = match drawn {
                    true => write!(path, "V{y:.1}H{right:.1}"),
                    false => write!(path, "M{left:.1} {y:.1}H{right:.1}"),
                };
            }
            drawn = figure.is_some();
        }
        path
    }
}

fn is_power_of_ten(figure: u64) -> bool {
    10_u64.pow(figure.ilog10()) == figure
}
