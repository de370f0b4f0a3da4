//! `GET /metrics`: what this node counts, in Prometheus' text format.
//!
//! The HTTP side counts here, in plain atomics: a call costs two additions for its count, two or three for its
//! duration, and no lock. The rest is read from the group when somebody asks. The format is so small that
//! rendering it is shorter than feeding a library that keeps every number twice.
//!
//! Every label is from a fixed set: [`ROUTES`] and [`STATUSES`], with one name for all others.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use raft::{Build, OWN_VERSION, Role, Stats, Status};

/// The content type of the text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The calls that are told apart, by method and by path as the router writes it; the last one is all others.
const ROUTES: [(&str, &str); 28] = [
    ("POST", "/api/checkout/reserve"),
    ("POST", "/api/checkout/commit"),
    ("POST", "/api/checkout/release"),
    ("POST", "/api/checkout/extend"),
    ("POST", "/api/checkout/return"),
    ("GET", "/api/reservations"),
    ("GET", "/api/reservations/{id}"),
    ("GET", "/api/inventory"),
    ("GET", "/api/inventory/{sku}"),
    ("PUT", "/api/inventory/{sku}"),
    ("DELETE", "/api/inventory/{sku}"),
    ("POST", "/api/inventory/{sku}/adjust"),
    ("POST", "/api/batch"),
    ("GET", "/api/events"),
    ("GET", "/api/cluster"),
    ("POST", "/api/cluster/members"),
    ("DELETE", "/api/cluster/members/{id}"),
    ("POST", "/api/cluster/members/{id}/promote"),
    ("POST", "/api/cluster/members/{id}/replace"),
    ("POST", "/api/cluster/leader"),
    ("GET", "/api/cluster/backup"),
    ("GET", "/api/audit"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("other", "other"),
];

/// The statuses that are told apart; 0 is all others.
const STATUSES: [u16; 20] =
    [200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 431, 503, 504, 0];

/// The upper bounds of the duration buckets, in microseconds.
const BUCKETS_US: [u64; 14] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 2_000_000,
    8_000_000,
];

/// Which of the calls that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route(usize);

impl Route {
    /// The call of that method and path, the path as the router writes it.
    pub(crate) fn of(method: &Method, path: Option<&str>) -> Route {
        // The router lets GET answer HEAD.
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        let known = path.and_then(|path| ROUTES.iter().position(|route| *route == (method, path)));
        Route(known.unwrap_or(ROUTES.len() - 1))
    }

    /// Whether operators need its answer most when there is no room for more calls.
    pub(crate) fn is_of_operators(self) -> bool {
        matches!(ROUTES[self.0].1, "/livez" | "/readyz" | "/metrics")
    }
}

/// The counters of the HTTP side.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    routes: [RouteCounters; ROUTES.len()],
}

#[derive(Debug, Default)]
struct RouteCounters {
    by_status: [AtomicU64; STATUSES.len()],
    by_duration: [AtomicU64; BUCKETS_US.len()],
    duration_us: AtomicU64,
}

impl Metrics {
    /// Counts one answer.
    pub(crate) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        let counters = &self.routes[route.0];
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let status = STATUSES.iter().position(|&known| known == status.as_u16());
        add(&counters.by_status[status.unwrap_or(STATUSES.len() - 1)], 1);
        add(&counters.duration_us, took_us);
        // What took longer than the last bucket is in the count alone, which is the bucket of all.
        if let Some(bucket) = BUCKETS_US.iter().position(|&bound_us| took_us <= bound_us) {
            add(&counters.by_duration[bucket], 1);
        }
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self, node_id: u64, status: &Status, stats: &Stats) -> String {
        let mut page = Page::default();
        page.head("lastunit_build_info", "gauge", "This binary; always 1.");
        page.line(format_args!("lastunit_build_info{{version=\"{OWN_VERSION}\"}} 1"));
        self.render_calls(&mut page);
        render_status(&mut page, node_id, status);
        render_stats(&mut page, stats);
        page.0
    }

    fn render_calls(&self, page: &mut Page) {
        page.head("lastunit_http_requests_total", "counter", "Calls answered, by route and status.");
        for (labels, counters) in self.called() {
            for (status, count) in STATUSES.iter().zip(&counters.by_status) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    page.line(format_args!(
                        "lastunit_http_requests_total{{{labels},status=\"{}\"}} {count}",
                        status_name(*status)
                    ));
                }
            }
        }
        let name = "lastunit_http_request_duration_seconds";
        page.head(name, "histogram", "Time from a call's head to its answer.");
        for (labels, counters) in self.called() {
            render_durations(page, name, &labels, counters);
        }
    }

    /// The routes that were called since the start, with their labels.
    fn called(&self) -> impl Iterator<Item = (String, &RouteCounters)> {
        let labelled = ROUTES.iter().zip(&self.routes).filter(|(_, counters)| counters.count() > 0);
        labelled.map(|((method, path), counters)| (format!("method=\"{method}\",route=\"{path}\""), counters))
    }
}

