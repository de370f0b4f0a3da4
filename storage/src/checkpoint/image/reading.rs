//! The rows of an image, as they come out of sled, and the packs that they name.

use std::ops::Bound;

use super::super::codec;
use super::super::contain::contain;
use super::super::packs::Place;
use super::super::rows;
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
}

impl Image {
    /// Every row, in the order of the keys; the header is left out.
    pub(in super::super) fn rows(&self) -> impl Iterator<Item = Result<RawRow, Unreadable>> + '_ {
        self.stored(codec::HEADER_KEY).map(|row| {
            let row = row?;
            if !rows::is_pack(&row.key) {
                return Ok(row);
            }
            let value = self.packs.read(self.place(&row.value)?)?;
            Ok(RawRow { key: row.key, value: value.into() })
        })
    }

    /// What sled keeps after a key, in the order of the keys: where that is broken, it would go round in circles.
    fn stored(&self, after: &[u8]) -> impl Iterator<Item = Result<RawRow, Unreadable>> + use<'_> {
        let mut range = self.db().range::<&[u8], _>((Bound::Excluded(after), Bound::Unbounded));
        // An iterator that has failed once is not asked again.
        let mut failed = false;
        let mut last = sled::IVec::from(after);
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

    /// Where each pack is, by the key of its row.
    pub(super) fn places(&self) -> Result<Vec<(sled::IVec, Place)>, Unreadable> {
        let of_tag = |tag: u8| self.stored(&[tag]).take_while(move |row| is_tagged(row, tag));
        let places = rows::PACK_TAGS.into_iter().flat_map(of_tag).map(|row| {
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

fn is_tagged(row: &Result<RawRow, Unreadable>, tag: u8) -> bool {
    row.as_ref().map_or(true, |row| row.key.first() == Some(&tag))
}
