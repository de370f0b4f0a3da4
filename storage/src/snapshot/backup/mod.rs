//! Backups: a snapshot behind a head that says of which cluster and moment it is.
//!
//! ```text
//!   head                      a snapshot's file, byte for byte
//!   | whose, when, how long | head | block | block | ... | trailer |
//!                                                                  ^ nothing follows
//! ```
//!
//! Invariants:
//!
//! * What the head says is held against the records: a backup whose parts are each whole, but not of one moment, is
//!   none.
//! * Of a damaged backup nothing is used.
//! * What is loaded gives out no fencing token that the cluster may have given out after the backup: a number of them
//!   is left out ([`BackupFile::load_leaving_out`]).
//!
//! Absent on purpose: increments, compression beyond that of the records, and secrecy: a backup has customers' names
//! and payment tokens in it, and is for its owner to keep.

mod head;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::{Reader, Unreadable, damaged};
use super::{Snapshot, inconsistent};
use crate::StorageError;
use crate::checkpoint::ImageHeader;
use crate::disk::{Disk, File, Mode};
use crate::inventory::record::{Counters, Record, RecordKey};
use crate::inventory::{Audited, Inconsistent, Inventory, RecordsAudit};

pub use head::BackupHead;

/// What is to be done about a file that is no whole backup.
const MEND: &str = "nothing of it was used: name another backup, or take a new one";

/// A backup's file, whose head was read.
pub struct BackupFile {
    file: Arc<dyn File>,
    path: PathBuf,
    head: BackupHead,
    /// Where the snapshot begins.
    from: u64,
}

/// A backup that was read from the first byte to the last, with every sum recomputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBackup {
    /// What the snapshot says that it is of.
    pub header: ImageHeader,
    /// What its records add up to; there are no findings.
    pub audited: Audited,
}

impl BackupHead {
    /// The head of a backup that has this snapshot.
    ///
    /// # Errors
    /// Corrupt: the snapshot is damaged, or nothing was ever applied to it. IO: it cannot be read.
    pub fn of(
        snapshot: &Snapshot,
        cluster_name: &str,
        cluster_id: u128,
        node_id: u64,
    ) -> Result<BackupHead, StorageError> {
        let path = snapshot.path();
        let counters = first_record(&*snapshot.opened.file).map_err(|e| unreadable(&path, e))?;
        let header = snapshot.header();
        let nothing = || unreadable(&path, damaged(0, "a snapshot to which nothing was applied"));
        Ok(BackupHead {
            cluster_name: cluster_name.to_owned(),
            cluster_id,
            node_id,
            applied: header.applied.ok_or_else(nothing)?,
            sequence: counters.sequence,
            now_ms: counters.now_ms,
            digest: header.digest,
            snapshot_bytes: snapshot.len(),
        })
    }
}

/// The counters, which are the first record of every image.
fn first_record(file: &dyn File) -> Result<Counters, Unreadable> {
    match Reader::start(file)?.next().transpose()? {
        Some((_, Record::Counters(counters))) => Ok(counters),
        _ => Err(damaged(0, "its first record is not that of the counters")),
    }
}

