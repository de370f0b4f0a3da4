//! What each colour of the timeline means. What does not occur is left out.

use std::collections::BTreeSet;

use super::kinds::{GROUPS, kind};
use super::markup::Markup;
use super::timeline::{Scene, State};
use crate::call_end::CallEnd;

/// What stands before its meaning: a class of style.css, and a shape.
type Sign = (&'static str, &'static str);

const SQUARE: &str = "M0 1h14v12h-14z";
const UPRIGHT: &str = "M7 0v14";
const FLAT: &str = "M0 7h14";
const FLAG: &str = "M0 0h14v9l-7 5l-7 -5z";

/// Writes it: a row for what nodes were, one for what was done to them, one for what clients felt.
pub(super) fn write(page: &mut Markup, scene: &Scene) {
    row(page, "Nodes:", &nodes(scene));
    row(page, "Faults:", &faults(scene));
    row(page, "Clients:", &clients(scene));
}

fn nodes(scene: &Scene) -> Vec<(Sign, &'static str)> {
    let spells = || scene.lanes.iter().flat_map(|lane| &lane.spells);
    let seen = |state: &&State| spells().any(|spell| spell.state == **state);
    let mut signs: Vec<_> = State::ALL.iter().filter(seen).map(|s| ((s.class(), SQUARE), s.name())).collect();
    if spells().any(|spell| spell.term.is_some()) {
        signs.push((("term", UPRIGHT), "a new term begins (each vote for a leader has a greater one)"));
    }
    signs
}

fn faults(scene: &Scene) -> Vec<(Sign, &'static str)> {
    let classes: BTreeSet<&str> = scene.faults.iter().map(|fault| kind(&fault.fault).class).collect();
    let groups = GROUPS.iter().filter(|(class, _)| classes.contains(class));
    let mut signs: Vec<_> = groups.map(|(class, name)| ((*class, SQUARE), *name)).collect();
    if scene.faults.iter().any(|fault| !fault.fired) {
        signs.push((("missed other", SQUARE), "did not bite"));
    }
    signs
}

fn clients(scene: &Scene) -> Vec<(Sign, &'static str)> {
    let seen = |end: &&CallEnd| scene.ended.iter().any(|ended| ended.end == **end);
    let mut signs: Vec<_> =
        CallEnd::ALL.iter().filter(seen).map(|end| ((end.class(), SQUARE), end.name())).collect();
    let rest = [
        (!signs.is_empty(), ("p50", FLAT), "half of the answers came faster (p50)"),
        (!signs.is_empty(), ("p99", FLAT), "99 in 100 did (p99)"),
        (!scene.gaps.is_empty(), ("gap", SQUARE), "no write was acknowledged"),
        (!scene.changes.is_empty(), ("change", UPRIGHT), "another leader"),
        (!scene.violations_us.is_empty(), ("violation-mark", FLAG), "a rule was broken, numbered as above"),
    ];
    signs.extend(rest.iter().filter(|(shown, ..)| *shown).map(|(_, sign, meaning)| (*sign, *meaning)));
    signs
}

fn row(page: &mut Markup, name: &str, signs: &[(Sign, &'static str)]) {
    if signs.is_empty() {
        return;
    }
    page.within("ul", &[("class", &"legend")], |page| {
        page.within("li", &[], |page| page.words("b", &[], name));
        signs.iter().for_each(|(sign, meaning)| item(page, *sign, meaning));
    });
}

fn item(page: &mut Markup, (class, shape): Sign, meaning: &str) {
    page.within("li", &[], |page| {
        page.within("svg", &[("width", &14), ("height", &14), ("aria-hidden", &"true")], |page| {
            page.plain("path", &[("class", &class), ("d", &shape)]);
        });
        page.text(meaning);
    });
}
