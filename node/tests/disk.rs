//! Disks that fail and disks that hang, each node's on a file system of its own.
//!
//! It needs root and loop devices; without them it says so and tests nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use support::mount::Mount;
use support::{PATIENCE, say};

/// How large a device of these tests is.
const DEVICE_BYTES: u64 = 64 << 20;

/// The other tests are worth what this one finds.
#[test]
fn a_cut_forgets_what_was_not_synced_a_frozen_disk_waits_and_a_full_one_refuses() {
    let mount = match Mount::new(DEVICE_BYTES) {
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
