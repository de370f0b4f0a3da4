//! What came of a call: read from its answer, of which only what is needed is picked out.

use serde::Deserialize;

use super::connection::{Answer, Lost};

/// What came of a call, or of one operation of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome<'a> {
    /// It was done; the answer's body.
    Done(&'a [u8]),
    /// It was refused, and not executed.
    Refused(&'a str),
    /// It may have been executed.
    Unknown(String),
    /// It was never sent.
    NotSent(String),
    /// The answer is none that there should be; what was asked may have been executed.
    Nonsense(String),
}

/// What is needed of a problem document.
#[derive(Debug, Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: &'a str,
    executed: &'a str,
}

/// What is needed of a reservation.
#[derive(Debug, Deserialize)]
struct Reservation<'a> {
    #[serde(borrow)]
    reservation_id: &'a str,
}

/// What is needed of the answer to a batch.
#[derive(Debug, Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<OneResult<'a>>,
}

/// What is needed of one result.
#[derive(Debug, Deserialize)]
struct OneResult<'a> {
    status: u16,
    #[serde(borrow)]
    body: AnyBody<'a>,
}

/// A record, or a problem.
#[derive(Debug, Deserialize)]
struct AnyBody<'a> {
    #[serde(borrow, default)]
    code: Option<&'a str>,
    #[serde(borrow, default)]
    executed: Option<&'a str>,
}

impl<'a> Outcome<'a> {
    /// Of a call that is answered with that status when it is done.
    pub(super) fn of(called: Result<Answer<'a>, Lost>, done: u16) -> Outcome<'a> {
        match called {
            Ok(answer) if answer.status == done => Outcome::Done(answer.body),
            Ok(answer) => Outcome::of_problem(answer),
            Err(Lost::NotSent(why)) => Outcome::NotSent(why),
            Err(Lost::Unanswered(why)) => Outcome::Unknown(why),
            Err(Lost::Nonsense(why)) => Outcome::Nonsense(why),
        }
    }

    fn of_problem(answer: Answer<'a>) -> Outcome<'a> {
        match serde_json::from_slice::<Problem<'_>>(answer.body) {
            Ok(problem) if answer.status >= 400 => Outcome::refused(problem.code, problem.executed),
            _ => Outcome::Nonsense(nonsense(&answer)),
        }
    }

    fn refused(code: &'a str, executed: &str) -> Outcome<'a> {
        match executed {
            "no" => Outcome::Refused(code),
            _ => Outcome::Unknown(code.to_owned()),
        }
    }
}

/// The id in a reservation.
pub(super) fn reservation_id(body: &[u8]) -> Option<&str> {
    serde_json::from_slice::<Reservation<'_>>(body).ok().map(|it| it.reservation_id)
}

/// What came of each reserve of a batch.
pub(super) fn results(body: &[u8]) -> Result<Vec<Outcome<'_>>, String> {
    let told: Results<'_> = serde_json::from_slice(body).map_err(|why| why.to_string())?;
    Ok(told.results.iter().map(one).collect())
}

fn one<'a>(result: &OneResult<'a>) -> Outcome<'a> {
    match (result.status, result.body.code, result.body.executed) {
        (201, _, _) => Outcome::Done(&[]),
        (400.., Some(code), Some(executed)) => Outcome::refused(code, executed),
        (status, ..) => Outcome::Nonsense(format!("status {status} of an operation")),
    }
}

fn nonsense(answer: &Answer<'_>) -> String {
    let body = String::from_utf8_lossy(answer.body);
    format!("status {}: {}", answer.status, body.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Outcome<'_> {
        Outcome::of(Ok(Answer { status, body: body.as_bytes() }), 201)
    }

    #[test]
    fn only_what_was_surely_not_executed_is_refused() {
        let held = r#"{"type":"x","code":"held_by_others","retryable":true,"executed":"no","shortages":[]}"#;
        let unknown = r#"{"code":"outcome_unknown","executed":"unknown"}"#;
        assert_eq!(of(201, "{}"), Outcome::Done(b"{}"));
        assert_eq!(of(409, held), Outcome::Refused("held_by_others"));
        assert_eq!(of(504, unknown), Outcome::Unknown("outcome_unknown".to_owned()));
        for (status, body) in [(200, "{}"), (200, held), (502, "<html>"), (409, "{}")] {
            assert!(matches!(of(status, body), Outcome::Nonsense(_)), "{status} {body}");
        }
    }

    #[test]
    fn what_was_lost_is_unknown_unless_it_was_never_sent() {
        let lost = |lost| Outcome::of(Err(lost), 201);
        assert_eq!(lost(Lost::NotSent("a".to_owned())), Outcome::NotSent("a".to_owned()));
        assert_eq!(lost(Lost::Unanswered("b".to_owned())), Outcome::Unknown("b".to_owned()));
        assert_eq!(lost(Lost::Nonsense("c".to_owned())), Outcome::Nonsense("c".to_owned()));
    }

    #[test]
    fn a_batch_is_read_result_by_result() {
        let body = r#"{"results":[{"status":201,"sequence":4,"body":{"reservation_id":"res_1","items":[]}},
            {"status":409,"body":{"code":"held_by_others","executed":"no"}},{"status":200,"body":{}}]}"#;
        let told = results(body.as_bytes()).unwrap();
        assert_eq!(told[..2], [Outcome::Done(&[]), Outcome::Refused("held_by_others")]);
        assert!(matches!(told[2], Outcome::Nonsense(_)));
        assert!(results(b"{}").is_err());
    }

    #[test]
    fn the_id_of_a_reservation_is_found() {
        assert_eq!(reservation_id(br#"{"state":"held","reservation_id":"res_7"}"#), Some("res_7"));
        assert_eq!(reservation_id(b"{}"), None);
    }
}
