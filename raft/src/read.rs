//! Linearizable reads: the index that must have been applied, confirmed by a quorum after the read arrived (the
//! Raft dissertation, section 6.4: ReadIndex). One confirmation serves all reads that wait when it begins. What a
//! confirmation is, `leadership` says.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use storage::planted;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::ReadError;
use crate::deposed::another_leads;
use crate::leadership::Leadership;
use crate::transport::message::{Call, Reply};
use crate::transport::{Callers, Local};
use crate::types::Raft;

/// Reads that may wait; more are refused at once.
const QUEUE: usize = 16_384;

/// How long a confirmation is tried for: long enough for an election. A read may have to wait for the end of another's
/// first, and all of it stays well below the 6 s within which a minority says so.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(15);

/// How long the leader is waited for.
const DEADLINE: Duration = Duration::from_millis(700);

type Result = std::result::Result<u64, ReadError>;
type Waiting = oneshot::Sender<Result>;

/// Asks for confirmations. A cheap handle.
#[derive(Clone)]
pub(crate) struct Confirmer {
    here: mpsc::Sender<Waiting>,
    anywhere: mpsc::Sender<Waiting>,
    confirmations: Arc<AtomicU64>,
}

impl Confirmer {
    /// Makes the way in, and the worker behind it, which must be run.
    pub(crate) fn new(local: Arc<Local>, raft: Raft) -> (Confirmer, Worker) {
        let (here, waiting_here) = mpsc::channel(QUEUE);
        let (anywhere, waiting_anywhere) = mpsc::channel(QUEUE);
        let confirmer = Confirmer { here, anywhere, confirmations: Arc::default() };
        let callers = Callers::new(local.clone());
        let worker =
            Worker { local, raft, callers, confirmer: confirmer.clone(), waiting_here, waiting_anywhere };
        (confirmer, worker)
    }

    /// The index to wait for, where this node leads.
    pub(crate) async fn confirm_here(&self) -> Result {
        ask(&self.here).await
    }

    /// The index to wait for, wherever the leader is.
    pub(crate) async fn confirm(&self) -> Result {
        ask(&self.anywhere).await
    }

    /// Confirmations made, here and for other nodes.
    pub(crate) fn confirmations(&self) -> u64 {
        self.confirmations.load(Ordering::Relaxed)
    }
}

async fn ask(queue: &mpsc::Sender<Waiting>) -> Result {
    let (reply, answer) = oneshot::channel();
    queue.try_send(reply).map_err(|_| ReadError::Overloaded)?;
    answer.await.unwrap_or(Err(ReadError::NoLeader))
}

/// The worker behind a [`Confirmer`].
pub(crate) struct Worker {
    local: Arc<Local>,
    raft: Raft,
    callers: Callers,
    confirmer: Confirmer,
    waiting_here: mpsc::Receiver<Waiting>,
    waiting_anywhere: mpsc::Receiver<Waiting>,
}

impl Worker {
    /// Serves the queues for ever.
    pub(crate) async fn run(self) {
        let Worker { local, raft, callers, confirmer, waiting_here, waiting_anywhere } = self;
        let voters = Callers::for_heartbeats(local.clone());
        let here = serve(waiting_here, || confirm_here(&local, &raft, &voters, &confirmer));
        let anywhere = serve(waiting_anywhere, || confirm_anywhere(&local, &raft, &callers, &confirmer));
        tokio::join!(here, anywhere);
    }
}

/// One confirmation for all that wait, then the next.
async fn serve<F: Future<Output = Result>>(mut queue: mpsc::Receiver<Waiting>, confirm: impl Fn() -> F) {
    loop {
        let mut waiting = Vec::new();
        if queue.recv_many(&mut waiting, QUEUE).await == 0 {
            return;
        }
        let confirmed = confirm().await;
        for reply in waiting {
            // Whoever asked may have given up: there is nobody to tell.
            let _ = reply.send(confirmed);
        }
    }
}

async fn confirm_here(local: &Local, raft: &Raft, voters: &Callers, confirmer: &Confirmer) -> Result {
    confirmer.confirmations.fetch_add(1, Ordering::Relaxed);
    if planted!("read-without-confirmation") && raft.as_leader().is_ok() {
        return Ok(raft.metrics().borrow_watched().last_applied.map_or(0, |last| last.index));
    }
    if planted!("read-confirmed-by-openrafts-clock") {
        let confirmed = raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
        return confirmed.map(|to| to.read_log_id().index()).map_err(|_| ReadError::NoQuorum);
    }
    let leadership = Leadership::of(raft, local).await.ok_or(ReadError::NoLeader)?;
    leadership.confirm(voters).await?;
    Ok(leadership.index)
}

/// While the peers hold this node's start off one try is enough: as a rule they have a leader, and serve.
async fn confirm_anywhere(local: &Local, raft: &Raft, callers: &Callers, confirmer: &Confirmer) -> Result {
    let since = Instant::now();
    loop {
        let confirmed = match raft.as_leader() {
            Ok(_) => confirmer.confirm_here().await,
            Err(elsewhere) => match elsewhere.leader_id {
                Some(leader) => confirm_there(raft, callers, leader).await,
                None => Err(ReadError::NoLeader),
            },
        };
        if confirmed.is_ok() || since.elapsed() > PATIENCE || local.refusals.is_held_off() {
            return confirmed;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Has the leader confirm, unless another node leads meanwhile: one that is cut off does not answer.
async fn confirm_there(raft: &Raft, callers: &Callers, leader: u64) -> Result {
    let caller = callers.get(leader).ok_or(ReadError::NoLeader)?;
    let answered = tokio::select! {
        biased;
        answered = caller.call(&Call::ReadIndex, DEADLINE) => answered,
        () = another_leads(raft, leader) => return Err(ReadError::NoLeader),
    };
    match answered {
        Ok(Reply::ReadIndex(confirmed)) => confirmed,
        _ => Err(ReadError::NoLeader),
    }
}
