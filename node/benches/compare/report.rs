//! The results as Markdown: for each workload a table of the systems and one of the ratios.

use super::measured::{Measured, Range, System};
use super::options::Options;
use super::workload::{Figure, Workload};

/// All runs of one workload.
pub(crate) struct Runs {
    /// What was run.
    pub(crate) workload: Workload,
    /// Who ran it, and what each repetition came to.
    pub(crate) systems: Vec<SystemRuns>,
}

/// All runs of one workload by one system, in the order of the repetitions.
pub(crate) type SystemRuns = (System, Vec<Measured>);

/// The section of one workload.
pub(crate) fn section(runs: &Runs, options: &Options) -> String {
    let Runs { workload, systems } = runs;
    let connections = match workload.connections(options.connections) {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    };
    let mut text = format!("### `{}`: {}, {connections}\n\n", workload.name(), workload.title());
    text += &figures(workload.figure(), systems);
    let (ours, theirs): (Vec<_>, Vec<_>) =
        systems.iter().partition(|(system, _)| *system == System::Lastunit);
    if let ([(_, ours)], [_, ..]) = (&ours[..], &theirs[..]) {
        text.push('\n');
        text += &ratios(workload.figure(), ours, &theirs);
    }
    text
}

/// Figures of all systems; where there is no range, the median over the repetitions.
fn figures(figure: Figure, systems: &[SystemRuns]) -> String {
    let what = format!("{}: median", heading(figure));
    let mut text = head(["", &what, "min", "max", "p50 ms", "p99 ms", "CPU s per 1,000: servers", "load"]);
    for (system, runs) in systems {
        let all = range(runs, |one| one.figure(figure));
        let [p50, p99] = [range(runs, |one| one.p50_ms), range(runs, |one| one.p99_ms)];
        let [servers, load] = [range(runs, |one| one.cpu_seconds), range(runs, |one| one.load_cpu_seconds)];
        text += &row([
            system.title().to_owned(),
            shown(figure, all.median),
            shown(figure, all.min),
            shown(figure, all.max),
            format!("{:.2}", p50.median),
            format!("{:.2}", p99.median),
            format!("{:.4}", servers.median),
            format!("{:.4}", load.median),
        ]);
    }
    text
}

/// What lastunit's figure and processor time are as multiples of each other system's, repetition by repetition.
fn ratios(figure: Figure, ours: &[Measured], others: &[&SystemRuns]) -> String {
    let better = if figure == Figure::Rate { "more" } else { "less" };
    let what = format!("lastunit's {} ({better} is better) over that of", heading(figure));
    let mut text =
        head([&what, "median", "min", "max", "each repetition", "servers' CPU: median", "min", "max"]);
    for (system, theirs) in others {
        let each = by_repetition(ours, theirs, |one| one.figure(figure));
        let cpu = Range::of(by_repetition(ours, theirs, |one| one.cpu_seconds));
        let told: Vec<String> = each.iter().copied().map(ratio).collect();
        let all = Range::of(each);
        text += &row([
            system.title().to_owned(),
            format!("**{:.2}**", all.median),
            ratio(all.min),
            ratio(all.max),
            told.join(", "),
            ratio(cpu.median),
            ratio(cpu.min),
            ratio(cpu.max),
        ]);
    }
    text
}

fn head<const COLUMNS: usize>(names: [&str; COLUMNS]) -> String {
    row(names.map(str::to_owned)) + &row([const { "---" }; COLUMNS].map(str::to_owned))
}

fn row<const COLUMNS: usize>(cells: [String; COLUMNS]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Each repetition's own ratio: both sides ran within minutes of each other.
fn by_repetition(ours: &[Measured], theirs: &[Measured], number: impl Fn(&Measured) -> f64) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| number(ours) / number(theirs)).collect()
}

fn range(runs: &[Measured], number: impl Fn(&Measured) -> f64) -> Range {
    Range::of(runs.iter().map(number))
}

fn heading(figure: Figure) -> &'static str {
    match figure {
        Figure::Rate => "operations a second",
        Figure::Elapsed => "seconds",
        Figure::Median => "p50 in ms",
    }
}

fn ratio(number: f64) -> String {
    format!("{number:.2}")
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
