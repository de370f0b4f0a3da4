//! Rot: every file of a node, damaged in every way that is looked for, and the node opened.
//!
//! ```text
//!   history   a node serves, is stopped or crashes: the directory, and what it amounts to
//!   damage    every damage to every file of it
//!   node      a fresh copy of the directory, damaged, is opened as a starting node opens it, and its log applied
//!   verdict   the very same state, or a refusal that names file, offset and mend; anything else is a failure
//! ```
//!
//! The files come from the directory: one that a node learns to write is damaged from then on. `SEED=n` takes a run
//! again; `ROT_STRIDE=n` does every nth case only, for a quick look.

mod damage;
mod history;
mod node;
mod verdict;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use storage::disk::{Disk, RealDisk};
use tempfile::TempDir;

use damage::{Case, Damage};
use history::History;
use verdict::Verdict;

/// A case that takes longer hangs. Longer than the checkpoint waits for sled.
const CASE_TIME_MAX: Duration = Duration::from_secs(300);

/// What the copies of a directory take at most, and a node wants to have free.
const SCRATCH_BYTES: u64 = 1 << 30;

/// What a directory was when it was damaged, and so what may become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// The node had stopped in order.
    Stopped,
    /// The same, and its checkpoint had been lost.
    WithoutCheckpoint,
    /// The node had crashed within 20 ms after its last write, so that the seal was that of an earlier one.
    Crashed,
}

/// A directory to damage, and what it amounts to.
struct Stage {
    scene: Scene,
    directory: PathBuf,
    history: History,
}

#[test]
fn every_damage_to_a_stopped_node_is_mended_or_refused() {
    let counts = run(Scene::Stopped, |_| true);
    assert!(!counts.contains_key(&Verdict::Torn), "{counts:?}");
}

/// A node that took it for a new log would have forgotten its vote.
#[test]
fn a_log_of_which_one_file_is_left_is_refused() {
    let counts = run(Scene::Stopped, |case| case.damage == Damage::Alone);
    assert!(counts.keys().all(|verdict| *verdict == Verdict::Refused), "{counts:?}");
}

#[test]
fn every_damage_to_the_only_snapshot_left_is_refused() {
    let counts = run(Scene::WithoutCheckpoint, |case| case.path.starts_with("snapshots"));
    assert!(counts.keys().all(|verdict| *verdict == Verdict::Refused), "{counts:?}");
}

/// What remains by nature: see "What is detected, and what is not" in docs/formats.md.
#[test]
fn damage_to_what_a_crash_left_unsealed_looks_torn_and_nothing_else_does() {
    let counts = run(Scene::Crashed, |case| case.path.starts_with("log"));
    assert!(counts.contains_key(&Verdict::Torn), "{counts:?}");
}

/// Does every case that is asked for; answers how many ended how.
fn run(scene: Scene, is_asked: impl Fn(&Case) -> bool) -> BTreeMap<Verdict, usize> {
    verdict::count_shown_panics();
    let seed = setting("SEED").unwrap_or_else(rand::random);
    let scratch = scratch();
    let stage = stage(scene, seed, scratch.path());
    let mut rng = StdRng::seed_from_u64(seed);
    let mut cases = damage::all(&stage.directory, &stage.history.last_payloads, &mut rng);
    cases.retain(is_asked);
    let stride = setting("ROT_STRIDE").unwrap_or(1).max(1) as usize;
    let cases: Vec<Case> = cases.into_iter().step_by(stride).collect();
    let begun = Instant::now();
    let work = Arc::new(Work::new(stage, cases, scratch.path().to_owned()));
    work.do_all();
    let (counts, failures) = work.tally();
    let seconds = begun.elapsed().as_secs();
    say(&format!("SEED={seed}: {scene:?}: {} damages in {seconds} s: {counts:?}", work.cases.len()));
    assert!(failures.is_empty(), "SEED={seed}: {} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(verdict::shown_panics(), 0, "SEED={seed}: panics were shown");
    counts
}

fn stage(scene: Scene, seed: u64, scratch: &Path) -> Stage {
    let directory = scratch.join("node");
    let history = verdict::runtime().block_on(history::write(&directory, seed, scene == Scene::Crashed));
    if scene == Scene::WithoutCheckpoint {
        std::fs::remove_dir_all(directory.join("checkpoint")).expect("there is one");
    }
    for file in damage::files(&directory) {
        let length = directory.join(&file).metadata().expect("a file").len();
        say(&format!("{length:9} bytes {}", file.display()));
    }
    Stage { scene, directory, history }
}

/// The cases, and how far they are done.
struct Work {
    stage: Stage,
    cases: Vec<Case>,
    scratch: PathBuf,
    next: AtomicUsize,
    results: Mutex<Vec<Option<Result<Verdict, String>>>>,
    /// The cases under way, and since when.
    under_way: Mutex<BTreeMap<usize, Instant>>,
}

impl Work {
    fn new(stage: Stage, cases: Vec<Case>, scratch: PathBuf) -> Work {
        let results = Mutex::new(vec![None; cases.len()]);
        Work { stage, cases, scratch, next: AtomicUsize::new(0), results, under_way: Mutex::default() }
    }

    /// Does the cases on a thread for each core, and fails where one does not come to an end.
    fn do_all(self: &Arc<Work>) {
        // Opening waits more than it works.
        let workers = 4 * thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let work = self.clone();
            thread::spawn(move || work.do_some())
        };
        let threads: Vec<_> = (0..workers).map(start).collect();
        while !threads.iter().all(thread::JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(100));
            let under_way = lock(&self.under_way);
            let hanging = under_way.iter().find(|(_, since)| since.elapsed() > CASE_TIME_MAX);
            assert!(hanging.is_none(), "{} hangs", self.cases[*hanging.expect("it is one").0]);
        }
    }

    fn do_some(&self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = self.cases.get(number) else {
                return;
            };
            lock(&self.under_way).insert(number, Instant::now());
            let copy = self.scratch.join(format!("copy-{number}"));
            let judged = catch_unwind(AssertUnwindSafe(|| verdict::of(&self.stage, case, &copy)));
            let judged = judged.unwrap_or_else(|_| Err("a panic".to_owned()));
            // What sled still holds of it is no longer needed either.
            let _ = std::fs::remove_dir_all(copy);
            lock(&self.results)[number] = Some(judged);
            lock(&self.under_way).remove(&number);
        }
    }

    /// How many ended how, and a line for each that ended as none may.
    fn tally(&self) -> (BTreeMap<Verdict, usize>, Vec<String>) {
        let (mut counts, mut failures) = (BTreeMap::new(), Vec::new());
        for (case, result) in self.cases.iter().zip(lock(&self.results).iter()) {
            match result {
                Some(Ok(verdict)) => *counts.entry(*verdict).or_default() += 1,
                Some(Err(why)) => failures.push(format!("{case}: {why}")),
                None => failures.push(format!("{case}: it was not done")),
            }
        }
        (counts, failures)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In memory where there is such a place: what is tested is what is read, not what is synced.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let is_roomy = RealDisk.free_bytes(memory).is_ok_and(|bytes| bytes >= SCRATCH_BYTES);
    let scratch = if is_roomy { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    scratch.expect("a scratch directory")
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|given| given.parse().expect("a number"))
}

/// Says something that is to be read of a test that passes, too.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
