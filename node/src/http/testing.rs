//! A store whose answers the test chooses, and the shortest way to ask the router something.

use std::future::pending;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, Response as HttpResponse};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use raft::{
    Answer, Audit, AuditError, Backup, BackupError, Build, Change, ChangeError, Changed, ImageAudit, Member,
    MemberStatus, NodeAudit, ProposeError, Read, ReadError, Role, Stats, Status,
};
use serde_json::Value;
use storage::inventory::command::{
    Command, HoldLimits, OnShortfall, Precondition, PutSku, Request, Reserve, Setting, Stamp,
};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{Applied, Grant, Outcome, ReservationView, State, StockView};
use storage::inventory::{Audited, Inventory};
use tokio::sync::watch;

use super::store::{Consistency, Store};
use super::{Api, Service};

/// A real inventory of its own, which no log and no peers stand behind; it remembers what it was asked, and answers
/// otherwise where it was told to.
pub(crate) struct Fake {
    /// How commands are answered.
    pub(crate) answer: Answering,
    /// Why every read fails; `None`: none does.
    pub(crate) read_error: Option<ReadError>,
    /// Whether it is ready.
    pub(crate) ready: Result<(), String>,
    /// Every command that it was given.
    pub(crate) asked: Mutex<Vec<Request>>,
    /// What commands are applied to and reads look at.
    pub(crate) inventory: Mutex<Inventory>,
    /// The sequence of the last command applied.
    pub(crate) applied: watch::Sender<u64>,
}

/// How commands are answered.
pub(crate) enum Answering {
    /// All alike, and none is applied.
    Always(Box<Result<Answer, ProposeError>>),
    /// Not at all.
    Never,
    /// By the inventory.
    State,
}

impl Default for Fake {
    /// Every command is answered as [`reserved`] and applied to nothing; reads find what that reserve would have left.
    fn default() -> Fake {
        Fake { answer: Answering::Always(Box::new(Ok(reserved()))), ..Fake::of(after_a_reserve()) }
    }
}

impl Fake {
    /// A store with that state, to which commands are applied.
    pub(crate) fn of(inventory: Inventory) -> Fake {
        let applied = watch::Sender::new(inventory.sequence());
        Fake {
            answer: Answering::State,
            read_error: None,
            ready: Ok(()),
            asked: Mutex::default(),
            inventory: Mutex::new(inventory),
            applied,
        }
    }

    /// Applies a command at that moment.
    pub(crate) fn apply(&self, now_ms: u64, command: Command) -> Applied {
        self.apply_request(now_ms, &Request { idempotency_key: None, command })
    }

    fn apply_request(&self, now_ms: u64, request: &Request) -> Applied {
        let applied = self.inventory.lock().unwrap().apply(&stamp(now_ms), request);
        self.applied.send_replace(applied.sequence);
        applied
    }

    fn answer(&self, request: Request) -> Option<Result<Answer, ProposeError>> {
        let answer = match &self.answer {
            Answering::Always(answer) => Some(Result::clone(answer)),
            Answering::Never => None,
            Answering::State => Some(Ok(Answer::Applied(self.apply_request(0, &request)))),
        };
        self.asked.lock().unwrap().push(request);
        answer
    }
}

/// The fake of a test and the router share it.
impl Store for std::sync::Arc<Fake> {
    async fn submit(&self, request: Request, _: Option<&str>) -> Result<Answer, ProposeError> {
        match self.answer(request) {
            Some(answer) => answer,
            None => pending().await,
        }
    }

    async fn submit_many(
        &self,
        requests: Vec<Request>,
        _: Option<&str>,
    ) -> Vec<Result<Answer, ProposeError>> {
        let answers: Option<Vec<_>> = requests.into_iter().map(|request| self.answer(request)).collect();
        match answers {
            Some(answers) => answers,
            None => pending().await,
        }
    }

    async fn read<T: Send>(
        &self,
        _: Consistency,
        query: impl FnOnce(&Inventory) -> T + Send,
    ) -> Result<Read<T>, ReadError> {
        match self.read_error {
            Some(error) => Err(error),
            None => Ok(self.read_stale(query)),
        }
    }

    fn read_stale<T>(&self, query: impl FnOnce(&Inventory) -> T) -> Read<T> {
        let inventory = self.inventory.lock().unwrap();
        Read {
            value: query(&inventory),
            sequence: inventory.sequence(),
            applied_index: Some(17),
            now_ms: inventory.now_ms(),
        }
    }

    async fn applied_past(&self, sequence: u64) {
        self.applied.subscribe().wait_for(|applied| *applied > sequence).await.unwrap();
    }

    fn status(&self) -> Status {
        status()
    }

    async fn audit(&self) -> Result<Audit, AuditError> {
        self.read_error.map_or_else(|| Ok(audit()), |error| Err(error.into()))
    }

