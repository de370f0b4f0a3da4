//! The thread that keeps this node's images: checkpoint saves, audits, copies, snapshots built and installed, one at a
//! time.
//!
//! sled has no view of a moment, so an image is streamed out while nothing is saved into it; meanwhile apply goes on
//! in memory and the next save carries what gathered. It rests between its steps: see [`rests`](crate::rests).
//! Whatever fails here is fatal: it is reported once, and nothing is written after it. Want of space is no failure as
//! long as it is met before sled is: saves are put off, snapshots wait (see `space`).

use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::StorageError;
use storage::checkpoint::{Changes, Checkpoint, ImageHeader};
use storage::histogram::{Distribution, Histogram};
use storage::inventory::Inventory;
use storage::snapshot::{Receiving, Snapshot, SnapshotStore};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::audit::{self, ImageAudit};
use crate::fatal::Fatal;
use crate::rests::Rests;
use crate::simulated::{self, blocking};
use crate::space::Space;

/// How often it is looked whether there is room by now.
const ROOM_AFTER: Duration = Duration::from_secs(1);

/// The most memory of saved changes that is kept for the next ones, in bytes: what a save carries under full load. New
/// memory costs a page fault each 4 KiB, which apply would wait for.
const EMPTIED_BYTES_MAX: usize = 8 << 20;

/// What a save carries: changed records and what they make the image be of.
pub(crate) struct Save {
    pub(crate) header: ImageHeader,
    pub(crate) changes: Changes,
}

type Queue = mpsc::UnboundedReceiver<Job>;

/// Whom to tell once everything is closed.
type Closing = Option<oneshot::Sender<()>>;

type Reply<T> = oneshot::Sender<Result<T, StorageError>>;

enum Job {
    Save(Save, Option<Reply<()>>),
    Build(Save, Reply<Option<Snapshot>>),
    Audit(Save, Reply<ImageAudit>),
    Copy(Save, Reply<Option<Snapshot>>),
    Install(Snapshot, Reply<Box<Inventory>>),
    Close(oneshot::Sender<()>),
}

impl Job {
    /// Whether it, and what is queued before it, is to be done as fast as can be. A snapshot is waited for by nobody
    /// who could not wait longer.
    fn is_waited_for(&self) -> bool {
        match self {
            Job::Save(_, reply) => reply.is_some(),
            Job::Build(..) | Job::Audit(..) | Job::Copy(..) => false,
            Job::Install(..) | Job::Close(_) => true,
        }
    }
}

/// A handle to the thread.
#[derive(Clone)]
pub(crate) struct Keeper {
    jobs: mpsc::UnboundedSender<Job>,
    state: Arc<State>,
    rests: Arc<Rests>,
    snapshots: SnapshotStore,
    space: Space,
}

/// What the thread tells about itself.
#[derive(Default)]
struct State {
    busy: AtomicBool,
    /// Nothing is done any more.
    ended: AtomicBool,
    /// A save is put off for want of space.
    put_off: AtomicBool,
    saves: Histogram,
    builds: Histogram,
    installs: Histogram,
    /// What the last save carried, emptied: its memory is there for what is to be saved next.
    emptied: Mutex<Changes>,
    /// What the image's files take, in bytes; more than anything until it is known.
    image_bytes: AtomicU64,
}

impl State {
    fn emptied(&self) -> MutexGuard<'_, Changes> {
        self.emptied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often the thread did what, and how long it took, in microseconds: its rests included, and what it waited for in
/// the queue not.
pub(crate) struct Counts {
    pub(crate) saves: Distribution,
    pub(crate) builds: Distribution,
    pub(crate) installs: Distribution,
}

impl Keeper {
    /// Starts the thread. It ends when it is closed, or the last handle is gone, and what was queued is done.
    pub(crate) fn start(
        checkpoint: Checkpoint,
        snapshots: SnapshotStore,
        space: Space,
        fatal: Fatal,
    ) -> io::Result<Keeper> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let state = Arc::new(State { image_bytes: AtomicU64::new(u64::MAX), ..State::default() });
        let rests = Rests::new();
        // A simulation has no other thread that work would be felt by.
        let checkpoint = if simulated::is_on() { checkpoint } else { checkpoint.at_pace(rests.pace()) };
        let worker = Worker {
            checkpoint,
            snapshots: snapshots.clone(),
            space: space.clone(),
            state: state.clone(),
            rests: rests.clone(),
            fatal,
        };
        if simulated::is_on() {
            tokio::spawn(worker.run_in_simulation(queue));
        } else {
            let work = move || worker.run(queue);
            std::thread::Builder::new().name("keeper".into()).spawn(work)?;
        }
        Ok(Keeper { jobs, state, rests, snapshots, space })
    }

    /// Whether nothing is queued or under way, so that a save would start at once.
    pub(crate) fn is_idle(&self) -> bool {
        !self.state.busy.load(Ordering::Acquire)
    }

