//! Replicas that differ though every checksum agrees: the watch finds them, and who differs stops. The audit of all
//! nodes, under load.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test fail as it does")]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use raft::{AuditError, Group, GroupOptions, Member, Verdict};
use support::plant::plant_safety_stock;
use support::{
    PATIENCE, is_won, leader, members, options, put, reserve, shutdown, start, start_all, wait_converged,
    wait_ready,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Digests are compared often, so that no test waits long for the next time.
fn watched(members: &[Member], node_id: u64, directory: &Path) -> GroupOptions {
    let mut options = options(members, node_id, directory);
    options.tuning.digests_every = Duration::from_millis(300);
    options
}

/// Three that agree on a SKU of which there is enough, at work.
async fn start_shop(members: &[Member], directory: &Path) -> Vec<Group> {
    let mut groups = Vec::new();
    for member in members {
        groups.push(start(watched(members, member.id, directory)).await);
    }
    for group in &groups {
        wait_ready(group).await;
    }
    groups[0].submit(put(100_000)).await.unwrap();
    wait_converged(&groups).await;
    groups
}

/// What a node says that stops.
async fn last_words(group: &Group) -> String {
    timeout(PATIENCE, group.fatal()).await.expect("it goes on").to_string()
}

/// The digest that stands before these words.
fn digest_in<'a>(said: &'a str, words: &str) -> &'a str {
    let end = said.find(words).unwrap_or_else(|| panic!("no {words:?} in: {said}"));
    &said[end - 16..end]
}

fn data_dir(directory: &TempDir, node_id: u64) -> std::path::PathBuf {
    directory.path().join(node_id.to_string())
}

/// Comparisons made by these nodes.
fn comparisons(groups: &[Group]) -> u64 {
    groups.iter().map(|group| group.stats().digest_comparisons).sum()
}

/// Waits until digests were compared this many times more, and checks that nobody stops.
async fn compared(groups: &[Group], times: u64) {
    let (since, before) = (Instant::now(), comparisons(groups));
    while comparisons(groups) < before + times {
        assert!(since.elapsed() < PATIENCE, "digests are not compared");
        sleep(Duration::from_millis(50)).await;
    }
    for group in groups {
        assert!(
            timeout(Duration::ZERO, group.fatal()).await.is_err(),
            "a node stops: {}",
            last_words(group).await
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_differs_stops_with_both_digests_in_its_last_words() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_shop(&members, directory.path()).await;
    compared(&groups, 3).await;

    let odd = (leader(&groups).await + 1) % 3;
    groups.remove(odd).shutdown().await.unwrap();
    let id = odd as u64 + 1;
    plant_safety_stock(&data_dir(&directory, id), 3);
    let differing = start(watched(&members, id, directory.path())).await;
    let words = last_words(&differing).await;
    differing.shutdown().await.unwrap();
    let here = digest_in(&words, &format!(" here on node {id}"));
    let others: Vec<_> = (1..=3).filter(|other| *other != id).collect();
    let there: Vec<_> = others.iter().map(|other| digest_in(&words, &format!(" on node {other}"))).collect();
    assert!(there[0] == there[1] && there[0] != here, "{words}");

    // The others go on, and the node is one of them again once its image is made anew.
    assert!(is_won(&groups[0].submit(reserve(1)).await.unwrap()));
    fs::remove_dir_all(data_dir(&directory, id).join("checkpoint")).unwrap();
    groups.insert(odd, start(watched(&members, id, directory.path())).await);
    wait_converged(&groups).await;
    compared(&groups, 3).await;
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_alone_stops_though_it_may_lead() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_shop(&members, directory.path()).await;
    let alone = leader(&groups).await;
    let last = groups.remove(alone);
    shutdown(groups).await;
    let mut others = Vec::new();
    for id in (1..=3).filter(|id| *id != alone as u64 + 1) {
        plant_safety_stock(&data_dir(&directory, id), 3);
        others.push(start(watched(&members, id, directory.path())).await);
    }
    let words = last_words(&last).await;
    assert!(words.contains(&format!("here on node {}", alone + 1)), "{words}");
    last.shutdown().await.unwrap();
    for group in &others {
        wait_ready(group).await;
    }
    compared(&others, 3).await;
    shutdown(others).await;
}

/// A node's own snapshot can be of the differing state. Another node's is the same file that it would be sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_snapshot_differs_too_starts_from_the_one_of_another_node() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_shop(&members, directory.path()).await;
    let odd = (leader(&groups).await + 1) % 3;
    let (id, healthy) = (odd as u64 + 1, (odd as u64 + 1) % 3 + 1);
    groups.remove(odd).shutdown().await.unwrap();
    for cart in 0..300 {
        assert!(is_won(&groups[cart % 2].submit(reserve(cart)).await.unwrap()));
    }
    for differing in ["checkpoint", "snapshots"] {
        fs::remove_dir_all(data_dir(&directory, id).join(differing)).unwrap();
    }
    copy_snapshot(&data_dir(&directory, healthy), &data_dir(&directory, id));
    let back = start(watched(&members, id, directory.path())).await;
    assert!(back.status().applied_index >= Some(100), "it starts from its own log: {:?}", back.status());
    groups.insert(odd, back);
    wait_converged(&groups).await;
    compared(&groups, 3).await;
    shutdown(groups).await;
}

fn copy_snapshot(from: &Path, to: &Path) {
    fs::create_dir(to.join("snapshots")).unwrap();
    let files = fs::read_dir(from.join("snapshots")).unwrap().map(|file| file.unwrap().path());
    let snapshots: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "snap")).collect();
    for path in &snapshots {
        fs::copy(path, to.join("snapshots").join(path.file_name().unwrap())).unwrap();
    }
    assert!(!snapshots.is_empty(), "there is no snapshot to copy");
}

