//! Files of a real node that are damaged while it is stopped: what it says, what its operator does, and how it comes
//! back. Each test is a drill of docs/operations.md, "Damaged files".
//!
//! What damage is found, and where, is tested file by file in `raft/src/rot`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use support::cluster::{Cluster, Place, free_places};
use support::load::{Ledger, Load};
use support::{copy, seed, wait_for};

/// Enough for several segments of a log, a purge and a snapshot, at the paces below.
const CALLS: usize = 300;

/// What the nodes are started through, so that their files are many and small.
const PACES: [&str; 3] = ["env", "LASTUNIT_SNAPSHOT_ENTRIES=40", "LASTUNIT_SEGMENT_BYTES=8192"];

/// The node whose files are damaged.
const NODE: u64 = 2;

/// It failed; starting it again changes nothing.
const FAILED: i32 = 1;
/// The operator can mend it.
const REFUSED: i32 = 2;

/// A cluster that has served, with one node stopped in order, and a copy of its directory.
struct Drill {
    cluster: Cluster,
    ledger: Ledger,
    kept: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Drill {
    /// With the paces above.
    async fn begin() -> Drill {
        let mut drill = Drill::begin_running(&PACES).await;
        drill.stop().await;
        drill
    }

    /// The node is not stopped yet.
    async fn begin_running(launcher: &[&str]) -> Drill {
        let mut places: Vec<Place> = free_places();
        let launcher: Vec<String> = launcher.iter().map(|&word| word.to_owned()).collect();
        places.iter_mut().for_each(|place| place.launcher.clone_from(&launcher));
        let cluster = Cluster::start_at(seed(), places).await;
        let mut ledger = Ledger::default();
        load(&cluster, &mut ledger).await;
        let scratch = tempfile::tempdir().unwrap();
        Drill { cluster, ledger, kept: scratch.path().join("kept"), _scratch: scratch }
    }

    async fn stop(&mut self) {
        assert_eq!(self.cluster.terminate(NODE).await.code(), Some(0));
        copy(&self.cluster.data_dir(NODE), &self.kept);
    }

    /// A path in the stopped node's directory.
    fn path(&self, name: &str) -> PathBuf {
        self.cluster.data_dir(NODE).join(name)
    }

    /// Starts the node, which must end by itself with that code, and say these words in its last line.
    async fn is_refused(&mut self, code: i32, words: &[&str]) {
        self.cluster.spawn(NODE);
        let status = self.cluster.ended(NODE).await;
        let said = self.cluster.said(NODE);
        let line = said.lines().rfind(|line| line.contains("lastunit:")).expect("a last word");
        assert_eq!(status.code(), Some(code), "{line}");
        words.iter().for_each(|word| assert!(line.contains(word), "no {word:?} in: {line}"));
        assert!(!said.contains("panicked at"), "{said}");
    }

    /// Puts a file or directory back as it was when the node was stopped.
    fn put_back(&self, name: &str) {
        let (from, to) = (self.kept.join(name), self.path(name));
        if to.is_dir() {
            fs::remove_dir_all(&to).unwrap();
        }
        copy(&from, &to);
    }

    /// Starts the node; it comes back, and so does all that was ever acknowledged, also while it was away.
    async fn comes_back(&mut self) {
        self.cluster.start_all().await;
        self.goes_on().await;
        let said = self.cluster.said(NODE);
        assert!(!said.contains("panicked at"), "{said}");
    }

    async fn goes_on(&mut self) {
        load(&self.cluster, &mut self.ledger).await;
        self.ledger.check(&self.cluster).await;
    }

    /// Waits until the node has said this.
    async fn says(&self, words: &str) {
        wait_for(words, async || self.cluster.said(NODE).contains(words).then_some(())).await;
    }

    /// The files of the stopped node's directory that are called so.
    fn files(&self, folder: &str, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
        files.sort();
        files
    }
}

async fn load(cluster: &Cluster, ledger: &mut Ledger) {
    let load = Load::start(cluster, ledger).await;
    load.more(CALLS).await;
    load.stop(ledger).await;
}

/// Turns one byte of a file into another.
fn damage(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_identity_is_refused_until_it_is_put_back() {
    let mut drill = Drill::begin().await;
    let path = drill.path("identity");
    damage(&path, 20);
    let words = [path.to_str().unwrap(), "is damaged at offset 0", "put a copy of this very file back"];
    drill.is_refused(FAILED, &words).await;
    drill.put_back("identity");
    drill.comes_back().await;
}

/// The node is left as it is at first: the others serve without it. Then its log is put back from that very stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_refused_and_the_others_go_on() {
    let mut drill = Drill::begin().await;
    let newest = newest_segment(&drill);
    damage(&newest, 100);
    let words =
        [newest.to_str().unwrap(), "is damaged at offset", "leave this node stopped, the others go on"];
    drill.is_refused(FAILED, &words).await;
    load(&drill.cluster, &mut drill.ledger).await;
    drill.put_back("log");
    drill.comes_back().await;
}

/// The segment file with entries that was written to last.
fn newest_segment(drill: &Drill) -> PathBuf {
    drill.files("log", ".segment").into_iter().max_by_key(|path| use_number(path)).unwrap()
}

/// Which use of a segment's file this is, counted over the whole log: 0 where it was made ahead and never used.
fn use_number(segment: &Path) -> u64 {
    let mut bytes = [0; 8];
    // A file that is being made has no bytes yet.
    let read = File::open(segment).and_then(|file| file.read_exact_at(&mut bytes, 24));
    if read.is_ok() { u64::from_le_bytes(bytes) } else { u64::MAX }
}

/// Nothing is purged in this one, so that what was made ahead is not one that had been used before.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_which_only_an_unused_file_is_left_is_refused_until_it_is_put_back() {
    let mut drill = Drill::begin_running(&[]).await;
    let is_spare = |path: &PathBuf| path.extension().is_some() && use_number(path) == 0;
    let is_there = async || drill.files("log", ".segment").iter().any(is_spare).then_some(());
    wait_for("a segment is made ahead", is_there).await;
    drill.stop().await;
    let files = drill.files("log", "");
    let (spares, used): (Vec<_>, Vec<_>) = files.into_iter().partition(is_spare);
    assert!(!spares.is_empty(), "{used:?}");
    used.iter().for_each(|path| fs::remove_file(path).unwrap());
    let log = drill.path("log");
    let words =
        [log.to_str().unwrap(), "no file is left that the log was ever written to", "put the log back"];
    drill.is_refused(REFUSED, &words).await;
    drill.put_back("log");
    drill.comes_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_segment_is_refused_until_it_is_put_back() {
    let mut drill = Drill::begin().await;
    fs::remove_file(newest_segment(&drill)).unwrap();
    let log = drill.path("log");
    drill.is_refused(REFUSED, &[log.to_str().unwrap(), "of the log is missing", "put its file back"]).await;
    drill.put_back("log");
    drill.comes_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_seal_is_refused_until_it_is_put_back() {
    let mut drill = Drill::begin().await;
    fs::remove_file(drill.path("log/seal")).unwrap();
    let seal = drill.path("log/seal");
    drill.is_refused(REFUSED, &[seal.to_str().unwrap(), "is missing", "put the file back"]).await;
    drill.put_back("log/seal");
    drill.comes_back().await;
}

/// Nobody has to do anything: snapshot and log make a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_is_rebuilt() {
    let mut drill = Drill::begin().await;
    let image = drill.files("checkpoint", "").into_iter().find(|path| path.is_dir()).unwrap();
    let db = image.join("db");
    let length = fs::metadata(&db).unwrap().len();
    (0..length.min(64 << 10)).step_by(512).for_each(|offset| damage(&db, offset));
    drill.cluster.spawn(NODE);
    drill.says("the checkpoint is rebuilt").await;
    drill.comes_back().await;
    assert!(!image.exists(), "{}", image.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_checkpoint_is_rebuilt() {
    let mut drill = Drill::begin().await;
    fs::remove_dir_all(drill.path("checkpoint")).unwrap();
    drill.comes_back().await;
}

/// Nobody has to do anything, but to look at the file that was set aside, and to remove it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_beside_a_whole_checkpoint_is_set_aside_and_built_anew() {
    let mut drill = Drill::begin().await;
    let snapshot = drill.files("snapshots", ".snap").pop().unwrap();
    damage(&snapshot, 200);
    let damaged = fs::read(&snapshot).unwrap();
    drill.cluster.spawn(NODE);
    drill.says("a damaged snapshot is not needed").await;
    drill.comes_back().await;
    let aside = drill.files("snapshots", ".snap.damaged");
    assert_eq!(fs::read(&aside[0]).unwrap(), damaged);
    let is_there = async || (!drill.files("snapshots", ".snap").is_empty()).then_some(());
    wait_for("a new snapshot is there", is_there).await;
}

/// Both images are gone: what the log no longer has is lost to this node.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_without_a_checkpoint_is_refused_until_either_is_put_back() {
    let mut drill = Drill::begin().await;
    fs::remove_dir_all(drill.path("checkpoint")).unwrap();
    let snapshot = drill.files("snapshots", ".snap").pop().unwrap();
    damage(&snapshot, 200);
    let words = [snapshot.to_str().unwrap(), "is damaged at offset", "move it away and start again"];
    drill.is_refused(FAILED, &words).await;
    fs::rename(&snapshot, drill.path("moved-away")).unwrap();
    let words = ["the log begins after entry", "put the checkpoint or a snapshot back"];
    drill.is_refused(REFUSED, &words).await;
    drill.put_back("snapshots");
    drill.comes_back().await;
}
