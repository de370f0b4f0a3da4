//! lastunit's side: three new nodes, and the load of `lastunit bench`, whose result is read as JSON.
//!
//! That program reads the store back itself, and fails where a unit was lost or sold twice.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::measured::Measured;
use super::options::Options;
use super::support::cluster::{Cluster, IDS};
use super::support::program::{Ended, program};
use super::workload::Workload;

/// Runs a workload on nodes that are new.
pub(crate) async fn run(workload: Workload, options: &Options) -> Measured {
    let cluster = Cluster::start().await;
    let mut command = Command::from(program());
    command.args(["bench", load(workload), "--json", "--nodes", &nodes(&cluster)]);
    command.args(["--connections", &workload.connections(options.connections).to_string()]);
    command.args(["--threads", &options.threads.to_string()]);
    command.args(["--warm-up", &format!("{}s", options.warm_up)]);
    if workload != Workload::Flash {
        command.args(["--duration", &format!("{}s", options.seconds)]);
    }
    if let Some(to) = options.to {
        command.args(["--to", to.name()]);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = Ended::of(command.output().await.expect("the load starts"));
    assert_eq!(ended.code, 0, "{ended:?}");
    measured(workload, &ended.documents().pop().expect("a result"))
}

fn nodes(cluster: &Cluster) -> String {
    IDS.map(|id| format!("http://{}", cluster.http(id))).join(",")
}

/// What `lastunit bench` calls a workload.
fn load(workload: Workload) -> &'static str {
    match workload {
        Workload::Single => Workload::Hot.name(),
        other => other.name(),
    }
}

/// The figures of a result. What is counted are carts, as on the other side; what took its time are calls.
fn measured(workload: Workload, result: &Value) -> Measured {
    for trouble in ["unknown", "errors"] {
        assert_eq!(result["total"][trouble], 0, "calls without an answer: {result}");
    }
    // Of a flash sale nearly all are refused, elsewhere hardly any.
    let (carts, rate, latency) = match workload {
        Workload::Flash => ("reserve", "answered_per_second", "refusal_latency_ms"),
        Workload::Pair => ("commit", "done_per_second", "latency_ms"),
        Workload::Hot | Workload::Spread | Workload::Single => ("reserve", "done_per_second", "latency_ms"),
    };
    if workload == Workload::Flash {
        assert_eq!(result["total"]["done"], workload.stock(), "a sale that sold out");
    }
    let rate = number(result, &format!("/kinds/{carts}/{rate}"));
    let calls_a_cart = number(result, "/total/answered_per_second") / rate;
    Measured {
        rate,
        elapsed_seconds: number(result, "/elapsed_seconds"),
        p50_ms: number(result, &format!("/total/{latency}/p50")),
        p99_ms: number(result, &format!("/total/{latency}/p99")),
        cpu_seconds: number(result, "/server_cpu_seconds_per_1000") * calls_a_cart,
        load_cpu_seconds: number(result, "/generator_cpu_seconds_per_1000") * calls_a_cart,
    }
}

fn number(result: &Value, place: &str) -> f64 {
    let number = result.pointer(place).and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("no number at {place} of {result}"))
}
