//! The record of a run: what happened to the clients and to the cluster, in the order of one clock.
//!
//! On disk it is NDJSON, one [`Record`] a line, told apart by its `kind`:
//!
//! ```text
//!  {"kind":"run", ...}        once, the first line: what was run, and how to run it again
//!  {"kind":"call", ...}       an operation of a client as it saw it, over all its tries
//!  {"kind":"fault", ...}      what was done to the cluster, and whether it bit
//!  {"kind":"sample", ...}     a look at a node
//!  {"kind":"event", ...}      an event of the change feed, as read from its beginning to its end after the run
//!  {"kind":"final", ...}      a node's whole state after the run
//!  {"kind":"end", ...}        once, the last line: without it the record was cut off, and proves nothing
//! ```
//!
//! Invariants:
//! - Every `*_us` is microseconds since the run's start, on ONE monotonic clock, that of the program that drove it.
//! - An operation is one call, however many tries it took, and has one outcome.
//! - A call's times enclose all its tries: nothing was sent before `started_us`, and its outcome was not known to
//!   anybody before `ended_us`.
//! - Unknown fields are skipped, so that an older checker reads a newer record as far as it understands it.
//!
//! What is absent: interpretation. Bodies are kept as the JSON that went over the wire.

mod call;
mod file;
mod json;
mod run;
mod state;
#[cfg(test)]
mod tests;

pub use call::{Answer, Call, Came, Condition, Op, Outcome, Try};
pub use file::{HistoryError, Record};
pub use json::Json;
pub use run::{End, Fault, Link, Run, Settings};
pub use state::{FeedDigest, FeedEvent, Final, Sample};

/// A whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// What was run.
    pub run: Run,
    /// Every operation of every client, in no particular order.
    pub calls: Vec<Call>,
    /// What was done to the cluster.
    pub faults: Vec<Fault>,
    /// Looks at the nodes.
    pub samples: Vec<Sample>,
    /// The change feed, in its order.
    pub events: Vec<FeedEvent>,
    /// Every node's state after the run.
    pub finals: Vec<Final>,
    /// That the record was written to its end.
    pub end: Option<End>,
}

impl History {
    /// A run of which nothing is recorded yet.
    pub fn new(run: Run) -> History {
        History {
            run,
            calls: Vec::new(),
            faults: Vec::new(),
            samples: Vec::new(),
            events: Vec::new(),
            finals: Vec::new(),
            end: None,
        }
    }

    /// Whether all of it is there: its end is, and as many calls as that says.
    pub fn is_whole(&self) -> bool {
        self.end.is_some_and(|end| end.calls == self.calls.len() as u64)
    }

    /// Takes one more record in; of two runs the later one counts.
    pub fn add(&mut self, record: Record) {
        match record {
            Record::Run(run) => self.run = run,
            Record::Call(call) => self.calls.push(call),
            Record::Fault(fault) => self.faults.push(fault),
            Record::Sample(sample) => self.samples.push(sample),
            Record::Event(event) => self.events.push(event),
            Record::Final(last) => self.finals.push(last),
            Record::End(end) => self.end = Some(end),
        }
    }
}
