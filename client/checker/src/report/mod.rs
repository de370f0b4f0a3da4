//! The report: one HTML file that shows what was done to a cluster, what its clients felt, and what the checker found.
//!
//! ```text
//!  headline       passed, violated or unknown; what was done, in one sentence; six figures
//!  violations     where there are some: each with its time, its reason and the calls that show it
//!  timeline       a lane for each node, faults, and beneath on the same axis what clients felt
//!  rules          what was checked, and how often
//!  gaps           how long nobody was served, and after what
//!  faults         what was done, by kind and one by one
//!  operations     what was asked, and how it ended
//!  run            seed, version, the command that repeats it
//! ```
//!
//! Invariants:
//! - The file needs nothing else: no network, no script, no font. It forbids them to the browser that shows it.
//! - No text of a history becomes markup (`markup` sees to that).
//! - Its size does not grow with the number of calls: they are gathered into slices of time, and lists are bounded.
//!
//! What is absent: judgement. What is good or bad is the verdict's; this module only shows it.

mod buckets;
mod calls;
mod ends;
mod faults;
mod gaps;
mod headline;
mod kinds;
mod legend;
mod markup;
mod operations;
mod rules;
mod run;
#[cfg(test)]
mod tests;
mod timeline;
mod violations;
mod words;

use std::io::{self, Write};

use markup::Markup;
use timeline::Scene;

use crate::history::History;
use crate::verdict::Verdict;

/// The file's name under which the report expects the history beside itself.
pub const HISTORY_FILE: &str = "history.ndjson";

/// Writes the report of a run as one HTML page.
///
/// # Errors
///
/// Those of the writer.
pub fn render(history: &History, verdict: &Verdict, mut out: impl Write) -> io::Result<()> {
    let told = violations::told(verdict);
    let scene = Scene::of(history, verdict, told.iter().map(|told| told.violation.at_us).collect());
    let mut page = Markup::default();
    page.literal(include_str!("head.html"));
    headline::title(&mut page, history, verdict);
    page.literal(concat!(
        "\n<style>\n",
        include_str!("style.css"),
        "</style>\n",
        include_str!("patterns.svg")
    ));
    page.within("main", &[], |page| {
        headline::write(page, history, verdict, &scene);
        violations::write(page, history, verdict, &told);
        timeline(page, &scene);
        rules::write(page, verdict);
        gaps::write(page, verdict);
        faults::write(page, history, verdict);
        operations::write(page, verdict);
        run::write(page, history);
    });
    page.literal("</html>\n");
    out.write_all(page.as_str().as_bytes())
}

fn timeline(page: &mut Markup, scene: &Scene) {
    page.words("h2", &[], "What happened");
    page.words(
        "p",
        &[],
        "Time runs from left to right: at the top is what each node was and what was done to it, beneath it what \
         clients felt at that moment. A fault may cost time (a gap, slower answers), but never a sale, nor \
         make two of one: that is what the rules below look for.",
    );
    legend::write(page, scene);
    page.words(
        "p",
        &[("class", &"quiet narrow")],
        "The drawing is wider than this screen: push it sideways.",
    );
    timeline::draw_whole(page, scene);
    timeline::draw_slices(page, scene);
}
