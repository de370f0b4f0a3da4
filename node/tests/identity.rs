//! Directories that are not what they were: each is refused with one line, or is fine; the others serve all the while,
//! and once the right directory is back all nodes agree.
//!
//! These are the drills of docs/operations.md. The line that an operator sees there is the line that is said here:
//! each test compares what was said with its drill.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use client::api::PutSkuRequest;
use support::cluster::{Cluster, free_ports, others};
use support::copy;
use support::process::{Lines, Process};
use tempfile::TempDir;

/// Where the drills are written down.
const OPERATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");

/// What the operator can mend.
const MENDABLE: i32 = 2;
/// What the node failed at.
const FAILED: i32 = 1;

/// A cluster that sells lamps, and a scratch directory beside it.
struct Drill {
    cluster: Cluster,
    scratch: TempDir,
    lamps: u64,
}

impl Drill {
    async fn start() -> Drill {
        let scratch = tempfile::tempdir().unwrap();
        let mut drill = Drill { cluster: Cluster::start().await, scratch, lamps: 0 };
        drill.sell().await;
        drill
    }

    /// One more acknowledged write, through any node that serves.
    async fn sell(&mut self) {
        self.lamps += 1;
        let request = PutSkuRequest {
            on_hand: self.lamps,
            safety_stock: None,
            max_per_customer: None,
            on_shortfall: None,
        };
        self.cluster.client().put_sku("LAMP", &request).await.unwrap();
    }

    /// A follower, and the term of its leader.
    async fn follower(&self) -> (u64, u64) {
        let leader = self.cluster.leader().await;
        (others(leader)[0], self.cluster.view(leader).await.unwrap().term)
    }

