//! The history read for what it says: every command and every read, with bodies as what they should be.
//!
//! A batch is taken apart here, because each of its operations is its own command. What follows knows calls only by
//! their place in [`History::calls`].

mod ask;
mod told;

use std::collections::HashMap;

use client::api::{BatchRequest, BatchResponse, Event};

pub(crate) use ask::{Ask, summed};
pub(crate) use told::{Body, Told};

use crate::history::{Call, Condition, History, Op, Outcome};

/// Everything that the rules look at.
pub(crate) struct Book<'h> {
    /// The record itself.
    pub(crate) history: &'h History,
    /// Every command of every call.
    pub(crate) commands: Vec<Command<'h>>,
    /// Every read that was answered.
    pub(crate) reads: Vec<Read<'h>>,
    /// Answers that are not what the contract says an answer is: place of the call, and why.
    pub(crate) unreadable: Vec<(usize, String)>,
    /// The change feed, each event with its place and time.
    pub(crate) feed: Vec<Noted<'h>>,
    /// Events that have no readable place or time.
    pub(crate) unplaced: Vec<&'h Event>,
    /// The wall clock at the run's start, in milliseconds since the Unix epoch.
    pub(crate) started_ms: u64,
    /// Whether the cluster's clock must follow the wall clock: no majority of the nodes was given a wrong one.
    pub(crate) clocks_can_be_trusted: bool,
}

/// One command, alone or in a batch.
pub(crate) struct Command<'h> {
    /// The call that it is, or is in.
    pub(crate) call: &'h Call,
    /// What it asks for.
    pub(crate) ask: Ask,
    /// Its idempotency key.
    pub(crate) key: Option<String>,
    /// Under what condition.
    pub(crate) condition: Option<Condition>,
    /// How many tries may have been executed, or may be yet, besides the one that was answered.
    pub(crate) doubts: usize,
    /// What it was answered.
    pub(crate) told: Option<Told>,
}

impl Command<'_> {
    /// Its answer, where its status is 2xx.
    pub(crate) fn success(&self) -> Option<&Told> {
        self.told.as_ref().filter(|told| told.succeeded())
    }

    /// The sequence of its own command, where it was done.
    pub(crate) fn done_at(&self) -> Option<u64> {
        self.success().and_then(|told| told.sequence)
    }
}

/// A read that was answered.
pub(crate) struct Read<'h> {
    pub(crate) call: &'h Call,
    pub(crate) told: Told,
}

/// An event of the feed with its place and time.
pub(crate) struct Noted<'h> {
    pub(crate) sequence: u64,
    pub(crate) index: u64,
    /// Cluster clock, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) event: &'h Event,
}

impl<'h> Book<'h> {
    /// Reads a history.
    pub(crate) fn of(history: &'h History) -> Book<'h> {
        let started_ms = ms(&history.run.started_at).unwrap_or(0);
        let mut book = Book {
            history,
            commands: Vec::with_capacity(history.calls.len()),
            reads: Vec::new(),
            unreadable: Vec::new(),
            feed: Vec::with_capacity(history.events.len()),
            unplaced: Vec::new(),
            started_ms,
            clocks_can_be_trusted: started_ms > 0 && !majority_was_wrong(history),
        };
        for (place, call) in history.calls.iter().enumerate() {
            if let Err(why) = book.take(call) {
                book.unreadable.push((place, why));
            }
        }
        history.events.iter().for_each(|noted| book.note(&noted.event));
        book
    }

    fn take(&mut self, call: &'h Call) -> Result<(), String> {
        match call.op {
            Op::Batch => self.take_batch(call),
            op if op.writes() => self.take_command(call),
            _ => self.take_read(call),
        }
    }

    fn take_command(&mut self, call: &'h Call) -> Result<(), String> {
        let (ask, command) =
            (Ask::of(call)?, call.answer().map(|answer| Told::of(call.op, answer)).transpose());
        let (told, unreadable) = match command {
            Ok(told) => (told, Ok(())),
            Err(why) => (None, Err(why)),
        };
        let doubts = doubts(call, told.as_ref());
        let (key, condition) = (call.key.clone(), call.condition);
        self.commands.push(Command { call, ask, key, condition, doubts, told });
        unreadable
    }

    fn take_batch(&mut self, call: &'h Call) -> Result<(), String> {
        let request: BatchRequest = call.request.read().map_err(|cause| cause.to_string())?;
        let results = match call.success() {
            Some(answer) => {
                let results: BatchResponse = answer.body.read().map_err(|cause| cause.to_string())?;
                if results.results.len() != request.operations.len() {
                    return Err("a batch has one result for each operation".into());
                }
                results.results.into_iter().map(Some).collect()
            }
            None => vec![],
        };
        let mut results = results.into_iter();
        for operation in request.operations {
            let result = results.next().flatten();
            let ask = Ask::of_operation(operation.call);
            let told = result.map(|result| Told::of_result(ask.op(), result)).transpose()?;
            let doubts = doubts(call, told.as_ref());
            let key = operation.idempotency_key;
            self.commands.push(Command { call, ask, key, condition: None, doubts, told });
        }
        Ok(())
    }

    fn take_read(&mut self, call: &'h Call) -> Result<(), String> {
        if let Some(answer) = call.answer() {
            let told = Told::of(call.op, answer)?;
            self.reads.push(Read { call, told });
        }
        Ok(())
    }

    fn note(&mut self, event: &'h Event) {
        match place(event) {
            Some((sequence, index, at_ms)) => self.feed.push(Noted { sequence, index, at_ms, event }),
            None => self.unplaced.push(event),
        }
    }

    /// When something happened by the cluster clock, as a time of the run.
    pub(crate) fn at_us(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.started_ms).saturating_mul(1_000)
    }

    /// The commands by the key that they share.
    pub(crate) fn by_key(&self) -> HashMap<&str, Vec<usize>> {
        let mut keys: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, command) in self.commands.iter().enumerate() {
            if let Some(key) = &command.key {
                keys.entry(key).or_default().push(place);
            }
        }
        keys
    }
}

/// How many tries leave in doubt whether they were executed. Where the outcome itself is one, there is at least one.
fn doubts(call: &Call, told: Option<&Told>) -> usize {
    let doubtful = call.tries.iter().filter(|one| one.leaves_doubt()).count();
    let unknown = match told {
        Some(told) => told.status >= 500 && told.status != 503,
        None => matches!(call.outcome, Outcome::Unknown { .. }),
    };
    if unknown { doubtful.max(1) } else { doubtful }
}

/// Whether at any moment a majority of the nodes was given a wrong clock.
fn majority_was_wrong(history: &History) -> bool {
    let wrong: Vec<_> = history.faults.iter().filter(|fault| fault.fault == "clock").collect();
    wrong.iter().any(|one| {
        let at_once =
            wrong.iter().filter(|other| other.from_us <= one.from_us && one.from_us < other.until_us);
        let mut nodes: Vec<u64> =
            at_once.chain([one]).flat_map(|fault| fault.nodes.iter().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.len() * 2 > history.run.nodes.len()
    })
}

fn place(event: &Event) -> Option<(u64, u64, u64)> {
    let (sequence, index) = event.id.split_once('.')?;
    let sequence = sequence.parse().ok()?;
    (event.sequence.parse() == Ok(sequence)).then_some(())?;
    Some((sequence, index.parse().ok()?, ms(&event.time)?))
}

/// An RFC 3339 time in milliseconds since the Unix epoch.
pub(crate) fn ms(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}
