//! The one kind of storage failure: fatal.

use std::io;
use std::path::{Path, PathBuf};

/// What an operator does about a node whose data cannot be mended.
pub const LEAVE_STOPPED: &str =
    "leave this node stopped, the others go on; `lastunit member replace` puts a new one in its place";

/// A failure of this node's storage. Every one of them stops the node (or keeps it from starting);
/// none is an answer to a request and none is retried.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file operation failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: `"open"`, `"fdatasync"`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes on disk are not what was written.
    #[error("{} is damaged at offset {offset}: {what}; {mend}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        what: String,
        /// What the operator can do about it.
        mend: String,
    },
    /// The directory is whole but must not be used by this process as it was asked to.
    #[error("{}: {what}; {mend}", path.display())]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// Why it is refused.
        what: String,
        /// What the operator can do about it.
        mend: String,
    },
    /// An earlier write or fsync failed; nothing is written after that.
    #[error("storage stopped after an earlier failure: {0}")]
    Stopped(String),
}

impl StorageError {
    /// Whether it is for want of room that this failed, and nothing that was acknowledged can be affected: a write or
    /// a creation that the file system refused. An fdatasync that says so is a failed one, and final.
    pub fn is_out_of_space(&self) -> bool {
        let StorageError::Io { action, source, .. } = self else { return false };
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        full && !matches!(*action, "fdatasync" | "fsync")
    }

    /// Something in a directory is what only another version of lastunit knows, or of a feature level that only another
    /// one supports.
    pub fn of_other_version(path: &Path, what: String) -> StorageError {
        let mend = "run the lastunit that wrote it, or a newer one".to_owned();
        StorageError::Refused { path: path.to_owned(), what, mend }
    }

    /// For `map_err`: a file operation on `path` failed.
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> StorageError + 'a {
        move |source| StorageError::Io { action, path: path.to_owned(), source }
    }
}
