//! The records that the document's examples show: one shop, one afternoon, in the wire's own types.

use client::api::{
    AddMemberRequest, AdjustOperation, AdjustRequest, AuditVerdict, AuditView, BatchRequest, BatchResponse,
    ClusterView, CommitRequest, Event, EventData, ExtendRequest, IfExpired, ImageAuditView, InventoryRecord,
    Item, LeadRequest, MemberView, MembershipMember, MembershipView, NodeAuditView, OnShortfall, Operation,
    OperationCall, OperationResult, Page, PutSkuRequest, ReleaseRequest, ReplaceMemberRequest, Reservation,
    ReservationEvent, ReservationState, ReserveRequest, ReturnRequest, StockEvent,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::problems;

/// The SKU of the examples.
pub(super) const SKU: &str = "PS5";

/// The reservation of the examples.
pub(super) const RESERVATION_ID: &str = "res_000000000000N9RFTT3QH7PG46";

/// A named example of a body.
pub(super) struct Example {
    /// Its name, one word for each body.
    pub(super) name: &'static str,
    /// What it shows.
    pub(super) summary: &'static str,
    /// The body.
    pub(super) value: Value,
}

/// An example.
pub(super) fn example(name: &'static str, summary: &'static str, body: impl Serialize) -> Example {
    // A type that serde writes to JSON is written to a value just so; an empty one fails the tests.
    Example { name, summary, value: serde_json::to_value(body).unwrap_or_default() }
}

/// Requests of a reserve.
pub(super) fn reserve() -> Vec<Example> {
    let items = vec![Item::new(SKU, 1), Item::new("PS5-PAD", 2)];
    let whole = ReserveRequest {
        cart_id: "cart-2".to_owned(),
        items,
        customer_id: Some("c-204".to_owned()),
        ttl_seconds: Some(600),
        wait: None,
    };
    let waiting = ReserveRequest { wait: Some(true), ..ReserveRequest::one("cart-3", SKU, 1) };
    vec![
        example("one", "One unit, for five minutes.", ReserveRequest::one("cart-1", SKU, 1)),
        example("cart", "A whole cart of a customer, for ten minutes.", whole),
        example("wait", "Joins the waiting line where the unit is not there.", waiting),
    ]
}

/// Requests of a commit.
pub(super) fn commit() -> Vec<Example> {
    let paid = CommitRequest {
        reservation_id: RESERVATION_ID.to_owned(),
        payment_token: Some("pay-1".to_owned()),
        ..CommitRequest::default()
    };
    let late =
        CommitRequest { if_expired: Some(IfExpired::Reacquire), fencing_token: Some(42), ..paid.clone() };
    let part = CommitRequest { items: Some(vec![Item::new(SKU, 1)]), ..paid.clone() };
    vec![
        example("paid", "The payment went through.", paid),
        example("late", "It went through late: sell all the same, if the units are still there.", late),
        example("part", "Only a part is sold; the rest is released.", part),
    ]
}

/// Requests of a release.
pub(super) fn release() -> Vec<Example> {
    let whole = ReleaseRequest { reservation_id: RESERVATION_ID.to_owned(), items: None };
    let part = ReleaseRequest { items: Some(vec![Item::new("PS5-PAD", 1)]), ..whole.clone() };
    vec![
        example("all", "The buyer left.", whole),
        example("part", "One item was taken out of the cart.", part),
    ]
}

/// Requests of an extend.
pub(super) fn extend() -> Vec<Example> {
    let more = ExtendRequest { reservation_id: RESERVATION_ID.to_owned(), ttl_seconds: Some(300) };
    vec![example("more_time", "Five minutes from now.", more)]
}

/// Requests of a return.
pub(super) fn take_back() -> Vec<Example> {
    let whole = ReturnRequest { reservation_id: RESERVATION_ID.to_owned(), items: None };
    let part = ReturnRequest { items: Some(vec![Item::new(SKU, 1)]), ..whole.clone() };
    vec![example("all", "All that is not returned yet.", whole), example("part", "One unit came back.", part)]
}

/// Requests of a put.
pub(super) fn put_sku() -> Vec<Example> {
    let plain = PutSkuRequest { on_hand: 100, ..PutSkuRequest::default() };
    let limited = PutSkuRequest {
        on_hand: 80,
        safety_stock: Some(5),
        max_per_customer: Some(Some(2)),
        on_shortfall: Some(OnShortfall::RevokeNewest),
    };
    vec![
        example("stock", "100 units.", plain),
        example(
            "limited",
            "Two for each customer; holds are taken away where stock no longer covers them.",
            limited,
        ),
    ]
}

/// Requests of an adjust.
pub(super) fn adjust() -> Vec<Example> {
    let adjust = |delta, reason: &str, reference: Option<&str>| AdjustRequest {
        delta,
        reason: Some(reason.to_owned()),
        reference: reference.map(str::to_owned),
        on_shortfall: None,
    };
    vec![
        example("delivery", "A delivery of 50.", adjust(50, "delivery", Some("note-4711"))),
        example("broken", "One was dropped.", adjust(-1, "broken", None)),
    ]
}

/// Requests of a batch.
pub(super) fn batch() -> Vec<Example> {
    let operation = |key: &str, call| Operation { idempotency_key: Some(key.to_owned()), call };
    let delivery = AdjustRequest { delta: 50, ..AdjustRequest::default() };
    let batch = BatchRequest {
        operations: vec![
            operation(
                "note-4711",
                OperationCall::Adjust(AdjustOperation { sku: SKU.to_owned(), adjust: delivery }),
            ),
            operation("cart-1", OperationCall::Reserve(ReserveRequest::one("cart-1", SKU, 1))),
            operation("cart-9", OperationCall::Reserve(ReserveRequest::one("cart-9", "PS6", 1))),
        ],
    };
    vec![example("delivery", "A delivery, and two carts that waited for it.", batch)]
}

/// A reservation of one unit in that state.
fn reservation(state: ReservationState) -> Reservation {
    Reservation {
        reservation_id: RESERVATION_ID.to_owned(),
        state,
        cart_id: "cart-1".to_owned(),
        customer_id: None,
        items: vec![Item::new(SKU, 1)],
        expires_in: Some(0),
        expires_at: Some("2026-11-27T09:05:00.000Z".to_owned()),
        created_at: "2026-11-27T09:00:00.000Z".to_owned(),
        fencing_token: Some(42),
        position: None,
        committed_at: None,
        payment_token: None,
        returned: Vec::new(),
    }
}

/// Units are held.
pub(super) fn held() -> Reservation {
    Reservation { expires_in: Some(300), ..reservation(ReservationState::Held) }
}

/// The second in the line.
pub(super) fn waiting() -> Reservation {
    Reservation {
        cart_id: "cart-3".to_owned(),
        expires_in: None,
        expires_at: None,
        fencing_token: None,
        position: Some(2),
        ..reservation(ReservationState::Waiting)
    }
}

/// Units are sold.
pub(super) fn committed() -> Reservation {
    Reservation {
        committed_at: Some("2026-11-27T09:01:30.250Z".to_owned()),
        payment_token: Some("pay-1".to_owned()),
        ..reservation(ReservationState::Committed)
    }
}

/// Units are given back.
pub(super) fn released() -> Reservation {
    reservation(ReservationState::Released)
}

/// Time was over before.
pub(super) fn expired() -> Reservation {
    reservation(ReservationState::Expired)
}

/// Sold, and come back.
pub(super) fn returned() -> Reservation {
    Reservation { returned: vec![Item::new(SKU, 1)], ..committed() }
}

/// The deadline is later now.
pub(super) fn extended() -> Reservation {
    Reservation { expires_at: Some("2026-11-27T09:07:10.000Z".to_owned()), ..held() }
}

/// A SKU with one unit held.
pub(super) fn stock() -> InventoryRecord {
    InventoryRecord {
        sku: SKU.to_owned(),
        on_hand: 100,
        held: 1,
        available: 99,
        sold: 0,
        safety_stock: 0,
        max_per_customer: None,
        waiting: 0,
        version: 7,
    }
}

/// A SKU that was just made.
pub(super) fn new_stock() -> InventoryRecord {
    InventoryRecord { held: 0, available: 100, version: 1, ..stock() }
}

/// That record as a stale read shows it.
pub(super) fn as_stale(record: impl Serialize) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    value["applied_index"] = json!(97);
    value
}

