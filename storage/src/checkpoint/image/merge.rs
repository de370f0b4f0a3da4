//! Runs read as one: of several records with one key, the newest.

use std::borrow::Cow;
use std::path::PathBuf;
use std::vec::IntoIter;

use super::super::packs::{Packs, Place};
use super::super::rows;
use super::{Unreadable, undecodable};

/// The records of one run, one after the other: a pack of them is in memory.
pub(super) struct Cursor<'a> {
    places: IntoIter<Place>,
    bytes: Cow<'a, [u8]>,
    /// Where in them each record begins.
    starts: Cow<'a, [usize]>,
    at: usize,
}

/// See the module.
pub(super) struct Merge<'a> {
    /// Where the image is.
    path: PathBuf,
    tag: u8,
    /// The newest first; each at its next record.
    cursors: Vec<Cursor<'a>>,
    /// Whether records that are gone are passed on, since older runs may have them.
    tells_gone: bool,
}

impl<'a> Cursor<'a> {
    /// Changes, in the order of their keys: see `Changes::of_tag`.
    pub(super) fn of_changes(bytes: &'a [u8], starts: &'a [usize]) -> Cursor<'a> {
        let (bytes, starts) = (Cow::Borrowed(bytes), Cow::Borrowed(starts));
        Cursor { places: Vec::new().into_iter(), bytes, starts, at: 0 }
    }

    /// A run whose packs lie there, before its first record.
    pub(super) fn of_run(places: Vec<Place>) -> Cursor<'a> {
        let (bytes, starts) = (Cow::Owned(Vec::new()), Cow::Owned(Vec::new()));
        Cursor { places: places.into_iter(), bytes, starts, at: 0 }
    }

    /// Where the packs lie that are still to be read.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.places.as_slice().iter().copied()
    }

    fn key(&self) -> Option<&[u8]> {
        self.starts.get(self.at).map(|&start| rows::key_at(&self.bytes, start))
    }

    /// The record as packs have it.
    fn record(&self) -> Option<&[u8]> {
        self.starts.get(self.at).map(|&start| rows::record_at(&self.bytes, start))
    }
}

impl<'a> Merge<'a> {
    /// Runs, the newest first.
    pub(super) fn new(
        path: PathBuf,
        tag: u8,
        cursors: Vec<Cursor<'a>>,
        tells_gone: bool,
        packs: &Packs,
    ) -> Result<Merge<'a>, Unreadable> {
        let mut merge = Merge { path, tag, cursors, tells_gone };
        for at in 0..merge.cursors.len() {
            merge.read_on(at, packs)?;
        }
        Ok(merge)
    }

    /// Appends the next record, as packs have it; false where there is none any more.
    pub(super) fn append_next(&mut self, packs: &Packs, to: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let start = to.len();
        loop {
            let Some(record) = self.newest_of_least() else { return Ok(false) };
            to.extend_from_slice(record);
            self.pass(rows::key_at(to, start), packs)?;
            if self.tells_gone || !rows::is_gone_at(to, start) {
                return Ok(true);
            }
            to.truncate(start);
        }
    }

    fn newest_of_least(&self) -> Option<&[u8]> {
        let keys = self.cursors.iter().filter_map(|cursor| Some((cursor.key()?, cursor)));
        // Of several that are least this is the first.
        let least = keys.min_by(|one, other| one.0.cmp(other.0));
        least.and_then(|(_, cursor)| cursor.record())
    }

    /// Leaves every record of this key behind.
    fn pass(&mut self, key: &[u8], packs: &Packs) -> Result<(), Unreadable> {
        for at in 0..self.cursors.len() {
            if self.cursors[at].key() == Some(key) {
                self.cursors[at].at += 1;
                self.read_on(at, packs)?;
            }
        }
        Ok(())
    }

    /// Reads the next pack of a run where nothing is left of the last one.
    fn read_on(&mut self, at: usize, packs: &Packs) -> Result<(), Unreadable> {
        let cursor = &mut self.cursors[at];
        if cursor.at < cursor.starts.len() {
            return Ok(());
        }
        let Some(place) = cursor.places.next() else { return Ok(()) };
        let last = cursor.starts.last().map(|&start| rows::key_at(&cursor.bytes, start).to_vec());
        let bytes = rows::unpack(&packs.read(place)?).map_err(|e| undecodable(&self.path, e))?;
        let starts = rows::split_run(self.tag, last.as_deref(), &bytes);
        let starts = starts.map_err(|e| undecodable(&self.path, e))?;
        (cursor.bytes, cursor.starts, cursor.at) = (bytes.into(), starts.into(), 0);
        Ok(())
    }
}
