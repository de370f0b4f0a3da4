//! A disk in memory that forgets what was not synced. For tests.
//!
//! ```text
//!   write --> unsynced changes --sync_data--> durable bytes        create, rename, remove
//!                  |                                                        |
//!                crash: each kept whole, torn, or lost      sync_dir makes them durable; crash: kept or lost
//! ```
//!
//! A torn write is a prefix of it (cut at any byte) or a random choice of its 512-byte sectors. After a failed
//! `sync_data` what it was to sync is in doubt: a later one that succeeds does not save it but loses it, as on Linux.
//! Every change of the disk (write, length, sync, directory operation) is one *step*; a test may have the power
//! fail at a step, or have that one step fail.
//!
//! Not simulated: damage to bytes that were synced (see [`SimDisk::edit`]), and a disk that lies about syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::Random;
use super::{Disk, File, Mode};

const SECTOR_BYTES: usize = 512;

/// A simulated disk. A cheap handle; clones are one disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    names: Names,
    durable_names: Names,
    unsynced_names: Vec<NameChange>,
    /// Counts the mounts: files opened before a crash are dead after it.
    mount: u64,
    steps: u64,
    /// Whether nobody has it: every step fails, and changes nothing.
    unplugged: bool,
    power_fails_at: Option<u64>,
    fails_at: Option<(u64, io::ErrorKind)>,
    bytes_max: Option<u64>,
}

#[derive(Clone, Default)]
struct Names {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, usize>,
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// How many of the unsynced changes a failed sync left in doubt.
    doubtful: usize,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone)]
enum NameChange {
    Dir(PathBuf),
    Create(PathBuf, usize),
    Rename { from: PathBuf, to: PathBuf, inode: usize },
    Remove(PathBuf),
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// How many steps there were.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Has the power fail at a step (counted from 0): that one and all after it fail, until [`SimDisk::crash`].
    /// A write that it hits is on its way to the disk; a sync that it hits is not done.
    pub fn power_fails_at(&self, step: u64) {
        self.lock().power_fails_at = Some(step);
    }

    /// Has one step fail, and only that one. A write that fails is there all the same, whole or its first half.
    pub fn fail_at(&self, step: u64, kind: io::ErrorKind) {
        self.lock().fails_at = Some((step, kind));
    }

    /// Limits what all files together may take; beyond it, `StorageFull`.
    pub fn limit(&self, bytes_max: Option<u64>) {
        self.lock().bytes_max = bytes_max;
    }

    /// A power cut: what was not synced is kept, torn or lost as the seed decides, and the power is back.
    /// Files that are open are dead from here on.
    pub fn crash(&self, seed: u64) {
        self.lock().crash(&mut Random(seed));
    }

    /// The end of the process that used it: what it wrote is there, synced or not, and its files are dead. Until
    /// [`SimDisk::crash`] or [`SimDisk::remount`] nothing can be done.
    pub fn unplug(&self) {
        let mut state = self.lock();
        state.mount += 1;
        state.unplugged = true;
        (state.power_fails_at, state.fails_at) = (None, None);
    }

    /// Another process may use it from here on.
    pub fn remount(&self) {
        self.lock().unplugged = false;
    }

