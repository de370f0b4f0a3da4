//! Calls to one peer: many at a time over one connection, each with its own deadline.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::dial::{Connection, dial};
use super::frame::{self, Kind, Sender};
use super::message::{Call, Channel, Reply};
use super::wire::{ReadEnd, WriteEnd};
use super::{Local, Remote};

/// Calls that may wait to be written.
const QUEUE: usize = 256;

/// A connection on which a call is unanswered is given up once nothing has arrived on it for this long.
const SILENCE: Duration = Duration::from_millis(700);

/// The same for a connection for heartbeats: two of them, so that several go over a new one before a follower has
/// waited long enough to campaign.
const HEARTBEAT_SILENCE: Duration = Duration::from_millis(200);

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// It never left this node.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have arrived.
    #[error("no answer: {0}")]
    Lost(String),
}

/// The way to one peer. Connects when first called, and again after a failure.
pub(crate) struct Caller {
    local: Arc<Local>,
    to: u64,
    silence: Duration,
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
}

impl Caller {
    pub(crate) fn new(local: Arc<Local>, to: u64) -> Caller {
        Caller { local, to, silence: SILENCE, link: tokio::sync::Mutex::new(None) }
    }

    /// The same, which gives a connection up sooner.
    pub(crate) fn for_heartbeats(local: Arc<Local>, to: u64) -> Caller {
        Caller { silence: HEARTBEAT_SILENCE, ..Caller::new(local, to) }
    }

    /// Calls, and waits for the answer until the deadline.
    pub(crate) async fn call(&self, call: &Call, deadline: Duration) -> Result<Reply, CallError> {
        let linking = timeout(deadline, self.link()).await;
        let link = linking.map_err(|_| not_sent("no connection in time"))?.map_err(not_sent)?;
        let answered = timeout(deadline, link.call(call, self.local.sender())).await;
        let nothing = |_| CallError::Lost(format!("nothing within {} ms", deadline.as_millis()));
        answered.map_err(nothing)?
    }

    async fn link(&self) -> io::Result<Arc<Link>> {
        let mut slot = self.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| link.is_open()) {
            return Ok(link.clone());
        }
        let (remote, connection) = dial(&self.local, self.to, Channel::Calls).await?;
        let link = Arc::new(Link::start(self.local.clone(), remote, connection, self.silence));
        *slot = Some(link.clone());
        Ok(link)
    }
}

/// The ways to all other nodes, of the asker's own. They come and go with the membership.
pub(crate) struct Callers {
    local: Arc<Local>,
    make: fn(Arc<Local>, u64) -> Caller,
    made: Mutex<BTreeMap<u64, Arc<Caller>>>,
}

impl Callers {
    pub(crate) fn new(local: Arc<Local>) -> Callers {
        Callers { local, make: Caller::new, made: Mutex::default() }
    }

    /// Those for heartbeats.
    pub(crate) fn for_heartbeats(local: Arc<Local>) -> Callers {
        Callers { make: Caller::for_heartbeats, ..Callers::new(local) }
    }

    /// The way to one of the other nodes; `None` where it is none.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Caller>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.local.roster.is_peer(id) {
            made.remove(&id);
            return None;
        }
        let new = || Arc::new((self.make)(self.local.clone(), id));
        Some(made.entry(id).or_insert_with(new).clone())
    }

    /// The ways to all of them.
    pub(crate) fn all(&self) -> BTreeMap<u64, Arc<Caller>> {
        let peers = self.local.roster.peers();
        self.made.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| peers.contains(id));
        peers.into_iter().filter_map(|id| Some((id, self.get(id)?))).collect()
    }
}

fn not_sent(why: impl ToString) -> CallError {
    CallError::NotSent(why.to_string())
}

type Pending = Mutex<Option<BTreeMap<u64, oneshot::Sender<Reply>>>>;

/// One connection. `pending` is `None` once it is closed.
struct Link {
    frames: mpsc::Sender<Vec<u8>>,
    pending: Arc<Pending>,
    heard_at: Arc<Mutex<Instant>>,
    /// Where a call is unanswered, and nothing has arrived for this long, it is closed.
    silence: Duration,
    ids: AtomicU64,
    _tasks: JoinSet<()>,
}

impl Link {
    fn start(local: Arc<Local>, remote: Remote, connection: Connection, silence: Duration) -> Link {
        let Connection { reader, writer } = connection;
        let (frames, queue) = mpsc::channel(QUEUE);
        let pending: Arc<Pending> = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let mut tasks = JoinSet::new();
        let heard_at = Arc::new(Mutex::new(Instant::now()));
        let (closing, reading, hearing) = (pending.clone(), pending.clone(), heard_at.clone());
        tasks.spawn(async move {
            write_all(queue, writer).await;
            close(&closing);
        });
        tasks.spawn(async move {
            if let Err(e) = read_all(&local, remote, reader, &reading, &hearing).await {
                tracing::debug!(peer = remote.id, "the connection for calls ended: {e}");
            }
            close(&reading);
        });
        Link { frames, pending, heard_at, silence, ids: AtomicU64::new(0), _tasks: tasks }
    }

    async fn call(&self, call: &Call, sender: Sender) -> Result<Reply, CallError> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let bytes = frame::seal_message(Kind::Call, id, sender, call).map_err(not_sent)?;
        let (reply, answer) = oneshot::channel();
        match self.pending.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(pending) => drop(pending.insert(id, reply)),
            None => return Err(not_sent("the connection has ended")),
        }
        let _waiting = Waiting { link: self, id };
        self.frames.send(bytes).await.map_err(|_| not_sent("the connection has ended"))?;
        answer.await.map_err(|_| CallError::Lost("the connection has ended".into()))
    }

    fn is_open(&self) -> bool {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Forgets a call; answers whether it is unanswered.
    fn forget(&self, id: u64) -> bool {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.as_mut().is_some_and(|pending| pending.remove(&id).is_some())
    }

    fn close_if_silent(&self) {
        let heard_at = *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner);
        if heard_at.elapsed() > self.silence {
            close(&self.pending);
        }
    }
}

/// A call that waits for its answer: given up or not, nothing is left of it in the end.
struct Waiting<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Waiting<'_> {
    /// Whoever gives a call up, at its deadline or before: a peer that has said nothing for long may be cut off, and
    /// the next call shall dial anew.
    fn drop(&mut self) {
        if self.link.forget(self.id) {
            self.link.close_if_silent();
        }
    }
}

/// Drops whoever waits: their calls are lost.
fn close(pending: &Pending) {
    *pending.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

async fn write_all(mut queue: mpsc::Receiver<Vec<u8>>, mut writer: WriteEnd) {
    while let Some(bytes) = queue.recv().await {
        if frame::write(&mut writer, &bytes).await.is_err() {
            return;
        }
    }
}

async fn read_all(
    local: &Local,
    remote: Remote,
    mut reader: BufReader<ReadEnd>,
    pending: &Pending,
    heard_at: &Mutex<Instant>,
) -> io::Result<()> {
    while let Some(frame) = frame::read(&mut reader).await? {
        local.hear(&remote, &frame)?;
        *heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let reply = frame.message(Kind::Reply)?;
        let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        match pending.as_mut().map(|pending| pending.remove(&frame.id)) {
            Some(Some(waiting)) => drop(waiting.send(reply)),
            Some(None) => {}
            None => break,
        }
    }
    Ok(())
}
