//! From commands to log entries: everything that waits becomes one entry.
//!
//! ```text
//!   submit --> queue --> leader here?  yes --> surely refused by applied state? --> gate --> answered, not logged
//!                |                                      no --> stamp, encode, one entry --> Raft --> apply --> answers
//!                |                     no ---> forward all that waits, as one call, to the leader
//!                +---- not executed, and time left: wait a moment, try again
//! ```
//!
//! Batching is natural: while a few entries are under way, what arrives gathers, and becomes the next one as soon as
//! one of them is answered. There is no timer.
//!
//! What may be tried again, and what not: Raft answers `ForwardToLeader` to a write only before it is appended, and
//! a call that was not sent has not arrived; both were not executed. Everything else that is no answer is unknown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openraft::errors::{ClientWriteError, ForwardReason};
use openraft::raft::ClientWriteResult;
use storage::inventory::command::{Request, Stamp};
use storage::inventory::outcome::{Applied, Rejection};
use storage::log::Log;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{timeout, timeout_at};

use crate::codec::{self, Batch};
use crate::read::Confirmer;
use crate::transport::message::{Call, Reply};
use crate::transport::{CallError, Caller, Local, callers};
use crate::types::{Callback, Raft, TypeConfig};
use crate::{Answer, ProposeError, ReadError};

/// Commands that may wait; more are refused at once.
const QUEUE: usize = 16_384;

/// Commands in one entry at most. The longest command is about 15 KiB, so an entry stays below the message limit.
const BATCH: usize = 1_024;

/// Entries, or forwarded calls, under way at once. More would make each smaller; fewer would leave the disk idle.
const UNDER_WAY: usize = 4;

/// How long a command that was not executed is tried again for: long enough for an election.
const PATIENCE: Duration = Duration::from_millis(2_000);

/// How often what waits for a turn is looked at.
const RECHECK: Duration = Duration::from_millis(100);

/// How long between two such tries.
const PAUSE: Duration = Duration::from_millis(15);

/// How long a command's fate is waited for.
const DEADLINE: Duration = Duration::from_secs(5);

type Result = std::result::Result<Answer, ProposeError>;

/// A command and who waits for its answer.
struct Waiting {
    request: Request,
    since: Instant,
    /// It came from a node that took this one for the leader: it is not passed on again.
    forwarded: bool,
    /// The answer where patience ends before it could be handed to anyone.
    refusal: ProposeError,
    reply: oneshot::Sender<Result>,
}

impl Waiting {
    fn answer(self, answer: Result) {
        // Whoever asked may have given up: there is nobody to tell.
        let _ = self.reply.send(answer);
    }
}

/// Counters for metrics.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) entries: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) gated: AtomicU64,
    pub(crate) forwarded: AtomicU64,
}

/// The way in for commands. A cheap handle.
#[derive(Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Waiting>,
    pub(crate) counters: Arc<Counters>,
}

impl Proposer {
    /// Makes the way in, and the worker behind it, which must be run.
    pub(crate) fn new(local: Arc<Local>, log: Log, raft: Raft, confirmer: Confirmer) -> (Proposer, Worker) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let proposer = Proposer { queue, counters: Arc::default() };
        let callers = callers(&local);
        let (gate, gated) = mpsc::channel(QUEUE);
        let shared = Shared {
            local,
            log,
            raft,
            confirmer,
            proposer: proposer.clone(),
            callers,
            gate,
            leading: turns(),
            following: turns(),
        };
        (proposer, Worker { shared: Arc::new(shared), waiting, gated })
    }

    /// Gets a command applied, wherever the leader is.
    pub(crate) async fn submit(&self, request: Request) -> Result {
        let deadline = Instant::now() + DEADLINE;
        wait(self.enqueue(request, false)?, deadline).await
    }

    /// Gets commands applied for a node that takes this one for the leader.
    pub(crate) async fn submit_forwarded(&self, requests: Vec<Request>) -> Vec<Result> {
        let deadline = Instant::now() + DEADLINE;
        let queued: Vec<_> = requests.into_iter().map(|request| self.enqueue(request, true)).collect();
        let mut answers = Vec::with_capacity(queued.len());
        for answer in queued {
            answers.push(match answer {
                Ok(answer) => wait(answer, deadline).await,
                Err(refused) => Err(refused),
            });
        }
        answers
    }

    /// How many commands wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    fn enqueue(
        &self,
        request: Request,
        forwarded: bool,
    ) -> std::result::Result<oneshot::Receiver<Result>, ProposeError> {
        let (reply, answer) = oneshot::channel();
        let refusal = ProposeError::NoLeader;
        let waiting = Waiting { request, since: Instant::now(), forwarded, refusal, reply };
        match self.queue.try_send(waiting) {
            Ok(()) => Ok(answer),
            Err(_) => Err(ProposeError::Overloaded),
        }
    }

    /// Queues a command again that was not executed, or refuses it where its time is over.
    fn again(&self, waiting: Waiting) {
        if waiting.since.elapsed() > PATIENCE {
            let refusal = waiting.refusal;
            return waiting.answer(Err(refusal));
        }
        if let Err(mpsc::error::TrySendError::Full(waiting) | mpsc::error::TrySendError::Closed(waiting)) =
            self.queue.try_send(waiting)
        {
            waiting.answer(Err(ProposeError::Overloaded));
        }
    }

    /// The same for many, after a pause.
    async fn again_soon(&self, batch: Vec<Waiting>, why: ProposeError) {
        tokio::time::sleep(PAUSE).await;
        for mut waiting in batch {
            waiting.refusal = why;
            self.again(waiting);
        }
    }
}

fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(UNDER_WAY))
}

/// An answer that does not come, or whose sender is gone, is unknown: the command may be in the log.
async fn wait(answer: oneshot::Receiver<Result>, deadline: Instant) -> Result {
    match timeout_at(deadline.into(), answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(ProposeError::OutcomeUnknown),
    }
}

/// What the worker's tasks share.
struct Shared {
    local: Arc<Local>,
    log: Log,
    raft: Raft,
    confirmer: Confirmer,
    proposer: Proposer,
    callers: BTreeMap<u64, Caller>,
    gate: mpsc::Sender<Waiting>,
    leading: Arc<Semaphore>,
    following: Arc<Semaphore>,
}

/// The worker behind a [`Proposer`].
pub(crate) struct Worker {
    shared: Arc<Shared>,
    waiting: mpsc::Receiver<Waiting>,
    gated: mpsc::Receiver<Waiting>,
}

impl Worker {
    /// Serves the queue for ever.
    pub(crate) async fn run(self) {
        let Worker { shared, waiting, gated } = self;
        tokio::join!(propose_all(shared.clone(), waiting), gate_all(shared, gated));
    }
}

async fn propose_all(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    loop {
        if batch.is_empty() && waiting.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        match timeout(RECHECK, shared.turns().acquire_owned()).await {
            Ok(Ok(turn)) => {
                take_what_is_there(&mut waiting, &mut batch);
                shared.clone().dispatch(std::mem::take(&mut batch), turn).await;
            }
            // The semaphores are never closed.
            Ok(Err(_)) => return,
            Err(_) => shared.refuse_impatient(&mut batch),
        }
    }
}

/// What gathered while a turn was waited for goes with the rest. Whoever gave up was told that the outcome is unknown;
/// not executing it is one of the outcomes.
fn take_what_is_there(waiting: &mut mpsc::Receiver<Waiting>, batch: &mut Vec<Waiting>) {
    while batch.len() < BATCH
        && let Ok(next) = waiting.try_recv()
    {
        batch.push(next);
    }
    batch.retain(|waiting| !waiting.reply.is_closed());
}

impl Shared {
    /// The turns of what this node is: forwards that a dead leader holds up shall not hold up its successor.
    fn turns(&self) -> Arc<Semaphore> {
        if self.raft.as_leader().is_ok() { self.leading.clone() } else { self.following.clone() }
    }

    /// Refuses what no turn came for in time: it is in nobody's hands yet.
    fn refuse_impatient(&self, batch: &mut Vec<Waiting>) {
        let why = match self.raft.as_leader() {
            Ok(_) => ProposeError::NoQuorum,
            Err(_) => ProposeError::NoLeader,
        };
        for waiting in batch.extract_if(.., |waiting| waiting.since.elapsed() > PATIENCE) {
            waiting.answer(Err(why));
        }
    }

    async fn dispatch(self: Arc<Self>, batch: Vec<Waiting>, turn: OwnedSemaphorePermit) {
        match self.raft.as_leader() {
            Ok(_) => self.lead(batch, turn).await,
            Err(elsewhere) => {
                let (forwarded, own) = batch.into_iter().partition::<Vec<_>, _>(|waiting| waiting.forwarded);
                forwarded.into_iter().for_each(|waiting| waiting.answer(Err(ProposeError::NoLeader)));
                tokio::spawn(self.follow(own, elsewhere.leader_id, turn));
            }
        }
    }

