//! What sled leaves behind: the lock of an image that was closed a moment ago, and garbage.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::super::contain::Progress;
use crate::StorageError;

/// How often, and how far apart, a lock that sled left behind is tried: for a minute, in which a machine that is busy
/// with other things comes to it.
const LOCK_TRIES: u32 = 6_000;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Waits until nothing of an image that this process had open before holds sled's lock on it.
///
/// sled's threads and its garbage keep the file open for a moment after it was closed. Without this wait, a whole
/// image that is opened again at once would be taken for a damaged one. Each try is a step: whoever watches the
/// opening waits as long as this does.
pub(in super::super) fn wait_until_unlocked(path: &Path, progress: &Progress) -> Result<(), StorageError> {
    let path = path.join("db");
    for _ in 0..LOCK_TRIES {
        let file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                return Err(StorageError::io("open", &path)(e));
            }
            // Where it cannot be opened otherwise, sled makes it, or says what is wrong.
            Err(_) => return Ok(()),
            Ok(file) => file,
        };
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(StorageError::io("lock", &path)(e)),
            Err(TryLockError::WouldBlock) => {}
        }
        progress.step();
        collect_garbage(0);
        thread::sleep(LOCK_PAUSE);
    }
    Err(StorageError::Refused {
        path,
        what: "is locked by another process".to_owned(),
        mend: "stop that process".to_owned(),
    })
}

/// Frees what a batch of `writes` left behind.
///
/// The epoch collector is one for the whole process, sled's included. Each flush frees at most eight bags of 64
/// pieces; a write leaves some eight pieces, so this is about twice what is needed.
pub(super) fn collect_garbage(writes: usize) {
    for _ in 0..writes / 32 + 16 {
        crossbeam_epoch::pin().flush();
    }
}
