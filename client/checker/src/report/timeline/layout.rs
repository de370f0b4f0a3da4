//! Where everything stands in the drawing, from top to bottom.
//!
//! ```text
//!  violations     (only where there are some)
//!  node 1         a bar for what it was, and rows of bars for what was done to it
//!  node 2
//!  cluster        (only where something was done to no node in particular)
//!  new leader     flags
//!  no service     lengths of gaps
//!  calls ended    areas
//!  time to answer lines
//!  time           ticks
//! ```

use super::axis::{Height, Window};
use super::bars::{Bar, ROW, bars};
use super::scene::Scene;

/// Height of the bar that says what a node was.
pub(super) const ROLE: f64 = 18.0;

/// Where everything stands.
pub(super) struct Layout<'a> {
    /// Top of the flags of violations.
    pub(super) violations: f64,
    /// For each lane of the scene: its top, and its bars.
    pub(super) lanes: Vec<(f64, Vec<Bar<'a>>)>,
    /// The same for what was done to no node in particular.
    pub(super) homeless: (f64, Vec<Bar<'a>>),
    /// Middle of the flags of new leaders.
    pub(super) changes: f64,
    /// Baseline of the lengths of gaps, and top of the gaps.
    pub(super) gaps: f64,
    /// The areas of calls.
    pub(super) rates: Height,
    /// The lines of latency.
    pub(super) latency: Height,
    /// The drawing's height.
    pub(super) bottom: f64,
}

impl<'a> Layout<'a> {
    /// For this part of the run.
    pub(super) fn of(scene: &Scene<'a>, window: Window) -> Self {
        let violations = 3.0;
        let mut y = if scene.violations_us.is_empty() { 8.0 } else { 28.0 };
        let mut lanes = Vec::new();
        for lane in &scene.lanes {
            let (bars, rows) = bars(window, &lane.faults);
            lanes.push((y, bars));
            y += ROLE + 3.0 + rows as f64 * ROW + 9.0;
        }
        let (bars, rows) = bars(window, &scene.homeless);
        let homeless = (y, bars);
        y += rows as f64 * ROW + 2.0;
        let rates = Height { top: y + 46.0, bottom: y + 146.0 };
        let latency = Height { top: y + 166.0, bottom: y + 266.0 };
        Self {
            violations,
            lanes,
            homeless,
            changes: y + 11.0,
            gaps: y + 36.0,
            rates,
            latency,
            bottom: y + 290.0,
        }
    }

    /// Top and height of the part that shows what clients felt: areas and lines.
    pub(super) fn felt(&self) -> (f64, f64) {
        let top = self.gaps + 4.0;
        (top, self.latency.bottom - top)
    }
}
