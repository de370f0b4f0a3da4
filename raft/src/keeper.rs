//! The thread that keeps this node's images: checkpoint saves, snapshots built and installed, one at a time.
//!
//! sled has no view of a moment, so an image is streamed out while nothing is saved into it; meanwhile apply goes
//! on in memory and the next save carries what gathered. Whatever fails here is fatal: it is reported once, and
//! nothing is written after it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use storage::StorageError;
use storage::checkpoint::{Checkpoint, ImageHeader};
use storage::inventory::Inventory;
use storage::inventory::record::Change;
use storage::snapshot::{Receiving, Snapshot, SnapshotStore};
use tokio::sync::oneshot;

use crate::fatal::Fatal;

/// What a save carries: changed records and what they make the image be of.
pub(crate) struct Save {
    pub(crate) header: ImageHeader,
    pub(crate) changes: Vec<Change>,
}

type Reply<T> = oneshot::Sender<Result<T, StorageError>>;

enum Job {
    Save(Save, Option<Reply<()>>),
    Build(Save, Reply<Snapshot>),
    Install(Snapshot, Reply<Box<Inventory>>),
    Close(oneshot::Sender<()>),
}

/// A handle to the thread.
#[derive(Clone)]
pub(crate) struct Keeper {
    jobs: mpsc::Sender<Job>,
    state: Arc<State>,
    snapshots: SnapshotStore,
}

/// What the thread tells about itself.
#[derive(Default)]
struct State {
    busy: AtomicBool,
    saves: AtomicU64,
    builds: AtomicU64,
    installs: AtomicU64,
}

/// How often the thread did what.
pub(crate) struct Counts {
    pub(crate) saves: u64,
    pub(crate) builds: u64,
    pub(crate) installs: u64,
}

impl Keeper {
    /// Starts the thread. It ends when it is closed, or the last handle is gone, and what was queued is done.
    pub(crate) fn start(
        checkpoint: Checkpoint,
        snapshots: SnapshotStore,
        fatal: Fatal,
    ) -> io::Result<Keeper> {
        let (jobs, queue) = mpsc::channel();
        let state = Arc::new(State::default());
        let mut worker = Worker { checkpoint, snapshots: snapshots.clone(), state: state.clone(), fatal };
        let work = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| worker.run(&queue)));
            let closing = ended.unwrap_or_else(|_| {
                worker.fatal.report("the keeper of the images panicked");
                None
            });
            drop(worker);
            // Only now may the directory be opened again.
            closing.map(|reply| reply.send(()))
        };
        std::thread::Builder::new().name("keeper".into()).spawn(work)?;
        Ok(Keeper { jobs, state, snapshots })
    }

    /// Whether nothing is queued or under way, so that a save would start at once.
    pub(crate) fn is_idle(&self) -> bool {
        !self.state.busy.load(Ordering::Acquire)
    }

    /// Queues a save.
    pub(crate) fn save(&self, save: Save) {
        self.send(Job::Save(save, None));
    }

    /// Queues a save at once; the future waits until it is on disk. Whoever takes changes out queues them under the
    /// same lock: a later save must not overtake them.
    pub(crate) fn save_and_wait(&self, save: Save) -> impl Future<Output = io::Result<()>> + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Save(save, Some(reply)));
        answered(answer)
    }

    /// Queues a save and a snapshot of its image at once, as [`Keeper::save_and_wait`] does; the future waits for the
    /// snapshot.
    pub(crate) fn build(&self, save: Save) -> impl Future<Output = io::Result<Snapshot>> + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Build(save, reply));
        answered(answer)
    }

    /// Makes a received snapshot this node's newest, and the checkpoint its image; answers the inventory in it.
    pub(crate) async fn install(&self, snapshot: Snapshot) -> io::Result<Box<Inventory>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Install(snapshot, reply));
        answered(answer).await
    }

    /// Starts to receive a snapshot.
    pub(crate) fn receive(&self) -> Result<Receiving, StorageError> {
        self.snapshots.receive()
    }

    /// Does what was queued, then closes the checkpoint. Whatever is asked later fails.
    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        self.send(Job::Close(reply));
        // A thread that has stopped after a failure is closed as well.
        let _ = closed.await;
    }

    /// How often the thread did what.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            saves: self.state.saves.load(Ordering::Relaxed),
            builds: self.state.builds.load(Ordering::Relaxed),
            installs: self.state.installs.load(Ordering::Relaxed),
        }
    }

    fn send(&self, job: Job) {
        self.state.busy.store(true, Ordering::Release);
        // The thread only ends early after a failure that it has reported as fatal.
        let _ = self.jobs.send(job);
    }
}

async fn answered<T>(answer: oneshot::Receiver<Result<T, StorageError>>) -> io::Result<T> {
    match answer.await {
        Ok(result) => result.map_err(io::Error::other),
        Err(_) => Err(io::Error::other("the keeper of the images has stopped")),
    }
}

struct Worker {
    checkpoint: Checkpoint,
    snapshots: SnapshotStore,
    state: Arc<State>,
    fatal: Fatal,
}

impl Worker {
    /// Serves the queue; answers whom to tell once everything is closed, where that was asked for.
    fn run(&mut self, queue: &mpsc::Receiver<Job>) -> Option<oneshot::Sender<()>> {
        loop {
            let done = match self.next(queue)? {
                Job::Close(reply) => return Some(reply),
                Job::Save(save, reply) => answer(reply, self.save(save)),
                Job::Build(save, reply) => answer(Some(reply), self.save(save).and_then(|()| self.build())),
                Job::Install(snapshot, reply) => answer(Some(reply), self.install(&snapshot)),
            };
            if let Err(why) = done {
                self.fatal.report(why);
                return None;
            }
        }
    }

    /// The next job; the thread is idle while it waits for one.
    fn next(&self, queue: &mpsc::Receiver<Job>) -> Option<Job> {
        match queue.try_recv() {
            Ok(job) => Some(job),
            Err(mpsc::TryRecvError::Disconnected) => None,
            Err(mpsc::TryRecvError::Empty) => {
                self.state.busy.store(false, Ordering::Release);
                queue.recv().ok()
            }
        }
    }

    /// An image never goes back: what was taken out before a snapshot was installed is part of that.
    fn save(&mut self, save: Save) -> Result<(), StorageError> {
        if self.checkpoint.header().is_some_and(|last| save.header.applied < last.applied) {
            return Ok(());
        }
        self.checkpoint.save(&save.header, save.changes)?;
        self.state.saves.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn build(&mut self) -> Result<Snapshot, StorageError> {
        let snapshot = self.snapshots.write(&self.checkpoint)?;
        self.state.builds.fetch_add(1, Ordering::Relaxed);
        Ok(snapshot)
    }

    /// The snapshot becomes the newest first: from there on a crash finds it at the next start.
    fn install(&mut self, snapshot: &Snapshot) -> Result<Box<Inventory>, StorageError> {
        self.snapshots.adopt(snapshot)?;
        let inventory = Box::new(snapshot.load()?);
        self.checkpoint.replace(snapshot.header(), &mut inventory.records())?;
        self.state.installs.fetch_add(1, Ordering::Relaxed);
        Ok(inventory)
    }
}

/// Hands a result to whoever asked; a failure also to the caller, in words.
fn answer<T>(reply: Option<Reply<T>>, result: Result<T, StorageError>) -> Result<(), String> {
    let why = result.as_ref().err().map(ToString::to_string);
    if let Some(reply) = reply {
        let _ = reply.send(result);
    }
    why.map_or(Ok(()), Err)
}
