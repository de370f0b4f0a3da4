//! What a record comes to: the checker's verdict, told in words, as a page, and as an exit code.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use checker::history::{Call, Came, Op};
use checker::verdict::{RuleVerdict, Violation};
use checker::{Conclusion, History, Verdict, report};
use client::api::BatchResponse;

use super::{EXIT_NOT_RUN, FAILURE, summary};
use crate::cli::{EXIT_FAILED, fail, tell};

/// No promise was broken, but too little was shown.
const EXIT_UNKNOWN: u8 = 4;

/// Checks the record, and writes the page into that directory.
pub(super) fn judge(record: &Path, dir: &Path) -> ExitCode {
    let history = match read(record) {
        Ok(history) => history,
        Err(why) => return fail(EXIT_NOT_RUN, &format!("{}: {why}", record.display())),
    };
    let verdict = with_own_rules(checker::check(&history), &history);
    tell(&summary::summary(&history, &verdict));
    tell(&format!("\nrecord  {}\n", record.display()));
    let page = dir.join("report.html");
    let unwritten = write(&page, &history, &verdict).err();
    match &unwritten {
        Some(cause) => eprintln!("lastunit: cannot write {}: {cause}", page.display()),
        None => tell(&format!("report  {}\n", page.display())),
    }
    // A page that cannot be written must not hide what it would tell.
    match verdict.conclusion {
        Conclusion::Violated => ExitCode::from(EXIT_FAILED),
        _ if unwritten.is_some() => ExitCode::from(EXIT_NOT_RUN),
        Conclusion::Passed => ExitCode::SUCCESS,
        Conclusion::Unknown => ExitCode::from(EXIT_UNKNOWN),
    }
}

fn read(record: &Path) -> Result<History, String> {
    let file = File::open(record).map_err(|cause| cause.to_string())?;
    History::read(BufReader::new(file)).map_err(|why| why.to_string())
}

fn write(page: &Path, history: &History, verdict: &Verdict) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(page)?);
    report::render(history, verdict, &mut out)?;
    out.flush()
}

/// The verdict with the prover's own rules: what no client can see, that it served all of them in the end, and where
/// tokens are asked for, that nobody was refused for one that holds.
fn with_own_rules(mut verdict: Verdict, history: &History) -> Verdict {
    let failures = history.faults.iter().filter(|fault| fault.fault == FAILURE);
    let failed = failures.map(|fault| (fault.from_us, fault.detail.clone(), Vec::new()));
    let says = "No node ends by itself, and each serves again once it is healed.";
    let no_node_fails = rule("no_node_fails", says, history.faults.len(), failed);
    let open = history.calls.iter().filter(|call| call.answer().is_none());
    let unanswered = open.map(|call| (call.ended_us, format!("{} has no answer", call.op), vec![call.id]));
    let says = "Every call has a definite answer at the latest when all is healed.";
    let every_call = rule("every_call_is_answered", says, history.calls.len(), unanswered);
    let tokens_hold = history.run.settings.tokens.then(|| tokens_hold(history));
    verdict.rules.extend([no_node_fails, every_call].into_iter().chain(tokens_hold));
    if verdict.violations_total() > 0 {
        verdict.conclusion = Conclusion::Violated;
        verdict.doubts.clear();
    }
    verdict
}

/// Every client shows a token with the roles that its calls need, and changes over before the old one is revoked.
fn tokens_hold(history: &History) -> RuleVerdict {
    let answers: Vec<_> = history.calls.iter().flat_map(answers).collect();
    let refused = answers.iter().filter(|answer| matches!(answer.status, 401 | 403));
    let refused = refused.map(|Answered { call, node, ended_us, status }| {
        (*ended_us, format!("node {node} refuses {} with {status}", call.op), vec![call.id])
    });
    rule("tokens_hold", "No node refuses a token that is not revoked.", answers.len(), refused)
}

/// A status that a node answered with.
struct Answered<'a> {
    call: &'a Call,
    node: u64,
    ended_us: u64,
    status: u16,
}

/// What each try was answered, and each operation of a batch, which may be refused by itself.
fn answers(call: &Call) -> Vec<Answered<'_>> {
    let tries = call.tries.iter().filter_map(|one| match one.came {
        Came::Answer { status, .. } => Some((one, status)),
        Came::NotSent(_) | Came::Lost(_) => None,
    });
    let within =
        call.tries.last().into_iter().flat_map(|last| results(call).into_iter().map(move |it| (last, it)));
    let all = tries.chain(within);
    all.map(|(one, status)| Answered { call, node: one.node, ended_us: one.ended_us, status }).collect()
}

