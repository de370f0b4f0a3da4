//! The watch over silent differences: the leader compares all nodes' digests at one applied entry, and who differs
//! stops.
//!
//! ```text
//!   leader                                   each other voter
//!   ------                                   ----------------
//!   the last entry applied here, i
//!   digest at i?             ------------->  waits a moment until i is applied; looks it up in its ring
//!   the answers, and its own <-------------  known, gone, not yet
//!   all alike: done
//!   else: you differ at i    ------------->  looks it up once more, and stops with both digests in its last words
//! ```
//!
//! The minority of those that answered stops, the leader included; without a majority, who differs from the leader.
//!
//! It compares [`SOON`] after this node leads or a peer connects anew (it was away, or started again), and from then on
//! every [`Tuning::digests_every`](crate::Tuning). A peer that has not come so far yet, or whose state came in a
//! snapshot, is asked again soon; one that does not answer at all is asked when it is time again, or connects anew.
//!
//! Invariant: digests at one entry are facts, whoever leads. So a comparison that outlives its leader is still right.

mod ring;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::transport::message::{Call, Reply};
use crate::transport::{CallError, Caller, Callers, Local};
use crate::types::Raft;

pub(crate) use ring::{DigestAt, Ring};
pub(crate) use verdict::Comparison;

/// How long after this node leads, or a peer comes, digests are compared.
const SOON: Duration = Duration::from_secs(2);

/// How often it is looked whether it is time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long an entry is waited for that is applied elsewhere.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer is waited for.
const DEADLINE: Duration = Duration::from_secs(2);

/// What the watch has done on this node since it started.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    comparisons: AtomicU64,
    differences: AtomicU64,
    index: AtomicU64,
}

impl Compared {
    /// Comparisons of two nodes or more.
    pub(crate) fn comparisons(&self) -> u64 {
        self.comparisons.load(Ordering::Relaxed)
    }

    /// Those of them in which nodes differed.
    pub(crate) fn differences(&self) -> u64 {
        self.differences.load(Ordering::Relaxed)
    }

    /// The entry of the last one; 0 before the first.
    pub(crate) fn index(&self) -> u64 {
        self.index.load(Ordering::Relaxed)
    }

    fn note(&self, index: u64) {
        self.comparisons.fetch_add(1, Ordering::Relaxed);
        self.index.store(index, Ordering::Relaxed);
    }
}

/// Watches for ever.
pub(crate) async fn run(local: Arc<Local>, raft: Raft, compared: Arc<Compared>) {
    let callers = Callers::new(local.clone());
    let mut pace = Pace::new(local.options.tuning.digests_every);
    loop {
        sleep(LOOK_EVERY).await;
        let due = pace.is_due(Instant::now(), raft.as_leader().is_ok(), local.meetings());
        if due && !compare(&local, &callers.all(), &compared).await {
            pace.hurry(Instant::now());
        }
    }
}

/// This node's digest at an entry, which is waited for so long.
pub(crate) async fn digest_at(local: &Local, index: u64, patience: Duration) -> DigestAt {
    // What is not applied by then is not applied yet.
    let _ = timeout(patience, local.replica.wait_applied(Some(index))).await;
    local.replica.read().digests.at(index)
}

/// What a node does that is told that it differs: it believes it only where its own ring says the same. Whether it
/// does, and stops.
pub(crate) fn told(local: &Local, comparison: &Comparison) -> bool {
    let own = local.options.node_id;
    let here = local.replica.read().digests.at(comparison.index);
    let named = comparison.digests.get(&own).copied();
    let differs = comparison.differing().contains(&own) && named.map(DigestAt::Known) == Some(here);
    match differs {
        true => local.fatal.report(comparison.last_words(own, &local.options.data_dir)),
        false => tracing::warn!("told to differ, and does not: {comparison}; here it is {here:?}"),
    }
    differs
}

/// One comparison, and what follows from it. Answers whether no node that answered has to be asked again soon.
async fn compare(local: &Local, callers: &BTreeMap<u64, Arc<Caller>>, compared: &Compared) -> bool {
    let Some((index, own)) = local.replica.read().digests.last() else { return true };
    let voters = voters(local);
    let asked = callers.iter().filter(|(id, _)| voters.contains(id));
    let asked = asked.map(async |(id, caller)| (*id, ask(caller, index).await));
    let answers: BTreeMap<u64, DigestAt> =
        join_all(asked).await.into_iter().filter_map(|(id, answer)| Some((id, answer?))).collect();
    let known = answers.iter().filter_map(|(id, answer)| match answer {
        DigestAt::Known(digest) => Some((*id, *digest)),
        DigestAt::Gone | DigestAt::NotYet => None,
    });
    let own_id = local.options.node_id;
    let digests: BTreeMap<u64, u64> = known.chain([(own_id, own)]).collect();
    let all_known = digests.len() > answers.len();
    if digests.len() == 1 {
        return all_known;
    }
    compared.note(index);
    let comparison = Comparison { leader: own_id, index, digests };
    let differing = comparison.differing();
    if !differing.is_empty() {
        compared.differences.fetch_add(1, Ordering::Relaxed);
        stop(local, callers, &comparison, &differing).await;
    }
    all_known && differing.is_empty()
}

