//! Connections over real sockets: kept alive, refused, drained.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::http::testing::{Answering, Fake, service};

const RESERVE: &str = r#"{"cart_id":"c-1","items":[{"sku":"PS5","qty":2}]}"#;

struct Server {
    address: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    connections: Arc<Connections>,
}

async fn start(fake: Fake) -> Server {
    start_seated(fake, 1_000, 1_000).await
}

/// With so many usual seats, and so many of operators.
async fn start_seated(fake: Fake, usual: usize, of_operators: usize) -> Server {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel();
    let service = service(&Arc::new(fake));
    let connections = Arc::clone(&service.connections);
    let seats = Seats::of(usual, of_operators, Arc::clone(&connections));
    let served = tokio::spawn(serve_seated(listener.into(), service, seats, async {
        let _ = stopped.await;
    }));
    Server { address, stop, served, connections }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(&server.address).await.unwrap()
}

async fn send_reserve(stream: &mut TcpStream) {
    let length = RESERVE.len();
    let head = format!(
        "POST /api/checkout/reserve HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}"
    );
    stream.write_all(format!("{head}\r\n\r\n{RESERVE}").as_bytes()).await.unwrap();
}

/// What arrives until `end` is in it, or the connection ends.
async fn receive(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while !text.contains(end) {
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => text.push_str(std::str::from_utf8(&chunk[..read]).unwrap()),
            _ => break,
        }
    }
    text
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call() {
    let server = start(Fake::default()).await;
    let mut stream = connect(&server).await;
    for _ in 0..3 {
        send_reserve(&mut stream).await;
        let answer = receive(&mut stream, "\"fencing_token\":42}").await;
        assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    }
}

/// Time stands still here, so a drain that waits for its deadline is told apart from one that does not need to.
#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let server = start(Fake::default()).await;
    let mut used = connect(&server).await;
    send_reserve(&mut used).await;
    receive(&mut used, "\"fencing_token\":42}").await;
    let mut unused = connect(&server).await;
    server.stop.send(()).unwrap();
    assert_eq!(receive(&mut used, "never").await, "");
    assert_eq!(receive(&mut unused, "never").await, "");
    server.served.await.unwrap();
    assert!(TcpStream::connect(&server.address).await.is_err());
}

