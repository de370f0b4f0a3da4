//! From commands to log entries: everything that waits becomes one entry.
//!
//! ```text
//!   submit --> too fast (rates)?  yes --> refused
//!                |
//!              queue --> surely refused by applied state?  yes --> gate --> answered, not logged
//!                |         no --> leader here?  yes --> stamp, pack, one entry --> Raft --> apply --> answers
//!                |                              no ---> forward all that waits, as one call, to the leader
//!                +---- not executed, and time left: wait a moment, try again
//! ```
//!
//! Batching is natural: while a few entries are under way, what arrives gathers, and becomes the next one as soon as
//! one of them is answered. There is no timer.
//!
//! What may be tried again, and what not: Raft answers `ForwardToLeader` to a write only before it is appended: it was
//! not executed. Everything else that is no answer is unknown. While the peers hold this node's start off (`refusals`)
//! nothing is tried again: as a rule they have a leader. Of a unit of many only the end is tried again: no command of
//! it may overtake an earlier one.
//!
//! * `lead` is what becomes of commands where this node leads; `follow` is the way to the leader, where it is another.

mod follow;
mod lead;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage::histogram::Histogram;
use storage::inventory::command::Request;
use storage::log::Log;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::ProposeError;
use crate::aside::Room;
use crate::gate;
use crate::pack::SHARED_COMMANDS_MAX;
use crate::rates::Rates;
use crate::read::Confirmer;
use crate::transport::{Caller, Callers, Local};
use crate::types::Raft;
use crate::waiting::{Forwarded, Queue, Queued, Reply, Requests, Result, Waiting, gathering, queue};

/// The most commands of one unit: of one call of `submit_many`.
pub const UNIT_COMMANDS_MAX: usize = 10_000;

/// Commands that may wait; more are refused at once.
const QUEUE: usize = 16_384;

/// Entries, or forwarded calls, under way at once. More would make each smaller; fewer would leave the disk idle.
const UNDER_WAY: usize = 4;

/// How long a command that was not executed is tried again for: long enough for an election.
pub(crate) const PATIENCE: Duration = Duration::from_millis(2_000);

/// How often what waits for a turn is looked at.
const RECHECK: Duration = Duration::from_millis(100);

/// How long between two such tries.
const PAUSE: Duration = Duration::from_millis(15);

/// How long a command's fate is waited for.
const DEADLINE: Duration = Duration::from_secs(5);

/// Counters for metrics.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) entries: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) gated: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    /// How long the first of what is dispatched together has waited for that.
    pub(crate) queueing: Histogram,
    /// From an entry's proposal to its answers.
    pub(crate) proposing: Histogram,
}

impl Counters {
    /// Commands that were put into entries here.
    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Counts commands that the gate answered.
    pub(crate) fn count_gated(&self, commands: usize) {
        self.gated.fetch_add(commands as u64, Ordering::Relaxed);
    }
}

/// The way in for commands. A cheap handle.
#[derive(Clone)]
pub(crate) struct Proposer {
    local: Arc<Local>,
    queue: Queue,
    raft: Raft,
    rates: Arc<Rates>,
    gate: Queue,
    leading: Arc<Semaphore>,
    following: Arc<Semaphore>,
    pub(crate) counters: Arc<Counters>,
}

impl Proposer {
    /// Makes the way in, and the worker behind it, which must be run.
    pub(crate) fn new(
        local: Arc<Local>,
        log: Log,
        raft: Raft,
        confirmer: Confirmer,
        room: Room,
    ) -> (Proposer, Worker) {
        let (way_in, waiting) = queue(QUEUE);
        let (gate, gated) = queue(QUEUE);
        let (leading, following) = (turns(), turns());
        let proposer = Proposer {
            local: local.clone(),
            queue: way_in,
            raft: raft.clone(),
            rates: Arc::new(Rates::new(&local.options.rates)),
            gate: gate.clone(),
            leading: leading.clone(),
            following: following.clone(),
            counters: Arc::default(),
        };
        let callers = Callers::new(local.clone());
        let shared = Shared {
            local,
            log,
            room,
            raft,
            confirmer,
            proposer: proposer.clone(),
            callers,
            gate,
            leading,
            following,
        };
        (proposer, Worker { shared: Arc::new(shared), waiting, gated })
    }

    /// Gets a command of that caller applied, wherever the leader is.
    pub(crate) async fn submit(&self, request: Request, caller: Option<&str>) -> Result {
        self.rates.take(&request, caller)?;
        let now = Instant::now();
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting::new(Requests::One(request), now, false, Reply::One(reply));
        self.queue.push(waiting.of(self.rates.caller(caller)));
        match timeout_at(now + DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            // An answer that does not come, or whose sender is gone: the command may be in the log.
            Ok(Err(_)) | Err(_) => Err(ProposeError::OutcomeUnknown),
        }
    }

