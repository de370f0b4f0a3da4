//! The lane of a node: what it was, and what was done to it.

use super::axis::Window;
use super::bars::Bar;
use super::layout::ROLE;
use super::rows::longest_fit;
use super::scene::Lane;
use super::shapes::{Anchor, label, path, rectangle};
use super::spells::{Spell, State};
use crate::report::markup::Markup;
use crate::report::words::{Moment, Span};

/// Draws it, `top` downward.
pub(super) fn draw(page: &mut Markup, window: Window, top: f64, lane: &Lane, bars: &[Bar]) {
    let mut term = None;
    for spell in &lane.spells {
        let news = spell.term.is_some() && spell.term != term;
        draw_spell(page, window, top, lane.node, (spell, news));
        term = spell.term.or(term);
    }
    bars.iter().for_each(|bar| bar.draw(page, top + ROLE + 3.0));
}

fn draw_spell(page: &mut Markup, window: Window, top: f64, node: u64, (spell, news): (&Spell, bool)) {
    let Some((left, width)) = window.band(&spell.time_us, 0.6) else { return };
    let class = spell.state.class();
    rectangle(page, class, (left, width), (top, ROLE), tooltip(node, spell));
    // A new term begins with a tick, also where the role stays.
    if news && window.point(spell.time_us.start).is_some() {
        path(page, "term", format_args!("M{left:.1} {top:.1}v{ROLE}"));
    }
    if let Some(text) = longest_fit(&labels(spell, news), width) {
        label(page, &format!("on-{class}"), (left + 4.0, top + 13.0), Anchor::Start, text);
    }
}

/// What a bar may say, the longest first. Its term is said where it is new, and by a leader always.
fn labels(spell: &Spell, news: bool) -> Vec<String> {
    let state = spell.state.word();
    match spell.term.filter(|_| news || spell.state == State::Leader) {
        Some(term) => vec![format!("{state}, term {term}"), state.to_owned()],
        None => vec![state.to_owned()],
    }
}

fn tooltip(node: u64, spell: &Spell) -> String {
    let [from, length] = [spell.time_us.start, spell.time_us.end - spell.time_us.start];
    let term = spell.term.map(|term| format!(" in term {term}")).unwrap_or_default();
    format!("node {node}: {}{term}, from {} for {}", spell.state.name(), Moment(from), Span(length))
}
