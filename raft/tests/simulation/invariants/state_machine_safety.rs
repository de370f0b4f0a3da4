//! State machine safety: where two nodes have applied an index, they have applied the same command there; and the
//! state after it is the same, on every node, as on a state machine that never crashed.

use super::{Invariant, Moment};

/// By position, digest and sequence number after the last entry applied.
pub(super) struct StateMachineSafety;

impl Invariant for StateMachineSafety {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(applied) = moment.look.applied else { return Ok(()) };
        let Some(agreed) = moment.history.entry(applied.index) else {
            return Err(format!("{applied:?} is applied, and nobody has committed it"));
        };
        if agreed.position != applied {
            return Err(format!("{applied:?} is applied where {:?} is committed", agreed.position));
        }
        let (ours, theirs) = ((moment.look.digest, moment.look.sequence), (agreed.digest, agreed.sequence));
        if ours != theirs {
            return Err(format!(
                "after {applied:?} digest and sequence are {ours:x?}, and should be {theirs:x?}"
            ));
        }
        let committed = moment.log.committed().map(|committed| committed.index);
        let committed = moment.tail.iter().filter(|entry| Some(entry.position.index) <= committed);
        committed.map(|entry| entry.position).try_for_each(|at| match moment.history.entry(at.index) {
            Some(agreed) if agreed.position != at => {
                Err(format!("{at:?} is noted as committed; {:?} is", agreed.position))
            }
            _ => Ok(()),
        })
    }
}
