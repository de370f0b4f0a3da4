//! A word to every peer that was not heard from lately: so each node knows whom it can reach, and what their wall
//! clocks show, whether or not Raft has anything to say between the two.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::message::Call;
use super::{Caller, Callers, Local};

/// How often, and how long the answer is waited for. Twice within the time after which a silent peer counts as
/// unreachable.
const BEAT: Duration = Duration::from_millis(400);

/// Pings for ever. A peer that does not answer holds up no other's.
pub(crate) async fn run(local: Arc<Local>) {
    let callers = Callers::new(local.clone());
    let (mut pings, mut under_way) = (JoinSet::new(), BTreeSet::new());
    loop {
        tokio::time::sleep(BEAT).await;
        while let Some(Ok(peer)) = pings.try_join_next() {
            under_way.remove(&peer);
        }
        for (peer, caller) in callers.all() {
            if !local.memory.is_heard_within(peer, BEAT) && under_way.insert(peer) {
                pings.spawn(ping(peer, caller));
            }
        }
    }
}

async fn ping(peer: u64, caller: Arc<Caller>) -> u64 {
    if let Err(why) = caller.call(&Call::Probe, BEAT).await {
        tracing::trace!(peer, "no answer to a ping: {why}");
    }
    peer
}
