//! What the tests with real processes share.
//!
//! ```text
//!   cluster   three `lastunit serve` child processes: started, killed, paused, asked
//!   process   one child process: its signals, its end, its last words
//!   program   the binary as a command line: how it ended and what it said
//!   exposition  a strict reader of /metrics
//!   collector   takes spans, and keeps them
//!   http      one call as raw bytes, for what no client would send
//!   shop      a SKU that must not change, whatever is asked
//!   load      buyers that write down every answer, and the checks of what they wrote down
//!   trade     traders that use every command, and books, which hold every node to what they were told
//!   sse       streams of the change feed
//!   netns     network namespaces, so that a link can be cut
//!   mount     file systems of their own, so that power can be cut, and a disk be slow or full
//! ```
//!
//! Invariants:
//! - No node outlives its test: its stdin is a pipe that ends with the test, whatever ends the test.
//! - A process is signalled only where this test started it and has not reaped it.
//! - Whatever is waited for is a condition that is polled, with a bound so generous that only a failure meets it.
//!
//! A test that fails shows each node's last log lines and the seed, which `SEED` takes again.

#![allow(dead_code, reason = "no test needs all of it")]

pub(crate) mod books;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod exposition;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod mount;
pub(crate) mod netns;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod shop;
pub(crate) mod sse;
pub(crate) mod trade;

use std::fmt::Debug;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// How long any condition is waited for: far longer than it takes, on a busy machine in debug mode too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until there is a value, and panics once the patience is over.
pub(crate) async fn wait_for<T>(what: impl Debug, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "still not after {PATIENCE:?}: {what:?}");
        sleep(POLL).await;
    }
}

/// Says something that is to be read of a test that passes, too: the test runner keeps `eprintln!` to itself.
pub(crate) fn say(line: &str) {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Copies a file, or a directory with all that is in it, also while a node runs in it: what goes away meanwhile is
/// left out. The log's seal is copied first, as it must not be newer than the log.
pub(crate) fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        if let Err(why) = fs::copy(from, to) {
            assert_eq!(why.kind(), io::ErrorKind::NotFound, "{}: {why}", from.display());
        }
        return;
    }
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| (entry.file_name() != "seal", entry.file_name()));
    for entry in entries {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// The seed of this run: a new one, or the one that is asked for.
pub(crate) fn seed() -> u64 {
    match std::env::var("SEED") {
        Ok(given) => given.parse().expect("SEED is a number"),
        Err(_) => rand::random(),
    }
}
