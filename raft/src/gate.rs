//! The gate: commands that applied state surely refuses are answered without the log.
//!
//! In a flash sale that is nearly all of them. A refusal here is a linearizable read: leadership is confirmed after the
//! command arrived, once for all that wait, and all that is in the leader's log by then has been applied. Of a unit of
//! many all commands must be surely refused; otherwise it goes to the log whole, for its commands may need one another.
//!
//! ```text
//!   a follower:  refused by what is applied here?  no --> forwarded to the leader
//!                      | yes
//!                      v    one call for all that wait                   applied here up to i
//!                  which index?  ------> leader: confirms, "i" ------>  refused still?  --> answered
//!                                                                            | no: as a new one
//! ```
//!
//! Where that takes long, because this node is behind or cut off, the leader is to say.
//!
//! So the refusals of a sold-out sale cost the leader one confirmation for hundreds, whichever node they came to.

use std::sync::Arc;
use std::time::Duration;

use storage::inventory::Inventory;
use storage::inventory::command::Request;
use storage::inventory::outcome::{Applied, Rejection};
use storage::log::Log;
use storage::planted;
use tokio::time::timeout;

use crate::propose::{PATIENCE, Shared};
use crate::read::Confirmer;
use crate::transport::Caller;
use crate::transport::message::{Call, Reply};
use crate::waiting::{Queued, Requests, Result, Waiting};
use crate::{Answer, ProposeError, ReadError};

/// How long a follower takes to find out by itself. A node that is behind, or that the leader does not answer, leaves
/// it to the leader from there on.
const PATIENCE_OF_FOLLOWERS: Duration = Duration::from_millis(200);

/// Serves the gate's queue for ever.
pub(crate) async fn run(shared: Arc<Shared>, mut gated: Queued) {
    while let Some(first) = gated.next().await {
        let mut units = vec![first];
        while let Some(next) = gated.try_next() {
            units.push(next);
        }
        match shared.leader_elsewhere() {
            Ok(()) => match confirm_here(&shared).await {
                Ok(()) => answer(&shared, units),
                Err(why) => {
                    let proposer = shared.proposer.clone();
                    tokio::spawn(async move { proposer.again_soon(units, why).await });
                }
            },
            Err(leader) => match timeout(PATIENCE_OF_FOLLOWERS, confirm_there(&shared, leader)).await {
                Ok(Some(())) => answer(&shared, units),
                Ok(None) | Err(_) => units.into_iter().for_each(|unit| leave_to_leader(&shared, unit)),
            },
        }
    }
}

fn leave_to_leader(shared: &Shared, mut unit: Waiting) {
    unit.waiter.ungated = true;
    shared.proposer.again(unit);
}

/// Whether every command of a unit would be refused now.
pub(crate) fn is_surely_refused(inventory: &Inventory, unit: &Waiting) -> bool {
    unit.requests.as_slice().iter().all(|request| inventory.sure_rejection(request).is_some())
}

/// Confirms leadership, and waits until all that is in this log has been applied.
async fn confirm_here(shared: &Shared) -> std::result::Result<(), ProposeError> {
    if planted!("gate-without-confirmation") {
        return Ok(());
    }
    let index = index_here(&shared.confirmer, &shared.log).await.map_err(not_executed)?;
    let applied = shared.local.replica.wait_applied(Some(index));
    timeout(PATIENCE, applied).await.map_err(|_| ProposeError::NoQuorum)
}

/// Has the leader confirm that it leads, and waits until all that was in its log has been applied here.
async fn confirm_there(shared: &Shared, leader: Option<Arc<Caller>>) -> Option<()> {
    let reply = leader?.call(&Call::GateIndex, PATIENCE_OF_FOLLOWERS).await;
    let Ok(Reply::ReadIndex(Ok(index))) = reply else { return None };
    if !planted!("gate-on-stale-state") {
        shared.local.replica.wait_applied(Some(index)).await;
    }
    Some(())
}

/// The last index in this leader's log, once its leadership was confirmed: an earlier try of a gated command may be
/// there, and its buyer shall not be sent away by the later one.
pub(crate) async fn index_here(confirmer: &Confirmer, log: &Log) -> std::result::Result<u64, ReadError> {
    let confirmed = confirmer.confirm_here().await?;
    Ok(log.state().last.map_or(confirmed, |last| last.index.max(confirmed)))
}

fn answer(shared: &Shared, units: Vec<Waiting>) {
    let now_ms = shared.now_ms();
    let applied = shared.local.replica.read();
    for unit in units {
        let commands = unit.len();
        match answer_unit(&applied.inventory, unit, now_ms) {
            None => shared.proposer.counters.count_gated(commands),
            Some(unit) => shared.proposer.again(unit),
        }
    }
}

/// Answers a unit of which every command is surely refused, and gives any other back. No refusal changes anything, so
/// those of one state are those that the commands would have got one after the other.
fn answer_unit(inventory: &Inventory, unit: Waiting, now_ms: u64) -> Option<Waiting> {
    let refusal = |request| refusal(inventory, request, now_ms);
    match &unit.requests {
        Requests::One(request) => match refusal(request) {
            Some(refused) => unit.answer(&mut std::iter::once(refused)),
            None => return Some(unit),
        },
        Requests::Many(requests) => match requests.iter().map(refusal).collect::<Option<Vec<_>>>() {
            Some(refused) => unit.answer(&mut refused.into_iter()),
            None => return Some(unit),
        },
    }
    None
}

fn refusal(inventory: &Inventory, request: &Request, now_ms: u64) -> Option<Result> {
    let result = Err(at(inventory.sure_rejection(request)?, now_ms));
    Some(Ok(Answer::Gated(Applied { sequence: inventory.sequence(), replayed: false, result })))
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

fn not_executed(why: ReadError) -> ProposeError {
    match why {
        ReadError::NoLeader => ProposeError::NoLeader,
        ReadError::NoQuorum => ProposeError::NoQuorum,
        ReadError::Overloaded => ProposeError::Overloaded,
    }
}
