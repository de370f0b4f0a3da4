//! The network: connections in memory, with delays, cuts and ends as TCP has them.
//!
//! ```text
//!   writer --> in flight, each piece until its time --(is the link cut? then later)--> arrived --> reader
//! ```
//!
//! A connection is two pipes. Within a pipe pieces keep their order; between connections they overtake each other. On
//! a link that is cut nothing arrives, and nothing is lost: it is sent again until the link is mended or the
//! connection given up. A process that is killed resets its connections; a machine without power does so only when it
//! is back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use raft::simulated::{Carried, Listening, ReadEnd, Wire, WriteEnd};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use crate::chance::Chance;
use crate::trace::Trace;

/// So much may be on its way in a pipe before its writer waits, in bytes.
const IN_FLIGHT_MAX: usize = 1 << 20;

/// What waits because its link is cut is tried again after this long, in milliseconds.
const AGAIN_MS: u64 = 20;

/// Delays of a link, in milliseconds, unless it is slow.
const DELAY_MS: (u64, u64) = (0, 4);

/// The network of one simulation. A cheap handle.
#[derive(Clone)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
}

struct State {
    now_ms: u64,
    chance: Chance,
    listening: BTreeMap<u64, Backlog>,
    /// Who has no power: whoever dials them hears nothing.
    dark: BTreeSet<u64>,
    links: BTreeMap<(u64, u64), Link>,
    pipes: BTreeMap<u64, Pipe>,
    /// When which pipe has something to deliver.
    due: BTreeSet<(u64, u64)>,
    next_pipe: u64,
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<(ReadEnd, WriteEnd)>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Default)]
struct Link {
    is_cut: bool,
    slow_ms: u64,
}

struct Pipe {
    from: u64,
    to: u64,
    in_flight: VecDeque<(u64, Piece)>,
    in_flight_bytes: usize,
    arrived: Vec<u8>,
    end: Option<Piece>,
    /// The process that has this end has ended.
    reader_is_dead: bool,
    reader_is_gone: bool,
    writer_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

enum Piece {
    Bytes(Vec<u8>),
    End,
    Reset,
}

impl Net {
    pub(crate) fn new(chance: Chance) -> Net {
        let state = State {
            now_ms: 0,
            chance,
            listening: BTreeMap::new(),
            dark: BTreeSet::new(),
            links: BTreeMap::new(),
            pipes: BTreeMap::new(),
            due: BTreeSet::new(),
            next_pipe: 0,
        };
        Net { state: Arc::new(Mutex::new(state)) }
    }

    /// The network as a node has it.
    pub(crate) fn of_node(&self, node: u64) -> Arc<dyn Wire> {
        Arc::new(NodeNet { net: self.clone(), node })
    }

