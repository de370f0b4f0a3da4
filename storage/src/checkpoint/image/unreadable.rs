//! Why an image cannot be read or written, by what sled and the system said.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::super::codec::{CodecError, VERSION};
use super::super::contain::Failure;
use super::super::{newer, older};
use crate::StorageError;

/// Why an image cannot be read.
#[derive(Debug)]
pub(in super::super) enum Unreadable {
    /// It is damaged, in these words; another one can be built.
    Damaged(String),
    /// Something that building another one would not mend.
    Fatal(StorageError),
}

impl Failure {
    /// Damaged bytes show as panics and as errors of many kinds. An error that a whole image would meet just the
    /// same is told apart, because throwing the image away would not mend it.
    pub(in super::super) fn on_reading(self, path: &Path) -> Unreadable {
        match self {
            Failure::Error(sled::Error::Io(e)) if is_environment(&e) => {
                Unreadable::Fatal(StorageError::io("open", path)(e))
            }
            failure => Unreadable::Damaged(failure.to_string()),
        }
    }

    pub(super) fn on_writing(self, path: &Path) -> StorageError {
        let source = match self {
            Failure::Error(sled::Error::Io(e)) => e,
            failure => io::Error::other(failure.to_string()),
        };
        StorageError::io("write the checkpoint in", path)(source)
    }
}

/// Whether the system said no, rather than the bytes.
fn is_environment(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let kinds = [
        ErrorKind::PermissionDenied,
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::ReadOnlyFilesystem,
        ErrorKind::OutOfMemory,
        // No thread could be started.
        ErrorKind::WouldBlock,
    ];
    kinds.contains(&error.kind())
        || [EIO, ENFILE, EMFILE].iter().any(|&code| error.raw_os_error() == Some(code))
}

/// A newer or a dropped format is refused; anything else that does not decode is damage.
pub(in super::super) fn undecodable(path: &Path, error: CodecError) -> Unreadable {
    match error {
        CodecError::Newer(version) => Unreadable::Fatal(newer(path, version.into(), VERSION.into())),
        CodecError::Older(version) => Unreadable::Fatal(older(path, version.into())),
        CodecError::Level(what) => Unreadable::Fatal(StorageError::of_other_version(path, what)),
        error => Unreadable::Damaged(error.to_string()),
    }
}