    /// Gets commands applied in order and together, wherever the leader is.
    pub(crate) async fn submit_many(&self, requests: Vec<Request>, caller: Option<&str>) -> Vec<Result> {
        if requests.len() > UNIT_COMMANDS_MAX {
            return vec![Err(ProposeError::Overloaded); requests.len()];
        }
        let (requests, caller) = (Requests::Many(requests), self.rates.caller(caller));
        let units = vec![Forwarded { requests, caller, counted: false }];
        self.submit_units(units, false).await
    }

    /// Gets units applied for a node that takes this one for the leader: one answer for each command, in order. Who
    /// does not lead counts none of them: the one who does will.
    pub(crate) async fn submit_forwarded(&self, mut units: Vec<Forwarded>) -> Vec<Result> {
        let leads = self.raft.as_leader().is_ok();
        units.iter_mut().for_each(|unit| unit.counted |= !leads);
        self.submit_units(units, true).await
    }

    async fn submit_units(&self, mut units: Vec<Forwarded>, forwarded: bool) -> Vec<Result> {
        let now = Instant::now();
        let refused = self.rates.refuse(&mut units);
        let (mut parts, answers) = gathering(units.iter().map(|unit| unit.requests.len()).sum());
        for Forwarded { requests, caller, .. } in units {
            let part = parts.split_first(requests.len());
            self.queue.push(Waiting::new(requests, now, forwarded, Reply::Part(part)).of(caller));
        }
        together(refused, answers.wait(now + DEADLINE).await)
    }

    /// Commands refused because they came too fast: of customers, and of callers.
    pub(crate) fn refused_by_rates(&self) -> (u64, u64) {
        let Rates { refused_of_customers, refused_of_callers, .. } = &*self.rates;
        (refused_of_customers.load(Ordering::Relaxed), refused_of_callers.load(Ordering::Relaxed))
    }

    /// How many commands wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.commands()
    }

    /// How many commands wait at the gate.
    pub(crate) fn waiting_at_gate(&self) -> usize {
        self.gate.commands()
    }

    /// How many entries, and how many forwarded calls, are under way.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let taken = |turns: &Semaphore| UNDER_WAY - turns.available_permits().min(UNDER_WAY);
        (taken(&self.leading), taken(&self.following))
    }

    /// Queues a unit again that was not executed, or refuses it where its time is over.
    pub(crate) fn again(&self, waiting: Waiting) {
        if waiting.waiter.since.elapsed() > PATIENCE || self.local.refusals.is_held_off() {
            let refusal = waiting.refusal;
            return waiting.refuse(refusal);
        }
        self.queue.push(waiting);
    }

    /// The same for many, after a pause.
    pub(crate) async fn again_soon(&self, units: Vec<Waiting>, why: ProposeError) {
        tokio::time::sleep(PAUSE).await;
        for unit in units {
            self.again(Waiting { refusal: why, ..unit });
        }
    }
}

fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(UNDER_WAY))
}

/// What the worker's tasks share.
pub(crate) struct Shared {
    pub(crate) local: Arc<Local>,
    pub(crate) log: Log,
    room: Room,
    raft: Raft,
    pub(crate) confirmer: Confirmer,
    pub(crate) proposer: Proposer,
    callers: Callers,
    gate: Queue,
    leading: Arc<Semaphore>,
    following: Arc<Semaphore>,
}

/// The worker behind a [`Proposer`].
pub(crate) struct Worker {
    shared: Arc<Shared>,
    waiting: Queued,
    gated: Queued,
}

impl Worker {
    /// Serves the queue for ever.
    pub(crate) async fn run(self) {
        let Worker { shared, waiting, gated } = self;
        tokio::join!(propose_all(shared.clone(), waiting), gate::run(shared, gated));
    }
}

async fn propose_all(shared: Arc<Shared>, mut waiting: Queued) {
    let mut units = Vec::new();
    loop {
        if units.is_empty() {
            let Some(first) = waiting.next().await else { return };
            units.push(first);
        }
        match timeout(RECHECK, shared.turns().acquire_owned()).await {
            Ok(Ok(turn)) => {
                take_what_is_there(&mut waiting, &mut units);
                shared.note_waited(&units);
                shared.clone().dispatch(std::mem::take(&mut units), turn).await;
            }
            // The semaphores are never closed.
            Ok(Err(_)) => return,
            Err(_) => shared.refuse_impatient(&mut units),
        }
    }
}

/// What gathered while a turn was waited for goes with the rest. Whoever gave up was told that the outcome is unknown;
/// not executing it is one of the outcomes.
fn take_what_is_there(waiting: &mut Queued, units: &mut Vec<Waiting>) {
    let mut commands: usize = units.iter().map(Waiting::len).sum();
    while commands < SHARED_COMMANDS_MAX
        && let Some(next) = waiting.try_next()
    {
        commands += next.len();
        units.push(next);
    }
    units.retain(|unit| !unit.waiter.reply.is_closed());
}

impl Shared {
    /// The turns of what this node is: forwards that a dead leader holds up shall not hold up its successor.
    fn turns(&self) -> Arc<Semaphore> {
        if self.raft.as_leader().is_ok() { self.leading.clone() } else { self.following.clone() }
    }

