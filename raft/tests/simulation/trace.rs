//! What happened, line by line: a hash of all of it, and its end to read.

use std::collections::VecDeque;

/// So many lines are kept to be read.
const LINES: usize = 120;

/// See the module.
#[derive(Default)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    lines: VecDeque<String>,
    /// The directory of this run, which has another name in each: words about files in it do not follow from the seed.
    directory: String,
    /// Whether all of it goes to stderr: `TRACE=1`.
    is_told: bool,
}

impl Trace {
    /// A trace of a run in that directory.
    pub(crate) fn new(directory: String) -> Trace {
        Trace { directory, is_told: std::env::var_os("TRACE").is_some(), ..Trace::default() }
    }

    /// Notes something that is to be read.
    pub(crate) fn line(&mut self, now_ms: u64, text: &str) {
        self.event(now_ms, text.as_bytes());
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>7}.{:03} s  {text}", now_ms / 1_000, now_ms % 1_000));
    }

    /// Notes something that happens too often to be read.
    pub(crate) fn event(&mut self, now_ms: u64, bytes: &[u8]) {
        self.events += 1;
        // Two runs have directories of their own, and new files have numbers that go on from one run to the next.
        let same = if self.tells_where(bytes) { &[] } else { bytes };
        let (length, checksum) = (same.len() as u64, u64::from(crc32fast::hash(same)));
        // To find where two runs of one seed part.
        if self.is_told {
            eprintln!("{now_ms} {} {checksum:08x} {}", bytes.len(), bytes.escape_ascii());
        }
        for word in [now_ms, length, checksum] {
            // FNV-1a (Fowler, Noll and Vo), by words.
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    fn tells_where(&self, bytes: &[u8]) -> bool {
        let directory = self.directory.as_bytes();
        bytes.contains(&b'/') && bytes.windows(directory.len()).any(|window| window == directory)
    }

    /// How many things happened, and the hash over all of them in their order.
    pub(crate) fn hash(&self) -> (u64, u64) {
        (self.events, self.hash)
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
