//! The timeline: everything that happened, on one axis of time.
//!
//! The whole run is one drawing. A long run is drawn in slices as well, each as wide as the whole, so that nothing
//! needs a script to be seen from near. The column of names stands still where a narrow screen scrolls the rest.

mod axis;
mod bars;
mod lanes;
mod latency;
mod layout;
mod leaders;
mod marks;
mod overlap;
mod rates;
mod rows;
mod scene;
mod shapes;
mod spells;

use axis::{WIDTH, Window};
use latency::Latency;
use layout::Layout;
pub(super) use overlap::draw_calls;
use rates::Rates;
pub(super) use scene::{Scene, hit};
use shapes::{Anchor, label};
pub(super) use spells::State;

use super::buckets::Buckets;
use super::markup::Markup;
use super::words::Moment;

/// Width of the column of names, in the drawing's own units.
const NAMES: f64 = 124.0;

/// How many slices of time the areas and lines have at most.
const BUCKETS_MAX: u64 = 320;

/// A run that is longer than this is drawn in slices of it as well.
const SLICE_US: u64 = 60_000_000;

/// How many slices there are at most; a longer run has longer ones.
const SLICES_MAX: u64 = 20;

/// Draws the whole run.
pub(super) fn draw_whole(page: &mut Markup, scene: &Scene) {
    draw(page, scene, Window { from_us: 0, until_us: scene.end_us });
}

/// Draws a long run slice by slice; of a short one, nothing.
pub(super) fn draw_slices(page: &mut Markup, scene: &Scene) {
    if scene.end_us <= SLICE_US * 3 / 2 {
        return;
    }
    let slice_us = scene.end_us.div_ceil(SLICES_MAX).div_ceil(SLICE_US) * SLICE_US;
    page.within("details", &[], |page| {
        page.words("summary", &[], "The same from near, piece by piece");
        for from_us in (0..scene.end_us).step_by(slice_us as usize) {
            let until_us = from_us.saturating_add(slice_us);
            page.words("h3", &[], format_args!("{} to {}", Moment(from_us), Moment(until_us)));
            draw(page, scene, Window { from_us, until_us });
        }
    });
}

fn draw(page: &mut Markup, scene: &Scene, window: Window) {
    let buckets = Buckets::of(scene.ended.iter().copied(), &(window.from_us..window.until_us), BUCKETS_MAX);
    let layout = Layout::of(scene, window);
    let felt =
        Felt { rates: Rates::of(&buckets, &layout.rates), latency: Latency::of(&buckets, &layout.latency) };
    let names = |page: &mut Markup| draw_names(page, scene, &layout, &felt);
    sheet(page, layout.bottom, names, |page| draw_run(page, scene, window, &layout, &felt));
}

/// A drawing and its column of names, which stands still where the drawing is pushed sideways.
fn sheet(page: &mut Markup, height: f64, names: impl FnOnce(&mut Markup), run: impl FnOnce(&mut Markup)) {
    page.within("div", &[("class", &"chart"), ("tabindex", &0)], |page| {
        page.within("div", &[("class", &"sheet")], |page| {
            drawing(page, "names", NAMES, height, names);
            drawing(page, "run", WIDTH, height, run);
        });
    });
}

fn drawing(page: &mut Markup, class: &str, width: f64, height: f64, inner: impl FnOnce(&mut Markup)) {
    let seen = format!("0 0 {width} {height:.0}");
    page.within("svg", &[("class", &class), ("viewBox", &seen)], inner);
}

/// What clients felt.
struct Felt<'a> {
    rates: Rates<'a>,
    latency: Latency<'a>,
}

fn draw_names(page: &mut Markup, scene: &Scene, layout: &Layout, felt: &Felt) {
    let mut name = |class, y, text: &str| label(page, class, (8.0, y), Anchor::Start, text);
    if !scene.violations_us.is_empty() {
        name("name", layout.violations + 13.0, "violations");
    }
    for (lane, (top, _)) in scene.lanes.iter().zip(&layout.lanes) {
        name("name", top + 13.0, &format!("node {}", lane.node));
    }
    if !layout.homeless.1.is_empty() {
        name("name", layout.homeless.0 + 11.0, "cluster");
    }
    name("", layout.changes + 4.0, "new leader");
    name("", layout.gaps, "no service");
    name("name", layout.rates.top + 30.0, "calls ended");
    name("note", layout.rates.top + 44.0, "a second");
    name("name", layout.latency.top + 30.0, "answers");
    name("note", layout.latency.top + 44.0, "came after");
    name("note", layout.latency.bottom + 17.0, "minutes:seconds");
    felt.rates.draw_axis(page, NAMES - 5.0);
    felt.latency.draw_axis(page, NAMES - 5.0);
}

fn draw_run(page: &mut Markup, scene: &Scene, window: Window, layout: &Layout, felt: &Felt) {
    marks::draw_time(page, window, layout);
    for (lane, (top, bars)) in scene.lanes.iter().zip(&layout.lanes) {
        lanes::draw(page, window, *top, lane, bars);
    }
    layout.homeless.1.iter().for_each(|bar| bar.draw(page, layout.homeless.0));
    felt.rates.draw(page, window);
    felt.latency.draw(page, window);
    marks::draw_end(page, window, layout, scene);
    marks::draw_shades(page, window, layout, &scene.faults);
    marks::draw_changes(page, window, layout, scene);
    marks::draw_gaps(page, window, layout, scene.gaps);
    marks::draw_violations(page, window, layout, scene);
}
