//! Every damage that is done, and to which file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;

/// One bit is flipped in each so many bytes.
const FLIP_EVERY: u64 = 512;
/// What is zeroed at once.
const PAGE_BYTES: u64 = 4_096;
/// Where a file has no records that this test knows, its tail is cut at each of so many bytes.
const TAIL_BYTES: u64 = 100;

/// What is done to a file or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Damage {
    /// One bit is another one.
    Flip { offset: u64, bit: u8 },
    /// These bytes are zero.
    Zero(Range<u64>),
    /// The file ends here.
    Cut(u64),
    /// It is gone, with all that is in it.
    Delete,
    /// It is the only file that is left in its directory.
    Alone,
}

/// A damage, and what it is done to, from the node's directory on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) path: PathBuf,
    pub(super) damage: Damage,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.path.display(), self.damage)
    }
}

/// The files below a directory, from there on, sorted.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(directory.join(&folder)).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The directories below a directory, from there on.
fn folders(directory: &Path) -> Vec<PathBuf> {
    let files = files(directory);
    let above = files.iter().flat_map(|file| file.ancestors().skip(1).map(Path::to_path_buf));
    let mut folders: Vec<PathBuf> = above.filter(|folder| !folder.as_os_str().is_empty()).collect();
    folders.sort();
    folders.dedup();
    folders
}

/// Every damage to every file, the loss of every directory, and of all files of the log but one.
///
/// Where a file holds the log's last records, its tail is cut, and zeroed up to where they end, at each of their bytes.
pub(super) fn all(directory: &Path, last_payloads: &[Vec<u8>], rng: &mut StdRng) -> Vec<Case> {
    let mut cases = Vec::new();
    for path in files(directory) {
        let bytes = fs::read(directory.join(&path)).expect("a file");
        let damages = to_file(&bytes, last_payloads, rng);
        cases.extend(damages.into_iter().map(|damage| Case { path: path.clone(), damage }));
    }
    cases.extend(folders(directory).into_iter().map(|path| Case { path, damage: Damage::Delete }));
    let of_log = files(directory).into_iter().filter(|path| path.starts_with("log"));
    cases.extend(of_log.map(|path| Case { path, damage: Damage::Alone }));
    cases
}

fn to_file(bytes: &[u8], last_payloads: &[Vec<u8>], rng: &mut StdRng) -> Vec<Damage> {
    let length = bytes.len() as u64;
    let mut damages = vec![Damage::Delete];
    for from in (0..length).step_by(FLIP_EVERY as usize) {
        let offset = rng.random_range(from..length.min(from + FLIP_EVERY));
        damages.push(Damage::Flip { offset, bit: rng.random_range(0..8) });
    }
    for from in (0..length).step_by(PAGE_BYTES as usize) {
        damages.push(Damage::Zero(from..length.min(from + PAGE_BYTES)));
        damages.push(Damage::Cut(from));
    }
    let tail = match last_records(bytes, last_payloads) {
        Some(records) => {
            damages.extend(records.clone().map(|from| Damage::Zero(from..records.end)));
            records
        }
        None => length.saturating_sub(TAIL_BYTES)..length,
    };
    damages.extend(tail.map(Damage::Cut));
    damages.dedup();
    // What is zero already is not damaged by being zeroed.
    damages.retain(|damage| !matches!(damage, Damage::Zero(range) if is_zero(bytes, range)));
    damages
}

fn is_zero(bytes: &[u8], range: &Range<u64>) -> bool {
    bytes[range.start as usize..range.end as usize].iter().all(|byte| *byte == 0)
}

/// Where the last records of a log begin and end: those of the last entries, and the little that is written after.
fn last_records(bytes: &[u8], last_payloads: &[Vec<u8>]) -> Option<Range<u64>> {
    /// The header of a group, and of an entry's record.
    const HEADERS: usize = 40 + 36;
    /// A group that notes the committed position.
    const NOTE: usize = 40 + 36;
    let find = |payload: &Vec<u8>| bytes.windows(payload.len()).position(|window| window == payload);
    let first = find(last_payloads.first()?)?;
    let last = find(last_payloads.last()?)? + last_payloads.last()?.len();
    Some((first - HEADERS) as u64..(last.next_multiple_of(8) + NOTE).min(bytes.len()) as u64)
}

/// Copies a directory with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for folder in folders(from) {
        fs::create_dir_all(to.join(folder))?;
    }
    for file in files(from) {
        fs::copy(from.join(&file), to.join(&file))?;
    }
    Ok(())
}

impl Case {
    /// Does it to a directory.
    pub(super) fn apply(&self, directory: &Path) -> io::Result<()> {
        let path = directory.join(&self.path);
        match &self.damage {
            Damage::Flip { offset, bit } => {
                let file = writable(&path)?;
                let mut byte = [0];
                file.read_exact_at(&mut byte, *offset)?;
                file.write_all_at(&[byte[0] ^ (1 << bit)], *offset)
            }
            Damage::Zero(range) => {
                writable(&path)?.write_all_at(&vec![0; (range.end - range.start) as usize], range.start)
            }
            Damage::Cut(length) => writable(&path)?.set_len(*length),
            Damage::Delete if path.is_dir() => fs::remove_dir_all(&path),
            Damage::Delete => fs::remove_file(&path),
            Damage::Alone => {
                let folder = path.parent().expect("a file is in a directory");
                let mut others =
                    files(folder).into_iter().map(|file| folder.join(file)).filter(|file| *file != path);
                others.try_for_each(fs::remove_file)
            }
        }
    }

    /// Where in the file whoever names the damage names it at the latest. Groups of the log are padded to 8 bytes.
    pub(super) fn offset_max(&self) -> Option<u64> {
        match &self.damage {
            Damage::Flip { offset, .. } => Some(*offset),
            Damage::Zero(range) => Some(range.end - 1),
            Damage::Cut(length) => Some(length.next_multiple_of(8)),
            Damage::Delete | Damage::Alone => None,
        }
    }
}

fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}
