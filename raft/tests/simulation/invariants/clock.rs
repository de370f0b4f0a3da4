//! The cluster clock never runs backwards, and one wrong wall clock does not move it by more than 500 ms.

use super::{Invariant, Moment};
use crate::clocks::BEGIN_MS;

/// So far a stamp may be ahead of the true time, in milliseconds: the contract's bound.
pub(crate) const AHEAD_MS_MAX: u64 = 500;

/// By the stamps of entries, which are no later than the moment at which they are first seen committed.
pub(super) struct Clock;

impl Invariant for Clock {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let now_ms = BEGIN_MS + moment.now_ms;
        for index in moment.agreed.clone() {
            let Some(stamp_ms) = moment.history.entry(index).and_then(|agreed| agreed.stamp_ms) else {
                continue;
            };
            if stamp_ms > now_ms + AHEAD_MS_MAX {
                return Err(format!(
                    "entry {index} is stamped {} ms ahead of the true time",
                    stamp_ms - now_ms
                ));
            }
        }
        Ok(())
    }
}
