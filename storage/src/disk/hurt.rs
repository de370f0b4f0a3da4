//! Another disk that can be hurt while a node runs on it: slow, full, or with an fsync that fails. `lastunit prove`
//! does that to real processes.
//!
//! ```text
//!   hurt(Slow)       every sync takes so much longer
//!   hurt(Full)       no file is made and none grows, as on a file system without a free block
//!   hurt(FailsSync)  the next sync fails, once
//!   hurt(Whole)      it is as the disk beneath
//! ```
//!
//! What is absent: reads that fail and bytes that rot, which [`faulty`](super::faulty) and [`sim`](super::sim) have;
//! and what sled does with its files by itself.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use super::{Disk, File, Mode};

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// Nothing.
    Whole,
    /// Every sync takes so much longer.
    Slow(Duration),
    /// It has no free byte: no file is made, and none grows.
    Full,
    /// The next sync fails, and those after it work again.
    FailsSync,
}

/// The disk. A cheap handle; clones are one disk.
#[derive(Clone)]
pub struct HurtDisk {
    disk: Arc<dyn Disk>,
    state: Arc<State>,
}

struct State {
    ailment: Mutex<Ailment>,
    /// How many operations were slower or failed.
    hurts: AtomicU64,
}

impl HurtDisk {
    /// A disk that is whole, until it is hurt.
    pub fn over(disk: impl Disk) -> HurtDisk {
        let state = State { ailment: Mutex::new(Ailment::Whole), hurts: AtomicU64::new(0) };
        HurtDisk { disk: Arc::new(disk), state: Arc::new(state) }
    }

    /// From now on it suffers from that, and from nothing else.
    pub fn hurt(&self, ailment: Ailment) {
        *self.state.ailment() = ailment;
    }

    /// How many operations were slower or failed for what was wrong, since the start.
    pub fn hurts(&self) -> u64 {
        self.state.hurts.load(Ordering::Relaxed)
    }
}

impl State {
    fn ailment(&self) -> std::sync::MutexGuard<'_, Ailment> {
        self.ailment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) {
        self.hurts.fetch_add(1, Ordering::Relaxed);
    }

    /// What a sync suffers. A failure is taken with it: whoever retries finds the disk whole, as Linux would have it.
    fn sync(&self) -> io::Result<()> {
        let ailment = {
            let mut ailment = self.ailment();
            let now = *ailment;
            if now == Ailment::FailsSync {
                *ailment = Ailment::Whole;
            }
            now
        };
        match ailment {
            Ailment::Whole | Ailment::Full => Ok(()),
            Ailment::Slow(time) => {
                self.note();
                sleep(time);
                Ok(())
            }
            Ailment::FailsSync => {
                self.note();
                Err(io::Error::other("the sync was made to fail"))
            }
        }
    }

    fn grow(&self) -> io::Result<()> {
        match *self.ailment() {
            Ailment::Full => {
                self.note();
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl Disk for HurtDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        if mode == Mode::CreateNew {
            self.state.grow()?;
        }
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(HurtFile { file, state: self.state.clone() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.state.sync()?;
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        if *self.state.ailment() == Ailment::Full {
            self.state.note();
            return Ok(0);
        }
        self.disk.free_bytes(path)
    }
}

struct HurtFile {
    file: Arc<dyn File>,
    state: Arc<State>,
}

impl File for HurtFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(buf.len() as u64) > self.file.len()? {
            self.state.grow()?;
        }
        self.file.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state.sync()?;
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.file.len()? {
            self.state.grow()?;
        }
        self.file.set_len(len)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::disk::RealDisk;

    fn file() -> (tempfile::TempDir, HurtDisk, Arc<dyn File>) {
        let scratch = tempfile::tempdir().unwrap();
        let disk = HurtDisk::over(RealDisk);
        let file = disk.open(&scratch.path().join("file"), Mode::CreateNew).unwrap();
        file.write_all_at(b"whole", 0).unwrap();
        (scratch, disk, file)
    }

    #[test]
    fn one_sync_fails_and_it_is_whole_again() {
        let (_scratch, disk, file) = file();
        disk.hurt(Ailment::FailsSync);
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok());
        assert_eq!(disk.hurts(), 1);
    }

    #[test]
    fn a_full_disk_is_written_where_it_was_written_already() {
        let (scratch, disk, file) = file();
        disk.hurt(Ailment::Full);
        file.write_all_at(b"WHOLE", 0).unwrap();
        let full = file.write_all_at(b"longer", 0).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(file.set_len(100).is_err());
        assert!(disk.open(&scratch.path().join("new"), Mode::CreateNew).is_err());
        assert_eq!(disk.free_bytes(scratch.path()).unwrap(), 0);
        assert_eq!(disk.hurts(), 4);
        disk.hurt(Ailment::Whole);
        file.write_all_at(b"longer", 0).unwrap();
    }

    #[test]
    fn a_slow_disk_takes_its_time_for_a_sync() {
        let (_scratch, disk, file) = file();
        let time = Duration::from_millis(20);
        disk.hurt(Ailment::Slow(time));
        let began = Instant::now();
        file.sync_data().unwrap();
        assert!(began.elapsed() >= time);
        assert_eq!(disk.hurts(), 1);
    }
}
