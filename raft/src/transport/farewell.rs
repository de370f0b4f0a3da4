//! The last word of an orderly stop: this start of the directory is over.
//!
//! ```text
//!   the node that stops                                    a peer
//!     raft has ended: no vote, no entry, no answer more
//!     Hello with a farewell -----------------------------> judged as any other Hello
//!                                                          that start has parted: nothing of it is heard any more
//!     ends           <------------------------- Welcome
//!     starts again: Hello, with the next generation -----> the last one is not heard: judged at once, not "in use"
//! ```
//!
//! Without it the next start is held off for as long as the last one counts as heard, which is about a second in which
//! the node is of no use to anybody.
//!
//! Why it may be believed is said in `judge`. It is not kept on disk: a peer that forgets it has started again, and has
//! heard nothing of anybody. Nobody waits for it for long, and one that is lost costs that second. It is a Hello, and
//! not a message of its own, because a version that does not know of it passes over what it adds.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::dial::dial_with;
use super::{Local, handshake};

/// Says farewell to every peer, and waits for their answers as long as a dial may take.
pub(crate) async fn say(local: &Arc<Local>) {
    let mut partings = JoinSet::new();
    for peer in local.roster.peers() {
        let local = local.clone();
        partings.spawn(async move {
            if let Err(why) = dial_with(&local, handshake::farewell(&local, peer)).await {
                tracing::debug!(peer, "it heard no farewell: {why}");
            }
        });
    }
    while partings.join_next().await.is_some() {}
}
