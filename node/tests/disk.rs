//! A disk that fails and a disk that hangs, under load over all nodes: each node's is a file system of its own.
//!
//! It needs root and loop devices; without them it says so and tests nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use client::Client;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use support::books::Books;
use support::cluster::{Cluster, IDS, free_places};
use support::mount::Mount;
use support::trade::{self, Line, Trade};
use support::{PATIENCE, say, seed, wait_for};

/// How large a node's device is: room for all segments of its log.
const DEVICE_BYTES: u64 = 512 << 20;

/// How many operations are answered before a fault, and again after it.
const OPERATIONS: usize = 100;

/// How long a disk hangs.
const HANGS: Duration = Duration::from_secs(5);

/// How long a node whose disk has failed may take to its end.
const END_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a node is waited for before another one is asked: a trader that waited for as long as the disk hangs
/// would tell nothing of the others.
const TRY_TIME_MAX: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_fsync_fails_ends_at_once_and_nothing_is_lost() {
    with_cluster(async |cluster, mounts, books| {
        let leader = cluster.leader().await;
        fails(cluster, mounts, books, leader).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_fsync_fails_ends_at_once_and_nothing_is_lost() {
    with_cluster(async |cluster, mounts, books| {
        let follower = cluster.followers().await[0];
        fails(cluster, mounts, books, follower).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_followers_disk_hangs_the_others_go_on() {
    with_cluster(async |cluster, mounts, books| {
        let follower = cluster.followers().await[0];
        hangs(cluster, mounts, books, follower).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_leaders_disk_hangs_the_others_go_on() {
    with_cluster(async |cluster, mounts, books| {
        let leader = cluster.leader().await;
        hangs(cluster, mounts, books, leader).await;
    })
    .await;
}

/// One test at a time: each takes three loop devices.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Runs a test on a cluster whose nodes have a device each, then checks all that was acknowledged.
async fn with_cluster(test: impl AsyncFnOnce(&mut Cluster, &[Mount; 3], &mut Books)) {
    let _alone = ALONE.lock().await;
    let mounts = match Mount::three(DEVICE_BYTES) {
        Ok(mounts) => mounts,
        Err(why) => return say(&format!("SKIPPED, nothing was tested: {why}")),
    };
    let data_dirs = mounts.iter().map(|mount| mount.path().to_owned()).collect();
    let mut cluster = Cluster::start_in(seed(), free_places(), trade::LIMITS, data_dirs).await;
    let mut books = Books::open(&cluster).await;
    test(&mut cluster, &mounts, &mut books).await;
    books.check_all(&cluster, &IDS).await;
}

/// One node's device fails for good; the others go on, and the node comes back with a device that is whole.
async fn fails(cluster: &mut Cluster, mounts: &[Mount; 3], books: &mut Books, id: u64) {
    let mount = &mounts[id as usize - 1];
    let trade = Trade::start(&trader(cluster), "fails", seed(), PATIENCE / 4);
    more(&trade).await;
    block_in_place(|| Mount::cut([mount]));
    let took = end_after_failure(cluster, id).await;
    more(&trade).await;
    cluster.spawn(id);
    ended_by_its_disk(cluster, id, "does not start: ").await;
    block_in_place(|| mount.restore());
    cluster.start_all().await;
    more(&trade).await;
    books.add(trade.stop().await);
    say(&format!("node {id} ended {} ms after its disk had failed it", took.as_millis()));
}

/// Waits until the node has ended, and answers how long it took from the failure that it noticed.
async fn end_after_failure(cluster: &mut Cluster, id: u64) -> Duration {
    ended_by_its_disk(cluster, id, "stops: ").await;
    let (ended, said) = (Timestamp::now(), cluster.said(id));
    let took = ended.duration_since(noticed(&said)).unsigned_abs();
    assert!(took <= END_TIME_MAX, "it took {took:?}: {said}");
    took
}

/// The node ends with 1, and its last line names the file.
async fn ended_by_its_disk(cluster: &mut Cluster, id: u64, how: &str) {
    let status = cluster.ended(id).await;
    let said = cluster.said(id);
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    let data_dir = format!("{}/", cluster.data_dir(id).display());
    let names = [&format!("lastunit: node {id} {how}"), &data_dir, "Input/output error"];
    assert!(names.iter().all(|name| last.contains(name)), "{said}");
}

/// When the first failure was logged.
fn noticed(said: &str) -> Timestamp {
    let mut errors = said.lines().filter(|line| line.contains("ERROR"));
    let line = errors.find(|line| line.contains("Input/output error"));
    let line = line.unwrap_or_else(|| panic!("no ERROR line says that the disk failed: {said}"));
    let time = line.split_whitespace().next().and_then(|time| time.parse().ok());
    time.unwrap_or_else(|| panic!("no time begins the line: {line}"))
}

/// One node's device hangs for some seconds; something is acknowledged in each but the first and the last, in
/// which it is begun and ended; then the node goes on.
async fn hangs(cluster: &mut Cluster, mounts: &[Mount; 3], books: &mut Books, id: u64) {
    let trade = Trade::start(&trader(cluster), "hangs", seed(), PATIENCE / 4);
    more(&trade).await;
    let frozen = block_in_place(|| mounts[id as usize - 1].freeze(PATIENCE));
    let begun = Instant::now();
    sleep(HANGS).await;
    assert!(cluster.said(id).contains("the disk hangs"), "{}", cluster.said(id));
    block_in_place(|| drop(frozen));
    more(&trade).await;
    wait_for("the node notes it", async || cluster.said(id).contains("goes on").then_some(())).await;
    cluster.ready(&IDS).await;
    let lines = trade.stop().await;
    let counts = answers_in_each_second(&lines, begun);
    books.add(lines);
    say(&format!("answers in each second while the disk of node {id} hung: {counts:?}"));
    let whole = &counts[1..counts.len() - 1];
    assert!(whole.iter().all(|&count| count > 0), "{counts:?}");
}

fn answers_in_each_second(lines: &[Line], begun: Instant) -> Vec<usize> {
    let mut counts = vec![0; HANGS.as_secs() as usize];
    for (_, answered) in lines.iter().filter_map(|line| line.answer.as_ref()) {
        let second = answered.checked_duration_since(begun).map(|after| after.as_secs() as usize);
        if let Some(count) = second.and_then(|second| counts.get_mut(second)) {
            *count += 1;
        }
    }
    counts
}

/// Waits until more operations are answered.
async fn more(trade: &Trade) {
    let enough = trade.answered() + OPERATIONS;
    wait_for("more is answered", async || (trade.answered() >= enough).then_some(())).await;
}

/// A client that soon asks another node.
fn trader(cluster: &Cluster) -> Client {
    Client::builder().try_time_max(TRY_TIME_MAX).build(IDS.map(|id| cluster.http(id))).unwrap()
}

/// How large a device of the test below is.
const SMALL_BYTES: u64 = 64 << 20;

/// The other tests are worth what this one finds.
#[test]
fn a_cut_forgets_what_was_not_synced_a_frozen_disk_waits_and_a_full_one_refuses() {
    let mount = match Mount::new(SMALL_BYTES) {
        Ok(mount) => mount,
        Err(why) => return say(&format!("SKIPPED, nothing was tested: {why}")),
    };
    // The kernel may write back at any moment, but not always at the wrong one.
    assert!((0..20).any(|_| forgets(&mount)), "no cut loses anything");
    waits(&mount);
    refuses(&mount);
}

/// What was synced is there after a cut. Answers whether what was not is gone.
fn forgets(mount: &Mount) -> bool {
    let (kept, lost) = (mount.path().join("kept"), mount.path().join("lost"));
    fs::write(&kept, "kept").unwrap();
    File::open(&kept).unwrap().sync_all().unwrap();
    File::open(mount.path()).unwrap().sync_all().unwrap();
    fs::write(&lost, "lost").unwrap();
    Mount::cut([mount]);
    assert!(fs::write(mount.path().join("more"), "").is_err());
    mount.restore();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
    let gone = !lost.exists();
    fs::remove_file(kept).unwrap();
    gone
}

fn waits(mount: &Mount) {
    let frozen = mount.freeze(PATIENCE);
    let late = mount.path().join("late");
    let writer = thread::spawn(move || fs::write(late, "late"));
    thread::sleep(Duration::from_millis(100));
    assert!(!writer.is_finished());
    drop(frozen);
    writer.join().unwrap().unwrap();
}

fn refuses(mount: &Mount) {
    mount.fill(100_000);
    assert!(mount.free_bytes() <= 100_000, "{}", mount.free_bytes());
    let large = mount.path().join("large");
    assert!(fs::write(&large, vec![0; 200_000]).is_err());
    mount.make_room();
    fs::write(&large, vec![0; 200_000]).unwrap();
}
