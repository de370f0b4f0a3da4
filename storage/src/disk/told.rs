//! Another disk, but for its free bytes, of which it says what it is told: for tests of what happens when they run out.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Disk, File, Mode};

/// The disk. A cheap handle; clones are one disk.
#[derive(Clone)]
pub struct ToldDisk {
    disk: Arc<dyn Disk>,
    told: Arc<Told>,
}

struct Told {
    free_bytes: AtomicU64,
    /// How many more looks see them.
    looks: AtomicU64,
}

impl ToldDisk {
    /// A disk with room without end, until it is told otherwise.
    pub fn over(disk: impl Disk) -> ToldDisk {
        let told = Told { free_bytes: u64::MAX.into(), looks: u64::MAX.into() };
        ToldDisk { disk: Arc::new(disk), told: Arc::new(told) }
    }

    /// From now on so many bytes are free, and after that many looks none.
    pub fn tell_for_looks(&self, free_bytes: u64, looks: u64) {
        self.tell(free_bytes);
        self.told.looks.store(looks, Ordering::Relaxed);
    }

    /// From now on so many bytes are free.
    pub fn tell(&self, free_bytes: u64) {
        self.told.free_bytes.store(free_bytes, Ordering::Relaxed);
    }
}

impl Disk for ToldDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        self.disk.open(path, mode)
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
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let one_less = |left: u64| left.checked_sub(1);
        let seen = self.told.looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        Ok(if seen { self.told.free_bytes.load(Ordering::Relaxed) } else { 0 })
    }
}
