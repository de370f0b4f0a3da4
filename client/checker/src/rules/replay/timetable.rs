//! What is looked at when: everything by its sequence.

use std::collections::{BTreeMap, HashMap};

use crate::book::{Book, Command, Read};
use crate::history::Final;

/// What is to be looked at, at one sequence.
#[derive(Default)]
pub(super) struct Due<'b> {
    pub(super) commands: Vec<&'b Command<'b>>,
    pub(super) refused: Vec<&'b Command<'b>>,
    pub(super) reads: Vec<&'b Read<'b>>,
    pub(super) finals: Vec<&'b Final>,
    /// When the next event happened.
    pub(super) next_ms: u64,
    /// When the command at this sequence happened at the latest.
    pub(super) told_ms: u64,
}

/// Everything by its sequence.
pub(super) fn timetable<'b>(book: &'b Book<'b>) -> BTreeMap<u64, Due<'b>> {
    let mut table: BTreeMap<u64, Due<'b>> = BTreeMap::new();
    for noted in &book.feed {
        table.entry(noted.sequence).or_default();
    }
    let mut by_key: HashMap<&str, u64> = HashMap::new();
    for replayed in [false, true] {
        let done = |command: &&Command<'_>| command.success().is_some_and(|told| told.replayed == replayed);
        for command in book.commands.iter().filter(done) {
            let Some(sequence) = command.done_at() else { continue };
            // Of the answers under one key one stands for all; that they are the same is another rule's to see.
            let first =
                command.key.as_deref().is_none_or(|key| *by_key.entry(key).or_insert(sequence) == sequence);
            let due = table.entry(sequence).or_default();
            let known = |other: &&&Command<'_>| other.key.is_some() && other.key == command.key;
            if first && !due.commands.iter().any(|other| known(&other)) {
                due.commands.push(command);
            }
        }
    }
    for command in &book.commands {
        if let Some(told) = command.told.as_ref().filter(|told| told.refused()) {
            table.entry(told.sequence.unwrap_or(0)).or_default().refused.push(command);
        }
    }
    for read in &book.reads {
        if let Some(sequence) = read.told.sequence {
            table.entry(sequence).or_default().reads.push(read);
        }
    }
    for last in &book.history.finals {
        table.entry(last.sequence).or_default().finals.push(last);
    }
    table
}
