//! The result of a run as programs read it; the text for people is made of the same.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::load::Loaded;
use super::plan::{End, Plan, To, Workload};
use super::tally::{Counts, KINDS};
use super::targets::Target;
use super::usage::Usage;
use crate::cli::finding::{self, Finding};
use crate::cli::latency::Percentiles;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RunResult {
    /// This program's version.
    pub(super) version: &'static str,
    /// When what is measured began: RFC 3339.
    pub(super) started_at: String,
    /// Begins the names of its SKUs and carts.
    pub(super) run: String,
    /// What was asked for, every default resolved.
    pub(super) parameters: Parameters,
    /// From the start to the last answer, the warm-up left out.
    pub(super) elapsed_seconds: f64,
    /// All kinds together.
    pub(super) total: Figures,
    /// By kind of call.
    pub(super) kinds: BTreeMap<&'static str, Figures>,
    /// Arrivals of an open loop that no connection was free for until the end.
    pub(super) unsent: u64,
    /// How long the first of them had waited then, in milliseconds.
    pub(super) unsent_wait_ms_max: f64,
    /// Why the first call that was lost was.
    pub(super) first_loss: Option<String>,
    /// Processor time of all nodes, in seconds; none where one of them is not on this machine.
    pub(super) server_cpu_seconds: Option<f64>,
    /// The same for 1,000 operations that were answered.
    pub(super) server_cpu_seconds_per_1000: Option<f64>,
    /// This process's own.
    pub(super) generator_cpu_seconds_per_1000: Option<f64>,
    /// The nodes that were named, asked or not.
    pub(super) nodes: Vec<Node>,
    /// What was checked afterwards.
    pub(super) checks: Vec<Finding>,
    /// Whether no check failed.
    pub(super) passed: bool,
}

/// What was asked for; `docs/commands.md` says what each is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Parameters {
    pub(super) workload: Workload,
    pub(super) connections: u32,
    pub(super) threads: u32,
    pub(super) duration_seconds: Option<f64>,
    pub(super) count: Option<u64>,
    pub(super) warm_up_seconds: f64,
    pub(super) rate: Option<u64>,
    pub(super) skus: u32,
    pub(super) stock: u64,
    pub(super) ttl_seconds: u64,
    pub(super) operations_per_call: u32,
    pub(super) skus_per_cart: u32,
    pub(super) customers: u32,
    pub(super) keys: bool,
    pub(super) to: String,
}

/// The figures of some calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Calls.
    pub(super) requests: u64,
    /// Operations that were done; a call of a batch has many.
    pub(super) done: u64,
    /// The same in a second.
    pub(super) done_per_second: f64,
    /// Operations that were done or refused, in a second.
    pub(super) answered_per_second: f64,
    /// Refused operations, by code.
    pub(super) refused: BTreeMap<String, u64>,
    /// Operations that may have been executed.
    pub(super) unknown: u64,
    /// Calls that could not be sent.
    pub(super) errors: u64,
    /// Of calls that were done or lost; none where there were none.
    pub(super) latency_ms: Option<Percentiles>,
    /// Of calls that were refused.
    pub(super) refusal_latency_ms: Option<Percentiles>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Node {
    /// Its id.
    pub(super) id: u64,
    /// Where it answers: `host:port`.
    pub(super) http: String,
    /// Whether it led at the start.
    pub(super) leads: bool,
    /// Its process, where that is on this machine.
    pub(super) process: Option<u32>,
    /// Processor time while it was measured.
    pub(super) cpu_seconds: Option<f64>,
    /// Memory in RAM at the end.
    pub(super) memory_bytes: Option<u64>,
}

/// A run that has ended.
pub(super) struct Ended<'a> {
    /// What was asked for.
    pub(super) plan: &'a Plan,
    /// When what is measured began: RFC 3339.
    pub(super) started_at: String,
    /// The nodes that were named.
    pub(super) targets: &'a [Target],
    /// Their processes, in the same order.
    pub(super) processes: &'a [Option<u32>],
    /// What was measured.
    pub(super) loaded: &'a Loaded,
    /// What was checked afterwards.
    pub(super) checks: Vec<Finding>,
}

