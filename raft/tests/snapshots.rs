//! A follower that was away for longer than the log reaches back is brought up by a snapshot, under load and while
//! leadership moves; a node that lost its directory takes part in nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use support::{
    PATIENCE, is_won, leader, members, options, put, reserve, shutdown, start, start_all,
    submit_until_answered, wait_converged,
};
use tempfile::TempDir;

/// Enough to leave the log of a stopped follower behind, with snapshots every 100 entries.
const CARTS: usize = 600;

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_is_brought_up_by_a_snapshot() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(10_000)).await.unwrap();
    let away = (leader(&groups).await + 1) % 3;
    let gone = groups.remove(away);
    gone.shutdown().await.unwrap();
    for cart in 0..CARTS {
        assert!(is_won(&groups[cart % 2].submit(reserve(cart)).await.unwrap()));
    }
    groups.push(start(options(&members, away as u64 + 1, directory.path())).await);
    wait_converged(&groups).await;
    assert!(groups[2].stats().snapshots_installed > 0, "it was served from the log");
    shutdown(groups).await;
}

/// How many entries the next test's follower misses; `ENTRIES=1000000` for a million.
const ENTRIES_MISSED: u64 = 15_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_down_for_a_million_entries_catches_up() {
    let missed = std::env::var("ENTRIES").map_or(ENTRIES_MISSED, |given| given.parse().expect("a number"));
    let memory = std::path::Path::new("/dev/shm");
    let directory = if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() };
    let members = members();
    // So few that the log alone does not serve it.
    let snapshot_entries = raft::Tuning::default().snapshot_entries.min(missed / 3);
    let tuned = |id| raft::GroupOptions {
        tuning: raft::Tuning { snapshot_entries, ..raft::Tuning::default() },
        ..options(&members, id, directory.path())
    };
    let mut groups = Vec::new();
    for member in &members {
        groups.push(start(tuned(member.id)).await);
    }
    for group in &groups {
        support::wait_ready(group).await;
    }
    groups[0].submit(put(0)).await.unwrap();
    let away = (leader(&groups).await + 1) % 3;
    groups.remove(away).shutdown().await.unwrap();
    let (since, enough) = (Instant::now(), groups[0].status().applied_index.unwrap() + missed);
    write_entries(&groups, enough).await;
    let (wrote, memory_before, back_at) = (since.elapsed(), memory_peak_kib(), Instant::now());
    groups.push(start(tuned(away as u64 + 1)).await);
    while groups[2].status().applied_index < Some(enough) {
        assert!(back_at.elapsed() < 20 * PATIENCE, "it does not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (caught_up, installed) = (back_at.elapsed(), groups[2].stats().snapshots_installed);
    wait_converged(&groups).await;
    assert!(installed > 0, "it was served from the log");
    eprintln!(
        "{missed} entries written in {wrote:?}, caught up with in {caught_up:?} by {installed} snapshots; peak memory \
         of all three {memory_before} KiB before, {} KiB after",
        memory_peak_kib()
    );
    shutdown(groups).await;
}

/// Writes entries of one command each until the last one applied has that index.
async fn write_entries(groups: &[raft::Group], enough: u64) {
    let mut writers = tokio::task::JoinSet::new();
    for at in 0..8 {
        let group = groups[at % groups.len()].clone();
        writers.spawn(async move {
            while group.status().applied_index < Some(enough) {
                submit_until_answered(&group, support::adjust(1)).await;
            }
        });
    }
    writers.join_all().await;
}

/// The most memory that this process has had at once, in KiB.
fn memory_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_installed_while_leaders_change_and_load_goes_on() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(1_000_000)).await.unwrap();
    let mut cart = 0;
    for _round in 0..6 {
        // The leader goes, the others write past the reach of its log, it comes back while they write on.
        let gone = leader(&groups).await;
        let id = groups[gone].status().leader_id.unwrap();
        groups.remove(gone).shutdown().await.unwrap();
        cart = write(&groups, cart, 300).await;
        let returning = start(options(&members, id, directory.path())).await;
        cart = write(&groups, cart, 200).await;
        groups.insert(gone, returning);
        wait_converged(&groups).await;
    }
    let read = groups[1].read(|inventory| inventory.stock(&support::sku())).await.unwrap();
    assert_eq!(read.value.unwrap().held, cart as u64);
    shutdown(groups).await;
}

/// Reserves for `count` new carts, many at a time; every one is acknowledged. Answers the next cart's number.
async fn write(groups: &[raft::Group], first: usize, count: usize) -> usize {
    for chunk in (first..first + count).collect::<Vec<_>>().chunks(4) {
        let mut tries = tokio::task::JoinSet::new();
        for &cart in chunk {
            let group = groups[cart % groups.len()].clone();
            tries.spawn(async move { is_won(&submit_until_answered(&group, reserve(cart)).await) });
        }
        assert!(tries.join_all().await.into_iter().all(|won| won));
    }
    first + count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_directory_takes_part_in_nothing() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(10)).await.unwrap();
    for lost in 0..3 {
        groups.remove(lost).shutdown().await.unwrap();
        let elsewhere = TempDir::new().unwrap();
        let empty = start(options(&members, lost as u64 + 1, elsewhere.path())).await;
        let why =
            tokio::time::timeout(PATIENCE, empty.fatal()).await.expect("it goes on with an empty directory");
        assert!(why.why.contains("directory"), "{why}");
        assert_eq!(why.kind, raft::StopKind::Refused);
        empty.shutdown().await.unwrap();
        // Its own directory put back, it is a member again.
        groups.insert(lost, start(options(&members, lost as u64 + 1, directory.path())).await);
        support::wait_ready(&groups[lost]).await;
        wait_converged(&groups).await;
    }
    shutdown(groups).await;
}
