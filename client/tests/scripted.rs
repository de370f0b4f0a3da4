//! The client's calls against scripted nodes on real sockets: each connection's fate and each answer is prescribed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a broken script ends the test")]

mod support;

use std::time::Duration;

use client::api::{
    AdjustRequest, CommitRequest, Executed, Item, PutSkuRequest, ReleaseRequest, ReservationState,
};
use client::{Batch, Client, Error, Record, Tries, code};
use serde_json::json;

use support::{Deed, Node, cart, client, header, held, problem};

#[tokio::test]
async fn an_answer_brings_its_place_in_the_history() {
    let node = Node::new([held()]).await;
    let answer = client([&node.address]).reserve(&cart()).await.unwrap();
    assert_eq!((answer.status, answer.sequence, answer.replayed), (201, Some(9), true));
    assert_eq!(answer.value.state, ReservationState::Held);
    assert_eq!(answer.value.fencing_token, Some(42));
    let request = &node.heard()[0];
    assert!(request.starts_with("POST /api/checkout/reserve HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(request, "content-type"), "application/json");
    assert!(request.ends_with(r#"{"cart_id":"c","items":[{"sku":"PS5","qty":1}]}"#), "{request}");
}

#[tokio::test]
async fn all_tries_carry_one_key_over_all_nodes() {
    let first = Node::new([Deed::Drop, Deed::Break]).await;
    let second = Node::new([
        problem(504, "", "outcome_unknown", true, "unknown"),
        Deed::Answer(502, "", String::new()),
    ])
    .await;
    let third = Node::new([problem(503, "retry-after: 0\r\n", "overloaded", true, "no"), held()]).await;
    let client = client([&first.address, &second.address, &third.address]);
    let answer = client.reserve(&cart()).await.unwrap();
    assert_eq!(answer.tries, Tries { made: 6, unanswered: 4 });
    let keys = [first.keys(), second.keys(), third.keys()].concat();
    assert_eq!(keys.len(), 6);
    assert!(keys.iter().all(|key| key == &keys[0] && key.len() == 32), "{keys:?}");
}

#[tokio::test]
async fn two_calls_have_two_keys_and_a_given_key_is_kept() {
    let node = Node::new([held(), held(), Deed::Drop, held()]).await;
    let client = client([&node.address]);
    client.reserve(&cart()).await.unwrap();
    client.reserve(&cart()).await.unwrap();
    client.reserve(&cart()).key("mine").await.unwrap();
    let keys = node.keys();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[2..], ["mine", "mine"]);
}

#[tokio::test]
async fn a_dead_node_is_passed_over() {
    let (dead, node) = (Node::dead().await, Node::new([held()]).await);
    let answer = client([&dead, &node.address]).reserve(&cart()).await.unwrap();
    assert_eq!(answer.tries, Tries { made: 2, unanswered: 0 });
}

#[tokio::test]
async fn what_no_node_heard_was_not_executed() {
    let dead = Node::dead().await;
    let error = client([&dead]).reserve(&cart()).tries_max(3).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotExecuted(e) if e.tries == Tries { made: 3, unanswered: 0 }),
        "{error}"
    );
}

#[tokio::test]
async fn a_broken_connection_is_unknown_and_never_refused() {
    for deed in [Deed::Drop, Deed::Break] {
        let node = Node::new([deed]).await;
        let error = client([&node.address]).reserve(&cart()).key("k").tries_max(1).await.unwrap_err();
        assert!(matches!(&error, Error::Unknown(e) if e.idempotency_key.as_deref() == Some("k")), "{error}");
    }
}

#[tokio::test]
async fn a_broken_read_changed_nothing() {
    let node = Node::new([Deed::Drop]).await;
    let error = client([&node.address]).sku("PS5").tries_max(1).await.unwrap_err();
    assert!(matches!(&error, Error::NotExecuted(_)), "{error}");
    assert_eq!(node.keys(), [""]);
}

#[tokio::test]
async fn a_node_that_hangs_is_left_for_the_next() {
    let (hanging, node) = (Node::new([Deed::Hang]).await, Node::new([held()]).await);
    let builder = Client::builder().try_time_max(Duration::from_millis(50));
    let client = builder.build([&hanging.address, &node.address]).unwrap().prefer(0);
    let answer = client.reserve(&cart()).await.unwrap();
    assert_eq!(answer.tries, Tries { made: 2, unanswered: 1 });
}

#[tokio::test]
async fn the_deadline_ends_a_call_that_nobody_answers() {
    let node = Node::new([Deed::Hang]).await;
    let call = client([&node.address]).reserve(&cart()).deadline(Duration::from_millis(50));
    assert!(matches!(call.await, Err(Error::Unknown(_))));
}

#[tokio::test]
async fn refusals_are_returned_at_once() {
    let table = [
        (400, "invalid_request", false),
        (404, "sku_not_found", false),
        (409, "insufficient_stock", false),
        (409, "held_by_others", true),
        (410, "reservation_expired", false),
        (412, "fencing_token_stale", false),
        (422, "idempotency_key_reused", false),
    ];
    for (status, code, retryable) in table {
        let node = Node::new([problem(status, "retry-after: 7\r\n", code, retryable, "no")]).await;
        let request = CommitRequest { reservation_id: "res_1".to_owned(), ..Default::default() };
        let Err(Error::Refused(refusal)) = client([&node.address]).commit(&request).await else {
            panic!("{code} is a refusal")
        };
        assert_eq!((refusal.problem.status, &*refusal.problem.code), (status, code));
        assert_eq!(refusal.problem.executed, Executed::No);
        assert_eq!(refusal.problem.extra["oldest"], 5);
        assert_eq!(refusal.retry_after_seconds, Some(7));
    }
}

#[tokio::test]
async fn what_no_node_would_say_is_invalid() {
    let table = [(404, "<html>"), (201, "{}"), (201, "")];
    for (status, body) in table {
        let node = Node::new([Deed::Answer(status, "", body.to_owned())]).await;
        let error = client([&node.address]).reserve(&cart()).key("k").await.unwrap_err();
        let Error::Invalid(invalid) = error else { panic!("{status} {body:?} gave {error}") };
        assert_eq!((invalid.status, invalid.idempotency_key.as_deref()), (status, Some("k")));
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_a_header_is_not_sent() {
    let node = Node::new([]).await;
    let client = client([&node.address]);
    for key in ["", "a b", "a\r\nx: y", "\u{e9}", &"k".repeat(256)] {
        assert!(matches!(client.reserve(&cart()).key(key).await, Err(Error::Usage(_))), "{key:?}");
    }
    assert!(node.heard().is_empty());
}

#[tokio::test]
async fn one_node_can_be_asked_alone() {
    let (first, second) = (Node::new([]).await, Node::new([Deed::Answer(200, "", "ok".to_owned())]).await);
    client([&first.address, &second.address]).only(1).ready().await.unwrap();
    assert_eq!(second.heard().len(), 1);
}

#[tokio::test]
async fn a_node_that_is_not_ready_is_asked_once() {
    let node = Node::new([problem(503, "retry-after: 1\r\n", "no_leader", true, "no")]).await;
    let error = client([&node.address]).ready().await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "no_leader");
}

#[tokio::test]
async fn a_sku_cannot_leave_its_segment_of_the_path() {
    let node = Node::new([problem(400, "", "invalid_request", false, "no")]).await;
    let request = PutSkuRequest { on_hand: 1, ..Default::default() };
    client([&node.address]).put_sku("../x?y", &request).await.unwrap_err();
    assert!(node.heard()[0].starts_with("PUT /api/inventory/..%2Fx%3Fy HTTP/1.1\r\n"), "{}", node.heard()[0]);
}

fn record(version: u64) -> Deed {
    let record = json!({"sku": "PS5", "on_hand": 5, "held": 1, "available": 4, "sold": 2, "safety_stock": 0,
        "max_per_customer": null, "waiting": 0, "version": version});
    Deed::Answer(200, "lastunit-applied-index: 17\r\n", record.to_string())
}

fn first_line(request: &str) -> &str {
    request.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1")
}

fn body(request: &str) -> serde_json::Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn parts_of_a_reservation_stand_in_the_body() {
    let node = Node::new([held(), held(), held()]).await;
    let client = client([&node.address]);
    let part = Some(vec![Item::new("PS5", 1)]);
    client.release("res_1").await.unwrap();
    client.release(ReleaseRequest { reservation_id: "res_1".to_owned(), items: part.clone() }).await.unwrap();
    let request = CommitRequest { reservation_id: "res_1".to_owned(), items: part, ..Default::default() };
    client.commit(&request).await.unwrap();
    let heard = node.heard();
    assert_eq!(body(&heard[0]), json!({"reservation_id": "res_1"}));
    for request in &heard[1..] {
        assert_eq!(body(request), json!({"reservation_id": "res_1", "items": [{"sku": "PS5", "qty": 1}]}));
    }
}

#[tokio::test]
async fn preconditions_are_headers() {
    let node = Node::new([record(1), record(2), record(3), Deed::Answer(204, "", String::new())]).await;
    let client = client([&node.address]);
    let put = PutSkuRequest { on_hand: 1, ..Default::default() };
    client.put_sku("PS5", &put).if_absent().await.unwrap();
    client.put_sku("PS5", &put).if_version(7).await.unwrap();
    client.adjust("PS5", &AdjustRequest { delta: -1, ..Default::default() }).if_present().await.unwrap();
    let deleted = client.delete_sku("PS5").if_version(9).await.unwrap();
    assert_eq!(deleted.status, 204);
    let heard = node.heard();
    let headers: Vec<_> =
        heard.iter().map(|request| (header(request, "if-match"), header(request, "if-none-match"))).collect();
    let expected = [("", "*"), ("\"7\"", ""), ("*", ""), ("\"9\"", "")];
    assert_eq!(headers, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(first_line(&heard[3]), "DELETE /api/inventory/PS5");
    assert_ne!(header(&heard[3], "idempotency-key"), "");
}

#[tokio::test]
async fn a_setting_that_a_call_does_not_have_is_not_sent() {
    let node = Node::new([]).await;
    let client = client([&node.address]);
    for error in [
        client.reserve(&cart()).if_version(1).await.unwrap_err(),
        client.reserve(&cart()).wait_seconds(1).await.unwrap_err(),
        client.reserve(&cart()).stale().await.unwrap_err(),
        client.sku("PS5").if_absent().await.unwrap_err(),
        client.put_sku("PS5", &PutSkuRequest::default()).if_changed_since(1).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Usage(_)), "{error}");
    }
    assert!(node.heard().is_empty());
}

#[tokio::test]
async fn an_unchanged_record_is_not_sent_again() {
    let unchanged = || Deed::Answer(304, "lastunit-sequence: 9\r\n", String::new());
    let node = Node::new([unchanged(), record(8), unchanged()]).await;
    let client = client([&node.address]);
    let answer = client.sku("PS5").if_changed_since(7).await.unwrap();
    assert_eq!((answer.value, answer.status, answer.sequence), (None, 304, Some(9)));
    assert_eq!(client.sku("PS5").if_changed_since(7).await.unwrap().value.unwrap().version, 8);
    // Who did not ask for it has no use for it.
    assert!(matches!(client.sku("PS5").await, Err(Error::Invalid(_))));
    let heard = node.heard();
    let tags: Vec<_> = heard.iter().map(|request| header(request, "if-none-match")).collect();
    assert_eq!(tags, ["\"7\"", "\"7\"", ""]);
}

#[tokio::test]
async fn a_stale_read_says_how_far_it_is() {
    let node = Node::new([record(1)]).await;
    let answer = client([&node.address]).sku("PS5").stale().await.unwrap();
    assert_eq!(answer.applied_index, Some(17));
    assert_eq!(first_line(&node.heard()[0]), "GET /api/inventory/PS5?consistency=stale");
}

#[tokio::test]
async fn a_long_poll_outlasts_the_usual_time_of_a_try() {
    let node = Node::new([Deed::Late(Duration::from_millis(300), Box::new(held()))]).await;
    let time = Duration::from_millis(100);
    let client = Client::builder().try_time_max(time).deadline(time).build([&node.address]).unwrap();
    let answer =
        client.reservation("res_1").wait_seconds(1).wait_while(ReservationState::Waiting).await.unwrap();
    assert_eq!(answer.tries, Tries { made: 1, unanswered: 0 });
    assert_eq!(first_line(&node.heard()[0]), "GET /api/reservations/res_1?wait_seconds=1&while=waiting");
}

#[tokio::test]
async fn a_delete_that_got_lost_is_repeated_under_its_key() {
    let replay = Deed::Answer(204, "idempotency-replayed: true\r\n", String::new());
    let node = Node::new([Deed::Drop, replay]).await;
    let deleted = client([&node.address]).delete_sku("PS5").await.unwrap();
    assert_eq!((deleted.replayed, deleted.tries), (true, Tries { made: 2, unanswered: 1 }));
    let keys = node.keys();
    assert_eq!((keys[0].len(), &keys[0]), (32, &keys[1]));
}

#[tokio::test]
async fn a_delete_that_got_lost_is_unknown() {
    let node = Node::new([Deed::Drop]).await;
    let error = client([&node.address]).delete_sku("PS5").key("gone/1").tries_max(1).await.unwrap_err();
    assert!(matches!(&error, Error::Unknown(e) if e.idempotency_key.as_deref() == Some("gone/1")), "{error}");
    assert_eq!(error.executed(), Executed::Unknown);
}

#[tokio::test]
async fn rows_come_page_by_page_to_the_end() {
    let page = |skus: &[&str], next: Option<&str>| {
        let row = |sku: &&str| {
            json!({"sku": sku, "on_hand": 5, "held": 0, "available": 5, "sold": 0, "safety_stock": 0,
                "max_per_customer": 2, "waiting": 0, "version": 1})
        };
        let data: Vec<_> = skus.iter().map(row).collect();
        Deed::Answer(200, "", json!({"data": data, "next_cursor": next}).to_string())
    };
    let script = [page(&["A", "B"], Some("x=")), Deed::Drop, page(&[], Some("y")), page(&["C"], None)];
    let node = Node::new(script).await;
    let mut rows = client([&node.address]).skus().prefix("P&").page_size(2).stale().rows();
    let mut skus = Vec::new();
    while let Some(record) = rows.next().await.unwrap() {
        skus.push(record.sku);
    }
    assert_eq!(skus, ["A", "B", "C"]);
    assert!(rows.next().await.unwrap().is_none(), "the end stays the end");
    let heard = node.heard();
    let lines: Vec<_> = heard.iter().map(|request| first_line(request)).collect();
    let path = "GET /api/inventory?prefix=P%26&limit=2";
    let [first, second, third] =
        ["", "&cursor=x%3D", "&cursor=y"].map(|cursor| format!("{path}{cursor}&consistency=stale"));
    assert_eq!(lines, [&first, &second, &second, &third]);
}

#[tokio::test]
async fn a_list_of_reservations_names_its_filters() {
    let node = Node::new([Deed::Answer(200, "", r#"{"data":[],"next_cursor":null}"#.to_owned())]).await;
    let list = client([&node.address]).reservations().cart("a b").customer("c").sku("S");
    let page = list.state(ReservationState::Waiting).page(None).await.unwrap().value;
    assert_eq!((page.data.len(), page.next_cursor), (0, None));
    assert_eq!(
        first_line(&node.heard()[0]),
        "GET /api/reservations?cart_id=a%20b&customer_id=c&sku=S&state=waiting"
    );
}

#[tokio::test]
async fn each_operation_of_a_batch_ends_as_its_own_call_would() {
    let refused = |status: u16, code: &str, retryable: bool, executed: &str| {
        json!({"type": "about:blank", "title": "t", "status": status, "detail": "d", "code": code,
            "retryable": retryable, "executed": executed})
    };
    let Deed::Answer(_, _, hold) = held() else { panic!("an answer") };
    let hold: serde_json::Value = serde_json::from_str(&hold).unwrap();
    let Deed::Answer(_, _, sku) = record(3) else { panic!("an answer") };
    let sku: serde_json::Value = serde_json::from_str(&sku).unwrap();
    let results = json!({"results": [
        {"status": 201, "sequence": 9, "body": hold},
        {"status": 409, "sequence": 10, "retry_after": 4, "body": refused(409, "held_by_others", true, "no")},
        {"status": 200, "sequence": 3, "replayed": true, "body": sku},
        {"status": 503, "body": refused(503, "no_leader", true, "no")},
        {"status": 504, "body": refused(504, "outcome_unknown", true, "unknown")},
        {"status": 200, "body": {}},
    ]});
    let node = Node::new([Deed::Drop, Deed::Answer(200, "", results.to_string())]).await;
    let mut batch = Batch::new();
    batch.push(cart()).push(cart()).push_adjust("PS5", AdjustRequest { delta: 5, ..Default::default() });
    batch.push(cart()).push_keyed("mine", cart()).push(cart());
    let outcomes = client([&node.address]).batch(&batch).await.unwrap().value;

    let held = outcomes[0].as_ref().unwrap();
    assert_eq!((held.status, held.sequence, held.replayed), (201, Some(9), false));
    assert!(matches!(&held.value, Record::Reservation(hold) if hold.fencing_token == Some(42)));
    let Err(Error::Refused(refusal)) = &outcomes[1] else { panic!("{:?}", outcomes[1]) };
    assert_eq!((&*refusal.problem.code, refusal.retry_after_seconds), (code::HELD_BY_OTHERS, Some(4)));
    let adjusted = outcomes[2].as_ref().unwrap();
    assert!(adjusted.replayed && matches!(&adjusted.value, Record::Sku(record) if record.version == 3));
    // The try that got lost may have executed it.
    assert!(matches!(&outcomes[3], Err(Error::Unknown(_))), "{:?}", outcomes[3]);
    let Err(Error::Unknown(unknown)) = &outcomes[4] else { panic!("{:?}", outcomes[4]) };
    assert_eq!(unknown.idempotency_key.as_deref(), Some("mine"));
    assert!(matches!(&outcomes[5], Err(Error::Invalid(_))), "{:?}", outcomes[5]);

    let [first, second] = [0, 1].map(|n| body(&node.heard()[n]));
    assert_eq!(first, second, "all tries carry the same keys");
    let keys: std::collections::BTreeSet<_> =
        first["operations"].as_array().unwrap().iter().map(|o| o["idempotency_key"].to_string()).collect();
    assert_eq!(keys.len(), 6);
    assert_eq!(header(&node.heard()[0], "idempotency-key"), "");
}

#[tokio::test]
async fn an_operation_that_was_not_executed_is_told_as_such() {
    let body = r#"{"results":[{"status":503,"body":{"type":"about:blank","title":"t","status":503,"detail":"d",
        "code":"overloaded","retryable":true,"executed":"no"}}]}"#;
    let node =
        Node::new([Deed::Answer(200, "", body.to_owned()), Deed::Answer(200, "", body.to_owned())]).await;
    let client = client([&node.address]);
    let mut batch = Batch::new();
    batch.push(cart());
    let outcomes = client.batch(&batch).await.unwrap().value;
    assert!(matches!(&outcomes[0], Err(Error::NotExecuted(_))), "{:?}", outcomes[0]);
    batch.push(cart());
    assert!(matches!(client.batch(&batch).await, Err(Error::Invalid(_))), "one result for two operations");
}

#[tokio::test]
async fn a_page_of_events_names_its_place_and_filter() {
    let node = Node::new([Deed::Answer(200, "", r#"{"data":[],"next_cursor":"17.3"}"#.to_owned())]).await;
    let feed = client([&node.address]).events().sku("PS5").types(["stock", "lastunit.reservation.held"]);
    let page = feed.after("17.3").page_size(9).page().await.unwrap().value;
    assert_eq!(page.next_cursor.as_deref(), Some("17.3"));
    assert_eq!(
        first_line(&node.heard()[0]),
        "GET /api/events?sku=PS5&types=stock%2Clastunit.reservation.held&after=17.3&limit=9"
    );
}
