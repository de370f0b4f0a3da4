//! Whether a node that introduces itself is the one that was dealt with before, by what is remembered of it.
//!
//! ```text
//!                       remembered of the node: generation G, nonce N, promised P
//!   another directory, or nothing remembered ------------------------------------------> next
//!   generation = G, nonce = N ---------------------------------------------------------> same
//!   generation = G, another nonce: it was copied and both were started ----------------> reverted, for good
//!   generation < G: the directory was started again since, so this is an older one ----> reverted, for good
//!   generation > G, and N was heard from within the last second, and not its farewell -> in use, for now
//!   generation > G, but it has less than P: an older state, started anew --------------> reverted, for good
//!   generation > G otherwise ----------------------------------------------------------> next
//! ```
//!
//! Whether a directory is the node's at all is for the membership to say: it knows the store id, and is asked first. A
//! directory with another store id than is remembered gets here where the effective membership has put no other one in
//! its place, or it is in a later membership. On a node that is behind it may be the older directory of an id, and
//! after it the newer one again: a node that has the later membership votes for none that lacks it.
//!
//! # What it is good for
//!
//! What is remembered moves to the *next* start only after that is on disk, and from then on frames of any earlier one
//! are dropped, also on connections that exist. So no node ever deals with a start of a directory after it has dealt
//! with a later one, with two starts at once, or with a directory that has less than it was known to have. No clock
//! counts in this: the second only decides which of two goes on.
//!
//! # Why a farewell may be believed
//!
//! What ends an orderly stop (`farewell`) says that start N will say nothing more. It takes away the second, and
//! nothing else: whoever comes next must still have a greater generation and cover P. It counts only where it is N's
//! own word: it comes with a handshake that was judged to be N's, and what is remembered is N. A copy has another nonce
//! as soon as it starts, and speaks for nobody but itself; so it cannot end the original in order to take its place.
//!
//! From then on N is not heard, even if it should speak: what it says is dropped on every connection, as if the next
//! start had been dealt with already. So a start that is over stays over, there are never two, and nothing is promised
//! by N behind the P that the next start has to cover. That holds for as long as the farewell is remembered, in memory
//! alone: a peer that has started again remembers G, N and P from its disk, and would deal with N if that spoke again.
//! It does not: it has ended, as every start does that another one follows.
//!
//! # Why no node is refused that lost nothing
//!
//! Call a node legal whose directory has gone through starts one after the other, and has on disk what was fsynced.
//!
//! 1. Each start takes the next generation, and has it on disk before its first word. What a peer remembers came from a
//!    start of this directory, this one or an earlier one. If an earlier one, the generation now is greater; if this
//!    one, generation and nonce are equal. So neither of the first two refusals can meet it.
//! 2. What is promised was told by the node itself, of what was committed (or voted) *and* fsynced, and neither ever
//!    becomes less on its disk: see [`Promises`](crate::promises::Promises). What a node introduces itself with is all
//!    that it has, uncommitted entries included. So it covers P, and the third refusal cannot meet it.
//! 3. An earlier start has ended before this one began: the lock on the directory sees to that. So nothing of it
//!    arrives any more but what was on its way, and "in use" ends about a second after the end of the earlier start, or
//!    with its farewell.
//!
//! That covers, with nothing to tell them apart: a stop and a start, `kill -9` and an immediate start, a power cut of
//! some or all, a follower whose uncommitted tail was truncated (P never counts those entries), a leader that starts
//! again, a snapshot that was installed and the log purged behind it, peers whose memory is old or was removed (they
//! remember less, and less is covered too), a cluster that forms (nothing is remembered), a node whose directory was
//! wiped before the cluster had formed (another store id).
//!
//! # What remains
//!
//! A copy that passes: one whose generation is greater than what any peer remembers, which lacks nothing that any peer
//! was told of, while the original is not heard. Peers are told with every frame, and heartbeats go each 100 ms; on
//! disk the memory is a few seconds old, and newer at an orderly stop. And two copies started while the other nodes
//! are cut off from one another, each of which reaches some of them, go on until one reaches the other's.
//!
//! A copy that is in use for now dials on for up to five seconds before it ends. Where the original starts again within
//! those, after a farewell or a second of silence, on a cluster that has promised nothing since the copy was made, the
//! copy may take its place, and the original is refused for good. Chance says which of the two goes on; two starts are
//! never dealt with together.

use storage::peers::Known;

use super::message::{Introduction, Reverted};

/// What a node that introduces itself is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The very start that is dealt with.
    Same,
    /// The start to deal with from now on.
    Next,
    /// Perhaps the next one, but the last one was just heard from.
    InUse,
    /// None that may ever be dealt with.
    Reverted(Reverted),
}

