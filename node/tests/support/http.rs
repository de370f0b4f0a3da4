//! One HTTP call as raw bytes, for what no client would send, and for headers that a client hides.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a call may take: longer than a node takes to give up.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The names are in lower case.
    headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Reply { status, headers, body } = self;
        write!(f, "{status} {headers:?} {}", String::from_utf8_lossy(body))
    }
}

impl Reply {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem's code. Panics unless this is a whole problem document that agrees with its own status.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: client::api::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status, "{self:?}");
        assert!(
            !problem.title.is_empty() && !problem.detail.is_empty() && !problem.kind.is_empty(),
            "{self:?}"
        );
        problem.code.into_owned()
    }

    /// Reads an answer that ends with its connection, or as its length says.
    fn parse(bytes: &[u8]) -> Option<Reply> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = bytes[end + 4..].to_vec();
        Some(Reply { status, headers, body })
    }
}

/// A call with a body and these headers, each ended by `\r\n`. Its connection is its own.
pub(crate) async fn call(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: lastunit\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    send(address, &[head.as_bytes(), body].concat()).await
}

/// A call with a JSON body.
pub(crate) async fn json(address: &str, method: &str, path: &str, body: &str) -> Reply {
    let headers = "Content-Type: application/json\r\n";
    call(address, method, path, headers, body.as_bytes()).await
}

/// A call with a JSON body and an idempotency key.
pub(crate) async fn keyed(address: &str, method: &str, path: &str, key: &str, body: &str) -> Reply {
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    call(address, method, path, &headers, body.as_bytes()).await
}

/// A read.
pub(crate) async fn get(address: &str, path: &str) -> Reply {
    let head = format!("GET {path} HTTP/1.1\r\nHost: lastunit\r\nConnection: close\r\n\r\n");
    send(address, head.as_bytes()).await
}

/// A call at a node that may be killed meanwhile: `None` where it gives no whole answer.
pub(crate) async fn try_call(address: &str, method: &str, path: &str, body: &str) -> Option<Reply> {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: lastunit\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let stream = TcpStream::connect(address).await.ok()?;
    let told = timeout(CALL_TIME_MAX, exchange(stream, text.as_bytes())).await.ok()?;
    let reply = Reply::parse(&told)?;
    let whole = reply.header("content-length").is_none_or(|length| length == reply.body.len().to_string());
    whole.then_some(reply)
}

/// These bytes, and whatever is answered until the connection ends.
pub(crate) async fn send(address: &str, bytes: &[u8]) -> Reply {
    let stream = TcpStream::connect(address).await.expect("the node accepts connections");
    let told = timeout(CALL_TIME_MAX, exchange(stream, bytes)).await;
    let told = told.unwrap_or_else(|_| panic!("{address} did not answer within {CALL_TIME_MAX:?}"));
    Reply::parse(&told).unwrap_or_else(|| panic!("no HTTP answer: {:?}", String::from_utf8_lossy(&told)))
}

async fn exchange(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut told = Vec::new();
    let (mut from, mut to) = stream.split();
    // A node that refuses a call early answers before it was sent whole, and may then reset the connection.
    let _ = tokio::join!(to.write_all(bytes), from.read_to_end(&mut told));
    told
}
