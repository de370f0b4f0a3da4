//! The seam between storage and the file system.
//!
//! The log, the snapshots, the identity file and the checkpoint do all their IO through [`Disk`], so that a test can
//! put a faulty one beneath them. Two things stay outside: the locks, and what sled reads and writes, which
//! `checkpoint` makes durable through the seam.
//!
//! ```text
//!   log, snapshot, identity, checkpoint
//!            |
//!        dyn Disk -- dyn File
//!         /     |      \
//!    RealDisk SimDisk FaultyDisk
//! ```
//!
//! The last two are for tests: power cuts and failures over files in memory, and over a real directory, which sled's
//! files can be in.

pub mod faulty;
pub mod hurt;
mod random;
mod real;
pub mod sim;
pub mod told;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
}

/// An open file. Positions are explicit; there is no cursor.
#[expect(clippy::len_without_is_empty, reason = "nobody asks a file whether it is empty")]
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`, growing the file where needed.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// `fdatasync`: returns when the file's data, and the length that reading it back needs, are on disk.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Sets the file's length; new bytes read as zero.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// A file system, or what a test makes of one.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>>;
    /// Creates a directory and its parents, where missing; those created are on disk when this returns.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Renames a file over whatever is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all that is in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// fsyncs a directory: creations, renames and removals in it are on disk when this returns.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// How many bytes can still be written in the file system that a path is in.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The directory that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// All of a small file, up to `bytes_max`.
pub(crate) fn read_whole(file: &dyn File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.len()?.min(bytes_max) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