    /// A place in the scratch directory.
    fn place(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A copy of a node's directory as it is, whether or not the node runs.
    fn copy_of(&self, id: u64, name: &str) -> PathBuf {
        let place = self.place(name);
        copy(&self.cluster.data_dir(id), &place);
        place
    }

    /// Puts a copy in the place of a node's directory; answers where that is now.
    fn put_back(&self, from: &Path, id: u64) -> PathBuf {
        let (own, aside) = (self.cluster.data_dir(id), self.place("aside"));
        fs::rename(&own, &aside).unwrap();
        copy(from, &own);
        aside
    }

    /// Makes a node's directory what it was again.
    fn mend(&self, aside: &Path, id: u64) {
        let own = self.cluster.data_dir(id);
        fs::remove_dir_all(&own).unwrap();
        fs::rename(aside, own).unwrap();
    }

    /// The cluster file with other addresses and this directory for one node.
    fn elsewhere(&self, id: u64, data_dir: &Path) -> PathBuf {
        let text = fs::read_to_string(self.cluster.config()).unwrap();
        let ports = free_ports(2);
        let mut changed = text.replace(self.cluster.http(id), &format!("127.0.0.1:{}", ports[0]));
        changed = changed.replace(self.cluster.raft(id), &format!("127.0.0.1:{}", ports[1]));
        let own = format!("{:?}", self.cluster.data_dir(id));
        assert!(changed.contains(&own));
        let place = self.place("elsewhere.toml");
        fs::write(&place, changed.replace(&own, &format!("{data_dir:?}"))).unwrap();
        place
    }

    /// Runs a node that is refused, to its end: its exit code and its last line are those of the drill.
    async fn refused(&mut self, drill: &str, config: &Path, id: u64, code: i32) -> String {
        let lines = Lines::default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastunit"));
        command.args(["serve", "--exit-with-stdin", "--node", &id.to_string(), "--config"]).arg(config);
        let status = Process::start(command, &lines).wait(drill).await;
        let said = lines.text();
        assert_eq!(status.code(), Some(code), "{said}");
        let last = said.lines().last().unwrap().trim().to_owned();
        let lines = lines_of(drill);
        assert!(lines.iter().any(|line| is_of(line, &last)), "{last}\nis none of the drill's:\n{lines:#?}");
        // The others have served meanwhile.
        self.sell().await;
        last
    }

    /// As [`Drill::refused`], from the cluster's own file.
    async fn refused_here(&mut self, drill: &str, id: u64) -> String {
        let config = self.cluster.config();
        self.refused(drill, &config, id, MENDABLE).await
    }

    /// All nodes serve, have what was acknowledged, and agree; where nothing happened to the leader there was no
    /// election.
    async fn agrees(&mut self, term: Option<u64>) {
        self.cluster.start_all().await;
        self.sell().await;
        for id in [1, 2, 3] {
            let lamps = self.cluster.only(id).sku("LAMP").await.unwrap().value;
            assert_eq!(lamps.on_hand, self.lamps, "node {id}");
        }
        self.cluster.check_digests().await;
        if let Some(term) = term {
            assert_eq!(self.cluster.view(1).await.unwrap().term, term, "there was an election");
        }
    }

    async fn stop(&mut self, id: u64) {
        assert!(self.cluster.terminate(id).await.success());
    }
}

/// The lines that a drill says are seen.
fn lines_of(drill: &str) -> Vec<String> {
    let text = fs::read_to_string(OPERATIONS).unwrap();
    let from = text.split_once(&format!("#### {drill}\n")).unwrap_or_else(|| panic!("no drill {drill:?}")).1;
    let of = from.split("\n#").next().unwrap();
    of.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

/// Whether a line is what a drill says, where each word in capitals stands for something else.
fn is_of(said_to_be: &str, line: &str) -> bool {
    let is_name = |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let mut parts = vec![String::new()];
    for word in said_to_be.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_name(bare) {
            parts.push(String::new());
        }
        let rest = if is_name(bare) { &word[bare.len()..] } else { word };
        parts.last_mut().unwrap().push_str(rest);
    }
    let Some(mut left) = line.strip_prefix(&parts[0]) else { return false };
    for part in &parts[1..parts.len() - 1] {
        match left.split_once(part.as_str()) {
            Some((_, behind)) => left = behind,
            None => return false,
        }
    }
    parts.len() == 1 && left.is_empty() || parts.len() > 1 && left.ends_with(&parts[parts.len() - 1])
}

#[test]
fn a_line_of_a_drill_stands_for_its_names_alone() {
    let line = "lastunit: node ID stops: DIR: has COUNT entries";
    assert!(is_of(line, "lastunit: node 2 stops: /data/2: has 7 entries"));
    assert!(is_of("FILE: gone", "/data/2/log: gone"));
    for other in [
        "lastunit: node 2 stops: /data/2: has 7 entries more",
        "lastunit: node 2 stops: has 7 entries",
        "node 2 stops: /data/2: has 7 entries",
    ] {
        assert!(!is_of(line, other), "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_directory() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    let second = drill.elsewhere(id, &drill.cluster.data_dir(id));
    drill.refused("A second process on one directory", &second, id, MENDABLE).await;
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_runs_while_the_original_does() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    let copy = drill.copy_of(id, "copy");
    let elsewhere = drill.elsewhere(id, &copy);
    drill.refused("A copy runs while the original does", &elsewhere, id, MENDABLE).await;
    let again = drill.refused("A copy runs while the original does", &elsewhere, id, MENDABLE).await;
    assert!(again.contains("copy/refused: another process runs"), "{again}");
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_started_after_the_original_ran_again() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    drill.stop(id).await;
    let copy = drill.copy_of(id, "copy");
    for _ in 0..2 {
        drill.agrees(Some(term)).await;
        drill.stop(id).await;
    }
    let elsewhere = drill.elsewhere(id, &copy);
    let name = "A copy is started after the original ran again";
    drill.refused(name, &elsewhere, id, MENDABLE).await;
    // However often it is started.
    for _ in 0..3 {
        drill.refused(name, &elsewhere, id, MENDABLE).await;
    }
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_stopped_node_is_put_back() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    drill.stop(id).await;
    let backup = drill.copy_of(id, "backup");
    drill.agrees(Some(term)).await;
    drill.stop(id).await;
    let newest = drill.put_back(&backup, id);
    drill.refused_here("A copy of a stopped node is put back", id).await;
    drill.refused_here("A copy of a stopped node is put back", id).await;
    drill.mend(&newest, id);
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_follower_is_put_back() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    put_back_while_more_was_acknowledged(&mut drill, id).await;
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_leader_is_put_back() {
    let mut drill = Drill::start().await;
    let leader = drill.cluster.leader().await;
    put_back_while_more_was_acknowledged(&mut drill, leader).await;
    drill.agrees(None).await;
}

async fn put_back_while_more_was_acknowledged(drill: &mut Drill, id: u64) {
    let backup = drill.copy_of(id, "backup");
    for _ in 0..20 {
        drill.sell().await;
    }
    drill.stop(id).await;
    let newest = drill.put_back(&backup, id);
    drill.refused_here("A copy of a running node is put back", id).await;
    drill.refused_here("A copy of a running node is put back", id).await;
    drill.mend(&newest, id);
}

/// What the others remember is on their disks.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_put_back_while_all_are_stopped() {
    let mut drill = Drill::start().await;
    let (id, _) = drill.follower().await;
    let backup = drill.copy_of(id, "backup");
    for _ in 0..20 {
        drill.sell().await;
    }
    for one in [1, 2, 3] {
        drill.stop(one).await;
    }
    let newest = drill.put_back(&backup, id);
    others(id).into_iter().for_each(|other| drill.cluster.spawn(other));
    drill.cluster.ready(&others(id)).await;
    drill.refused_here("A copy of a running node is put back", id).await;
    drill.mend(&newest, id);
    drill.agrees(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_empty() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    drill.stop(id).await;
    let empty = drill.place("empty");
    fs::create_dir(&empty).unwrap();
    let newest = drill.put_back(&empty, id);
    drill.refused_here("A directory is empty", id).await;
    drill.mend(&newest, id);
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_cluster_of_the_same_name() {
    let scratch = tempfile::tempdir().unwrap();
    let theirs = {
        let mut other = Cluster::start().await;
        assert!(other.terminate(2).await.success());
        copy(&other.data_dir(2), &scratch.path().join("theirs"));
        scratch.path().join("theirs")
    };
    let mut drill = Drill::start().await;
    drill.stop(2).await;
    let own = drill.put_back(&theirs, 2);
    drill.refused_here("A directory of another cluster of the same name", 2).await;
    drill.mend(&own, 2);
    drill.agrees(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_name_or_id() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    drill.stop(id).await;
    let text = fs::read_to_string(drill.cluster.config()).unwrap();
    let renamed = drill.place("renamed.toml");
    fs::write(&renamed, text.replace("name = \"lastunit-test\"", "name = \"lastunit-prod\"")).unwrap();
    drill.refused("A directory of another name or id", &renamed, id, MENDABLE).await;
    let (mixed_up, other) = (drill.copy_of(id, "mixed-up"), others(id)[0]);
    let moved = drill.elsewhere(other, &mixed_up);
    drill.refused("A directory of another name or id", &moved, other, MENDABLE).await;
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_gone() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    drill.stop(id).await;
    let backup = drill.copy_of(id, "backup");
    for lost in [&["log"][..], &["log", "checkpoint"], &["log", "checkpoint", "snapshots"]] {
        let whole = drill.put_back(&backup, id);
        for name in lost {
            fs::remove_dir_all(drill.cluster.data_dir(id).join(name)).unwrap();
        }
        drill.refused_here("The log is gone", id).await;
        drill.mend(&whole, id);
    }
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_is_gone() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    drill.stop(id).await;
    let (own, aside) = (drill.cluster.data_dir(id).join("identity"), drill.place("identity"));
    fs::rename(&own, &aside).unwrap();
    drill.refused_here("The identity is gone", id).await;
    fs::rename(&aside, &own).unwrap();
    drill.agrees(Some(term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_the_peers_is_gone_or_damaged() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    drill.stop(id).await;
    let (peers, config) = (drill.cluster.data_dir(id).join("peers"), drill.cluster.config());
    let mut bytes = fs::read(&peers).unwrap();
    bytes[20] ^= 1;
    fs::write(&peers, bytes).unwrap();
    drill.refused("What is known of the peers is damaged", &config, id, FAILED).await;
    fs::remove_file(&peers).unwrap();
    drill.agrees(Some(term)).await;
    assert!(peers.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_a_mount_point() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    // As new as any: another cluster's first start, with what mkfs leaves in it.
    let scratch = tempfile::tempdir().unwrap();
    let mut fresh = fs::read_to_string(drill.cluster.config()).unwrap();
    for (port, node) in free_ports(6).chunks_exact(2).zip([1, 2, 3]) {
        let mounted = scratch.path().join(node.to_string());
        fs::create_dir_all(mounted.join("lost+found")).unwrap();
        fresh = fresh.replace(drill.cluster.http(node), &format!("127.0.0.1:{}", port[0]));
        fresh = fresh.replace(drill.cluster.raft(node), &format!("127.0.0.1:{}", port[1]));
        let own = format!("{:?}", drill.cluster.data_dir(node));
        fresh = fresh.replace(&own, &format!("{mounted:?}"));
    }
    let config = scratch.path().join("cluster.toml");
    fs::write(&config, fresh).unwrap();
    let mut nodes: Vec<Process> = [1, 2, 3].map(|node: u64| start(&config, node)).into();
    support::wait_for("the mounted ones have formed a cluster", async || {
        assert!(nodes.iter_mut().all(|node| node.ended().is_none()), "a mount point is refused");
        (1..=3).all(|node| scratch.path().join(format!("{node}/log/seal")).exists()).then_some(())
    })
    .await;
    drop(nodes);
    // And one that is used already, by whoever runs fsck.
    drill.stop(id).await;
    fs::create_dir(drill.cluster.data_dir(id).join("lost+found")).unwrap();
    drill.agrees(Some(term)).await;
}

fn start(config: &Path, id: u64) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastunit"));
    command.args(["serve", "--exit-with-stdin", "--node", &id.to_string(), "--config"]).arg(config);
    Process::start(command, &Lines::default())
}

/// The process before was heard from a moment ago: that alone is no reason to refuse its node for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_and_started_at_once_again_and_again_takes_part() {
    let mut drill = Drill::start().await;
    let (id, term) = drill.follower().await;
    for _ in 0..5 {
        drill.cluster.kill(id);
        drill.cluster.spawn(id);
        drill.sell().await;
        drill.cluster.ready(&[id]).await;
    }
    // Killed before anybody has heard of the start.
    for _ in 0..5 {
        drill.cluster.kill(id);
        drill.cluster.spawn(id);
    }
    drill.cluster.ready(&[id]).await;
    drill.agrees(Some(term)).await;
    for _ in 0..3 {
        drill.cluster.kill_all();
        drill.cluster.start_all().await;
        drill.agrees(None).await;
    }
}
