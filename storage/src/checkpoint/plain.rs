//! The image without sled: in memory, and in one file that each save replaces whole. For simulations.
//!
//! ```text
//!   IMAGE    length of the header (4, little-endian) | header | records, as packs have them, in the order of the keys
//!
//!   saved:   IMAGE.tmp written --> fdatasync --> renamed to IMAGE --> directory fsynced
//! ```
//!
//! A simulation has its disk in memory, and no thread but its own. sled has both otherwise: so this stands in its
//! place there, behind the same calls and with the same rows. No node ever uses it: a save costs the whole image.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codec::{self, CodecError};
use super::image::RawRow;
use super::rows::{self, Packer, Split};
use super::{Changes, ImageHeader, Opened};
use crate::StorageError;
use crate::disk::{self, Disk, Mode};
use crate::inventory::Inventory;
use crate::inventory::record::{Record, RecordKey};
use crate::small;

const NAME: &str = "IMAGE";
const TEMPORARY: &str = "IMAGE.tmp";

/// The records, encoded, by their keys.
type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// An open image.
pub(super) struct Plain {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    records: Records,
}

impl Plain {
    /// Opens the image in a directory, or begins an empty one.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Plain, Opened), StorageError> {
        disk.create_dir_all(dir).map_err(StorageError::io("create", dir))?;
        let (records, opened) = match read(&*disk, dir).map_err(StorageError::io("read", dir))? {
            Some(bytes) => loaded(&bytes).map_err(StorageError::io("decode", dir))?,
            None => (Records::new(), Opened::Empty { reason: None }),
        };
        Ok((Plain { disk, dir: dir.to_owned(), records }, opened))
    }

    /// Makes the changes, durable at return.
    pub(super) fn save(&mut self, header: &ImageHeader, changes: &mut Changes) -> Result<(), StorageError> {
        changes.sort().map_err(|e| self.not_encoded(e))?;
        for (key, value) in changes.rows().flat_map(|row| row.records()) {
            match value {
                Some(value) => drop(self.records.insert(key.to_vec(), value.to_vec())),
                None => drop(self.records.remove(key)),
            }
        }
        self.write(header)
    }

    /// Replaces all of it, durable at return.
    pub(super) fn replace(
        &mut self,
        header: &ImageHeader,
        records: &mut dyn Iterator<Item = (RecordKey, Record)>,
    ) -> Result<(), StorageError> {
        self.records.clear();
        let mut all = Changes::default();
        records.for_each(|(key, record)| all.push((&key).into(), Some((&record).into())));
        self.save(header, &mut all)
    }

    /// Every row, in the order of the keys.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<RawRow, StorageError>> + '_ {
        let records: Vec<Split<'_>> = self.records.iter().map(|(key, value)| (&**key, &**value)).collect();
        let packed = records.chunk_by(|one, other| rows::is_in_one_pack(one.0, other.0)).map(row_of);
        let rows: Vec<_> = packed.map(|row| row.map_err(|e| self.not_encoded(e))).collect();
        rows.into_iter()
    }

    fn write(&self, header: &ImageHeader) -> Result<(), StorageError> {
        let header = codec::encode_header(header).map_err(|e| self.not_encoded(e))?;
        let mut bytes = (header.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&header);
        self.records.iter().for_each(|(key, value)| rows::append_record(key, value, &mut bytes));
        small::replace(&*self.disk, &self.dir, NAME, TEMPORARY, &bytes)
    }

    fn not_encoded(&self, error: CodecError) -> StorageError {
        StorageError::io("encode for", &self.dir)(io::Error::other(error))
    }
}

/// The row of records that lie in one.
fn row_of(records: &[Split<'_>]) -> Result<RawRow, CodecError> {
    let (key, value) = records.first().copied().unwrap_or_default();
    let row_key = rows::row_key(key);
    if !rows::is_pack(&row_key) {
        return Ok(RawRow::new(key, value));
    }
    let mut packer = Packer::new().map_err(|e| CodecError::TooLarge(e.to_string()))?;
    let pack = packer.pack(records, std::iter::empty())?.unwrap_or_default();
    Ok(RawRow::new(&row_key, pack))
}

/// All of the file; `None` where there is none.
fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Vec<u8>>> {
    match disk.open(&dir.join(NAME), Mode::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => disk::read_whole(&*opened?, u64::MAX).map(Some),
    }
}

fn loaded(bytes: &[u8]) -> io::Result<(Records, Opened)> {
    let (length, rest) = bytes.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    let split = rest.split_at_checked(u32::from_le_bytes(*length) as usize);
    let (header, mut rest) = split.ok_or(io::ErrorKind::UnexpectedEof)?;
    let header = codec::decode_header(header).map_err(io::Error::other)?;
    let mut records = Records::new();
    while let Some((key, value)) = rows::split_record(rest) {
        rest = &rest[rows::RECORD_HEAD_BYTES + key.len() + value.len()..];
        records.insert(key.to_vec(), value.to_vec());
    }
    let decoded = records.iter().map(|(key, value)| codec::decode_record(key, value));
    let decoded: Vec<_> = decoded.collect::<Result<_, _>>().map_err(io::Error::other)?;
    let inventory = Inventory::from_records(decoded).map_err(|e| io::Error::other(e.0))?;
    if inventory.state_digest() != header.digest {
        return Err(io::Error::other("another digest than the header's"));
    }
    Ok((records, Opened::Loaded { header, inventory: Box::new(inventory) }))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Shop;
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::checkpoint::rows::encode_rows;
    use crate::disk::sim::SimDisk;

    #[test]
    fn what_was_saved_is_found_after_a_power_cut_with_the_rows_that_any_image_has() {
        let (disk, dir) = (SimDisk::new(), Path::new("/checkpoint"));
        let mut shop = Shop::new(7);
        for seed in 0..4 {
            let (mut checkpoint, _) = Checkpoint::open_plain(Arc::new(disk.clone()), dir).unwrap();
            shop.run(50);
            checkpoint.save(&shop.header(), &mut Changes::of(&mut shop.inventory)).unwrap();
            disk.crash(seed);
            let (checkpoint, opened) = Checkpoint::open_plain(Arc::new(disk.clone()), dir).unwrap();
            let Opened::Loaded { header, inventory } = opened else { panic!("it is empty") };
            assert_eq!(header, shop.header());
            assert_eq!(inventory.records().collect::<Vec<_>>(), shop.records());
            let rows = checkpoint.rows().map(|row| row.unwrap());
            let rows: Vec<_> = rows.map(|row| (row.key().to_vec(), row.value().to_vec())).collect();
            assert_eq!(rows, encode_rows(&shop.records()));
        }
    }

    #[test]
    fn a_replacement_leaves_nothing_of_what_was_there() {
        let (disk, dir) = (SimDisk::new(), Path::new("/checkpoint"));
        let (mut checkpoint, _) = Checkpoint::open_plain(Arc::new(disk.clone()), dir).unwrap();
        let (mut old, new) = (Shop::after(1, 50), Shop::after(2, 30));
        checkpoint.save(&old.header(), &mut Changes::of(&mut old.inventory)).unwrap();
        checkpoint.replace(&new.header(), &mut new.records().into_iter()).unwrap();
        let (_, opened) = Checkpoint::open_plain(Arc::new(disk), dir).unwrap();
        let Opened::Loaded { inventory, .. } = opened else { panic!("it is empty") };
        assert_eq!(inventory.records().collect::<Vec<_>>(), new.records());
    }
}
