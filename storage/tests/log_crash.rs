//! The log under power cuts, failing disks and damage, on the simulated disk.
//!
//! A seeded workload runs against the log and a model of it. The power is cut at every step that the workload makes
//! the disk take; what the log then holds must be the model after all acknowledged operations and any number of
//! those that were under way, in order. `SEED=n` repeats the workload of one seed.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "the helpers of a test fail as it does")]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::disk::Disk;
use storage::disk::sim::SimDisk;
use storage::log::{Entry, Flushed, Log, LogOptions, LogState, Vote};
use storage::{Position, StorageError};

const DIR: &str = "/node/log";

fn open(disk: &SimDisk) -> Result<Log, StorageError> {
    let options = LogOptions { group: 7, segment_bytes: 4096, cache_bytes: 1000 };
    Log::open(Arc::new(disk.clone()), Path::new(DIR), options)
}

/// One step of the workload, as small as a crash may split it.
#[derive(Debug, Clone)]
enum Step {
    Append(Entry),
    Vote(Vote),
    Truncate(Option<u64>),
    Purge(Position),
}

impl Step {
    fn entry(&self) -> Option<Entry> {
        match self {
            Step::Append(entry) => Some(entry.clone()),
            _ => None,
        }
    }
}

/// What the log must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Model {
    purged: Option<Position>,
    entries: BTreeMap<u64, Entry>,
    vote: Option<Vote>,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append(entry) => drop(self.entries.insert(entry.position.index, entry.clone())),
            Step::Vote(vote) => self.vote = Some(*vote),
            Step::Truncate(last) => self.entries.retain(|index, _| last.is_some_and(|last| *index <= last)),
            Step::Purge(upto) => {
                self.entries.retain(|index, _| *index > upto.index);
                self.purged = self.purged.filter(|purged| purged.index >= upto.index).or(Some(*upto));
            }
        }
    }

    fn last(&self) -> Option<Position> {
        self.entries.values().next_back().map(|entry| entry.position).or(self.purged)
    }

    /// What a log holds, read back whole; it must be consistent in itself.
    fn of(log: &Log) -> Model {
        let LogState { purged, first, last } = log.state();
        let next = last.map_or(0, |last| last.index + 1);
        assert_eq!(first, purged.map_or(0, |purged| purged.index + 1));
        let entries = log.read(first..next, usize::MAX).expect("readable");
        assert_eq!(entries.len() as u64, next - first, "entries without a gap");
        let entries = entries.into_iter().map(|entry| (entry.position.index, entry)).collect();
        let model = Model { purged, entries, vote: log.vote() };
        assert_eq!(model.last(), last);
        let ahead = log.committed().map(|committed| committed.index) > last.map(|last| last.index);
        assert!(!ahead, "the committed position is never ahead of the entries");
        model
    }
}