    async fn lead(self: Arc<Self>, batch: Vec<Waiting>, turn: OwnedSemaphorePermit) {
        let batch = self.divert(batch);
        if batch.is_empty() {
            return;
        }
        let (requests, waiters) = split(batch);
        let stamped = Batch { stamp: self.stamp(), requests };
        let proposal = match codec::encode_batch(&stamped) {
            Ok(proposal) => proposal,
            Err(e) => {
                return self.local.fatal.report(format!("commands could not be encoded: {e}"));
            }
        };
        self.proposer.counters.entries.fetch_add(1, Ordering::Relaxed);
        self.proposer.counters.commands.fetch_add(waiters.len() as u64, Ordering::Relaxed);
        let shared = self.clone();
        let done = Callback::new(move |result| shared.done(stamped.requests, waiters, result, turn));
        if let Err(fatal) = self.raft.write(proposal).responder(done).await {
            self.local.fatal.report(format!("raft has stopped: {fatal}"));
        }
    }

    /// Sends to the gate what the applied state would refuse now; the rest is to be logged.
    fn divert(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let applied = self.local.replica.read();
        let refused = |w: &Waiting| applied.inventory.sure_rejection(&w.request).is_some();
        let (refused, logged): (Vec<_>, Vec<_>) = batch.into_iter().partition(refused);
        drop(applied);
        for waiting in refused {
            if let Err(full) = self.gate.try_send(waiting) {
                full.into_inner().answer(Err(ProposeError::Overloaded));
            }
        }
        logged
    }

    fn stamp(&self) -> Stamp {
        let options = &self.local.options;
        Stamp {
            now_ms: self.now_ms(),
            retention_ms: options.retention.as_millis() as u64,
            idempotency_ms: options.idempotency_retention.as_millis() as u64,
            max_hold_ms: options.max_hold.as_millis() as u64,
            events_ms: options.events_retention.as_millis() as u64,
            events_max: options.events_max,
        }
    }

    fn now_ms(&self) -> u64 {
        let applied = self.local.replica.read();
        let (log_ms, log_at) = (applied.inventory.now_ms(), applied.advanced_at);
        drop(applied);
        self.local.clock.stamp_ms(log_ms, log_at)
    }

    /// Runs where the entry was applied, or was refused: nothing here may wait.
    fn done(
        &self,
        requests: Vec<Request>,
        waiters: Vec<Waiter>,
        result: ClientWriteResult<TypeConfig>,
        turn: OwnedSemaphorePermit,
    ) {
        match result {
            Ok(written) => {
                let answers = written.data.into_iter().map(|applied| Ok(Answer::Applied(applied)));
                waiters.into_iter().zip(answers).for_each(|(waiter, answer)| drop(waiter.reply.send(answer)));
            }
            Err(ClientWriteError::ForwardToLeader(elsewhere)) => {
                let why = match elsewhere.reason {
                    ForwardReason::LeaseExpired => ProposeError::NoQuorum,
                    _ => ProposeError::NoLeader,
                };
                let batch =
                    requests.into_iter().zip(waiters).map(|(request, waiter)| waiter.with(request)).collect();
                let proposer = self.proposer.clone();
                tokio::spawn(async move {
                    proposer.again_soon(batch, why).await;
                    drop(turn);
                });
            }
            // Discarded here, but another node may have committed it.
            Err(_) => waiters.into_iter().for_each(|w| drop(w.reply.send(Err(ProposeError::OutcomeUnknown)))),
        }
    }

    /// Forwards to the leader, or waits for one.
    async fn follow(self: Arc<Self>, batch: Vec<Waiting>, leader: Option<u64>, turn: OwnedSemaphorePermit) {
        let Some(caller) = leader.and_then(|leader| self.callers.get(&leader)) else {
            return self.proposer.again_soon(batch, ProposeError::NoLeader).await;
        };
        let (requests, waiters) = split(batch);
        self.proposer.counters.forwarded.fetch_add(waiters.len() as u64, Ordering::Relaxed);
        let call = Call::Forward(requests);
        let reply = caller.call(&call, DEADLINE).await;
        drop(turn);
        let Call::Forward(requests) = call else { return };
        let answers = match reply {
            Ok(Reply::Forward(answers)) if answers.len() == waiters.len() => answers,
            Ok(Reply::Failed(_)) | Err(CallError::NotSent(_)) => {
                vec![Err(ProposeError::NoLeader); waiters.len()]
            }
            Ok(_) | Err(CallError::Lost(_)) => vec![Err(ProposeError::OutcomeUnknown); waiters.len()],
        };
        self.settle(requests, waiters, answers).await;
    }

