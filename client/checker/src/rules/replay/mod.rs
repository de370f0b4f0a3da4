//! Every answer, in the order of sequences, held against a naive model of the contract.
//!
//! ```text
//!   sequence 17   events 17.0 time, 17.1 line, 17.2 reserve ...     at 12:00:00.125
//!     time passes to 12:00:00.125        holds that are due end
//!     who was served before              the line's events
//!     the command                        that of the answer with 17; else one of unknown outcome that explains it
//!     who was served after               the line's events
//!     what the events and the answer show, is it so?
//!     reads and refusals that reflect 17, are they so at some moment before the next event?
//! ```
//!
//! Together with real time (`sequence`), answers that are all as the model says exhibit a linearization: the order of
//! sequences is one.
//!
//! What the model cannot know it is told, and checks: ids and tokens by the answers, when the line was served and what
//! became of commands without an answer by the feed. Where the moment of an answer is known as a span, every moment of
//! it is allowed. Whatever contradicts the model is told once, and believed from then on.

mod answers;
mod commands;
mod doubts;
mod effect;
mod events;
mod model;
mod perform;
mod plan;
mod refuse;
mod show;
mod timetable;

use std::collections::HashMap;

use self::doubts::{Doubts, cause_of, op_of};
use self::model::Model;
use self::timetable::{Due, timetable};
use super::{CLOCK_SLACK_MS, Findings};
use crate::book::{Book, Noted};

/// Where the replay puts what it finds.
pub(crate) struct Court<'f> {
    /// Answers that are not what the model says.
    pub(crate) replay: &'f mut Findings,
    /// Holds that ended early.
    pub(crate) kept: &'f mut Findings,
    /// Holds that ended late.
    pub(crate) ended: &'f mut Findings,
    /// What the feed does not tell as it was, or tells without a reason.
    pub(crate) feed: &'f mut Findings,
    /// Two effects under one key.
    pub(crate) once: &'f mut Findings,
    /// Lines that are not served in order.
    pub(crate) line: &'f mut Findings,
}

/// Replays the whole history. Without a feed there is nothing to replay by.
pub(crate) fn all(book: &Book<'_>, court: &mut Court<'_>) {
    if book.feed.is_empty() {
        return;
    }
    let mut replay = Replay {
        book,
        model: Model::new(&book.history.run.settings),
        doubts: Doubts::of(book),
        versions: HashMap::new(),
        court,
    };
    let mut feed = book.feed.as_slice();
    for (sequence, mut due) in timetable(book) {
        let (past, rest) = feed.split_at(feed.partition_point(|noted| noted.sequence < sequence));
        let (events, rest) = rest.split_at(rest.partition_point(|noted| noted.sequence == sequence));
        debug_assert!(past.is_empty(), "every sequence of the feed is in the timetable");
        feed = rest;
        due.next_ms = rest.first().map_or(u64::MAX, |noted| noted.at_ms);
        due.told_ms = events.first().map_or(due.next_ms, |noted| noted.at_ms);
        replay.one(sequence, events, &due);
    }
    replay.lines_are_served();
}

type Figures = (u64, u64, u64, u64, u64, Option<u64>);

struct Replay<'b, 'c, 'f> {
    book: &'b Book<'b>,
    model: Model,
    doubts: Doubts<'b>,
    /// What each version of a SKU's record was shown as.
    versions: HashMap<(String, u64), (Figures, u64)>,
    court: &'c mut Court<'f>,
}

impl<'b> Replay<'b, '_, '_> {
    fn one(&mut self, sequence: u64, events: &'b [Noted<'b>], due: &Due<'b>) {
        if let Some(first) = events.first() {
            self.model.advance(first.at_ms);
        }
        let own =
            events.iter().position(|noted| op_of(cause_of(noted)).is_some() || cause_of(noted) == "revoke");
        let (before, rest) = events.split_at(own.unwrap_or(events.len()));
        self.by_itself(before, sequence);
        self.model.changed.clear();
        self.model.changed_skus.clear();
        self.commands(sequence, rest, events, due);
        self.by_itself(rest, sequence);
        self.compare_stock(events, sequence);
        for command in &due.commands {
            self.answer(command, due.told_ms);
        }
        for command in &due.refused {
            self.refusal(command, due.next_ms);
        }
        for read in &due.reads {
            self.read(read);
        }
        for last in &due.finals {
            self.last(last);
        }
    }

    /// The latest moment of an answer: the next event's, or, since the cluster's clock does not run ahead, what the
    /// wall clock allows.
    fn latest_ms(&self, next_ms: u64, ended_us: u64) -> u64 {
        if !self.book.clocks_can_be_trusted {
            return next_ms;
        }
        let wall_ms = self.book.started_ms + ended_us / 1_000 + CLOCK_SLACK_MS;
        next_ms.min(wall_ms.max(self.model.now_ms))
    }
}
