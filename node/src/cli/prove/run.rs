//! A run from its first process to its last: what happens when.
//!
//! ```text
//!   lay out, start all -> stock on sale -> clients buy, faults come and go -> healed, clients end -> read all back
//!                                           `------- looked at four times a second -------'
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use checker::history::{Run, Settings};
use indicatif::ProgressBar;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::buyer::{Buyer, OPENER};
use super::caller::Caller;
use super::cluster::Cluster;
use super::fault::{self, Watched};
use super::kind::Kind;
use super::recorder::Recorder;
use super::schedule::{Schedule, Whom};
use super::shop::Shop;
use super::{bar, finish, sampler};

/// How long it may take until all stock is on sale.
const OPENS_TIME_MAX: Duration = Duration::from_secs(120);
/// How long clients ask for what they have no answer to, once everything is healed.
const ANSWERED_TIME_MAX: Duration = Duration::from_secs(90);
/// How long a node may take to end in order.
const ENDS_TIME_MAX: Duration = Duration::from_secs(60);
/// How often the line that is shown is told anew.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// How many turns each kind has at most, beyond the time that was asked for, until every kind has fired.
const TURNS_MAX: usize = 4;
/// How long it is quiet after the last fault.
const QUIET_AFTER: Duration = Duration::from_secs(3);

/// What is to be run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// How many nodes.
    pub(super) nodes: u64,
    /// For how long, at least.
    pub(super) seconds: u64,
    /// How many clients.
    pub(super) clients: u64,
    /// How long a client thinks between two calls, on average, in milliseconds.
    pub(super) think_ms: u64,
    /// What is done to the cluster.
    pub(super) kinds: Vec<Kind>,
    /// Whom it is done to, where each fault is to stand alone.
    pub(super) calm: Option<Whom>,
    /// Whether nodes have certificates, and callers show tokens.
    pub(super) secure: bool,
    /// What everything is drawn from.
    pub(super) seed: u64,
    /// Where the record and the logs are put.
    pub(super) dir: PathBuf,
}

impl Plan {
    /// The record.
    pub(super) fn history(&self) -> PathBuf {
        self.dir.join("history.ndjson")
    }

    /// The command that repeats the run.
    pub(super) fn command(&self) -> String {
        let Plan { nodes, seconds, clients, think_ms, seed, .. } = self;
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        let secure = if self.secure { " --secure" } else { "" };
        let calm = self.calm.map_or(String::new(), |whom| format!(" --calm {}", whom.as_str()));
        format!(
            "lastunit prove --nodes {nodes} --seconds {seconds} --clients {clients} --think-ms {think_ms} \
             --faults {}{secure}{calm} --seed {seed}",
            if kinds.is_empty() { "none".to_owned() } else { kinds.join(",") }
        )
    }

    fn run(&self) -> Run {
        Run {
            format: Run::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.seed,
            command: self.command(),
            nodes: (1..=self.nodes).collect(),
            clients: self.clients,
            seconds: self.seconds,
            faults: self.kinds.iter().map(Kind::to_string).collect(),
            started_at: crate::clock::now_rfc3339(),
            settings: Settings { tokens: self.secure, ..Settings::default() },
        }
    }
}

/// Runs it, in that cluster, to the end of its record. What cannot be done once faults have come and gone is a finding,
/// and no error: it is what the run was to show.
pub(super) async fn run(plan: &Plan, cluster: &Arc<Cluster>) -> Result<(), String> {
    cluster.start_all().await?;
    cluster.wait_all_serving().await;
    let recorder = Recorder::create(&plan.history(), plan.run());
    let recorder = Arc::new(recorder.map_err(|cause| unwritten(&plan.history(), &cause))?);
    cluster.record_in(Arc::clone(&recorder));
    let ids = cluster.nodes.iter().map(|(id, _)| *id).collect();
    let caller = Caller::new(cluster.wire.clone(), ids, Arc::clone(&recorder));
    let mut background = JoinSet::new();
    background.spawn(sampler::run(Arc::clone(cluster), Arc::clone(&recorder)));
    let watched = Watched::default();
    let bar = ProgressBar::new_spinner().with_style(bar::line());
    let _clear = bar::Clear(&bar);
    background.spawn(show(bar.clone(), Arc::clone(cluster), Arc::clone(&recorder), watched.clone()));
    hurt_and_heal(plan, cluster, &caller, &watched).await?;
    give_time(&caller);
    if let Err(why) = finish::close(&caller, plan.seed).await {
        cluster.find(why);
    }
    if let Err(why) = finish::read_back(&caller, cluster).await {
        cluster.find(why);
    }
    // Nobody shall take for a finding what ends because it is told to.
    background.shutdown().await;
    cluster.stop_all(ENDS_TIME_MAX).await;
    recorder.finish().map_err(|cause| unwritten(&plan.history(), &cause))
}

