//! What one process has applied, committed, voted and purged only grows; nothing is applied before it is committed.

use super::{Invariant, Moment};

/// By what was seen of the same process before.
pub(super) struct AppliedInOrder;

impl Invariant for AppliedInOrder {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let now = moment.look;
        if now.log.purged.map(|purged| purged.index) > now.applied.map(|applied| applied.index) {
            return Err(format!("{:?} is purged, and {:?} applied", now.log.purged, now.applied));
        }
        let Some(before) = moment.before else { return Ok(()) };
        let grows = [
            ("applied", now.applied.map(|at| at.index) >= before.applied.map(|at| at.index)),
            ("sequence", now.sequence >= before.sequence),
            ("term", now.term >= before.term),
            (
                "vote",
                now.vote.map(|vote| (vote.term, vote.node)) >= before.vote.map(|vote| (vote.term, vote.node)),
            ),
            ("purged", now.log.purged >= before.log.purged),
        ];
        match grows.iter().find(|(_, grows)| !grows) {
            Some((what, _)) => Err(format!("{what} went back: {before:?}, then {now:?}")),
            None => Ok(()),
        }
    }
}
