//! Following the change feed, whatever node dies.
//!
//! ```text
//!              GET /api/events, Last-Event-ID: 17.3
//!   waiting ----------------------------------------> listening -- event 17.4 --> next() answers it
//!      ^  back-off, next node                             |
//!      +--------- closed, silent for too long, 503 -------+
//! ```
//!
//! Invariants:
//! - The cursor is the id of the last event that was answered: every connection begins just after it, so no event is
//!   missed between two of them.
//! - An event at or before the cursor is dropped, so none is answered twice, whatever a node sends.
//! - Only what another node would say as well ends it: the cursor is too old, the request is wrong. A cursor is too
//!   old only where there was one, given or from an event: without, it begins at the oldest event that is kept.
//!
//! A node sends a comment for every 15 s of silence. A connection on which even those stop is given up: its node may
//! be paused, or the way to it cut, without an end that we would hear of.

mod sse;

use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::Tried;
use crate::api::{Event, Problem};
use crate::builder::Client;
use crate::error::{Error, NotExecuted, Refusal, Tries};
use crate::message::{Message, add_query};
use crate::retry;
use crate::transport::{Unopened, lost, receive};

use sse::Parser;

/// Three comments of a node.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The content type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// The message that says: what you want next is gone.
const EXPIRED: &str = "lastunit.events_expired";

/// Every event from a place of the feed on: in order, without a gap and without a repeat, from whatever node answers.
#[derive(Debug)]
pub struct Follow {
    client: Client,
    path: String,
    cursor: Option<String>,
    /// Whether the cursor says no more than where the oldest event was looked for.
    from_oldest: bool,
    silence_max: Duration,
    patience: Option<Duration>,
    connection: Option<Connection>,
    /// The node of the last connection, or of the try to have one.
    node: Option<usize>,
    /// Connections, and tries to have one, since an event came or a connection lasted: a node that takes connections
    /// only to end them is asked ever less often.
    tries: Tries,
    /// No connection is tried before.
    due: Instant,
    /// Since when there is no connection that anything was heard on.
    lost_since: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    opened: Instant,
    body: Incoming,
    parser: Parser,
}

impl Follow {
    pub(crate) fn new(client: Client, path: String, after: Option<String>) -> Follow {
        let now = Instant::now();
        Follow {
            client,
            path,
            from_oldest: after.is_none(),
            cursor: after,
            silence_max: SILENCE_MAX,
            patience: None,
            connection: None,
            node: None,
            tries: Tries::default(),
            due: now,
            lost_since: Some(now),
        }
    }

    /// Gives a connection up on which nothing came for so long; 45 s unless set. A node speaks every 15 s at least.
    pub fn silence_max(mut self, silence_max: Duration) -> Follow {
        self.silence_max = silence_max;
        self
    }

    /// Ends with [`Error::NotExecuted`] where no node can be listened to for so long. Unless set, it never gives up.
    pub fn patience(mut self, patience: Duration) -> Follow {
        self.patience = Some(patience);
        self
    }

