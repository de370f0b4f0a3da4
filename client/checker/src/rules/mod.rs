//! The rules: each looks at the whole history by itself.
//!
//! | file | rules |
//! | --- | --- |
//! | `sequence` | `sequence_order`, `sequence_unique` |
//! | `replay` | `replay`: a naive model of the contract; shares the four below it |
//! | `change_feed` | `change_feed` |
//! | `time` | `holds_kept`, `holds_ended`, `cluster_clock` |
//! | `idempotency` | `idempotency` |
//! | `waiting_line` | `waiting_line` |
//! | `oversell` | `oversell`, without sequences |
//! | `conservation` | `conservation`, `stock_totals` |
//! | `current_reads` | `current_reads`, without sequences |
//! | `stale_reads` | `stale_reads` |
//! | `fencing` | `fencing` |
//! | `nothing_lost` | `nothing_lost` |
//! | `replicas` | `replicas_agree` |

mod change_feed;
mod conservation;
mod current_reads;
mod fencing;
mod findings;
mod idempotency;
mod nothing_lost;
mod oversell;
mod replay;
mod replicas;
mod sequence;
mod stale_reads;
mod time;
mod waiting_line;

use findings::Findings;

use crate::book::Book;
use crate::history::Came;
use crate::verdict::RuleVerdict;

/// How far the cluster's clock may be ahead of the wall clock: 500 ms by the contract, and what the record's own clock
/// and rounding may add.
const CLOCK_SLACK_MS: u64 = 750;

/// Every rule, in the order in which they are told.
pub(crate) fn all(book: &Book<'_>) -> Vec<RuleVerdict> {
    let mut replay = Findings::new(
        "replay",
        "Sorted by sequence, every answer is what a model of the contract says after those before it; with \
         sequence_order this is a linearization.",
    );
    let mut kept = Findings::new("holds_kept", "No hold ends before its expires_at, by the cluster's clock.");
    let mut ended = Findings::new(
        "holds_ended",
        "From its expires_at on a hold is over, and its units are for sale while there is a quorum.",
    );
    let mut feed = Findings::new(
        "change_feed",
        "The change feed tells everything that was done, once, in order, without a gap, and nothing else, the same on \
         every node.",
    );
    let mut once = idempotency::once(book);
    let mut line = waiting_line::in_order(book);
    let mut court = replay::Court {
        replay: &mut replay,
        kept: &mut kept,
        ended: &mut ended,
        feed: &mut feed,
        once: &mut once,
        line: &mut line,
    };
    replay::all(book, &mut court);
    change_feed::whole(book, &mut feed);
    time::kept(book, &mut kept);
    time::ended(book, &mut ended);
    vec![
        sequence::order(book),
        sequence::unique(book),
        replay.verdict(),
        oversell::never(book),
        conservation::units(book),
        conservation::at_the_end(book),
        nothing_lost::anywhere(book),
        kept.verdict(),
        ended.verdict(),
        once.verdict(),
        line.verdict(),
        fencing::grow(book),
        current_reads::never_older(book),
        stale_reads::labels(book),
        feed.verdict(),
        replicas::agree(book),
        time::clock(book),
        readable(book),
    ]
}

/// Answers that are none.
fn readable(book: &Book<'_>) -> RuleVerdict {
    let mut found = Findings::new(
        "readable",
        "Every answer has the form that the contract gives it: refusals have a code, and no node answers 500.",
    );
    for call in &book.history.calls {
        found.look();
        for one in &call.tries {
            if let Some(why) = unknown_form(&one.came) {
                found.accuse(one.ended_us, &[call.id], || {
                    format!("call {}: node {} {why}", call.id, one.node)
                });
            }
        }
    }
    for (place, why) in &book.unreadable {
        let call = &book.history.calls[*place];
        found.accuse(call.ended_us, &[call.id], || format!("call {}: {why}", call.id));
    }
    found.verdict()
}

/// How an answer to one try is none that the contract knows, whatever became of the call.
fn unknown_form(came: &Came) -> Option<String> {
    match came {
        Came::Answer { status, .. } if *status >= 500 && !matches!(status, 503 | 504) => {
            Some(format!("answered {status}"))
        }
        Came::Answer { status, code: None } if *status >= 400 => {
            Some(format!("answered {status} without a code"))
        }
        _ => None,
    }
}
