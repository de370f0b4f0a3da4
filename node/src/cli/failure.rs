//! How a command ends that was not done: its exit code, its one line on stderr, its document on stdout.
//!
//! ```text
//!   0  done
//!   1  refused: the cluster answered no
//!   2  wrong usage: a flag, a file, the cluster file. Nothing was sent
//!   3  not executed: no node, no leader or no quorum answered in time, or it was interrupted. Later it may be.
//!      Or a read whose answer stdout did not take
//!   4  outcome unknown: it may have been executed. The same command with the same --key tells. Or a write that is
//!      done, as its line says, whose answer stdout did not take
//! ```

use std::io;
use std::process::ExitCode;

use client::Error;
use client::api::Executed;
use serde_json::{Value, json};

use super::out;
use crate::auth::FileError;

/// The cluster answered no.
pub(super) const EXIT_REFUSED: u8 = 1;
/// It was asked wrongly.
pub(super) const EXIT_USAGE: u8 = super::EXIT_USAGE;
/// It was not executed, and will not be.
pub(super) const EXIT_NOT_EXECUTED: u8 = 3;
/// It may have been executed.
pub(super) const EXIT_UNKNOWN: u8 = 4;

/// Why a command ends before it is done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What is said on stderr after `lastunit: `; nothing where nobody wants to know.
    pub(crate) line: Option<String>,
    /// What is told on stdout where JSON is asked for.
    pub(crate) document: Option<Value>,
}

impl Failure {
    /// With that code and line, and no document.
    pub(crate) fn new(code: u8, line: impl Into<String>) -> Failure {
        Failure { code, line: Some(line.into()), document: None }
    }

    /// It was asked wrongly.
    pub(crate) fn usage(line: impl Into<String>) -> Failure {
        Failure::new(EXIT_USAGE, line)
    }

    /// A value that is no JSON, which none of ours is.
    pub(super) fn json(cause: serde_json::Error) -> Failure {
        Failure::new(EXIT_NOT_EXECUTED, format!("cannot write JSON: {cause}"))
    }

    /// The system refused something that must be.
    pub(super) fn system(what: &str) -> impl FnOnce(io::Error) -> Failure {
        move |cause| Failure::new(EXIT_NOT_EXECUTED, format!("{what}: {cause}"))
    }

    /// A read was interrupted.
    pub(super) fn interrupted() -> Failure {
        Failure::new(EXIT_NOT_EXECUTED, "interrupted")
    }

    /// A write was interrupted when it may have been sent.
    pub(super) fn interrupted_write(key: &str) -> Failure {
        unknown("interrupted".to_owned(), Some(key))
    }

    /// The same failure to tell an answer, where that is the answer of a write: it is done, and its caller has no
    /// answer unless the same command is given again.
    pub(super) fn though_done(self, key: &str, reservation_id: Option<&str>) -> Failure {
        let Some(line) = self.line else { return self };
        let made = reservation_id.map(|id| format!(", reservation {id}")).unwrap_or_default();
        let line = format!("done{made}, but {line}; the same command with --key {key} tells");
        Failure::new(EXIT_UNKNOWN, line)
    }

    /// Nobody wants to hear more: whoever read our output has closed it.
    pub(super) fn unheard() -> Failure {
        Failure { code: 0, line: None, document: None }
    }

    /// Says it, and answers the exit code.
    pub(crate) fn end(self, json: bool) -> ExitCode {
        if let (Some(document), true) = (&self.document, json) {
            // What cannot be told on stdout still stands on stderr.
            let _ = out::line(document);
        }
        if let Some(line) = &self.line {
            out::complain(line);
        }
        ExitCode::from(self.code)
    }
}