impl RunResult {
    /// The result.
    pub(super) fn new(ended: Ended<'_>) -> RunResult {
        let Ended { plan, loaded, .. } = ended;
        let (elapsed, total) = (loaded.elapsed, loaded.tally.total());
        let seconds = |cpu: Option<Duration>| cpu.map(|cpu| cpu.as_secs_f64());
        let per_1000 = |cpu: Option<Duration>| {
            let answered = Some(total.answered()).filter(|answered| *answered > 0)?;
            Some(cpu?.as_secs_f64() * 1_000.0 / answered as f64)
        };
        RunResult {
            version: env!("CARGO_PKG_VERSION"),
            parameters: Parameters::of(plan),
            run: plan.run.clone(),
            elapsed_seconds: elapsed.as_secs_f64(),
            total: Figures::of(&total, elapsed),
            kinds: kinds(loaded),
            unsent: loaded.unsent.arrivals,
            unsent_wait_ms_max: loaded.unsent.waited_max.as_secs_f64() * 1_000.0,
            first_loss: loaded.tally.first_loss.clone(),
            server_cpu_seconds: seconds(loaded.usage.nodes_cpu()),
            server_cpu_seconds_per_1000: per_1000(loaded.usage.nodes_cpu()),
            generator_cpu_seconds_per_1000: per_1000(loaded.usage.own_cpu),
            nodes: nodes(ended.targets, ended.processes, &loaded.usage),
            passed: finding::passed(&ended.checks),
            started_at: ended.started_at,
            checks: ended.checks,
        }
    }
}

impl Parameters {
    fn of(plan: &Plan) -> Parameters {
        let (duration, count) = match plan.end {
            End::After(time) => (Some(time.as_secs_f64()), None),
            End::Calls(calls) => (None, Some(calls)),
        };
        Parameters {
            workload: plan.workload,
            connections: plan.connections,
            threads: plan.threads,
            duration_seconds: duration,
            count,
            warm_up_seconds: plan.warm_up.as_secs_f64(),
            rate: plan.rate,
            skus: plan.skus,
            stock: plan.stock,
            ttl_seconds: plan.ttl_seconds,
            operations_per_call: plan.operations(),
            skus_per_cart: plan.cart,
            customers: plan.customers,
            keys: plan.keys,
            to: match plan.to {
                To::All => "all".to_owned(),
                To::Leader => "leader".to_owned(),
                To::Node(id) => id.to_string(),
            },
        }
    }
}

impl Figures {
    fn of(counts: &Counts, elapsed: Duration) -> Figures {
        let a_second = |count: u64| match elapsed {
            Duration::ZERO => 0.0,
            elapsed => count as f64 / elapsed.as_secs_f64(),
        };
        Figures {
            requests: counts.calls,
            done: counts.done,
            done_per_second: a_second(counts.done),
            answered_per_second: a_second(counts.answered()),
            refused: counts.refused.clone(),
            unknown: counts.unknown,
            errors: counts.errors,
            latency_ms: counts.latencies.percentiles(),
            refusal_latency_ms: counts.refusal_latencies.percentiles(),
        }
    }
}

/// The kinds that were asked for.
fn kinds(loaded: &Loaded) -> BTreeMap<&'static str, Figures> {
    let asked = KINDS.into_iter().filter(|kind| loaded.tally.of(*kind).calls > 0);
    asked.map(|kind| (kind.name(), Figures::of(loaded.tally.of(kind), loaded.elapsed))).collect()
}

fn nodes(targets: &[Target], processes: &[Option<u32>], usage: &Usage) -> Vec<Node> {
    let each = targets.iter().zip(processes).zip(&usage.nodes);
    each.map(|((target, process), used)| Node {
        id: target.id,
        http: target.host.clone(),
        leads: target.leads,
        process: *process,
        cpu_seconds: used.map(|used| used.cpu.as_secs_f64()),
        memory_bytes: used.map(|used| used.memory_bytes),
    })
    .collect()
}
