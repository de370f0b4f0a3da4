//! The two ends of a connection with TLS on it: they behave as those of a plain one.
//!
//! ```text
//!   wire: (reader, writer) --Joined--> TlsStream --split--> (Reading, Writing)
//! ```
//!
//! TLS writes when it reads, and reads when it writes, so both ends share one stream behind a lock that is held for no
//! longer than a poll. As without TLS, dropping the writing end ends the stream for the other side, which then sees an
//! end: that it comes without TLS's own goodbye takes nothing from anybody, since every frame tells its own length.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::Ends;
use crate::transport::wire::{ReadEnd, WriteEnd};

/// Both ends of a wire's connection as one stream.
pub(super) struct Joined {
    reader: ReadEnd,
    /// `None` once the stream is ended for the other side.
    writer: Option<WriteEnd>,
}

impl Joined {
    pub(super) fn of((reader, writer): Ends) -> Joined {
        Joined { reader, writer: Some(writer) }
    }

    fn writer(&mut self) -> io::Result<Pin<&mut WriteEnd>> {
        self.writer.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

/// Both ends again, of what is inside TLS.
pub(super) fn split(stream: TlsStream<Joined>) -> Ends {
    let shared = Shared(Arc::new(Mutex::new(stream)));
    (Box::new(Reading(shared.clone())), Box::new(Writing(shared)))
}

#[derive(Clone)]
struct Shared(Arc<Mutex<TlsStream<Joined>>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, TlsStream<Joined>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reading(Shared);

struct Writing(Shared);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.lock().get_mut().0.writer = None;
    }
}

impl AsyncRead for Reading {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut *self.0.lock()).poll_read(cx, into) {
            Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsyncWrite for Writing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_shutdown(cx)
    }
}

impl AsyncRead for Joined {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, into)
    }
}

impl AsyncWrite for Joined {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer()?.poll_shutdown(cx)
    }
}
