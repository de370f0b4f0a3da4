//! Scripted nodes on real sockets: each connection's fate and each answer is prescribed.

#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::Client;
use client::api::ReserveRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a scripted node does with one request.
#[derive(Clone)]
pub(crate) enum Deed {
    /// Answers with that status, those further header lines and that body.
    Answer(u16, &'static str, String),
    /// Reads the request and closes the connection.
    Drop,
    /// Reads the request, answers half and closes the connection.
    Break,
    /// Reads the request and never answers.
    Hang,
    /// Answers with these bytes, and then with nothing more.
    Raw(String),
    /// Does the other so much later.
    Late(Duration, Box<Deed>),
}

/// A node that does as its script says, request by request, and notes what it was sent.
pub(crate) struct Node {
    /// Where it listens.
    pub(crate) address: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// A node with that script.
    pub(crate) async fn new(script: impl IntoIterator<Item = Deed>) -> Node {
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
    pub(crate) async fn dead() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    /// The requests, as they came.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Their idempotency keys.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.heard().iter().map(|request| header(request, "idempotency-key")).collect()
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<VecDeque<Deed>>>, heard: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut stream).await {
        heard.lock().unwrap().push(request);
        let mut deed = script.lock().unwrap().pop_front().expect("the script is too short");
        while let Deed::Late(after, then) = deed {
            tokio::time::sleep(after).await;
            deed = *then;
        }
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
            Deed::Raw(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                std::future::pending().await
            }
            Deed::Hang => std::future::pending().await,
            Deed::Late(..) => unreachable!("unpacked above"),
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

/// The value of a header of a request; empty where it has none.
pub(crate) fn header(request: &str, name: &str) -> String {
    let lines = request.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

/// A hold.
pub(crate) fn held() -> Deed {
    let body = r#"{"reservation_id":"res_1","state":"held","cart_id":"c","items":[{"sku":"PS5","qty":1}],
        "expires_in":300,"expires_at":"2026-11-22T10:05:00.000Z","created_at":"2026-11-22T10:00:00.000Z",
        "fencing_token":42,"a_field_of_tomorrow":[1]}"#;
    Deed::Answer(201, "lastunit-sequence: 9\r\nidempotency-replayed: true\r\n", body.to_owned())
}

/// A problem document.
pub(crate) fn problem(
    status: u16,
    headers: &'static str,
    code: &str,
    retryable: bool,
    executed: &str,
) -> Deed {
    let body = format!(
        r#"{{"type":"about:blank","title":"t","status":{status},"detail":"d","code":"{code}",
            "retryable":{retryable},"executed":"{executed}","oldest":5}}"#
    );
    Deed::Answer(status, headers, body)
}

/// A cart with one unit.
pub(crate) fn cart() -> ReserveRequest {
    ReserveRequest::one("c", "PS5", 1)
}

/// A client that backs off shortly, and asks the first address first.
pub(crate) fn client<const N: usize>(addresses: [&str; N]) -> Client {
    let short = Duration::from_millis(2);
    Client::builder().backoff(short, short).build(addresses).unwrap().prefer(0)
}
