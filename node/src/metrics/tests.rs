//! The whole page, as a strict reader sees it.

use std::collections::BTreeMap;

use axum::http::Method;
use storage::histogram::{Distribution, TIMES_US};

use super::*;
use crate::http::testing::status;

#[allow(dead_code, reason = "tests of whole nodes ask it for more")]
#[path = "../../tests/support/exposition.rs"]
mod exposition;

use exposition::Exposition;

fn page(metrics: &Metrics, cluster: &str, stats: &Stats) -> Exposition {
    let status = status();
    let looked = Looked {
        cluster,
        node_id: 1,
        status: &status,
        stats,
        connections: ConnectionFigures { accepted: 9, open: 1, ..ConnectionFigures::default() },
        reads_refused: 7,
        calls: 2,
        streams: 3,
        polls: 4,
        spans: (5, 6),
        certificates: &[("clients", 1_790_000_000)],
    };
    Exposition::of(&metrics.render(&looked))
}

#[test]
fn a_page_is_what_prometheus_reads() {
    let metrics = Metrics::default();
    metrics.answered(Route::of(&Method::GET, None), StatusCode::NOT_FOUND, Duration::ZERO);
    let mut took = Distribution::new(TIMES_US);
    [7, 700, 70_000_000].into_iter().for_each(|us| took.add(us));
    let stats = Stats {
        commands_applied: 7,
        last_log_index: Some(20),
        apply_us: took.clone(),
        replication_us: BTreeMap::from([(2, took)]),
        expiry_overdue_ms: 1_500,
        ..Stats::default()
    };
    let page = page(&metrics, "a \"shop\" \\ of\nthree", &stats);
    assert_eq!(page.sum("lastunit_node_info", ("cluster", "a \"shop\" \\ of\nthree")), 1.0);
    assert_eq!(page.value("lastunit_commands_applied_total"), Some(7.0));
    assert_eq!(page.sum("lastunit_raft_role", ("role", "leader")), 1.0);
    assert_eq!(page.value("lastunit_raft_applied_index"), Some(17.0));
    assert_eq!(page.value("lastunit_apply_duration_seconds_sum"), Some(70.000_707));
    // Of the other node nothing is known to be there.
    assert_eq!(page.sum("lastunit_raft_peer_lag_entries", ("peer", "2")), 20.0);
    assert_eq!(page.sum("lastunit_replication_duration_seconds_count", ("peer", "2")), 3.0);
    assert_eq!(page.value("lastunit_expiry_overdue_seconds"), Some(1.5));
    assert_eq!(page.value("lastunit_http_requests_in_flight"), Some(2.0));
    assert_eq!(page.value("lastunit_http_connections_total"), Some(9.0));
    assert_eq!(page.sum("lastunit_rate_limited_total", ("limit", "token_reads")), 7.0);
    let expiry = "lastunit_tls_certificate_expiry_timestamp_seconds";
    assert_eq!(page.sum(expiry, ("certificate", "clients")), 1_790_000_000.0);
}
