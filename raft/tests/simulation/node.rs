//! One node: its machine with a disk and a clock, and its process, which may be down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raft::look::Look;
use raft::{Group, GroupOptions, simulated};
use storage::disk::sim::SimDisk;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, advance, sleep_until};

use crate::clocks::Wall;
use crate::network::Net;

/// How a process ends that was told to stop, and could do all that it does then.
pub(crate) const IN_ORDER: &str = "stopped in order";

/// One node.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) disk: SimDisk,
    pub(crate) wall: Wall,
    /// A step of the disk takes up to so long, in milliseconds.
    pub(crate) disk_ms_max: u64,
    /// At which step of its disk the power fails, where it is to.
    pub(crate) power_fails_at: Option<u64>,
    /// Whether a step of the disk was made to fail: then the process may end by itself.
    pub(crate) may_fail: bool,
    /// Whether it was told to stop in order.
    pub(crate) is_leaving: bool,
    /// While it is stopped, until when.
    pub(crate) paused_until_ms: Option<u64>,
    /// When it is to be started, where it is down.
    pub(crate) starts_at_ms: u64,
    /// How often it was started.
    pub(crate) starts: u64,
    /// Whether nobody starts it: it is not wanted yet, or no more.
    pub(crate) is_off: bool,
    /// Whether clients ask it.
    pub(crate) serves_clients: bool,
    /// Which of its directories it has: how often it was emptied.
    pub(crate) directory: u64,
    /// What was seen of this process last.
    pub(crate) look: Option<Look>,
    options: GroupOptions,
    net: Net,
    process: Option<Process>,
}

/// A process. Its runtime is its own, so that all of it ends at once.
struct Process {
    runtime: Runtime,
    begun: Instant,
    begun_ms: u64,
    started: Slot<Group>,
    ended: Slot<String>,
}

type Slot<T> = Arc<Mutex<Option<T>>>;

fn slot<T: Clone>(slot: &Slot<T>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What was put first stays: why a process has failed is not lost in what follows from it.
fn put<T>(slot: &Slot<T>, value: T) {
    slot.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(value);
}

impl Node {
    /// A machine whose process is down.
    pub(crate) fn new(options: GroupOptions, net: Net, wall: Wall) -> Node {
        Node {
            id: options.node_id,
            disk: SimDisk::new(),
            wall,
            disk_ms_max: 2,
            power_fails_at: None,
            may_fail: false,
            is_leaving: false,
            paused_until_ms: None,
            starts_at_ms: 0,
            starts: 0,
            is_off: false,
            serves_clients: true,
            directory: 0,
            look: None,
            options,
            net,
            process: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The group, once it has started.
    pub(crate) fn group(&self) -> Option<Group> {
        self.process.as_ref().and_then(|process| slot(&process.started))
    }

    /// Why the process has ended by itself, or did not start.
    pub(crate) fn ended(&self) -> Option<String> {
        self.process.as_ref().and_then(|process| slot(&process.ended))
    }

    /// Starts the process.
    pub(crate) fn start(&mut self, now_ms: u64) {
        self.starts += 1;
        self.net.back(self.id);
        self.disk.remount();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let begun = runtime.block_on(async { Instant::now() });
        let process =
            Process { runtime, begun, begun_ms: now_ms, started: Slot::default(), ended: Slot::default() };
        let (started, ended) = (process.started.clone(), process.ended.clone());
        let (disk, wire) = (Arc::new(self.disk.clone()), self.net.of_node(self.id));
        let (options, wall) = (self.options.clone(), Arc::new(self.wall.clone()));
        process.runtime.spawn(async move {
            match Group::start_in(disk, wire, options, wall).await {
                Ok(group) => {
                    put(&started, group.clone());
                    put(&ended, group.fatal().await.to_string());
                }
                Err(why) => put(&ended, why.to_string()),
            }
        });
        self.process = Some(process);
    }

    /// Lets the process run until that moment.
    pub(crate) fn run_until(&mut self, now_ms: u64) {
        if self.paused_until_ms.is_some_and(|until| until > now_ms) {
            return;
        }
        let was_paused = self.paused_until_ms.take().is_some();
        let Some(process) = &self.process else { return };
        simulated::set_disk_time_max(Duration::from_millis(self.disk_ms_max));
        let until = process.begun + Duration::from_millis(now_ms - process.begun_ms);
        process.runtime.block_on(async {
            if was_paused {
                // For a process that was stopped time jumps.
                advance(until.saturating_duration_since(Instant::now())).await;
            }
            sleep_until(until).await;
        });
    }

    /// The process is told to stop in order, and ends when that is done. Answers whether it serves and could be told.
    pub(crate) fn leave(&mut self) -> bool {
        let Some(group) = self.group().filter(|_| !self.is_leaving) else { return false };
        let Some(process) = &self.process else { return false };
        let ended = process.ended.clone();
        process.runtime.spawn(async move {
            let left = group.shutdown().await;
            put(
                &ended,
                left.map_or_else(|why| format!("could not stop in order: {why}"), |()| IN_ORDER.into()),
            );
        });
        self.is_leaving = true;
        true
    }

    /// Runs something in the process.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(process) = &self.process {
            process.runtime.spawn(future);
        }
    }

    /// Runs something in the process and waits for it: nothing that takes time.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.process.as_ref().unwrap().runtime.block_on(future)
    }

    /// Whether the power failed at a step of the disk.
    pub(crate) fn has_lost_power(&self) -> bool {
        self.power_fails_at.is_some_and(|at| self.disk.steps() > at)
    }

    /// It is switched off, and its directory is lost.
    pub(crate) fn retire(&mut self) {
        if self.is_up() {
            self.stop(None);
        }
        self.disk = SimDisk::new();
        self.directory += 1;
        (self.is_off, self.serves_clients) = (true, false);
    }

    /// The process ends. Where the power goes what was not synced is kept, torn or lost, as the seed says.
    pub(crate) fn stop(&mut self, power_cut: Option<u64>) {
        self.net.gone(self.id, power_cut.is_some());
        self.disk.unplug();
        self.process = None;
        if let Some(seed) = power_cut {
            self.disk.crash(seed);
        }
        self.disk.unplug();
        (self.look, self.power_fails_at, self.paused_until_ms) = (None, None, None);
        (self.may_fail, self.is_leaving) = (false, false);
    }
}