/// Clients buy while the schedule is gone through, and have their answers when it returns.
async fn hurt_and_heal(
    plan: &Plan,
    cluster: &Arc<Cluster>,
    caller: &Caller,
    watched: &Watched,
) -> Result<(), String> {
    let shop = Arc::new(Shop::default());
    let buyer = |id| Buyer::new(id, plan.seed, caller.clone(), Arc::clone(&shop), plan.think_ms);
    if timeout(OPENS_TIME_MAX, buyer(OPENER).open()).await != Ok(true) {
        return Err("the stock cannot be put on sale".to_owned());
    }
    let (stop, stopped) = watch::channel(false);
    let mut buyers = JoinSet::new();
    for id in 1..=plan.clients {
        buyers.spawn(buyer(OPENER + id).buy(stopped.clone()));
    }
    go_through(plan, cluster, &caller.recorder, watched).await;
    sleep(QUIET_AFTER).await;
    // Nobody listens any more where all clients have ended.
    let _ = stop.send(true);
    give_time(caller);
    while let Some(ended) = buyers.join_next().await {
        ended.map_err(|cause| format!("a client failed: {cause}"))?;
    }
    Ok(())
}

/// From now on calls without an answer are given up after a while.
fn give_time(caller: &Caller) {
    let give_up_us = caller.recorder.now_us() + ANSWERED_TIME_MAX.as_micros() as u64;
    caller.give_up_us.store(give_up_us, Ordering::Relaxed);
}

/// Round after round, until the time is over and every kind has fired: two at once may keep each other from it.
/// Where something was found that should not be, more than the time has nothing to add.
async fn go_through(plan: &Plan, cluster: &Cluster, recorder: &Recorder, watched: &Watched) {
    let mut schedule = Schedule::new(plan.seed, &plan.kinds, plan.nodes as usize, plan.seconds, plan.calm);
    let (mut left, mut rounds) = (BTreeSet::from_iter(plan.kinds.iter().copied()), 0);
    let until_us = plan.seconds * 1_000_000;
    let is_wanting = |left: &BTreeSet<Kind>, rounds| {
        !left.is_empty() && rounds < TURNS_MAX * plan.kinds.len() && cluster.findings().is_empty()
    };
    while recorder.now_us() < until_us || is_wanting(&left, rounds) {
        let Some(round) = schedule.next() else {
            return sleep(Duration::from_micros(until_us.saturating_sub(recorder.now_us()))).await;
        };
        sleep(Duration::from_millis(round.quiet_ms)).await;
        for kind in fault::inflict(cluster, recorder, &round, watched).await {
            left.remove(&kind);
        }
        rounds += 1;
    }
}

/// Tells in a line how far it is.
async fn show(bar: ProgressBar, cluster: Arc<Cluster>, recorder: Arc<Recorder>, watched: Watched) {
    let mut ticks = interval(SHOW_EVERY);
    loop {
        ticks.tick().await;
        let counts = &recorder.counts;
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let leader = cluster
            .leader()
            .map_or("no leader".to_owned(), |(id, term)| format!("node {id} leads term {term}"));
        bar.set_message(format!(
            "{} answered in {} tries, {} open  |  {} faults, {} fired  |  {leader}  |  {}",
            of(&counts.answered),
            of(&counts.tries),
            of(&counts.open),
            of(&counts.faults),
            of(&counts.fired),
            watched.words(),
        ));
    }
}

fn unwritten(path: &Path, cause: &std::io::Error) -> String {
    format!("cannot write {}: {cause}", path.display())
}
