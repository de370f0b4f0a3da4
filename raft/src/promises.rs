//! What this node has on its disk for good: the vote it gave and the entries that are committed. Peers are told with
//! every frame, so that they know a directory that has less for an older copy.
//!
//! Invariant: whatever [`Promises::kept`] answered once, [`Promises::all`] covers from then on, also after any crash.
//! A vote is told of only when its fdatasync is done, and a later one never replaces it by a lesser one. An entry is
//! told of only when it is committed and its fdatasync is done; a committed entry is never truncated, and is purged
//! only behind an image of it.

use std::sync::{Mutex, PoisonError};

use storage::Position;
use storage::log::{Log, Vote};
use storage::peers::Promised;

/// See the module.
pub(crate) struct Promises {
    log: Log,
    /// The last vote that is on disk.
    vote: Mutex<Option<Vote>>,
}

impl Promises {
    /// Of a log that was opened just now: its vote is on disk.
    pub(crate) fn new(log: Log) -> Promises {
        let vote = Mutex::new(log.vote());
        Promises { log, vote }
    }

    /// Notes a vote whose fdatasync is done.
    pub(crate) fn note_vote(&self, vote: Vote) {
        *self.vote.lock().unwrap_or_else(PoisonError::into_inner) = Some(vote);
    }

    /// What can never become less.
    pub(crate) fn kept(&self) -> Promised {
        let vote = *self.vote.lock().unwrap_or_else(PoisonError::into_inner);
        promised(vote, self.log.committed_on_disk())
    }

    /// All there is, committed or not, in the log or in the image of the entries up to `applied`.
    pub(crate) fn all(&self, applied: Option<Position>) -> Promised {
        let entries = |last: Option<Position>| last.map_or(0, |position| position.index + 1);
        promised(self.log.vote(), entries(self.log.state().last).max(entries(applied)))
    }
}

fn promised(vote: Option<Vote>, entries: u64) -> Promised {
    let (term, node) = vote.map_or((0, 0), |vote| (vote.term, vote.node));
    Promised { term, node, entries }
}
