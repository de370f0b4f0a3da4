//! `GET /api/cluster/backup`: the whole state at one log entry, as a file that is read while it goes out.
//!
//! Pulled, never pushed: a piece is read when the connection took the last one, so that a slow reader costs its
//! connection, one piece of memory, and the room on this node's disk. Its length is told before, and where the rest
//! cannot be sent the connection breaks: half a backup never looks like a whole one.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use client::api::{APPLIED_INDEX, SEQUENCE};
use futures_util::stream::unfold;
use raft::{Backup, BackupError};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::limits::BACKUP_TIME_MAX;
use super::problem::{self, Problem};
use super::query::Query;
use super::{Api, Shared, Store, reply};
use crate::auth::Grant;

/// The media type of a backup.
pub(super) const BACKUP: &str = "application/octet-stream";

/// What is said while this node makes or sends another one.
const BUSY: &str = "Not executed: this node makes or sends a backup already. Ask another one, or later.";

/// What is said where it took too long.
const TIMED_OUT: &str = "Not executed: the backup took too long and was given up.";

/// What is said where the process is to stop.
const STOPPING: &str = "Not executed: this node is stopping. Ask another one.";

/// Makes a backup, one at a time, and sends it. It takes nobody's room while it is made.
pub(crate) async fn backup<S: Store>(
    State(api): Shared<S>,
    Extension(grant): Extension<Grant>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::of(&uri, &[])?;
    let backup = make(&api).await?;
    let headers = headers(&backup);
    let sending = Sending { api, grant, backup: Arc::new(backup), offset: 0 };
    let pieces = unfold(Some(sending), async |sending| {
        let mut sending = sending?;
        match sending.next().await {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => Some((Ok(piece), Some(sending))),
            Err(why) => {
                tracing::warn!("a backup is not sent to its end: {why}");
                Some((Err(why), None))
            }
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    *response.headers_mut() = headers;
    Ok(response)
}

async fn make<S: Store>(api: &Arc<Api<S>>) -> Result<Backup, Problem> {
    let _outside = api.step_outside();
    tokio::select! {
        backup = timeout(BACKUP_TIME_MAX, api.store.backup()) => match backup {
            Ok(backup) => backup.map_err(not_made),
            Err(_) => Err(not_now(TIMED_OUT)),
        },
        () = api.events.drain.begun() => Err(not_now(STOPPING)),
    }
}

fn headers(backup: &Backup) -> HeaderMap {
    let index = backup.applied_index();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(BACKUP));
    headers.insert(CONTENT_LENGTH, backup.len().into());
    headers.insert(HeaderName::from_static(APPLIED_INDEX), index.into());
    headers.insert(HeaderName::from_static(SEQUENCE), backup.sequence().into());
    let name = HeaderValue::from_str(&format!("attachment; filename=\"lastunit-{index}.backup\""));
    if let Ok(name) = name {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    headers
}

/// A backup on its way out.
struct Sending<S> {
    api: Arc<Api<S>>,
    /// What it was asked for with; when that is granted no more, it ends.
    grant: Grant,
    backup: Arc<Backup>,
    offset: u64,
}

impl<S: Store> Sending<S> {
    /// The next piece; empty at the end.
    async fn next(&mut self) -> io::Result<Bytes> {
        if !self.api.access.still_grants(&self.grant) {
            return Err(io::Error::other("the token that it was asked for with is none any more"));
        }
        let (backup, offset) = (Arc::clone(&self.backup), self.offset);
        let piece = tokio::select! {
            piece = spawn_blocking(move || backup.piece(offset)) => piece?.map_err(io::Error::other)?,
            () = self.api.events.drain.begun() => return Err(io::Error::other("this node is stopping")),
        };
        self.offset += piece.len() as u64;
        Ok(piece.into())
    }
}

fn not_made(why: BackupError) -> Problem {
    match why {
        BackupError::Busy => not_now(BUSY),
        BackupError::NoRoom => reply::no_space(),
        BackupError::Stopped(why) => {
            tracing::warn!("no backup is made: {why}");
            not_now(STOPPING)
        }
        BackupError::NotRead(why) => reply::not_read(why),
    }
}

/// There is no backup, for a reason that passes.
fn not_now(why: &'static str) -> Problem {
    problem::OVERLOADED.problem(why).retry_after(reply::RETRY_AFTER_SECONDS)
}
