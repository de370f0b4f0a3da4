//! Faults: how each is done to the cluster, undone, and shown to have bitten.
//!
//! ```text
//!   Round --victims by role--> ids --inflict--> done ... undone --> Fault { fired } --> record
//!                                                         '--> wait until all serve again
//! ```
//!
//! A fault has fired where there is evidence: the process was gone or silent, bytes were held up, the node's own
//! clock was wrong, its disk counted what it had hurt, or it ended over a failed fsync. That it was ordered is none.

use std::sync::Arc;
use std::time::Duration;

use checker::history::{Fault, Link as Pair};
use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use super::act::{Act, Suffering};
use super::cluster::Cluster;
use super::kind::Kind;
use super::link::{Dials, Flow, Link, Weather};
use super::operation::Operation;
use super::recorder::Recorder;
use super::said::State;
use super::schedule::{Planned, Round, Victims};
use crate::clock;

/// How long it takes until all threads of a process that was told to stop stand still.
const STOPS_TIME: Duration = Duration::from_millis(100);
/// How long a node that was stopped may stay silent to be called paused.
const SILENCE: Duration = Duration::from_millis(400);
/// How long a node may take to end over its disk.
const ENDS_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a fault lasts at most that is to last until others serve.
const SERVED_TIME_MAX: Duration = Duration::from_secs(15);
/// How wrong a clock must be to be called so, in milliseconds: what it shows was on its way for a while.
const WRONG_MS: u64 = 2_000;

/// Does what a round says, and writes down what came of it. Answers the kinds that fired. All nodes serve again when it
/// returns.
pub(super) async fn inflict(
    cluster: &Cluster,
    recorder: &Recorder,
    round: &Round,
    now: &Watched,
) -> Vec<Kind> {
    let mut busy = Vec::new();
    let mut hits = Vec::new();
    for planned in &round.faults {
        let hit = Hit::on(cluster, recorder, planned, &busy);
        busy.extend(&hit.nodes);
        hits.push(hit);
    }
    now.show(hits.iter().map(Hit::describe).collect());
    let faults = join_all(hits.iter().map(Hit::inflict)).await;
    let kinds = round.faults.iter().map(|planned| planned.act.kind());
    let fired = kinds.zip(&faults).filter(|(_, fault)| fault.fired).map(|(kind, _)| kind).collect();
    faults.into_iter().for_each(|fault| recorder.fault(fault));
    now.show(Vec::new());
    cluster.wait_all_serving().await;
    fired
}

/// What is being done, for whoever watches.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched(Arc<std::sync::Mutex<Vec<String>>>);

impl Watched {
    fn show(&self, what: Vec<String>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = what;
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now.is_empty() { "quiet".to_owned() } else { now.join(" and ") }
    }
}

/// A fault whose victims are known.
struct Hit<'a> {
    cluster: &'a Cluster,
    recorder: &'a Recorder,
    planned: &'a Planned,
    nodes: Vec<u64>,
    hit_leader: bool,
}

/// What came of it.
struct Done {
    /// When the last of it was undone.
    until_us: u64,
    fired: bool,
}

