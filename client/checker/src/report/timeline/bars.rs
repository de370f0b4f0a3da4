//! Faults as bars with their names, in as many rows as they need.

use super::axis::{WIDTH, Window};
use super::rows::{rows, width_of};
use super::scene::hit;
use super::shapes::{Anchor, label, rectangle};
use crate::history::Fault;
use crate::report::kinds::kind;
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

/// The bars of those faults of which something is in the window, and how many rows they take. Names that would take
/// too many rows are left out; tooltips have them still.
pub(super) fn bars<'a>(window: Window, faults: &[&'a Fault]) -> (Vec<Bar<'a>>, usize) {
    let mut bars: Vec<Bar> = faults.iter().filter_map(|fault| bar(window, fault)).collect();
    let mut taken = rows(&extents(&bars), ROWS_MAX + 1);
    if taken.iter().any(|row| *row >= ROWS_MAX) {
        bars.iter_mut().filter(|bar| bar.label != Label::Inside).for_each(|bar| bar.label = Label::Nowhere);
        taken = rows(&extents(&bars), ROWS_MAX);
    }
    for (bar, row) in bars.iter_mut().zip(&taken) {
        bar.row = *row;
    }
    (bars, taken.iter().max().map_or(0, |row| row + 1))
}

fn bar<'a>(window: Window, fault: &'a Fault) -> Option<Bar<'a>> {
    let (left, width) = window.band(&(fault.from_us..fault.until_us), 3.0)?;
    let name = width_of(&fault.fault);
    let label = match () {
        () if name <= width => Label::Inside,
        () if left + width + name < WIDTH => Label::Right,
        () => Label::Left,
    };
    Some(Bar { fault, left, width, label, row: 0 })
}

/// Left edges and widths, names included.
fn extents(bars: &[Bar]) -> Vec<(f64, f64)> {
    let extent = |bar: &Bar| {
        let name = width_of(&bar.fault.fault);
        match bar.label {
            Label::Inside | Label::Nowhere => (bar.left, bar.width + 1.0),
            Label::Right => (bar.left, bar.width + name),
            Label::Left => (bar.left - name, bar.width + name),
        }
    };
    bars.iter().map(extent).collect()
}

impl Bar<'_> {
    /// Draws it; `top` is where the first row begins. A fault that did not bite is an outline.
    pub(super) fn draw(&self, page: &mut Markup, top: f64) {
        let y = top + self.row as f64 * ROW;
        let missed = if self.fault.fired { "" } else { " missed" };
        let class = format!("{}{missed}", kind(&self.fault.fault).class);
        rectangle(page, class, (self.left, self.width), (y, ROW - 2.0), tooltip(self.fault));
        let (x, anchor, class) = match (self.label, self.fault.fired) {
            (Label::Inside, true) => (self.left + self.width / 2.0, Anchor::Middle, "on-band"),
            (Label::Inside, false) => (self.left + self.width / 2.0, Anchor::Middle, "on-missed"),
            (Label::Right, _) => (self.left + self.width + 2.0, Anchor::Start, "note"),
            (Label::Left, _) => (self.left - 2.0, Anchor::End, "note"),
            (Label::Nowhere, _) => return,
        };
        label(page, class, (x, y + 10.5), anchor, &self.fault.fault);
    }
}

/// What was done to whom, when, and whether it bit.
pub(super) fn tooltip(fault: &Fault) -> String {
    let length = Span(fault.until_us.saturating_sub(fault.from_us));
    let bit = if fault.fired { "" } else { "; it did not bite" };
    let nodes: Vec<u64> = hit(fault).into_iter().collect();
    let whom = if nodes.is_empty() { String::new() } else { format!(" of node {}", List(&nodes)) };
    format!("{}{whom} at {} for {length}: {}{bit}", fault.fault, Moment(fault.from_us), fault.detail)
}
