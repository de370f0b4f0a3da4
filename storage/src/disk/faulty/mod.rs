//! A disk over a real directory, that forgets what was not synced. For tests of whole node directories, sled's files
//! in them.
//!
//! ```text
//!   through the seam           behind it: sled, locks
//!        |  counted as steps        |
//!        v                          v
//!      real files and names, as the page cache would show them
//!        |
//!        | sync_data, sync_dir: what is there then is on disk for sure
//!        v
//!      contents and names on disk <--- a power cut leaves these, and of what changed since: any choice
//! ```
//!
//! The disk compares. It remembers what each file held at its last `sync_data`, and the names of each directory at its
//! last `sync_dir`; what it finds different at a power cut is in doubt, whoever wrote it and through whichever call. So
//! sled's files count: what it wrote and we did not sync is in doubt, whatever sled called for itself.
//!
//! Every write, change of length, sync, creation, rename and removal through the seam is one *step*. A test may have
//! the power fail at a step, have a step fail, or have the room run out.
//!
//! # What a power cut leaves
//!
//! Of the names that changed in a directory since its last fsync: all, none, or each on its own. Of a file that
//! changed since its last sync, sector by sector (512 bytes): what was synced, or anything it was seen to hold since;
//! or all up to some byte; and now and then a sector that is torn itself. Its length: the old one, the new one, or any
//! between. Sectors that it did not have when it was synced may be zeros, or hold what another file held.
//!
//! That is at least as harsh as ext4:
//!
//! * Its journal puts changes of names on disk in order, and each fsync of anything puts all before it there as well.
//!   Here a name is only there for sure after an fsync of its own directory, and each is by chance on its own. What
//!   both keep: a rename never loses the file.
//! * `data=ordered` writes a file's new blocks before the length that lets them be read; `data=writeback` does not, and
//!   old blocks of other files show. Here they may show. With delayed allocation a file may be empty or short: so it
//!   may here.
//! * Pages go to disk in any order, and a page that is written twice may be there in its first form. A drive tears no
//!   sector; here it may.
//! * After a failed fsync Linux takes the pages for clean: a later one that succeeds says nothing about them. The same
//!   here.
//!
//! Not here: a drive that lies about a flush, damage to what was synced, and what a file held between two steps where
//! nobody looked (its pages are then taken from before or after).
//!
//! sled itself never fails here, since it goes past the seam.

mod content;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::Random;
use super::{Disk, File, Mode, RealDisk};
use content::{Copies, Held};
use names::Names;

/// "Input/output error", as the system numbers it.
pub const EIO: i32 = 5;
/// "No space left on device".
pub const ENOSPC: i32 = 28;

/// A disk over a real directory. A cheap handle; clones are one disk.
#[derive(Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    root: PathBuf,
    /// The names that are on disk for sure.
    names: Names,
    /// Every file that has a name, on disk or now, by the number of its inode.
    files: BTreeMap<u64, Held>,
    /// Counts the power cuts: files opened before one are dead after it.
    mount: u64,
    steps: u64,
    power_fails_at: Option<u64>,
    fails_at: Option<(u64, i32)>,
    full_from: Option<u64>,
    bytes_max: Option<u64>,
    recording: bool,
    moments: BTreeMap<u64, Moment>,
}

/// All that a power cut at one step chooses from.
struct Moment {
    durable: Names,
    now: Names,
    files: BTreeMap<u64, Copies>,
}

/// What becomes of a step.
enum Fate {
    Happens,
    Fails(io::Error),
    PowerFails,
}

impl FaultyDisk {
    /// A disk over a directory; what is there is on disk for sure.
    pub fn new(root: &Path) -> io::Result<FaultyDisk> {
        let mut state = State {
            root: root.to_owned(),
            names: Names::default(),
            files: BTreeMap::new(),
            mount: 0,
            steps: 0,
            power_fails_at: None,
            fails_at: None,
            full_from: None,
            bytes_max: None,
            recording: false,
            moments: BTreeMap::new(),
        };
        state.settle()?;
        Ok(FaultyDisk { state: Arc::new(Mutex::new(state)) })
    }

    /// How many steps there were.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Has the power fail at a step (counted from 0): that one and all after it fail, until [`cut`](FaultyDisk::cut).
    /// A write that it hits is on its way to the disk; a sync that it hits is not done.
    pub fn power_fails_at(&self, step: u64) {
        self.lock().power_fails_at = Some(step);
    }

    /// Has one step fail with an error of the system ([`EIO`]), and only that one. A write that fails leaves its first
    /// half; what a sync that fails was to sync is in doubt.
    pub fn fail_at(&self, step: u64, code: i32) {
        self.lock().fails_at = Some((step, code));
    }

    /// From a step on there is no room: whatever grows a file or makes one fails.
    pub fn full_from(&self, step: u64) {
        self.lock().full_from = Some(step);
    }

