//! What two looks at the nodes come to.

use client::api::ClusterView;
use serde::Serialize;

use super::look::Look;
use super::scrape::{Scrape, quantile};

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) cluster: Option<String>,
    pub(super) leader_id: Option<u64>,
    pub(super) term: Option<u64>,
    pub(super) units: Option<Units>,
    pub(super) nodes: Vec<Node>,
}

/// The units of all SKUs, as the node knows them that has applied most.
#[derive(Debug, Serialize)]
pub(super) struct Units {
    pub(super) on_hand: f64,
    pub(super) held: f64,
    pub(super) available: f64,
    pub(super) sold: f64,
    pub(super) held_per_second: f64,
    pub(super) sold_per_second: f64,
}

/// One node; what it did not tell is `null`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Node {
    pub(super) address: String,
    pub(super) node_id: Option<u64>,
    pub(super) role: Option<String>,
    pub(super) term: Option<u64>,
    pub(super) applied_index: Option<u64>,
    /// Entries that some node knows to be committed and this one has not applied.
    pub(super) behind: Option<u64>,
    pub(super) requests_per_second: Option<f64>,
    pub(super) request_p99_seconds: Option<f64>,
    pub(super) sync_p99_seconds: Option<f64>,
    pub(super) commands_waiting: Option<f64>,
    pub(super) connections: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
    /// Why it did not tell all.
    pub(super) error: Option<String>,
}

impl Figures {
    /// Of the looks at the same nodes, in the same order.
    pub(super) fn between(before: &[Look], now: &[Look]) -> Figures {
        let views = || now.iter().filter_map(|look| look.view.as_ref().ok());
        let newest = views().max_by_key(|view| (view.term, view.leader_id));
        let committed = views().filter_map(|view| view.committed_index).max();
        let nodes = before.iter().zip(now).map(|(before, now)| node(before, now, committed)).collect();
        Figures {
            cluster: newest.map(|view| view.cluster.clone()),
            leader_id: newest.and_then(|view| view.leader_id),
            term: newest.map(|view| view.term),
            units: units(before, now),
            nodes,
        }
    }

    /// Whether any node answers.
    pub(super) fn answers(&self) -> bool {
        self.nodes.iter().any(|node| node.node_id.is_some())
    }
}

fn node(before: &Look, now: &Look, committed: Option<u64>) -> Node {
    let view = now.view.as_ref().ok();
    let told = match (&before.counts, &now.counts) {
        (Ok(earlier), Ok(later)) => rates(earlier, later, seconds(before, now)),
        (_, Ok(later)) => gauges(later),
        _ => Node::default(),
    };
    Node {
        address: now.address.clone(),
        node_id: view.map(|view| view.node_id),
        role: view.and_then(role),
        term: view.map(|view| view.term),
        applied_index: view.and_then(|view| view.applied_index),
        behind: view.map(|view| committed.unwrap_or(0).saturating_sub(view.applied_index.unwrap_or(0))),
        error: now.view.as_ref().err().or(now.counts.as_ref().err()).cloned(),
        ..told
    }
}

/// What the node says of itself.
fn role(view: &ClusterView) -> Option<String> {
    view.members.iter().find(|member| member.id == view.node_id).map(|member| member.role.clone())
}

fn seconds(before: &Look, now: &Look) -> f64 {
    now.at.saturating_duration_since(before.at).as_secs_f64().max(1e-3)
}

fn gauges(now: &Scrape) -> Node {
    Node {
        commands_waiting: now.value("lastunit_commands_waiting", ""),
        connections: now.value("lastunit_http_connections_open", ""),
        resident_bytes: now.value("process_resident_memory_bytes", ""),
        ..Node::default()
    }
}

fn rates(before: &Scrape, now: &Scrape, seconds: f64) -> Node {
    let calls = |scrape: &Scrape| scrape.sum("lastunit_http_requests_total", is_of_shop);
    let p99 = |name: &str, is_wanted: fn(&str) -> bool| {
        quantile(0.99, &since(&before.buckets(name, is_wanted), &now.buckets(name, is_wanted)))
    };
    Node {
        requests_per_second: Some(grown(calls(before), calls(now)) / seconds),
        request_p99_seconds: p99("lastunit_http_request_duration_seconds", is_of_shop),
        sync_p99_seconds: p99("lastunit_log_sync_duration_seconds", |_| true),
        ..gauges(now)
    }
}

/// The API's calls, without those that ask for what is shown here, and those of probes.
fn is_of_shop(labels: &str) -> bool {
    labels.contains("route=\"/api/") && !labels.contains("route=\"/api/cluster\"")
}

/// How much a counter has grown; one that is smaller began anew.
fn grown(before: f64, now: f64) -> f64 {
    if now >= before { now - before } else { now }
}

