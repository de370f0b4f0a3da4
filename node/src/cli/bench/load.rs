//! The load of one phase: threads of their own, each with its share of the connections.
//!
//! ```text
//!   main       threads, each a runtime of its own
//!    |  spawn ----> open all connections
//!    | <--- ready --'
//!    | look at /proc
//!    |  start ----> one task for each connection: next -> render -> write, read -> settle
//!    |  live line      `- shares its thread's tally, and all threads' ledger
//!    | <--- end ---'
//!    | look at /proc
//! ```
//!
//! A thread shares nothing with another but the ledger, and never hands a task over: the load must cost little, since
//! the nodes may need the same processors.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::buyer::Buyer;
use super::connection::Connection;
use super::ledger::Ledger;
use super::plan::{End, Phase, Plan};
use super::schedule::{Arrivals, Schedule, Unsent};
use super::tally::Tally;
use super::targets::Target;
use super::usage::{Usage, Watch};
use super::worker::{Worker, lock};
use crate::cli::bar::{self, Clear};

/// How often the live line changes.
const LINE_EVERY: Duration = Duration::from_millis(250);

/// What the threads of a phase share.
#[derive(Debug)]
pub(super) struct Load<'a> {
    /// The run.
    pub(super) plan: &'a Arc<Plan>,
    /// Where the connections go, which take turns.
    pub(super) targets: &'a [Target],
    /// Where they write down what was acknowledged.
    pub(super) ledger: &'a Arc<Ledger>,
    /// The processes whose use is measured.
    pub(super) watch: &'a Watch,
}

/// What a phase came to.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What was counted.
    pub(super) tally: Tally,
    /// From the start to the last answer.
    pub(super) elapsed: Duration,
    /// Arrivals of an open loop that nobody was free for.
    pub(super) unsent: Unsent,
    /// What the processes used meanwhile.
    pub(super) usage: Usage,
}

/// One thread's share.
struct Share {
    plan: Arc<Plan>,
    phase: Phase,
    ledger: Arc<Ledger>,
    tally: Arc<Mutex<Tally>>,
    thread: u32,
    /// The numbers of its connections, and where they go.
    connections: Vec<(u32, Target)>,
}

/// What a thread came to.
#[derive(Debug, Clone, Copy)]
struct Ended {
    last_answer: Instant,
    unsent: Unsent,
}

/// A thread that is under way.
struct Thread {
    start: oneshot::Sender<Instant>,
    end: oneshot::Receiver<Result<Ended, String>>,
}

impl Load<'_> {
    /// Runs a phase to its end.
    ///
    /// # Errors
    /// Where a connection cannot be opened at the start, or the system has no thread or timer.
    pub(super) async fn run(&self, phase: &Phase) -> Result<Loaded, String> {
        let shares = self.shares(phase);
        let tallies: Vec<_> = shares.iter().map(|share| Arc::clone(&share.tally)).collect();
        let threads = start_threads(shares).await?;
        let before = self.watch.look();
        let start = Instant::now();
        let ended = tokio::select! {
            ended = run_threads(threads, start) => ended?,
            never = show(phase, start, &tallies) => match never {},
        };
        let usage = self.watch.look().since(&before);
        let mut loaded =
            Loaded { tally: Tally::new(), elapsed: Duration::ZERO, unsent: Unsent::default(), usage };
        for (tally, ended) in tallies.iter().zip(ended) {
            loaded.tally.merge(&lock(tally));
            loaded.elapsed = loaded.elapsed.max(ended.last_answer.saturating_duration_since(start));
            loaded.unsent = loaded.unsent.and(ended.unsent);
        }
        Ok(loaded)
    }

    fn shares(&self, phase: &Phase) -> Vec<Share> {
        let Plan { threads, connections, .. } = **self.plan;
        let target = |number: u32| self.targets[number as usize % self.targets.len()].clone();
        let share = |thread: u32| Share {
            plan: Arc::clone(self.plan),
            phase: Phase { end: share_out(phase.end, threads, thread), ..phase.clone() },
            ledger: Arc::clone(self.ledger),
            tally: Arc::new(Mutex::new(Tally::new())),
            thread,
            connections: (thread..connections)
                .step_by(threads as usize)
                .map(|number| (number, target(number)))
                .collect(),
        };
        (0..threads).map(share).collect()
    }
}

/// A thread's share of the calls, where they are counted.
fn share_out(end: End, threads: u32, thread: u32) -> End {
    match end {
        End::After(time) => End::After(time),
        End::Calls(calls) => {
            let more = u64::from(u64::from(thread) < calls % u64::from(threads));
            End::Calls(calls / u64::from(threads) + more)
        }
    }
}

