//! The client against scripted nodes on real sockets: each connection's fate and each answer is prescribed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a broken script ends the test")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::api::{CommitRequest, Executed, PutSkuRequest, ReservationState, ReserveRequest};
use client::{Client, Error, Tries};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a scripted node does with one request.
#[derive(Clone)]
enum Deed {
    /// Answers with that status, those further header lines and that body.
    Answer(u16, &'static str, String),
    /// Reads the request and closes the connection.
    Drop,
    /// Reads the request, answers half and closes the connection.
    Break,
    /// Reads the request and never answers.
    Hang,
}

/// A node that does as its script says, request by request, and notes what it was sent.
struct Node {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Node {
    async fn new(script: impl IntoIterator<Item = Deed>) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let notes = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), notes.clone()));
            }
        });
        Node { address, heard }
    }

    /// An address at which nothing listens.
    async fn dead() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn keys(&self) -> Vec<String> {
        self.heard().iter().map(|request| header(request, "idempotency-key")).collect()
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<VecDeque<Deed>>>, heard: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut stream).await {
        heard.lock().unwrap().push(request);
        let deed = script.lock().unwrap().pop_front().expect("the script is too short");
        match deed {
            Deed::Answer(status, headers, body) => {
                let length = body.len();
                let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
            Deed::Drop => return,
            Deed::Break => {
                stream.write_all(b"HTTP/1.1 201 X\r\ncontent-length: 99\r\n\r\n{").await.unwrap();
                return;
            }
            Deed::Hang => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").parse().unwrap_or(0);
            if body.len() >= length {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn header(request: &str, name: &str) -> String {
    let lines = request.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

fn held() -> Deed {
    let body = r#"{"reservation_id":"res_1","state":"held","cart_id":"c","items":[{"sku":"PS5","qty":1}],
        "expires_in":300,"expires_at":"2026-11-22T10:05:00.000Z","created_at":"2026-11-22T10:00:00.000Z",
        "fencing_token":42,"a_field_of_tomorrow":[1]}"#;
    Deed::Answer(201, "lastunit-sequence: 9\r\nidempotency-replayed: true\r\n", body.to_owned())
}

fn problem(status: u16, headers: &'static str, code: &str, retryable: bool, executed: &str) -> Deed {
    let body = format!(
        r#"{{"type":"about:blank","title":"t","status":{status},"detail":"d","code":"{code}",
            "retryable":{retryable},"executed":"{executed}","oldest":5}}"#
    );
    Deed::Answer(status, headers, body)
}

fn cart() -> ReserveRequest {
    ReserveRequest::one("c", "PS5", 1)
}

/// A client that backs off shortly, and asks the first address first.
fn client<const N: usize>(addresses: [&str; N]) -> Client {
    let short = Duration::from_millis(2);
    Client::builder().backoff(short, short).build(addresses).unwrap().prefer(0)
}

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
    let third = Node::new([problem(503, "retry-after: 0\r\n", "no_leader", true, "no"), held()]).await;
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
        assert!(matches!(&error, Error::Unknown(e) if e.idempotency_key == "k"), "{error}");
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
    let request =
        PutSkuRequest { on_hand: 1, safety_stock: None, max_per_customer: None, on_shortfall: None };
    client([&node.address]).put_sku("../x?y", &request).await.unwrap_err();
    assert!(node.heard()[0].starts_with("PUT /api/inventory/..%2Fx%3Fy HTTP/1.1\r\n"), "{}", node.heard()[0]);
}