    /// Limits what all files together may take; beyond it, [`ENOSPC`]. sled's files count, but sled is not stopped.
    pub fn limit(&self, bytes_max: Option<u64>) {
        self.lock().bytes_max = bytes_max;
    }

    /// Nothing fails any more, and there is room.
    pub fn mend(&self) {
        let mut state = self.lock();
        (state.power_fails_at, state.fails_at) = (None, None);
        (state.full_from, state.bytes_max) = (None, None);
    }

    /// A power cut, at the step at which the power failed, or else now. The directory becomes what the cut leaves, as
    /// the seed decides; the power is back, and nothing fails. Nobody may have files of it open but through this disk;
    /// those are dead from here on.
    pub fn cut(&self, seed: u64) -> io::Result<()> {
        let mut state = self.lock();
        let moment = match state.power_fails_at.and_then(|step| state.moments.remove(&step)) {
            Some(moment) => moment,
            None => state.moment()?,
        };
        for name in RealDisk.list(&state.root)? {
            remove_all(&state.root.join(name))?;
        }
        moment.leave(&state.root, &mut Random(seed))?;
        state.settle()?;
        state.mount += 1;
        state.moments.clear();
        (state.power_fails_at, state.fails_at, state.full_from) = (None, None, None);
        Ok(())
    }

    /// Remembers from now on, at each step, what a power cut there could leave: for [`leave`](FaultyDisk::leave).
    pub fn record(&self) {
        self.lock().recording = true;
    }

    /// Writes into a directory what a power cut at a recorded step leaves, as the seed decides. The answer is whether
    /// that step was recorded.
    pub fn leave(&self, step: u64, seed: u64, into: &Path) -> io::Result<bool> {
        match self.lock().moments.get(&step) {
            Some(moment) => moment.leave(into, &mut Random(seed)).map(|()| true),
            None => Ok(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// All that is there now is on disk for sure.
    fn settle(&mut self) -> io::Result<()> {
        self.files.clear();
        self.names = self.look()?;
        self.files.values_mut().try_for_each(Held::settle)
    }

    /// The names that there are now. Files that were not known are from here on.
    fn look(&mut self) -> io::Result<Names> {
        let files = &mut self.files;
        Names::below(&self.root, &mut |number, file| {
            files.entry(number).or_insert_with(|| Held::new(file));
        })
    }

    fn moment(&mut self) -> io::Result<Moment> {
        let now = self.look()?;
        let durable = self.names.clone();
        self.files.retain(|number, _| [&now, &durable].iter().any(|names| names.has_inode(*number)));
        let copies = self.files.iter_mut().map(|(number, held)| Ok((*number, held.copies()?)));
        let files = copies.collect::<io::Result<_>>()?;
        Ok(Moment { durable, now, files })
    }

    /// Begins a step; an error where the power is off.
    fn begin(&mut self) -> io::Result<Fate> {
        let step = self.steps;
        self.steps += 1;
        if self.power_fails_at.is_some_and(|at| step > at) {
            return Err(power_is_off());
        }
        Ok(match self.fails_at {
            Some((at, code)) if at == step => Fate::Fails(io::Error::from_raw_os_error(code)),
            _ if self.power_fails_at == Some(step) => Fate::PowerFails,
            _ => Fate::Happens,
        })
    }

    /// Begins a step that leaves no trace where it fails.
    fn begin_or_fail(&mut self) -> io::Result<Fate> {
        match self.begin()? {
            Fate::Fails(error) => Err(error),
            fate => Ok(fate),
        }
    }

    /// A step has happened, though what it changed is not on disk for sure; an error where the power fails with it.
    fn end(&mut self, fate: &Fate) -> io::Result<()> {
        let power_fails = matches!(fate, Fate::PowerFails);
        if self.recording || power_fails {
            let moment = self.moment()?;
            self.moments.insert(self.steps - 1, moment);
        }
        if power_fails { Err(power_is_off()) } else { Ok(()) }
    }

    /// How many bytes more fit.
    fn room(&self) -> io::Result<u64> {
        if self.full_from.is_some_and(|from| self.steps > from) {
            return Ok(0);
        }
        match self.bytes_max {
            Some(bytes_max) => Ok(bytes_max.saturating_sub(self.used()?)),
            None => Ok(u64::MAX),
        }
    }

    fn used(&self) -> io::Result<u64> {
        let mut used = 0;
        Names::below(&self.root, &mut |_, file| {
            used += file.metadata().map_or(0, |metadata| metadata.len())
        })?;
        Ok(used)
    }

    fn refuse_without_room(&self) -> io::Result<()> {
        if self.room()? == 0 { Err(io::Error::from_raw_os_error(ENOSPC)) } else { Ok(()) }
    }

    /// A path as the names have it; `None` outside of the root.
    fn below_root(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.root).ok().map(Path::to_path_buf)
    }

    /// A change of names: a step that happens or not.
    fn change_names(&mut self, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let fate = self.begin_or_fail()?;
        change()?;
        self.end(&fate)
    }

    fn create_dir(&mut self, dir: &Path) -> io::Result<()> {
        let fate = self.begin_or_fail()?;
        self.refuse_without_room()?;
        fs::create_dir(dir)?;
        self.end(&fate)
    }

    fn create(&mut self, path: &Path) -> io::Result<u64> {
        if path.exists() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let fate = self.begin_or_fail()?;
        self.refuse_without_room()?;
        let number = fs::File::create_new(path)?.metadata()?.ino();
        self.end(&fate)?;
        Ok(number)
    }

    /// The file of an inode, known from here on.
    fn held(&mut self, number: u64, file: &fs::File) -> io::Result<&mut Held> {
        Ok(match self.files.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Held::new(file.try_clone()?)),
        })
    }

    fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let fate = self.begin_or_fail()?;
        self.end(&fate)?;
        if let Some(dir) = self.below_root(dir) {
            let now = self.look()?;
            self.names.take_over(&dir, &now);
        }
        Ok(())
    }
}

impl Names {
    fn has_inode(&self, number: u64) -> bool {
        self.files.values().any(|own| *own == number)
    }
}

impl Moment {
    fn leave(&self, into: &Path, random: &mut Random) -> io::Result<()> {
        let names = self.durable.cut(&self.now, random);
        names.dirs.iter().try_for_each(|dir| fs::create_dir_all(into.join(dir)))?;
        // A file may have two names; its content is one.
        let mut cut: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (path, number) in &names.files {
            if let Some(copies) = self.files.get(number) {
                let content = cut.entry(*number).or_insert_with(|| copies.cut(self.any_file(random), random));
                fs::write(into.join(path), content)?;
            }
        }
        Ok(())
    }

    fn any_file(&self, random: &mut Random) -> &[u8] {
        let copies = self.files.values().nth(random.below(self.files.len().max(1)));
        copies.map_or(&[], |copies| copies.durable().as_slice())
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        let number = match mode {
            Mode::CreateNew => state.create(path)?,
            Mode::Read | Mode::ReadWrite => fs::metadata(path)?.ino(),
        };
        let writable = mode != Mode::Read;
        let file = fs::OpenOptions::new().read(true).write(writable).open(path)?;
        let (disk, mount) = (self.clone(), state.mount);
        Ok(Arc::new(FaultyFile { disk, file, number, mount, writable }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.is_dir()).collect();
        for dir in missing.into_iter().rev() {
            state.create_dir(dir)?;
            state.sync_dir(super::parent(dir))?;
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::symlink_metadata(from)?;
        self.lock().change_names(|| fs::rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::symlink_metadata(path)?;
        self.lock().change_names(|| fs::remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        for name in RealDisk.list(path)? {
            let child = path.join(name);
            if child.is_dir() { self.remove_dir_all(&child)? } else { self.remove(&child)? }
        }
        // sled may have made a file meanwhile.
        self.lock().change_names(|| fs::remove_dir_all(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.lock().sync_dir(dir)
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        self.lock().room()
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    file: fs::File,
    number: u64,
    mount: u64,
    writable: bool,
}

impl FaultyFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.mount == self.mount {
            Ok(state)
        } else {
            Err(io::Error::other("opened before the power cut"))
        }
    }

    fn state_to_write(&self) -> io::Result<MutexGuard<'_, State>> {
        if self.writable { self.state() } else { Err(io::Error::other("opened for reading")) }
    }

    /// Writes as much as there is room for; the answer is how much.
    fn write_what_fits(&self, state: &mut State, buf: &[u8], offset: u64) -> io::Result<usize> {
        let end = self.file.metadata()?.len().max(offset).saturating_add(state.room()?);
        let fits = buf.len().min(end.saturating_sub(offset) as usize);
        self.write(state, &buf[..fits], offset)?;
        Ok(fits)
    }

    fn write(&self, state: &mut State, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)?;
        state.held(self.number, &self.file)?.written(offset..offset + buf.len() as u64);
        Ok(())
    }
}

impl File for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let _state = self.state()?;
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state_to_write()?;
        let fate = state.begin()?;
        if let Fate::Fails(error) = fate {
            self.write(&mut state, &buf[..buf.len() / 2], offset)?;
            return Err(error);
        }
        let written = self.write_what_fits(&mut state, buf, offset)?;
        state.end(&fate)?;
        if written < buf.len() { Err(io::Error::from_raw_os_error(ENOSPC)) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let fate = state.begin()?;
        if let Fate::Fails(error) = fate {
            state.held(self.number, &self.file)?.sync_failed()?;
            return Err(error);
        }
        state.end(&fate)?;
        state.held(self.number, &self.file)?.synced()
    }

    fn len(&self) -> io::Result<u64> {
        let _state = self.state()?;
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state_to_write()?;
        let fate = state.begin_or_fail()?;
        if len > self.file.metadata()?.len() {
            state.refuse_without_room()?;
        }
        self.file.set_len(len)?;
        state.end(&fate)
    }
}

fn remove_all(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}