    /// Answers what has an answer; what was not executed is tried again.
    async fn settle(&self, requests: Vec<Request>, waiters: Vec<Waiter>, answers: Vec<Result>) {
        let mut refused: BTreeMap<ProposeError, Vec<Waiting>> = BTreeMap::new();
        for ((request, waiter), answer) in requests.into_iter().zip(waiters).zip(answers) {
            match answer {
                Err(why @ (ProposeError::NoLeader | ProposeError::NoQuorum)) => {
                    refused.entry(why).or_default().push(waiter.with(request));
                }
                answer => drop(waiter.reply.send(answer)),
            }
        }
        for (why, batch) in refused {
            self.proposer.again_soon(batch, why).await;
        }
    }

    /// Confirms leadership, and waits until all that is in this log has been applied: an earlier try of a gated
    /// command may be in there, and its buyer shall not be sent away by the later one.
    async fn confirm_gate(&self) -> std::result::Result<(), ProposeError> {
        let confirmed = self.confirmer.confirm_here().await.map_err(not_executed)?;
        let last = self.log.state().last.map(|position| position.index);
        let applied = self.local.replica.wait_applied(last.max(Some(confirmed)));
        timeout(PATIENCE, applied).await.map_err(|_| ProposeError::NoQuorum)
    }

    fn answer_gated(&self, batch: Vec<Waiting>) {
        let now_ms = self.now_ms();
        let applied = self.local.replica.read();
        let sequence = applied.inventory.sequence();
        for waiting in batch {
            match applied.inventory.sure_rejection(&waiting.request) {
                Some(rejection) => {
                    self.proposer.counters.gated.fetch_add(1, Ordering::Relaxed);
                    let result = Err(at(rejection, now_ms));
                    waiting.answer(Ok(Answer::Gated(Applied { sequence, replayed: false, result })));
                }
                None => self.proposer.again(waiting),
            }
        }
    }
}

/// A refusal as of now: while nothing is logged the state machine's clock rests.
fn at(rejection: Rejection, now_ms: u64) -> Rejection {
    match rejection {
        Rejection::HeldByOthers { shortages, earliest_ms, now_ms: then } => {
            Rejection::HeldByOthers { shortages, earliest_ms, now_ms: now_ms.max(then) }
        }
        other => other,
    }
}

/// Answers what the applied state surely refuses: one confirmation of leadership for all that wait, begun after they
/// arrived, so that the refusal is a linearizable read.
async fn gate_all(shared: Arc<Shared>, mut gated: mpsc::Receiver<Waiting>) {
    loop {
        let mut batch = Vec::new();
        if gated.recv_many(&mut batch, QUEUE).await == 0 {
            return;
        }
        match shared.confirm_gate().await {
            Ok(()) => shared.answer_gated(batch),
            Err(why) => {
                let proposer = shared.proposer.clone();
                tokio::spawn(async move { proposer.again_soon(batch, why).await });
            }
        }
    }
}

fn not_executed(why: ReadError) -> ProposeError {
    match why {
        ReadError::NoLeader => ProposeError::NoLeader,
        ReadError::NoQuorum => ProposeError::NoQuorum,
        ReadError::Overloaded => ProposeError::Overloaded,
    }
}

/// A [`Waiting`] without its request.
struct Waiter {
    since: Instant,
    forwarded: bool,
    reply: oneshot::Sender<Result>,
}

impl Waiter {
    fn with(self, request: Request) -> Waiting {
        let Waiter { since, forwarded, reply } = self;
        Waiting { request, since, forwarded, refusal: ProposeError::NoLeader, reply }
    }
}

fn split(batch: Vec<Waiting>) -> (Vec<Request>, Vec<Waiter>) {
    let parts = |w: Waiting| (w.request, Waiter { since: w.since, forwarded: w.forwarded, reply: w.reply });
    batch.into_iter().map(parts).unzip()
}
