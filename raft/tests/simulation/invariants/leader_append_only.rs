//! Leader append-only: a leader never overwrites or removes entries of its log; it only appends.

use super::{Invariant, Moment};

/// By what was seen of the same leader before. That what it has stays as it is, log matching says.
pub(super) struct LeaderAppendOnly;

impl Invariant for LeaderAppendOnly {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(before) = moment.before else { return Ok(()) };
        let led = before.leads && moment.look.leads && before.term == moment.look.term;
        if led && moment.look.log.last < before.log.last {
            let (now, before) = (moment.look.log.last, before.log.last);
            return Err(format!("the leader's log ended at {before:?}, and ends at {now:?}"));
        }
        Ok(())
    }
}
