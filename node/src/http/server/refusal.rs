//! What hyper refuses by itself, told as a problem document.
//!
//! ```text
//!   hyper:   HTTP/1.1 431 Request Header Fields Too Large       a head that it cannot read never becomes a
//!            connection: close                                  request, and so reaches no handler of ours:
//!            content-length: 0                                  it writes this and closes
//!              |
//!   Refusing   the same head, with a content type and the length of a body, and the body
//!              |
//!   socket
//! ```
//!
//! hyper has no hook for it (its issues 2810 and 3225), so its answer is recognised on its way to the socket: a head
//! of one of three statuses, alone in its write, that promises no body. No answer of ours looks like that: all of
//! them with such a status have a body, also those to HEAD, which say its length. A head always begins a write,
//! because hyper reads the next request only when it has flushed the last answer.
//!
//! A client may still be sending when it is refused, by hyper or by a handler that did not read the body. Closing then
//! resets the connection, and the refusal may be lost with it; so what comes is read and dropped for a while, within
//! bounds, after our own end was closed.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use bytes::{Buf, Bytes};
use client::api::PROBLEM_JSON;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::unread::Unread;
use crate::http::limits::{HEAD_BYTES_MAX, HEADERS_MAX, LINGER_BYTES_MAX, LINGER_TIME_MAX};
use crate::http::problem::{Problem, invalid};
use crate::http::reply::to_json;

/// A connection whose refused heads are told as problem documents, and whose refusals arrive.
#[derive(Debug)]
pub(super) struct Refusing<S> {
    stream: S,
    /// What is still to be sent in the place of hyper's refusal.
    unsent: Bytes,
    /// There was a refusal of hyper's: the last answer of the connection.
    refused: bool,
    /// Whether the body of the last request was read.
    unread: Unread,
    /// Our own end is closed, and the other is waited for.
    linger: Option<Linger>,
}

#[derive(Debug)]
struct Linger {
    bytes_left: usize,
    time: Pin<Box<Sleep>>,
}

impl Linger {
    fn start() -> Linger {
        Linger { bytes_left: LINGER_BYTES_MAX, time: Box::pin(sleep(LINGER_TIME_MAX)) }
    }
}

impl<S> Refusing<S> {
    /// Wraps a connection.
    pub(super) fn new(stream: S, unread: Unread) -> Refusing<S> {
        Refusing { stream, unsent: Bytes::new(), refused: false, unread, linger: None }
    }

    /// Takes a write over, where it is a refusal of hyper's.
    fn takes(&mut self, written: &[u8]) -> bool {
        let Some(completed) = completed(written) else {
            return false;
        };
        self.unsent = completed.into();
        self.refused = true;
        true
    }
}

impl<S: AsyncWrite + Unpin> Refusing<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent.has_remaining() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.unsent.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Refusing<S> {
    /// Reads and drops what still comes, until the other end is closed or a bound is met.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(linger) = &mut self.linger else {
            return Poll::Ready(());
        };
        if linger.time.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut chunk = [0; 16 * 1024];
        while linger.bytes_left > 0 {
            let mut read = ReadBuf::new(&mut chunk);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    linger.bytes_left = linger.bytes_left.saturating_sub(read.filled().len());
                }
                // Its end, or a connection that is of no more use.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Refusing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        match self.takes(bytes) {
            true => Poll::Ready(Ok(bytes.len())),
            false => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        match (filled.next(), filled.next()) {
            (Some(alone), None) if self.takes(alone) => Poll::Ready(Ok(alone.len())),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if self.refused || self.unread.stands() {
                self.linger = Some(Linger::start());
            }
        }
        self.poll_linger(cx).map(Ok)
    }
}

/// What is sent in the place of a refusal of hyper's; `None` where it is none.
fn completed(written: &[u8]) -> Option<Vec<u8>> {
    const EMPTY: &str = "content-length: 0\r\n";
    // Nearly every write fails the first of these tests.
    if !written.ends_with(b"\r\n\r\n") || !written.starts_with(b"HTTP/1.") {
        return None;
    }
    let head = std::str::from_utf8(written).ok()?;
    let problem = problem(head.split(' ').nth(1)?)?;
    let (before, after) = head.split_once(EMPTY)?;
    let body = to_json(problem.body());
    let length = body.len();
    let head = format!("{before}content-type: {PROBLEM_JSON}\r\ncontent-length: {length}\r\n{after}");
    Some([head.into_bytes(), body].concat())
}

/// Why hyper refuses a head with that status.
fn problem(status: &str) -> Option<Problem> {
    let (status, field, detail) = match status {
        "400" => (
            StatusCode::BAD_REQUEST,
            "request",
            "This is no request of HTTP/1.1 or 1.0: its first line or one of its headers cannot be read."
                .to_owned(),
        ),
        "414" => (StatusCode::URI_TOO_LONG, "uri", "The address is too long.".to_owned()),
        "431" => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers",
            format!("A head has at most {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers."),
        ),
        _ => return None,
    };
    Some(invalid(field, detail).status(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_without_a_body_is_completed() {
        let refused = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let completed_text = String::from_utf8(completed(refused.as_bytes()).unwrap()).unwrap();
        let (head, body) = completed_text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert!(head.contains("content-type: application/problem+json\r\n"), "{head}");
        for other in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: 70\r\n\r\n",
            "0\r\n\r\n",
        ] {
            assert_eq!(completed(other.as_bytes()), None, "{other}");
        }
    }
}
