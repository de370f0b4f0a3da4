//! What a file holds: on disk for sure, in memory now, and what a power cut makes of the difference.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::disk::random::Random;

/// What a disk writes whole or not at all; torn here all the same, in the end.
const SECTOR_BYTES: usize = 512;

/// So many contents between two syncs are remembered.
const LATER_MAX: usize = 4;

/// A file, kept open: so its inode's number is not given to another file, and it can be read without a name.
pub(super) struct Held {
    file: fs::File,
    copies: Copies,
    /// The sectors that a failed sync left in doubt, as they were then.
    doubtful: BTreeMap<usize, Vec<u8>>,
}

/// The contents that a file may have after a power cut.
#[derive(Clone)]
pub(super) struct Copies {
    /// What is on disk for sure.
    durable: Arc<Vec<u8>>,
    /// What it held since then, the newest last; empty where that is the same.
    later: Vec<Arc<Vec<u8>>>,
}

impl Held {
    /// A file of which nothing is on disk.
    pub(super) fn new(file: fs::File) -> Held {
        let copies = Copies { durable: Arc::default(), later: Vec::new() };
        Held { file, copies, doubtful: BTreeMap::new() }
    }

    /// All that the file holds now is on disk for sure.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.copies = Copies { durable: Arc::new(read(&self.file)?), later: Vec::new() };
        self.doubtful.clear();
        Ok(())
    }

    /// The contents that it may have after a power cut now.
    pub(super) fn copies(&mut self) -> io::Result<Copies> {
        let now = read(&self.file)?;
        if now != **self.copies.newest() {
            self.copies.later.push(Arc::new(now));
        }
        if self.copies.later.len() > LATER_MAX {
            self.copies.later.remove(0);
        }
        Ok(self.copies.clone())
    }

    /// It was written there, so that the next sync that succeeds is one of these bytes too.
    pub(super) fn written(&mut self, bytes: Range<u64>) {
        let sectors = bytes.start as usize / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES as u64) as usize;
        self.doubtful.retain(|sector, _| !sectors.contains(sector));
    }

    /// A sync has succeeded. It leaves out what an earlier one that failed was to sync, unless that was written again:
    /// Linux takes such pages for clean.
    pub(super) fn synced(&mut self) -> io::Result<()> {
        let now = read(&self.file)?;
        self.doubtful.retain(|sector, failed| sector_of(&now, *sector) == failed.as_slice());
        let mut durable = now.clone();
        for sector in self.doubtful.keys() {
            let old = sector_of(&self.copies.durable, *sector);
            for (at, byte) in sector_range(*sector, durable.len()).enumerate() {
                durable[byte] = old.get(at).copied().unwrap_or(0);
            }
        }
        let later = if durable == now { vec![] } else { vec![Arc::new(now)] };
        self.copies = Copies { durable: Arc::new(durable), later };
        Ok(())
    }

    /// A sync has failed.
    pub(super) fn sync_failed(&mut self) -> io::Result<()> {
        let now = read(&self.file)?;
        for sector in 0..now.len().div_ceil(SECTOR_BYTES) {
            let bytes = sector_of(&now, sector);
            if sector_of(&self.copies.durable, sector) != bytes {
                self.doubtful.insert(sector, bytes.to_vec());
            }
        }
        Ok(())
    }
}

impl Copies {
    fn newest(&self) -> &Arc<Vec<u8>> {
        self.later.last().unwrap_or(&self.durable)
    }

    /// What is on disk for sure.
    pub(super) fn durable(&self) -> &Arc<Vec<u8>> {
        &self.durable
    }

    /// What a power cut leaves: nothing of the changes, all of them, them up to some byte, or any choice of sectors.
    /// `stale` is what newly allocated sectors may hold.
    pub(super) fn cut(&self, stale: &[u8], random: &mut Random) -> Vec<u8> {
        if self.later.is_empty() {
            return self.durable.to_vec();
        }
        match random.below(5) {
            0 => self.durable.to_vec(),
            1 => self.newest().to_vec(),
            2 => self.cut_at_a_byte(random),
            _ => self.scatter(stale, random),
        }
    }

    fn cut_at_a_byte(&self, random: &mut Random) -> Vec<u8> {
        let (old, new) = (&*self.durable, &**self.newest());
        let sectors = old.len().max(new.len()).div_ceil(SECTOR_BYTES);
        let changed = |sector: &usize| sector_of(old, *sector) != sector_of(new, *sector);
        let first = (0..sectors).find(changed).unwrap_or(0);
        let last = (0..sectors).rfind(changed).unwrap_or(0);
        let cut = first * SECTOR_BYTES + random.below((last + 1 - first) * SECTOR_BYTES + 1);
        let (cut_new, cut_old) = (cut.min(new.len()), cut.min(old.len()));
        [&new[..cut_new], &old[cut_old..]].concat()
    }

    fn scatter(&self, stale: &[u8], random: &mut Random) -> Vec<u8> {
        let versions: Vec<&[u8]> = self.later.iter().map(|later| later.as_slice()).collect();
        let versions = [&[self.durable.as_slice()], &versions[..]].concat();
        let mut left = vec![0; self.cut_length(random)];
        for sector in 0..left.len().div_ceil(SECTOR_BYTES) {
            let picked = [random.below(versions.len()), random.below(versions.len())];
            // Where a sector is torn, its first bytes are the newer ones.
            let (one, other) = (versions[picked[0].max(picked[1])], versions[picked[0].min(picked[1])]);
            let (one, other) = (sector_of(one, sector), sector_of(other, sector));
            let range = sector_range(sector, left.len());
            // Where the durable file does not reach, the bytes may be anyone's.
            let anyone = range.start >= self.durable.len() && random.below(8) == 0;
            let one = if anyone { any_sector(stale, random) } else { one };
            let tear = match random.below(8) {
                0 => random.below(SECTOR_BYTES),
                1..4 => 0,
                _ => SECTOR_BYTES,
            };
            for (at, byte) in range.enumerate() {
                let from = if at < tear { one } else { other };
                left[byte] = from.get(at).copied().unwrap_or(0);
            }
        }
        left
    }

    /// A length that the file had, or any between.
    fn cut_length(&self, random: &mut Random) -> usize {
        let lengths = [self.durable.len(), self.newest().len()];
        let span = lengths[0].abs_diff(lengths[1]);
        match random.below(3) {
            0 => lengths[0],
            1 => lengths[1],
            _ => lengths[0].min(lengths[1]) + random.below(span + 1),
        }
    }
}

fn any_sector<'a>(bytes: &'a [u8], random: &mut Random) -> &'a [u8] {
    sector_of(bytes, random.below(bytes.len().div_ceil(SECTOR_BYTES).max(1)))
}

/// The bytes of a sector; shorter at the end, empty behind it.
fn sector_of(bytes: &[u8], sector: usize) -> &[u8] {
    &bytes[sector_range(sector, bytes.len())]
}

fn sector_range(sector: usize, length: usize) -> Range<usize> {
    let at = |sector: usize| length.min(sector * SECTOR_BYTES);
    at(sector)..at(sector + 1)
}

fn read(file: &fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
