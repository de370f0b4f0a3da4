//! Where another node leads: all that waits goes there as one call, and what comes back is dealt out.
//!
//! A call that was not sent has not arrived, and what is in it was not executed.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use storage::planted;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::{DEADLINE, Shared};
use crate::ProposeError;
use crate::deposed::another_leads;
use crate::transport::message::{Call, Reply as PeerReply};
use crate::transport::{CallError, Caller};
use crate::waiting::{Forwarded, Result, Waiter, Waiting};

/// How long the answer of a leader is waited for that another one has followed. Who handed over answers in this time;
/// who was cut off does not.
const DEPOSED_TIME_MAX: Duration = Duration::from_millis(500);

impl Shared {
    /// Forwards to the leader, or waits for one.
    pub(super) async fn follow(
        self: Arc<Self>,
        units: Vec<Waiting>,
        leader: Option<u64>,
        turn: OwnedSemaphorePermit,
    ) {
        let Some((leader, caller)) = leader.and_then(|leader| Some((leader, self.callers.get(leader)?)))
        else {
            return self.proposer.again_soon(units, ProposeError::NoLeader).await;
        };
        let commands = units.iter().map(Waiting::len).sum();
        let (units, waiters): (Vec<_>, Vec<_>) = units.into_iter().map(Waiting::into_forwarded).unzip();
        self.proposer.counters.forwarded.fetch_add(commands as u64, Ordering::Relaxed);
        let call = Call::Forward(units);
        let reply = self.forward(&call, leader, &caller, turn).await;
        let Call::Forward(units) = call else { return };
        self.settle(whole_again(units, waiters), answers_of(reply, commands)).await;
    }

    /// Calls the leader. Once another node leads, the turn is free for what is to go there.
    async fn forward(
        &self,
        call: &Call,
        leader: u64,
        caller: &Caller,
        turn: OwnedSemaphorePermit,
    ) -> std::result::Result<PeerReply, CallError> {
        let mut calling = pin!(caller.call(call, DEADLINE));
        tokio::select! {
            biased;
            reply = &mut calling => return reply,
            () = another_leads(&self.raft, leader) => drop(turn),
        }
        let late = timeout(DEPOSED_TIME_MAX, calling).await;
        late.unwrap_or_else(|_| Err(CallError::Lost("another node leads by now".into())))
    }
}

/// The answers to so many forwarded commands.
fn answers_of(reply: std::result::Result<PeerReply, CallError>, commands: usize) -> Vec<Result> {
    match reply {
        Ok(PeerReply::Forward(answers)) if answers.len() == commands => answers,
        Ok(PeerReply::Failed(_)) | Err(CallError::NotSent(_)) => vec![Err(ProposeError::NoLeader); commands],
        Err(CallError::Lost(_)) if planted!("forwarded-twice") => vec![Err(ProposeError::NoLeader); commands],
        Ok(_) | Err(CallError::Lost(_)) => vec![Err(ProposeError::OutcomeUnknown); commands],
    }
}

fn whole_again(units: Vec<Forwarded>, waiters: Vec<Waiter>) -> Vec<Waiting> {
    let whole = |(unit, waiter): (Forwarded, Waiter)| waiter.with(unit.requests).of(unit.caller);
    units.into_iter().zip(waiters).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_that_never_left_was_not_executed_and_one_that_was_lost_is_unknown() {
        let not_sent = CallError::NotSent("no connection".into());
        assert_eq!(answers_of(Err(not_sent), 2), vec![Err(ProposeError::NoLeader); 2]);
        let failed = PeerReply::Failed("a node of no cluster".into());
        assert_eq!(answers_of(Ok(failed), 2), vec![Err(ProposeError::NoLeader); 2]);
        let lost = CallError::Lost("nothing".into());
        assert_eq!(answers_of(Err(lost), 2), vec![Err(ProposeError::OutcomeUnknown); 2]);
        let short = PeerReply::Forward(vec![Err(ProposeError::NoLeader)]);
        assert_eq!(answers_of(Ok(short), 2), vec![Err(ProposeError::OutcomeUnknown); 2]);
    }
}
