//! No acknowledged answer is lost, every one is the state machine's at its sequence number, and what was answered
//! before a call began is part of what that call is answered.

use raft::{Answer, ProposeError, Read, ReadError};
use storage::inventory::outcome::StockView;

use crate::history::History;

/// What a client asked, and what it knew at that moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// The greatest sequence number that anybody had been answered.
    pub(crate) known_sequence: u64,
}

/// What it was answered.
pub(crate) enum Answered {
    Command(Result<Answer, ProposeError>),
    Read(Result<Read<Vec<StockView>>, ReadError>),
}

/// The greatest sequence number that anybody was answered.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) known_sequence: u64,
    pub(crate) count: u64,
}

impl Answers {
    /// Holds an answer against the history.
    pub(crate) fn check(
        &mut self,
        asked: Asked,
        answered: &Answered,
        history: &History,
    ) -> Result<(), String> {
        match answered {
            Answered::Command(Ok(Answer::Applied(applied))) => {
                let Some((_, answer)) = history.answers.get(&applied.sequence) else {
                    return Err(format!("sequence {} was answered, and is in no log", applied.sequence));
                };
                if answer.result != applied.result {
                    return Err(format!("{applied:?} was answered where the history has {answer:?}"));
                }
                if !applied.replayed && applied.sequence <= asked.known_sequence {
                    return Err(format!(
                        "{applied:?} is older than {}, answered before",
                        asked.known_sequence
                    ));
                }
            }
            Answered::Command(Ok(Answer::Gated(gated))) => {
                if gated.result.is_ok() || gated.sequence < asked.known_sequence {
                    return Err(format!(
                        "{gated:?} does not reflect {}, answered before",
                        asked.known_sequence
                    ));
                }
            }
            Answered::Read(Ok(read)) => check_read(asked, read, history)?,
            Answered::Command(Err(_)) | Answered::Read(Err(_)) => return Ok(()),
        }
        self.count += 1;
        Ok(())
    }

    /// Notes that somebody was answered: from now on all know at least as much.
    pub(crate) fn hear(&mut self, answered: &Answered) {
        let sequence = match answered {
            Answered::Command(Ok(Answer::Applied(applied) | Answer::Gated(applied))) => applied.sequence,
            Answered::Read(Ok(read)) => read.sequence,
            _ => 0,
        };
        self.known_sequence = self.known_sequence.max(sequence);
    }
}

fn check_read(asked: Asked, read: &Read<Vec<StockView>>, history: &History) -> Result<(), String> {
    if read.sequence < asked.known_sequence {
        return Err(format!(
            "a read is of {}, and {} was answered before",
            read.sequence, asked.known_sequence
        ));
    }
    let Some(index) = read.applied_index else { return Ok(()) };
    let agreed = history.entry(index).ok_or("a read is of an entry that is in no log")?;
    if agreed.stocks != read.value {
        return Err(format!("a read of entry {index} has {:?}, not {:?}", read.value, agreed.stocks));
    }
    Ok(())
}
