//! Log matching: two logs with an entry of the same index and term are the same up to that entry.

use std::collections::BTreeMap;

use storage::Position;

use super::{Invariant, Moment};
use crate::history::hash_of;

/// Every entry that any log ever had: its payload's hash, and the entry before it. By induction over those before,
/// that they are the same is enough.
#[derive(Default)]
pub(super) struct LogMatching(BTreeMap<Position, (u64, Option<Position>)>);

impl Invariant for LogMatching {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let mut last = None;
        for entry in moment.tail {
            let at = entry.position;
            let hash = hash_of(entry);
            let known = self.0.entry(at).or_insert((hash, last));
            if known.0 != hash {
                return Err(format!(
                    "entry {at:?} of node {} is another one than another node's",
                    moment.node
                ));
            }
            if let (Some(theirs), Some(ours)) = (known.1, last)
                && theirs != ours
            {
                return Err(format!("before entry {at:?} is {ours:?} here, and {theirs:?} in another log"));
            }
            known.1 = known.1.or(last);
            last = Some(at);
        }
        Ok(())
    }
}
