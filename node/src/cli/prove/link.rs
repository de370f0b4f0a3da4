//! A link: the proxy through which one node dials another, and what it does to what passes.
//!
//! ```text
//!   node a -- dials --> [ a -> b ] -- dials --> node b
//!              a's bytes ---- out ---->
//!              <---- back ---- b's bytes
//! ```
//!
//! Each ordered pair of nodes has its own, so that a connection says who dialled it; what one node sends another goes
//! `out` on its own link, and `back` on the other's. Without root nothing can be done to packets, but to connections it
//! can: bytes stand still or pass slowly, dials wait, are refused, or meet somebody who never answers.
//!
//! Invariants:
//! - Bytes are never dropped out of a connection that lives on: TCP would not, either. A cut holds them up, and they
//!   arrive late once it is healed, if both ends still wait for them.
//! - What was done to bytes and dials is counted where it is done: a fault that nothing met has not fired.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// What a pump takes at once, in bytes.
const CHUNK: usize = 16 << 10;

/// How bytes pass in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Flow {
    /// At once.
    #[default]
    Open,
    /// Not at all: they stand still.
    Shut,
    /// Each chunk so much later, and no more than so many bytes a second.
    Slow {
        /// How much later, in milliseconds.
        delay_ms: u64,
        /// How many bytes pass in a second.
        bytes_per_s: u64,
    },
}

/// What becomes of new connections, and of those there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Dials {
    /// They are passed on.
    #[default]
    Through,
    /// Each is passed on after a time of its own, up to so many milliseconds: the later one may be there first. Those
    /// there are break.
    Late(u64),
    /// They are accepted and never answered; those there are break.
    Deaf,
    /// They break at once, as those there are.
    Broken,
}

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Weather {
    /// To the dialler's bytes.
    pub(super) out: Flow,
    /// To the bytes of the node that was dialled.
    pub(super) back: Flow,
    /// To connections.
    pub(super) dials: Dials,
}

impl Weather {
    /// A connection can be made only where packets pass both ways.
    fn lets_dial(&self) -> bool {
        self.out != Flow::Shut && self.back != Flow::Shut
    }

    /// Whether connections that there are break when it becomes so.
    fn breaks(&self) -> bool {
        self.dials != Dials::Through
    }
}

