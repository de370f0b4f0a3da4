//! What runs down through the drawing: time, faults, gaps in service, new leaders, violations.

use std::ops::Range;

use super::axis::{WIDTH, Window};
use super::bars::tooltip;
use super::layout::Layout;
use super::rows::{rows, width_of};
use super::scene::Scene;
use super::shapes::{Anchor, label, path, rectangle};
use crate::history::Fault;
use crate::report::kinds::kind;
use crate::report::markup::Markup;
use crate::report::words::{Moment, Span};
use crate::verdict::Gap;

/// Lines at round moments, and what they are.
pub(super) fn draw_time(page: &mut Markup, window: Window, layout: &Layout) {
    let foot = layout.latency.bottom;
    for tick in window.ticks() {
        let x = window.x(tick);
        path(page, "grid", format_args!("M{x:.1} 0V{:.1}", foot + 4.0));
        let anchor = match x {
            ..14.0 => Anchor::Start,
            x if x + 20.0 > WIDTH => Anchor::End,
            _ => Anchor::Middle,
        };
        let seconds = tick / 1_000_000;
        label(page, "note", (x, foot + 17.0), anchor, format_args!("{}:{:02}", seconds / 60, seconds % 60));
    }
}

/// Faults, as faint bands over the part that shows what clients felt.
pub(super) fn draw_shades(page: &mut Markup, window: Window, layout: &Layout, faults: &[&Fault]) {
    for fault in faults.iter().filter(|fault| fault.fired) {
        let class = format!("shade {}", kind(&fault.fault).class);
        if let Some(band) = window.band(&(fault.from_us..fault.until_us), 1.0) {
            rectangle(page, class, band, layout.felt(), tooltip(fault));
        }
    }
}

/// Gaps in service: a box each, and its length where that can be read. The longest come first.
pub(super) fn draw_gaps(page: &mut Markup, window: Window, layout: &Layout, gaps: &[Gap]) {
    let mut taken: Vec<Range<f64>> = Vec::new();
    for gap in gaps {
        let Some(band) = window.band(&(gap.from_us..gap.until_us), 1.5) else { continue };
        let length = Span(gap.until_us.saturating_sub(gap.from_us)).to_string();
        let words =
            format!("no write was acknowledged for {length}, from {}{}", Moment(gap.from_us), after(gap));
        rectangle(page, "gap", band, layout.felt(), words);
        let half = width_of(&length) / 2.0;
        let middle = (band.0 + band.1 / 2.0).clamp(half, WIDTH - half);
        if taken.iter().all(|other| middle + half <= other.start || other.end <= middle - half) {
            taken.push(middle - half..middle + half);
            label(page, "of-gap", (middle, layout.gaps), Anchor::Middle, &length);
        }
    }
}

fn after(gap: &Gap) -> String {
    if gap.causes.is_empty() { String::new() } else { format!(", after {}", gap.causes.join("; ")) }
}

/// A flag with the node's number for each new leader, and a line beneath it.
pub(super) fn draw_changes(page: &mut Markup, window: Window, layout: &Layout, scene: &Scene) {
    let y = layout.changes;
    for change in &scene.changes {
        let Some(x) = window.point(change.at_us) else { continue };
        let words =
            format!("node {} leads from {}, in term {}", change.node, Moment(change.at_us), change.term);
        path(page, "change", format_args!("M{x:.1} {y:.1}V{:.1}", layout.latency.bottom));
        let place = format!("{x:.1}");
        page.shape("circle", &[("class", &"change-flag"), ("cx", &place), ("cy", &y), ("r", &8)], words);
        label(page, "on-leader", (x, y + 4.0), Anchor::Middle, change.node);
    }
}

/// A flag with its number for each violation, and a line down to the foot. Flags that would cover each other share
/// the first one's number.
pub(super) fn draw_violations(page: &mut Markup, window: Window, layout: &Layout, scene: &Scene) {
    let points = scene.violations_us.iter().map(|at_us| window.point(*at_us));
    let mut points: Vec<(f64, usize)> = (1..).zip(points).filter_map(|(n, x)| Some((x?, n))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let flags: Vec<_> =
        points.iter().map(|(x, number)| (x - 9.0, width_of(&number.to_string()).max(18.0))).collect();
    let [y, foot] = [layout.violations, layout.latency.bottom];
    for ((x, number), row) in points.iter().zip(rows(&flags, 2)) {
        path(page, "violation-line", format_args!("M{x:.1} {y:.1}V{foot:.1}"));
        if row == 0 {
            let words = format!("violation {number}, at {}", Moment(scene.violations_us[number - 1]));
            let flag = format!("M{:.1} {y:.1}h18v14l-9 6l-9 -6z", x - 9.0);
            page.shape("path", &[("class", &"violation-flag"), ("d", &flag)], words);
            label(page, "of-violation", (*x, y + 12.0), Anchor::Middle, number);
        }
    }
}
