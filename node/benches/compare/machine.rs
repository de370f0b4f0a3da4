//! This machine: what it is, what one fdatasync costs on it, and how much processor time a process has taken.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How many of the system's ticks are a second: what Linux tells all programs on every processor we know.
const TICKS_A_SECOND: f64 = 100.0;

/// How often [`fdatasync_ms`] writes and syncs.
const SYNCS: usize = 200;

/// What one record takes in the file that is synced, in bytes: about what a reserve takes in a log.
const RECORD_BYTES: usize = 200;

/// The processor time that a process and its ended children have taken, in seconds. A rewrite of an append-only file is
/// such a child.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program, in brackets, may have spaces; the figures follow it.
    let (_, figures) = text.rsplit_once(')').unwrap();
    let ticks = figures.split_whitespace().skip(11).take(4).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

/// Has the system write what it holds back, so that nobody pays for whoever ran before.
pub(crate) fn settle() {
    rustix::fs::sync();
}

/// Half of the fdatasyncs after a short append took no longer, in milliseconds, in the directory of all servers.
pub(crate) fn fdatasync_ms() -> f64 {
    let mut file = tempfile::tempfile().unwrap();
    let mut took: Vec<Duration> = (0..SYNCS)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[1; RECORD_BYTES]).unwrap();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[SYNCS / 2].as_secs_f64() * 1e3
}

/// Lines about the machine and the versions, for the head of a report.
pub(crate) fn lines() -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processor = field("/proc/cpuinfo", "model name");
    let home = file_system(&std::env::temp_dir());
    vec![
        format!("{}, {}, commit {}", today(), told("rustc", &["--version"]), commit()),
        format!("{cores} cores ({processor}), {} of memory, Linux {}", memory(), kernel.trim()),
        format!("servers, load and files on this machine, the files on {home}"),
    ]
}

fn today() -> String {
    jiff::Timestamp::now().to_string().chars().take("2026-11-22".len()).collect()
}

/// The commit of this tree, and whether anything differs from it.
fn commit() -> String {
    told("git", &["describe", "--always", "--abbrev=12", "--dirty"])
}

fn memory() -> String {
    let told = field("/proc/meminfo", "MemTotal");
    let kib = told.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok());
    kib.map_or(told.clone(), |kib| format!("{:.0} GiB", kib / f64::from(1 << 20)))
}

/// What a program says, or that it says nothing.
fn told(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text =
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

/// What follows a name and a colon in one of the system's files.
fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, told)| told.trim()).to_owned()
}

/// The kind of file system that a directory is on.
fn file_system(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let entries = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let home = entries.filter(|(place, _)| directory.starts_with(place)).max_by_key(|(place, _)| place.len());
    home.map_or("an unknown file system", |(_, kind)| kind).to_owned()
}
