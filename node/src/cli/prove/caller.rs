//! A call until it has a definite outcome: try after try with one key, through one node after the other.
//!
//! ```text
//!   ask -> try at a node -> 2xx, 304, 4xx          that is the outcome
//!             ^               503, 429, not sent     not executed: again, elsewhere
//!             |               504, lost              who knows: again, elsewhere, with the same key
//!             `-- a moment later --'      until the run gives up: not executed, or unknown
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checker::history::{Answer, Call, Came, Json, Op, Outcome, Try};
use client::Missing;
use client::api::BatchResponse;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::ask::Ask;
use super::recorder::Recorder;
use super::wire::{Reply, Wire};

/// How long a client waits for the answer to one try, in milliseconds: some less than a node waits for the outcome of a
/// command, and some longer.
const TRY_MS: (u64, u64) = (800, 7_000);
/// How long until the next try, in milliseconds.
const PAUSE_MS: (u64, u64) = (20, 300);

/// What makes calls, for all clients.
#[derive(Clone)]
pub(super) struct Caller {
    /// The connections.
    pub(super) wire: Wire,
    /// The nodes' ids.
    pub(super) nodes: Arc<Vec<u64>>,
    /// Where what came of it is written.
    pub(super) recorder: Arc<Recorder>,
    /// When clients stop asking for what they have no answer to, on the record's clock; nobody knows yet at first.
    pub(super) give_up_us: Arc<AtomicU64>,
}

impl Caller {
    /// What makes calls to these nodes.
    pub(super) fn new(wire: Wire, nodes: Vec<u64>, recorder: Arc<Recorder>) -> Caller {
        let give_up_us = Arc::new(AtomicU64::new(u64::MAX));
        Caller { wire, nodes: Arc::new(nodes), recorder, give_up_us }
    }

    /// Makes the call and records it. Answers what was answered, if anything was.
    pub(super) async fn make(&self, client: u64, ask: &Ask, dice: &mut StdRng) -> Option<Reply> {
        let (id, started_us) = (self.recorder.next_call(), self.recorder.now_us());
        let (tries, reply) = self.try_on(ask, dice).await;
        let outcome = reply.as_ref().map_or_else(|| open(ask, &tries), |reply| answered(reply, ask, &tries));
        let ended_us = tries.last().map_or(started_us, |last| last.ended_us);
        self.recorder.call(Call {
            id,
            client,
            op: ask.op,
            target: ask.target.clone(),
            query: ask.query.clone(),
            stale: ask.stale,
            condition: ask.condition,
            request: ask.body.as_ref().and_then(|body| Json::of(body).ok()).unwrap_or_else(Json::null),
            key: ask.key.clone(),
            started_us,
            ended_us,
            tries,
            outcome,
        });
        reply
    }

    async fn try_on(&self, ask: &Ask, dice: &mut StdRng) -> (Vec<Try>, Option<Reply>) {
        let (mut tries, mut place) = (Vec::new(), dice.random_range(0..self.nodes.len()));
        loop {
            let (one, reply) = self.try_once(ask, place, dice).await;
            let is_definite = is_definite(&one.came);
            tries.push(one);
            if is_definite {
                return (tries, reply);
            }
            if self.recorder.now_us() > self.give_up_us.load(Ordering::Relaxed) {
                return (tries, None);
            }
            place = (place + dice.random_range(1..self.nodes.len())) % self.nodes.len();
            sleep(Duration::from_millis(dice.random_range(PAUSE_MS.0..=PAUSE_MS.1))).await;
        }
    }

    async fn try_once(&self, ask: &Ask, place: usize, dice: &mut StdRng) -> (Try, Option<Reply>) {
        let node = self.nodes[place];
        let time_max = Duration::from_millis(dice.random_range(TRY_MS.0..=TRY_MS.1));
        let started_us = self.recorder.now_us();
        let answered = self.wire.send(node, ask, time_max).await;
        let ended_us = self.recorder.now_us();
        let (came, reply) = match answered {
            Ok(reply) => (came(ask.op, &reply), Some(reply)),
            Err(Missing::NotSent(why)) => (Came::NotSent(why), None),
            Err(Missing::Lost(why)) => (Came::Lost(why), None),
        };
        (Try { node, started_us, ended_us, came }, reply)
    }
}

/// What came with an answer. A batch is answered with 200 although some of its operations were not executed, or may
/// have been: it is not dealt with before each of them is, and counts for the worst of them.
fn came(op: Op, reply: &Reply) -> Came {
    let open = || Some(reply).filter(|reply| op == Op::Batch && reply.status == 200).and_then(open_result);
    open().unwrap_or_else(|| Came::Answer { status: reply.status, code: reply.code() })
}

fn open_result(reply: &Reply) -> Option<Came> {
    let response: BatchResponse = serde_json::from_slice(&reply.body).ok()?;
    let open = response.results.into_iter().filter(|result| result.status >= 500 || result.status == 429);
    // 504 is above 503: who knows is worse than surely not.
    let worst = open.max_by_key(|result| result.status)?;
    let code = worst.body.get("code").and_then(|code| code.as_str()).map(str::to_owned);
    Some(Came::Answer { status: worst.status, code })
}

/// Whether another try is not needed: the node has dealt with the call, or will never.
fn is_definite(came: &Came) -> bool {
    matches!(came, Came::Answer { status, .. } if *status < 500 && *status != 429)
}

fn answered(reply: &Reply, ask: &Ask, tries: &[Try]) -> Outcome {
    match std::str::from_utf8(&reply.body).ok().and_then(|text| Json::parse(text).ok()) {
        Some(body) => Outcome::Answer(Answer {
            status: reply.status,
            sequence: reply.sequence,
            replayed: reply.replayed,
            applied_index: reply.applied_index,
            body,
        }),
        // Half an answer is none.
        None => open(ask, tries),
    }
}

/// What is known of a call without an answer.
fn open(ask: &Ask, tries: &[Try]) -> Outcome {
    let why = tries.last().map(|last| format!("{:?}", last.came)).unwrap_or_default();
    match ask.op.writes() && tries.iter().any(Try::leaves_doubt) {
        true => Outcome::Unknown { why },
        false => Outcome::NotExecuted { why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(statuses: &[u16]) -> Came {
        let result =
            |status: &u16| serde_json::json!({"status": status, "body": {"code": format!("c{status}")}});
        let results: Vec<_> = statuses.iter().map(result).collect();
        let body = serde_json::json!({ "results": results }).to_string().into();
        let reply = Reply { status: 200, sequence: None, replayed: false, applied_index: None, body };
        came(Op::Batch, &reply)
    }

    #[test]
    fn a_batch_is_not_dealt_with_before_each_of_its_operations_is() {
        assert!(is_definite(&batch(&[201, 409, 404])));
        for (statuses, status) in [(&[201, 503][..], 503), (&[504, 503, 200], 504), (&[429], 429)] {
            let came = batch(statuses);
            assert!(!is_definite(&came));
            assert_eq!(came, Came::Answer { status, code: Some(format!("c{status}")) });
        }
    }
}
