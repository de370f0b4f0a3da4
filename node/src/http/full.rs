//! What a node answers while its disk is full and no store is open: that it lives, and that it takes nothing.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use raft::Group;

use super::problem::Problem;
use super::{Service, cluster, reply};

/// All that it answers. It has no store, and so no fast lane.
pub(crate) fn service() -> Service<Group> {
    Service { router: router(), api: None, connections: Arc::default(), is_crowded: false }
}

/// The routes. Every call but `/livez` is refused, not executed, and worth another try.
fn router() -> Router {
    Router::new().route("/livez", get(cluster::livez)).fallback(refuse)
}

async fn refuse() -> Problem {
    reply::no_space()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::http::testing::json_of;

    #[tokio::test]
    async fn a_full_node_lives_and_takes_nothing() {
        for (method, path, status) in [
            ("GET", "/livez", 200),
            ("GET", "/readyz", 503),
            ("POST", "/api/checkout/reserve", 503),
            ("GET", "/api/inventory/x", 503),
            ("GET", "/no/such/path", 503),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let response = TowerToHyperService::new(router()).call(request).await.unwrap();
            assert_eq!(response.status(), status, "{method} {path}");
            if status == 503 {
                assert_eq!(response.headers()["retry-after"], "1");
                let told = json_of(response).await;
                assert_eq!(
                    (told["code"].as_str(), told["executed"].as_str()),
                    (Some("overloaded"), Some("no"))
                );
            }
        }
    }
}
