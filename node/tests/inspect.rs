//! `lastunit inspect`: the real binary over directories of real nodes, and over the fixture of the released formats.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use serde_json::Value;
use support::cluster::{Cluster, IDS};
use support::copy;
use support::program::{Ended, program};
use tempfile::TempDir;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../storage/tests/fixtures/v1/data");

impl Ended {
    /// Checks the exit code, that stdout is empty, and that stderr is one line in which these words stand.
    fn refused(&self, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (2, ""), "{self:?}");
        self.said(1, words);
    }

    /// Checks that stderr is so many lines, in the first of which these words stand.
    fn said(&self, lines: usize, words: &[&str]) {
        assert_eq!(self.stderr.lines().count(), lines, "{self:?}");
        let first = self.stderr.lines().next().unwrap();
        assert!(first.starts_with("lastunit: ") && words.iter().all(|word| first.contains(word)), "{self:?}");
    }
}

fn run(arguments: &[&str]) -> Ended {
    Ended::of(program().args(arguments).output().unwrap())
}

fn inspect(dir: &Path, flags: &[&str]) -> Ended {
    run(&[&["inspect", dir.to_str().unwrap()], flags].concat())
}

fn fixture() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    copy(Path::new(FIXTURE), place.path());
    place
}

/// What changes when somebody writes: content and time of change.
type Traces = BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)>;

