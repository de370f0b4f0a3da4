//! Files that rot while their node runs. (Those of a stopped one: `raft/src/rot`.)

mod support;

use std::os::unix::fs::FileExt;

use support::{
    PATIENCE, is_won, leader, members, options, put, reserve, shutdown, start, start_all, wait_converged,
};
use tempfile::TempDir;

/// Enough to leave the log of a stopped follower behind, with snapshots every 100 entries.
const CARTS: usize = 600;

/// The leader once sent it again and again, and was refused each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_rots_under_its_node_stops_it_and_is_built_anew() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(10_000)).await.unwrap();
    let led = leader(&groups).await;
    let away = (led + 1) % 3;
    groups[away].shutdown().await.unwrap();
    for cart in 0..CARTS {
        assert!(is_won(&groups[led].submit(reserve(cart)).await.unwrap()));
    }
    let folder = directory.path().join((led + 1).to_string()).join("snapshots");
    let snapshot = the_only_file(&folder).await;
    let file = std::fs::File::options().write(true).open(&snapshot).unwrap();
    file.write_all_at(b"rot", file.metadata().unwrap().len() / 2).unwrap();

    groups[away] = start(options(&members, away as u64 + 1, directory.path())).await;
    let stopped = tokio::time::timeout(PATIENCE, groups[led].fatal()).await.expect("it stops");
    let line = stopped.to_string();
    assert!(line.contains(snapshot.to_str().unwrap()) && line.contains("is damaged at offset"), "{line}");

    groups[led].shutdown().await.unwrap();
    groups[led] = start(options(&members, led as u64 + 1, directory.path())).await;
    wait_converged(&groups).await;
    shutdown(groups).await;
}

/// The snapshot, once none is being built beside it.
#[expect(clippy::unwrap_used, reason = "a helper of a test fails as it does")]
async fn the_only_file(folder: &std::path::Path) -> std::path::PathBuf {
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        if let [only] = &files[..]
            && only.extension().is_some_and(|it| it == "snap")
        {
            return only.clone();
        }
    }
}