    async fn backup(&self) -> Result<Backup, BackupError> {
        Err(self.read_error.map_or(BackupError::Busy, BackupError::NotRead))
    }

    async fn change(&self, change: &Change) -> Result<Changed, ChangeError> {
        match self.read_error {
            Some(_) => Err(ChangeError::NoLeader),
            None => Ok(changed(change)),
        }
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }

    async fn ready(&self) -> Result<(), String> {
        self.ready.clone()
    }
}

/// A change of a cluster of one, after which that one is as it was.
fn changed(change: &Change) -> Changed {
    let member = Member { id: 1, http: "127.0.0.1:8101".to_owned(), raft: "127.0.0.1:9101".to_owned() };
    let changed = *change != Change::Lead(Some(1));
    let members = vec![(member, true)];
    Changed { changed, leader_id: Some(1), term: 3, membership_index: Some(9), members }
}

/// A stamp of that moment, with the usual limits.
pub(crate) fn stamp(now_ms: u64) -> Stamp {
    let day_ms = 86_400_000;
    Stamp {
        now_ms,
        retention_ms: day_ms,
        idempotency_ms: day_ms,
        max_hold_ms: 1_800_000,
        events_ms: day_ms,
        events_max: 262_144,
        limits: HoldLimits::NONE,
    }
}

/// The inventory that [`view`] was read from, as its fortieth command: two of eight units of PS5 are held.
pub(crate) fn after_a_reserve() -> Inventory {
    let mut inventory = Inventory::default();
    let view = view();
    let mut apply = |command| {
        let request = Request { idempotency_key: None, command };
        inventory.apply(&stamp(view.created_ms), &request).result.unwrap();
    };
    (1..=38).for_each(|_| apply(Command::Tick));
    apply(Command::PutSku(put("PS5", 8)));
    apply(Command::Reserve(Reserve { nonce: view.id.nonce, ..reserve(&view.cart_id, "PS5", 2) }));
    inventory
}

/// A reserve of so many units of one SKU for that cart, for five minutes.
pub(crate) fn reserve(cart: &str, name: &str, qty: u64) -> Reserve {
    Reserve {
        nonce: 7,
        cart_id: cart.into(),
        customer_id: None,
        items: vec![Item { sku: sku(name), qty }],
        ttl_ms: 300_000,
        wait: false,
    }
}

/// A put of so many units of a SKU, and nothing else.
pub(crate) fn put(name: &str, on_hand: u64) -> PutSku {
    PutSku {
        sku: sku(name),
        on_hand,
        safety_stock: None,
        max_per_customer: Setting::Keep,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::None,
    }
}

/// A router over that store, for node 1.
pub(crate) fn router(fake: &std::sync::Arc<Fake>) -> Router {
    service(fake).router
}

/// All that answers for that store.
pub(crate) fn service(fake: &std::sync::Arc<Fake>) -> Service<std::sync::Arc<Fake>> {
    Api::new(std::sync::Arc::clone(fake), "shop".to_owned(), 1, 1800).service()
}

/// Asks the router as a connection would.
pub(crate) async fn ask(router: &Router, request: HttpRequest<Body>) -> Response {
    TowerToHyperService::new(router.clone()).call(request).await.expect("a router answers everything")
}

/// A call with a JSON body.
pub(crate) fn call(method: &str, path: &str, body: impl Into<Body>) -> HttpRequest<Body> {
    let request = HttpRequest::builder().method(method).uri(path).header("host", "test");
    request.header("content-type", "application/json").body(body.into()).unwrap()
}

/// A call without a body.
pub(crate) fn get(path: &str) -> HttpRequest<Body> {
    HttpRequest::builder().uri(path).header("host", "test").body(Body::empty()).unwrap()
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
        build: (id == 1).then(|| Build { version: "1.2.3".to_owned(), levels: 1..=4 }),
    };
    Status {
        cluster_id: Some(1),
        leader_id: Some(1),
        term: 3,
        applied_index: Some(17),
        committed_index: Some(18),
        state_digest: 0xabc,
        level: 3,
        members: vec![member(1, Role::Leader), member(2, Role::Follower)],
    }
}

/// A node that is sound, one in which something was found, and one that does not answer.
pub(crate) fn audit() -> Audit {
    let node = |digest, findings: &[&str]| {
        let mut audited = Audited { digest, skus: 1, held: 2, ..Audited::default() };
        findings.iter().for_each(|finding| audited.find(*finding));
        Ok(NodeAudit { digest: 0xabc, image: ImageAudit { applied_index: Some(18), audited } })
    };
    let nodes = [node(0xabd, &[]), node(0xabe, &["PS5: held is 2"]), Err("not sent".to_owned())];
    Audit { index: 17, nodes: (1..).zip(nodes).collect() }
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