    /// Delivers what is due.
    pub(crate) fn deliver(&self, now_ms: u64, trace: &mut Trace) {
        let wakers = self.lock().deliver(now_ms, trace);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Cuts the way from one node to another, or mends it.
    pub(crate) fn cut(&self, from: u64, to: u64, is_cut: bool) {
        self.lock().links.entry((from, to)).or_default().is_cut = is_cut;
    }

    /// What goes from one node to another takes up to so much longer.
    pub(crate) fn slow(&self, from: u64, to: u64, slow_ms: u64) {
        self.lock().links.entry((from, to)).or_default().slow_ms = slow_ms;
    }

    /// Every link is whole and fast.
    pub(crate) fn heal(&self) {
        self.lock().links.clear();
    }

    /// A node's process is gone. Its peers hear of that, unless the machine has no power.
    pub(crate) fn gone(&self, node: u64, is_dark: bool) {
        let mut state = self.lock();
        // Its connections are dropped when the lock is free again: that takes it.
        let _backlog = state.listening.remove(&node);
        if is_dark {
            state.dark.insert(node);
        }
        let wakers = state.sever(node, !is_dark);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Its machine is up again: what is left of its connections is reset.
    pub(crate) fn back(&self, node: u64) {
        let mut state = self.lock();
        state.dark.remove(&node);
        let wakers = state.sever(node, true);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn link(&self, from: u64, to: u64) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or_default()
    }

    fn delay_ms(&mut self, from: u64, to: u64) -> u64 {
        let slow_ms = self.link(from, to).slow_ms;
        // Now and then one takes much longer.
        let late = if self.chance.one_in(200) { self.chance.within(10..=60) } else { 0 };
        self.chance.within(DELAY_MS.0..=DELAY_MS.1 + slow_ms) + late
    }

    fn send(&mut self, id: u64, piece: Piece) {
        let Some((from, to)) = self.pipes.get(&id).map(|pipe| (pipe.from, pipe.to)) else { return };
        let soonest = self.now_ms + 1 + self.delay_ms(from, to);
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let due = pipe.in_flight.back().map_or(soonest, |last| last.0.max(soonest));
        if let Piece::Bytes(bytes) = &piece {
            pipe.in_flight_bytes += bytes.len();
        }
        pipe.in_flight.push_back((due, piece));
        self.due.insert((due, id));
    }

    fn deliver(&mut self, now_ms: u64, trace: &mut Trace) -> Vec<Waker> {
        self.now_ms = now_ms;
        let mut wakers = Vec::new();
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now_ms) {
            self.due.remove(&(due, id));
            let Some((from, to)) = self.pipes.get(&id).map(|pipe| (pipe.from, pipe.to)) else { continue };
            if self.link(from, to).is_cut {
                self.due.insert((now_ms + AGAIN_MS, id));
                continue;
            }
            if let Some(pipe) = self.pipes.get_mut(&id) {
                pipe.arrive(now_ms, trace);
                wakers.extend(pipe.reader.take().into_iter().chain(pipe.writer.take()));
            }
        }
        wakers
    }

    /// The ends of a node that is gone do nothing any more; the other ends hear of it, or do not.
    fn sever(&mut self, node: u64, is_told: bool) -> Vec<Waker> {
        let theirs = self.pipes.iter().filter(|(_, pipe)| pipe.from == node || pipe.to == node);
        let theirs: Vec<u64> = theirs.map(|(id, _)| *id).collect();
        let mut wakers = Vec::new();
        for id in theirs {
            let Some(pipe) = self.pipes.get_mut(&id) else { continue };
            let is_sender = pipe.from == node;
            pipe.writer_is_gone |= is_sender;
            pipe.reader_is_dead |= !is_sender;
            if !is_sender && is_told {
                pipe.reader_is_gone = true;
                wakers.extend(pipe.writer.take());
            }
            if is_sender && is_told {
                self.send(id, Piece::Reset);
            }
        }
        wakers
    }

    fn connect(&mut self, from: u64, to: u64) -> [u64; 2] {
        [(from, to), (to, from)].map(|(from, to)| {
            let id = self.next_pipe;
            self.next_pipe += 1;
            self.pipes.insert(id, Pipe::new(from, to));
            id
        })
    }

    fn forget_if_unused(&mut self, id: u64) {
        if self.pipes.get(&id).is_some_and(|pipe| pipe.reader_is_gone && pipe.writer_is_gone) {
            self.pipes.remove(&id);
        }
    }
}

impl Pipe {
    fn new(from: u64, to: u64) -> Pipe {
        Pipe {
            from,
            to,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            arrived: Vec::new(),
            end: None,
            reader_is_dead: false,
            reader_is_gone: false,
            writer_is_gone: false,
            reader: None,
            writer: None,
        }
    }

    fn arrive(&mut self, now_ms: u64, trace: &mut Trace) {
        while self.in_flight.front().is_some_and(|(due, _)| *due <= now_ms) {
            match self.in_flight.pop_front() {
                Some((_, Piece::Bytes(bytes))) => {
                    trace.event(now_ms * 100 + self.from * 10 + self.to, &bytes);
                    self.in_flight_bytes -= bytes.len();
                    self.arrived.extend(bytes);
                }
                Some((_, end)) => self.end = Some(end),
                None => return,
            }
        }
    }
}

/// The network as one node has it.
struct NodeNet {
    net: Net,
    node: u64,
}

impl Wire for NodeNet {
    fn listen<'a>(&'a self, _address: &'a str) -> Carried<'a, Box<dyn Listening>> {
        Box::pin(async move {
            self.net.lock().listening.insert(self.node, Backlog::default());
            Ok(Box::new(Accepting { net: self.net.clone(), node: self.node }) as Box<dyn Listening>)
        })
    }

