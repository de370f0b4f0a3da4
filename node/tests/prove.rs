//! `lastunit prove`, as a user runs it: every kind of fault, the record of it, and a verdict that a lie does not pass.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use support::program::{Ended, program};
use support::{seed, wait_for};

/// Every kind.
const KINDS: [&str; 13] = [
    "all",
    "clock",
    "disk",
    "flap",
    "halfopen",
    "kill",
    "membership",
    "oneway",
    "partition",
    "pause",
    "reorder",
    "restart",
    "slow",
];

/// Runs `lastunit prove` with these arguments to its end.
fn prove(arguments: &[&str]) -> Ended {
    Ended::of(program().arg("prove").args(arguments).stdin(Stdio::null()).output().unwrap())
}

fn records(history: &Path) -> Vec<Value> {
    let text = fs::read_to_string(history).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn check(history: &Path) -> Ended {
    prove(&["--check", history.to_str().unwrap()])
}

#[test]
fn every_kind_of_fault_fires_and_no_promise_is_broken_but_a_lie_is_caught() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("report");
    let seed = seed().to_string();
    let flags = ["--seconds", "25", "--clients", "6", "--seed", &seed, "--report", dir.to_str().unwrap()];
    let ended = prove(&flags);
    assert_eq!(ended.code, 0, "SEED={seed}\n{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(&format!("--seed {seed}")), "{}", ended.stdout);

    let history = dir.join("history.ndjson");
    let records = records(&history);
    let fired = records.iter().filter(|record| record["kind"] == "fault" && record["fired"] == true);
    let fired: BTreeSet<&str> = fired.filter_map(|fault| fault["fault"].as_str()).collect();
    assert_eq!(fired, BTreeSet::from(KINDS), "SEED={seed}");
    assert_eq!(records.iter().filter(|record| record["kind"] == "final").count(), 3);
    assert!(fs::read_to_string(dir.join("report.html")).unwrap().starts_with("<!doctype html>"));
    for id in 1..=3 {
        assert!(fs::read_to_string(dir.join(format!("node-{id}.log"))).unwrap().contains("serving"));
    }
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 6, "the data of a run that passed are gone: {left:?}");

    assert_eq!(check(&history).code, 0, "SEED={seed}: checked again");
    let lie = scratch.path().join("lie.ndjson");
    fs::write(&lie, spoiled(records)).unwrap();
    let caught = check(&lie);
    assert_eq!(caught.code, 1, "SEED={seed}\n{}", caught.stdout);
    assert!(caught.stdout.contains("VIOLATED"), "{}", caught.stdout);
}

/// The same record, but a node has forgotten a sale.
fn spoiled(mut records: Vec<Value>) -> String {
    let last = records.iter_mut().rfind(|record| record["kind"] == "final").unwrap();
    let reservations = last["reservations"].as_array_mut().unwrap();
    let sold = reservations.iter().position(|one| one["state"] == "committed").expect("something was sold");
    reservations.remove(sold);
    records.iter().map(|record| format!("{record}\n")).collect()
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (arguments, code, told) in [
        (["--faults", "flood"], 2, "`flood` is none of kill, pause"),
        (["--nodes", "4"], 2, "3 or 5"),
        (["--check", "/nowhere/history.ndjson"], 3, "/nowhere/history.ndjson: No such file"),
    ] {
        let ended = prove(&arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(told), "{arguments:?}: {}", ended.stderr);
    }
    let scratch = tempfile::tempdir().unwrap();
    let nonsense = scratch.path().join("history.ndjson");
    fs::write(&nonsense, "{\"kind\":\"call\"}\n").unwrap();
    assert_eq!(check(&nonsense).code, 3);
}

/// A node that is paused at that moment would not see the end of its pipe.
#[tokio::test]
async fn an_interrupted_run_leaves_no_process() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("report");
    let arguments = ["prove", "--faults", "pause", "--seconds", "600", "--report", dir.to_str().unwrap()];
    let mut command = program();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for("a paused node", async || processes(&dir).into_iter().find(|(_, is_paused)| *is_paused)).await;
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(processes(&dir), []);
}

/// The nodes that work in that directory: their command lines, and whether each is stopped by a signal.
fn processes(dir: &Path) -> Vec<(String, bool)> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| node(&entry.ok()?.path()));
    all.filter(|(line, _)| line.contains(dir.to_str().unwrap())).collect()
}

fn node(process: &Path) -> Option<(String, bool)> {
    let line = String::from_utf8_lossy(&fs::read(process.join("cmdline")).ok()?).replace('\0', " ");
    let is_paused = fs::read_to_string(process.join("stat")).ok()?.contains(") T ");
    line.contains(" serve ").then_some((line, is_paused))
}