/// The way from one node to another.
#[derive(Debug)]
pub(super) struct Link {
    /// Who dials.
    pub(super) from: u64,
    /// Who is dialled.
    pub(super) to: u64,
    /// Where the dialler finds it.
    pub(super) address: SocketAddr,
    weather: watch::Sender<Weather>,
    felt: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// What a connection's tasks share.
#[derive(Clone)]
struct Carrier {
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    felt: Arc<AtomicU64>,
}

impl Link {
    /// A link to the node that listens at that address.
    pub(super) async fn open(from: u64, to: u64, target: SocketAddr) -> io::Result<Link> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, felt) = (listener.local_addr()?, Arc::default());
        let (weather, seen) = watch::channel(Weather::default());
        let carrier = Carrier { target, weather: seen, felt: Arc::clone(&felt) };
        let task = tokio::spawn(accept(listener, carrier));
        Ok(Link { from, to, address, weather, felt, task })
    }

    /// From now on it does that.
    pub(super) fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// How many bytes and dials were held up or broken so far.
    pub(super) fn felt(&self) -> u64 {
        self.felt.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Its connections end with it, since the set does.
async fn accept(listener: TcpListener, carrier: Carrier) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((dialler, _)) => {
                    connections.spawn(carrier.clone().carry(dialler));
                }
                // No file descriptor is free: it will pass.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Carrier {
    /// Carries one connection to its end.
    async fn carry(mut self, mut dialler: TcpStream) {
        match self.seen().dials {
            Dials::Broken => return self.feel(1),
            Dials::Deaf => return self.ignore(&mut dialler).await,
            Dials::Late(time_max_ms) => {
                self.feel(1);
                let time_ms = rand::rng().random_range(0..=time_max_ms);
                sleep(Duration::from_millis(time_ms)).await;
            }
            Dials::Through => {}
        }
        if !self.seen().lets_dial() {
            self.feel(1);
        }
        if self.weather.wait_for(Weather::lets_dial).await.is_err() {
            return;
        }
        if let Ok(dialled) = TcpStream::connect(self.target).await {
            self.join(dialler, dialled).await;
        }
    }

    /// Passes bytes both ways until an end closes, or the weather breaks it.
    async fn join(self, dialler: TcpStream, dialled: TcpStream) {
        // Small frames must not wait for one another here when they do not between nodes.
        let _ = (dialler.set_nodelay(true), dialled.set_nodelay(true));
        let ((from_dialler, to_dialler), (from_dialled, to_dialled)) =
            (dialler.into_split(), dialled.into_split());
        let out = self.clone().pump(from_dialler, to_dialled, |weather| weather.out);
        let back = self.clone().pump(from_dialled, to_dialler, |weather| weather.back);
        let both = async { tokio::join!(out, back) };
        tokio::select! {
            _ = both => {}
            () = self.clone().broken() => self.feel(1),
        }
    }

    /// Resolves when the weather changes to one that breaks connections.
    async fn broken(mut self) {
        self.weather.mark_unchanged();
        while self.weather.changed().await.is_ok() {
            if self.seen().breaks() {
                return;
            }
        }
    }

    /// Reads, and never answers, until the weather changes.
    async fn ignore(mut self, dialler: &mut TcpStream) {
        self.feel(1);
        let silence = async {
            let mut chunk = vec![0; CHUNK];
            while dialler.read(&mut chunk).await.is_ok_and(|read| read > 0) {}
        };
        tokio::select! {
            () = silence => {}
            _ = self.weather.wait_for(|weather| weather.dials != Dials::Deaf) => {}
        }
    }

    async fn pump(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, flow: fn(&Weather) -> Flow) {
        let mut chunk = vec![0; CHUNK];
        while let Ok(read) = from.read(&mut chunk).await {
            if read == 0 || !self.let_pass(read as u64, flow).await {
                break;
            }
            if to.write_all(&chunk[..read]).await.is_err() {
                break;
            }
        }
    }

    /// Waits until so many bytes may pass. Answers whether the link is still there.
    async fn let_pass(&mut self, bytes: u64, flow: fn(&Weather) -> Flow) -> bool {
        let now = flow(&self.weather.borrow_and_update());
        match now {
            Flow::Open => true,
            Flow::Slow { delay_ms, bytes_per_s } => {
                self.feel(bytes);
                sleep(Duration::from_millis(delay_ms + bytes * 1000 / bytes_per_s.max(1))).await;
                true
            }
            Flow::Shut => {
                self.feel(bytes);
                self.weather.wait_for(|weather| flow(weather) != Flow::Shut).await.is_ok()
            }
        }
    }

    fn seen(&self) -> Weather {
        *self.weather.borrow()
    }

    fn feel(&self, much: u64) {
        self.felt.fetch_add(much, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// How long a test waits for what must come.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// How long it looks whether something comes that must not.
    const LOOK: Duration = Duration::from_millis(50);

    /// A link to a node that answers each byte with the same.
    async fn echo() -> Link {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Link::open(1, 2, target).await.unwrap()
    }

    async fn answers(stream: &mut TcpStream, patience: Duration) -> bool {
        stream.write_all(b"x").await.is_ok() && hears(stream, patience).await
    }

    async fn hears(stream: &mut TcpStream, patience: Duration) -> bool {
        let mut byte = [0];
        matches!(timeout(patience, stream.read(&mut byte)).await, Ok(Ok(1)))
    }

    #[tokio::test]
    async fn bytes_pass_and_a_cut_holds_them_up() {
        let link = echo().await;
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert!(answers(&mut stream, PATIENCE).await);
        assert_eq!(link.felt(), 0);
        for cut in [
            Weather { out: Flow::Shut, ..Weather::default() },
            Weather { back: Flow::Shut, ..Weather::default() },
        ] {
            link.change(|weather| *weather = cut);
            assert!(!answers(&mut stream, LOOK).await, "{cut:?}");
            link.change(|weather| *weather = Weather::default());
            assert!(hears(&mut stream, PATIENCE).await, "late, but it comes: {cut:?}");
        }
        assert_eq!(link.felt(), 2, "a byte each");
    }

    #[tokio::test]
    async fn a_dial_during_a_cut_gets_through_after_it() {
        let link = echo().await;
        link.change(|weather| weather.back = Flow::Shut);
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert!(!answers(&mut stream, LOOK).await);
        link.change(|weather| *weather = Weather::default());
        assert!(hears(&mut stream, PATIENCE).await);
    }

    #[tokio::test]
    async fn a_broken_link_ends_what_there_is_and_what_comes() {
        let link = echo().await;
        let mut old = TcpStream::connect(link.address).await.unwrap();
        assert!(answers(&mut old, PATIENCE).await);
        for dials in [Dials::Broken, Dials::Deaf] {
            link.change(|weather| weather.dials = dials);
            assert_eq!(timeout(PATIENCE, old.read(&mut [0])).await.unwrap().unwrap_or(0), 0, "{dials:?}");
            let mut new = TcpStream::connect(link.address).await.unwrap();
            assert!(!answers(&mut new, LOOK).await, "{dials:?}");
            link.change(|weather| *weather = Weather::default());
            old = TcpStream::connect(link.address).await.unwrap();
            assert!(answers(&mut old, PATIENCE).await);
        }
        assert!(link.felt() >= 4);
    }

    #[tokio::test]
    async fn a_slow_link_takes_its_time() {
        let link = echo().await;
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert!(answers(&mut stream, PATIENCE).await);
        link.change(|weather| weather.out = Flow::Slow { delay_ms: 30, bytes_per_s: 1_000_000 });
        let began = std::time::Instant::now();
        assert!(answers(&mut stream, PATIENCE).await);
        assert!(began.elapsed() >= Duration::from_millis(30));
    }
}
