//! A connection of which some was read already, as if it had not been.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection; what was read of it comes first.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    stream: S,
    read: Vec<u8>,
    /// How much of it came again.
    again: usize,
}

impl<S> Rewound<S> {
    /// Wraps a connection of which that was read.
    pub(super) fn new(stream: S, read: Vec<u8>) -> Rewound<S> {
        Rewound { stream, read, again: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.read[self.again..];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let length = left.len().min(into.remaining());
        into.put_slice(&left[..length]);
        self.again += length;
        if self.again == self.read.len() {
            (self.read, self.again) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_first_whatever_the_reader_takes_at_once() {
        for take in 1..7 {
            let mut stream = Rewound::new(&b"world"[..], b"hello ".to_vec()).take(u64::MAX);
            let (mut text, mut chunk) = (Vec::new(), vec![0; take]);
            loop {
                match stream.read(&mut chunk).await.unwrap() {
                    0 => break,
                    read => text.extend_from_slice(&chunk[..read]),
                }
            }
            assert_eq!(text, b"hello world", "{take}");
        }
    }
}
