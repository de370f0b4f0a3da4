//! Pages of runs that never were, and what must stand in them.
//!
//! `REPORT_PAGES=directory` writes them there, to be looked at in a browser.

mod example;

use std::path::Path;

use example::Size;

use super::render;
use crate::history::{Fault, History, Sample};
use crate::verdict::{Conclusion, Verdict};

const MINUTE: Size = Size { nodes: 3, clients: 24, seconds: 60, calls_per_second: 10 };

/// The page, which is whole: every element that is opened is closed.
fn page(name: &str, (history, verdict): &(History, Verdict)) -> String {
    let mut out = Vec::new();
    render(history, verdict, &mut out).unwrap();
    let page = String::from_utf8(out).unwrap();
    if let Some(directory) = std::env::var_os("REPORT_PAGES") {
        std::fs::write(Path::new(&directory).join(format!("{name}.html")), &page).unwrap();
    }
    for element in
        ["svg", "g", "details", "table", "div", "dl", "ul", "rect", "text", "path", "title", "main"]
    {
        let opened =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        let empty = page.matches(&format!("<{element} ")).count() - with_content(&page, element);
        let closed = page.matches(&format!("</{element}>")).count();
        assert_eq!(opened - empty, closed, "{element} in the page {name}");
    }
    page
}

/// How many elements with attributes are not closed at once.
fn with_content(page: &str, element: &str) -> usize {
    let begins = format!("<{element} ");
    let heads = page.split(&begins).skip(1);
    heads.filter(|rest| rest.split('>').next().is_some_and(|head| !head.ends_with('/'))).count()
}

fn assert_says(page: &str, words: &[&str]) {
    for word in words {
        assert!(page.contains(word), "the page does not say {word:?}");
    }
}

