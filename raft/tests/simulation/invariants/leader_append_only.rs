//! Leader append-only: a leader never overwrites or removes entries of its log; it only appends.

use raft::look::Look;

use super::{Invariant, Moment};

/// By what was seen of the same leader before. That what it has stays as it is, log matching says.
pub(super) struct LeaderAppendOnly;

impl Invariant for LeaderAppendOnly {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(before) = moment.before else { return Ok(()) };
        let leads = |look: &Look| look.leads && votes_for_itself(look, moment.node);
        let led = leads(before) && leads(moment.look) && before.term == moment.look.term;
        if led && moment.look.log.last < before.log.last {
            let (now, before) = (moment.look.log.last, before.log.last);
            return Err(format!("the leader's log ended at {before:?}, and ends at {now:?}"));
        }
        Ok(())
    }
}

/// Who hears of a later leader votes for that one and truncates its log, and only then tells that it leads no more.
fn votes_for_itself(look: &Look, node: u64) -> bool {
    look.vote.is_some_and(|vote| vote.term == look.term && vote.node == node)
}