    /// What is under way goes on without rests.
    pub(crate) fn hurry(&self) {
        self.rests.hurry();
    }

    /// No changes, with the memory of those that were saved.
    pub(crate) fn empty_changes(&self) -> Changes {
        std::mem::take(&mut *self.state.emptied())
    }

    /// Whether there is room for a save of so many records. That it is put off is said once, and that it goes on.
    pub(crate) fn has_room_for_save(&self, records: usize) -> bool {
        let has_room = self.space.has_for_save(self.image_bytes(), records);
        let was_put_off = self.state.put_off.swap(!has_room, Ordering::AcqRel);
        match (has_room, was_put_off) {
            (false, false) => tracing::warn!(records, "checkpoints are put off until there is room for one"),
            (true, true) => tracing::info!(records, "there is room for a checkpoint again"),
            _ => {}
        }
        has_room
    }

    /// Waits until a snapshot about as long as the last one can be built, after a save of so many records.
    ///
    /// # Errors
    /// The keeper has ended meanwhile.
    pub(crate) async fn wait_for_room(
        &self,
        snapshot_bytes: u64,
        records: impl Fn() -> usize,
    ) -> io::Result<()> {
        let mut waiting = false;
        while !self.has_room_for_build(snapshot_bytes, records()).await? {
            if !std::mem::replace(&mut waiting, true) {
                tracing::warn!("the next snapshot waits until there is room for it");
            }
            tokio::time::sleep(ROOM_AFTER).await;
            if self.state.ended.load(Ordering::Acquire) {
                return Err(io::Error::other("the keeper of the images has ended"));
            }
        }
        Ok(())
    }

    /// Whether a snapshot about that long can be built now, after a save of so many records.
    pub(crate) async fn has_room_for_build(&self, snapshot_bytes: u64, records: usize) -> io::Result<bool> {
        let (space, image_bytes) = (self.space.clone(), self.image_bytes());
        // A disk that hangs shall hold up nobody else.
        let asking = move || space.has_for_build(snapshot_bytes, image_bytes, records);
        blocking(asking).await
    }

    fn image_bytes(&self) -> u64 {
        self.state.image_bytes.load(Ordering::Relaxed)
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
    /// snapshot. `None`: there was no room for it.
    pub(crate) fn build(&self, save: Save) -> impl Future<Output = io::Result<Option<Snapshot>>> + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Build(save, reply));
        answered(answer)
    }

    /// Queues a save and an audit of its image at once, as [`Keeper::save_and_wait`] does; the future waits for what
    /// was found. Dropped, it ends the audit.
    pub(crate) fn audit(&self, save: Save) -> impl Future<Output = io::Result<ImageAudit>> + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Audit(save, reply));
        answered(answer)
    }

    /// Queues a save and a copy of its image at once, as [`Keeper::save_and_wait`] does; the future waits for the copy,
    /// which is a snapshot that nobody else sees. `None`: there was no room for it.
    pub(crate) fn copy(&self, save: Save) -> impl Future<Output = io::Result<Option<Snapshot>>> + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Copy(save, reply));
        answered(answer)
    }

    /// Makes a received snapshot this node's newest, and the checkpoint its image; answers the inventory in it.
    pub(crate) async fn install(&self, snapshot: Snapshot) -> io::Result<Box<Inventory>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Install(snapshot, reply));
        answered(answer).await
    }

    /// Starts to receive a snapshot of that length; `None` where there is no room to install it. Blocking.
    pub(crate) fn receive(&self, bytes: u64) -> Result<Option<Receiving>, StorageError> {
        if !self.space.has_for_install(bytes) {
            return Ok(None);
        }
        self.snapshots.receive().map(Some).or_else(none_without_room)
    }

    /// Does what was queued, without rests, then closes the checkpoint. Whatever is asked later fails.
    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        self.send(Job::Close(reply));
        // A thread that has stopped after a failure is closed as well.
        let _ = closed.await;
    }

    /// How often the thread did what.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            saves: self.state.saves.read(),
            builds: self.state.builds.read(),
            installs: self.state.installs.read(),
        }
    }

    fn send(&self, job: Job) {
        self.state.busy.store(true, Ordering::Release);
        if job.is_waited_for() {
            self.rests.wait_for();
        }
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
    space: Space,
    state: Arc<State>,
    rests: Arc<Rests>,
    fatal: Fatal,
}

impl Worker {
    /// Serves the queue to its end.
    fn run(mut self, mut queue: Queue) {
        self.measure();
        let mut closing = ControlFlow::Continue(());
        while closing.is_continue()
            && let Some(job) = self.next(&mut queue)
        {
            closing = self.serve(job);
        }
        self.end(closing);
    }

    /// The same as a task: each job is done when the disk's time has passed.
    async fn run_in_simulation(mut self, mut queue: Queue) {
        self.measure();
        let mut closing = ControlFlow::Continue(());
        while closing.is_continue()
            && let Some(job) = queue.recv().await
        {
            simulated::disk_time().await;
            closing = self.serve(job);
            self.state.busy.store(!queue.is_empty(), Ordering::Release);
        }
        self.end(closing);
    }

