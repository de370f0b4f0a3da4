//! Leader completeness: what is committed is in the log of every later leader.

use super::{Invariant, Moment};

/// Looked at when a node begins to lead: from then on it only appends.
pub(super) struct LeaderCompleteness;

impl Invariant for LeaderCompleteness {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let led = moment.before.is_some_and(|before| before.leads && before.term == moment.look.term);
        let Some(committed) = moment.history.next().checked_sub(1) else { return Ok(()) };
        let Some(agreed) = moment.history.entry(committed) else { return Ok(()) };
        // A leader that was deposed and does not know yet may lack what its successors committed.
        let is_older = (moment.look.term, moment.node) < (agreed.position.term, agreed.position.leader);
        if !moment.look.leads || led || is_older {
            return Ok(());
        }
        let end = moment.look.log.last.map(|last| last.index);
        if end < Some(committed) {
            return Err(format!(
                "the leader of term {} has entries up to {end:?}, and {committed} is committed",
                moment.look.term
            ));
        }
        let first = moment.look.log.first.max(committed.saturating_sub(200));
        for entry in moment.log.read(first..committed + 1, usize::MAX).map_err(|e| e.to_string())? {
            let at = entry.position;
            if moment.history.entry(at.index).is_some_and(|agreed| agreed.position != at) {
                return Err(format!(
                    "the leader of term {} has {at:?}, which is not what is committed",
                    moment.look.term
                ));
            }
        }
        Ok(())
    }
}