fn seed() -> u64 {
    let seed = std::env::var("SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    seed
}

#[test]
fn a_good_run_is_told_in_words_and_figures() {
    let run = example::good(seed(), MINUTE);
    let page = page("passed", &run);
    assert_says(
        &page,
        &[
            "<title>passed: lastunit prove, seed ",
            "Passed",
            "24 clients made",
            "3 nodes",
            "1 min",
            "8 of 8",
            "node 1",
            "node 3",
            "leader, term 1",
        ],
    );
    assert_says(
        &page,
        &["lastunit prove --nodes 3", "history.ndjson", "sequence_order", "kept", "did not bite"],
    );
    assert!(!page.contains("What was broken"));
    assert!(!page.contains("piece by piece"), "a minute is one drawing");
}

#[test]
fn a_page_needs_and_allows_nothing_but_itself() {
    let page = page("passed", &example::good(seed(), MINUTE));
    for needed in ["src=", "href=", "@import", "http:", "https:", "<script", "<link"] {
        assert!(!page.contains(needed), "{needed}");
    }
    assert_says(&page, &["default-src 'none'"]);
}

#[test]
fn violations_are_told_with_their_calls_and_marked_in_the_timeline() {
    let run = example::violated(seed(), MINUTE);
    let page = page("violated", &run);
    let call = format!("call {} of client", run.1.rules[1].violations[0].calls[2]);
    assert_says(&page, &["Violated: 4 violations of 2 rules", "41 units of SKU-3", "812 ms before", &call]);
    assert_says(
        &page,
        &["4. no_oversell at", "1. hold_kept at", "3 violations", "of-violation", "class=\"violation-line\""],
    );
    assert_says(&page, &[&format!("call {}: ", run.1.rules[1].violations[0].calls[2])]);
}

#[test]
fn no_more_violations_are_told_than_can_be_read() {
    let mut run = example::violated(seed(), MINUTE);
    for rule in &mut run.1.rules {
        rule.violations = vec![run.0.calls.first().map(|call| violation(call.id)).unwrap(); 100];
        rule.violations_total = 5_000;
    }
    let page = page("many", &run);
    assert_says(&page, &["96 of 40,000 are told here", ">1-96<"]);
    assert_eq!(page.matches("class=\"violation\"").count(), 96);
}

fn violation(call: u64) -> crate::verdict::Violation {
    crate::verdict::Violation { at_us: 7_000_000, message: "wrong".to_owned(), calls: vec![call; 50] }
}

#[test]
fn a_run_that_shows_too_little_says_why() {
    let page = page("unknown", &example::unknown(seed(), MINUTE));
    assert_says(&page, &["? Unknown", "No fault of the kind clock bit.", "? never"]);
    assert!(!page.contains("Passed"));
}

#[test]
fn a_run_in_which_nothing_happened_is_a_page() {
    let page = page("empty", &example::empty());
    assert_says(&page, &["No operation was made.", "Nothing was done to the cluster", "No rule was checked"]);
}

#[test]
fn a_node_that_is_down_to_the_end_is_drawn_so() {
    let (mut history, verdict) = example::good(seed(), MINUTE);
    history.samples.retain(|sample| sample.node != 3 || sample.at_us < 50_000_000);
    let gone =
        Sample { at_us: 50_000_000, node: 3, up: false, reachable: false, ..history.samples[2].clone() };
    history.samples.push(gone);
    let fault = Fault { from_us: 50_000_000, until_us: 60_000_000, ..history.faults[0].clone() };
    history.faults.push(Fault { fault: "kill".to_owned(), nodes: vec![3], ..fault });
    let page = page("down", &(history, verdict));
    assert_says(&page, &["node 3: down (no process), from 0:50.0 for 10 s"]);
}

#[test]
fn what_a_history_says_is_never_markup() {
    const EVIL: &str = "</title><script>alert('\"&\u{0}')</script><svg onload=x>";
    let (mut history, mut verdict) = example::violated(seed(), MINUTE);
    let Verdict { conclusion, rules, doubts, statistics } = &mut verdict;
    *conclusion = Conclusion::Violated;
    doubts.push(EVIL.to_owned());
    rules[1].name = EVIL.to_owned();
    rules[1].says = EVIL.to_owned();
    rules[1].violations[0].message = EVIL.to_owned();
    statistics.gaps[0].causes = vec![EVIL.to_owned()];
    statistics.impacts[0].fault = EVIL.to_owned();
    statistics.faults[0].fault = EVIL.to_owned();
    let named = rules[1].violations[0].calls[0];
    for call in history.calls.iter_mut().filter(|call| call.id == named) {
        call.target = Some(EVIL.to_owned());
        call.key = Some(EVIL.to_owned());
        call.query.insert(EVIL.to_owned(), EVIL.to_owned());
        call.request = crate::history::Json::of(&EVIL).unwrap();
        call.outcome = crate::history::Outcome::Unknown { why: EVIL.to_owned() };
        call.tries[0].came = crate::history::Came::Lost(EVIL.to_owned());
    }
    for fault in &mut history.faults {
        fault.fault = EVIL.to_owned();
        fault.detail = EVIL.to_owned();
    }
    history.samples.iter_mut().for_each(|sample| sample.role = Some(EVIL.to_owned()));
    let run = &mut history.run;
    [&mut run.command, &mut run.version, &mut run.started_at]
        .into_iter()
        .for_each(|text| *text = EVIL.to_owned());
    run.faults = vec![EVIL.to_owned()];
    let page = page("evil", &(history, verdict));
    assert_says(&page, &["&lt;script&gt;alert("]);
    assert!(!page.contains("<script") && !page.contains("<svg onload"));
}

#[test]
fn figures_that_cannot_be_are_shown_and_nothing_more() {
    let (mut history, mut verdict) = example::violated(seed(), MINUTE);
    history.calls[0].ended_us = 0;
    history.calls[0].started_us = u64::MAX;
    history.samples[0].term = Some(u64::MAX);
    history.samples[1].at_us = u64::MAX;
    history.run.seconds = u64::MAX;
    history.run.settings.idempotency_seconds = u64::MAX;
    history.run.nodes.clear();
    let [from_us, until_us] = [u64::MAX, 3];
    history.faults[0] = Fault { from_us, until_us, ..history.faults[0].clone() };
    verdict.statistics.gaps.push(crate::verdict::Gap { from_us, until_us, causes: Vec::new() });
    verdict.statistics.between_faults = crate::verdict::Rate { count: u64::MAX, of: 1 };
    verdict.rules[0].violations = vec![violation(u64::MAX)];
    verdict.rules[1].violations[0].at_us = u64::MAX;
    assert_says(&page("impossible", &(history, verdict)), &["which the history does not have"]);
}

#[test]
fn a_long_run_of_many_calls_is_a_small_page() {
    let size = Size { nodes: 5, clients: 50, seconds: 600, calls_per_second: 4 };
    let run = example::good(seed(), size);
    let page = page("long", &run);
    assert!(run.0.calls.len() > 100_000, "{} calls", run.0.calls.len());
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    assert_says(&page, &["piece by piece", "9:00.0 to 10:00.0", "node 5"]);
}
