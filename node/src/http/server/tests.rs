//! Connections over real sockets: kept alive, refused, drained.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::http::testing::{Fake, router};

const RESERVE: &str = r#"{"cart_id":"c-1","items":[{"sku":"PS5","qty":2}]}"#;

struct Server {
    address: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

async fn start(fake: Fake) -> Server {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel();
    let router = router(&Arc::new(fake));
    let served = tokio::spawn(serve(listener, router, async {
        let _ = stopped.await;
    }));
    Server { address, stop, served }
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
    let server = start(Fake { answer: None, ..Fake::default() }).await;
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
