//! File systems of a test's own: ext4 in an image file, on a loop device.
//!
//! ```text
//!   image file -- loop device -- ext4 -- mount point: a node's data_dir, with lost+found in it
//!
//!   cut        the power is gone: whatever is written from now on fails, what had not reached the device is lost
//!   restore    the power is back: unmounted and mounted again, which replays the journal
//!   freeze     a disk that takes its time: whoever writes hangs until it is thawed
//!   fill       a ballast in lost+found takes all room but so many bytes
//! ```
//!
//! It needs root, loop devices and Debian's mount, e2fsprogs, util-linux and python3. [`Mount::new`] says what is
//! missing, so that a test can say that it is skipped.
//!
//! Invariants:
//! - Nothing stays mounted or frozen behind a test, whatever ends it: a shell holds the other end of a pipe, and
//!   cleans up when it ends.
//! - Nothing stays frozen for longer than was allowed: a process that waits for a frozen file system cannot be killed.
//!
//! What is absent: a disk's own volatile cache. What reached the device is there after a cut, in the order in which
//! the kernel wrote it; that any part of it may be missing is simulated under `storage`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::marker::PhantomData;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, on each file system that is named.
const CUT: &str = "import fcntl, os, struct, sys
places = [os.open(place, os.O_RDONLY) for place in sys.argv[1:]]
for place in places:
    fcntl.ioctl(place, 0x8004587D, struct.pack('I', 2))";

/// Waits for the end of the test, then removes the file system. Lazily: a node may still be about to end.
const CLEAN_UP: &str = r#"cat >/dev/null; umount -q -l "$0/mnt"; rm -rf "$0""#;

/// Freezes, and thaws when the test says so, ends, or takes too long.
const FREEZE: &str = r#"fsfreeze -f "$0" && echo frozen && timeout "$1" cat >/dev/null; fsfreeze -u "$0""#;

/// A mounted file system; unmounted and removed when dropped. Nobody may use it any more by then.
pub(crate) struct Mount {
    image: PathBuf,
    point: PathBuf,
    cleaner: Child,
}

/// A frozen file system; thawed when dropped.
pub(crate) struct Frozen<'a> {
    freezer: Child,
    mount: PhantomData<&'a Mount>,
}

impl Mount {
    /// A new file system on a device of so many bytes, mounted; or why there cannot be one.
    pub(crate) fn new(bytes: u64) -> Result<Mount, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting needs root".to_owned());
        }
        let directory = tempfile::Builder::new().prefix("lastunit-mount-").tempdir().unwrap().keep();
        let cleaner = shell(CLEAN_UP, &directory, Duration::ZERO)?;
        let mount = Mount { image: directory.join("image"), point: directory.join("mnt"), cleaner };
        std::fs::create_dir(&mount.point).unwrap();
        File::create(&mount.image).unwrap().set_len(bytes).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-b", "4096", "-m", "0"]).arg(&mount.image))?;
        mount.mount()?;
        Ok(mount)
    }

    /// One for each node of a cluster.
    pub(crate) fn three(bytes: u64) -> Result<[Mount; 3], String> {
        Ok([Mount::new(bytes)?, Mount::new(bytes)?, Mount::new(bytes)?])
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.point
    }

    /// Cuts the power of all of these at once. Their processes live on and find that nothing can be written.
    pub(crate) fn cut<'a>(mounts: impl IntoIterator<Item = &'a Mount>) {
        let points = mounts.into_iter().map(Mount::path);
        run(Command::new("python3").arg("-c").arg(CUT).args(points)).unwrap();
    }

    /// Brings the power back. Nobody may use it: whoever did was killed and waited for.
    pub(crate) fn restore(&self) {
        run(Command::new("umount").arg(&self.point)).unwrap();
        self.mount().unwrap();
    }

    /// Lets whoever writes wait from now on, until the answer is dropped, but no longer than `time_max`.
    pub(crate) fn freeze(&self, time_max: Duration) -> Frozen<'_> {
        let mut freezer = shell(FREEZE, &self.point, time_max).unwrap();
        let mut told = String::new();
        BufReader::new(freezer.stdout.take().unwrap()).read_line(&mut told).unwrap();
        let frozen = Frozen { freezer, mount: PhantomData };
        assert_eq!(told, "frozen\n", "{} could not be frozen", self.point.display());
        frozen
    }

    /// How many bytes are free.
    pub(crate) fn free_bytes(&self) -> u64 {
        let room = statvfs(&self.point).unwrap();
        room.f_bavail * room.f_frsize
    }

    /// Takes all room but so many bytes.
    pub(crate) fn fill(&self, left: u64) {
        let ballast = File::options().append(true).create(true).open(self.ballast()).unwrap();
        let (taken, more) = (ballast.metadata().unwrap().len(), self.free_bytes().saturating_sub(left));
        if more > 0 {
            fallocate(&ballast, FallocateFlags::empty(), taken, more).unwrap();
        }
    }

    /// Gives back what [`Mount::fill`] took.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    /// Where a node takes no notice of it.
    fn ballast(&self) -> PathBuf {
        self.point.join("lost+found/ballast")
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop,noatime"]).arg(&self.image).arg(&self.point))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        end(&mut self.cleaner);
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        end(&mut self.freezer);
    }
}

/// A shell that outlives this process for as long as it needs, and learns of its end by the end of its stdin.
fn shell(script: &str, place: &Path, time_max: Duration) -> Result<Child, String> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(place).arg(time_max.as_secs_f64().to_string()).process_group(0);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(|error| format!("`sh` cannot be run: {error}"))
}

/// Lets a shell finish, and waits for it.
fn end(shell: &mut Child) {
    drop(shell.stdin.take());
    // It is a drop that asks, and nothing can be done about a shell that cannot be waited for.
    let _ = shell.wait();
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