    /// Refuses what no turn came for in time: it is in nobody's hands yet.
    fn refuse_impatient(&self, units: &mut Vec<Waiting>) {
        let why = match self.raft.as_leader() {
            Ok(_) => ProposeError::NoQuorum,
            Err(_) => ProposeError::NoLeader,
        };
        for unit in units.extract_if(.., |unit| unit.waiter.since.elapsed() > PATIENCE) {
            unit.refuse(why);
        }
    }

    fn note_waited(&self, units: &[Waiting]) {
        if let Some(first) = units.first() {
            self.proposer.counters.queueing.add(first.waiter.since.elapsed());
        }
    }

    async fn dispatch(self: Arc<Self>, units: Vec<Waiting>, turn: OwnedSemaphorePermit) {
        match self.raft.as_leader() {
            Ok(_) => self.lead(units, turn).await,
            Err(elsewhere) => {
                let stays = |unit: &Waiting| unit.waiter.forwarded || unit.requests.is_raise();
                let (staying, own) = units.into_iter().partition::<Vec<_>, _>(stays);
                staying.into_iter().for_each(|unit| unit.refuse(ProposeError::NoLeader));
                let own = self.divert(own);
                if !own.is_empty() {
                    tokio::spawn(self.follow(own, elsewhere.leader_id, turn));
                }
            }
        }
    }

    /// Sends to the gate what the applied state would refuse now; the rest is to be logged.
    fn divert(&self, units: Vec<Waiting>) -> Vec<Waiting> {
        let applied = self.local.replica.read();
        let leads = self.raft.as_leader().is_ok();
        // What counts for somebody is counted by the leader, refused or not.
        let counts = |unit: &Waiting| {
            self.proposer.rates.count(unit.requests.as_slice(), unit.waiter.caller.as_deref())
        };
        let refused = |unit: &Waiting| {
            (leads || !(unit.waiter.ungated || counts(unit)))
                && gate::is_surely_refused(&applied.inventory, unit)
        };
        let (refused, logged): (Vec<_>, Vec<_>) = units.into_iter().partition(refused);
        drop(applied);
        refused.into_iter().for_each(|unit| self.gate.push(unit));
        logged
    }

    /// The cluster clock now.
    pub(crate) fn now_ms(&self) -> u64 {
        let applied = self.local.replica.read();
        let (log_ms, log_at) = (applied.inventory.now_ms(), applied.advanced_at);
        drop(applied);
        self.local.clock.stamp_ms(log_ms, log_at)
    }

    /// Whether this node leads; if not, the way to the leader, where one is known.
    pub(crate) fn leader_elsewhere(&self) -> std::result::Result<(), Option<Arc<Caller>>> {
        let elsewhere = |leader: Option<u64>| leader.and_then(|leader| self.callers.get(leader));
        self.raft.as_leader().map(|_| ()).map_err(|forward| elsewhere(forward.leader_id))
    }

    /// Answers what has an answer; what was not executed is tried again.
    async fn settle(&self, units: Vec<Waiting>, answers: Vec<Result>) {
        let mut answers = answers.into_iter();
        let mut refused: BTreeMap<ProposeError, Vec<Waiting>> = BTreeMap::new();
        for unit in units {
            let commands = unit.len();
            match not_executed_end(answers.as_slice().get(..commands).unwrap_or_default()) {
                Some((from, why)) => {
                    let mut rest = unit.answer_first(from, &mut answers);
                    // A leader without a quorum has counted it, and that is enough: whoever leads next does not.
                    rest.waiter.counted = why == ProposeError::NoQuorum;
                    refused.entry(why).or_default().push(rest);
                    answers.by_ref().take(commands - from).for_each(drop);
                }
                None => unit.answer(&mut answers),
            }
        }
        for (why, units) in refused {
            self.proposer.again_soon(units, why).await;
        }
    }
}

/// The answers of all commands in their order: of those that were refused, where they stood, and of the rest.
fn together(refused: Vec<Option<ProposeError>>, answers: Vec<Result>) -> Vec<Result> {
    if refused.is_empty() {
        return answers;
    }
    let mut answers = answers.into_iter();
    // A gathering answers all that it was made for.
    let mut next = || answers.next().unwrap_or(Err(ProposeError::OutcomeUnknown));
    refused.into_iter().map(|refused| refused.map_or_else(&mut next, Err)).collect()
}

/// Where the commands at the end of a unit begin that were not executed, and why: all that may be tried again. What
/// stands before one that was executed, or may have been, must not be executed after it.
fn not_executed_end(answers: &[Result]) -> Option<(usize, ProposeError)> {
    let is_refused = |answer: &Result| matches!(answer, Err(ProposeError::NoLeader | ProposeError::NoQuorum));
    let from = answers.iter().rposition(|answer| !is_refused(answer)).map_or(0, |last| last + 1);
    let why = answers.get(from)?.as_ref().err()?;
    Some((from, *why))
}
