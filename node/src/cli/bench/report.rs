//! What is told of a run, for people.

use std::fmt::Write;

use super::plan::Workload;
use super::result::{Figures, Node, Parameters, RunResult};
use crate::cli::finding;
use crate::cli::latency::Percentiles;
use crate::cli::out::Table;

/// The report.
pub(super) fn report(result: &RunResult) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = head(&mut text, result);
    let _ = write!(text, "\n{}", calls(result));
    let _ = counts(&mut text, result);
    let _ = write!(text, "\n{}", nodes(&result.nodes));
    let _ = processor(&mut text, result);
    let _ = write!(text, "\n{}", finding::told(&result.checks));
    text
}

fn head(text: &mut String, result: &RunResult) -> std::fmt::Result {
    let Parameters { workload, connections, skus, stock, ttl_seconds, to, .. } = &result.parameters;
    write!(text, "{}: {connections} connections to ", workload.name())?;
    match to.as_str() {
        "all" => write!(text, "all {} nodes", result.nodes.len())?,
        "leader" => write!(text, "the leader")?,
        id => write!(text, "node {id}")?,
    }
    match result.parameters.rate {
        Some(rate) => writeln!(text, ", {rate} calls a second whatever is answered")?,
        None => writeln!(text, ", each calls again once it is answered")?,
    }
    writeln!(text, "{} of {stock} units, held for {ttl_seconds} s{}", many(*skus), extras(&result.parameters))
}

fn many(skus: u32) -> String {
    if skus == 1 { "1 SKU".to_owned() } else { format!("{skus} SKUs") }
}

fn extras(parameters: &Parameters) -> String {
    let mut text = String::new();
    for (said, what) in [
        (
            parameters.workload == Workload::Batch,
            format!("{} reserves a call", parameters.operations_per_call),
        ),
        (parameters.workload == Workload::Cart, format!("{} SKUs a cart", parameters.skus_per_cart)),
        (parameters.customers > 0, format!("{} customers", parameters.customers)),
        (parameters.keys, "with idempotency keys".to_owned()),
    ] {
        if said {
            text.push_str(", ");
            text.push_str(&what);
        }
    }
    text
}

/// A row for each kind of call, and one for its refusals.
fn calls(result: &RunResult) -> String {
    let columns = ["", "#CALLS", "#DONE", "#A SECOND", "#P50 MS", "#P90", "#P99", "#P99.9", "#MAX"];
    let mut rows = Vec::new();
    for (kind, figures) in &result.kinds {
        rows.push(row(kind.to_string(), figures, figures.latency_ms));
        if let Some(latency) = figures.refusal_latency_ms {
            rows.push(refusals(figures, latency));
        }
    }
    if result.kinds.len() > 1 {
        rows.push(row("all".to_owned(), &result.total, result.total.latency_ms));
    }
    Table::new(columns).rows(&rows)
}

fn row(name: String, figures: &Figures, latency: Option<Percentiles>) -> [String; 9] {
    let Figures { requests, done, done_per_second, .. } = figures;
    let [p50, p90, p99, p99_9, max] = cells(latency);
    let rate = format!("{done_per_second:.0}");
    [name, requests.to_string(), done.to_string(), rate, p50, p90, p99, p99_9, max]
}

fn refusals(figures: &Figures, latency: Percentiles) -> [String; 9] {
    let rate = format!("{:.0}", figures.answered_per_second - figures.done_per_second);
    let [p50, p90, p99, p99_9, max] = cells(Some(latency));
    ["  refused".to_owned(), String::new(), String::new(), rate, p50, p90, p99, p99_9, max]
}

fn cells(latency: Option<Percentiles>) -> [String; 5] {
    match latency {
        Some(Percentiles { p50, p90, p99, p99_9, max }) => {
            [p50, p90, p99, p99_9, max].map(|ms| format!("{ms:.2}"))
        }
        None => [const { String::new() }; 5],
    }
}

fn counts(text: &mut String, result: &RunResult) -> std::fmt::Result {
    let Figures { done, refused, unknown, errors, .. } = &result.total;
    writeln!(text, "\n  {done:>9}  done in {:.2} s", result.elapsed_seconds)?;
    for (code, count) in refused {
        writeln!(text, "  {count:>9}  refused: {code}")?;
    }
    writeln!(text, "  {unknown:>9}  unknown")?;
    writeln!(text, "  {errors:>9}  not sent for want of a connection")?;
    if result.unsent > 0 {
        let waited = result.unsent_wait_ms_max;
        writeln!(
            text,
            "  {:>9}  due and never sent, for up to {waited:.0} ms: all connections waited for answers",
            result.unsent
        )?;
    }
    match &result.first_loss {
        Some(why) => writeln!(text, "  the first that was lost: {why}"),
        None => Ok(()),
    }
}

