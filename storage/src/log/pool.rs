//! Segment files that are not in use: made ahead of need, taken back after a purge, removed beyond a number.
//!
//! A file is made by writing zeros over its whole length, a step at a time with an fdatasync each, so that no
//! step holds up an append for long. Overwriting such a file is twice as fast as filling a new one, and
//! `fallocate` alone does not do: its extents are converted at the first write, within the fdatasync.
//!
//! Because a segment's bytes are on disk before it is used, making one is all that can find the file system full. Ahead
//! of need that is no failure: what was written of the file is removed again, so that it takes nobody's last bytes, and
//! the pool is short until a spare is there. Only a file that is needed at once and cannot be made is a failure.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::StorageError;
use crate::disk::{Disk, File, Mode};

use super::failure::at;
use super::format::{HEADER_BYTES, Header};

/// So many spares are kept ready.
const SPARES_READY: usize = 1;
/// More spares than this are removed.
const SPARES_MAX: usize = 4;
/// So much of a file is written before its next fdatasync.
const STEP_BYTES: u64 = 1 << 20;
/// So much of a file that was found is written again, at its end.
const END_BYTES: u64 = 512;
/// So much a spare leaves free in the file system, in bytes: for the small files that this node replaces now and then.
const LEFT_FREE_BYTES: u64 = 4 << 20;

/// How long it is waited after a spare could not be made though there seemed to be room, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

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
    /// Whether the last try to make a spare found no room for it.
    full: bool,
    /// How long after the last time that a spare was begun in vain it is not begun again; zero where it was made.
    pause: Duration,
    /// When a spare was last begun in vain.
    gave_up_at: Option<Instant>,
}