/// The buckets of what came since; all, where the counters began anew or were not there.
fn since(before: &[(f64, f64)], now: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let earlier =
        |bound: f64| before.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
    match now.iter().all(|(bound, count)| *count >= earlier(*bound)) {
        true => now.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect(),
        false => now.to_vec(),
    }
}

fn units(before: &[Look], now: &[Look]) -> Option<Units> {
    let both = before.iter().zip(now).filter_map(|(before, now)| {
        let applied = now.view.as_ref().ok()?.applied_index;
        Some((applied, before.counts.as_ref().ok()?, now.counts.as_ref().ok()?, seconds(before, now)))
    });
    let (_, before, now, seconds) = both.max_by_key(|(applied, ..)| *applied)?;
    let units = |scrape: &Scrape, state: &str| scrape.value("lastunit_units", &format!("state=\"{state}\""));
    let change = |state| Some((units(now, state)? - units(before, state)?) / seconds);
    Some(Units {
        on_hand: units(now, "on_hand")?,
        held: units(now, "held")?,
        available: units(now, "available")?,
        sold: units(now, "sold")?,
        held_per_second: change("held")?,
        sold_per_second: change("sold")?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use client::api::MemberView;

    use super::*;

    fn view(node_id: u64, applied: u64) -> ClusterView {
        let member = |id: u64, role: &str| MemberView {
            id,
            role: role.to_owned(),
            http: format!("h{id}:1"),
            raft: format!("h{id}:2"),
            reachable: true,
            matched_index: None,
            version: None,
            feature_level_max: None,
        };
        ClusterView {
            cluster: "shop".to_owned(),
            node_id,
            leader_id: Some(1),
            term: 4,
            applied_index: Some(applied),
            committed_index: Some(20),
            feature_level: 1,
            state_digest: "0".to_owned(),
            members: vec![member(1, "leader"), member(2, "follower")],
        }
    }

    fn counts(calls: u64, sold: u64) -> Scrape {
        let route = "method=\"POST\",route=\"/api/checkout/reserve\"";
        let name = "lastunit_http_request_duration_seconds_bucket";
        Scrape::of(&format!(
            "lastunit_http_requests_total{{{route},status=\"201\"}} {calls}\n\
             lastunit_http_requests_total{{method=\"GET\",route=\"/api/cluster\",status=\"200\"}} 999\n\
             {name}{{{route},le=\"0.001\"}} {calls}\n{name}{{{route},le=\"+Inf\"}} {calls}\n\
             lastunit_commands_waiting 3\nlastunit_http_connections_open 5\nprocess_resident_memory_bytes 3e8\n\
             lastunit_units{{state=\"on_hand\"}} 100\nlastunit_units{{state=\"held\"}} 10\n\
             lastunit_units{{state=\"available\"}} 90\nlastunit_units{{state=\"sold\"}} {sold}\n"
        ))
    }

    /// Two nodes that answer, the second after it started anew, and one that is down: now and two seconds ago.
    pub(in crate::cli::top) fn looks() -> [Vec<Look>; 2] {
        let began = Instant::now();
        let look = |seconds: u64, id: u64, applied: u64, calls: u64, sold: u64| Look {
            address: format!("http://h{id}:1"),
            at: began + Duration::from_secs(seconds),
            view: Ok(view(id, applied)),
            counts: Ok(counts(calls, sold)),
        };
        let down = |seconds: u64| Look {
            address: "http://h3:1".to_owned(),
            at: began + Duration::from_secs(seconds),
            view: Err("connection\u{1b}refused".to_owned()),
            counts: Err("connection refused".to_owned()),
        };
        [
            vec![look(0, 1, 10, 100, 40), look(0, 2, 10, 100, 40), down(0)],
            vec![look(2, 1, 20, 300, 46), look(2, 2, 17, 30, 44), down(2)],
        ]
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let [before, now] = looks();
        let figures = Figures::between(&before, &now);
        let [first, second, third] = &figures.nodes[..] else { panic!("{figures:?}") };
        assert_eq!((first.requests_per_second, first.behind), (Some(100.0), Some(0)));
        assert_eq!((second.requests_per_second, second.behind), (Some(15.0), Some(3)));
        assert!(first.request_p99_seconds.is_some_and(|p99| p99 < 0.001), "{first:?}");
        assert_eq!((first.role.as_deref(), second.role.as_deref()), (Some("leader"), Some("follower")));
        assert!(third.node_id.is_none() && third.error.is_some() && figures.answers());
        let units = figures.units.unwrap();
        assert_eq!((units.sold, units.sold_per_second, units.held_per_second), (46.0, 3.0, 0.0));
    }

    #[test]
    fn where_nobody_answers_that_is_told() {
        let down = || looks().map(|looks| looks.into_iter().skip(2).collect::<Vec<_>>());
        let [before, now] = down();
        let figures = Figures::between(&before, &now);
        assert!(!figures.answers() && figures.units.is_none() && figures.cluster.is_none());
    }
}
