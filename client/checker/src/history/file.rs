//! NDJSON: a record a line.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{Call, End, Fault, FeedEvent, Final, History, Run, Sample};

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "records pass one by one, and are never kept as such")]
pub enum Record {
    /// What was run.
    Run(Run),
    /// An operation of a client.
    Call(Call),
    /// What was done to the cluster.
    Fault(Fault),
    /// A look at a node.
    Sample(Sample),
    /// An event of the change feed.
    Event(FeedEvent),
    /// A node's whole state after the run.
    Final(Final),
    /// Nothing is missing.
    End(End),
}

/// Why a file is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line}: {cause}")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// The first line does not say what was run.
    #[error("the first line is no run")]
    NoRun,
    /// It was written by another version.
    #[error("the format is {0}, and only {format} is known", format = Run::FORMAT)]
    Format(u32),
}

/// As much of a line as tells what the line is.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Run,
    Call,
    Fault,
    Sample,
    Event,
    Final,
    End,
}

#[derive(Deserialize)]
struct Tag {
    kind: Kind,
}

impl Record {
    /// Reads a line. Raw JSON within does not survive serde's own way with tags, so the tag is read first.
    ///
    /// # Errors
    ///
    /// It is no record.
    pub fn parse(line: &str) -> Result<Record, serde_json::Error> {
        Ok(match serde_json::from_str::<Tag>(line)?.kind {
            Kind::Run => Record::Run(serde_json::from_str(line)?),
            Kind::Call => Record::Call(serde_json::from_str(line)?),
            Kind::Fault => Record::Fault(serde_json::from_str(line)?),
            Kind::Sample => Record::Sample(serde_json::from_str(line)?),
            Kind::Event => Record::Event(serde_json::from_str(line)?),
            Kind::Final => Record::Final(serde_json::from_str(line)?),
            Kind::End => Record::End(serde_json::from_str(line)?),
        })
    }

    /// Writes it as one line.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

impl History {
    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// Those of the reader, or the first line that is no record.
    pub fn read(mut file: impl BufRead) -> Result<History, HistoryError> {
        let mut history: Option<History> = None;
        let (mut number, mut line) = (0, String::new());
        while file.read_line(&mut line)? > 0 {
            number += 1;
            let record = match Record::parse(&line) {
                // Whoever wrote it was interrupted in the middle of a line; what stands above it counts.
                Err(_) if history.is_some() && !line.ends_with('\n') => break,
                parsed => parsed.map_err(|cause| HistoryError::Line { line: number, cause })?,
            };
            line.clear();
            match (&mut history, record) {
                (Some(history), record) => history.add(record),
                (None, Record::Run(run)) if run.format == Run::FORMAT => history = Some(History::new(run)),
                (None, Record::Run(run)) => return Err(HistoryError::Format(run.format)),
                (None, _) => return Err(HistoryError::NoRun),
            }
        }
        history.ok_or(HistoryError::NoRun)
    }

    /// Writes all of it; what was run comes first.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Record::Run(self.run.clone()).write(out)?;
        let faults = self.faults.iter().cloned().map(Record::Fault);
        let samples = self.samples.iter().cloned().map(Record::Sample);
        let calls = self.calls.iter().cloned().map(Record::Call);
        let events = self.events.iter().cloned().map(Record::Event);
        let finals = self.finals.iter().cloned().map(Record::Final);
        faults
            .chain(samples)
            .chain(calls)
            .chain(events)
            .chain(finals)
            .chain(self.end.map(Record::End))
            .try_for_each(|record| record.write(out))
    }
}
