//! The change feed as server-sent events (WHATWG HTML, section 9.2).
//!
//! ```text
//!   connection has room --> next chunk <-- what was read already
//!                              \--------- nothing left: read a page of this node's own state
//!                                             \-- at the end: wait for a later state, 15 s of silence, or the drain
//! ```
//!
//! Pulled, never pushed: a page is read when the connection took the last one. So a reader that is slow, or gone, costs
//! its connection and one page; where it is so slow that events expire under it, it is told so and let go. One whose
//! token was revoked gets no event more.
//!
//! A reader may come from a node that was ahead of this one: its place is then after the last event here, and it waits
//! until this node has come there.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use futures_util::stream::unfold;
use storage::inventory::event::{EventPage, EventsExpired};
use tokio::time::sleep;

use super::cloud_event::CloudEvent;
use super::events::{self, Feed, text};
use super::limits::{STREAM_PAGE_EVENTS, STREAM_SILENCE_MAX};
use super::problem::Problem;
use super::reply::to_json;
use super::store::Consistency;
use super::watch::Reader;
use super::{Api, Store, reply};
use crate::auth::Grant;

/// The media type of server-sent events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// How long a reader whose connection ended is to wait before it comes again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Opens a stream, or refuses it: too many are open, or what it asks for is no longer kept.
pub(super) fn open<S: Store>(api: Arc<Api<S>>, feed: Feed, grant: Grant) -> Result<Response, Problem> {
    let reader = api.events.watch.stream(&api.store).ok_or_else(reply::overloaded)?;
    let read = api.store.read_stale(|inventory| feed.page(inventory, 1));
    if let Err(gone) = read.value {
        return Ok(reply::refused(&read, Consistency::Linearizable, events::expired(gone)));
    }
    let hello = Bytes::from(format!("retry: {RETRY_MS}\n\n"));
    let stream = Stream { api, feed, grant, reader, hello: Some(hello), ended: false };
    let chunks = unfold(stream, async |mut stream| {
        let chunk = stream.next().await?;
        Some((Ok::<_, Infallible>(chunk), stream))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    Ok(response)
}

struct Stream<S> {
    api: Arc<Api<S>>,
    feed: Feed,
    /// What it was opened with; when that is granted no more, it ends.
    grant: Grant,
    reader: Reader,
    /// What comes first of all.
    hello: Option<Bytes>,
    ended: bool,
}

impl<S: Store> Stream<S> {
    /// What is to be sent next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended || !self.api.access.still_grants(&self.grant) {
            return None;
        }
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        let mut silence = pin!(sleep(STREAM_SILENCE_MAX));
        loop {
            let read = self.api.store.read_stale(|inventory| self.feed.page(inventory, STREAM_PAGE_EVENTS));
            let page = match read.value {
                Ok(page) => page,
                Err(gone) => return Some(self.end(gone)),
            };
            self.feed.after = page.next.or(self.feed.after);
            if !page.events.is_empty() {
                return Some(self.chunk(&page));
            }
            if !page.at_end {
                // Long stretches that nobody asked for are no reason to keep others from this thread.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = self.reader.past(read.sequence) => {
                    if !self.api.access.still_grants(&self.grant) {
                        return None;
                    }
                }
                () = &mut silence => return Some(self.sign_of_life()),
                () = self.api.events.drain.begun() => return None,
            }
        }
    }

    fn chunk(&self, page: &EventPage) -> Bytes {
        let mut chunk = Vec::new();
        for event in &page.events {
            let event = CloudEvent::new(event, &self.api.events.source);
            let (id, kind) = event.id_and_type();
            write_event(&mut chunk, Some(id), kind, &to_json(&event));
        }
        chunk.into()
    }

    /// A comment, and how far the feed was looked through: so the reader's place moves on, too, while nothing happens
    /// that it asked for.
    fn sign_of_life(&self) -> Bytes {
        format!(": still here\nid: {}\n\n", text(self.feed.after)).into()
    }

    /// The last words to a reader that was too slow.
    fn end(&mut self, gone: EventsExpired) -> Bytes {
        self.ended = true;
        let mut chunk = Vec::new();
        write_event(&mut chunk, None, "lastunit.events_expired", &to_json(events::expired(gone).body()));
        chunk.into()
    }
}

/// One event. JSON has no line breaks of its own, so its data is one line.
fn write_event(into: &mut Vec<u8>, id: Option<&str>, kind: &str, json: &[u8]) {
    if let Some(id) = id {
        into.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    into.extend_from_slice(format!("event: {kind}\ndata: ").as_bytes());
    into.extend_from_slice(json);
    into.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