    /// A disk of its own with the same content.
    pub fn fork(&self) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// The files and their lengths.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let state = self.lock();
        state.names.files.iter().map(|(path, inode)| (path.clone(), state.inodes[*inode].now.len())).collect()
    }

    /// Changes what a file durably holds: damage. The answer is whether there is such a file.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.lock();
        let Some(inode) = state.names.files.get(path).copied() else {
            return false;
        };
        let inode = &mut state.inodes[inode];
        edit(&mut inode.now);
        inode.durable = inode.now.clone();
        inode.unsynced.clear();
        inode.doubtful = 0;
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a step; the error is for one that fails without a trace.
    fn step(&mut self) -> io::Result<()> {
        if self.unplugged {
            return Err(io::Error::other("the process that used the disk has ended"));
        }
        let step = self.steps;
        self.steps += 1;
        if self.power_fails_at.is_some_and(|at| step >= at) {
            return Err(io::Error::other("the power is off"));
        }
        match self.fails_at {
            Some((at, kind)) if at == step => Err(io::Error::new(kind, "made to fail")),
            _ => Ok(()),
        }
    }

    /// Whether the step before was the one at which the power failed.
    fn power_fails(&self) -> bool {
        self.power_fails_at == Some(self.steps - 1)
    }

    /// Whether the step before was the one at which the power failed, or that was made to fail.
    fn hit(&self) -> bool {
        self.power_fails() || self.fails_at.is_some_and(|(at, _)| at == self.steps - 1)
    }

    fn change(&mut self, inode: usize, change: Change) -> io::Result<()> {
        let result = self.step();
        if result.is_err() && !self.hit() {
            return result;
        }
        self.check_room(inode, &change)?;
        let power_fails = self.power_fails();
        // What a write that failed left can be read, like what any other one wrote.
        let change = if result.is_err() && !power_fails { change.failed(self.steps) } else { change };
        let inode = &mut self.inodes[inode];
        if !power_fails {
            change.apply(&mut inode.now);
        }
        inode.unsynced.push(change);
        result
    }

    fn check_room(&self, inode: usize, change: &Change) -> io::Result<()> {
        let Some(bytes_max) = self.bytes_max else {
            return Ok(());
        };
        let used: usize = self.names.files.values().map(|inode| self.inodes[*inode].now.len()).sum();
        let grown = change.end().saturating_sub(self.inodes[inode].now.len());
        let fits = grown == 0 || (used + grown) as u64 <= bytes_max;
        if fits { Ok(()) } else { Err(io::Error::from(io::ErrorKind::StorageFull)) }
    }

    fn sync(&mut self, inode: usize) -> io::Result<()> {
        let result = self.step();
        let inode = &mut self.inodes[inode];
        if result.is_err() {
            inode.doubtful = inode.unsynced.len();
            return result;
        }
        let doubtful = std::mem::take(&mut inode.doubtful);
        for change in std::mem::take(&mut inode.unsynced).into_iter().skip(doubtful) {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let result = self.step();
        if result.is_ok() {
            change.apply(&mut self.names);
        }
        if result.is_ok() || self.power_fails() {
            self.unsynced_names.push(change);
        }
        result
    }

    fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.step()?;
        let (synced, rest) = self.unsynced_names.drain(..).partition(|change| change.is_in(dir));
        self.unsynced_names = rest;
        for change in Vec::<NameChange>::into_iter(synced) {
            change.apply(&mut self.durable_names);
        }
        Ok(())
    }

    fn crash(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.unsynced_names) {
            if random.below(2) == 0 {
                change.apply(&mut self.durable_names);
            }
        }
        self.durable_names.drop_orphans();
        self.names = self.durable_names.clone();
        self.inodes.iter_mut().for_each(|inode| inode.crash(random));
        self.mount += 1;
        self.unplugged = false;
        self.power_fails_at = None;
        self.fails_at = None;
    }
}

impl Inode {
    fn crash(&mut self, random: &mut Random) {
        // A disk may keep nothing, everything, or each on its own; the last alone would hardly ever do the others.
        let habit = random.below(4);
        for change in std::mem::take(&mut self.unsynced) {
            match (habit, random.below(4)) {
                (0, _) | (2 | 3, 0) => {}
                (1, _) | (2 | 3, 1) => change.apply(&mut self.durable),
                _ => change.tear(&mut self.durable, random),
            }
        }
        self.doubtful = 0;
        self.now = self.durable.clone();
    }
}

