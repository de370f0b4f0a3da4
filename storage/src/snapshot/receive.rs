//! A snapshot that comes from a peer, byte by byte.

use super::growing::Growing;
use super::reader::Unreadable;
use super::{Name, Snapshot, Temporary, unreadable, verify};
use crate::StorageError;
use crate::pace::Pace;

/// A snapshot that is being received. Dropping it removes what arrived.
pub struct Receiving {
    file: Growing,
    temporary: Temporary,
}

impl Receiving {
    pub(super) fn new(temporary: Temporary, file: Growing) -> Receiving {
        Receiving { file, temporary }
    }

    /// Appends bytes as they come.
    ///
    /// # Errors
    /// Out of space: there is no room for more; drop it, and nothing has changed. Any other is final.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.append(bytes, &self.temporary.path)
    }

    /// All bytes have come: syncs the file, reads it back whole and verifies it. Not the newest before
    /// [`adopt`](super::SnapshotStore::adopt); dropped before that, it is removed.
    ///
    /// # Errors
    /// The system said no, or it is of a feature level that this binary does not support: both are final.
    ///
    /// The inner error is the peer's or the network's fault, in words: what came is not a snapshot.
    pub fn finish(self) -> Result<Result<Snapshot, String>, StorageError> {
        let Receiving { temporary, file, .. } = self;
        let path = temporary.path.clone();
        file.sync(&path)?;
        match verify(&*temporary.disk.clone(), &path, Name::Temporary(temporary), &Pace::default()) {
            Ok(snapshot) => Ok(Ok(snapshot)),
            // A peer of another level is not talked to, so this is for the operator, and not for the peer.
            Err(error @ (Unreadable::Io(_) | Unreadable::Level(_))) => Err(unreadable(&path, error)),
            Err(error) => Ok(Err(unreadable(&path, error).to_string())),
        }
    }
}