/// A workload under way.
struct Run {
    random: StdRng,
    /// All that was acknowledged.
    model: Model,
    /// What was asked for and not acknowledged, in order.
    pending: Vec<Step>,
    /// Makes every payload another one.
    counter: u64,
    term: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let random = StdRng::seed_from_u64(seed);
        Run { random, model: Model::default(), pending: Vec::new(), counter: 0, term: 1 }
    }

    /// Runs so many rounds; the answer is whether the disk held out.
    fn rounds(&mut self, disk: &SimDisk, mut log: Log, count: usize) -> bool {
        for _ in 0..count {
            if self.random.random_range(0..30) == 0 {
                drop(log);
                match open(disk) {
                    Ok(opened) => log = opened,
                    Err(_) => return false,
                }
                assert_eq!(Model::of(&log), self.model, "a log that was closed is what it was");
            }
            if !self.round(&log) {
                return false;
            }
        }
        true
    }

    /// Asks for a few things at once and waits for all of them.
    fn round(&mut self, log: &Log) -> bool {
        let (sender, receiver) = mpsc::channel();
        let mut asked = Vec::new();
        let mut ahead = self.model.clone();
        for number in 0..self.random.random_range(1..5) {
            let steps = self.next_steps(&ahead);
            steps.iter().for_each(|step| ahead.apply(step));
            let sender = sender.clone();
            let flushed: Flushed = Box::new(move |result| {
                // The round does not wait for more once one has failed.
                let _ = sender.send((number, result.is_ok()));
            });
            self.pending.extend(steps.iter().cloned());
            asked.push(steps.len());
            if ask(log, &steps, flushed).is_err() {
                break;
            }
            self.note(log, &ahead);
        }
        drop(sender);
        for (expected, (number, acknowledged)) in receiver.iter().enumerate() {
            assert_eq!(number, expected, "callbacks come in order");
            if !acknowledged {
                return false;
            }
            self.pending.drain(..asked[number]).for_each(|step| self.model.apply(&step));
        }
        self.pending.is_empty()
    }

    /// Raft never truncates what is committed; the workload does, so it notes only what was purged.
    fn note(&mut self, log: &Log, ahead: &Model) {
        if let Some(purged) = ahead.purged
            && self.random.random_range(0..4) == 0
        {
            // A log that has failed refuses this too; the callbacks tell.
            let _ = log.save_committed(purged);
        }
    }

    fn next_steps(&mut self, ahead: &Model) -> Vec<Step> {
        let first = ahead.purged.map_or(0, |purged| purged.index + 1);
        let next = ahead.last().map_or(0, |last| last.index + 1);
        match self.random.random_range(0..100) {
            0..8 => {
                self.term += 1;
                vec![Step::Vote(Vote {
                    term: self.term,
                    node: self.term % 3,
                    committed: self.term.is_multiple_of(2),
                })]
            }
            8..14 => {
                self.term += 1;
                let last = self.random.random_range(first..=next).checked_sub(1);
                vec![Step::Truncate(last.filter(|last| *last >= first))]
            }
            14..24 if next > 0 => {
                let beyond = if self.random.random_range(0..8) == 0 { 5 } else { 0 };
                let index = self.random.random_range(first.min(next - 1)..next) + beyond;
                let known = ahead.entries.get(&index).map(|entry| entry.position);
                let term = self.term;
                vec![Step::Purge(known.unwrap_or(Position { term, leader: term, index }))]
            }
            _ => {
                let count = self.random.random_range(1..5);
                (next..next + count).map(|index| Step::Append(self.entry(index))).collect()
            }
        }
    }

    fn entry(&mut self, index: u64) -> Entry {
        self.counter += 1;
        let length = match self.random.random_range(0..40) {
            0 => 6000,
            1..6 => 0,
            _ => self.random.random_range(8..500),
        };
        let mut payload = self.counter.to_le_bytes().repeat(length / 8 + 1);
        payload.truncate(length);
        Entry {
            position: Position { term: self.term, leader: self.term, index },
            payload: Bytes::from(payload),
        }
    }

    /// What a log holds after a power cut, taken over as what it must hold from now on.
    fn recovered(&mut self, log: &Log) {
        let found = Model::of(log);
        let mut possible = self.model.clone();
        let mut steps = self.pending.drain(..);
        while possible != found {
            match steps.next() {
                Some(step) => possible.apply(&step),
                None => panic!("neither what was acknowledged, nor that and what was under way: {found:#?}"),
            }
        }
        drop(steps);
        self.model = possible;
    }
}

fn ask(log: &Log, steps: &[Step], flushed: Flushed) -> Result<(), StorageError> {
    match &steps[0] {
        Step::Append(_) => log.append(steps.iter().filter_map(Step::entry).collect(), flushed),
        Step::Vote(vote) => log.save_vote(*vote, flushed),
        Step::Truncate(last) => log.truncate_after(*last, flushed),
        Step::Purge(upto) => log.purge(*upto, flushed),
    }
}

/// The seeds to run: the one asked for, or the usual ones.
fn seeds(usual: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=usual).collect(),
    }
}

/// Says which seed and step it was when a test fails.
struct Context(String);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("failed with {}", self.0);
        }
    }
}

