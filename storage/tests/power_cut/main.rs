//! A whole node's directory under power cuts, failing steps and a full disk: identity, log, checkpoint in sled,
//! snapshots written and received.
//!
//! A workload goes through the life of a directory on a disk that records what a power cut at each step could leave.
//! Each such directory is opened as `raft::open` does, and must hold all that was acknowledged by then: every entry,
//! vote and purge; an image that was saved, by its digest; and both together the state after the last entry that was
//! acknowledged. Some are cut again while they recover. The image's pack files are so short that packs are moved, and
//! emptied files removed, on the way; a pack that the image names is never what a cut loses.
//!
//! Then at each step the process is killed, the step fails, or the disk becomes full; it starts again on what the page
//! cache shows, goes on, and then the power is cut.
//!
//! `SEED=n` begins with the cuts of that seed; `ROUNDS=n` cuts n times at each step, each with another seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; clippy exempts only its #[test] functions"
)]
#![expect(clippy::print_stdout, reason = "the counts")]

mod history;
mod known;
mod node;
#[path = "../shop/mod.rs"]
mod shop;
mod stage;
mod support;

use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::StorageError;
use storage::disk::faulty::{EIO, ENOSPC};
use tempfile::TempDir;

use known::{Doing, Known};
use stage::{Operation, Run, STAGES};
use support::{Context, copy, number, scratch};

/// How often the power is cut at each step, unless the environment says it.
const ROUNDS: u64 = 4;

/// What a node does after a failure; enough for files that were found to be used.
const GOES_ON: [Operation; 7] = [
    Operation::Vote(9),
    Operation::Truncate,
    Operation::Append(20),
    Operation::Apply,
    Operation::Save,
    Operation::Append(20),
    Operation::Apply,
];

/// What came of a number of cuts.
#[derive(Default)]
struct Counts {
    cuts: usize,
    again: usize,
    rebuilt: usize,
    /// Images that had been saved before, and were rebuilt all the same: sled was at work.
    lost: usize,
}

#[test]
fn a_power_cut_at_any_step_loses_nothing_that_was_acknowledged() {
    let first = number("SEED").unwrap_or_else(|| rand::random::<u32>().into());
    let seeds = first..first + number("ROUNDS").unwrap_or(ROUNDS);
    println!("SEED={first}");
    let root = scratch();
    let run = recorded(root.path());
    let mut counts = Counts::default();
    for step in 0..run.disk.steps() {
        for seed in seeds.clone() {
            let _context = Context(format!("SEED={seed}, cut at step {step}"));
            cut_at(&run, step, seed, &mut counts);
        }
    }
    let Counts { cuts, again, rebuilt, lost } = counts;
    println!(
        "{cuts} cuts, {again} of them cut again in recovery; {rebuilt} images were rebuilt, {lost} of them had been saved"
    );
    // How many were lost depends on what sled was at when the step was recorded.
    assert!(again > 0, "some are cut again in recovery");
}

/// Goes through all stages, recorded.
fn recorded(root: &Path) -> Run {
    let mut run = Run::new(root, Known::default(), Doing::default());
    run.disk.record();
    for operations in STAGES {
        run.stage(operations).expect("nothing fails");
    }
    let (moved, removed) =
        run.tidied.iter().fold((0, 0), |(m, r), one| (m + one.packs_moved, r + one.files_removed));
    println!("{moved} packs are moved, {removed} pack files are removed");
    assert!(moved >= 10 && removed >= 10, "so that both are cut: {:?}", run.tidied);
    run
}

fn cut_at(run: &Run, step: u64, seed: u64, counts: &mut Counts) {
    let root = scratch();
    assert!(run.disk.leave(step, seed, root.path()).expect("left"), "every step is recorded");
    let mut random = StdRng::seed_from_u64(seed ^ (step << 32));
    let phase = run.phases.iter().rfind(|phase| phase.began <= step).expect("the first began at 0");
    let mut after = Run::new(root.path(), phase.before.clone(), phase.doing.clone());
    if random.random_range(0..3) == 0 {
        after.disk.power_fails_at(random.random_range(0..30));
        drop(node::Node::open(std::sync::Arc::new(after.disk.clone()), &after.path, &after.told));
        after.disk.cut(random.random()).expect("cut");
        // Recovery may have been rebuilding the image.
        after.known.image = 0;
        counts.again += 1;
    }
    counts.cuts += 1;
    let was_saved = after.known.image > 0;
    let rebuilt = recovers(&mut after);
    counts.rebuilt += usize::from(rebuilt);
    counts.lost += usize::from(rebuilt && was_saved);
}