/// The gauges of those who wait for something to happen, to go behind [`Metrics::render`].
pub(crate) fn waiting(streams: usize, polls: usize) -> String {
    let mut page = Page::default();
    page.gauge("lastunit_event_streams_open", "Streams of the change feed that are open.", streams);
    page.gauge("lastunit_long_polls_waiting", "Calls that wait for a reservation to change.", polls);
    page.0
}

impl RouteCounters {
    fn count(&self) -> u64 {
        self.by_status.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn status_name(status: u16) -> String {
    match status {
        0 => "other".to_owned(),
        known => known.to_string(),
    }
}

fn render_durations(page: &mut Page, name: &str, labels: &str, counters: &RouteCounters) {
    let mut below = 0;
    for (bound_us, count) in BUCKETS_US.iter().zip(&counters.by_duration) {
        below += count.load(Ordering::Relaxed);
        let bound = seconds(*bound_us);
        page.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
    }
    // Counters move while they are read: the bucket of all must not be below the one before it.
    let count = counters.count().max(below);
    page.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
    page.line(format_args!(
        "{name}_sum{{{labels}}} {}",
        seconds(counters.duration_us.load(Ordering::Relaxed))
    ));
    page.line(format_args!("{name}_count{{{labels}}} {count}"));
}

fn render_status(page: &mut Page, node_id: u64, status: &Status) {
    let role = status.members.iter().find(|member| member.member.id == node_id).map(|member| member.role);
    page.head("lastunit_raft_role", "gauge", "This node's role; 1 for the one it has.");
    for known in [Role::Leader, Role::Follower, Role::Candidate, Role::Learner] {
        let has = u8::from(role == Some(known));
        page.line(format_args!("lastunit_raft_role{{role=\"{}\"}} {has}", known.as_str()));
    }
    let leader_known = u8::from(status.leader_id.is_some());
    page.gauge("lastunit_raft_leader_known", "Whether this node knows a leader.", leader_known);
    page.gauge("lastunit_raft_term", "The current term.", status.term);
    page.gauge("lastunit_feature_level", "The feature level in force.", status.level);
    let supported = "The highest feature level that this binary supports.";
    page.gauge("lastunit_feature_level_supported", supported, Build::own().levels.end());
    if let Some(index) = status.applied_index {
        page.gauge("lastunit_raft_applied_index", "The last log entry applied here.", index);
    }
    if let Some(index) = status.committed_index {
        page.gauge("lastunit_raft_committed_index", "The last log entry known to be committed.", index);
    }
}

fn render_stats(page: &mut Page, stats: &Stats) {
    let Stats { log, counts, .. } = stats;
    page.counter("lastunit_entries_proposed_total", "Log entries proposed here.", stats.entries_proposed);
    page.counter("lastunit_commands_proposed_total", "Commands in them.", stats.commands_proposed);
    page.counter("lastunit_commands_gated_total", "Commands answered by the gate.", stats.commands_gated);
    page.counter("lastunit_commands_forwarded_total", "Passed to the leader.", stats.commands_forwarded);
    page.counter("lastunit_commands_applied_total", "Commands applied here.", stats.commands_applied);
    page.gauge("lastunit_commands_waiting", "Commands waiting to be proposed.", stats.commands_waiting);
    let confirmations = "Confirmations of leadership asked for by reads and the gate.";
    page.counter("lastunit_read_confirmations_total", confirmations, stats.read_confirmations);
    page.counter("lastunit_leader_changes_total", "Leader changes seen here.", stats.leader_changes);
    let comparisons = "Comparisons of the nodes' digests made here while leading.";
    page.counter("lastunit_digest_comparisons_total", comparisons, stats.digest_comparisons);
    let compared = "The log entry of the last of them.";
    page.gauge("lastunit_digests_compared_index", compared, stats.digests_compared_index);
    page.counter("lastunit_checkpoints_total", "Checkpoints saved.", stats.checkpoints);
    page.counter("lastunit_snapshots_built_total", "Snapshots built here.", stats.snapshots_built);
    page.counter(
        "lastunit_snapshots_installed_total",
        "Snapshots installed here.",
        stats.snapshots_installed,
    );
    page.counter("lastunit_log_appends_total", "Appends to the log.", log.appends);
    page.counter("lastunit_log_syncs_total", "fdatasync calls of the log.", log.syncs);
    page.counter("lastunit_log_sync_seconds_total", "Time spent in them.", seconds(log.sync_us));
    page.counter("lastunit_log_written_bytes_total", "Bytes written to the log.", log.written_bytes);
    let busy = "How long what is written to the log now has taken: it grows while the disk hangs.";
    page.gauge("lastunit_log_busy_seconds", busy, seconds(log.busy.as_micros() as u64));
    page.gauge("lastunit_log_disk_bytes", "Bytes that the log takes on disk.", log.disk_bytes);
    let room = stats.log_room;
    page.gauge("lastunit_log_room_bytes", "Bytes that the log can take without a new file.", room.bytes);
    page.gauge("lastunit_log_short", "1 while the disk has no room for a new file.", u8::from(room.is_short));
    page.gauge("lastunit_skus", "SKUs.", counts.skus);
    page.gauge("lastunit_reservations", "Reservations of any state.", counts.reservations);
    page.gauge("lastunit_holds", "Live holds.", counts.holds);
    page.gauge("lastunit_kept_answers", "Answers kept for their idempotency keys.", counts.answers);
}

/// Microseconds as seconds, exactly.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// The text so far.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.line(format_args!("{name} {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::status as testing_status;

    #[test]
    fn calls_are_counted_by_route_and_status_and_into_cumulative_buckets() {
        let metrics = Metrics::default();
        let reserve = Route::of(&Method::POST, Some("/api/checkout/reserve"));
        metrics.answered(reserve, StatusCode::CREATED, Duration::from_micros(250));
        metrics.answered(reserve, StatusCode::CREATED, Duration::from_micros(251));
        metrics.answered(reserve, StatusCode::IM_A_TEAPOT, Duration::from_secs(9));
        let text = metrics.render(1, &testing_status(), &Stats::default());
        let labels = "method=\"POST\",route=\"/api/checkout/reserve\"";
        for line in [
            format!("lastunit_http_requests_total{{{labels},status=\"201\"}} 2"),
            format!("lastunit_http_requests_total{{{labels},status=\"other\"}} 1"),
            format!("lastunit_http_request_duration_seconds_bucket{{{labels},le=\"0.000250\"}} 1"),
            format!("lastunit_http_request_duration_seconds_bucket{{{labels},le=\"0.000500\"}} 2"),
            format!("lastunit_http_request_duration_seconds_bucket{{{labels},le=\"8.000000\"}} 2"),
            format!("lastunit_http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
            format!("lastunit_http_request_duration_seconds_sum{{{labels}}} 9.000501"),
            format!("lastunit_http_request_duration_seconds_count{{{labels}}} 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn every_line_is_a_comment_or_a_name_and_a_number() {
        let metrics = Metrics::default();
        metrics.answered(Route::of(&Method::GET, None), StatusCode::NOT_FOUND, Duration::ZERO);
        let stats = Stats { commands_applied: 7, ..Stats::default() };
        let text = metrics.render(1, &testing_status(), &stats);
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, number) = line.rsplit_once(' ').expect("a name and a number");
            assert!(name.starts_with("lastunit_") && number.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("\nlastunit_commands_applied_total 7\n"));
        assert!(text.contains("\nlastunit_raft_role{role=\"leader\"} 1\n"));
        assert!(text.contains("\nlastunit_raft_applied_index 17\n"));
    }

    #[test]
    fn what_no_route_answers_is_counted_under_one_name() {
        let other = Route::of(&Method::GET, None);
        assert_eq!(Route::of(&Method::PATCH, Some("/api/inventory/{sku}")), other);
        assert_eq!(Route::of(&Method::HEAD, Some("/livez")), Route::of(&Method::GET, Some("/livez")));
        assert_ne!(Route::of(&Method::GET, Some("/livez")), other);
    }
}
