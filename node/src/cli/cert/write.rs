//! Certificates and keys on disk. A key is this user's alone from its first byte on.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use crate::cli::Failure;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Everybody: it is a certificate.
    All,
    /// Its owner: it is a key.
    Owner,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Readers::All => 0o644,
            Readers::Owner => 0o600,
        }
    }
}

/// Makes a directory and those above it, for this user alone where it is for keys only.
pub(super) fn directory(path: &Path, readers: Readers) -> Result<(), Failure> {
    let mode = if readers == Readers::Owner { 0o700 } else { 0o755 };
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed(path))
}

/// Writes a file that is not there.
pub(super) fn new(path: &Path, text: &str, readers: Readers) -> Result<(), Failure> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(readers.mode()).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(failed(path))
}

/// The bits of a file's mode that are for everybody.
const EVERYBODY: u32 = 0o007;

/// Replaces a file, or makes it: who reads it sees the old one or the new one. It stays its owner's and group's; what
/// was open to everybody by mistake is not again.
pub(super) fn replace(path: &Path, text: &str, readers: Readers) -> Result<(), Failure> {
    let write = || {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let directory = path.parent().unwrap_or(Path::new("."));
        // Made for this user alone, which is what a temporary file is.
        let mut new = tempfile::NamedTempFile::new_in(directory)?;
        match path.metadata() {
            Ok(old) => {
                fchown(new.as_file(), Some(old.uid()), Some(old.gid()))?;
                let closed = if readers == Readers::Owner { EVERYBODY } else { 0 };
                new.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o777 & !closed))?;
            }
            Err(_) => new.as_file().set_permissions(Permissions::from_mode(readers.mode()))?,
        }
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(&path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(failed(path))
}

/// The text of a file.
pub(super) fn read(path: &Path, mend: &str) -> Result<String, Failure> {
    let failed = |error| Failure::usage(format!("{}: cannot be read: {error}; {mend}", path.display()));
    fs::read_to_string(path).map_err(failed)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    |error| Failure::usage(format!("{}: cannot be written: {error}", path.display()))
}