impl BackupFile {
    /// Opens a file, and reads its head.
    ///
    /// # Errors
    /// Corrupt: it is no backup, or is damaged, or cut short. Refused: a newer lastunit wrote it. IO: it cannot be
    /// read.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<BackupFile, StorageError> {
        let file = disk.open(path, Mode::Read).map_err(StorageError::io("open", path))?;
        let (head, from) = read_head(&*file).map_err(|e| unreadable(path, e))?;
        Ok(BackupFile { file, path: path.to_owned(), head, from })
    }

    /// What it is of.
    pub fn head(&self) -> &BackupHead {
        &self.head
    }

    /// How long the file is, in bytes.
    pub fn bytes(&self) -> u64 {
        self.from + self.head.snapshot_bytes
    }

    /// Reads it from the first byte to the last, and recomputes every sum from its records. `read` is told now and
    /// then how many bytes were.
    ///
    /// # Errors
    /// Corrupt: it is damaged, or its records do not agree. Refused: another version wrote a part. IO: it cannot be
    /// read.
    pub fn check(&self, mut read: impl FnMut(u64)) -> Result<CheckedBackup, StorageError> {
        let snapshot = self.snapshot();
        self.try_check(&snapshot, &mut read).map_err(|e| self.unreadable(e))
    }

    fn try_check(
        &self,
        snapshot: &Rest<'_>,
        read: &mut impl FnMut(u64),
    ) -> Result<CheckedBackup, Unreadable> {
        let mut reader = Reader::start(snapshot)?;
        let header = reader.header().clone();
        let (mut audit, mut counters) = (RecordsAudit::default(), Counters::default());
        while let Some(record) = reader.next() {
            let (key, record) = record?;
            if let Record::Counters(found) = &record {
                counters = *found;
            }
            audit.add(key, &record);
            read(self.from + reader.offset());
        }
        let audited = audit.finish(header.digest);
        if let Some(finding) = audited.findings.first() {
            return Err(inconsistent(Inconsistent(finding.clone())));
        }
        self.check_head(&header, &counters)?;
        Ok(CheckedBackup { header, audited })
    }

    fn check_head(&self, header: &ImageHeader, counters: &Counters) -> Result<(), Unreadable> {
        let head = &self.head;
        let told = (Some(head.applied), head.digest, head.sequence, head.now_ms);
        match told == (header.applied, header.digest, counters.sequence, counters.now_ms) {
            true => Ok(()),
            false => Err(damaged(0, "its head is of another moment than its records")),
        }
    }

    /// Loads the state of a backup that was [checked](BackupFile::check), in which so many fencing tokens count as
    /// given out: the cluster that it was taken of may have given them to holds that are not in it.
    ///
    /// # Errors
    /// As [`check`](BackupFile::check).
    pub fn load_leaving_out(&self, tokens: u64) -> Result<Inventory, StorageError> {
        self.try_load(&self.snapshot(), tokens).map_err(|e| self.unreadable(e))
    }

    fn try_load(&self, snapshot: &Rest<'_>, tokens: u64) -> Result<Inventory, Unreadable> {
        let mut failure = None;
        let records = Reader::start(snapshot)?.map(|record| leave_out(record?, tokens));
        let records = records.map_while(|record| record.map_err(|e| failure = Some(e)).ok());
        let inventory = Inventory::from_records(records);
        match failure {
            Some(failure) => Err(failure),
            None => inventory.map_err(inconsistent),
        }
    }

    fn snapshot(&self) -> Rest<'_> {
        Rest { file: &*self.file, from: self.from }
    }

    /// An error of the snapshot's reader, which counts from where that begins.
    fn unreadable(&self, error: Unreadable) -> StorageError {
        let error = match error {
            Unreadable::Damaged { offset, what } => Unreadable::Damaged { offset: self.from + offset, what },
            other => other,
        };
        unreadable(&self.path, error)
    }
}

/// The head, of a file that is as long as it says.
fn read_head(file: &dyn File) -> Result<(BackupHead, u64), Unreadable> {
    let (head, from) = BackupHead::read(file)?;
    let (len, end) = (file.len().map_err(Unreadable::Io)?, from.saturating_add(head.snapshot_bytes));
    match len.cmp(&end) {
        std::cmp::Ordering::Less => Err(damaged(len, "the file is cut short")),
        std::cmp::Ordering::Equal => Ok((head, from)),
        std::cmp::Ordering::Greater => Err(damaged(end, "bytes after the end")),
    }
}

fn leave_out((key, record): (RecordKey, Record), tokens: u64) -> Result<(RecordKey, Record), Unreadable> {
    let Record::Counters(counters) = record else { return Ok((key, record)) };
    let fencing_token = counters.fencing_token.checked_add(tokens);
    let fencing_token = fencing_token.ok_or_else(|| damaged(0, "there are no fencing tokens left"))?;
    Ok((key, Record::Counters(Counters { fencing_token, ..counters })))
}

fn unreadable(path: &Path, error: Unreadable) -> StorageError {
    match error {
        Unreadable::Io(source) => StorageError::io("read", path)(source),
        Unreadable::Damaged { offset, what } => {
            StorageError::Corrupt { path: path.to_owned(), offset, what, mend: MEND.to_owned() }
        }
        Unreadable::Level(what) => StorageError::of_other_version(path, what),
        Unreadable::Newer(version) => StorageError::Refused {
            path: path.to_owned(),
            what: format!("format version {version} is newer than this lastunit knows"),
            mend: "use the lastunit that wrote it, or a newer one".to_owned(),
        },
        Unreadable::Older(version) => StorageError::Refused {
            path: path.to_owned(),
            what: format!("format version {version} was never released, and this lastunit does not read it"),
            mend: MEND.to_owned(),
        },
    }
}

/// A file from some offset on, to be read.
struct Rest<'a> {
    file: &'a dyn File,
    from: u64,
}

impl File for Rest<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, self.from + offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.len()?.saturating_sub(self.from))
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
