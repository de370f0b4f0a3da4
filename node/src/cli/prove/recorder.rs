//! The record of a run as it grows: a line of NDJSON for each thing that happened, and counts for whoever watches.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use checker::history::{Call, End, Fault, Outcome, Record, Run};

use super::FAILURE;

/// The record.
#[derive(Debug)]
pub(super) struct Recorder {
    began: Instant,
    file: Mutex<Kept>,
    /// Numbers the calls.
    calls: AtomicU64,
    /// The highest sequence that a client was told.
    acknowledged: AtomicU64,
    /// What is shown while it runs.
    pub(super) counts: Counts,
}

/// The file, and the first error of writing it: a record with a hole proves nothing.
#[derive(Debug)]
struct Kept {
    out: BufWriter<File>,
    failed: Option<io::Error>,
}

/// How much there is so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Calls with an answer.
    pub(super) answered: AtomicU64,
    /// Calls without.
    pub(super) open: AtomicU64,
    /// Tries of all calls.
    pub(super) tries: AtomicU64,
    /// Faults that were done.
    pub(super) faults: AtomicU64,
    /// Of these, those that bit.
    pub(super) fired: AtomicU64,
}

impl Recorder {
    /// A new record, whose clock starts now.
    pub(super) fn create(path: &Path, run: Run) -> io::Result<Recorder> {
        let file = Mutex::new(Kept { out: BufWriter::new(File::create(path)?), failed: None });
        let (calls, acknowledged, counts) = (AtomicU64::new(0), AtomicU64::new(0), Counts::default());
        let recorder = Recorder { began: Instant::now(), file, calls, acknowledged, counts };
        recorder.add(&Record::Run(run));
        Ok(recorder)
    }

    /// Microseconds since the start, by the one clock of the run.
    pub(super) fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// The number of the next call.
    pub(super) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The highest sequence that a client was told so far.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Adds a call.
    pub(super) fn call(&self, call: Call) {
        let counter = match call.outcome {
            Outcome::Answer(ref answer) => {
                self.acknowledged.fetch_max(answer.sequence.unwrap_or_default(), Ordering::Relaxed);
                &self.counts.answered
            }
            Outcome::NotExecuted { .. } | Outcome::Unknown { .. } => &self.counts.open,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.counts.tries.fetch_add(call.tries.len() as u64, Ordering::Relaxed);
        self.add(&Record::Call(call));
    }

    /// Adds a fault.
    pub(super) fn fault(&self, fault: Fault) {
        self.counts.faults.fetch_add(1, Ordering::Relaxed);
        self.counts.fired.fetch_add(u64::from(fault.fired), Ordering::Relaxed);
        self.add(&Record::Fault(fault));
    }

    /// Adds what should not have happened and is none of a client's. It is on disk at once: whoever checks the record
    /// finds it again, however the run ends.
    pub(super) fn failure(&self, what: &str) {
        let at_us = self.now_us();
        self.add(&Record::Fault(Fault {
            from_us: at_us,
            until_us: at_us,
            fault: FAILURE.to_owned(),
            nodes: Vec::new(),
            links: Vec::new(),
            hit_leader: false,
            detail: what.to_owned(),
            fired: true,
        }));
        // An error of it is kept, and told at the end.
        let _ = self.flush();
    }

    /// Adds a line.
    pub(super) fn add(&self, record: &Record) {
        let mut kept = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.failed.is_none()
            && let Err(cause) = record.write(&mut kept.out)
        {
            kept.failed = Some(cause);
        }
    }

    /// Writes the last line, which says that nothing is missing, and all that is still in memory.
    ///
    /// # Errors
    /// As of [`Recorder::flush`].
    pub(super) fn finish(&self) -> io::Result<()> {
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let calls = counted(&self.counts.answered) + counted(&self.counts.open);
        self.add(&Record::End(End { calls }));
        self.flush()
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// The first that there was since the start.
    pub(super) fn flush(&self) -> io::Result<()> {
        let mut kept = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.failed.is_none()
            && let Err(cause) = kept.out.flush()
        {
            kept.failed = Some(cause);
        }
        match &kept.failed {
            Some(cause) => Err(io::Error::new(cause.kind(), cause.to_string())),
            None => Ok(()),
        }
    }
}
