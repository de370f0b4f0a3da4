//! A word to every peer that was not heard from lately: so each node knows whom it can reach, and what their wall
//! clocks show, whether or not Raft has anything to say between the two.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::message::Call;
use super::{Caller, Local, callers};

/// How often, and how long the answer is waited for. Twice within the time after which a silent peer counts as
/// unreachable.
const BEAT: Duration = Duration::from_millis(400);

/// Pings for ever.
pub(crate) async fn run(local: Arc<Local>) {
    join_all(callers(&local).into_iter().map(|(peer, caller)| ping(local.clone(), peer, caller))).await;
}

async fn ping(local: Arc<Local>, peer: u64, caller: Caller) {
    loop {
        tokio::time::sleep(BEAT).await;
        if !local.memory.is_heard_within(peer, BEAT)
            && let Err(why) = caller.call(&Call::Probe, BEAT).await
        {
            tracing::trace!(peer, "no answer to a ping: {why}");
        }
    }
}