    fn dial<'a>(&'a self, address: &'a str) -> Carried<'a, (ReadEnd, WriteEnd)> {
        Box::pin(async move {
            let to: u64 = address.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
            self.reach(to).await;
            let mut state = self.net.lock();
            if !state.listening.contains_key(&to) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let [there, back] = state.connect(self.node, to);
            let theirs = (self.net.read_end(there), self.net.write_end(back));
            let waker = state.listening.get_mut(&to).and_then(|backlog| {
                backlog.waiting.push_back(theirs);
                backlog.waker.take()
            });
            drop(state);
            waker.into_iter().for_each(Waker::wake);
            Ok((self.net.read_end(back), self.net.write_end(there)))
        })
    }
}

impl NodeNet {
    /// Waits until the other machine can have answered.
    async fn reach(&self, to: u64) {
        loop {
            let (delay_ms, answers) = {
                let mut state = self.net.lock();
                let is_cut = state.link(self.node, to).is_cut || state.link(to, self.node).is_cut;
                let delay_ms = 1 + state.delay_ms(self.node, to) + state.delay_ms(to, self.node);
                (delay_ms, !is_cut && !state.dark.contains(&to))
            };
            sleep(Duration::from_millis(delay_ms)).await;
            if answers {
                return;
            }
            sleep(Duration::from_millis(AGAIN_MS)).await;
        }
    }
}

impl Net {
    fn read_end(&self, pipe: u64) -> ReadEnd {
        Box::new(Reading { net: self.clone(), pipe })
    }

    fn write_end(&self, pipe: u64) -> WriteEnd {
        Box::new(Writing { net: self.clone(), pipe })
    }
}

struct Accepting {
    net: Net,
    node: u64,
}

impl Listening for Accepting {
    fn accept(&mut self) -> Carried<'_, (ReadEnd, WriteEnd)> {
        Box::pin(std::future::poll_fn(|context| {
            let mut state = self.net.lock();
            let Some(backlog) = state.listening.get_mut(&self.node) else { return Poll::Pending };
            match backlog.waiting.pop_front() {
                Some(ends) => Poll::Ready(Ok(ends)),
                None => {
                    backlog.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}

struct Reading {
    net: Net,
    pipe: u64,
}

impl AsyncRead for Reading {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.net.lock();
        let Some(pipe) = state.pipes.get_mut(&self.pipe) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        if !pipe.arrived.is_empty() {
            let count = pipe.arrived.len().min(into.remaining());
            into.put_slice(&pipe.arrived[..count]);
            pipe.arrived.drain(..count);
            return Poll::Ready(Ok(()));
        }
        match pipe.end {
            Some(Piece::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(_) => Poll::Ready(Ok(())),
            None => {
                pipe.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.net.lock();
        let Some(pipe) = state.pipes.get_mut(&self.pipe) else { return };
        pipe.reader_is_gone |= !pipe.reader_is_dead;
        let waker = if pipe.reader_is_gone { pipe.writer.take() } else { None };
        state.forget_if_unused(self.pipe);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

struct Writing {
    net: Net,
    pipe: u64,
}

impl AsyncWrite for Writing {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.net.lock();
        let Some(pipe) = state.pipes.get_mut(&self.pipe).filter(|pipe| !pipe.reader_is_gone) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if pipe.in_flight_bytes >= IN_FLIGHT_MAX {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        state.send(self.pipe, Piece::Bytes(bytes.to_vec()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.net.lock();
        let Some(pipe) = state.pipes.get_mut(&self.pipe) else { return };
        if !std::mem::replace(&mut pipe.writer_is_gone, true) {
            state.send(self.pipe, Piece::End);
        }
        state.forget_if_unused(self.pipe);
    }
}