/// A page of reservations.
pub(super) fn reservations(cursor: &str) -> Page<Reservation> {
    Page { data: vec![held(), waiting()], next_cursor: Some(cursor.to_owned()) }
}

/// The last page of SKUs.
pub(super) fn stocks() -> Page<InventoryRecord> {
    Page { data: vec![stock()], next_cursor: None }
}

/// Two events of one reserve.
pub(super) fn events() -> Page<Event> {
    let stock = StockEvent {
        cause: "reserve".to_owned(),
        before: Some(InventoryRecord { held: 0, available: 100, version: 6, ..stock() }),
        after: Some(stock()),
        reason: None,
        reference: None,
    };
    let held = ReservationEvent {
        cause: "reserve".to_owned(),
        state_before: None,
        items_before: None,
        reservation: held(),
    };
    let data = vec![
        event("42.0", "lastunit.stock.changed", SKU, EventData::Stock(stock)),
        event("42.1", "lastunit.reservation.held", RESERVATION_ID, EventData::Reservation(held)),
    ];
    Page { data, next_cursor: Some("42.1".to_owned()) }
}

fn event(id: &str, kind: &str, subject: &str, data: EventData) -> Event {
    Event {
        specversion: "1.0".to_owned(),
        id: id.to_owned(),
        source: "/clusters/lastunit-dev".to_owned(),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        time: "2026-11-27T09:00:00.000Z".to_owned(),
        datacontenttype: "application/json".to_owned(),
        sequence: "42".to_owned(),
        data,
    }
}

