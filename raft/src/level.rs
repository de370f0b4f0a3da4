//! When the feature level rises: the leader's part.
//!
//! ```text
//!   handshakes ----> what each member's binary supports ---+
//!   frames --------> who was heard from within a second ---+--> all support more than is in force?
//!   membership ----> voters and learners ------------------+       RaiseLevel, through the log
//! ```
//!
//! Invariants:
//!
//! * The level is raised to what every member supports, and never past it. One that was not heard from holds it back,
//!   since it may come back with an older binary.
//! * No other leader raises it for this one, which has not looked: where the lead was lost meanwhile, it is refused.
//! * While it is raised this leader adds nobody. Whoever comes later is refused at the handshake or at its start where
//!   its binary does not support what is in force; so is who was away, and was given an older one meanwhile.
//! * It is never lowered: there are entries and images that only a binary of that level can read.

use std::sync::Arc;
use std::time::Duration;

use storage::inventory::LEVELS;
use storage::inventory::command::{Command, Request};

use crate::membership::Changer;
use crate::propose::Proposer;
use crate::transport::Local;
use crate::types::Raft;

/// How often the leader looks whether the level can rise.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks for ever.
pub(crate) async fn run(local: Arc<Local>, raft: Raft, proposer: Proposer, changer: Arc<Changer>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if raft.as_leader().is_err() || due(&local).is_none() {
            continue;
        }
        let Some(_unchanging) = changer.hold() else { continue };
        if let Some(to) = due(&local) {
            raise(&proposer, to).await;
        }
    }
}

async fn raise(proposer: &Proposer, to: u16) {
    let request = Request { idempotency_key: None, command: Command::RaiseLevel(to) };
    match proposer.submit(request, None).await {
        Ok(_) => tracing::info!(level = to, "every member supports it: the feature level is raised"),
        Err(why) => tracing::debug!("the feature level is not raised yet: {why}"),
    }
}

/// The level that is to be in force, where it is not.
fn due(local: &Local) -> Option<u16> {
    let in_force = local.replica.read().inventory.level();
    let highest = |id| match id == local.options.node_id {
        true => Some(*LEVELS.end()),
        false if local.is_reachable(id) => local.builds.of(id).map(|build| *build.levels.end()),
        false => None,
    };
    next(in_force, local.roster.members().iter().map(|member| highest(member.id)))
}

/// The level that all support, where it is above the one in force; none while one of them is not known.
fn next(in_force: u16, highest: impl Iterator<Item = Option<u16>>) -> Option<u16> {
    let all: Option<Vec<u16>> = highest.collect();
    all?.into_iter().min().filter(|all| *all > in_force)
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_level_rises_to_what_all_support_and_waits_for_who_is_not_known() {
        for (in_force, highest, to) in [
            (1, vec![Some(1), Some(1), Some(1)], None),
            (1, vec![Some(2), Some(2), Some(1)], None),
            (1, vec![Some(2), Some(2), Some(2)], Some(2)),
            (1, vec![Some(4), Some(3), Some(5)], Some(3)),
            (1, vec![Some(2), None, Some(2)], None),
            (2, vec![Some(2), Some(2), Some(2)], None),
            (2, vec![Some(2), Some(1), Some(2)], None),
            (1, vec![], None),
        ] {
            assert_eq!(next(in_force, highest.iter().copied()), to, "{in_force} {highest:?}");
        }
    }
}
