//! lastunit's side: three new nodes, and the load of `lastunit bench`, whose report is read as JSON.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::measured::Measured;
use super::options::Options;
use super::support::cluster::{Cluster, IDS};
use super::support::program::{Ended, program};
use super::workload::Workload;

/// Runs a workload on nodes that are new. The load's own program reads the store back, and fails where it oversold.
pub(crate) async fn run(workload: Workload, options: &Options) -> Measured {
    let cluster = Cluster::start().await;
    let nodes = IDS.map(|id| format!("http://{}", cluster.http(id))).join(",");
    let mut command = Command::from(program());
    command.arg("bench").arg(load(workload)).args(["--nodes", &nodes, "--json"]);
    command.args(["--connections", &workload.connections(options.connections).to_string()]);
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let ended = Ended::of(command.output().await.expect("the load starts"));
    assert_eq!(ended.code, 0, "the load failed");
    let report = ended.documents().pop().expect("a report");
    measured(&report)
}

fn load(workload: Workload) -> &'static str {
    match workload {
        Workload::Single => Workload::Hot.name(),
        other => other.name(),
    }
}

fn measured(report: &Value) -> Measured {
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"));
    Measured {
        rate: number("rate"),
        elapsed_seconds: number("elapsed_seconds"),
        p50_ms: number("p50_ms"),
        p99_ms: number("p99_ms"),
        cpu_seconds: number("cpu_seconds"),
    }
}
