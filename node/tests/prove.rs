//! `lastunit prove`, as a user runs it: every kind of fault, the record of it, and a verdict that a lie does not pass.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use support::program::{Ended, program};
use support::{say, seed, wait_for};

/// The kinds that every run has.
const KINDS: [&str; 16] = [
    "all",
    "backup",
    "clock",
    "disk",
    "flap",
    "halfopen",
    "kill",
    "oneway",
    "partition",
    "pause",
    "reorder",
    "replace",
    "restart",
    "slow",
    "tokens",
    "transfer",
];

/// What an operator does, of these.
const OPERATIONS: [&str; 5] = ["backup", "replace", "restart", "tokens", "transfer"];

/// Of these each run has one, by its seed: they take longest, and have tests of their own.
const BY_TURNS: [&str; 3] = ["certs", "grow", "membership"];

/// The run shows too little: it is no failure of what it looked at.
const UNKNOWN: i32 = 4;

/// Whoever runs a cluster: several at once take each other's time.
static CLUSTER: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    CLUSTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `lastunit prove` with these arguments to its end. What its nodes are to log is not for its caller to say.
fn prove(arguments: &[&str]) -> Ended {
    let mut command = program();
    command.arg("prove").args(arguments).env("LASTUNIT_LOG", "error").stdin(Stdio::null());
    Ended::of(command.output().unwrap())
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
    let _alone = alone();
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("report");
    let seed = seed();
    let kinds = kinds(seed);
    let (seed, faults) = (seed.to_string(), kinds.join(","));
    let flags = ["--secure", "--faults", &faults, "--seconds", "60", "--clients", "6", "--seed", &seed];
    let ended = prove(&[&flags[..], &["--report", dir.to_str().unwrap()]].concat());
    let history = dir.join("history.ndjson");
    let (told, failed) = (&ended.stdout, &ended.stderr);
    assert!(
        [0, UNKNOWN].contains(&ended.code),
        "SEED={seed}\n{told}\n{failed}\n{}",
        evidence(&history, told)
    );
    assert!(told.contains(&format!("--seed {seed}")), "{told}");

    let records = records(&history);
    assert_eq!(records.last().unwrap()["kind"], "end", "SEED={seed}");
    assert_eq!(records.iter().filter(|record| record["kind"] == "final").count(), 3);
    assert!(fs::read_to_string(dir.join("report.html")).unwrap().starts_with("<!doctype html>"));
    for id in 1..=3 {
        assert!(fs::read_to_string(dir.join(format!("node-{id}.log"))).unwrap().contains("serving"));
    }
    match ended.code {
        // A machine that is too slow for it is none of lastunit's failures.
        UNKNOWN => showed_most_operations(&records, &kinds, &seed, &ended.stdout),
        _ => showed_everything(&dir, &records, &kinds, &seed),
    }

    assert_eq!(check(&history).code, ended.code, "SEED={seed}: checked again");
    let cut_off = scratch.path().join("cut-off.ndjson");
    let text = fs::read_to_string(&history).unwrap();
    fs::write(&cut_off, &text[..text.len() - 5]).unwrap();
    assert_eq!(check(&cut_off).code, UNKNOWN, "SEED={seed}: without its end");
    let lie = scratch.path().join("lie.ndjson");
    fs::write(&lie, spoiled(records)).unwrap();
    let caught = check(&lie);
    assert_eq!(caught.code, 1, "SEED={seed}\n{}", caught.stdout);
    assert!(caught.stdout.contains("VIOLATED"), "{}", caught.stdout);
}

/// The faults, and the calls around those that are accused, as they were recorded: the record goes with the test, and
/// no second run is like it.
fn evidence(history: &Path, told: &str) -> String {
    let accused =
        told.lines().skip_while(|line| !line.starts_with("VIOLATED")).take_while(|line| !line.is_empty());
    let words = accused
        .flat_map(|line| line.split(|c: char| !c.is_ascii_digit()))
        .filter_map(|word| word.parse().ok());
    let numbers: Vec<u64> = words.collect();
    let is_near = |id: u64| numbers.iter().any(|number| number.abs_diff(id) <= 8);
    let text = fs::read_to_string(history).unwrap_or_default();
    let lines = text.lines().filter(|line| match serde_json::from_str::<Value>(line) {
        Ok(record) if record["kind"] == "call" => record["id"].as_u64().is_some_and(is_near),
        Ok(record) => record["kind"] == "fault",
        Err(_) => false,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Those of a run.
fn kinds(seed: u64) -> Vec<&'static str> {
    let turn = BY_TURNS[(seed % BY_TURNS.len() as u64) as usize];
    KINDS.into_iter().chain([turn]).collect()
}

/// What an operator does needs no luck, but for a transfer or a backup beside another fault, and a node that must have
/// caught up to lead.
fn showed_most_operations(records: &[Value], kinds: &[&str], seed: &str, told: &str) {
    say(&format!("SEED={seed}: this run showed too little: {told}"));
    let is_operation = |kind: &&&str| OPERATIONS.contains(kind) || BY_TURNS.contains(kind);
    let operations: BTreeSet<&str> = kinds.iter().filter(is_operation).copied().collect();
    let fired: BTreeSet<&str> = fired(records).intersection(&operations).copied().collect();
    assert!(fired.len() * 2 > operations.len(), "SEED={seed}: only {fired:?} of {operations:?}");
}

/// The kinds of which there is evidence.
fn fired(records: &[Value]) -> BTreeSet<&str> {
    let fired = records.iter().filter(|record| record["kind"] == "fault" && record["fired"] == true);
    fired.filter_map(|fault| fault["fault"].as_str()).collect()
}

fn showed_everything(dir: &Path, records: &[Value], kinds: &[&str], seed: &str) {
    let fired = fired(records);
    assert_eq!(fired, BTreeSet::from_iter(kinds.iter().copied()), "SEED={seed}");
    let left: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 7, "the data of a run that passed are gone: {left:?}");
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

/// A node that failed by itself is a violation, also where the run was broken off then, and where its page cannot be
/// written.
#[test]
fn a_record_that_was_broken_off_after_a_failure_is_a_violation() {
    let scratch = tempfile::tempdir().unwrap();
    let run = json!({
        "kind": "run", "format": 1, "version": "0", "seed": 1, "command": "lastunit prove", "nodes": [1, 2, 3],
        "clients": 1, "seconds": 1, "faults": [], "started_at": "2026-01-01T00:00:00.000Z", "settings": {},
    });
    let failure = json!({
        "kind": "fault", "from_us": 7, "until_us": 7, "fault": "failure", "detail": "node 3 ended by itself",
        "fired": true,
    });
    let history = scratch.path().join("history.ndjson");
    fs::write(&history, format!("{run}\n")).unwrap();
    assert_eq!(check(&history).code, UNKNOWN);
    fs::write(&history, format!("{run}\n{failure}\n{{\"kind\":\"ca")).unwrap();
    fs::remove_file(scratch.path().join("report.html")).unwrap();
    fs::create_dir(scratch.path().join("report.html")).unwrap();
    let checked = check(&history);
    assert_eq!(checked.code, 1, "{}\n{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("node 3 ended by itself"), "{}", checked.stdout);
    assert!(checked.stderr.contains("cannot write"), "{}", checked.stderr);
}

/// A node that is paused at that moment would not see the end of its pipe.
#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "nothing else runs in this test's runtime")]
async fn an_interrupted_run_leaves_no_process() {
    let _alone = alone();
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
