//! An end for connections whose client does not take its answer.
//!
//! What was answered stays in memory until it is sent. A client that takes nothing of it would keep it there for as
//! long as it likes; so a write that waits for [`WRITE_TIME_MAX`] without a single byte taken ends the connection.
//! Time runs only while a write waits: an idle connection, and a stream that has nothing to tell, wait for nobody.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::http::limits::WRITE_TIME_MAX;

/// A connection that ends where nobody takes what is written to it.
#[derive(Debug)]
pub(super) struct Taken<S> {
    stream: S,
    /// Runs while a write waits.
    time: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    /// Wraps a connection.
    pub(super) fn new(stream: S) -> Taken<S> {
        Taken { stream, time: None }
    }

    /// What becomes of a write: one that waits for too long fails.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.time = None;
            return write;
        }
        let time = self.time.get_or_insert_with(|| Box::pin(sleep(WRITE_TIME_MAX)));
        time.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{advance, pause};

    use super::*;

    #[tokio::test]
    async fn an_answer_that_nobody_takes_ends_the_connection() {
        pause();
        let (ours, _theirs) = duplex(16);
        let refused = Taken::new(ours).write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_slow_reader_that_takes_a_byte_now_and_then_is_waited_for() {
        pause();
        let (ours, mut theirs) = duplex(16);
        let sent = tokio::spawn(async move { Taken::new(ours).write_all(&[0; 26]).await });
        for _ in 0..26 {
            advance(WRITE_TIME_MAX * 3 / 4).await;
            theirs.read_u8().await.unwrap();
        }
        sent.await.unwrap().unwrap();
    }
}