    /// How far the feed was read: what [`Events::after`](crate::Events::after) takes. `None` before the first event.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The next event, when there is one. A call that is given up, as `select!` does, loses no event.
    ///
    /// # Errors
    /// [`Error::Refused`] with `events_expired` where what comes after a cursor is not kept any more, and with
    /// `invalid_request` where the filter is wrong. [`Error::Invalid`] where what answers is no node.
    /// [`Error::NotExecuted`] once the patience is over.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            let message = match &mut self.connection {
                Some(connection) => connection.parser.pop(),
                None => {
                    self.connect().await?;
                    continue;
                }
            };
            match message {
                Some(message) => {
                    if let Some(event) = self.take(message)? {
                        return Ok(event);
                    }
                }
                None => self.hear().await?,
            }
        }
    }

    /// The events as a stream, which ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, Error>> + Send {
        unfold(Some(self), async |follow| {
            let mut follow = follow?;
            let next = follow.next().await;
            let on = next.is_ok().then_some(follow);
            Some((next, on))
        })
    }

    /// Asks the next node, not before it is due.
    async fn connect(&mut self) -> Result<(), Error> {
        sleep_until(self.due).await;
        let message = self.message()?;
        let Client { transport, route, policy } = self.client.clone();
        let node = transport.nodes.pick(route, self.node);
        self.node = Some(node);
        self.tries.made += 1;
        let opened = timeout(policy.try_time_max, transport.open_message(node, &message)).await;
        let opened = opened.unwrap_or_else(|_| {
            let address = transport.nodes.address(node);
            Err(Unopened {
                sent: true,
                why: format!("{address}: no answer within {:?}", policy.try_time_max),
            })
        });
        transport.nodes.note(node, opened.as_ref().map_or_else(|unopened| unopened.sent, |_| true));
        match opened {
            Ok(response) if is_stream(&response) => {
                let (opened, body) = (Instant::now(), response.into_body());
                self.connection = Some(Connection { opened, body, parser: Parser::default() });
                Ok(())
            }
            Ok(response) => {
                let told = timeout(policy.try_time_max, receive(response)).await;
                self.refused(told.unwrap_or_else(|_| lost("its answer does not end".to_owned())))
            }
            Err(unopened) => self.refused(unopened.into()),
        }
    }

    fn message(&self) -> Result<Message, Error> {
        let mut path = self.path.clone();
        let message = match &self.cursor {
            // Both say the same. The header is what the standard has; the query is what an access log shows.
            Some(cursor) => {
                add_query(&mut path, "after", cursor);
                Message::read(path).with_header(HeaderName::from_static("last-event-id"), cursor)?
            }
            None => Message::read(path),
        };
        message.with_header(ACCEPT, EVENT_STREAM)
    }

    /// Waits for more of the connection.
    async fn hear(&mut self) -> Result<(), Error> {
        let Some(Connection { opened, body, parser }) = &mut self.connection else { return Ok(()) };
        let broken = match timeout(self.silence_max, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.data_ref().map_or(Ok(()), |bytes| parser.feed(bytes)) {
                Ok(()) => {
                    self.lost_since = None;
                    if opened.elapsed() >= self.client.policy.backoff_max {
                        self.tries = Tries::default();
                    }
                    return Ok(());
                }
                Err(sse::TooLong) => "a message without an end".to_owned(),
            },
            Ok(Some(Err(cause))) => format!("the connection broke: {cause}"),
            Ok(None) => "the node ended the stream".to_owned(),
            Err(_) => format!("silent for {:?}", self.silence_max),
        };
        self.again(broken, None, None)
    }

    /// What a message says: an event, that there will be none, or nothing.
    fn take(&mut self, message: sse::Message) -> Result<Option<Event>, Error> {
        if message.event == EXPIRED {
            self.connection = None;
            return self.pass_over(expired(&message.data, self.tries)).map(|()| None);
        }
        let event: Option<Event> = match message.data.is_empty() {
            true => None,
            false => {
                Some(serde_json::from_str(&message.data).map_err(|cause| self.nonsense(&cause, &message))?)
            }
        };
        let Some(id) = event.as_ref().map(|event| event.id.clone()).or(message.id) else { return Ok(None) };
        let Some(position) = position(&id) else { return Err(self.nonsense(&"no place in a feed", &id)) };
        let news = self.cursor.as_deref().and_then(self::position).is_none_or(|last| position > last);
        if news {
            self.cursor = Some(id);
            self.from_oldest = false;
            self.tries = Tries::default();
        }
        Ok(event.filter(|_| news))
    }

    /// What an answer says that is no stream.
    fn refused(&mut self, tried: Tried) -> Result<(), Error> {
        match tried {
            Tried::Postponed(reply, problem) => {
                let why = format!("{} {}: {}", problem.status, problem.code, problem.detail);
                self.again(why, reply.retry_after_seconds, Some(problem))
            }
            Tried::NotReached(why) => self.again(why, None, None),
            Tried::Unanswered { why, retry_after_seconds } => self.again(why, retry_after_seconds, None),
            Tried::Answered(reply) | Tried::Invalid(reply) => {
                let why = format!("no event stream: {}", retry::excerpt(&reply.body));
                Err(retry::invalid(reply.status, why, self.tries, &READ))
            }
            Tried::Refused(..) => match retry::end(tried, self.tries, &READ) {
                Ok(_) => Ok(()),
                Err(refusal) => self.pass_over(refusal),
            },
        }
    }

    /// Goes on at the oldest event that is kept, where nobody asked for an older one. Each time it is a later one:
    /// else nothing would end this.
    fn pass_over(&mut self, error: Error) -> Result<(), Error> {
        let Error::Refused(refusal) = &error else { return Err(error) };
        let place = |cursor: &str| position(cursor);
        let last = self.cursor.as_deref().and_then(place);
        match refusal.resume_after() {
            Some(oldest) if self.from_oldest && place(oldest) > last => {
                self.cursor = Some(oldest.to_owned());
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Sets the next try, unless patience is over.
    fn again(
        &mut self,
        why: String,
        retry_after_seconds: Option<u64>,
        problem: Option<Problem>,
    ) -> Result<(), Error> {
        self.connection = None;
        let now = Instant::now();
        let Client { transport, route, policy } = &self.client;
        let wait = match retry_after_seconds {
            Some(seconds) => Duration::from_secs(seconds.min(60)) + policy.backoff(self.tries.made),
            // The other nodes are asked at once, before the first wait.
            None if (self.tries.made as usize) < transport.nodes.reach(*route) => Duration::ZERO,
            None => policy.backoff(self.tries.made),
        };
        self.due = now + wait;
        let lost_since = *self.lost_since.get_or_insert(now);
        match self.patience.is_some_and(|patience| self.due - lost_since > patience) {
            true => Err(Error::NotExecuted(Box::new(NotExecuted { why, problem, tries: self.tries }))),
            false => Ok(()),
        }
    }

    fn nonsense(&mut self, cause: &dyn std::fmt::Display, told: &dyn std::fmt::Debug) -> Error {
        self.connection = None;
        let told = format!("{told:?}");
        let why = format!("{cause}, in: {}", retry::excerpt(told.as_bytes()));
        retry::invalid(200, why, self.tries, &READ)
    }
}

/// Following changes nothing.
const READ: retry::Call<'static> = retry::Call { key: None, writes: false };

fn is_stream(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    response.status() == 200 && kind.is_some_and(|kind| kind.starts_with(EVENT_STREAM))
}

fn expired(data: &str, tries: Tries) -> Error {
    match serde_json::from_str::<Problem>(data) {
        Ok(problem) => {
            Error::Refused(Box::new(Refusal { problem, sequence: None, retry_after_seconds: None, tries }))
        }
        Err(cause) => retry::invalid(200, format!("{EXPIRED}: {cause}"), tries, &READ),
    }
}

/// `17.3` as its two numbers; `17` is the place after all of command 17.
fn position(id: &str) -> Option<(u64, u32)> {
    match id.split_once('.') {
        Some((sequence, index)) => Some((sequence.parse().ok()?, index.parse().ok()?)),
        None => Some((id.parse().ok()?, u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_the_feed_are_ordered() {
        let sorted = ["0", "1.0", "1.9", "1.10", "1", "2.0", "10.0"].map(|id| position(id).unwrap());
        assert!(sorted.is_sorted());
        for id in ["", ".", "1.", ".1", "1.2.3", "-1.0", "a"] {
            assert_eq!(position(id), None, "{id:?}");
        }
    }
}
