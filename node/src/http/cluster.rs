//! What operators and their tools ask: the cluster's view, whether this node lives and serves, its metrics.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use client::api::{ClusterView, MemberView};
use raft::{MemberStatus, Status};
use serde::Serialize;
use tokio::time::timeout;

use super::limits::CALL_TIME_MAX;
use super::problem::{self, Problem};
use super::query::Query;
use super::{Shared, Store, reply};
use crate::metrics::{self, Looked};

/// `GET /api/cluster`: the cluster as this node sees it.
pub(crate) async fn cluster<S: Store>(State(api): Shared<S>, uri: Uri) -> Result<Response, Problem> {
    Query::of(&uri, &[])?;
    let view = view(&api.cluster_name, api.node_id, api.store.status());
    Ok(reply::json(StatusCode::OK, &view))
}

/// `GET /livez`: this process answers.
pub(crate) async fn livez() -> Response {
    reply::json(StatusCode::OK, &Health { status: "live" })
}

/// `GET /readyz`: this node serves commands and linearizable reads.
pub(crate) async fn readyz<S: Store>(State(api): Shared<S>) -> Result<Response, Problem> {
    let ready = timeout(CALL_TIME_MAX, api.store.ready()).await;
    match ready.unwrap_or_else(|_| Err("the store does not answer".to_owned())) {
        Ok(()) => Ok(reply::json(StatusCode::OK, &Health { status: "ready" })),
        Err(why) => Err(not_ready(&api.store.status(), why)),
    }
}

/// `GET /metrics`: counters and gauges, in Prometheus' text format.
pub(crate) async fn metrics<S: Store>(State(api): Shared<S>) -> Response {
    let (streams, polls) = api.events.watch.counts();
    let looked = Looked {
        cluster: &api.cluster_name,
        node_id: api.node_id,
        status: &api.store.status(),
        stats: &api.store.stats(),
        connections: api.connections.figures(),
        reads_refused: api.reads.refused(),
        calls: api.calls.load(Ordering::Relaxed),
        streams,
        polls,
        spans: api.tracer.counts(),
        certificates: &api.certificates.in_use(),
    };
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], api.metrics.render(&looked)).into_response()
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

fn not_ready(status: &Status, why: String) -> Problem {
    let kind = match status.leader_id {
        None => problem::NO_LEADER,
        Some(_) => problem::NO_QUORUM,
    };
    kind.problem(format!("This node does not serve: {why}.")).retry_after(1)
}

fn view(cluster_name: &str, node_id: u64, status: Status) -> ClusterView {
    ClusterView {
        cluster: cluster_name.to_owned(),
        node_id,
        leader_id: status.leader_id,
        term: status.term,
        applied_index: status.applied_index,
        committed_index: status.committed_index,
        state_digest: format!("{:016x}", status.state_digest),
        feature_level: status.level,
        members: status.members.into_iter().map(member).collect(),
    }
}

fn member(status: MemberStatus) -> MemberView {
    let MemberStatus { member, role, reachable, matched_index, build } = status;
    MemberView {
        id: member.id,
        role: role.as_str().to_owned(),
        http: member.http,
        raft: member.raft,
        reachable,
        matched_index,
        feature_level_max: build.as_ref().map(|build| *build.levels.end()),
        version: build.map(|build| build.version),
    }
}
