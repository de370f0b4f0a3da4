//! The fast lane: calls that are plain (see [`plain`](super::plain)) are answered without the HTTP library.
//!
//! ```text
//!   socket --> input --find--> Plain --> Api::answer --> output --> socket, and on to the next request
//!                      |
//!                      +-----> PartOfHead, PartOfBody: read on, for as long as there may be more
//!                      |
//!                      '-----> Other, and whatever takes too long or too much room:
//!                                hyper gets the connection, with all that was read, for the rest of its life
//! ```
//!
//! A request costs one read, one write, no timer and no allocation of the connection's own. For a checkout call that
//! is half of what it takes through the library; docs/benchmarks has the figures.
//!
//! Invariants:
//! - An answer is to the byte what the library would have sent.
//! - What is handed over begins where a request begins, so that the library sees the connection as the client sent it.
//! - A connection is in the lane only for as long as the same bounds hold that the library is given.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::alarm::Alarm;
use super::plain::{Found, find};
use crate::http::limits::{HEAD_TIME_MAX, LANE_BYTES_MAX, LANE_PATIENCE};
use crate::http::reply::Written;
use crate::http::{Api, Store};

/// How much is read at once.
const READ_BYTES: usize = 4 * 1024;

/// A connection in the lane.
pub(super) struct Lane<'a, S, C> {
    api: &'a Api<S>,
    stream: C,
    /// What was read and not answered yet; it begins where a request does.
    input: Vec<u8>,
    output: Written,
    alarm: Alarm,
    /// The rest of a body is waited for, and not for long.
    in_body: bool,
    /// That the process is to stop.
    stopping: watch::Receiver<bool>,
}

/// How a connection leaves the lane.
pub(super) enum Left<C> {
    /// It is at its end.
    Ended,
    /// The library is to go on with it, and has to be given first what was read.
    Other(C, Vec<u8>),
}

/// What becomes of a connection after a step.
enum Next {
    Again,
    Ended,
    Other,
}

impl<'a, S: Store, C: AsyncRead + AsyncWrite + Unpin> Lane<'a, S, C> {
    /// Takes a new connection.
    pub(super) fn new(api: &'a Api<S>, stream: C, stopping: watch::Receiver<bool>) -> Lane<'a, S, C> {
        let (input, output, alarm) = (Vec::new(), Written::default(), Alarm::new(HEAD_TIME_MAX));
        Lane { api, stream, input, output, alarm, in_body: false, stopping }
    }

    /// Answers plain requests until something else comes.
    pub(super) async fn run(mut self) -> io::Result<Left<C>> {
        let mut stopping = self.stopping.clone();
        let mut stop = pin!(async move {
            // The sender's end means the same.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        loop {
            match self.step(stop.as_mut()).await? {
                Next::Again => {}
                Next::Ended => return Ok(Left::Ended),
                Next::Other => return Ok(Left::Other(self.stream, self.input)),
            }
        }
    }

    async fn step(&mut self, stop: Pin<&mut impl Future<Output = ()>>) -> io::Result<Next> {
        match find(&self.input) {
            Found::Plain(request) => {
                let length = request.length;
                let stopping = || self.stopping.has_changed().unwrap_or(true);
                let ends = self.api.answer(request, &mut self.alarm, &mut self.output, stopping).await;
                self.input.drain(..length);
                self.send(ends).await
            }
            Found::PartOfHead => self.read(stop).await,
            Found::PartOfBody => {
                if !std::mem::replace(&mut self.in_body, true) {
                    self.alarm.set(LANE_PATIENCE);
                }
                self.read(stop).await
            }
            Found::Other => Ok(Next::Other),
        }
    }

    /// Sends what was answered; the connection's last answer `ends` it.
    async fn send(&mut self, ends: bool) -> io::Result<Next> {
        self.stream.write_all(self.output.bytes()).await?;
        if ends {
            self.stream.shutdown().await?;
            return Ok(Next::Ended);
        }
        self.in_body = false;
        self.alarm.set(HEAD_TIME_MAX);
        Ok(Next::Again)
    }

    /// Reads on. A stop ends a connection between requests only: one that is arriving is still answered.
    async fn read(&mut self, stop: Pin<&mut impl Future<Output = ()>>) -> io::Result<Next> {
        if self.input.len() >= LANE_BYTES_MAX {
            return Ok(Next::Other);
        }
        let is_idle = self.input.is_empty();
        self.input.reserve(READ_BYTES);
        tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.input) => match read? {
                // The library knows what to say to half a request.
                0 if !is_idle => Ok(Next::Other),
                0 => Ok(Next::Ended),
                _ => Ok(Next::Again),
            },
            () = stop, if is_idle => Ok(Next::Ended),
            () = self.alarm.due() => Ok(if self.in_body { Next::Other } else { Next::Ended }),
        }
    }
}

#[cfg(test)]
mod tests;
