//! Which names there are below a directory, and which of them a power cut leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk::random::Random;

/// The directories and the files below the root, by their paths from there; a file has the number of its inode.
#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) files: BTreeMap<PathBuf, u64>,
}

impl Names {
    /// What is below a directory now; `found` is given each file, open.
    ///
    /// sled removes and renames while this looks; what is gone again is left out.
    pub(super) fn below(root: &Path, found: &mut dyn FnMut(u64, fs::File)) -> io::Result<Names> {
        let mut names = Names::default();
        let mut waiting = vec![PathBuf::new()];
        while let Some(dir) = waiting.pop() {
            for name in unless_gone(children(&root.join(&dir)))?.unwrap_or_default() {
                let (path, full) = (dir.join(&name), root.join(&dir).join(&name));
                if full.is_dir() {
                    names.dirs.insert(path.clone());
                    waiting.push(path);
                } else if let Some(file) = unless_gone(fs::File::open(&full))? {
                    let number = file.metadata()?.ino();
                    found(number, file);
                    names.files.insert(path, number);
                }
            }
        }
        Ok(names)
    }

    /// Takes over what another has in one directory.
    pub(super) fn take_over(&mut self, dir: &Path, now: &Names) {
        let is_in = |path: &Path| path.parent() == Some(dir);
        self.dirs.retain(|path| !is_in(path));
        self.files.retain(|path, _| !is_in(path));
        self.dirs.extend(now.dirs.iter().filter(|path| is_in(path)).cloned());
        let files = now.files.iter().filter(|(path, _)| is_in(path));
        self.files.extend(files.map(|(path, number)| (path.clone(), *number)));
    }

    /// What a power cut leaves where these names are on disk and those of `now` are not yet: all of the changes, none,
    /// or each on its own. A file that has a name both before and after has one: no rename loses it.
    pub(super) fn cut(&self, now: &Names, random: &mut Random) -> Names {
        let habit = random.below(4);
        let mut old = || habit == 0 || (habit > 1 && random.below(2) == 0);
        let mut left = Names::default();
        for path in self.dirs.union(&now.dirs) {
            let side = if old() { self } else { now };
            left.dirs.extend(side.dirs.get(path).cloned());
        }
        let files: BTreeSet<&PathBuf> = self.files.keys().chain(now.files.keys()).collect();
        for path in files {
            let side = if old() { self } else { now };
            left.files.extend(side.files.get(path).map(|number| (path.clone(), *number)));
        }
        left.keep_renamed(self, now);
        left.drop_orphans();
        left
    }

    fn keep_renamed(&mut self, before: &Names, now: &Names) {
        let known: BTreeSet<u64> = before.files.values().copied().collect();
        for (path, number) in now.files.iter().filter(|(_, number)| known.contains(number)) {
            if !self.files.values().any(|kept| kept == number) {
                self.files.insert(path.clone(), *number);
            }
        }
    }

    /// Removes what lies in directories that are not there.
    fn drop_orphans(&mut self) {
        let dirs = self.dirs.clone();
        let is_root = |dir: &Path| dir.as_os_str().is_empty();
        let reachable = |path: &Path| path.ancestors().skip(1).all(|dir| is_root(dir) || dirs.contains(dir));
        self.dirs.retain(|path| reachable(path));
        self.files.retain(|path, _| reachable(path));
    }
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into())).collect()
}

/// sled may take a file away between two looks at it.
pub(super) fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}
