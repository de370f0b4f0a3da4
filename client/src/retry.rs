//! One call, as many tries as it takes and may take.
//!
//! ```text
//!  try -> Answered, Refused, Invalid ------------------------------------------> done
//!   ^  \-> NotReached, Postponed, Unanswered -> tries or time used up? -> yes -> NotExecuted or Unknown
//!   |                                             | no
//!   +------------ wait: back-off, Retry-After <---+
//! ```
//!
//! Invariants:
//! - One unanswered try of a write is enough: from then on the call ends answered, refused or unknown, but not
//!   as "not executed", however clearly a later try failed.
//! - No try starts after the deadline, and none is waited for beyond it. Where a `Retry-After` leads past the
//!   deadline, the call ends at once.
//!
//! A `Retry-After` is waited for; but that of a node which has no leader, or no quorum, only once each of the others
//! was asked.
//!
//! The wait is drawn evenly from 0 to `base * 2^n`, capped ("full jitter"), so that clients which failed together
//! do not come back together.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::answer::{Reply, Tried};
use crate::api::{Executed, Problem};
use crate::error::{Error, Invalid, NotExecuted, Refusal, Tries, Unknown};

/// How a call is retried.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// The whole call with all its tries takes no longer.
    pub(crate) deadline: Duration,
    /// One try takes no longer.
    pub(crate) try_time_max: Duration,
    /// The most tries.
    pub(crate) tries_max: u32,
    /// The first back-off is drawn from 0 to this.
    pub(crate) backoff_base: Duration,
    /// No back-off is longer.
    pub(crate) backoff_max: Duration,
    /// Whether a refusal that says `retryable` is retried as well.
    pub(crate) retry_refusals: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            deadline: Duration::from_secs(15),
            try_time_max: Duration::from_secs(7),
            tries_max: 12,
            backoff_base: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            retry_refusals: false,
        }
    }
}

/// Something that can be tried again and again. Each try may go to another node.
pub(crate) trait Exchange {
    /// One try, which must end within that time.
    fn once(&mut self, time_max: Duration) -> impl Future<Output = Tried> + Send;
    /// The idempotency key, where the call has one.
    fn key(&self) -> Option<&str>;
    /// Whether it changes anything. A read does not: it is never executed and hence never unknown.
    fn writes(&self) -> bool;
    /// How many nodes can be tried before it makes sense to wait for one that was not reached, or has no leader.
    fn nodes(&self) -> usize;
}

/// Tries until there is an answer or no try is left.
pub(crate) async fn run(exchange: &mut impl Exchange, policy: &Policy) -> Result<(Reply, Tries), Error> {
    let deadline = Instant::now() + policy.deadline;
    let mut tries = Tries::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let tried = exchange.once(policy.try_time_max.min(left)).await;
        tries.made += 1;
        tries.unanswered += u32::from(matches!(tried, Tried::Unanswered { .. }));
        let wait = policy.wait(&tried, tries.made, exchange.nodes());
        let over = |wait| tries.made >= policy.tries_max || Instant::now() + wait >= deadline;
        match wait {
            Some(wait) if !over(wait) => sleep(wait).await,
            _ => return end(tried, tries, &Call { key: exchange.key(), writes: exchange.writes() }),
        }
    }
}

impl Policy {
    /// How long to wait before the next try; `None` where the last one settled the call.
    fn wait(&self, tried: &Tried, made: u32, nodes: usize) -> Option<Duration> {
        match tried {
            Tried::Answered(_) | Tried::Invalid(_) => None,
            Tried::Refused(_, problem) if !(self.retry_refusals && problem.retryable) => None,
            // What a node without a leader says of later is of itself: others may have one.
            Tried::Postponed(..) if tried.is_of_its_node() && (made as usize) < nodes => {
                Some(self.backoff(made))
            }
            Tried::Refused(reply, _) | Tried::Postponed(reply, _) => {
                Some(self.backoff(made) + seconds(reply.retry_after_seconds))
            }
            // The other nodes are asked at once, before the first wait.
            Tried::NotReached(_) if (made as usize) < nodes => Some(Duration::ZERO),
            Tried::NotReached(_) => Some(self.backoff(made)),
            Tried::Unanswered { retry_after_seconds, .. } => {
                Some(self.backoff(made) + seconds(*retry_after_seconds))
            }
        }
    }

    /// The wait after so many tries.
    pub(crate) fn backoff(&self, made: u32) -> Duration {
        let doublings = made.saturating_sub(1).min(16);
        let most = self.backoff_base.saturating_mul(1 << doublings).min(self.backoff_max);
        most.mul_f64(rand::random_range(0.0..=1.0))
    }
}

fn seconds(given: Option<u64>) -> Duration {
    // A day is past every deadline; more could overflow an instant.
    Duration::from_secs(given.unwrap_or(0).min(86_400))
}