impl<'a> Hit<'a> {
    fn on(cluster: &'a Cluster, recorder: &'a Recorder, planned: &'a Planned, busy: &[u64]) -> Hit<'a> {
        let leader = cluster.leader().map(|(leader, _)| leader);
        let ids: Vec<u64> = cluster.nodes.iter().map(|(id, _)| *id).collect();
        let nodes = choose(&ids, leader, busy, planned.victims);
        let hit_leader = leader.is_some_and(|leader| nodes.contains(&leader));
        Hit { cluster, recorder, planned, nodes, hit_leader }
    }

    fn describe(&self) -> String {
        let ids: Vec<String> = self.nodes.iter().map(u64::to_string).collect();
        match ids.as_slice() {
            [] => self.planned.act.kind().to_string(),
            ids => format!("{} of node {}", self.planned.act.kind(), ids.join(", ")),
        }
    }

    async fn inflict(&self) -> Fault {
        let from_us = self.recorder.now_us();
        let Done { until_us, fired } = self.do_it().await;
        Fault {
            from_us,
            until_us,
            fault: self.planned.act.kind().to_string(),
            nodes: self.nodes.clone(),
            links: self.pairs(),
            hit_leader: self.hit_leader,
            detail: self.planned.act.detail(),
            fired,
        }
    }

    /// The directions in which it keeps the nodes apart.
    fn pairs(&self) -> Vec<Pair> {
        if !self.planned.act.kind().is_of_links() {
            return Vec::new();
        }
        let across = self.cluster.links_across(&self.nodes);
        let sends = |link: &&Link| match self.planned.act {
            Act::Oneway { mute } => self.nodes.contains(&link.from) == mute,
            Act::Halfopen => self.nodes.contains(&link.to),
            _ => true,
        };
        across.filter(sends).map(|link| Pair { from: link.from, to: link.to }).collect()
    }

    async fn do_it(&self) -> Done {
        match self.planned.act {
            Act::Kill | Act::All => self.kill().await,
            Act::Pause => self.pause().await,
            Act::Partition { abrupt } => self.cut(abrupt).await,
            Act::Oneway { mute } => self.mute(mute).await,
            Act::Flap { every_ms } => self.flap(Duration::from_millis(every_ms)).await,
            Act::Slow { delay_ms, bytes_per_s } => {
                let flow = Flow::Slow { delay_ms, bytes_per_s };
                self.weather(|_| Weather { out: flow, back: flow, ..Weather::default() }).await
            }
            Act::Reorder { late_ms } => {
                self.weather(|_| Weather { dials: Dials::Late(late_ms), ..Weather::default() }).await
            }
            Act::Halfopen => self.half_open().await,
            Act::Clock { shift_ms, drift_ppm } => self.clock(shift_ms, drift_ppm).await,
            Act::Disk(Suffering::Slow(time_ms)) => self.disk(&format!("disk slow {time_ms}")).await,
            Act::Disk(Suffering::Full) => self.disk("disk full").await,
            Act::Disk(Suffering::Fails) => self.fail_sync().await,
            Act::Operation(kind) => self.operate(kind).await,
        }
    }

    async fn last(&self) {
        sleep(Duration::from_millis(self.planned.lasts_ms)).await;
        self.until_served().await;
    }

    /// Waits, where the fault is to last so long, until the others serve. Where they do not, the record shows it.
    async fn until_served(&self) {
        if self.planned.until_served {
            let others = self.cluster.nodes.iter().map(|(id, _)| *id).filter(|id| !self.nodes.contains(id));
            let all_serve = join_all(others.map(|id| self.cluster.until_serving(id)));
            // Healed in any case.
            let _ = timeout(SERVED_TIME_MAX, all_serve).await;
        }
    }

    fn done(&self, fired: bool) -> Done {
        Done { until_us: self.recorder.now_us(), fired }
    }

    async fn start(&self, id: u64) {
        if let Err(why) = self.cluster.start(id).await {
            self.cluster.find(why);
        }
    }

    async fn kill(&self) -> Done {
        let gone = join_all(self.nodes.iter().map(|id| self.cluster.kill(*id))).await;
        self.last().await;
        for id in &self.nodes {
            self.start(*id).await;
        }
        self.done(gone.into_iter().all(|gone| gone))
    }

    async fn pause(&self) -> Done {
        for id in &self.nodes {
            self.cluster.signal(*id, Signal::STOP).await;
        }
        let began = Instant::now();
        let silent = join_all(self.nodes.iter().map(|id| self.is_silent(*id))).await;
        sleep(Duration::from_millis(self.planned.lasts_ms).saturating_sub(began.elapsed())).await;
        self.until_served().await;
        for id in &self.nodes {
            self.cluster.signal(*id, Signal::CONT).await;
        }
        self.done(silent.into_iter().all(|silent| silent))
    }

    async fn is_silent(&self, id: u64) -> bool {
        // A signal is sent when it is not yet obeyed.
        sleep(STOPS_TIME).await;
        self.cluster.wire.get(id, "/livez", SILENCE).await.is_err()
    }

    /// Makes the weather of the links between the victims and the others, and the sun shine again.
    async fn weather(&self, of: impl Fn(&Link) -> Weather) -> Done {
        let links: Vec<&Link> = self.cluster.links_across(&self.nodes).collect();
        let before = felt(&links);
        links.iter().for_each(|link| link.change(|weather| *weather = of(link)));
        self.last().await;
        links.iter().for_each(|link| link.change(|weather| *weather = Weather::default()));
        self.done(felt(&links) > before)
    }

    async fn cut(&self, abrupt: bool) -> Done {
        let dials = if abrupt { Dials::Broken } else { Dials::Through };
        self.weather(|_| Weather { out: Flow::Shut, back: Flow::Shut, dials }).await
    }

    /// What the victims send is held up, or what is sent to them: on the links that they dial, and on those by which
    /// they are dialled the other way round.
    async fn mute(&self, mute: bool) -> Done {
        self.weather(|link| match self.nodes.contains(&link.from) == mute {
            true => Weather { out: Flow::Shut, ..Weather::default() },
            false => Weather { back: Flow::Shut, ..Weather::default() },
        })
        .await
    }

    async fn half_open(&self) -> Done {
        self.weather(|link| match self.nodes.contains(&link.to) {
            true => Weather { dials: Dials::Deaf, ..Weather::default() },
            false => Weather::default(),
        })
        .await
    }

    async fn flap(&self, every: Duration) -> Done {
        let links: Vec<&Link> = self.cluster.links_across(&self.nodes).collect();
        let (before, until) = (felt(&links), Instant::now() + Duration::from_millis(self.planned.lasts_ms));
        while Instant::now() < until {
            let shut = Weather { out: Flow::Shut, back: Flow::Shut, ..Weather::default() };
            for turn in [shut, Weather::default()] {
                links.iter().for_each(|link| link.change(|weather| *weather = turn));
                sleep(every).await;
            }
        }
        self.done(felt(&links) > before)
    }

    async fn clock(&self, shift_ms: i64, drift_ppm: i64) -> Done {
        let mut fired = true;
        for id in &self.nodes {
            let state = self.order(*id, &format!("clock {shift_ms} {drift_ppm}")).await;
            fired &= state.is_some_and(|state| is_wrong(state.clock_ms));
        }
        self.last().await;
        for id in &self.nodes {
            self.order(*id, "clock 0 0").await;
        }
        self.done(fired)
    }

    async fn disk(&self, order: &str) -> Done {
        let before = self.hurts_after(order).await;
        self.last().await;
        let after = self.hurts_after("disk whole").await;
        self.done(before.zip(after).is_some_and(|(before, after)| after > before))
    }

    /// Has all victims obey, and answers how many operations their disks have hurt so far; `None` where one does not
    /// say.
    async fn hurts_after(&self, line: &str) -> Option<u64> {
        let mut hurts = Some(0);
        for id in &self.nodes {
            let own = self.order(*id, line).await.map(|state| state.hurts);
            hurts = hurts.zip(own).map(|(hurts, own)| hurts + own);
        }
        hurts
    }

    /// The node must end: what it has written may not be on its disk.
    async fn fail_sync(&self) -> Done {
        let mut fired = true;
        for id in &self.nodes {
            self.cluster.doom(*id);
            self.cluster.tell(*id, "disk fail").await;
            let end = self.cluster.wait_ended(*id, ENDS_TIME_MAX).await;
            fired &= end.is_some_and(|status| status.code() == Some(1));
            match end {
                Some(status) if status.code() == Some(1) => {}
                Some(status) => self
                    .cluster
                    .find(format!("node {id} ended with {status} after a failed fsync, not with 1")),
                None => {
                    self.cluster.find(format!("node {id} goes on after a failed fsync"));
                    self.cluster.kill(*id).await;
                }
            }
        }
        self.last().await;
        for id in &self.nodes {
            self.start(*id).await;
        }
        self.done(fired)
    }

    /// Has a node obey, and answers how it is then.
    async fn order(&self, id: u64, line: &str) -> Option<State> {
        let orders = self.cluster.said.orders(id);
        self.cluster.tell(id, line).await;
        self.cluster.said.obeyed_after(id, orders).await
    }

    async fn operate(&self, kind: Kind) -> Done {
        let lasts = Duration::from_millis(self.planned.lasts_ms);
        let Hit { cluster, recorder, ref nodes, .. } = *self;
        let fired = Operation { cluster, recorder, nodes, lasts }.run(kind).await;
        self.done(fired)
    }
}

/// Whether that is another time than this machine's.
fn is_wrong(clock_ms: u64) -> bool {
    clock::wall_ms().abs_diff(clock_ms) >= WRONG_MS
}

fn felt(links: &[&Link]) -> u64 {
    links.iter().map(|link| link.felt()).sum()
}

/// The ids of the victims: the leader first where it is to be, and last where it is not.
fn choose(ids: &[u64], leader: Option<u64>, busy: &[u64], victims: Victims) -> Vec<u64> {
    let mut order = ids.to_vec();
    order.rotate_left(victims.turn % ids.len().max(1));
    order.sort_by_key(|id| match Some(*id) == leader {
        true => !victims.leader,
        false => victims.leader,
    });
    let free: Vec<u64> = order.iter().copied().filter(|id| !busy.contains(id)).collect();
    free.into_iter().take(victims.count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_chosen_first_or_last() {
        let (ids, victims) = ([1, 2, 3, 4, 5], Victims { leader: true, count: 2, turn: 3 });
        assert_eq!(choose(&ids, Some(2), &[], victims), [2, 4]);
        assert_eq!(choose(&ids, Some(2), &[2, 4], victims), [5, 1]);
        assert_eq!(choose(&ids, None, &[], victims), [4, 5]);
        let others = Victims { leader: false, ..victims };
        assert_eq!(choose(&ids, Some(4), &[], others), [5, 1]);
        assert_eq!(choose(&ids, Some(4), &[1, 2, 3, 5], others), [4]);
        assert!(choose(&ids, Some(4), &[], Victims { count: 0, ..others }).is_empty());
        let all = Victims { count: 5, ..others };
        assert_eq!(choose(&ids, Some(4), &[], all), [5, 1, 2, 3, 4]);
    }
}