/// A tokens file that cannot be read or written is for its operator to mend.
impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        Failure::usage(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Refused(refusal) => {
                let problem = &refusal.problem;
                let again =
                    refusal.retry_after_seconds.map(|s| format!(" (again in {s} s)")).unwrap_or_default();
                let on = refusal.resume_after().map(|place| format!(" (read on with --after {place})"));
                let on = on.unwrap_or_default();
                let line = format!("refused: {}: {}{again}{on}", problem.code, problem.detail);
                let mut document = json!(problem);
                if let (Some(seconds), Some(fields)) = (refusal.retry_after_seconds, document.as_object_mut())
                {
                    fields.insert("retry_after".to_owned(), seconds.into());
                }
                Failure { code: EXIT_REFUSED, line: Some(line), document: Some(document) }
            }
            Error::NotExecuted(not_executed) => {
                let document = not_executed.problem.as_ref().map(|problem| json!(problem));
                let document = document.unwrap_or_else(|| own("not_executed", &not_executed.why, "no", None));
                let line = Some(format!("not executed: {not_executed}"));
                Failure { code: EXIT_NOT_EXECUTED, line, document: Some(document) }
            }
            Error::Unknown(it) => unknown(it.why, it.idempotency_key.as_deref()),
            Error::Invalid(it) if it.executed == Executed::Unknown => {
                let why = format!("invalid answer: {it}");
                unknown(why, it.idempotency_key.as_deref())
            }
            Error::Usage(why) => Failure::usage(why),
            other => {
                let document = Some(own("not_executed", &other.to_string(), "no", None));
                Failure { code: EXIT_NOT_EXECUTED, line: Some(other.to_string()), document }
            }
        }
    }
}

fn unknown(why: String, key: Option<&str>) -> Failure {
    let tells = match key {
        Some(key) => format!("the same command with --key {key} tells"),
        None => "the record tells".to_owned(),
    };
    let line = Some(format!("outcome unknown: {why}; {tells}"));
    Failure { code: EXIT_UNKNOWN, line, document: Some(own("outcome_unknown", &why, "unknown", key)) }
}

/// What is told where no node sent a problem document: like one, as far as it goes.
fn own(code: &str, detail: &str, executed: &str, key: Option<&str>) -> Value {
    let mut document = json!({"code": code, "detail": detail, "retryable": true, "executed": executed});
    if let Some(key) = key {
        document["idempotency_key"] = key.into();
    }
    document
}

#[cfg(test)]
mod tests {
    use client::{Invalid, NotExecuted, Refusal, Tries, Unknown};

    use super::*;

    fn refused() -> Error {
        let problem = json!({"type": "about:blank", "title": "t", "status": 409, "detail": "d", "code":
            "held_by_others", "retryable": true, "executed": "no"});
        Error::Refused(Box::new(Refusal {
            problem: serde_json::from_value(problem).unwrap(),
            sequence: None,
            retry_after_seconds: Some(7),
            tries: Tries::default(),
        }))
    }

    #[test]
    fn each_failure_has_its_code_line_and_document() {
        let (why, tries) = ("w".to_owned(), Tries { made: 2, unanswered: 1 });
        let not_executed =
            Error::NotExecuted(Box::new(NotExecuted { why: why.clone(), problem: None, tries }));
        let unknown = |key: Option<&str>| {
            let idempotency_key = key.map(str::to_owned);
            Error::Unknown(Box::new(Unknown { idempotency_key, why: why.clone(), tries }))
        };
        let invalid = |executed| {
            Error::Invalid(Box::new(Invalid {
                status: 200,
                why: why.clone(),
                idempotency_key: None,
                executed,
                tries,
            }))
        };
        let table = [
            (refused(), 1, "refused: held_by_others: d (again in 7 s)", "held_by_others"),
            (not_executed, 3, "not executed: w (tries: 2)", "not_executed"),
            (
                unknown(Some("k")),
                4,
                "outcome unknown: w; the same command with --key k tells",
                "outcome_unknown",
            ),
            (unknown(None), 4, "outcome unknown: w; the record tells", "outcome_unknown"),
            (
                invalid(Executed::Unknown),
                4,
                "outcome unknown: invalid answer: status 200: w; the record tells",
                "outcome_unknown",
            ),
            (invalid(Executed::No), 3, "invalid answer: status 200: w", "not_executed"),
        ];
        for (error, code, line, word) in table {
            let failure = Failure::from(error);
            assert_eq!((failure.code, failure.line.as_deref()), (code, Some(line)));
            assert_eq!(failure.document.unwrap()["code"], word);
        }
        assert_eq!(Failure::from(Error::Usage(why)).code, 2);
        assert_eq!(Failure::from(refused()).document.unwrap()["retry_after"], 7);
    }
}
