//! `/metrics`: what this node counts, in Prometheus' text format.
//!
//! ```text
//!   http     counts as it answers, in plain atomics:  calls, reserves, connections --.
//!   raft     counts by itself, and tells when asked:  group                           >-- page --> text
//!   Linux    likewise:                                process                      --'
//! ```
//!
//! A call costs three additions and no lock. The format is so small that rendering it is shorter than feeding a library
//! that keeps every number twice; `prometheus-client`, for one, would want each of Raft's counters through a trait of
//! its own, and looks a route's labels up in a map behind a lock.
//!
//! Invariants:
//! - Every label is from a fixed set, or is a member's id.
//! - Base units: seconds, bytes. What only grows ends in `_total`. A test of the whole page holds it to that.

mod calls;
mod connections;
mod group;
mod page;
mod process;
mod reserves;

use std::time::Duration;

use axum::http::StatusCode;
use raft::{OWN_VERSION, Stats, Status};

pub(crate) use self::calls::Route;
pub(crate) use self::connections::ConnectionFigures;
pub(crate) use self::reserves::Reserves;

use self::calls::Calls;
use self::page::{Page, label, seconds};

/// The content type of the text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters of the HTTP side.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    calls: Calls,
    /// What became of reserves.
    pub(crate) reserves: Reserves,
}

/// What is looked at when somebody asks.
#[derive(Debug)]
pub(crate) struct Looked<'a> {
    /// The cluster's name.
    pub(crate) cluster: &'a str,
    /// This node.
    pub(crate) node_id: u64,
    /// What it sees of the cluster.
    pub(crate) status: &'a Status,
    /// What its group counts.
    pub(crate) stats: &'a Stats,
    /// What became of connections.
    pub(crate) connections: ConnectionFigures,
    /// Reads that were refused because they came too fast.
    pub(crate) reads_refused: u64,
    /// Calls in flight.
    pub(crate) calls: usize,
    /// Streams of the change feed.
    pub(crate) streams: usize,
    /// Calls that wait for something to happen.
    pub(crate) polls: usize,
    /// Spans that were sent, and those that were dropped.
    pub(crate) spans: (u64, u64),
    /// The certificates in use, and when each ends, in seconds since 1970.
    pub(crate) certificates: &'a [(&'static str, u64)],
}

impl Metrics {
    /// Counts one answer.
    pub(crate) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        self.calls.answered(route, status, took);
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self, looked: &Looked<'_>) -> String {
        let mut page = Page::default();
        render_who(&mut page, looked);
        self.calls.render(&mut page);
        render_waiting(&mut page, looked);
        self.reserves.render(&mut page);
        render_rates(&mut page, looked);
        group::render(&mut page, looked.node_id, looked.status, looked.stats);
        let overdue = "How long ago the earliest deadline passed of a hold that no command has ended yet.";
        let overdue_us = looked.stats.expiry_overdue_ms.saturating_mul(1_000);
        page.gauge("lastunit_expiry_overdue_seconds", overdue, seconds(overdue_us));
        let (sent, dropped) = looked.spans;
        page.counter("lastunit_spans_sent_total", "Spans that the collector took.", sent);
        let why = "Spans that were not sent: no room for them, or no collector.";
        page.counter("lastunit_spans_dropped_total", why, dropped);
        render_certificates(&mut page, looked.certificates);
        process::render(&mut page);
        page.into_text()
    }
}

fn render_certificates(page: &mut Page, ends_s: &[(&str, u64)]) {
    let name = "lastunit_tls_certificate_expiry_timestamp_seconds";
    page.head(name, "gauge", "When a certificate in use ends, in seconds since 1970, by what it is for.");
    for (certificate, end_s) in ends_s {
        page.sample(name, &label("certificate", certificate), end_s);
    }
}

fn render_rates(page: &mut Page, looked: &Looked<'_>) {
    let about = "Commands and reads refused here because they came too fast, by the limit.";
    let by_limit = [
        ("customer", looked.stats.commands_over_customer_rate),
        ("token", looked.stats.commands_over_caller_rate),
        ("token_reads", looked.reads_refused),
    ];
    page.by("lastunit_rate_limited_total", about, "limit", &by_limit);
}

fn render_waiting(page: &mut Page, looked: &Looked<'_>) {
    connections::render(page, &looked.connections);
    page.gauge("lastunit_http_requests_in_flight", "Calls that are being answered.", looked.calls);
    page.gauge("lastunit_event_streams_open", "Streams of the change feed that are open.", looked.streams);
    page.gauge("lastunit_long_polls_waiting", "Calls that wait for a reservation to change.", looked.polls);
}

fn render_who(page: &mut Page, looked: &Looked<'_>) {
    let name = "lastunit_build_info";
    page.head(name, "gauge", "This binary; always 1.");
    page.sample(name, &label("version", OWN_VERSION), 1);
    let name = "lastunit_node_info";
    page.head(name, "gauge", "This node; always 1.");
    let (cluster, id) = (label("cluster", looked.cluster), label("node_id", &looked.node_id.to_string()));
    page.sample(name, &format!("{cluster},{id}"), 1);
}

#[cfg(test)]
mod tests;
