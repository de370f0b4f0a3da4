//! The results as Markdown: for each workload a table of the systems and one of the ratios.

use std::fmt::Write as _;

use super::measured::{Measured, Range, System};
use super::options::Options;
use super::workload::{Figure, Workload};

/// All runs of one workload: for each system one for each repetition, in order.
pub(crate) struct Runs {
    /// What was run.
    pub(crate) workload: Workload,
    /// Who ran it, and what each repetition came to.
    pub(crate) systems: Vec<(System, Vec<Measured>)>,
}

/// The section of one workload.
pub(crate) fn section(runs: &Runs, options: &Options) -> String {
    let Runs { workload, systems } = runs;
    let connections = workload.connections(options.connections);
    let plural = if connections == 1 { "" } else { "s" };
    let mut text =
        format!("### `{}`: {}, {connections} connection{plural}\n\n", workload.name(), workload.title());
    text += &figures(workload.figure(), systems);
    let lastunit = systems.iter().find(|(system, _)| *system == System::Lastunit);
    let others = systems.iter().filter(|(system, _)| *system != System::Lastunit);
    if let Some((_, lastunit)) = lastunit {
        text += &ratios(workload.figure(), lastunit, others);
    }
    text
}

fn figures(figure: Figure, systems: &[(System, Vec<Measured>)]) -> String {
    let what = heading(figure);
    let mut text = format!("| | {what}: median | min | max | p50 ms | p99 ms | server CPU s per 1,000 |\n");
    text += "| --- | --- | --- | --- | --- | --- | --- |\n";
    for (system, measured) in systems {
        let Range { median, min, max } = range(measured, |one| one.figure(figure));
        let [median, min, max] = [median, min, max].map(|number| shown(figure, number));
        let [p50, p99] = [range(measured, |one| one.p50_ms), range(measured, |one| one.p99_ms)];
        let cpu = range(measured, |one| one.cpu_seconds).median;
        let (p50, p99) = (p50.median, p99.median);
        let title = system.title();
        writeln!(text, "| {title} | {median} | {min} | {max} | {p50:.2} | {p99:.2} | {cpu:.4} |")
            .expect(WRITES);
    }
    text
}

fn ratios<'a>(
    figure: Figure,
    lastunit: &[Measured],
    others: impl Iterator<Item = &'a (System, Vec<Measured>)>,
) -> String {
    let better = if figure == Figure::Rate { "more" } else { "less" };
    let mut text =
        format!("\n| lastunit's {} as a multiple ({better} is better) of that of", heading(figure));
    text += " | median | min | max | each repetition | CPU: median | min | max |\n";
    text += "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for (system, other) in others {
        let each = by_repetition(lastunit, other, |one| one.figure(figure));
        let cpu = Range::of(by_repetition(lastunit, other, |one| one.cpu_seconds));
        let told: Vec<String> = each.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let (all, told) = (Range::of(each), told.join(", "));
        let title = system.title();
        write!(text, "| {title} | **{:.2}** | {:.2} | {:.2} | {told} ", all.median, all.min, all.max)
            .expect(WRITES);
        writeln!(text, "| {:.2} | {:.2} | {:.2} |", cpu.median, cpu.min, cpu.max).expect(WRITES);
    }
    text
}

/// Why writing to a string cannot fail.
const WRITES: &str = "a string takes all";

/// Each repetition's own ratio: both sides ran within the same minute.
fn by_repetition(ours: &[Measured], theirs: &[Measured], number: impl Fn(&Measured) -> f64) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| number(ours) / number(theirs)).collect()
}

fn range(measured: &[Measured], number: impl Fn(&Measured) -> f64) -> Range {
    Range::of(measured.iter().map(number))
}

fn heading(figure: Figure) -> &'static str {
    match figure {
        Figure::Rate => "operations a second",
        Figure::Elapsed => "seconds",
        Figure::Median => "p50 in ms",
    }
}

/// A figure with the digits that mean something.
pub(crate) fn shown(figure: Figure, number: f64) -> String {
    match figure {
        Figure::Rate => thousands(number.round() as u64),
        Figure::Elapsed | Figure::Median => format!("{number:.2}"),
    }
}

fn thousands(number: u64) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        upper => format!("{},{:03}", thousands(upper), number % 1_000),
    }
}
