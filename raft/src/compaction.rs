//! When the log is cut short: a snapshot, and a purge behind it, for so many entries or bytes.
//!
//! ```text
//!   purged      kept behind it          snapshot       written since                  last applied
//!     |  at most snapshot_bytes, entries  |  at snapshot_bytes or entries the next snapshot  |
//! ```
//!
//! A snapshot is the whole state, however little of it changed: with a million reservations, more bytes than all the
//! entries since the one before. So a long one is followed by the next only when the log has grown to some times its
//! length, or to as much as there may be of it.
//!
//! openraft counts the entries to the next snapshot, at the very most; here, what it does not know: bytes, and whose
//! turn it is. All purges are asked for here: what openraft plans by itself may lie before what it was asked for and
//! has not done yet, which it takes for a broken invariant. It never purges ahead of a snapshot, and learns of one only
//! after that was read back whole.

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::Fatal;
use storage::log::Log;
use storage::snapshot::Snapshot;

use crate::Tuning;
use crate::transport::Local;
use crate::turn::Turn;
use crate::types::{Raft, TypeConfig};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Up to this length, in bytes, a snapshot costs so little that entries alone count.
const SHORT_BYTES: u64 = 8 << 20;

/// After a longer one the log grows to so many times its length: then snapshots are a fifth of what both write.
const LOG_TIMES: u64 = 4;

/// But to no more than so many times the entries after which there is a snapshot otherwise: each takes memory, and time
/// where the checkpoint is lost.
pub(crate) const ENTRIES_TIMES: u64 = 10;

/// Looks after the log until Raft has stopped.
pub(crate) async fn run(local: Arc<Local>, raft: Raft, log: Log) {
    let tuning = &local.options.tuning;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let newest = local.replica.snapshot();
        let bytes = newest.as_ref().map_or(0, Snapshot::len);
        let snapshot = newest.and_then(|snapshot| snapshot.header().applied).map(|position| position.index);
        let is_due = since(&local, &log, snapshot).is_some_and(|since| since.is_enough(tuning, bytes));
        // Asking again for what is under way changes nothing.
        let asked = ask(&raft, is_due, to_purge(&log, snapshot, tuning));
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

/// What was applied since the last snapshot; `None` where nothing ever was.
fn since(local: &Local, log: &Log, snapshot: Option<u64>) -> Option<Since> {
    let last = local.replica.read().position?.index;
    let (snapshot_entries, turn) = (local.options.tuning.snapshot_entries, local.options.turn());
    let first = snapshot.unwrap_or(0);
    let in_turn = turn.has_come(first, last, snapshot_entries);
    Some(Since {
        entries: last.saturating_sub(first),
        bytes: log.bytes_between(snapshot, last),
        in_turn,
        turn,
    })
}

/// See [`since`].
struct Since {
    entries: u64,
    bytes: u64,
    /// This node's turn has come since.
    in_turn: bool,
    turn: Turn,
}

impl Since {
    /// Whether there shall be another snapshot after one of so many bytes: in this node's turn, so that not all nodes
    /// build one at the same moment.
    fn is_enough(&self, tuning: &Tuning, snapshot_bytes: u64) -> bool {
        // Bytes are counted from each node's last snapshot: they cannot take turns by these, but need not meet.
        let bytes_max = tuning.snapshot_bytes - self.turn.share(tuning.snapshot_bytes / 2);
        let pays = snapshot_bytes <= SHORT_BYTES
            || self.bytes / LOG_TIMES >= snapshot_bytes
            || self.entries / ENTRIES_TIMES >= tuning.snapshot_entries;
        let in_turn = self.in_turn && self.entries >= tuning.snapshot_entries / 2;
        (in_turn && pays) || self.bytes >= bytes_max
    }
}

/// Up to where to purge, where more is kept behind the last snapshot than should be.
fn to_purge(log: &Log, snapshot: Option<u64>, tuning: &Tuning) -> Option<u64> {
    let (snapshot, purged) = (snapshot?, log.state().purged.map(|last| last.index));
    let by_entries = snapshot.checked_sub(tuning.snapshot_entries).filter(|&upto| Some(upto) > purged);
    log.purge_leaving(snapshot, tuning.snapshot_bytes).max(by_entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A snapshot of 70 MB was written for every 20 MB of log: as much as all the entries of all nodes.
    #[test]
    fn a_long_snapshot_is_followed_by_the_next_when_the_log_has_outgrown_it() {
        const MIB: u64 = 1 << 20;
        let tuning = Tuning { snapshot_entries: 1_000, snapshot_bytes: 256 * MIB, ..Tuning::default() };
        // Bytes of the last snapshot; entries and bytes since, and whether the turn has come; whether it is enough.
        let cases = [
            (0, (499, 0, true), false),
            (0, (500, 0, true), true),
            (0, (5_000, 0, false), false),
            (8 * MIB, (500, 1, true), true),
            (9 * MIB, (500, 35 * MIB, true), false),
            (9 * MIB, (500, 36 * MIB, true), true),
            (9 * MIB, (500, 36 * MIB, false), false),
            (9 * MIB, (9_999, 0, true), false),
            (9 * MIB, (10_000, 0, true), true),
            (900 * MIB, (500, 255 * MIB, true), false),
            (900 * MIB, (1, 256 * MIB, false), true),
        ];
        for (snapshot_bytes, (entries, bytes, in_turn), expected) in cases {
            let since = Since { entries, bytes, in_turn, turn: Turn::ALONE };
            let case = format!("{snapshot_bytes} bytes, then {entries} entries of {bytes}, {in_turn}");
            assert_eq!(since.is_enough(&tuning, snapshot_bytes), expected, "{case}");
        }
    }
}