/// A node whose state came in a snapshot is compared like any other, and nobody is suspected wrongly.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_installed_a_snapshot_is_compared_soon() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_shop(&members, directory.path()).await;
    let away = (leader(&groups).await + 1) % 3;
    groups.remove(away).shutdown().await.unwrap();
    for cart in 0..600 {
        groups[cart % 2].submit(reserve(cart)).await.unwrap();
    }
    groups.insert(away, start(watched(&members, away as u64 + 1, directory.path())).await);
    compared(&groups, 12).await;
    wait_converged(&groups).await;
    assert!(groups[away].stats().snapshots_installed > 0, "it was served from the log");
    let audit = groups[away].audit().await.unwrap();
    assert_eq!(audit.verdict(), Verdict::Sound, "{audit:?}");
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_under_load_finds_nothing_and_says_who_does_not_answer() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(100_000)).await.unwrap();
    let buyers: Vec<_> =
        groups.iter().cloned().enumerate().map(|(buyer, group)| tokio::spawn(buy(group, buyer))).collect();
    for round in 0..6 {
        let audit = groups[round % 3].audit().await.unwrap();
        assert_eq!((audit.verdict(), audit.nodes.len()), (Verdict::Sound, 3), "{audit:?}");
        for node in audit.nodes.values().flatten() {
            assert!(node.image.applied_index >= Some(audit.index), "{audit:?}");
            assert_eq!(node.image.audited.on_hand, 100_000, "{audit:?}");
        }
    }
    buyers.iter().for_each(tokio::task::JoinHandle::abort);

    let (one, two) = tokio::join!(groups[0].audit(), groups[0].audit());
    assert_eq!((one.unwrap().verdict(), two.unwrap_err()), (Verdict::Sound, AuditError::Busy));

    let away = (leader(&groups).await + 1) % 3;
    groups.remove(away).shutdown().await.unwrap();
    let audit = groups[0].audit().await.unwrap();
    assert_eq!(audit.verdict(), Verdict::Incomplete, "{audit:?}");
    assert!(audit.nodes[&(away as u64 + 1)].is_err() && audit.agree(), "{audit:?}");
    shutdown(groups).await;
}

/// Reserves until it is aborted.
async fn buy(group: Group, buyer: usize) {
    for cart in 0.. {
        let _ = group.submit(reserve(1_000_000 * (buyer + 1) + cart)).await;
    }
}
