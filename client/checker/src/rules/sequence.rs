//! Sequences against real time, and against each other.
//!
//! ```text
//!   A |----| 17                 ended before B began: what A saw or did comes first, so B's sequence is not smaller,
//!              B |-----| 18     and where B did something itself it is greater
//! ```

use std::collections::HashMap;

use super::Findings;
use crate::book::Book;
use crate::verdict::RuleVerdict;

/// How an answer's sequence binds it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bond {
    /// A command of its own: greater than all before it.
    Own,
    /// The last command that it reflects: not smaller than any before it.
    Reflects,
    /// A kept answer or a stale one: it may be old, but it tells of something that was there.
    Old,
}

struct Seen {
    started_us: u64,
    ended_us: u64,
    sequence: u64,
    bond: Bond,
    call: u64,
}

/// Sequences follow real time.
pub(crate) fn order(book: &Book<'_>) -> RuleVerdict {
    let says = "A call that ended before another one began has no greater sequence, and the operations of a batch \
                are executed in their order.";
    let mut found = Findings::new("sequence_order", says);
    let mut by_start = seen(book);
    by_start.sort_by_key(|one| one.started_us);
    let mut by_end: Vec<usize> = (0..by_start.len()).collect();
    by_end.sort_by_key(|&place| by_start[place].ended_us);
    let mut ended = by_end.into_iter().peekable();
    let mut greatest: Option<(u64, u64)> = None;
    for one in &by_start {
        while let Some(place) = ended.next_if(|&place| by_start[place].ended_us < one.started_us) {
            greatest = greatest.max(Some((by_start[place].sequence, by_start[place].call)));
        }
        found.look();
        let Some((before, call)) = greatest else { continue };
        let follows = match one.bond {
            Bond::Own => before < one.sequence,
            Bond::Reflects => before <= one.sequence,
            Bond::Old => true,
        };
        if !follows {
            found.accuse(one.started_us, &[call, one.call], || {
                format!(
                    "call {} has sequence {}, and call {call}, which ended before it began, {before}",
                    one.call, one.sequence
                )
            });
        }
    }
    batches(book, &mut found);
    found.verdict()
}

fn batches(book: &Book<'_>, found: &mut Findings) {
    let own = |place: usize| {
        let command = &book.commands[place];
        let told = command.success().filter(|told| !told.replayed)?;
        Some((command.call.id, told.sequence?))
    };
    let mut last = None;
    for place in 0..book.commands.len() {
        let Some((call, sequence)) = own(place) else { continue };
        if let Some((before, earlier)) = last
            && before == call
            && earlier >= sequence
        {
            found.accuse(book.commands[place].call.ended_us, &[call], || {
                format!("call {call}: an operation has sequence {sequence}, and one before it {earlier}")
            });
        }
        last = Some((call, sequence));
    }
}

/// No two writes share a sequence.
pub(crate) fn unique(book: &Book<'_>) -> RuleVerdict {
    let mut found = Findings::new("sequence_unique", "No two commands that were done share a sequence.");
    let mut owners: HashMap<u64, u64> = HashMap::new();
    for command in &book.commands {
        let Some(told) = command.success().filter(|told| !told.replayed) else { continue };
        found.look();
        let Some(sequence) = told.sequence else {
            found.accuse(command.call.ended_us, &[command.call.id], || {
                format!("call {}: done, but its answer has no sequence", command.call.id)
            });
            continue;
        };
        if let Some(other) = owners.insert(sequence, command.call.id) {
            found.accuse(command.call.ended_us, &[other, command.call.id], || {
                format!("calls {other} and {} both have sequence {sequence}", command.call.id)
            });
        }
    }
    found.verdict()
}

fn seen(book: &Book<'_>) -> Vec<Seen> {
    let commands = book.commands.iter().filter_map(|command| {
        let told = command.told.as_ref()?;
        let bond = match () {
            () if told.replayed => Bond::Old,
            () if told.succeeded() => Bond::Own,
            () => Bond::Reflects,
        };
        Some((command.call, told.sequence?, bond))
    });
    let reads = book.reads.iter().filter_map(|read| {
        let bond = if read.call.stale { Bond::Old } else { Bond::Reflects };
        Some((read.call, read.told.sequence?, bond))
    });
    let seen = commands.chain(reads).map(|(call, sequence, bond)| Seen {
        started_us: call.started_us,
        ended_us: call.ended_us,
        sequence,
        bond,
        call: call.id,
    });
    seen.collect()
}
