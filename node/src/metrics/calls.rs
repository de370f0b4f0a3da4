//! The calls of the HTTP side: how many, with which status, how long they took.
//!
//! Every label is from a fixed set, [`ROUTES`] and [`STATUSES`], with one name for all others: whatever is asked for,
//! there are never more of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use storage::histogram::Histogram;

use super::page::Page;

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
const STATUSES: [u16; 21] =
    [200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 429, 431, 503, 504, 0];

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

    /// Its method and path; of all others, `other`.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        ROUTES[self.0]
    }

    /// Whether operators need its answer most when there is no room for more calls.
    pub(crate) fn is_of_operators(self) -> bool {
        matches!(self.names().1, "/livez" | "/readyz" | "/metrics")
    }
}

/// What was answered, by route.
#[derive(Debug, Default)]
pub(super) struct Calls {
    routes: [Counters; ROUTES.len()],
}

#[derive(Debug, Default)]
struct Counters {
    by_status: [AtomicU64; STATUSES.len()],
    took: Histogram,
}

impl Calls {
    pub(super) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        let counters = &self.routes[route.0];
        let status = STATUSES.iter().position(|&known| known == status.as_u16());
        counters.by_status[status.unwrap_or(STATUSES.len() - 1)].fetch_add(1, Ordering::Relaxed);
        counters.took.add(took);
    }

    pub(super) fn render(&self, page: &mut Page) {
        let name = "lastunit_http_requests_total";
        page.head(name, "counter", "Calls answered, by route and status.");
        for (labels, counters) in self.called() {
            for (status, count) in STATUSES.iter().zip(&counters.by_status) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    page.sample(name, &format!("{labels},status=\"{}\"", status_name(*status)), count);
                }
            }
        }
        let name = "lastunit_http_request_duration_seconds";
        page.head(name, "histogram", "Time from a call's head to its answer.");
        for (labels, counters) in self.called() {
            page.distribution(name, &labels, &counters.took.read());
        }
    }

    /// The routes that were called since the start, with their labels.
    fn called(&self) -> impl Iterator<Item = (String, &Counters)> {
        let labelled = ROUTES.iter().zip(&self.routes).filter(|(_, counters)| counters.were_called());
        labelled.map(|((method, path), counters)| (format!("method=\"{method}\",route=\"{path}\""), counters))
    }
}

impl Counters {
    fn were_called(&self) -> bool {
        self.by_status.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }
}

fn status_name(status: u16) -> String {
    match status {
        0 => "other".to_owned(),
        known => known.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_route_and_status_and_into_cumulative_buckets() {
        let calls = Calls::default();
        let reserve = Route::of(&Method::POST, Some("/api/checkout/reserve"));
        calls.answered(reserve, StatusCode::CREATED, Duration::from_micros(250));
        calls.answered(reserve, StatusCode::CREATED, Duration::from_micros(251));
        calls.answered(reserve, StatusCode::IM_A_TEAPOT, Duration::from_secs(11));
        let mut page = Page::default();
        calls.render(&mut page);
        let text = page.into_text();
        let labels = "method=\"POST\",route=\"/api/checkout/reserve\"";
        for line in [
            format!("lastunit_http_requests_total{{{labels},status=\"201\"}} 2"),
            format!("lastunit_http_requests_total{{{labels},status=\"other\"}} 1"),
            format!("lastunit_http_request_duration_seconds_bucket{{{labels},le=\"0.00025\"}} 1"),
            format!("lastunit_http_request_duration_seconds_bucket{{{labels},le=\"0.0005\"}} 2"),
            format!("lastunit_http_request_duration_seconds_bucket{{{labels},le=\"10\"}} 2"),
            format!("lastunit_http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
            format!("lastunit_http_request_duration_seconds_sum{{{labels}}} 11.000501"),
            format!("lastunit_http_request_duration_seconds_count{{{labels}}} 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn what_no_route_answers_is_counted_under_one_name() {
        let other = Route::of(&Method::GET, None);
        assert_eq!(Route::of(&Method::PATCH, Some("/api/inventory/{sku}")), other);
        assert_eq!(Route::of(&Method::HEAD, Some("/livez")), Route::of(&Method::GET, Some("/livez")));
        assert_ne!(Route::of(&Method::GET, Some("/livez")), other);
    }
}
