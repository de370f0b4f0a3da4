//! What is stale says so, and says of which moment it is.

use super::Findings;
use crate::book::Book;
use crate::verdict::RuleVerdict;

/// Stale answers name their log entry, linearizable ones do not pass for stale, and one entry is one state.
pub(crate) fn labels(book: &Book<'_>) -> RuleVerdict {
    let says = "A stale answer names the log entry that it shows, no other answer does, and one log entry is one \
                sequence on every node.";
    let mut found = Findings::new("stale_reads", says);
    let mut moments = Vec::new();
    for read in book.reads.iter().filter(|read| read.told.status == 200) {
        found.look();
        let (call, told) = (read.call, &read.told);
        // A node that has applied nothing yet has no log entry to name.
        let nameless = told.sequence == Some(0);
        if call.stale != told.applied_index.is_some() && !(call.stale && nameless) {
            let (asked, given) = match call.stale {
                true => ("a stale", "names no log entry"),
                false => ("a linearizable", "is labelled as a stale one"),
            };
            found.accuse(call.ended_us, &[call.id], || {
                format!("call {}: {asked} read was asked for, and its answer {given}", call.id)
            });
        }
        moments.extend(told.applied_index.zip(told.sequence).map(|moment| (moment, call)));
    }
    moments.sort_by_key(|(moment, _)| *moment);
    for pair in moments.windows(2) {
        let [((index, sequence), one), ((next_index, next_sequence), other)] = pair else { continue };
        let same = index == next_index && sequence != next_sequence;
        if same || sequence > next_sequence {
            found.accuse(other.ended_us, &[one.id, other.id], || {
                format!(
                    "log entry {index} is sequence {sequence}, and log entry {next_index} {next_sequence}"
                )
            });
        }
    }
    found.verdict()
}