impl Change {
    fn end(&self) -> usize {
        match self {
            Change::Write { offset, bytes } => offset + bytes.len(),
            Change::Length(length) => *length,
        }
    }

    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => put(content, *offset, bytes),
            Change::Length(length) => content.resize(*length, 0),
        }
    }

    /// What is left of a change that failed: all of it, or the first half.
    fn failed(self, step: u64) -> Change {
        match self {
            Change::Write { offset, mut bytes } if step.is_multiple_of(2) => {
                bytes.truncate(bytes.len() / 2);
                Change::Write { offset, bytes }
            }
            change => change,
        }
    }

    fn tear(&self, content: &mut Vec<u8>, random: &mut Random) {
        let Change::Write { offset, bytes } = self else {
            return;
        };
        if random.below(2) == 0 {
            return put(content, *offset, &bytes[..random.below(bytes.len() + 1)]);
        }
        let mut from = 0;
        while from < bytes.len() {
            let to = bytes.len().min((offset + from) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - offset);
            if random.below(2) == 0 {
                put(content, offset + from, &bytes[from..to]);
            }
            from = to;
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            NameChange::Dir(path) | NameChange::Create(path, _) | NameChange::Remove(path) => {
                path.parent() == Some(dir)
            }
            NameChange::Rename { to, .. } => to.parent() == Some(dir),
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Dir(path) => drop(names.dirs.insert(path.clone())),
            NameChange::Create(path, inode) => drop(names.files.insert(path.clone(), *inode)),
            NameChange::Remove(path) => drop(names.files.remove(path)),
            NameChange::Rename { from, to, inode } => {
                names.files.remove(from);
                names.files.insert(to.clone(), *inode);
            }
        }
    }
}

impl Names {
    fn has_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || path.as_os_str().is_empty() || self.dirs.contains(path)
    }

    /// Removes what lies in directories that are not there.
    fn drop_orphans(&mut self) {
        let dirs = self.dirs.clone();
        let reachable = |path: &Path| {
            path.ancestors()
                .skip(1)
                .all(|dir| dir.parent().is_none() || dir.as_os_str().is_empty() || dirs.contains(dir))
        };
        self.dirs.retain(|path| reachable(path));
        self.files.retain(|path, _| reachable(path));
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        let inode = match (state.names.files.get(path).copied(), mode) {
            (Some(_), Mode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => inode,
            (None, Mode::CreateNew) if path.parent().is_some_and(|dir| state.names.has_dir(dir)) => {
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.change_name(NameChange::Create(path.to_path_buf(), inode))?;
                inode
            }
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
        };
        let mount = state.mount;
        let writable = mode != Mode::Read;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, mount, writable }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let missing: Vec<&Path> = path.ancestors().filter(|dir| !state.names.has_dir(dir)).collect();
        for dir in missing.into_iter().rev() {
            state.change_name(NameChange::Dir(dir.to_path_buf()))?;
            state.sync_dir(dir.parent().unwrap_or(dir))?;
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        if !state.names.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = state.names.dirs.iter().chain(state.names.files.keys());
        let within = paths.filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> =
            within.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.names.files.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.change_name(NameChange::Rename { from: from.to_path_buf(), to: to.to_path_buf(), inode })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if !state.names.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Remove(path.to_path_buf()))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let names = self.list(path)?;
        names.iter().try_for_each(|name| self.remove(&path.join(name)))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.lock().sync_dir(dir)
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    mount: u64,
    writable: bool,
}

impl SimFile {
    fn state(&self, writes: bool) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.mount != self.mount {
            return Err(io::Error::other("opened before the power cut"));
        }
        if writes && !self.writable {
            return Err(io::Error::other("opened for reading"));
        }
        Ok(state)
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state(false)?;
        let content = &state.inodes[self.inode].now;
        let rest = content.get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let change = Change::Write { offset: offset as usize, bytes: buf.to_vec() };
        self.state(true)?.change(self.inode, change)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state(false)?.sync(self.inode)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state(false)?.inodes[self.inode].now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state(true)?.change(self.inode, Change::Length(len as usize))
    }
}

#[cfg(test)]
mod tests;
