//! What runs down through the drawing: time, faults, gaps in service, new leaders, violations.

use std::ops::Range;

use super::axis::{WIDTH, Window};
use super::bars::tooltip;
use super::layout::Layout;
use super::rows::width_of;
use super::scene::Scene;
use super::shapes::{Anchor, label, path, rectangle};
use crate::history::Fault;
use crate::report::kinds::kind;
use crate::report::markup::Markup;
use crate::report::words::{Moment, Span};
use crate::verdict::Gap;

/// How wide the flag of a violation is at most: two numbers of three digits have room.
const FLAG: f64 = 48.0;

/// What stands behind the last call.
const NO_MORE_CALLS: &str = "no calls";

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

/// What becomes of the clients when all is done: without it the drawing's empty end would look like one more gap.
pub(super) fn draw_end(page: &mut Markup, window: Window, layout: &Layout, scene: &Scene) {
    let last_us = scene.ended.iter().map(|ended| ended.at_us).max();
    if let Some(x) = last_us.and_then(|last_us| window.point(last_us))
        && WIDTH - x > width_of(NO_MORE_CALLS)
    {
        label(page, "note", (x + 6.0, layout.rates.bottom - 6.0), Anchor::Start, NO_MORE_CALLS);
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
        let half = width_of(&length) / 2.0 + 2.0;
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

/// A line for each violation, and above it a flag with its number. Those that are too close share one flag: their
/// numbers follow each other, as they are in order of time.
pub(super) fn draw_violations(page: &mut Markup, window: Window, layout: &Layout, scene: &Scene) {
    let points = (1..).zip(&scene.violations_us).filter_map(|(n, at_us)| Some((window.point(*at_us)?, n)));
    let [top, foot] = [layout.violations, layout.latency.bottom];
    let mut flags: Vec<(f64, Range<usize>)> = Vec::new();
    for (x, number) in points {
        path(page, "violation-line", format_args!("M{x:.1} {:.1}V{foot:.1}", top + 20.0));
        match flags.last_mut() {
            Some((first, numbers)) if x < *first + FLAG => numbers.end = number + 1,
            _ => flags.push((x, number..number + 1)),
        }
    }
    flags.iter().for_each(|(x, numbers)| draw_flag(page, (*x, top), numbers));
}

fn draw_flag(page: &mut Markup, (x, top): (f64, f64), numbers: &Range<usize>) {
    let text = match numbers.len() {
        1 => numbers.start.to_string(),
        _ => format!("{}-{}", numbers.start, numbers.end - 1),
    };
    let half = width_of(&text).clamp(18.0, FLAG) / 2.0;
    let left = x - half;
    let flag = format!("M{left:.1} {top:.1}h{:.1}v14l-{half:.1} 6l-{half:.1} -6z", 2.0 * half);
    page.shape("path", &[("class", &"violation-flag"), ("d", &flag)], format_args!("violation {text}"));
    label(page, "of-violation", (x, top + 12.0), Anchor::Middle, text);
}
