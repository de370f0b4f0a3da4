//! What the supervisor that started a node is told: by `sd_notify`, which systemd and others listen to.
//!
//! ```text
//!   READY=1       once: the node takes part and its port answers
//!   WATCHDOG=1    three times in each WATCHDOG_USEC, from a task like any call's: where no thread is left to run it,
//!                 the supervisor ends the process
//!   STOPPING=1    it was told to stop
//! ```
//!
//! Ready is not `/readyz`: the first of three nodes to be started has no quorum to serve with, and a supervisor that
//! waits for one would give it up before the second is started. Where nobody set `NOTIFY_SOCKET` nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::sleep;

/// Tells that the node has started, and from here on that it is alive. Said once for a process.
pub(crate) fn ready(node_id: u64, has_room: bool) {
    let status = match has_room {
        true => format!("node {node_id} takes part; `lastunit ready` tells whether it serves"),
        false => format!("node {node_id} waits for room on its disk"),
    };
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    if let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero()) {
        tokio::spawn(stay_alive(patience / 3));
    }
}

/// Tells that the node was told to stop, and how.
pub(crate) fn stopping(why: &str) {
    let status = format!("stopping after {why}: finishing calls in flight");
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

async fn stay_alive(every: Duration) {
    loop {
        tell(&[NotifyState::Watchdog]);
        sleep(every).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot tell the supervisor at NOTIFY_SOCKET: {error}");
    }
}
