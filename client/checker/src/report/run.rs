//! What was run, and how to run it again.

use super::HISTORY_FILE;
use super::markup::Markup;
use super::words::{Count, List, Span};
use crate::history::History;

/// Writes it.
pub(super) fn write(page: &mut Markup, history: &History) {
    let run = &history.run;
    page.words("h2", &[], "Run it again");
    page.words(
        "p",
        &[],
        "The same seed draws the same faults and the same calls; how they meet in time differs from run to run.",
    );
    page.within("pre", &[], |page| page.words("code", &[], &run.command));
    let seconds = |seconds: u64| Span(seconds.saturating_mul(1_000_000));
    let settings = &run.settings;
    page.within("dl", &[("class", &"facts")], |page| {
        let mut fact = |name: &str, value: &dyn std::fmt::Display| {
            page.words("dt", &[], name);
            page.words("dd", &[], value);
        };
        fact("seed", &run.seed);
        fact("version", &run.version);
        fact("started", &run.started_at);
        fact("nodes", &List(&run.nodes));
        fact("clients", &Count(run.clients));
        fact("seconds of calls", &Count(run.seconds));
        fact("faults asked for", &List(&run.faults));
        fact(
            "a hold lasts",
            &format_args!("{} unless asked otherwise", seconds(settings.default_ttl_seconds)),
        );
        fact("keys are kept for", &seconds(settings.idempotency_seconds));
        fact("history", &format_args!("{HISTORY_FILE}, beside this page: {}", lines(history)));
    });
}

fn lines(history: &History) -> String {
    let [calls, faults] = [history.calls.len(), history.faults.len()].map(|count| Count(count as u64));
    let [looks, events] = [history.samples.len(), history.events.len()].map(|count| Count(count as u64));
    format!(
        "a line of JSON for each of {calls} operations, {faults} faults, {looks} looks at nodes and {events} events \
         of the change feed, and for what each node said at the end"
    )
}
