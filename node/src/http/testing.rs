//! A store whose answers the test chooses, and the shortest way to ask the router something.

use std::future::pending;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, Response as HttpResponse};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use raft::{Answer, Member, MemberStatus, ProposeError, Read, ReadError, Role, Stats, Status};
use serde_json::Value;
use storage::inventory::command::Request;
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{Applied, Grant, Outcome, ReservationView, State, StockView};

use super::Api;
use super::store::{Consistency, Store};

/// Answers what it was told to, and remembers what it was asked.
pub(crate) struct Fake {
    /// The answer to every command; `None` never answers.
    pub(crate) answer: Option<Result<Answer, ProposeError>>,
    /// What every read finds, or why it finds nothing.
    pub(crate) read: Result<bool, ReadError>,
    /// Whether it is ready.
    pub(crate) ready: Result<(), String>,
    /// Every command that it was given.
    pub(crate) asked: Mutex<Vec<Request>>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake { answer: Some(Ok(reserved())), read: Ok(true), ready: Ok(()), asked: Mutex::default() }
    }
}

/// The fake of a test and the router share it.
impl Store for std::sync::Arc<Fake> {
    async fn submit(&self, request: Request) -> Result<Answer, ProposeError> {
        self.asked.lock().unwrap().push(request);
        match &self.answer {
            Some(answer) => answer.clone(),
            None => pending().await,
        }
    }

    async fn stock(&self, sku: Sku, _: Consistency) -> Result<Read<Option<StockView>>, ReadError> {
        self.read.map(|found| read(found.then(|| stock_view(sku.as_str()))))
    }

    async fn reservation(
        &self,
        id: ReservationId,
        _: Consistency,
    ) -> Result<Read<Option<ReservationView>>, ReadError> {
        self.read.map(|found| read(found.then(|| ReservationView { id, ..view() })))
    }

    fn status(&self) -> Status {
        status()
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }

    async fn ready(&self) -> Result<(), String> {
        self.ready.clone()
    }
}

fn read<T>(value: T) -> Read<T> {
    Read { value, sequence: 41, applied_index: Some(17), now_ms: view().now_ms }
}

/// A router over that store, for node 1.
pub(crate) fn router(fake: &std::sync::Arc<Fake>) -> Router {
    Api::new(std::sync::Arc::clone(fake), "shop".to_owned(), 1, 1800).router()
}

/// Asks the router as a connection would.
pub(crate) async fn ask(router: &Router, request: HttpRequest<Body>) -> Response {
    TowerToHyperService::new(router.clone()).call(request).await.expect("a router answers everything")
}

/// A call with a JSON body.
pub(crate) fn call(method: &str, path: &str, body: impl Into<Body>) -> HttpRequest<Body> {
    let request = HttpRequest::builder().method(method).uri(path);
    request.header("content-type", "application/json").body(body.into()).unwrap()
}

/// A call without a body.
pub(crate) fn get(path: &str) -> HttpRequest<Body> {
    HttpRequest::builder().uri(path).body(Body::empty()).unwrap()
}

/// The body of an answer.
pub(crate) async fn text_of(response: HttpResponse<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The body of an answer, as JSON.
pub(crate) async fn json_of(response: HttpResponse<Body>) -> Value {
    serde_json::from_str(&text_of(response).await).unwrap()
}

/// A node that leads, with one follower.
pub(crate) fn status() -> Status {
    let member = |id: u64, role| MemberStatus {
        member: Member { id, http: format!("h{id}:1"), raft: format!("h{id}:2") },
        role,
        reachable: id == 1,
        matched_index: (id == 1).then_some(17),
    };
    Status {
        cluster_id: Some(1),
        leader_id: Some(1),
        term: 3,
        applied_index: Some(17),
        committed_index: Some(18),
        state_digest: 0xabc,
        members: vec![member(1, Role::Leader), member(2, Role::Follower)],
    }
}

/// The answer to a reserve, as the fortieth command.
pub(crate) fn reserved() -> Answer {
    applied(Ok(Outcome::Reserved(view())))
}

/// A result as the answer to the fortieth command.
pub(crate) fn applied(result: Result<Outcome, storage::inventory::outcome::Rejection>) -> Answer {
    Answer::Applied(Applied { sequence: 40, replayed: false, result })
}

/// A SKU's name.
pub(crate) fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

/// A hold with 299.999 seconds left.
pub(crate) fn view() -> ReservationView {
    ReservationView {
        id: ReservationId { sequence: 40, nonce: 7 },
        state: State::Held,
        cart_id: "c-1".into(),
        customer_id: None,
        items: vec![Item { sku: sku("PS5"), qty: 2 }],
        returned: Vec::new(),
        created_ms: 1_795_000_000_123,
        grant: Some(Grant {
            fencing_token: 42,
            granted_ms: 1_795_000_000_123,
            deadline_ms: 1_795_000_300_123,
        }),
        position: None,
        committed_ms: None,
        payment_token: None,
        now_ms: 1_795_000_000_124,
    }
}

/// A SKU of which some is held and some kept back.
pub(crate) fn stock_view(name: &str) -> StockView {
    StockView {
        sku: sku(name),
        on_hand: 10,
        held: 3,
        sold: 5,
        safety_stock: 1,
        version: 9,
        max_per_customer: None,
        waiting: 0,
    }
}
