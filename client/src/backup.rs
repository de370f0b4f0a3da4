//! A backup as it comes in, piece by piece: it may be larger than memory.
//!
//! ```text
//!   backup(): any node makes it, which takes its time -> head of the answer: how long it is
//!   piece(), piece(), ... -> bytes, in order, until all of them are there
//! ```
//!
//! What was received of one answer is no use with another: two nodes, or one node twice, make two backups. So when a
//! connection breaks it is for the caller to begin anew.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::{Response, StatusCode};
use tokio::time::timeout;

use crate::answer::{Reply, Tried};
use crate::builder::Client;
use crate::error::{Error, NotExecuted, Tries};
use crate::message::Message;
use crate::nodes::Route;
use crate::retry::{self, Exchange};
use crate::transport::{Transport, lost, receive};

/// More than a node takes to make a backup before it begins to send it.
const MAKING: Duration = Duration::from_secs(310);

/// A node from which nothing comes for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A backup that is coming in.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    bytes: u64,
    received: u64,
    tries: Tries,
}

impl Client {
    /// The whole state of the cluster at one log entry, which reflects every command that was answered before this
    /// call: from whichever node has one first. A node takes its time to make it: the deadline of the call and of each
    /// try grow by 310 s, which is more than a node takes.
    ///
    /// # Errors
    /// As any read.
    pub async fn backup(&self) -> Result<Download, Error> {
        let Client { transport, route, mut policy } = self.clone();
        policy.deadline += MAKING;
        policy.try_time_max += MAKING;
        let message = Message::read("/api/cluster/backup".to_owned());
        let mut opening = Opening { transport: &transport, message, route, last: None, opened: None };
        let (_, tries) = retry::run(&mut opening, &policy).await?;
        match opening.opened {
            Some((bytes, body)) => Ok(Download { body, bytes, received: 0, tries }),
            None => Err(broken("the answer is no backup", tries)),
        }
    }
}

impl Download {
    /// How long it is, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece; `None` once all bytes were received.
    ///
    /// # Errors
    /// [`Error::NotExecuted`]: the node went away, or is silent for a minute. What was received is no use.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = match timeout(SILENCE_MAX, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(cause))) => return Err(self.broken(&cause.to_string())),
                Ok(None) if self.received == self.bytes => return Ok(None),
                Ok(None) => return Err(self.broken("its end did not come")),
                Err(_) => return Err(self.broken("nothing came for a minute")),
            };
            if let Ok(bytes) = frame.into_data() {
                self.received += bytes.len() as u64;
                return Ok(Some(bytes));
            }
        }
    }

    fn broken(&self, why: &str) -> Error {
        let Download { bytes, received, tries, .. } = self;
        broken(&format!("the backup broke off after {received} of {bytes} bytes: {why}"), *tries)
    }
}

fn broken(why: &str, tries: Tries) -> Error {
    Error::NotExecuted(Box::new(NotExecuted { why: why.to_owned(), problem: None, tries }))
}

/// The call, until the head of an answer is there.
struct Opening<'a> {
    transport: &'a Transport,
    message: Message,
    route: Route,
    last: Option<usize>,
    opened: Option<(u64, Incoming)>,
}

impl Opening<'_> {
    async fn open(&mut self, node: usize) -> Tried {
        match self.transport.open_message(node, &self.message).await {
            Ok(response) => self.begin(response).await,
            Err(unopened) => unopened.into(),
        }
    }

    async fn begin(&mut self, response: Response<Incoming>) -> Tried {
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (StatusCode::OK, Some(bytes)) = (response.status(), length) else {
            return receive(response).await;
        };
        let (head, body) = response.into_parts();
        self.opened = Some((bytes, body));
        Tried::Answered(Reply::new(head.status.as_u16(), &head.headers, Bytes::new()))
    }
}

impl Exchange for Opening<'_> {
    async fn once(&mut self, time_max: Duration) -> Tried {
        let node = self.transport.nodes.pick(self.route, self.last);
        self.last = Some(node);
        let tried = timeout(time_max, self.open(node)).await;
        let tried = tried.unwrap_or_else(|_| {
            lost(format!("{}: no backup within {time_max:?}", self.transport.nodes.address(node)))
        });
        self.transport.nodes.note(node, !tried.is_of_its_node());
        tried
    }

    fn key(&self) -> Option<&str> {
        None
    }

    fn writes(&self) -> bool {
        false
    }

    fn nodes(&self) -> usize {
        self.transport.nodes.reach(self.route)
    }
}
