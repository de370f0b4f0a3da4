//! `GET /api/events`: the change feed, as pages and as a stream.
//!
//! ```text
//!   address, headers --> Feed { after, filter } --> page     one read: at most `limit` events, as JSON
//!                                              \--> stream   read after read: server-sent events
//! ```
//!
//! A place in the feed is written `N.M`: the event M of command N. `N` alone is the end of command N, and `0` the
//! beginning of the history.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header::{ACCEPT, HeaderValue, VARY};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use raft::Read;
use serde::Serialize;
use storage::inventory::Inventory;
use storage::inventory::event::{EventFilter, EventKinds, EventPage, EventPosition, EventsExpired};

use super::cloud_event::{CloudEvent, kinds_of};
use super::drain::Drain;
use super::problem::{self, Problem, invalid};
use super::query::Query;
use super::reply::Fresh;
use super::store::Consistency;
use super::watch::Watch;
use super::{Api, Shared, Store, pages, parse, reply, stream};
use crate::auth::Grant;

/// What the calls of the feed, and those that wait for it, share.
pub(crate) struct Events {
    /// What every event names as its source.
    pub(super) source: String,
    /// Wakes those who wait.
    pub(super) watch: Watch,
    /// Ends what would wait for long.
    pub(super) drain: Drain,
}

impl Events {
    /// The feed of that cluster.
    pub(crate) fn of(cluster_name: &str) -> Events {
        Events { source: source(cluster_name), watch: Watch::default(), drain: Drain::default() }
    }
}

/// Which part of the feed is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Feed {
    /// After this event; `None`: from the beginning of the history.
    pub(super) after: Option<EventPosition>,
    /// Which events are wanted.
    pub(super) filter: EventFilter,
}

/// `GET /api/events`: what happened, in order; as a page or a stream, by what the client accepts.
pub(crate) async fn get<S: Store>(
    State(api): Shared<S>,
    Extension(grant): Extension<Grant>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let mut response = page_or_stream(api, grant, headers, uri).await.into_response();
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

async fn page_or_stream<S: Store>(
    api: Arc<Api<S>>,
    grant: Grant,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    if wants_stream(&headers) {
        let query = Query::of(&uri, &["after", "sku", "types"])?;
        let mut feed = Feed::of(&query)?;
        if let Some(last) = last_event_id(&headers)? {
            feed.after = last;
        }
        return stream::open(api, feed, grant);
    }
    let query = Query::of(&uri, &["after", "sku", "types", "limit", "consistency"])?;
    let (feed, limit, consistency) = (Feed::of(&query)?, query.limit()?, query.consistency()?);
    let read = api.read(consistency, |inventory| feed.page(inventory, limit)).await?;
    match &read.value {
        Ok(page) => Ok(answer(&feed, page, &read, consistency, &api.events.source)),
        Err(gone) => Ok(reply::refused(&read, consistency, expired(*gone))),
    }
}

impl Feed {
    fn of(query: &Query) -> Result<Feed, Problem> {
        let after = query.get("after").map(|text| position("after", text)).transpose()?;
        let sku = query.get("sku").map(|name| parse::sku("sku", name)).transpose()?;
        let kinds = query.get("types").map(kinds).transpose()?;
        Ok(Feed { after: after.flatten(), filter: EventFilter { sku, kinds } })
    }

    /// The next page.
    pub(super) fn page(&self, inventory: &Inventory, limit: usize) -> Result<EventPage, EventsExpired> {
        let mut page = inventory.events(self.after, &self.filter, limit)?;
        pages::end_events(&mut page);
        Ok(page)
    }
}

/// What was asked for is no longer kept: the refusal, with the cursor that reads on from the oldest event that is.
pub(super) fn expired(expired: EventsExpired) -> Problem {
    let detail =
        "Events after this one are no longer kept; read on after resume_after, and read the records anew.";
    problem::EVENTS_EXPIRED
        .problem(detail)
        .with("oldest", expired.oldest.map(|oldest| text(Some(oldest))))
        .with("resume_after", text(Some(expired.resume_after)))
}

/// A place in the feed, as clients read it.
pub(super) fn text(position: Option<EventPosition>) -> String {
    match position {
        None => "0".to_owned(),
        Some(EventPosition { sequence, index: u32::MAX }) => sequence.to_string(),
        Some(EventPosition { sequence, index }) => format!("{sequence}.{index}"),
    }
}

/// A place in the feed, as clients write it.
fn position(field: &str, text: &str) -> Result<Option<EventPosition>, Problem> {
    let (sequence, index) = text.split_once('.').unwrap_or((text, ""));
    let index = match text.contains('.') {
        true => number(index).and_then(|index| u32::try_from(index).ok()),
        false => Some(u32::MAX),
    };
    match (number(sequence), index) {
        (Some(0), Some(_)) => Ok(None),
        (Some(sequence), Some(index)) => Ok(Some(EventPosition { sequence, index })),
        _ => Err(invalid(field, "Must be an event's id, a command's sequence, or 0 for the beginning.")),
    }
}

/// Digits and nothing else: Rust's own parser takes a plus, too.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn kinds(types: &str) -> Result<EventKinds, Problem> {
    let mut wanted = EventKinds::default();
    for name in types.split(',') {
        let Some(mut kinds) = kinds_of(name.trim()) else {
            let detail = "Must be types of events, or reservation, or stock, with commas between them.";
            return Err(invalid("types", detail));
        };
        wanted.reservations.append(&mut kinds.reservations);
        wanted.stock.append(&mut kinds.stock);
    }
    Ok(wanted)
}

/// Whether the caller asks for server-sent events.
fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(stream::EVENT_STREAM));
        named && !parts.any(is_no)
    })
}

/// Whether a parameter of a media range is the weight 0: the client does not want it (RFC 9110, section 12.4.2).
fn is_no(parameter: &str) -> bool {
    let weight = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    weight.is_some_and(|(_, weight)| weight.trim().parse() == Ok(0.0))
}

/// Where a reader that comes again left off.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Option<EventPosition>>, Problem> {
    let Some(given) = headers.get("last-event-id") else {
        return Ok(None);
    };
    // What is no text is no id either, and is refused as one.
    position("Last-Event-ID", given.to_str().unwrap_or_default()).map(Some)
}

/// A page of the feed.
#[derive(Serialize)]
struct Page<'a> {
    data: Vec<CloudEvent<'a>>,
    next_cursor: String,
}

fn answer<V>(
    feed: &Feed,
    page: &EventPage,
    read: &Read<V>,
    consistency: Consistency,
    source: &str,
) -> Response {
    let page = Page {
        data: page.events.iter().map(|event| CloudEvent::new(event, source)).collect(),
        next_cursor: text(page.next.or(feed.after)),
    };
    let mut response = reply::json(StatusCode::OK, &Fresh::new(page, read, consistency));
    reply::moment(response.headers_mut(), read, consistency);
    response
}

/// Where the feed of a cluster comes from, as events say: a URI reference.
fn source(cluster_name: &str) -> String {
    let mut source = "/clusters/".to_owned();
    for byte in cluster_name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => source.push(byte.into()),
            _ => source.push_str(&format!("%{byte:02X}")),
        }
    }
    source
}

#[cfg(test)]
mod tests;
