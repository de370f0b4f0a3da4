//! Long polls: a reservation as soon as it has changed.
//!
//! ```text
//!   enter the watch --> read --> cannot change any more, or is not in the state that is to end?  answer
//!                         |
//!                       wait --> woken, and it changed    answer what this node has
//!                         |  \-> the time is over         answer what a fresh read finds
//!                         \----> the process is to stop   answer what this node has
//! ```

use std::sync::Arc;
use std::time::Duration;

use raft::Read;
use storage::inventory::ids::ReservationId;
use storage::inventory::outcome::{ReservationView, State};
use tokio::time::sleep;

use super::problem::Problem;
use super::store::Consistency;
use super::watch::Poll;
use super::{Api, Store, reply};

type Found = Read<Option<ReservationView>>;

/// A reservation, once its state has changed since this was asked, or the time is over. Where the caller says in which
/// state he believes it, he misses nothing that came before: any other state is answered at once.
pub(super) async fn reservation<S: Store>(
    api: &Arc<Api<S>>,
    id: ReservationId,
    consistency: Consistency,
    while_in: Option<State>,
    time_max: Duration,
) -> Result<Found, Problem> {
    let poll = api.events.watch.poll(&api.store, id).ok_or_else(reply::overloaded)?;
    let first = api.read(consistency, |inventory| inventory.reservation(id)).await?;
    let is_over =
        |view: &ReservationView| is_final(view) || while_in.is_some_and(|state| state != view.state);
    if first.value.as_ref().is_none_or(is_over) {
        return Ok(first);
    }
    let _outside = api.step_outside();
    tokio::select! {
        changed = change(api, &poll, id, &first) => Ok(changed),
        () = sleep(time_max) => api.read(consistency, |inventory| inventory.reservation(id)).await,
        () = api.events.drain.begun() => Ok(api.store.read_stale(|inventory| inventory.reservation(id))),
    }
}

/// What this node has once it differs from what was found first. That is a linearizable answer: whatever is new came
/// after the read that began the wait.
async fn change<S: Store>(api: &Api<S>, poll: &Poll, id: ReservationId, first: &Found) -> Found {
    loop {
        poll.woken().await;
        let now = api.store.read_stale(|inventory| inventory.reservation(id));
        if essence(&now) != essence(first) {
            return now;
        }
    }
}

/// Whether nothing can happen to it any more.
fn is_final(view: &ReservationView) -> bool {
    match view.state {
        State::Released | State::Revoked => true,
        // What is sold may come back, what has expired may be committed late.
        State::Waiting | State::Held | State::Committed | State::Expired => false,
    }
}

/// What a poll waits for: the state, and what came back of a sale. Not a place in the line, which moves all the time.
fn essence(found: &Found) -> Option<(State, u64)> {
    let view = found.value.as_ref()?;
    Some((view.state, view.returned.iter().map(|item| item.qty).sum()))
}

#[cfg(test)]
mod tests;
