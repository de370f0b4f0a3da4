//! The gate: commands that applied state surely refuses are answered without the log.
//!
//! In a flash sale that is nearly all of them. A refusal here is a linearizable read: leadership is confirmed after the
//! command arrived, once for all that wait, and all that is in this log by then has been applied. Of a unit of many
//! all commands must be surely refused; otherwise it goes to the log whole, for its commands may need one another.

use std::sync::Arc;

use storage::inventory::Inventory;
use storage::inventory::command::Request;
use storage::inventory::outcome::{Applied, Rejection};
use tokio::time::timeout;

use crate::propose::{PATIENCE, Shared};
use crate::waiting::{Queued, Requests, Result, Waiting};
use crate::{Answer, ProposeError, ReadError};

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

/// Confirms leadership, and waits until all that is in this log has been applied: an earlier try of a gated command
/// may be in there, and its buyer shall not be sent away by the later one.
async fn confirm(shared: &Shared) -> std::result::Result<(), ProposeError> {
    let confirmed = shared.confirmer.confirm_here().await.map_err(not_executed)?;
    let last = shared.log.state().last.map(|position| position.index);
    let applied = shared.local.replica.wait_applied(last.max(Some(confirmed)));
    timeout(PATIENCE, applied).await.map_err(|_| ProposeError::NoQuorum)
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
