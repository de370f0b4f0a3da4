//! One try of one call at one node: what was sent, and what came.
//!
//! The client crate's typed calls hide what a prover must see: each try, and each body as it was. So requests are sent
//! through it one by one. What callers show and trust may change while calls are under way.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use client::api::{APPLIED_INDEX, IDEMPOTENCY_REPLAYED, Problem, SEQUENCE};
use client::{Client, Missing};
use http_body_util::Full;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use serde_json::Value;
use tokio::time::sleep;

use super::ask::Ask;
use super::keys::{Keys, Part};

/// How long is waited between two looks at whether a set of keys is still in use.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The way to all nodes.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    /// The nodes' ids, as the clients number them.
    nodes: Arc<Vec<u64>>,
    keys: Arc<ArcSwap<Keys>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// Its status.
    pub(super) status: u16,
    /// `Lastunit-Sequence`.
    pub(super) sequence: Option<u64>,
    /// `Idempotency-Replayed`.
    pub(super) replayed: bool,
    /// `Lastunit-Applied-Index`.
    pub(super) applied_index: Option<u64>,
    /// The body.
    pub(super) body: Bytes,
}

impl Wire {
    /// The way to the nodes of these ids, whom the clients number alike.
    pub(super) fn new(nodes: Vec<u64>, keys: Keys) -> Wire {
        Wire { nodes: Arc::new(nodes), keys: Arc::new(ArcSwap::from_pointee(keys)) }
    }

    /// What callers show and trust now. Who keeps it holds [`Wire::change`] up.
    pub(super) fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// From now on callers show and trust these. Returns when no call is under way with those of before.
    pub(super) async fn change(&self, keys: Keys) {
        let before = self.keys.swap(Arc::new(keys));
        while Arc::strong_count(&before) > 1 {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// A client of all nodes for what an operator does.
    pub(super) fn operator(&self) -> Result<Client, String> {
        self.keys().client(Part::Operator).cloned().ok_or_else(|| "nobody is an operator".to_owned())
    }

    /// Sends it once.
    pub(super) async fn send(&self, node: u64, ask: &Ask, time_max: Duration) -> Result<Reply, Missing> {
        self.exchange(Part::of(ask.op), node, ask.request(), time_max).await
    }

    /// Reads that path.
    pub(super) async fn get(&self, node: u64, path: &str, time_max: Duration) -> Result<Reply, Missing> {
        let request = Request::get(path).body(Full::default());
        self.exchange(Part::Reader, node, request, time_max).await
    }

    async fn exchange(
        &self,
        part: Part,
        node: u64,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
        time_max: Duration,
    ) -> Result<Reply, Missing> {
        let keys = self.keys();
        let place = self.nodes.iter().position(|id| *id == node);
        let nobody = || Missing::NotSent(format!("there is no node {node}"));
        let (place, client) = place.zip(keys.client(part)).ok_or_else(nobody)?;
        let request = request.map_err(|cause| Missing::NotSent(cause.to_string()))?;
        client.send_once(place, request, time_max).await.map(Reply::of)
    }
}

impl Reply {
    fn of(response: Response<Bytes>) -> Reply {
        let (head, body) = response.into_parts();
        let text = |name: &str| text(&head.headers, name);
        Reply {
            status: head.status.as_u16(),
            sequence: text(SEQUENCE).and_then(|number| number.parse().ok()),
            replayed: text(IDEMPOTENCY_REPLAYED).as_deref() == Some("true"),
            applied_index: text(APPLIED_INDEX).and_then(|number| number.parse().ok()),
            body,
        }
    }

    /// The problem's code, where it is one.
    pub(super) fn code(&self) -> Option<String> {
        if self.status < 400 {
            return None;
        }
        let problem: Problem = serde_json::from_slice(&self.body).ok()?;
        Some(problem.code.into_owned())
    }

    /// The body as JSON; `null` where it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
