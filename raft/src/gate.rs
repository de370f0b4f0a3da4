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
//! So the refusals of a sold-out sale cost the leader one confirmation for hundreds, whichever node they came to.

use std::sync::Arc;
use std::time::Duration;

use storage::inventory::Inventory;
use storage::inventory::command::Request;
use storage::inventory::outcome::{Applied, Rejection};
use storage::log::Log;
use tokio::time::timeout;

use crate::propose::{PATIENCE, Shared};
use crate::read::Confirmer;
use crate::transport::Caller;
use crate::transport::message::{Call, Reply};
use crate::waiting::{Queued, Requests, Result, Waiting};
use crate::{Answer, ProposeError, ReadError};

/// How long the leader is waited for.
const DEADLINE: Duration = Duration::from_millis(700);

/// Serves the gate's queue for ever.
pub(crate) async fn run(shared: Arc<Shared>, mut gated: Queued) {
    while let Some(first) = gated.next().await {
        let mut units = vec![first];
        while let Some(next) = gated.try_next() {
            units.push(next);
        }
        match confirm(&shared).await {
            Ok(()) => answer(&shared, units),
            Err(why) => {
                let proposer = shared.proposer.clone();
                tokio::spawn(async move { proposer.again_soon(units, why).await });
            }
        }
    }
}

/// Whether every command of a unit would be refused now.
pub(crate) fn is_surely_refused(inventory: &Inventory, unit: &Waiting) -> bool {
    unit.requests.as_slice().iter().all(|request| inventory.sure_rejection(request).is_some())
}

/// Has leadership confirmed, wherever the leader is, and waits until all that was in its log has been applied here.
async fn confirm(shared: &Shared) -> std::result::Result<(), ProposeError> {
    let index = match shared.leader_elsewhere() {
        Ok(()) => index_here(&shared.confirmer, &shared.log).await,
        Err(leader) => index_there(leader).await,
    };
    let applied = shared.local.replica.wait_applied(Some(index.map_err(not_executed)?));
    timeout(PATIENCE, applied).await.map_err(|_| ProposeError::NoQuorum)
}

/// The last index in this leader's log, once its leadership was confirmed: an earlier try of a gated command may be
/// there, and its buyer shall not be sent away by the later one.
pub(crate) async fn index_here(confirmer: &Confirmer, log: &Log) -> std::result::Result<u64, ReadError> {
    let confirmed = confirmer.confirm_here().await?;
    Ok(log.state().last.map_or(confirmed, |last| last.index.max(confirmed)))
}

async fn index_there(leader: Option<&Caller>) -> std::result::Result<u64, ReadError> {
    let caller = leader.ok_or(ReadError::NoLeader)?;
    match caller.call(&Call::GateIndex, DEADLINE).await {
        Ok(Reply::ReadIndex(index)) => index,
        _ => Err(ReadError::NoLeader),
    }
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
