//! What drawings are made of, in their own units: one decimal is finer than any screen.

use std::fmt::Display;

use crate::report::markup::Markup;

/// Where text stands, seen from its place.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

/// A rectangle from its left edge and width, and its top and height, with its tooltip.
pub(super) fn rectangle(
    page: &mut Markup,
    class: impl Display,
    (left, width): (f64, f64),
    (top, height): (f64, f64),
    tooltip: impl Display,
) {
    page.shape(
        "rect",
        &[
            ("class", &class),
            ("x", &format_args!("{left:.1}")),
            ("y", &format_args!("{top:.1}")),
            ("width", &format_args!("{width:.1}")),
            ("height", &format_args!("{height:.1}")),
        ],
        tooltip,
    );
}

/// Lines or areas, from what SVG calls path data.
pub(super) fn path(page: &mut Markup, class: &str, data: impl Display) {
    page.plain("path", &[("class", &class), ("d", &data)]);
}

/// A word or two at a place: its left, middle or right end, and its baseline.
pub(super) fn label(page: &mut Markup, class: &str, (x, y): (f64, f64), anchor: Anchor, text: impl Display) {
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    page.words(
        "text",
        &[
            ("class", &class),
            ("x", &format_args!("{x:.1}")),
            ("y", &format_args!("{y:.1}")),
            ("text-anchor", &anchor),
        ],
        text,
    );
}