    /// The next job; the thread is idle while it waits for one.
    fn next(&self, queue: &mut Queue) -> Option<Job> {
        match queue.try_recv() {
            Ok(job) => Some(job),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                self.state.busy.store(false, Ordering::Release);
                queue.blocking_recv()
            }
        }
    }

    /// Does a job. Breaks with whom to tell once everything is closed, where that was asked for.
    fn serve(&mut self, job: Job) -> ControlFlow<Closing> {
        let is_waited_for = job.is_waited_for();
        self.rests.begin();
        let served = catch_unwind(AssertUnwindSafe(|| self.try_serve(job)));
        if is_waited_for {
            self.rests.done();
        }
        served.unwrap_or_else(|_| {
            self.fatal.report("the keeper of the images panicked");
            ControlFlow::Break(None)
        })
    }

    fn try_serve(&mut self, job: Job) -> ControlFlow<Closing> {
        let done = match job {
            Job::Close(reply) => return ControlFlow::Break(Some(reply)),
            Job::Save(save, reply) => {
                let saved = self.save(save);
                self.answer(reply, saved)
            }
            Job::Build(save, reply) => {
                let built = self.save(save).and_then(|()| self.build());
                self.answer(Some(reply), built)
            }
            Job::Audit(save, reply) => {
                let audited = self.save(save).map(|()| self.audit(&reply));
                self.answer(Some(reply), audited)
            }
            Job::Copy(save, reply) => {
                let copied = self.save(save).and_then(|()| self.copy(&reply));
                self.answer(Some(reply), copied)
            }
            Job::Install(snapshot, reply) => {
                let installed = self.install(&snapshot);
                self.answer(Some(reply), installed)
            }
        };
        if done { ControlFlow::Continue(()) } else { ControlFlow::Break(None) }
    }

    fn end(self, closing: ControlFlow<Closing>) {
        self.state.ended.store(true, Ordering::Release);
        drop(self);
        // Only now may the directory be opened again.
        if let ControlFlow::Break(Some(reply)) = closing {
            // Whoever asked may have given up.
            let _ = reply.send(());
        }
    }

    fn measure(&self) {
        self.state.image_bytes.store(self.space.image_bytes(), Ordering::Relaxed);
    }

    /// An image never goes back: what was taken out before a snapshot was installed is part of that.
    fn save(&mut self, mut save: Save) -> Result<(), StorageError> {
        if self.checkpoint.header().is_none_or(|last| save.header.applied >= last.applied) {
            let begun = Instant::now();
            self.checkpoint.save(&save.header, &mut save.changes)?;
            self.measure();
            self.state.saves.add(begun.elapsed());
        }
        save.changes.clear(EMPTIED_BYTES_MAX);
        *self.state.emptied() = save.changes;
        Ok(())
    }

    /// `None` where there is no room: what was written of it is gone again.
    fn build(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let begun = Instant::now();
        let built = self.snapshots.write(&self.checkpoint).map(Some).or_else(none_without_room)?;
        if built.is_some() {
            self.state.builds.add(begun.elapsed());
        }
        Ok(built)
    }

    /// `None` where there is no room, as for [`Worker::build`], or nobody waits for it any more.
    fn copy(&self, reply: &Reply<Option<Snapshot>>) -> Result<Option<Snapshot>, StorageError> {
        if reply.is_closed() {
            return Ok(None);
        }
        self.snapshots.write_nameless(&self.checkpoint).map(Some).or_else(none_without_room)
    }

    fn audit(&self, reply: &Reply<ImageAudit>) -> ImageAudit {
        audit::of_image(&self.checkpoint, || !reply.is_closed())
    }

    /// The snapshot becomes the newest first: from there on a crash finds it at the next start.
    fn install(&mut self, snapshot: &Snapshot) -> Result<Box<Inventory>, StorageError> {
        let begun = Instant::now();
        self.snapshots.adopt(snapshot)?;
        let inventory = Box::new(snapshot.load()?);
        self.checkpoint.replace(snapshot.header(), &mut inventory.records())?;
        self.measure();
        self.state.installs.add(begun.elapsed());
        Ok(inventory)
    }

    /// Hands a result to whoever asked. A failure is reported first: whatever follows from it is not the reason.
    fn answer<T>(&self, reply: Option<Reply<T>>, result: Result<T, StorageError>) -> bool {
        let is_done = result.is_ok();
        if let Err(error) = &result {
            self.fatal.report(error);
        }
        if let Some(reply) = reply {
            // Whoever asked may have given up.
            let _ = reply.send(result);
        }
        is_done
    }
}

/// Want of space where nothing has changed yet is no failure.
fn none_without_room<T>(error: StorageError) -> Result<Option<T>, StorageError> {
    if error.is_out_of_space() { Ok(None) } else { Err(error) }
}
