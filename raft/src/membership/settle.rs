//! What a node does about the memberships that it has applied, one after the other.
//!
//! ```text
//!   who votes now   ----> their clocks count
//!   who is gone     ----> nothing of it is heard any more: its connections end, and no new one is let in
//!   this node is    ----> its directory is marked, and it ends
//!   still joint, and this node leads ----> the second step
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Changer;
use crate::transport::{Local, refusals};
use crate::types::{Raft, StoredMembership};

/// How often the membership is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks for ever.
pub(crate) async fn run(local: Arc<Local>, raft: Raft, changer: Arc<Changer>) {
    let mut last = StoredMembership::default();
    loop {
        let applied = local.roster.applied();
        if applied != last {
            settle(&local, &last, &applied).await;
            last = applied;
        }
        if last.membership().get_joint_config().len() > 1 && raft.as_leader().is_ok() {
            changer.end_joint().await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn settle(local: &Arc<Local>, before: &StoredMembership, now: &StoredMembership) {
    local.clock.set_voters(now.voter_ids().collect());
    let stores = |membership: &StoredMembership| -> BTreeMap<u64, u128> {
        membership.nodes().map(|(id, node)| (*id, node.store_id)).collect()
    };
    let stay = stores(now);
    for (id, store_id) in stores(before).into_iter().filter(|(id, store_id)| stay.get(id) != Some(store_id)) {
        if id != local.options.node_id {
            local.memory.forget(id, store_id);
        } else if store_id == local.store_id() {
            let index = now.log_id().as_ref().map_or(0, |id| id.index);
            // What it answers is for a connection that it ends.
            let _ = refusals::removed(local, index).await;
        }
    }
}
