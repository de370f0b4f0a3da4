//! The rows of an image, as they come out of sled, and the packs that they name.

use super::super::codec::HEADER_KEY;
use super::super::contain::contain;
use super::super::packs::Place;
use super::super::rows;
use super::merge::{Cursor, Merge};
use super::runs::{self, Runs};
use super::{Image, Unreadable, undecodable};

/// The key and the value of a row: see `decode_row`.
pub struct RawRow {
    key: sled::IVec,
    value: sled::IVec,
}

impl RawRow {
    pub(in crate::checkpoint) fn new(key: &[u8], value: &[u8]) -> RawRow {
        RawRow { key: key.into(), value: value.into() }
    }

    /// Its key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Whether its tag is this one or a lesser one.
    fn is_within(&self, last_tag: u8) -> bool {
        self.key.first().is_some_and(|own| *own <= last_tag)
    }
}

impl Image {
    /// Every row, in the order of the keys; the header is left out.
    pub(in super::super) fn rows(&self) -> impl Iterator<Item = Result<RawRow, Unreadable>> + '_ {
        let [stock, customers] = rows::RUN_TAGS;
        // The key right behind the header's: whatever is there is a row, or damage.
        let first = [HEADER_KEY, &[0]].concat();
        let before = self.rows_up_to(first, stock - 1).chain(self.run_rows(stock));
        let between = self.rows_up_to(vec![stock + 1], customers - 1).chain(self.run_rows(customers));
        before.chain(between).chain(self.rows_up_to(vec![customers + 1], u8::MAX))
    }

    /// The rows from a key on to the last one of a tag, of which none lies in runs.
    fn rows_up_to(
        &self,
        from: Vec<u8>,
        last_tag: u8,
    ) -> impl Iterator<Item = Result<RawRow, Unreadable>> + '_ {
        let is_within =
            move |row: &Result<RawRow, _>| row.as_ref().map_or(true, |row| row.is_within(last_tag));
        self.stored(from).take_while(is_within).map(|row| {
            let row = row?;
            if !rows::is_pack(&row.key) {
                return Ok(row);
            }
            let value = self.packs.read(self.place(&row.value)?)?;
            Ok(RawRow { key: row.key, value: value.into() })
        })
    }

    /// The records of a tag that lie in runs.
    fn run_rows(&self, tag: u8) -> impl Iterator<Item = Result<RawRow, Unreadable>> + '_ {
        let (mut merge, mut record) = (None, Vec::new());
        // As below.
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let next = self.next_of_runs(tag, &mut merge, &mut record);
            failed = next.is_err();
            next.transpose()
        })
    }

    fn next_of_runs(
        &self,
        tag: u8,
        merge: &mut Option<Merge<'static>>,
        record: &mut Vec<u8>,
    ) -> Result<Option<RawRow>, Unreadable> {
        let merge = match merge {
            Some(merge) => merge,
            None => merge.insert(self.merge_of_all(tag)?),
        };
        record.clear();
        self.progress.step();
        let is_there = merge.append_next(&self.packs, record)?;
        Ok(rows::split_record(record).filter(|_| is_there).map(|(key, value)| RawRow::new(key, value)))
    }

    fn merge_of_all(&self, tag: u8) -> Result<Merge<'static>, Unreadable> {
        let runs = self.runs.get(&tag).map(Runs::numbers).unwrap_or_default();
        let cursors = runs.into_iter().rev().map(|run| self.cursor(tag, run));
        let cursors = cursors.collect::<Result<_, _>>()?;
        Merge::new(self.path.clone(), tag, cursors, false, &self.packs)
    }

    /// The records of a run.
    pub(super) fn cursor(&self, tag: u8, run: u64) -> Result<Cursor<'static>, Unreadable> {
        let prefix = runs::prefix(tag, run);
        let of_run = move |row: &Result<RawRow, _>| {
            row.as_ref().map_or(true, |row: &RawRow| row.key.starts_with(&prefix))
        };
        let places = self.stored(prefix.to_vec()).take_while(of_run).map(|row| self.place(&row?.value));
        places.collect::<Result<_, _>>().map(Cursor::of_run)
    }

    /// What sled keeps from a key on, in the order of the keys: where that is broken, it would go round in circles.
    fn stored(&self, from: Vec<u8>) -> impl Iterator<Item = Result<RawRow, Unreadable>> + use<'_> {
        let mut range = self.db().range(from..);
        // An iterator that has failed once is not asked again.
        let mut failed = false;
        let mut last = sled::IVec::default();
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let next = contain(|| range.next().transpose()).map_err(|e| e.on_reading(&self.path));
            self.progress.step();
            let next = next.and_then(|next| in_order(&mut last, next));
            failed = next.is_err();
            next.transpose()
        })
    }

    /// Where each pack is, those of runs included, by the key of its row.
    pub(super) fn places(&self) -> Result<Vec<(sled::IVec, Place)>, Unreadable> {
        let of_tag = |tag: u8| {
            let is_of_tag =
                move |row: &Result<RawRow, _>| row.as_ref().map_or(true, |row| row.is_within(tag));
            self.stored(vec![tag]).take_while(is_of_tag)
        };
        let tags = rows::PACK_TAGS.into_iter().chain(rows::RUN_TAGS);
        let places = tags.flat_map(of_tag).map(|row| {
            let row = row?;
            Ok((row.key, self.place(&row.value)?))
        });
        places.collect()
    }

    pub(super) fn place(&self, stored: &[u8]) -> Result<Place, Unreadable> {
        Place::decode(stored).map_err(|e| undecodable(&self.path, e))
    }
}

/// The next row, whose key is greater than the last one.
fn in_order(
    last: &mut sled::IVec,
    next: Option<(sled::IVec, sled::IVec)>,
) -> Result<Option<RawRow>, Unreadable> {
    let Some((key, value)) = next else { return Ok(None) };
    if key <= *last {
        return Err(Unreadable::Damaged("the rows are not in the order of their keys".to_owned()));
    }
    *last = key.clone();
    Ok(Some(RawRow { key, value }))
}
