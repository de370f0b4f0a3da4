//! Segment files that are not in use: made ahead of need, taken back after a purge, removed beyond a number.
//!
//! A file is made by writing zeros over its whole length, a step at a time with an fdatasync each, so that no
//! step holds up an append for long. Overwriting such a file is twice as fast as filling a new one, and
//! `fallocate` alone does not do: its extents are converted at the first write, within the fdatasync.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::StorageError;
use crate::disk::{Disk, File, Mode};

use super::failure::at;
use super::format::Header;

/// So many spares are kept ready.
const SPARES_READY: usize = 1;
/// More spares than this are removed.
const SPARES_MAX: usize = 4;
/// So much of a file is written before its next fdatasync.
const STEP_BYTES: u64 = 1 << 20;

/// A segment's file.
pub(super) struct SegmentFile {
    /// Where it is.
    pub path: PathBuf,
    /// The open file.
    pub file: Arc<dyn File>,
    /// Its length in bytes.
    pub capacity: u64,
}

/// The files not in use.
pub(super) struct Pool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    group: u64,
    segment_bytes: u64,
    next_slot: u64,
    spares: Vec<Arc<SegmentFile>>,
    surplus: Vec<PathBuf>,
    making: Option<Making>,
}

/// A file that is being made.
struct Making {
    file: SegmentFile,
    written: u64,
}

impl Pool {
    /// A pool over the unused files of a directory.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        group: u64,
        segment_bytes: u64,
        next_slot: u64,
    ) -> Pool {
        let dir = dir.to_path_buf();
        Pool { disk, dir, group, segment_bytes, next_slot, spares: vec![], surplus: vec![], making: None }
    }

    /// Takes a file that is not needed any more, to use it again or to remove it in time.
    pub(super) fn put_back(&mut self, file: Arc<SegmentFile>) {
        if file.capacity == self.segment_bytes && self.spares.len() < SPARES_MAX {
            self.spares.push(file);
        } else {
            self.surplus.push(file.path.clone());
        }
    }

    /// A file to write to, of `segment_bytes` or of as much more as is asked for.
    pub(super) fn take(&mut self, bytes_min: u64) -> Result<Arc<SegmentFile>, StorageError> {
        if bytes_min > self.segment_bytes {
            return self.make_whole(bytes_min);
        }
        loop {
            match self.spares.pop() {
                Some(file) => return Ok(file),
                None => self.make_step()?,
            }
        }
    }

    fn make_whole(&mut self, capacity: u64) -> Result<Arc<SegmentFile>, StorageError> {
        let mut making = self.begin(capacity)?;
        while making.written < capacity {
            making.step()?;
        }
        self.name_durably()?;
        Ok(Arc::new(making.file))
    }

    /// Whether there is something to do in idle time.
    pub(super) fn has_chores(&self) -> bool {
        self.spares.len() < SPARES_READY || !self.surplus.is_empty()
    }

    /// Does one small thing of what there is to do.
    pub(super) fn chore(&mut self) -> Result<(), StorageError> {
        match self.surplus.pop() {
            Some(path) => self.remove(&path),
            None if self.spares.len() < SPARES_READY => self.make_step(),
            None => Ok(()),
        }
    }

    /// Does under load what cannot wait for idle time: a spare is made as fast as the current segment fills.
    pub(super) fn keep_up(&mut self, filled_bytes: u64) -> Result<(), StorageError> {
        let made = self.making.as_ref().map_or(0, |making| making.written);
        let behind = self.spares.is_empty() && filled_bytes + STEP_BYTES > made;
        if behind || !self.surplus.is_empty() { self.chore() } else { Ok(()) }
    }

    /// Bytes that the unused files take.
    pub(super) fn bytes(&self) -> u64 {
        let spares = self.spares.len() as u64 * self.segment_bytes;
        spares + self.making.as_ref().map_or(0, |making| making.written)
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.disk.remove(path).map_err(at("remove", path))?;
        self.disk.sync_dir(&self.dir).map_err(at("fsync", &self.dir))
    }

    fn make_step(&mut self) -> Result<(), StorageError> {
        let mut making = match self.making.take() {
            Some(making) => making,
            None => self.begin(self.segment_bytes)?,
        };
        making.step()?;
        if making.written < making.file.capacity {
            self.making = Some(making);
            return Ok(());
        }
        self.name_durably()?;
        self.spares.push(Arc::new(making.file));
        Ok(())
    }

    fn begin(&mut self, capacity: u64) -> Result<Making, StorageError> {
        let path = self.dir.join(file_name(self.next_slot));
        self.next_slot += 1;
        let file = self.disk.open(&path, Mode::CreateNew).map_err(at("create", &path))?;
        let header = Header { group: self.group, sequence: 0, capacity }.encode();
        file.write_all_at(&header, 0).map_err(at("write", &path))?;
        Ok(Making { file: SegmentFile { path, file, capacity }, written: header.len() as u64 })
    }

    fn name_durably(&self) -> Result<(), StorageError> {
        self.disk.sync_dir(&self.dir).map_err(at("fsync", &self.dir))
    }
}

impl Making {
    fn step(&mut self) -> Result<(), StorageError> {
        let SegmentFile { path, file, capacity } = &self.file;
        let step = STEP_BYTES.min(capacity - self.written);
        file.write_all_at(&vec![0; step as usize], self.written).map_err(at("write", path))?;
        file.sync_data().map_err(at("fdatasync", path))?;
        self.written += step;
        Ok(())
    }
}

/// The name of a file; its number says nothing about its place in the log.
fn file_name(slot: u64) -> String {
    format!("{slot:08}.segment")
}

/// The number in a segment file's name.
pub(super) fn slot_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