/// The statuses within a batch's answer.
fn results(call: &Call) -> Vec<u16> {
    let answer = call.answer().filter(|answer| call.op == Op::Batch && answer.status == 200);
    let response = answer.and_then(|answer| answer.body.read::<BatchResponse>().ok());
    response.map_or_else(Vec::new, |it| it.results.into_iter().map(|result| result.status).collect())
}

fn rule(
    name: &str,
    says: &str,
    looked_at: usize,
    found: impl Iterator<Item = (u64, String, Vec<u64>)>,
) -> RuleVerdict {
    let violations = found.map(|(at_us, message, calls)| Violation { at_us, message, calls });
    let mut violations: Vec<Violation> = violations.collect();
    let violations_total = violations.len() as u64;
    violations.truncate(RuleVerdict::TOLD_MAX);
    let (name, says, looked_at) = (name.to_owned(), says.to_owned(), looked_at as u64);
    RuleVerdict { name, says, looked_at, violations, violations_total }
}

#[cfg(test)]
mod tests {
    use checker::history::{Answer, Fault, Json, Outcome, Run, Settings, Try};
    use checker::verdict::Statistics;

    use super::*;

    fn history() -> History {
        History::new(Run {
            format: Run::FORMAT,
            version: "0".to_owned(),
            seed: 1,
            command: "lastunit prove".to_owned(),
            nodes: vec![1, 2, 3],
            clients: 1,
            seconds: 1,
            faults: vec![],
            started_at: "2026-01-01T00:00:00.000Z".to_owned(),
            settings: Settings::default(),
        })
    }

    /// What a checker says that has found nothing.
    fn passed() -> Verdict {
        let (doubts, rules, statistics) = (vec![], vec![], Statistics::default());
        Verdict { conclusion: Conclusion::Passed, doubts, rules, statistics }
    }

    /// A call whose tries were answered like this.
    fn call(op: Op, statuses: &[u16], outcome: Outcome) -> Call {
        let came = statuses.iter().map(|status| Came::Answer { status: *status, code: None });
        let tries = came.map(|came| Try { node: 2, started_us: 1, ended_us: 2, came });
        Call {
            id: 7,
            client: 1,
            op,
            target: None,
            query: Default::default(),
            stale: false,
            condition: None,
            request: Json::null(),
            key: None,
            started_us: 1,
            ended_us: 2,
            tries: tries.collect(),
            outcome,
        }
    }

    #[test]
    fn a_refused_token_is_a_violation_though_the_call_was_answered_later() {
        let unanswered = Outcome::NotExecuted { why: String::new() };
        let mut history = history();
        history.calls.push(call(Op::GetStock, &[401, 403, 404, 200], unanswered));
        let verdict = tokens_hold(&history);
        assert_eq!((verdict.looked_at, verdict.violations_total), (4, 2));
        assert_eq!(verdict.violations[0].message, "node 2 refuses get_stock with 401");
    }

    #[test]
    fn a_refused_token_is_a_violation_though_the_batch_around_it_was_answered() {
        let results = [201, 403, 401].map(|status| serde_json::json!({"status": status, "body": {}}));
        let body = Json::of(&serde_json::json!({"results": results})).unwrap();
        let (sequence, applied_index) = (None, None);
        let answer = Answer { status: 200, sequence, replayed: false, applied_index, body };
        let mut history = history();
        history.calls.push(call(Op::Batch, &[200], Outcome::Answer(answer)));
        let verdict = tokens_hold(&history);
        assert_eq!((verdict.looked_at, verdict.violations_total), (4, 2));
        assert_eq!(verdict.violations[0].message, "node 2 refuses batch with 403");
    }

    #[test]
    fn tokens_are_only_looked_at_where_they_are_shown() {
        let mut history = history();
        let rules = |history: &History| with_own_rules(passed(), history).rules.len();
        assert_eq!(rules(&history), 2);
        history.run.settings.tokens = true;
        assert_eq!(rules(&history), 3);
    }

    #[test]
    fn a_node_that_failed_is_a_violation_whatever_clients_saw() {
        let mut history = history();
        assert_eq!(with_own_rules(passed(), &history).conclusion, Conclusion::Passed);
        history.faults.push(Fault {
            from_us: 7,
            until_us: 7,
            fault: FAILURE.to_owned(),
            nodes: vec![],
            links: vec![],
            hit_leader: false,
            detail: "node 2 ended by itself".to_owned(),
            fired: true,
        });
        let verdict = with_own_rules(passed(), &history);
        assert_eq!(verdict.conclusion, Conclusion::Violated);
        assert_eq!(verdict.rules[0].violations[0].message, "node 2 ended by itself");
    }
}