/// A file that is being made.
struct Making {
    file: SegmentFile,
    /// What it begins with.
    header: [u8; HEADER_BYTES],
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
        let (dir, spares, surplus, making, full) = (dir.to_path_buf(), vec![], vec![], None, false);
        Pool {
            disk,
            dir,
            group,
            segment_bytes,
            next_slot,
            spares,
            surplus,
            making,
            full,
            pause: Duration::ZERO,
            gave_up_at: None,
        }
    }

    /// Takes a file that was found when the log was opened. The fdatasync that was to end its making may have failed;
    /// then its length is not on disk, nor put there by a later one: so its end is written again.
    pub(super) fn take_in(&mut self, file: Arc<SegmentFile>) -> Result<(), StorageError> {
        if file.capacity == self.segment_bytes {
            let end = vec![0; END_BYTES.min(file.capacity) as usize];
            let at_end = file.capacity - end.len() as u64;
            file.file.write_all_at(&end, at_end).map_err(at("write", &file.path))?;
            file.file.sync_data().map_err(at("fdatasync", &file.path))?;
        }
        self.put_back(file);
        Ok(())
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
    ///
    /// # Errors
    /// Out of space, among others: there is no such file, and no room for one.
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
        self.remove_surplus()?;
        let mut making = self.begin(capacity)?;
        while !making.is_whole() {
            making.step()?;
        }
        self.name_durably()?;
        Ok(Arc::new(making.file))
    }

    /// Whether a spare is missing for want of space.
    pub(super) fn is_short(&self) -> bool {
        self.full && self.spares.is_empty()
    }

    /// Whether there is something to do in idle time. A spare that there was no room for is not: see [`Pool::retry`].
    pub(super) fn has_chores(&self) -> bool {
        let can_make = !self.full || self.making.is_some();
        (self.spares.len() < SPARES_READY && can_make) || !self.surplus.is_empty()
    }

    /// Does one small thing of what there is to do.
    pub(super) fn chore(&mut self) -> Result<(), StorageError> {
        match self.surplus.pop() {
            Some(path) => self.remove(&path),
            None if self.has_chores() => self.make_ahead(),
            None => Ok(()),
        }
    }

    /// Looks whether there is room for a spare by now, and begins it.
    pub(super) fn retry(&mut self) -> Result<(), StorageError> {
        if self.is_short() && !self.pauses() { self.make_ahead() } else { Ok(()) }
    }

    /// Whether a spare was begun in vain a short while ago. Under a quota there seem to be free bytes, and each try
    /// writes what it can before it fails.
    fn pauses(&self) -> bool {
        self.gave_up_at.is_some_and(|at| at.elapsed() < self.pause)
    }

    /// Does under load what cannot wait for idle time: a spare is made as fast as the current segment fills.
    pub(super) fn keep_up(&mut self, filled_bytes: u64) -> Result<(), StorageError> {
        let made = self.making.as_ref().map_or(0, |making| making.written);
        let behind = self.spares.is_empty() && filled_bytes + STEP_BYTES > made;
        if behind || !self.surplus.is_empty() { self.chore() } else { Ok(()) }
    }

    /// Bytes of the spares that are ready.
    pub(super) fn ready_bytes(&self) -> u64 {
        self.spares.len() as u64 * self.segment_bytes
    }

    /// Bytes that the unused files take.
    pub(super) fn bytes(&self) -> u64 {
        self.ready_bytes() + self.making.as_ref().map_or(0, |making| making.written)
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.disk.remove(path).map_err(at("remove", path))?;
        self.disk.sync_dir(&self.dir).map_err(at("fsync", &self.dir))
    }

    /// What is in the way shall not be why there is no room.
    fn remove_surplus(&mut self) -> Result<(), StorageError> {
        while let Some(path) = self.surplus.pop() {
            self.remove(&path)?;
        }
        Ok(())
    }

    /// Makes a step of a spare before it is needed.
    fn make_ahead(&mut self) -> Result<(), StorageError> {
        if self.making.is_none() && !self.has_room() {
            self.full = true;
            return Ok(());
        }
        match self.make_step() {
            Err(error) if error.is_out_of_space() => {
                self.full = true;
                self.give_up()
            }
            made => made,
        }
    }

    /// Whether a spare fits. Where the file system does not tell, writing it will.
    fn has_room(&self) -> bool {
        let wanted = self.segment_bytes + LEFT_FREE_BYTES;
        self.disk.free_bytes(&self.dir).map_or(true, |free| free >= wanted)
    }

    /// Removes the file that is being made.
    fn give_up(&mut self) -> Result<(), StorageError> {
        self.gave_up_at = Some(Instant::now());
        self.pause = next_pause(self.pause);
        match self.making.take() {
            Some(making) => self.remove(&making.file.path),
            None => Ok(()),
        }
    }

    fn make_step(&mut self) -> Result<(), StorageError> {
        let mut making = match self.making.take() {
            Some(making) => making,
            None => {
                self.remove_surplus()?;
                self.begin(self.segment_bytes)?
            }
        };
        let stepped = making.step();
        let whole = making.is_whole();
        self.making = Some(making);
        stepped?;
        if whole {
            self.name_durably()?;
            self.spares.extend(self.making.take().map(|making| Arc::new(making.file)));
            (self.full, self.pause) = (false, Duration::ZERO);
        }
        Ok(())
    }

    fn begin(&mut self, capacity: u64) -> Result<Making, StorageError> {
        let path = self.dir.join(file_name(self.next_slot));
        self.next_slot += 1;
        let file = self.disk.open(&path, Mode::CreateNew).map_err(at("create", &path))?;
        let header = Header { group: self.group, sequence: 0, capacity }.encode();
        Ok(Making { file: SegmentFile { path, file, capacity }, header, written: 0 })
    }

    fn name_durably(&self) -> Result<(), StorageError> {
        self.disk.sync_dir(&self.dir).map_err(at("fsync", &self.dir))
    }
}

impl Making {
    fn is_whole(&self) -> bool {
        self.written == self.file.capacity
    }

    fn step(&mut self) -> Result<(), StorageError> {
        let SegmentFile { path, file, capacity } = &self.file;
        let mut bytes = vec![0; STEP_BYTES.min(capacity - self.written) as usize];
        if self.written == 0 {
            bytes[..HEADER_BYTES].copy_from_slice(&self.header);
        }
        file.write_all_at(&bytes, self.written).map_err(at("write", path))?;
        file.sync_data().map_err(at("fdatasync", path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Twice as long each time that a spare cannot be made though there seemed to be room.
fn next_pause(last: Duration) -> Duration {
    (last * 2).clamp(PAUSES.0, PAUSES.1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_that_fails_though_there_is_room_is_begun_ever_more_seldom() {
        let mut pauses = vec![next_pause(Duration::ZERO)];
        (1..9).for_each(|last| pauses.push(next_pause(pauses[last - 1])));
        let seconds: Vec<u64> = pauses.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
