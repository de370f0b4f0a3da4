//! The leader's pulse: a tick where time alone has something to do and no command brings it.

use std::sync::Arc;
use std::time::Duration;

use storage::inventory::command::{Command, Request};
use storage::planted;

use crate::propose::Proposer;
use crate::transport::Local;
use crate::types::Raft;

/// How often the deadlines are looked at. Units are for sale again within 1 s of their deadline (contract): this,
/// one entry, and room for a slow disk.
const BEAT: Duration = Duration::from_millis(50);

/// A tick at least this often. After a snapshot install a follower's apply can rest behind the commit until one more
/// entry comes; and time in the log shall not stand still for long.
const IDLE: Duration = Duration::from_secs(10);

/// Commands in a beat from which on they end what is due fast enough, with the help of one tick a beat.
const MANY_COMMANDS: u64 = 64;

/// Beats for ever. Where many commands come, which end what is due as well, one tick a beat helps them along; else
/// ticks follow each other until nothing is due.
pub(crate) async fn run(local: Arc<Local>, raft: Raft, proposer: Proposer) {
    loop {
        let before = proposer.counters.commands();
        tokio::time::sleep(BEAT).await;
        let many_come = proposer.counters.commands() - before >= MANY_COMMANDS;
        while raft.as_leader().is_ok() && is_due(&local) {
            let tick = Request { idempotency_key: None, command: Command::Tick };
            if let Err(why) = proposer.submit(tick, None).await {
                tracing::debug!("a tick was not applied: {why}");
                break;
            }
            if many_come {
                break;
            }
        }
    }
}

fn is_due(local: &Local) -> bool {
    let applied = local.replica.read();
    let now_ms = local.clock.stamp_ms(applied.inventory.now_ms(), applied.advanced_at);
    needs_tick(applied.inventory.next_due_ms(), now_ms, applied.advanced_at.elapsed())
}

/// Whether a tick is due at a moment of the cluster clock, where the log's own time has rested for so long.
fn needs_tick(due_ms: Option<u64>, now_ms: u64, rested: Duration) -> bool {
    let due = due_ms.is_some_and(|due_ms| due_ms <= now_ms) && !planted!("no-tick-when-due");
    due || rested > IDLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_follows_a_deadline_at_once_and_a_long_rest_in_any_case() {
        let (short, long) = (Duration::from_millis(1), IDLE + Duration::from_millis(1));
        let cases = [
            (None, short, false),
            (Some(1_001), short, false),
            (Some(1_000), short, true),
            (Some(1), short, true),
            (None, long, true),
            (Some(1_001), long, true),
        ];
        for (due_ms, rested, needed) in cases {
            assert_eq!(needs_tick(due_ms, 1_000, rested), needed, "{due_ms:?} {rested:?}");
        }
    }
}
