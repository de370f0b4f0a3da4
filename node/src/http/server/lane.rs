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

use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::alarm::Alarm;
use super::plain::{Found, find};
use super::stopped;
use crate::http::limits::{HEAD_TIME_MAX, LANE_BYTES_MAX, LANE_PATIENCE};
use crate::http::reply::Written;
use crate::http::{Api, Store};

/// How much is read at once.
const READ_BYTES: usize = 4 * 1024;

/// What a connection keeps of a buffer between two calls, whatever the last one took.
const KEPT_BYTES: usize = 2 * READ_BYTES;

/// How often a head is looked at from its beginning before the library gets it.
const LOOKS_MAX: u32 = 8;

/// A connection in the lane.
pub(super) struct Lane<'a, S, C> {
    api: &'a Api<S>,
    stream: C,
    /// What was read and not answered yet; it begins where a request does.
    input: Vec<u8>,
    /// What came while a call was in flight.
    more: Vec<u8>,
    output: Written,
    alarm: Alarm,
    /// How often a head was looked at that was not whole.
    looks: u32,
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
        let (input, more, output, alarm) =
            (Vec::new(), Vec::new(), Written::default(), Alarm::new(HEAD_TIME_MAX));
        Lane { api, stream, input, more, output, alarm, looks: 0, in_body: false, stopping }
    }

    /// Answers plain requests until something else comes.
    pub(super) async fn run(mut self) -> io::Result<Left<C>> {
        let mut stop = pin!(stopped(self.stopping.clone()));
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
                let (length, is_last) = (request.length, request.length == self.input.len());
                let stopping = || self.stopping.has_changed().unwrap_or(true);
                let ends = tokio::select! {
                    biased;
                    ends = self.api.answer(request, &mut self.alarm, &mut self.output, stopping) => ends,
                    () = hung_up(&mut self.stream, &mut self.more), if is_last => return Ok(Next::Ended),
                };
                self.input.drain(..length);
                self.input.append(&mut self.more);
                self.send(ends).await
            }
            // The library remembers how far it has looked.
            Found::PartOfHead if self.looks >= LOOKS_MAX => Ok(Next::Other),
            Found::PartOfHead => {
                self.looks += 1;
                self.read(stop).await
            }
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
        // TLS may keep some of it; a socket keeps nothing.
        self.stream.flush().await?;
        if ends {
            self.stream.shutdown().await?;
            return Ok(Next::Ended);
        }
        (self.in_body, self.looks) = (false, 0);
        self.alarm.set(HEAD_TIME_MAX);
        self.output.keep_at_most(KEPT_BYTES);
        self.input.shrink_to(KEPT_BYTES);
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

/// Resolves when the client hangs up, which gives its call up. What it sends instead is kept; from there on it may
/// hang up unnoticed.
async fn hung_up(stream: &mut (impl AsyncRead + Unpin), more: &mut Vec<u8>) {
    if let Ok(1..) = stream.read_buf(more).await {
        pending().await
    }
}

#[cfg(test)]
mod tests;
