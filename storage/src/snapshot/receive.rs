//! A snapshot that comes from a peer, byte by byte.

use std::sync::Arc;

use super::reader::Unreadable;
use super::{Name, Snapshot, Temporary, unreadable, verify};
use crate::StorageError;
use crate::disk::File;

/// A snapshot that is being received. Dropping it removes what arrived.
pub struct Receiving {
    temporary: Temporary,
    file: Arc<dyn File>,
    len: u64,
}

impl Receiving {
    pub(super) fn new(temporary: Temporary, file: Arc<dyn File>) -> Receiving {
        Receiving { temporary, file, len: 0 }
    }

    /// Appends bytes as they come.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let written = self.file.write_all_at(bytes, self.len);
        written.map_err(StorageError::io("write", &self.temporary.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// All bytes have come: syncs the file, reads it back whole and verifies it. Not the newest before
    /// [`adopt`](super::SnapshotStore::adopt); dropped before that, it is removed.
    ///
    /// The inner error is the peer's or the network's fault, in words: what came is not a snapshot.
    pub fn finish(self) -> Result<Result<Snapshot, String>, StorageError> {
        let Receiving { temporary, file, .. } = self;
        let path = temporary.path.clone();
        file.sync_data().map_err(StorageError::io("fdatasync", &path))?;
        match verify(&*temporary.disk.clone(), &path, Name::Temporary(temporary)) {
            Ok(snapshot) => Ok(Ok(snapshot)),
            Err(error @ Unreadable::Io(_)) => Err(unreadable(&path, error)),
            Err(error) => Ok(Err(unreadable(&path, error).to_string())),
        }
    }
}
