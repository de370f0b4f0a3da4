//! `GET /api/audit`: every node's digest at one entry, and every sum recomputed from each node's records.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use client::api::{AuditVerdict, AuditView, ImageAuditView, NodeAuditView};
use raft::{Audit, AuditError, ImageAudit, NodeAudit, Verdict};
use tokio::time::timeout;

use super::limits::AUDIT_TIME_MAX;
use super::problem::{self, Problem};
use super::query::Query;
use super::{Shared, Store, reply};

/// What is said while this node asks for another audit.
const BUSY: &str = "Not executed: this node audits already. Ask again when that is done.";

/// What is said where the audit took too long.
const TIMED_OUT: &str = "Not executed: the audit took too long and was given up.";

/// What is said where the process is to stop.
const STOPPING: &str = "Not executed: this node is stopping. Ask another one.";

/// Audits all nodes, one audit at a time. It takes nobody's room while it waits, and ends when the process is to stop.
pub(crate) async fn audit<S: Store>(State(api): Shared<S>, uri: Uri) -> Result<Response, Problem> {
    Query::of(&uri, &[])?;
    let _outside = api.step_outside();
    let audit = tokio::select! {
        audit = timeout(AUDIT_TIME_MAX, api.store.audit()) => match audit {
            Ok(audit) => audit.map_err(not_audited)?,
            Err(_) => return Err(not_now(TIMED_OUT)),
        },
        () = api.events.drain.begun() => return Err(not_now(STOPPING)),
    };
    Ok(reply::json(StatusCode::OK, &view(&api.cluster_name, api.node_id, audit)))
}

fn not_audited(why: AuditError) -> Problem {
    match why {
        AuditError::Busy => not_now(BUSY),
        AuditError::NotRead(why) => reply::not_read(why),
    }
}

/// Nothing was found out, for a reason that passes.
fn not_now(why: &'static str) -> Problem {
    problem::OVERLOADED.problem(why).retry_after(reply::RETRY_AFTER_SECONDS)
}

fn view(cluster_name: &str, node_id: u64, audit: Audit) -> AuditView {
    AuditView {
        cluster: cluster_name.to_owned(),
        node_id,
        applied_index: audit.index,
        verdict: verdict(audit.verdict()),
        agree: audit.agree(),
        nodes: audit.nodes.into_iter().map(|(id, found)| node(id, found)).collect(),
    }
}

fn verdict(verdict: Verdict) -> AuditVerdict {
    match verdict {
        Verdict::Sound => AuditVerdict::Sound,
        Verdict::Incomplete => AuditVerdict::Incomplete,
        Verdict::Broken => AuditVerdict::Broken,
    }
}

fn node(id: u64, found: Result<NodeAudit, String>) -> NodeAuditView {
    match found {
        Ok(NodeAudit { digest, image: found }) => {
            NodeAuditView { id, error: None, state_digest: Some(text(digest)), image: Some(image(found)) }
        }
        Err(why) => NodeAuditView { id, error: Some(why), state_digest: None, image: None },
    }
}

fn image(ImageAudit { applied_index, audited }: ImageAudit) -> ImageAuditView {
    ImageAuditView {
        applied_index,
        state_digest: text(audited.digest),
        skus: audited.skus,
        reservations: audited.reservations,
        holds: audited.holds,
        waiting: audited.waiting,
        answers: audited.answers,
        customers: audited.customers,
        events: audited.events,
        on_hand: audited.on_hand,
        held: audited.held,
        sold: audited.sold,
        findings: audited.findings,
        findings_total: audited.findings_total,
    }
}

/// A digest as the interface writes it.
fn text(digest: u64) -> String {
    format!("{digest:016x}")
}
