//! A follower whose directory has gone back is kept from its leader, and cannot take it down.
//!
//! The leader counts what a follower has, and openraft holds it for impossible that this ever becomes less: its core
//! would panic. Tests are built with its assertions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use raft::{Group, Role, StopKind};
use storage::disk::RealDisk;
use storage::log::{Log, LogOptions};
use support::{
    PATIENCE, is_won, members, members_of, options, put, reserve, shutdown, start, start_all, wait_converged,
    wait_ready,
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What a directory's older state is made of. Its identity is not: that would tell by its generation.
const STATE: [&str; 3] = ["log", "checkpoint", "snapshots"];

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_put_back_to_an_older_state_is_refused_and_its_leader_goes_on() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(10_000)).await.unwrap();
    let leader = support::leader(&groups).await;
    let (term, victim) = (groups[leader].status().term, (leader + 1) % 3);
    wait_converged(&groups).await;

    // Put back once while the leader has the follower's connections in mind, and once after all were silent.
    for round in 0..2 {
        groups.remove(victim).shutdown().await.unwrap();
        let (own, aside) = (directory.path().join((victim + 1).to_string()), TempDir::new().unwrap());
        copy_state(&own, aside.path());
        groups.insert(victim, start(options(&members, victim as u64 + 1, directory.path())).await);
        wait_ready(&groups[victim]).await;
        for cart in 0..50 {
            assert!(is_won(&groups[leader].submit(reserve(round * 50 + cart)).await.unwrap()));
        }
        wait_converged(&groups).await;
        // Heartbeats tell the leader that what is committed is on the follower's disk.
        sleep(Duration::from_millis(500)).await;
        let newest = TempDir::new().unwrap();
        groups.remove(victim).shutdown().await.unwrap();
        copy_state(&own, newest.path());
        put_back(aside.path(), &own);

        let reverted = start(options(&members, victim as u64 + 1, directory.path())).await;
        let stopped = timeout(PATIENCE, reverted.fatal()).await.expect("it takes part");
        assert_eq!(stopped.kind, StopKind::Refused);
        assert!(stopped.why.contains("this is an older state: it has"), "{stopped}");
        reverted.shutdown().await.unwrap();
        assert_leads(&groups, leader, term, victim).await;

        fs::remove_file(own.join("refused")).unwrap();
        put_back(newest.path(), &own);
        groups.insert(victim, start(options(&members, victim as u64 + 1, directory.path())).await);
        wait_ready(&groups[victim]).await;
        wait_converged(&groups).await;
        assert_eq!(groups[leader].status().term, term);
    }
    shutdown(groups).await;
}

/// Its peers held the next start of a node that had stopped in order off for about a second, since they had just heard
/// from the last one.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_in_order_parts_from_its_peers_and_its_next_start_is_let_in() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_all(&members, directory.path()).await;
    wait_converged(&groups).await;
    let is_gone = |groups: &[Group]| {
        let of_third =
            |group: &Group| group.status().members.into_iter().find(|status| status.member.id == 3);
        groups.iter().all(|group| of_third(group).is_some_and(|status| !status.reachable))
    };
    let mut parted = false;
    // A farewell is not waited for as long as a busy machine may take, so one may get lost.
    for _ in 0..10 {
        groups.remove(2).shutdown().await.unwrap();
        parted = is_gone(&groups);
        groups.push(start(options(&members, 3, directory.path())).await);
        wait_ready(&groups[2]).await;
        if parted {
            break;
        }
    }
    assert!(parted, "its peers still count what it said before as heard");
    wait_converged(&groups).await;
    shutdown(groups).await;
}

/// What was never committed is nothing that the handshake may ask for, and yet the leader has counted it.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lost_what_was_not_committed_does_not_end_its_leader() {
    let directory = TempDir::new().unwrap();
    let members = members_of(5);
    let mut groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(1_000_000)).await.unwrap();
    let leader = support::leader(&groups).await;
    let victim = (leader + 1) % 5;

    // The leader keeps one follower, and so no quorum, while it is written to: what is under way stays uncommitted.
    let led = groups[leader].clone();
    let mut buyers = JoinSet::new();
    (0..8).for_each(|buyer| drop(buyers.spawn(buy(led.clone(), buyer))));
    let gone: Vec<usize> = (0..5).filter(|at| *at != leader && *at != victim).collect();
    join_all(gone.iter().map(|at| groups[*at].shutdown())).await;
    wait("more is replicated than committed", &led, || matched(&led, victim) > led.status().committed_index)
        .await;
    groups[victim].shutdown().await.unwrap();
    let committed = led.status().committed_index;
    truncate(&directory.path().join((victim + 1).to_string()), committed);

    groups[victim] = start(options(&members, victim as u64 + 1, directory.path())).await;
    wait("the follower gets again what it lost", &led, || groups[victim].stats().log.appends > 0).await;
    assert_eq!(led.status().committed_index, committed);
    for at in gone {
        groups[at] = start(options(&members, at as u64 + 1, directory.path())).await;
    }
    buyers.shutdown().await;
    for group in &groups {
        wait_ready(group).await;
    }
    wait_converged(&groups).await;
    drop(led);
    shutdown(groups).await;
}

/// Reserves one cart after the other, whatever the answers.
async fn buy(group: Group, buyer: usize) {
    for cart in 0.. {
        let _ = group.submit(reserve(buyer * 1_000_000 + cart)).await;
    }
}

/// Waits until it is so, while the leader goes on.
async fn wait(what: &str, leader: &Group, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(timeout(Duration::ZERO, leader.fatal()).await.is_err(), "the leader stops");
        assert!(since.elapsed() < PATIENCE, "still not: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Takes from a stopped node's log what was not committed.
fn truncate(data_dir: &Path, committed: Option<u64>) {
    let options = LogOptions { group: 0, segment_bytes: 32 << 20, cache_bytes: 1 << 20 };
    let log = Log::open(Arc::new(RealDisk), &data_dir.join("log"), options).unwrap();
    assert!(log.state().last.map(|last| last.index) > committed, "nothing of it was on disk");
    let (sender, flushed) = mpsc::channel();
    log.truncate_after(committed, Box::new(move |result| sender.send(result).unwrap())).unwrap();
    flushed.recv().unwrap().unwrap();
    log.close();
}

/// The last entry that a leader knows to be on a follower's disk.
fn matched(leader: &Group, follower: usize) -> Option<u64> {
    leader.status().members[follower].matched_index
}

/// The leader is the one of that term, serves with the rest, and nothing has stopped.
async fn assert_leads(groups: &[Group], leader: usize, term: u64, gone: usize) {
    // One is taken out of the list: those behind it have moved up.
    let at = leader - usize::from(gone < leader);
    let status = groups[at].status();
    assert_eq!(status.term, term);
    let own = status.members.iter().find(|member| member.role == Role::Leader).expect("somebody leads");
    assert_eq!(own.member.id, leader as u64 + 1);
    groups[at].submit(support::adjust(1)).await.unwrap();
    for group in groups {
        assert!(timeout(Duration::ZERO, group.fatal()).await.is_err(), "a node has stopped");
    }
}

fn copy_state(from: &Path, to: &Path) {
    for name in STATE {
        copy(&from.join(name), &to.join(name));
    }
}

/// Puts a state back in the place of another one; the identity stays.
fn put_back(from: &Path, to: &Path) {
    for name in STATE {
        fs::remove_dir_all(to.join(name)).unwrap();
    }
    copy_state(from, to);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
