//! Building errors.

use std::io;
use std::path::Path;

use crate::{LEAVE_STOPPED, StorageError};

/// Turns an `io::Error` into a `StorageError` that names what failed and where.
pub(super) fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StorageError + 'a {
    move |source| StorageError::Io { action, path: path.to_path_buf(), source }
}

/// A damaged file.
pub(super) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> StorageError {
    StorageError::Corrupt { path: path.to_path_buf(), offset, what: what.into(), mend: LEAVE_STOPPED.into() }
}

/// A file that is of another format version.
pub(super) fn unknown_version(path: &Path, version: u32) -> StorageError {
    StorageError::Refused {
        path: path.to_path_buf(),
        what: format!("the log format is version {version}, which this program does not know"),
        mend: "start it with the version of lastunit that wrote it, or a newer one".into(),
    }
}

/// A file of another Raft group.
pub(super) fn other_group(path: &Path, found: u64, wanted: u64) -> StorageError {
    StorageError::Refused {
        path: path.to_path_buf(),
        what: format!("it belongs to Raft group {found}, not to {wanted}"),
        mend: "put the data directory back that belongs to this node".into(),
    }
}

/// The same failure once more, for another caller. (`io::Error` is not `Clone`.)
pub(super) fn copy(error: &StorageError) -> StorageError {
    match error {
        StorageError::Io { action, path, source } => {
            let source = match source.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(source.kind(), source.to_string()),
            };
            StorageError::Io { action, path: path.clone(), source }
        }
        other => StorageError::Stopped(other.to_string()),
    }
}
