//! Handing leadership to another node.
//!
//! From when it is told to, openraft's leader takes no command and sends no heartbeat, until another one leads: where
//! the heir does not take over, the others elect one of them, since they hear nothing any more. So nothing else may
//! keep them from it. The heartbeats that confirm a read (`leadership`) would, for as long as anybody reads.

use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use crate::transport::Local;
use crate::types::Raft;

/// How long the heir may take.
const TIME_MAX: Duration = Duration::from_secs(2);

/// How often it is looked whether the heir is still there.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Hands leadership to the node of `heirs` that has most of the log, where this node leads and one of them is there.
pub(crate) async fn hand_over(local: &Local, raft: &Raft, heirs: &[u64]) {
    let metrics = raft.metrics().borrow_watched().clone();
    if metrics.state != ServerState::Leader {
        return;
    }
    let replication = metrics.replication.unwrap_or_default();
    let reachable = replication.into_iter().filter(|(id, _)| heirs.contains(id) && local.is_reachable(*id));
    let Some((heir, _)) = reachable.max_by_key(|(_, matched)| *matched) else {
        return;
    };
    local.hands_over(metrics.current_term);
    if raft.trigger().transfer_leader(heir).await.is_err() {
        return;
    }
    let waiting = raft.wait(Some(TIME_MAX));
    let handed_over = waiting.metrics(|m| m.state != ServerState::Leader, "leadership handed over");
    tokio::select! {
        biased;
        handed_over = handed_over => match handed_over {
            Ok(_) => tracing::info!(to = heir, "leadership handed over"),
            Err(_) => tracing::warn!(to = heir, "leadership was not taken over in time"),
        },
        () = gone(local, heir) => tracing::info!(to = heir, "leadership was not taken over: that node is gone"),
    }
}

/// Waits until a peer has said farewell, or was silent for long.
async fn gone(local: &Local, peer: u64) {
    while local.is_reachable(peer) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
