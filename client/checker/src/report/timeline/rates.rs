//! How many calls ended each second, and with what: areas on each other.

use std::fmt::Write;

use super::axis::{Height, WIDTH, Window, round_up};
use super::shapes::{Anchor, label, path};
use crate::call_end::CallEnd;
use crate::report::buckets::{Bucket, Buckets};
use crate::report::markup::Markup;
use crate::report::words::Count;

/// The areas, and the axis that they stand on.
pub(super) struct Rates<'a> {
    buckets: &'a Buckets,
    height: &'a Height,
    /// What the axis ends with, in calls a second.
    high: f64,
}

impl<'a> Rates<'a> {
    /// Of these slices of time, on this height.
    pub(super) fn of(buckets: &'a Buckets, height: &'a Height) -> Self {
        let most = buckets.list.iter().map(|bucket| bucket.ends.iter().sum()).max().unwrap_or(0);
        Self { buckets, height, high: round_up(buckets.per_second(most)) }
    }

    /// Names the axis, to the left of `x`.
    pub(super) fn draw_axis(&self, page: &mut Markup, x: f64) {
        let parts = if self.high < 2.0 { &[1.0][..] } else { &[0.5, 1.0] };
        for part in parts {
            let figure = Count((self.high * part).round() as u64);
            label(page, "note", (x, self.height.linear(*part, 1.0) + 4.0), Anchor::End, figure);
        }
    }

    /// Draws the areas, the lowest first.
    pub(super) fn draw(&self, page: &mut Markup, window: Window) {
        for part in [0.0, 0.5, 1.0] {
            path(page, "grid", format_args!("M0 {:.1}H{WIDTH}", self.height.linear(part, 1.0)));
        }
        for (place, end) in CallEnd::ALL.iter().enumerate() {
            let area = self.area(window, place);
            if !area.is_empty() {
                page.shape("path", &[("class", &end.class()), ("d", &area)], end.name());
            }
        }
    }

    /// Steps from the sum of the ends below to that with this one on them. A slice without such an end has none.
    fn area(&self, window: Window, place: usize) -> String {
        let mut path = String::new();
        for (slice, bucket) in self.buckets.list.iter().enumerate().filter(|(_, b)| b.ends[place] > 0) {
            let time_us = self.buckets.time_us(slice);
            let [left, right] = [window.x(time_us.start), window.x(time_us.end)];
            let low = self.y(bucket, place);
            // One failure among thousands is less than a hair high, and matters.
            let top = self.y(bucket, place + 1).min(low - if place > 1 { 1.5 } else { 0.0 });
            let _ = write!(path, "M{left:.1} {low:.1}V{top:.1}H{right:.1}V{low:.1}z");
        }
        path
    }

    /// The height of the first so many ends.
    fn y(&self, bucket: &Bucket, ends: usize) -> f64 {
        self.height.linear(self.buckets.per_second(bucket.ends[..ends].iter().sum()), self.high)
    }
}