#[tokio::test]
async fn a_call_in_flight_is_finished_but_not_waited_for_for_ever() {
    let server = start(Fake { answer: Answering::Never, ..Fake::default() }).await;
    let mut stream = connect(&server).await;
    send_reserve(&mut stream).await;
    // The call is in flight once the fake was asked; a second answer on another connection says that much.
    let mut other = connect(&server).await;
    other.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    receive(&mut other, "live\"}").await;
    server.stop.send(()).unwrap();
    tokio::time::pause();
    server.served.await.unwrap();
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_refused_unread() {
    let server = start(Fake::default()).await;
    let mut stream = connect(&server).await;
    let head = "POST /api/checkout/reserve HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
    let length = "content-length: 1048577\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(format!("{head}{length}").as_bytes()).await.unwrap();
    let answer = receive(&mut stream, "body_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

/// Ordinary clients send all of a call before they look for its answer. Closing at once broke their pipe.
#[tokio::test]
async fn a_refusal_before_the_body_was_read_reaches_a_client_that_sends_it_all() {
    let server = start(Fake::default()).await;
    let (reserve, json) = ("POST /api/checkout/reserve", "content-type: application/json");
    for (line, more, bytes, status) in [
        (reserve, json, 2 << 20, "413"),
        ("POST /api/batch", json, 40 << 20, "413"),
        (reserve, "content-type: text/plain", 1 << 20, "415"),
        (reserve, "content-type: application/json\r\nhost: b", 1 << 20, "400"),
        ("POST /api/nothing", json, 8 << 20, "404"),
        ("PATCH /api/inventory", json, 8 << 20, "405"),
    ] {
        let mut stream = connect(&server).await;
        let head = format!("{line} HTTP/1.1\r\nhost: a\r\n{more}\r\ncontent-length: {bytes}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; bytes]).await.unwrap();
        let told = receive(&mut stream, "never").await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {told}");
        assert!(told.contains("connection: close\r\n") && told.ends_with('}'), "{line}: {told}");
    }
}

/// Else every client that is refused in an overload would connect anew.
#[tokio::test]
async fn a_refusal_of_a_small_body_keeps_the_connection() {
    let server = start(Fake::default()).await;
    let mut stream = connect(&server).await;
    for _ in 0..3 {
        let head = "POST /api/nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n";
        stream.write_all(format!("{head}123456789").as_bytes()).await.unwrap();
        let told = receive(&mut stream, "\"not_found\"").await;
        assert!(told.starts_with("HTTP/1.1 404 ") && !told.contains("connection: close"), "{told}");
    }
}

async fn wait_until_open(server: &Server, connections: u64) {
    while server.connections.figures().open != connections {
        sleep(Duration::from_millis(2)).await;
    }
}

/// Those who look after the node still get in; others are told at once, and ask another node.
#[tokio::test]
async fn where_all_seats_are_taken_operators_are_answered_and_others_refused() {
    let server = start_seated(Fake::default(), 1, 1).await;
    let mut seated = connect(&server).await;
    send_reserve(&mut seated).await;
    receive(&mut seated, "\"fencing_token\":42}").await;
    for (line, status) in [
        ("GET /livez", "200"),
        ("GET /readyz", "200"),
        ("GET /metrics", "200"),
        ("GET /api/inventory/PS5", "503"),
        ("POST /api/checkout/reserve", "503"),
    ] {
        let mut stream = connect(&server).await;
        let more = "connection: keep-alive\r\ncontent-length: 0";
        stream.write_all(format!("{line} HTTP/1.1\r\nhost: a\r\n{more}\r\n\r\n").as_bytes()).await.unwrap();
        let told = receive(&mut stream, "never").await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {told}");
        assert!(told.contains("connection: close\r\n"), "{line}: {told}");
        assert_eq!(told.contains("\"code\":\"overloaded\""), status == "503", "{line}: {told}");
        drop(stream);
        wait_until_open(&server, 1).await;
    }
    let crowded = connect(&server).await;
    wait_until_open(&server, 2).await;
    let mut too_many = connect(&server).await;
    assert_eq!(receive(&mut too_many, "never").await, "", "closed at once");
    drop(seated);
    wait_until_open(&server, 1).await;
    let mut next = connect(&server).await;
    send_reserve(&mut next).await;
    let answer = receive(&mut next, "\"fencing_token\":42}").await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    drop(crowded);
    let figures = server.connections.figures();
    assert_eq!((figures.open_max, figures.crowded, figures.closed), (1, 6, 1));
}

const GOOD: &str = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";

/// What is answered to these bytes until the connection ends, the body of the last answer as JSON.
async fn refused(server: &Server, bytes: &str) -> (String, serde_json::Value) {
    let mut stream = connect(server).await;
    let (mut from, mut to) = stream.split();
    let mut told = Vec::new();
    // The server may close before it has read everything.
    let _ = tokio::join!(to.write_all(bytes.as_bytes()), from.read_to_end(&mut told));
    let told = String::from_utf8(told).unwrap();
    let (head, body) = told.rsplit_once("\r\n\r\n").unwrap_or_else(|| panic!("{bytes:.60}: {told}"));
    let length = format!("content-length: {}\r\n", body.len());
    assert!(head.contains(&length) && head.contains("application/problem+json"), "{bytes:.60}: {told}");
    assert!(head.contains("connection: close\r\n"), "{told}");
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_refused_with_a_problem() {
    let server = start(Fake::default()).await;
    let head = |more: &str| format!("GET /livez HTTP/1.1\r\nhost: a\r\n{more}\r\n");
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (bytes, status, field) in [
        (head(&many), 431, "headers"),
        (head(&format!("x: {}\r\n", "y".repeat(HEAD_BYTES_MAX))), 431, "headers"),
        (head(&format!("x: {}\r\n", "y".repeat(1 << 20))), 431, "headers"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)), 414, "uri"),
        (head("x y: 1\r\n"), 400, "request"),
        (head("content-length: -1\r\n"), 400, "request"),
        (head("content-length: 1\r\ncontent-length: 2\r\n"), 400, "request"),
        (head("transfer-encoding: gzip\r\n"), 400, "request"),
        ("nonsense\r\n\r\n".to_owned(), 400, "request"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "request"),
        ("GET /a b HTTP/1.1\r\n\r\n".to_owned(), 400, "request"),
        ("\0\0\0\0\r\n\r\n".to_owned(), 400, "request"),
        (format!("{GOOD}nonsense\r\n\r\n"), 400, "request"),
        (format!("{GOOD}{GOOD}{}", head("x y: 1\r\n")), 400, "request"),
    ] {
        let (head, told) = refused(&server, &bytes).await;
        assert_eq!((&told["status"], &told["field"]), (&status.into(), &field.into()), "{bytes:.60}");
        assert_eq!((&told["code"], &told["executed"]), (&"invalid_request".into(), &"no".into()));
        let good = head.matches("HTTP/1.1 200 OK").count();
        assert_eq!(good, bytes.matches(GOOD).count(), "what came before it is answered: {head}");
    }
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = start(Fake::default()).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await.unwrap();
    let told = receive(&mut stream, "never").await;
    assert!(told.starts_with("HTTP/1.0 200 OK\r\n") && told.ends_with("{\"status\":\"live\"}"), "{told}");
}

/// Neither is a path of ours, and the first is no path at all.
#[tokio::test]
async fn addresses_of_other_forms_are_no_routes() {
    let server = start(Fake::default()).await;
    for (line, status) in [
        ("CONNECT a:1 HTTP/1.1", "404"),
        ("OPTIONS * HTTP/1.1", "404"),
        ("GET http://a/livez HTTP/1.1", "200"),
    ] {
        let mut stream = connect(&server).await;
        let head = format!("{line}\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let told = receive(&mut stream, "never").await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {told}");
    }
}