/// What the end of a call depends on besides its tries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// Its idempotency key, where it has one.
    pub(crate) key: Option<&'a str>,
    /// Whether it changes anything.
    pub(crate) writes: bool,
}

/// The call's end, given its last try.
pub(crate) fn end(tried: Tried, tries: Tries, call: &Call<'_>) -> Result<(Reply, Tries), Error> {
    match tried {
        Tried::Answered(reply) => Ok((reply, tries)),
        // Without a key an earlier try may have done the very thing that makes this one refused.
        Tried::Refused(_, problem) if call.writes && call.key.is_none() && tries.unanswered > 0 => {
            let why =
                format!("an earlier try went unanswered, and now: {}: {}", problem.code, problem.detail);
            Err(unanswered(why, Some(problem), tries, call))
        }
        Tried::Refused(reply, problem) => Err(Error::Refused(Box::new(Refusal {
            problem,
            sequence: reply.sequence,
            retry_after_seconds: reply.retry_after_seconds,
            tries,
        }))),
        Tried::Invalid(reply) => {
            let why = format!("not a problem document: {}", excerpt(&reply.body));
            Err(invalid(reply.status, why, tries, call))
        }
        Tried::Postponed(_, problem) => {
            let why = format!("{} {}: {}", problem.status, problem.code, problem.detail);
            Err(unanswered(why, Some(problem), tries, call))
        }
        Tried::NotReached(why) | Tried::Unanswered { why, .. } => Err(unanswered(why, None, tries, call)),
    }
}

/// The error where something answered that no node would say.
pub(crate) fn invalid(status: u16, why: String, tries: Tries, call: &Call<'_>) -> Error {
    let idempotency_key = call.key.map(str::to_owned);
    let executed = if call.writes { Executed::Unknown } else { Executed::No };
    Error::Invalid(Box::new(Invalid { status, why, idempotency_key, executed, tries }))
}

fn unanswered(why: String, problem: Option<Problem>, tries: Tries, call: &Call<'_>) -> Error {
    match call.writes && tries.unanswered > 0 {
        true => {
            let idempotency_key = call.key.map(str::to_owned);
            Error::Unknown(Box::new(Unknown { idempotency_key, why, tries }))
        }
        false => Error::NotExecuted(Box::new(NotExecuted { why, problem, tries })),
    }
}

