//! Says that the log's disk hangs, while it does: whoever writes there waits, and nobody else could tell.
//!
//! Nothing is done about it. A leader whose disk hangs goes on with the disks of the others, which are a majority
//! without it, and a follower is not waited for. What is to be written gathers in memory meanwhile.

use std::sync::Arc;
use std::time::Duration;

use storage::log::Log;
use tokio::time::sleep;

use crate::transport::Local;

/// A write that takes longer is told of: far above the slowest fsync of a healthy disk.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks for ever.
pub(crate) async fn run(local: Arc<Local>, log: Log) {
    let path = local.options.data_dir.join("log");
    let path = path.display();
    loop {
        longer_than(&log, TOLD_AFTER).await;
        tracing::warn!("a write to {path} takes longer than {} s: the disk hangs", TOLD_AFTER.as_secs());
        while log.stats().busy >= TOLD_AFTER {
            sleep(LOOK_EVERY).await;
        }
        tracing::info!("the disk of {path} goes on");
    }
}

/// Resolves once the write under way has taken so long.
async fn longer_than(log: &Log, time: Duration) {
    while log.stats().busy < time {
        sleep(LOOK_EVERY).await;
    }
}
