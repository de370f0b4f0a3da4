//! Directories, seeds, and saying which case failed.

use std::fs;
use std::path::Path;

use storage::snapshot::Snapshot;
use tempfile::TempDir;

/// A new directory; in memory where there is such a file system.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a scratch directory")
}

/// Copies what is in a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("made");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// All bytes of a snapshot.
pub(crate) fn whole(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = vec![0; snapshot.len() as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += snapshot.read_at(&mut bytes[filled..], filled as u64).expect("read");
    }
    bytes
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Says which case it was when a test fails.
pub(crate) struct Context(pub(crate) String);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("failed with {}", self.0);
        }
    }
}
