//! Server-sent events, read as a browser would: blocks of lines, each with an id, a type and data.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything of a stream is waited for: longer than a node is silent.
const PART_TIME_MAX: Duration = Duration::from_secs(40);

/// A stream that is open.
pub(crate) struct Stream {
    body: Incoming,
    text: String,
    connection: JoinHandle<()>,
}

/// What ends with an empty line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Block {
    /// Where the reader is to go on.
    pub(crate) id: Option<String>,
    /// What happened.
    pub(crate) kind: Option<String>,
    /// The rest of it; empty where nothing happened.
    pub(crate) data: String,
}

/// Why there is no block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The node ended the stream in order.
    Orderly,
    /// The connection broke off.
    Broken,
}

/// Opens a stream; `Err` is another answer than one, or none at all.
pub(crate) async fn open(
    address: &str,
    path: &str,
    last_event_id: Option<&str>,
) -> Result<Stream, Option<(u16, Value)>> {
    let socket = TcpStream::connect(address).await.map_err(|_| None)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.map_err(|_| None)?;
    let connection = tokio::spawn(async move { drop(connection.await) });
    let request = Request::get(path).header("host", "lastunit").header("accept", "text/event-stream");
    let request = last_event_id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
    let response =
        sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.map_err(|_| None)?;
    let status = response.status().as_u16();
    if status != 200 {
        let body = response.into_body().collect().await.map_err(|_| None)?.to_bytes();
        return Err(Some((status, serde_json::from_slice(&body).unwrap())));
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Ok(Stream { body: response.into_body(), text: String::new(), connection })
}

impl Stream {
    /// The next block, comments left out.
    pub(crate) async fn next(&mut self) -> Result<Block, End> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = Block::of(block);
                self.text = rest.to_owned();
                return Ok(block);
            }
            let frame = timeout(PART_TIME_MAX, self.body.frame()).await;
            match frame.expect("a stream gives signs of life") {
                Some(Ok(frame)) => {
                    let bytes = frame.into_data().unwrap_or_default();
                    self.text.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Some(Err(_)) => return Err(End::Broken),
                None => return Err(End::Orderly),
            }
        }
    }

    /// The next block that tells of something.
    pub(crate) async fn next_event(&mut self) -> Result<Block, End> {
        loop {
            let block = self.next().await?;
            if !block.data.is_empty() {
                return Ok(block);
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Block {
    fn of(text: &str) -> Block {
        let mut block = Block::default();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => block.id = Some(id.to_owned()),
                Some(("event", kind)) => block.kind = Some(kind.to_owned()),
                Some(("data", data)) => block.data.push_str(data),
                Some(("" | "retry", _)) => {}
                _ => panic!("{line:?} is no line of an event stream"),
            }
        }
        block
    }
}