/// Tells every node that differs, and this one last.
async fn stop(
    local: &Local,
    callers: &BTreeMap<u64, Arc<Caller>>,
    comparison: &Comparison,
    differing: &BTreeSet<u64>,
) {
    tracing::error!("the replicas differ: {comparison}; to stop: {differing:?}");
    let others = callers.iter().filter(|(id, _)| differing.contains(id));
    join_all(others.map(|(id, caller)| tell(*id, caller, comparison))).await;
    if differing.contains(&local.options.node_id) {
        told(local, comparison);
    }
}

async fn tell(id: u64, caller: &Caller, comparison: &Comparison) {
    match caller.call(&Call::Differs(comparison.clone()), DEADLINE).await {
        // It may have stopped before it could answer.
        Ok(Reply::Differs(true)) | Err(CallError::Lost(_)) => {}
        other => tracing::warn!(peer = id, "it differs, and does not stop: {other:?}"),
    }
}

async fn ask(caller: &Caller, index: u64) -> Option<DigestAt> {
    match caller.call(&Call::DigestAt(index), DEADLINE).await {
        Ok(Reply::DigestAt(answer)) => Some(answer),
        _ => None,
    }
}

fn voters(local: &Local) -> BTreeSet<u64> {
    local.replica.read().membership.membership().voter_ids().collect()
}

/// When digests are compared.
struct Pace {
    every: Duration,
    /// The next time; `None` while this node does not lead.
    next: Option<Instant>,
    /// How often each peer has connected anew.
    met: BTreeMap<u64, u64>,
}

impl Pace {
    fn new(every: Duration) -> Pace {
        Pace { every, next: None, met: BTreeMap::new() }
    }

    /// Whether it is time. A peer that connects anew brings the next time forward, and never puts it off.
    fn is_due(&mut self, now: Instant, leads: bool, met: BTreeMap<u64, u64>) -> bool {
        let somebody_came = met != self.met;
        self.met = met;
        if !leads {
            self.next = None;
            return false;
        }
        let next = *self.next.get_or_insert(now + SOON);
        if next <= now {
            self.next = Some(now + self.every);
        } else if somebody_came {
            self.hurry(now);
        }
        next <= now
    }

    /// The next time is soon.
    fn hurry(&mut self, now: Instant) {
        self.next = self.next.map(|next| next.min(now + SOON));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_soon_after_leading_or_meeting_and_then_now_and_again() {
        let (begun, every) = (Instant::now(), Duration::from_secs(30));
        let mut pace = Pace::new(every);
        // Seconds since the beginning, whether this node leads, how often it has met node 2, and whether it is time.
        let looks = [
            (0, false, 1, false),
            (10, true, 1, false),
            (11, true, 2, false),
            (12, true, 2, true),
            (13, true, 2, false),
            (41, true, 2, false),
            (42, true, 2, true),
            // It comes again and again: the first time counts.
            (43, true, 3, false),
            (44, true, 4, false),
            (45, true, 5, true),
            (74, true, 5, false),
            (75, true, 5, true),
            (76, false, 6, false),
            (200, true, 6, false),
            (202, true, 6, true),
        ];
        for (second, leads, met, due) in looks {
            let now = begun + Duration::from_secs(second);
            assert_eq!(pace.is_due(now, leads, BTreeMap::from([(2, met)])), due, "at {second} s");
        }
    }

    #[test]
    fn who_could_not_answer_is_asked_again_soon() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Pace::new(30 * second);
        assert!(!pace.is_due(begun, true, BTreeMap::new()));
        assert!(pace.is_due(begun + 2 * second, true, BTreeMap::new()));
        pace.hurry(begun + 3 * second);
        assert!(!pace.is_due(begun + 4 * second, true, BTreeMap::new()));
        assert!(pace.is_due(begun + 5 * second, true, BTreeMap::new()));
    }
}
