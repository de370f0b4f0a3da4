//! Whether the node that was asked is the leader no more. One that is cut off cannot say so itself.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::sleep;

use crate::types::Raft;

/// How often it is looked. The core's figures change with every entry, and waking up for each would cost more.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Resolves once this node knows that another one leads than that.
pub(crate) async fn another_leads(raft: &Raft, asked: u64) {
    let metrics = raft.metrics();
    while metrics.borrow_watched().current_leader.is_none_or(|leader| leader == asked) {
        sleep(LOOK_EVERY).await;
    }
}
