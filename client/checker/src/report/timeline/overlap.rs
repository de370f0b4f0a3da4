//! The calls that show a violation, on an axis of their own: which overlapped, and which came after which.

use super::axis::{WIDTH, Window};
use super::layout::ROLE;
use super::rows::width_of;
use super::shapes::{Anchor, label, path, rectangle};
use super::{NAMES, sheet};
use crate::call_end::CallEnd;
use crate::history::{Call, Outcome};
use crate::report::markup::Markup;
use crate::report::words::{Moment, Span};

/// Height of a call's row, with the room beneath it.
const ROW: f64 = ROLE + 4.0;

/// Draws a bar for each call, from its first try to its outcome, in the order given; and a line at the moment of the
/// violation, where it is among them.
pub(in crate::report) fn draw_calls(page: &mut Markup, at_us: u64, calls: &[&Call]) {
    let Some(window) = window(calls) else { return };
    let foot = calls.len() as f64 * ROW + 4.0;
    let names = |page: &mut Markup| draw_names(page, calls);
    let bars = |page: &mut Markup| {
        (0..).zip(calls).for_each(|(row, call)| draw_call(page, window, f64::from(row) * ROW + 4.0, call));
        if let Some(x) = window.point(at_us) {
            path(page, "violation-line", format_args!("M{x:.1} 0V{foot:.1}"));
        }
        label(page, "note", (2.0, foot + 13.0), Anchor::Start, Moment(window.from_us));
        let end = format!("{} later", Span(window.length_us()));
        label(page, "note", (WIDTH - 12.0, foot + 13.0), Anchor::End, end);
    };
    sheet(page, foot + 20.0, names, bars);
}

/// From the first call's beginning to the last one's end.
fn window(calls: &[&Call]) -> Option<Window> {
    let from_us = calls.iter().map(|call| call.started_us).min()?;
    let until_us = calls.iter().map(|call| call.ended_us).max()?;
    (from_us < until_us).then_some(Window { from_us, until_us })
}

fn draw_names(page: &mut Markup, calls: &[&Call]) {
    for (row, call) in (0..).zip(calls) {
        let place = (NAMES - 5.0, f64::from(row) * ROW + 17.0);
        label(page, "", place, Anchor::End, format_args!("client {}", call.client));
    }
}

fn draw_call(page: &mut Markup, window: Window, top: f64, call: &Call) {
    let Some(band) = window.band(&(call.started_us..call.ended_us), 3.0) else { return };
    let words = in_short(call);
    rectangle(page, CallEnd::of(call).class(), band, (top, ROLE), &words);
    let (left, right) = (band.0, band.0 + band.1);
    let (x, anchor) = match () {
        () if width_of(&words) < WIDTH - right => (right + 4.0, Anchor::Start),
        () if width_of(&words) < left => (left - 4.0, Anchor::End),
        () => (left + 4.0, Anchor::Start),
    };
    label(page, "halo", (x, top + 13.0), anchor, words);
}

/// Which call it is, what it asked for, and what it was told.
fn in_short(call: &Call) -> String {
    let told = match &call.outcome {
        Outcome::Answer(answer) => match answer.sequence {
            Some(sequence) => format!("{}, sequence {sequence}", answer.status),
            None => answer.status.to_string(),
        },
        Outcome::NotExecuted { .. } => "not executed".to_owned(),
        Outcome::Unknown { .. } => "unknown".to_owned(),
    };
    format!("call {}: {} \u{2192} {told}", call.id, call.op)
}
