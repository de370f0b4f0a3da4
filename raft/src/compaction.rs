//! When the log is cut short: a snapshot, and a purge behind it, for so many entries or bytes.
//!
//! ```text
//!   purged      kept behind it          snapshot       written since                  last applied
//!     |  at most snapshot_bytes, entries  |  at snapshot_bytes or entries the next snapshot  |
//! ```
//!
//! openraft counts the entries to the next snapshot; here the bytes are counted, which it does not know. All purges are
//! asked for here: what openraft plans by itself may lie before what it was asked for and has not done yet, which it
//! takes for a broken invariant. It never purges ahead of a snapshot, and learns of one only after that was read back
//! whole.

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::Fatal;
use storage::log::Log;

use crate::Tuning;
use crate::transport::Local;
use crate::types::{Raft, TypeConfig};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks after the log until Raft has stopped.
pub(crate) async fn run(local: Arc<Local>, raft: Raft, log: Log) {
    let tuning = &local.options.tuning;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let snapshot = local.replica.snapshot().and_then(|snapshot| snapshot.header().applied);
        let snapshot = snapshot.map(|position| position.index);
        // Asking again for what is under way changes nothing.
        let asked = ask(&raft, is_due(&local, &log, snapshot), to_purge(&log, snapshot, tuning));
        // Whoever watches the core says why it has stopped.
        if asked.await.is_err() {
            return;
        }
    }
}

async fn ask(raft: &Raft, snapshot_is_due: bool, purge: Option<u64>) -> Result<(), Fatal<TypeConfig>> {
    if snapshot_is_due {
        raft.trigger().snapshot().await?;
    }
    match purge {
        Some(upto) => raft.trigger().purge_log(upto).await,
        None => Ok(()),
    }
}

/// Whether so much was applied since the last snapshot that there shall be another: in this node's turn, so that not
/// all nodes build one at the same moment. openraft does it where as many entries were applied since the last one.
fn is_due(local: &Local, log: &Log, snapshot: Option<u64>) -> bool {
    let Some(last) = local.replica.read().position.map(|position| position.index) else {
        return false;
    };
    let (tuning, turn) = (&local.options.tuning, local.options.turn());
    let (since, entries) = (snapshot.unwrap_or(0), tuning.snapshot_entries);
    let in_turn = last.saturating_sub(since) >= entries / 2 && turn.has_come(since, last, entries);
    // Bytes are counted from each node's last snapshot: they cannot take turns by these, but need not meet.
    let bytes_max = tuning.snapshot_bytes - turn.share(tuning.snapshot_bytes / 2);
    in_turn || log.bytes_between(snapshot, last) >= bytes_max
}

/// Up to where to purge, where more is kept behind the last snapshot than should be.
fn to_purge(log: &Log, snapshot: Option<u64>, tuning: &Tuning) -> Option<u64> {
    let (snapshot, purged) = (snapshot?, log.state().purged.map(|last| last.index));
    let by_entries = snapshot.checked_sub(tuning.snapshot_entries).filter(|&upto| Some(upto) > purged);
    log.purge_leaving(snapshot, tuning.snapshot_bytes).max(by_entries)
}
