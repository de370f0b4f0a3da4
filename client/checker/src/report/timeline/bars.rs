//! Faults as bars with their names, in as many rows as they need.

use super::axis::{WIDTH, Window};
use super::rows::{Rows, width_of};
use super::scene::hit;
use super::shapes::{Anchor, label, rectangle};
use crate::history::Fault;
use crate::report::kinds::{Kind, kind};
use crate::report::markup::Markup;
use crate::report::words::{List, Moment, Span};

/// Height of a row of bars, with the room beneath it.
pub(super) const ROW: f64 = 15.0;

/// How many rows a lane has at most.
const ROWS_MAX: usize = 4;

/// A fault as it is drawn.
pub(super) struct Bar<'a> {
    fault: &'a Fault,
    left: f64,
    width: f64,
    label: Label,
    row: usize,
}

/// Where a bar's name stands.
#[derive(Clone, Copy, PartialEq)]
enum Label {
    Inside,
    Right,
    Left,
    Nowhere,
}

/// The bars of those faults of which something is in the window, and how many rows they take. Names for which there
/// is no row are left out; tooltips have them still.
pub(super) fn bars<'a>(window: Window, faults: &[&'a Fault]) -> (Vec<Bar<'a>>, usize) {
    let mut rows = Rows::new(ROWS_MAX);
    let bars: Vec<Bar> = faults.iter().filter_map(|fault| bar(window, &mut rows, fault)).collect();
    let taken = bars.iter().map(|bar| bar.row + 1).max().unwrap_or(0);
    (bars, taken)
}

fn bar<'a>(window: Window, rows: &mut Rows, fault: &'a Fault) -> Option<Bar<'a>> {
    let (left, width) = window.band(&(fault.from_us..fault.until_us), 3.0)?;
    let name = width_of(kind(&fault.fault).called);
    let (label, extent) = match () {
        () if name <= width => (Label::Inside, (left, width + 1.0)),
        () if left + width + name < WIDTH => (Label::Right, (left, width + name)),
        () => (Label::Left, (left - name, width + name)),
    };
    if let Some(row) = rows.put(extent) {
        return Some(Bar { fault, left, width, label, row });
    }
    let bare = (left, width + 1.0);
    let row = rows.put(bare).unwrap_or_else(|| rows.put_over(bare));
    Some(Bar { fault, left, width, label: if label == Label::Inside { label } else { Label::Nowhere }, row })
}

impl Bar<'_> {
    /// Draws it; `top` is where the first row begins. A fault that did not bite is an outline.
    pub(super) fn draw(&self, page: &mut Markup, top: f64) {
        let y = top + self.row as f64 * ROW;
        let missed = if self.fault.fired { "" } else { " missed" };
        let Kind { class, called, .. } = kind(&self.fault.fault);
        let class = format!("{class}{missed}");
        rectangle(page, class, (self.left, self.width), (y, ROW - 2.0), tooltip(self.fault));
        let (x, anchor, class) = match (self.label, self.fault.fired) {
            (Label::Inside, true) => (self.left + self.width / 2.0, Anchor::Middle, "on-band"),
            (Label::Inside, false) => (self.left + self.width / 2.0, Anchor::Middle, "on-missed"),
            (Label::Right, _) => (self.left + self.width + 2.0, Anchor::Start, "note"),
            (Label::Left, _) => (self.left - 2.0, Anchor::End, "note"),
            (Label::Nowhere, _) => return,
        };
        label(page, class, (x, y + 10.5), anchor, called);
    }
}

/// What was done to whom, when, and whether it bit.
pub(super) fn tooltip(fault: &Fault) -> String {
    let length = Span(fault.until_us.saturating_sub(fault.from_us));
    let bit = if fault.fired { "" } else { "; it did not bite" };
    let nodes: Vec<u64> = hit(fault).into_iter().collect();
    let whom = if nodes.is_empty() { String::new() } else { format!(" of node {}", List(&nodes)) };
    format!(
        "{}{whom} at {} for {length}: {}{bit}",
        kind(&fault.fault).called,
        Moment(fault.from_us),
        fault.detail
    )
}