fn reopen_after_cut(disk: &SimDisk, run: &mut Run, crash_seed: u64) -> Log {
    disk.crash(crash_seed);
    let log = open(disk).expect("a power cut never damages the log");
    run.recovered(&log);
    log
}

/// Cuts at `step`, goes on, cuts again, goes on to the end. The answer is whether the first cut was reached.
fn cut_again_and_again(seed: u64, step: u64) -> bool {
    let crash_seed = seed * 1_000_003 + step;
    let disk = SimDisk::new();
    let mut run = Run::new(seed);
    disk.power_fails_at(step);
    let whole = open(&disk).is_ok_and(|log| run.rounds(&disk, log, 60));
    let reached = !whole || disk.steps() > step;
    let log = reopen_after_cut(&disk, &mut run, crash_seed);
    run.random = StdRng::seed_from_u64(crash_seed);
    disk.power_fails_at(disk.steps() + run.random.random_range(0..40));
    run.rounds(&disk, log, 12);
    disk.crash(crash_seed + 1);
    // The third cut hits recovery itself.
    disk.power_fails_at(disk.steps() + run.random.random_range(0..6));
    drop(open(&disk));
    let log = reopen_after_cut(&disk, &mut run, crash_seed + 2);
    assert!(run.rounds(&disk, log, 5), "the disk is well");
    assert_eq!(Model::of(&open(&disk).expect("it was closed")), run.model);
    reached
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_step() {
    let mut cuts = 0;
    for seed in seeds(12) {
        for step in 0.. {
            let _context = Context(format!("SEED={seed}, cut at step {step}"));
            if !cut_again_and_again(seed, step) {
                break;
            }
            cuts += 1;
        }
    }
    println!("{cuts} cut points, each followed by two more cuts");
}

#[test]
fn after_a_failed_step_nothing_is_written_and_everything_is_refused() {
    for seed in seeds(3) {
        for step in 0..200 {
            let _context = Context(format!("SEED={seed}, step {step} fails"));
            fail_once(seed, step);
        }
    }
}

fn fail_once(seed: u64, step: u64) {
    let disk = SimDisk::new();
    let mut run = Run::new(seed);
    let log = open(&disk).expect("nothing fails yet");
    let (sender, receiver) = mpsc::channel();
    log.on_failure(move |error| drop(sender.send(error)));
    disk.fail_at(disk.steps() + step, io::ErrorKind::StorageFull);
    if (0..40).all(|_| run.round(&log)) {
        return;
    }
    let told = receiver.recv().expect("the listener is told");
    let full =
        matches!(&told, StorageError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull);
    assert!(full, "{told}");
    let steps = disk.steps();
    // The listener is told first: for a moment things are still taken, which are then refused by their callbacks.
    let vote = Vote { term: 99, node: 9, committed: false };
    let refused = std::iter::repeat_with(|| log.save_vote(vote, Box::new(|_| ()))).find_map(Result::err);
    assert!(matches!(refused, Some(StorageError::Stopped(_))));
    assert!(matches!(log.read(0..1, 1), Err(StorageError::Stopped(_))));
    drop(log);
    assert_eq!(disk.steps(), steps, "nothing is tried after a failure");
    drop(reopen_after_cut(&disk, &mut run, seed + step));
}

/// A failed fdatasync leaves bytes that can be read and that no later fdatasync puts on disk. The log once took such a
/// group for durable when it was opened again, went on behind it, and was damaged after the next power cut.
#[test]
fn a_group_whose_fdatasync_failed_is_written_again_when_the_log_is_opened() {
    for seed in seeds(3) {
        for step in 0..200 {
            let _context = Context(format!("SEED={seed}, step {step} fails, and no power cut follows"));
            fail_once_and_go_on(seed, step);
        }
    }
}

fn fail_once_and_go_on(seed: u64, step: u64) {
    let disk = SimDisk::new();
    let mut run = Run::new(seed);
    let log = open(&disk).expect("nothing fails yet");
    disk.fail_at(disk.steps() + step, io::ErrorKind::Other);
    if (0..40).all(|_| run.round(&log)) {
        return;
    }
    drop(log);
    if step.is_multiple_of(2) {
        disk.power_fails_at(disk.steps() + step / 2 % 10);
        drop(open(&disk));
        disk.crash(seed + step);
    }
    let log = open(&disk).expect("what can be read is whole");
    run.recovered(&log);
    assert!(run.rounds(&disk, log, 10), "the disk is well");
    drop(reopen_after_cut(&disk, &mut run, seed + step));
}

/// A closed log, and what it holds.
fn closed_log(seed: u64) -> (SimDisk, Model) {
    let disk = SimDisk::new();
    let mut run = Run::new(seed);
    let log = open(&disk).expect("opens");
    assert!(run.rounds(&disk, log, 60));
    (disk, run.model)
}

/// Damages copies of closed logs and counts what comes of it.
struct Damage {
    seed: u64,
    disk: SimDisk,
    model: Model,
    refused: usize,
    harmless: usize,
}

impl Damage {
    /// The log must be exactly right or refused.
    fn try_one(&mut self, path: &Path, what: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let _context = Context(format!("SEED={}, {what} in {}", self.seed, path.display()));
        let disk = self.disk.fork();
        assert!(disk.edit(path, damage));
        match open(&disk) {
            Ok(log) => {
                assert_eq!(Model::of(&log), self.model, "accepted, but wrong");
                self.harmless += 1;
            }
            Err(StorageError::Corrupt { .. } | StorageError::Refused { .. }) => self.refused += 1,
            Err(error) => panic!("neither right nor refused as damaged: {error}"),
        }
    }

    fn flip_bits(&mut self, path: &Path, length: usize) {
        let mut random = StdRng::seed_from_u64(self.seed);
        for block in (0..length).step_by(64) {
            let byte = block + random.random_range(0..64.min(length - block));
            let bit = random.random_range(0..8);
            self.try_one(path, &format!("bit {bit} of byte {byte}"), |bytes| bytes[byte] ^= 1 << bit);
        }
    }

    fn zero_pages(&mut self, path: &Path, length: usize) {
        for page in (0..length).step_by(4096) {
            let end = length.min(page + 4096);
            self.try_one(path, &format!("page at {page}"), |bytes| bytes[page..end].fill(0));
        }
    }

    /// Cuts at every byte of the last three records or so: of the last 1,500 bytes that are not zero.
    fn cut_tail(&mut self, path: &Path) {
        let mut end = 0;
        let rightmost = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        assert!(self.disk.fork().edit(path, |bytes| end = rightmost(bytes)));
        for cut in end.saturating_sub(1500)..end {
            self.try_one(path, &format!("cut at {cut}"), |bytes| bytes.truncate(cut));
        }
    }
}

#[test]
fn damage_to_a_closed_log_is_refused_or_harmless() {
    for seed in seeds(3) {
        let (disk, model) = closed_log(seed);
        let files = disk.files();
        let mut damage = Damage { seed, disk, model, refused: 0, harmless: 0 };
        for (path, length) in &files {
            damage.flip_bits(path, *length);
            damage.zero_pages(path, *length);
            damage.cut_tail(path);
        }
        println!("SEED={seed}: {} refused, {} harmless", damage.refused, damage.harmless);
        assert!(damage.refused > 0 && damage.harmless > 0);
    }
}

#[test]
fn a_missing_file_of_a_closed_log_is_refused_or_harmless() {
    for seed in seeds(3) {
        let (disk, model) = closed_log(seed);
        let mut refused = 0;
        for (path, _) in disk.files() {
            let _context = Context(format!("SEED={seed}, without {}", path.display()));
            let disk = disk.fork();
            disk.remove(&path).expect("removed");
            match open(&disk) {
                Ok(log) => assert_eq!(Model::of(&log), model),
                Err(error) => {
                    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(refused >= 2, "the seal and a segment at least");
    }
}