/// Starts the threads, and waits until all their connections are open.
async fn start_threads(shares: Vec<Share>) -> Result<Vec<Thread>, String> {
    let (ready, mut readies) = mpsc::channel(shares.len());
    let mut threads = Vec::new();
    for share in shares {
        threads.push(share.spawn(ready.clone())?);
    }
    drop(ready);
    while let Some(ready) = readies.recv().await {
        ready?;
    }
    Ok(threads)
}

async fn run_threads(threads: Vec<Thread>, start: Instant) -> Result<Vec<Ended>, String> {
    let mut ends = Vec::new();
    for Thread { start: go, end } in threads {
        // Where the thread is gone, its end says so.
        let _ = go.send(start);
        ends.push(end);
    }
    let mut ended = Vec::new();
    for end in ends {
        ended.push(end.await.map_err(|_| "a thread of the load ended early".to_owned())??);
    }
    Ok(ended)
}

impl Share {
    fn spawn(self, ready: mpsc::Sender<Result<(), String>>) -> Result<Thread, String> {
        let (start, started) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let body = move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let result = match runtime {
                Ok(runtime) => runtime.block_on(self.run(ready, started)),
                Err(why) => Err(format!("cannot start a runtime: {why}")),
            };
            // Nobody listens any more where the run was given up.
            let _ = ended.send(result);
        };
        let spawned = std::thread::Builder::new().name("bench".to_owned()).spawn(body);
        spawned.map_err(|why| format!("cannot start a thread: {why}"))?;
        Ok(Thread { start, end })
    }

    async fn run(
        self,
        ready: mpsc::Sender<Result<(), String>>,
        started: oneshot::Receiver<Instant>,
    ) -> Result<Ended, String> {
        let opened = self.open().await;
        let (told, connections) = match opened {
            Ok(connections) => (Ok(()), connections),
            Err(why) => (Err(why), Vec::new()),
        };
        // An error in either says that the run was given up.
        let _ = ready.send(told).await;
        drop(ready);
        let Ok(start) = started.await else { return Err("given up".to_owned()) };
        self.work(start, connections).await
    }

    async fn open(&self) -> Result<Vec<Connection>, String> {
        let mut connections = Vec::new();
        for (_, target) in &self.connections {
            let opened = Connection::open(target.address).await;
            connections.push(opened.map_err(|why| format!("cannot connect to {}: {why}", target.host))?);
        }
        Ok(connections)
    }

    async fn work(self, start: Instant, connections: Vec<Connection>) -> Result<Ended, String> {
        let (threads, thread) = (u64::from(self.plan.threads), u64::from(self.thread));
        let arrivals = self.plan.rate.map(|rate| Arrivals { rate, threads, thread });
        let schedule = Arc::new(Schedule::new(start, self.phase.end, arrivals));
        let mut workers = JoinSet::new();
        for (connection, (number, target)) in connections.into_iter().zip(&self.connections) {
            let buyer = Buyer::new(&self.plan, &self.phase, *number);
            let (tally, ledger) = (Arc::clone(&self.tally), Arc::clone(&self.ledger));
            let worker = Worker::new(buyer, connection, target.host.clone(), tally, ledger);
            workers.spawn(worker.run(Arc::clone(&schedule)));
        }
        let paced = schedule.pace(workers.len()).await;
        paced.map_err(|why| format!("cannot wait for a timer: {why}"))?;
        let ends = workers.join_all().await;
        let last_answer = ends.into_iter().flatten().max().unwrap_or(start);
        Ok(Ended { last_answer, unsent: schedule.unsent() })
    }
}

/// Shows how the phase goes, until it is dropped.
async fn show(phase: &Phase, start: Instant, tallies: &[Arc<Mutex<Tally>>]) -> std::convert::Infallible {
    let line = ProgressBar::new_spinner().with_style(bar::line());
    let _clear = Clear(&line);
    let what = if phase.letter == 'w' { "warm-up, " } else { "" };
    let mut ticks = interval(LINE_EVERY);
    let (mut last, mut last_at) = (0, start);
    loop {
        let now = ticks.tick().await;
        let answered = tallies.iter().map(|tally| lock(tally).answered()).sum::<u64>();
        let seconds =
            now.saturating_duration_since(last_at).as_secs_f64().max(LINE_EVERY.as_secs_f64() / 2.0);
        let rate = (answered - std::mem::replace(&mut last, answered)) as f64 / seconds;
        last_at = now;
        line.set_message(format!("{what}{answered} answered, {rate:.0} a second"));
    }
}
