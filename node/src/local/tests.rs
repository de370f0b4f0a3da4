//! Stand-ins for nodes: shell scripts that end, hang or listen to their stdin.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A program that stands for the node's and does as the script says.
fn program(directory: &Path, script: &str) -> PathBuf {
    let path = directory.join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn cluster(script: &str) -> (LocalCluster, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path(), script);
    (LocalCluster::scratch(program, 3, Logs::Hide).unwrap(), directory)
}

#[test]
fn a_scratch_cluster_file_is_toml_with_three_distinct_nodes() {
    let ports = free_ports(6).unwrap();
    let (text, nodes) = cluster_file(Path::new("/tmp/a \"b\""), "events_max = 7\n", &ports);
    let table: toml::Table = text.parse().unwrap();
    let written = table["node"].as_array().unwrap();
    assert_eq!(written.len(), 3);
    assert_eq!(written[2]["data_dir"].as_str(), Some("/tmp/a \"b\"/3"));
    let mut addresses: Vec<_> = written.iter().flat_map(|n| [&n["http"], &n["raft"]]).collect();
    addresses.sort_by_key(|address| address.to_string());
    addresses.dedup();
    assert_eq!(addresses.len(), 6);
    assert_eq!(written[0]["http"].as_str(), Some(nodes[0].http.as_str()));
}

#[tokio::test]
async fn a_node_that_ends_is_told_with_its_last_words() {
    let (mut cluster, _directory) = cluster("echo early >&2; echo 'no such disk' >&2; exit 2");
    cluster.start_all().unwrap();
    let error = cluster.wait_ready(Duration::from_secs(20)).await.unwrap_err();
    let LocalError::Ended { status, last_words, .. } = error else { panic!("{error}") };
    assert_eq!((status.code(), last_words.as_str()), (Some(2), ": no such disk"));
}

#[tokio::test]
async fn nodes_end_at_sigterm() {
    let (mut cluster, _directory) = cluster("trap 'exit 7' TERM; echo up >&2; while :; do sleep 0.05; done");
    cluster.start_all().unwrap();
    for running in cluster.running.values() {
        while running.lines.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let ends = cluster.stop_all(Duration::from_secs(20)).await;
    let codes: Vec<_> = ends.iter().map(|(id, end)| (*id, end.as_ref().unwrap().code())).collect();
    assert_eq!(codes, [(1, Some(7)), (2, Some(7)), (3, Some(7))]);
}

#[tokio::test]
async fn a_node_that_ignores_sigterm_is_killed() {
    let (mut cluster, _directory) = cluster("trap '' TERM; echo up >&2; while :; do sleep 0.05; done");
    cluster.start(2).unwrap();
    while cluster.running[&2].lines.lock().unwrap().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    let ends = cluster.stop_all(Duration::from_millis(50)).await;
    assert_eq!(ends[0].1.as_ref().unwrap().code(), None);
}

#[tokio::test]
async fn the_end_of_stdin_tells_a_node_that_we_are_gone() {
    let (mut cluster, _directory) = cluster("cat >/dev/null; exit 5");
    cluster.start(1).unwrap();
    sleep(Duration::from_millis(20)).await;
    assert!(cluster.ended().await.is_empty(), "stdin is held open");
    let mut running = cluster.running.remove(&1).unwrap();
    drop(running.stdin.take());
    assert_eq!(running.child.wait().await.unwrap().code(), Some(5));
}

#[tokio::test]
async fn one_node_can_be_killed_and_started_again() {
    let (mut cluster, _directory) = cluster("cat >/dev/null");
    cluster.start_all().unwrap();
    cluster.kill(2).await.unwrap();
    assert!(matches!(cluster.kill(2).await, Err(LocalError::NoNode(2))));
    assert!(matches!(cluster.start(4), Err(LocalError::NoNode(4))));
    cluster.start(2).unwrap();
    assert_eq!(cluster.running.len(), 3);
}
