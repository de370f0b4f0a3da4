//! Whether a connection's request has a body that was not read to its end.
//!
//! ```text
//!   request --> watch     the body clears the mark at its end
//!   answer  <-- tell      the mark still stands, and the body is large: Connection: close
//!   end of the connection the mark still stands: the socket is read from for a while (see refusal)
//! ```
//!
//! A refusal may come before the body was read. Its client may be an ordinary one, which reads no answer before it
//! has sent everything: it learns of the refusal only where somebody takes what it sends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response};
use hyper::body::{Body, Frame, SizeHint};

use crate::http::limits::UNREAD_BYTES_MAX;

/// The mark of one connection, whose requests come one after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// Whether the last request's body was not read to its end.
    pub(super) fn stands(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Watches the body of a request. Answers whether it is too large to be skipped.
    pub(super) fn watch<B: Body>(&self, request: Request<B>) -> (Request<Watched<B>>, bool) {
        let body = request.body();
        let large = body.size_hint().upper().is_none_or(|bytes| bytes > UNREAD_BYTES_MAX);
        self.0.store(!body.is_end_stream(), Ordering::Relaxed);
        (request.map(|body| Watched { body, unread: self.clone() }), large)
    }

    /// Says on an answer that the connection ends with it, where a large body was not read.
    pub(super) fn tell<B>(&self, response: &mut Response<B>, large: bool) {
        if large && self.stands() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// A body that clears its connection's mark when it was read.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    unread: Unread,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() {
            self.unread.0.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