/// Every name below a directory, and the directory itself.
fn traces(dir: &Path) -> Traces {
    let mut found = Traces::new();
    found.insert(dir.to_path_buf(), (None, fs::metadata(dir).unwrap().modified().unwrap()));
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(traces(&path)),
            false => {
                let modified = fs::metadata(&path).unwrap().modified().unwrap();
                found.insert(path.clone(), (Some(fs::read(&path).unwrap()), modified));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_stopped_node_is_told_whole_and_a_running_one_is_refused() {
    let mut cluster = Cluster::start().await;
    let config = cluster.config();
    let config = config.to_str().unwrap();
    for command in [
        vec!["sku", "set", "PS5", "--on-hand", "10", "--config", config],
        vec!["reserve", "cart-1", "PS5=2", "--key", "key-1", "--config", config],
    ] {
        let ended = run(&command);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let dir = cluster.data_dir(1);
    inspect(&dir, &[]).refused(&["in use by another process", dir.to_str().unwrap()]);
    for id in IDS {
        assert!(cluster.terminate(id).await.success());
    }

    let before = traces(&dir);
    let whole = run(&["inspect", "--config", config, "--node", "1", "--json"]);
    let [report] = &whole.documents()[..] else { panic!("{whole:?}") };
    assert_eq!(
        (whole.code, &report["verdict"], &report["starts"]),
        (0, &"whole".into(), &true.into()),
        "{report:#}"
    );
    let (log, checkpoint) = (&report["log"], &report["checkpoint"]);
    assert_eq!((&report["identity"]["node_id"], &checkpoint["skus"]), (&1.into(), &1.into()), "{report:#}");
    assert_eq!(log["last_group"], log["sealed_group"]);
    assert_eq!(checkpoint["content"]["members"].as_array().unwrap().len(), 3);
    assert_eq!(checkpoint["content"]["digest"].as_str().unwrap().len(), 16);

    let text = inspect(&dir, &[]);
    assert_eq!((text.code, text.stderr.as_str()), (0, ""), "{text:?}");
    assert!(
        text.stdout.starts_with(&format!("{}: whole; a node starts on it\n", dir.display())),
        "{}",
        text.stdout
    );

    let entries = inspect(&dir, &["--entries", "--json"]);
    let entries = entries.documents();
    assert_eq!(entries[0]["kind"], "membership");
    let reserve_in = |entry: &Value| {
        entry["commands"].as_array()?.iter().find(|command| command["op"] == "reserve").cloned()
    };
    let (reserved, reserve) =
        entries.iter().find_map(|entry| Some((entry["index"].as_u64()?, reserve_in(entry)?))).unwrap();
    // Not up to the last entry: what the next leader begins its term with may come while this node stops, too late to
    // be applied.
    assert!(
        checkpoint["content"]["applied"]["index"].as_u64().unwrap() >= reserved,
        "a stop writes the checkpoint: {report:#}"
    );
    assert_eq!((&reserve["cart_id"], &reserve["idempotency_key"]), (&"cart-1".into(), &"key-1".into()));
    assert_eq!((&reserve["items"][0]["sku"], &reserve["items"][0]["qty"]), (&"PS5".into(), &2.into()));
    assert!(traces(&dir) == before, "something was changed");
    cluster.start_all().await;
    cluster.ready(&IDS).await;
}

#[test]
fn the_report_of_a_whole_directory_has_every_part() {
    let dir = fixture();
    let ended = inspect(dir.path(), &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    for line in [
        "  cluster     lastunit-fixture",
        "  entries        24 to 47 (term 2, leader 2), with 23 commands",
        "  purged up to   23",
        "  committed      46",
        "  cluster clock  2026-09-21T14:14:07.000Z",
        "  vote           term 2 for node 2, granted by a quorum",
        "  sealed         to the end: nothing was being written",
        "  image         image-1, whole",
        "  applied       30",
        "  level         1",
        "  SKUs          2",
    ] {
        assert!(ended.stdout.lines().any(|it| it.starts_with(line)), "{line:?} is not in\n{}", ended.stdout);
    }
}

#[test]
fn entries_are_one_a_line_and_a_range_of_them_too() {
    let dir = fixture();
    let all = inspect(dir.path(), &["--entries"]);
    assert_eq!((all.code, all.stdout.lines().count()), (0, 24), "{all:?}");
    assert_eq!(all.stdout.lines().nth(1), Some("25 2 2 - blank"));
    let some = inspect(dir.path(), &["--entries", "--from", "30", "--to", "32"]);
    assert_eq!(some.stdout.lines().map(|line| &line[..2]).collect::<Vec<_>>(), ["30", "31", "32"]);
    assert!(
        some.stdout.starts_with("30 2 2 2026-09-21T14:13:50.000Z reserve cart_id=cart-of-entry-30-"),
        "{some:?}"
    );
    let documents = inspect(dir.path(), &["--entries", "--json", "--from", "30", "--to", "30"]).documents();
    assert_eq!(documents[0]["time"], "2026-09-21T14:13:50.000Z");
    assert_eq!(documents[0]["commands"][0]["items"][0]["sku"], "PS5");
}

#[test]
fn a_range_without_entries_or_from_its_end_is_refused() {
    let dir = fixture();
    for flags in [&["--from", "5"][..], &["--to", "5"]] {
        let ended = inspect(dir.path(), flags);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        assert!(ended.stderr.contains("--entries"), "{ended:?}");
    }
    let ended = inspect(dir.path(), &["--entries", "--from", "32", "--to", "30"]);
    ended.refused(&["--from 32 --to 30", "before"]);
}

/// Not a byte of it is damaged.
#[test]
fn a_directory_that_the_cluster_refused_is_not_called_damaged() {
    let dir = fixture();
    fs::write(dir.path().join("refused"), "this directory was copied\n").unwrap();
    let ended = inspect(dir.path(), &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let first = format!("{}: refused by the cluster; a node refuses to start on it", dir.path().display());
    assert_eq!(ended.stdout.lines().next(), Some(first.as_str()), "{ended:?}");
    assert!(ended.stdout.contains("refused: this directory was copied; "), "{ended:?}");
    ended.said(1, &["refused by the cluster"]);
}

/// `lastunit inspect --entries | head` ends quietly.
#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let dir = fixture();
    let mut command = program();
    command.args(["inspect", dir.path().to_str().unwrap(), "--entries", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_damaged_log_is_told_up_to_the_damage_with_its_place() {
    let dir = fixture();
    let segment = dir.path().join("log/00000003.segment");
    let mut bytes = fs::read(&segment).unwrap();
    // Within the segment's second group, with whole groups behind it.
    bytes[64 + 40 + 148 + 8 + 60] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let before = traces(dir.path());

    let report = inspect(dir.path(), &[]);
    assert_eq!(report.code, 1, "{report:?}");
    report.said(1, &["1 damage found"]);
    assert!(report.stdout.contains(": damaged; a node refuses to start on it"), "{}", report.stdout);
    let line = format!("{} is damaged at offset ", segment.display());
    assert!(report.stdout.contains(&line), "{line:?} is not in\n{}", report.stdout);

    let entries = inspect(dir.path(), &["--entries"]);
    assert_eq!(entries.code, 1);
    entries.said(1, &[&line]);
    let last = entries.stdout.lines().last().and_then(|line| line.split(' ').next()).unwrap();
    assert!(last.parse::<u64>().unwrap() < 47, "{entries:?}");
    assert!(traces(dir.path()) == before, "something was changed");
}

#[test]
fn a_damaged_checkpoint_is_told_and_that_a_start_mends_it() {
    let dir = fixture();
    fs::write(dir.path().join("checkpoint/CURRENT"), "lastunit checkpoint 1 1 00000000\n").unwrap();
    let ended = inspect(dir.path(), &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    for words in [
        ": damaged; a node starts on it",
        "CURRENT is damaged at offset 0",
        "rebuilds it from snapshot and log",
    ] {
        assert!(ended.stdout.contains(words), "{words:?} is not in\n{}", ended.stdout);
    }
}

#[test]
fn what_another_version_wrote_cannot_be_read() {
    let dir = fixture();
    let path = dir.path().join("identity");
    let mut bytes = fs::read(&path).unwrap();
    let body = bytes.len() - 4;
    bytes[8] = 77;
    let crc = crc32(&bytes[..body]);
    bytes[body..].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let ended = inspect(dir.path(), &[]);
    assert_eq!(ended.code, 2, "{ended:?}");
    ended.said(1, &["version 77", "or a newer one"]);
    assert!(ended.stdout.contains("not all of it can be read"), "{}", ended.stdout);
    assert!(ended.stdout.contains("24 to 47"), "the other parts are told: {}", ended.stdout);
}

/// CRC-32 (IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn what_is_no_directory_of_a_node_ends_with_2_and_one_line() {
    let dir = tempfile::tempdir().unwrap();
    inspect(dir.path(), &[]).refused(&["is not the directory of a node", "data_dir"]);
    inspect(&dir.path().join("none"), &[]).refused(&["none", "No such file"]);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    inspect(&file, &[]).refused(&["file"]);
    let config = dir.path().join("none.toml");
    run(&["inspect", "--config", config.to_str().unwrap()]).refused(&["none.toml"]);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster.toml");
    run(&["inspect", "--config", example]).refused(&["which node?", "1, 2, 3"]);
    run(&["inspect", "--config", example, "--node", "9"]).refused(&["no such node", "1, 2, 3"]);
}