fn nodes(nodes: &[Node]) -> String {
    let unknown = || "-".to_owned();
    let rows: Vec<_> = nodes
        .iter()
        .map(|node| {
            let role = if node.leads { "leader" } else { "follower" };
            let cpu = node.cpu_seconds.map_or_else(unknown, |seconds| format!("{seconds:.2}"));
            let memory = node.memory_bytes.map_or_else(unknown, |bytes| (bytes >> 20).to_string());
            [node.id.to_string(), node.http.clone(), role.to_owned(), cpu, memory]
        })
        .collect();
    Table::new(["NODE", "HTTP", "ROLE", "#CPU S", "#MEMORY MIB"]).rows(&rows)
}

fn processor(text: &mut String, result: &RunResult) -> std::fmt::Result {
    let told = |seconds: Option<f64>| {
        seconds.map_or_else(|| "not known".to_owned(), |seconds| format!("{seconds:.4} s"))
    };
    writeln!(
        text,
        "CPU for 1,000 operations: nodes {}, this generator {}",
        told(result.server_cpu_seconds_per_1000),
        told(result.generator_cpu_seconds_per_1000)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::finding::Finding;

    fn figures(done: u64, refused: u64) -> Figures {
        let latency = Percentiles { p50: 1.0, p90: 2.0, p99: 3.25, p99_9: 4.0, max: 50.0 };
        Figures {
            requests: done + refused,
            done,
            done_per_second: done as f64 / 2.0,
            answered_per_second: (done + refused) as f64 / 2.0,
            refused: BTreeMap::from([("held_by_others".to_owned(), refused)]),
            unknown: 2,
            errors: 0,
            latency_ms: Some(latency),
            refusal_latency_ms: (refused > 0).then_some(latency),
        }
    }

    fn result() -> RunResult {
        let node = |id, leads, used: Option<u64>| Node {
            id,
            http: format!("a:810{id}"),
            leads,
            process: used.map(|_| 17),
            cpu_seconds: used.map(|_| 0.5),
            memory_bytes: used,
        };
        RunResult {
            version: "0.1.0",
            started_at: "2026-11-22T10:00:00.000Z".to_owned(),
            run: "bench-1".to_owned(),
            parameters: Parameters {
                workload: Workload::Cart,
                connections: 8,
                threads: 1,
                duration_seconds: Some(2.0),
                count: None,
                warm_up_seconds: 0.0,
                rate: Some(500),
                skus: 9,
                stock: 100,
                ttl_seconds: 300,
                operations_per_call: 1,
                skus_per_cart: 3,
                customers: 4,
                keys: true,
                to: "leader".to_owned(),
            },
            elapsed_seconds: 2.0,
            total: figures(1_000, 10),
            kinds: BTreeMap::from([("reserve", figures(1_000, 10))]),
            unsent: 3,
            unsent_wait_ms_max: 12.4,
            first_loss: Some("no answer after 10 s".to_owned()),
            server_cpu_seconds: None,
            server_cpu_seconds_per_1000: None,
            generator_cpu_seconds_per_1000: Some(0.0125),
            nodes: vec![node(1, true, Some(64 << 20)), node(2, false, None)],
            checks: vec![Finding::of("no unit was oversold, of 9 SKUs", None)],
            passed: true,
        }
    }

    #[test]
    fn a_report_tells_all() {
        let expected = "\
cart: 8 connections to the leader, 500 calls a second whatever is answered
9 SKUs of 100 units, held for 300 s, 3 SKUs a cart, 4 customers, with idempotency keys

           CALLS  DONE  A SECOND  P50 MS   P90   P99  P99.9    MAX
reserve     1010  1000       500    1.00  2.00  3.25   4.00  50.00
  refused                      5    1.00  2.00  3.25   4.00  50.00

       1000  done in 2.00 s
         10  refused: held_by_others
          2  unknown
          0  not sent for want of a connection
          3  due and never sent, for up to 12 ms: all connections waited for answers
  the first that was lost: no answer after 10 s

NODE  HTTP    ROLE      CPU S  MEMORY MIB
1     a:8101  leader     0.50          64
2     a:8102  follower      -           -
CPU for 1,000 operations: nodes not known, this generator 0.0125 s

ok       no unit was oversold, of 9 SKUs
";
        assert_eq!(report(&result()), expected);
    }

    #[test]
    fn several_kinds_have_a_sum() {
        let mut result = result();
        result.kinds.insert("commit", figures(10, 0));
        let told = report(&result);
        assert!(told.lines().any(|line| line.starts_with("all ")), "{told}");
    }
}