/// The same events as a stream.
pub(super) fn stream() -> String {
    let events = events().data.into_iter();
    let event = |event: Event| {
        let data = serde_json::to_string(&event).unwrap_or_default();
        format!("id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.kind)
    };
    events.map(event).collect::<String>() + ": nothing new\n\n"
}

/// Two operations that were done, and one that failed alone.
pub(super) fn results() -> BatchResponse {
    let result = |status, sequence, body: Value| OperationResult {
        status,
        sequence: Some(sequence),
        replayed: false,
        retry_after: None,
        body,
    };
    let stock = InventoryRecord { on_hand: 150, available: 150, held: 0, ..stock() };
    BatchResponse {
        results: vec![
            result(200, 41, json!(stock)),
            result(201, 42, json!(held())),
            result(404, 43, problems::example("sku_not_found")),
        ],
    }
}

/// Three nodes that all serve, as the leader sees them.
pub(super) fn cluster() -> ClusterView {
    let member = |id: u64, role: &str| MemberView {
        id,
        role: role.to_owned(),
        http: format!("127.0.0.1:810{id}"),
        raft: format!("127.0.0.1:910{id}"),
        reachable: true,
        matched_index: Some(97),
        version: Some("0.1.0".to_owned()),
        feature_level_max: Some(1),
    };
    ClusterView {
        cluster: "lastunit-dev".to_owned(),
        node_id: 1,
        leader_id: Some(1),
        term: 3,
        applied_index: Some(97),
        committed_index: Some(97),
        state_digest: "9c1f44d27b03e8a5".to_owned(),
        feature_level: 1,
        members: vec![member(1, "leader"), member(2, "follower"), member(3, "follower")],
    }
}

/// Requests to add a member.
pub(super) fn add_member() -> Vec<Example> {
    let new =
        AddMemberRequest { id: 4, raft: "127.0.0.1:9104".to_owned(), http: "127.0.0.1:8104".to_owned() };
    vec![example("fourth", "A fourth node.", new)]
}

/// Requests to replace a member.
pub(super) fn replace_member() -> Vec<Example> {
    vec![example("by_fourth", "By node 4.", ReplaceMemberRequest { by: 4 })]
}

/// Requests to have another node lead.
pub(super) fn lead() -> Vec<Example> {
    vec![
        example("second", "Node 2.", LeadRequest { to: Some(2) }),
        example("any", "Whichever has most of the log.", LeadRequest { to: None }),
    ]
}

/// Three voters, and a learner where there is one.
pub(super) fn membership(learner: Option<u64>) -> MembershipView {
    let member = |id: u64, votes| MembershipMember {
        id,
        votes,
        http: format!("127.0.0.1:810{id}"),
        raft: format!("127.0.0.1:910{id}"),
    };
    let voters = (1..=3).map(|id| member(id, true));
    MembershipView {
        changed: true,
        leader_id: Some(1),
        term: 3,
        membership_index: Some(98),
        members: voters.chain(learner.map(|id| member(id, false))).collect(),
    }
}

/// An audit of three nodes that agree, made in the middle of a sale.
pub(super) fn audit() -> AuditView {
    audit_of(AuditVerdict::Sound, (1..=3).map(|id| audited(id, &[])).collect())
}

/// One node has a figure that its own records contradict, and one does not answer.
pub(super) fn audit_with_findings() -> AuditView {
    let silent = NodeAuditView {
        id: 3,
        error: Some("Connection refused".to_owned()),
        state_digest: None,
        image: None,
    };
    audit_of(
        AuditVerdict::Broken,
        vec![audited(1, &[]), audited(2, &["PS5: held is 2, the sum of its holds 1"]), silent],
    )
}

fn audit_of(verdict: AuditVerdict, nodes: Vec<NodeAuditView>) -> AuditView {
    AuditView {
        cluster: "lastunit-dev".to_owned(),
        node_id: 1,
        applied_index: 97,
        verdict,
        agree: true,
        nodes,
    }
}

fn audited(id: u64, findings: &[&str]) -> NodeAuditView {
    let digest = "9c1f44d27b03e8a5".to_owned();
    let image = ImageAuditView {
        applied_index: Some(97),
        state_digest: digest.clone(),
        skus: 1,
        reservations: 2,
        holds: 1,
        waiting: 1,
        answers: 3,
        customers: 0,
        events: 5,
        on_hand: 100,
        held: 1,
        sold: 0,
        findings: findings.iter().map(|&finding| finding.to_owned()).collect(),
        findings_total: findings.len() as u64,
    };
    NodeAuditView { id, error: None, state_digest: Some(digest), image: Some(image) }
}
