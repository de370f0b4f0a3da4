//! One try of one call at one node: what was sent, and what came.
//!
//! The client crate hides what a prover must see: each try, and each body as it was. So this is a plain HTTP client
//! over a pool of connections, which sends nothing twice by itself.

use std::time::Duration;

use bytes::Bytes;
use client::api::{APPLIED_INDEX, IDEMPOTENCY_REPLAYED, Problem, SEQUENCE};
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper::{Request, Response, body::Incoming};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use tokio::time::timeout;

use super::ask::Ask;

/// How long a connection may take to open.
const DIAL_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The connections to all nodes.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pool: Pool<HttpConnector, Full<Bytes>>,
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

/// Why there is no answer, in words.
#[derive(Debug, Clone)]
pub(super) enum Missing {
    /// No connection was made, so nothing was sent.
    NotSent(String),
    /// It was sent, at least in part.
    Lost(String),
}

impl Wire {
    /// No connection yet.
    pub(super) fn new() -> Wire {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(DIAL_TIME_MAX));
        let mut builder = Pool::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_MAX).retry_canceled_requests(false);
        Wire { pool: builder.build(connector) }
    }

    /// Sends it once.
    pub(super) async fn send(&self, address: &str, ask: &Ask, time_max: Duration) -> Result<Reply, Missing> {
        let request = ask.request(address).map_err(|cause| Missing::NotSent(cause.to_string()))?;
        self.exchange(request, time_max).await
    }

    /// Reads that path.
    pub(super) async fn get(&self, address: &str, path: &str, time_max: Duration) -> Result<Reply, Missing> {
        let request = Request::get(format!("http://{address}{path}")).body(Full::default());
        self.exchange(request.map_err(|cause| Missing::NotSent(cause.to_string()))?, time_max).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, time_max: Duration) -> Result<Reply, Missing> {
        let answered = async {
            match self.pool.request(request).await {
                Ok(response) => Reply::read(response).await,
                Err(cause) if cause.is_connect() => Err(Missing::NotSent(told(&cause))),
                Err(cause) => Err(Missing::Lost(told(&cause))),
            }
        };
        let late = |_| Err(Missing::Lost(format!("no answer within {} ms", time_max.as_millis())));
        timeout(time_max, answered).await.unwrap_or_else(late)
    }
}

impl Reply {
    async fn read(response: Response<Incoming>) -> Result<Reply, Missing> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|cause| Missing::Lost(told(&cause)))?.to_bytes();
        let text = |name: &str| text(&head.headers, name);
        Ok(Reply {
            status: head.status.as_u16(),
            sequence: text(SEQUENCE).and_then(|number| number.parse().ok()),
            replayed: text(IDEMPOTENCY_REPLAYED).as_deref() == Some("true"),
            applied_index: text(APPLIED_INDEX).and_then(|number| number.parse().ok()),
            body,
        })
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

/// The error with its causes, which hyper's own text leaves out.
fn told(error: &dyn std::error::Error) -> String {
    let causes: Vec<String> =
        std::iter::successors(Some(error), |cause| cause.source()).map(ToString::to_string).collect();
    causes.join(": ")
}