/// Judges. `is_heard`: whether the start that is remembered was heard from within the last second, and did not part.
pub(crate) fn judge(known: Option<&Known>, is_heard: bool, introduction: &Introduction) -> Verdict {
    let Introduction { incarnation, has } = introduction;
    let Some(known) = known.filter(|known| known.incarnation.store_id == incarnation.store_id) else {
        return Verdict::Next;
    };
    if known.incarnation == *incarnation {
        return Verdict::Same;
    }
    if incarnation.generation < known.incarnation.generation {
        return Verdict::Reverted(Reverted::Superseded);
    }
    if incarnation.generation == known.incarnation.generation {
        return Verdict::Reverted(Reverted::Copied);
    }
    // An operator is told rather that the original runs than what the copy lacks.
    if is_heard {
        return Verdict::InUse;
    }
    if !has.covers(&known.promised) {
        return Verdict::Reverted(Reverted::Forgotten(known.promised));
    }
    Verdict::Next
}

#[cfg(test)]
mod tests {
    use storage::peers::{Incarnation, Promised};

    use super::*;

    const KNOWN: Known =
        Known { incarnation: incarnation(5, 50), promised: Promised { term: 7, node: 2, entries: 100 } };

    const fn incarnation(generation: u64, nonce: u128) -> Incarnation {
        Incarnation { store_id: 1, generation, nonce }
    }

    fn judged(generation: u64, nonce: u128, vote: (u64, u64), entries: u64, is_heard: bool) -> Verdict {
        let has = Promised { term: vote.0, node: vote.1, entries };
        judge(Some(&KNOWN), is_heard, &Introduction { incarnation: incarnation(generation, nonce), has })
    }

    #[test]
    fn no_legal_start_is_refused_and_each_is_next_once_the_last_one_is_silent() {
        for (what, generation, vote, entries) in [
            ("stopped and started", 6, (7, 2), 100),
            ("started many times while this node was away", 60, (7, 2), 100),
            ("an uncommitted tail that may be truncated yet", 6, (7, 2), 104),
            ("its tail was truncated down to what was committed", 6, (8, 1), 100),
            ("a leader that starts again, with entries nobody else has", 6, (7, 2), 1_000),
            ("it voted again in the term, for a node that comes after", 6, (7, 3), 100),
            ("it was in elections since", 6, (9, 1), 120),
        ] {
            assert_eq!(judged(generation, 60, vote, entries, false), Verdict::Next, "{what}");
            assert_eq!(judged(generation, 60, vote, entries, true), Verdict::InUse, "{what}");
        }
    }

    #[test]
    fn the_start_that_is_dealt_with_is_the_same_whether_or_not_it_was_heard() {
        for is_heard in [false, true] {
            assert_eq!(judged(5, 50, (7, 2), 100, is_heard), Verdict::Same);
        }
    }

    #[test]
    fn copies_and_older_states_are_refused_for_good() {
        let forgotten = Reverted::Forgotten(KNOWN.promised);
        for (what, generation, nonce, vote, entries, reverted) in [
            ("a copy of before the last start", 4, 60, (7, 2), 100, Reverted::Superseded),
            ("the start before, which slept", 4, 40, (9, 2), 900, Reverted::Superseded),
            ("a copy, started as the original was", 5, 60, (7, 2), 100, Reverted::Copied),
            ("a live copy, put back after more was acknowledged", 6, 60, (7, 2), 99, forgotten),
            ("a live copy of before an election", 6, 60, (6, 3), 100, forgotten),
            ("a live copy of before a second vote in the term", 6, 60, (7, 1), 100, forgotten),
            ("an old copy that was started again and again", 600, 60, (6, 1), 12, forgotten),
            ("a log that was emptied", 6, 60, (0, 0), 0, forgotten),
        ] {
            let verdict = judged(generation, nonce, vote, entries, false);
            assert_eq!(verdict, Verdict::Reverted(reverted), "{what}");
            let while_it_runs = judged(generation, nonce, vote, entries, true);
            assert!(matches!(while_it_runs, Verdict::Reverted(_) | Verdict::InUse), "{what}");
        }
    }

    #[test]
    fn a_directory_that_is_not_remembered_is_next() {
        let has = Promised::default();
        let wiped = Incarnation { store_id: 2, ..incarnation(1, 1) };
        assert_eq!(judge(Some(&KNOWN), true, &Introduction { incarnation: wiped, has }), Verdict::Next);
        let unknown = Introduction { incarnation: incarnation(1, 1), has };
        assert_eq!(judge(None, false, &unknown), Verdict::Next);
    }
}