/// Opens a directory, checks it, and goes on for a while; the answer is whether the image was rebuilt.
fn recovers(run: &mut Run) -> bool {
    let mut node = run.open().expect("a power cut damages nothing");
    let rebuilt = node.rebuilt.is_some();
    // sled may lose what it has; what it names in a file of packs was synced before, and is there.
    assert!(!node.rebuilt.as_ref().is_some_and(|why| why.contains("pack-")), "{:?}", node.rebuilt);
    go_on(run, &mut node).expect("the disk is well");
    rebuilt
}

/// What a node does that has just started: its log follows its image, its tail is the leader's, and it goes on.
fn go_on(run: &mut Run, node: &mut node::Node) -> Result<(), StorageError> {
    if run.known.log.last() < node.applied() {
        run.perform(node, Operation::Behind)?;
    }
    if run.known.snapshot > 0 {
        run.perform(node, Operation::Purge(0))?;
    }
    GOES_ON.into_iter().try_for_each(|operation| run.perform(node, operation))
}

/// The directory at the beginning of each stage, closed, and what is known of it.
fn beginnings() -> Vec<(TempDir, Known)> {
    let root = scratch();
    let mut run = Run::new(root.path(), Known::default(), Doing::default());
    let mut beginnings = Vec::new();
    for operations in STAGES {
        let kept = scratch();
        copy(root.path(), kept.path());
        beginnings.push((kept, run.known.clone()));
        run.stage(operations).expect("nothing fails");
    }
    beginnings
}

/// Goes through each stage once for each of its steps, on a disk on which `fail` has that step fail. Answers how many
/// those were, and how many of them an operation reported.
fn fail_each_step(
    fail: impl Fn(&Run, u64),
    check: impl Fn(Result<(), StorageError>) -> bool,
) -> (usize, usize) {
    let (mut failed, mut reported) = (0, 0);
    for (stage, (begin, known)) in beginnings().iter().enumerate() {
        for step in 0.. {
            let _context = Context(format!("stage {stage}, step {step}"));
            let root = scratch();
            copy(begin.path(), root.path());
            let mut run = Run::new(root.path(), known.clone(), Doing::default());
            fail(&run, step);
            let result = run.stage(STAGES[stage]);
            if run.disk.steps() <= step {
                break;
            }
            failed += 1;
            reported += usize::from(check(result));
            starts_again_and_loses_its_power(&mut run, step);
        }
    }
    (failed, reported)
}

/// The process ends after a failure; it starts again on what the page cache shows, and goes on; then the power goes.
fn starts_again_and_loses_its_power(run: &mut Run, seed: u64) {
    run.disk.mend();
    run.told = node::Told::default();
    let mut node = run.open().expect("it starts again");
    go_on(run, &mut node).expect("the disk is well");
    drop(node);
    run.disk.cut(seed).expect("cut");
    drop(run.open().expect("a power cut damages nothing"));
}

#[test]
fn a_process_that_is_killed_at_any_step_starts_again_and_loses_nothing() {
    // The step at which it is killed has happened; nothing after it has.
    let kill = |run: &Run, step| run.disk.power_fails_at(step);
    let (killed, _) = fail_each_step(kill, |result| result.is_err());
    println!("killed at each of {killed} steps, started again, then cut");
}

#[test]
fn a_step_that_fails_is_reported_and_loses_nothing() {
    let fail = |run: &Run, step| run.disk.fail_at(step, EIO);
    let (failed, reported) = fail_each_step(fail, |result| {
        let error = result.expect_err("a step that failed is reported");
        assert!(error.to_string().contains("os error 5"), "{error}");
        true
    });
    println!("{failed} steps failed one by one, {reported} were reported");
}

#[test]
fn a_disk_that_is_full_from_any_step_on_is_reported_and_loses_nothing() {
    let fail = |run: &Run, step| run.disk.full_from(step);
    let full = std::io::Error::from_raw_os_error(ENOSPC).to_string();
    let (failed, reported) = fail_each_step(fail, |result| match result {
        Ok(()) => false,
        Err(error) => {
            let stopped = matches!(&error, StorageError::Stopped(why) if why.contains(&full));
            assert!(error.is_out_of_space() || stopped, "{error}");
            true
        }
    });
    println!("full from each of {failed} steps on: {reported} times something failed for want of room");
    assert!(reported > 0 && reported < failed, "what needs no room goes on");
}

/// A process that was killed after it had made its directory, and before it had synced the name, found it at its next
/// start and took it for durable; a power cut then took the whole node.
#[test]
fn a_data_directory_whose_name_was_not_synced_is_synced_when_it_is_found() {
    for seed in 0..20 {
        let root = scratch();
        let mut run = Run::new(root.path(), Known::default(), Doing::default());
        std::fs::create_dir(&run.path).expect("made, past the disk");
        run.stage(STAGES[0]).expect("nothing fails");
        run.disk.cut(seed).expect("cut");
        drop(run.open().expect("a power cut damages nothing"));
    }
}