/// The beginning of a body that should not have come.
pub(crate) fn excerpt(body: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 120;
    String::from_utf8_lossy(&body[..body.len().min(4 * CHARACTERS_MAX)])
        .chars()
        .take(CHARACTERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Brings the scripted ends of its tries, each after its time. Time is paused: only waiting moves it.
    struct Script {
        ends: VecDeque<(u64, Tried)>,
        write: bool,
        starts_ms: Vec<u64>,
        begun: Instant,
    }

    impl Script {
        fn new(ends: impl IntoIterator<Item = (u64, Tried)>) -> Script {
            Script { ends: ends.into_iter().collect(), write: true, starts_ms: vec![], begun: Instant::now() }
        }
    }

    impl Exchange for Script {
        async fn once(&mut self, time_max: Duration) -> Tried {
            self.starts_ms.push(self.begun.elapsed().as_millis() as u64);
            let (after_ms, tried) = self.ends.pop_front().unwrap_or_else(|| (0, lost()));
            match tokio::time::timeout(time_max, sleep(Duration::from_millis(after_ms))).await {
                Ok(()) => tried,
                Err(_) => lost(),
            }
        }
        fn key(&self) -> Option<&str> {
            self.write.then_some("k")
        }
        fn writes(&self) -> bool {
            self.write
        }
        fn nodes(&self) -> usize {
            3
        }
    }

    fn reply(status: u16, retry_after_seconds: Option<u64>) -> Reply {
        Reply {
            status,
            sequence: Some(7),
            replayed: false,
            retry_after_seconds,
            applied_index: None,
            body: Default::default(),
        }
    }

    fn problem(status: u16, code: &str, retryable: bool) -> Problem {
        let text = crate::answer::tests::problem(status, code, retryable, "no");
        serde_json::from_str(&text).unwrap()
    }

    fn answered() -> Tried {
        Tried::Answered(reply(200, None))
    }

    fn lost() -> Tried {
        Tried::Unanswered { why: "lost".to_owned(), retry_after_seconds: None }
    }

    fn not_reached() -> Tried {
        Tried::NotReached("connection refused".to_owned())
    }

    fn postponed(retry_after_seconds: u64, code: &str) -> Tried {
        Tried::Postponed(reply(503, Some(retry_after_seconds)), problem(503, code, true))
    }

    fn held_by_others() -> Tried {
        Tried::Refused(reply(409, Some(2)), problem(409, "held_by_others", true))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_call() {
        let mut script = Script::new([(5, answered())]);
        let (_, tries) = run(&mut script, &Policy::default()).await.unwrap();
        assert_eq!(tries, Tries { made: 1, unanswered: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_waited_for() {
        let mut script = Script::new([(0, postponed(3, "overloaded")), (0, answered())]);
        run(&mut script, &Policy::default()).await.unwrap();
        assert_eq!(script.starts_ms[0], 0);
        assert!((3_000..=3_051).contains(&script.starts_ms[1]), "{:?}", script.starts_ms);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_past_the_deadline_ends_the_call_at_once() {
        let mut script = Script::new([(0, postponed(3_600, "overloaded"))]);
        let error = run(&mut script, &Policy::default()).await.unwrap_err();
        assert!(matches!(&error, Error::NotExecuted(e) if e.problem.as_ref().unwrap().code == "overloaded"));
        assert_eq!(script.begun.elapsed(), Duration::ZERO);
    }

    /// A client came to wait at a node that had just started, while two others served.
    #[tokio::test(start_paused = true)]
    async fn a_node_without_a_leader_is_given_its_time_once_all_others_were_asked() {
        for code in ["no_leader", "no_quorum"] {
            let ends =
                [(0, postponed(3, code)), (0, postponed(3, code)), (0, postponed(3, code)), (0, answered())];
            let mut script = Script::new(ends);
            run(&mut script, &Policy::default()).await.unwrap();
            let starts_ms = script.starts_ms;
            assert!(starts_ms[1] <= 51 && starts_ms[2] <= 152, "{starts_ms:?}");
            assert!((3_000..=3_353).contains(&starts_ms[3]), "{starts_ms:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_nodes_are_asked_before_the_first_wait() {
        let mut script = Script::new([(0, not_reached()), (0, not_reached()), (0, answered())]);
        run(&mut script, &Policy::default()).await.unwrap();
        assert_eq!(script.starts_ms, [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_reached_was_not_executed() {
        let mut script = Script::new(vec![(0, not_reached()); 20]);
        let error = run(&mut script, &Policy::default()).await.unwrap_err();
        assert!(matches!(&error, Error::NotExecuted(_)));
        assert_eq!(error.tries().made, Policy::default().tries_max);
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_try_makes_the_outcome_unknown_whatever_follows() {
        let mut script = Script::new([(0, lost()), (0, postponed(1, "no_leader")), (0, not_reached())]);
        let policy = Policy { tries_max: 3, ..Policy::default() };
        let error = run(&mut script, &policy).await.unwrap_err();
        assert!(matches!(&error, Error::Unknown(e) if e.idempotency_key.as_deref() == Some("k")), "{error}");
        assert_eq!(error.tries(), Tries { made: 3, unanswered: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_never_unknown() {
        let mut script = Script { write: false, ..Script::new([(0, lost()), (0, lost())]) };
        let policy = Policy { tries_max: 2, ..Policy::default() };
        assert!(matches!(run(&mut script, &policy).await, Err(Error::NotExecuted(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_after_a_lost_try_tells_of_it() {
        let mut script = Script::new([(0, lost()), (0, held_by_others())]);
        let error = run(&mut script, &Policy::default()).await.unwrap_err();
        assert!(matches!(&error, Error::Refused(e) if e.tries == Tries { made: 2, unanswered: 1 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_retryable_refusal_is_retried_only_when_asked() {
        let mut script = Script::new([(0, held_by_others()), (0, answered())]);
        assert!(matches!(run(&mut script, &Policy::default()).await, Err(Error::Refused(_))));
        let mut script = Script::new([(0, held_by_others()), (0, answered())]);
        let policy = Policy { retry_refusals: true, ..Policy::default() };
        assert_eq!(run(&mut script, &policy).await.unwrap().1.made, 2);
        assert!(script.starts_ms[1] >= 2_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_cuts_a_try_that_hangs() {
        let mut script = Script::new(vec![(60_000, answered()); 9]);
        let policy = Policy { deadline: Duration::from_secs(10), ..Policy::default() };
        assert!(matches!(run(&mut script, &policy).await, Err(Error::Unknown(_))));
        assert!(script.begun.elapsed() <= Duration::from_millis(10_001), "{:?}", script.begun.elapsed());
        assert_eq!(script.starts_ms.len(), 2);
    }

    #[test]
    fn the_backoff_doubles_up_to_its_cap() {
        let policy = Policy::default();
        for made in 1..40 {
            let most = policy.backoff_base.as_millis() << (made - 1).min(16);
            let most = (most as u64).min(policy.backoff_max.as_millis() as u64);
            assert!(policy.backoff(made) <= Duration::from_millis(most), "try {made}");
        }
    }
}
