//! Changes become rows and packs of an image.

use std::io;

use super::super::changes::Changes;
use super::super::codec::{self, CodecError};
use super::super::contain::contain;
use super::super::packs::Place;
use super::super::rows::{self, RowChanges, Split};
use super::super::{ImageHeader, unreadable};
use super::batch::ImageBatch;
use super::leftovers::collect_garbage;
use super::merge::{Cursor, Merge};
use super::runs::Run;
use super::{Image, Unreadable, undecodable};
use crate::StorageError;
use crate::pace::Pace;

impl Image {
    /// Writes changed records, and the header where there is one, as one atomic step, and rests as the pace says. With
    /// a header all that was written is durable after [`sync`](Image::sync).
    pub(in super::super) fn write(
        &mut self,
        changes: &mut Changes,
        header: Option<&ImageHeader>,
        pace: &Pace,
    ) -> Result<(), StorageError> {
        let mut batch = ImageBatch::default();
        changes.sort().map_err(|e| self.not_encoded(e))?;
        for row in changes.rows_outside_runs() {
            self.write_row(&row, &mut batch)?;
            pace.step();
        }
        for tag in rows::RUN_TAGS {
            self.write_run(tag, changes.of_tag(tag), &mut batch, pace)?;
        }
        if let Some(header) = header {
            batch.insert(codec::HEADER_KEY, codec::encode_header(header).map_err(|e| self.not_encoded(e))?);
            self.move_crowded(&mut batch)?;
        }
        self.packs.write()?;
        if header.is_some() {
            self.packs.sync()?;
        }
        self.apply(batch)
    }

    fn write_row(&mut self, row: &RowChanges<'_>, batch: &mut ImageBatch) -> Result<(), StorageError> {
        let key = row.key();
        if rows::is_pack(&key) {
            return self.write_pack(&key, row, batch);
        }
        // Such a row is one record.
        for (key, value) in row.records() {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Ok(())
    }

    /// Writes a pack anew; one in which no record is left is nowhere.
    fn write_pack(
        &mut self,
        key: &[u8],
        changes: &RowChanges<'_>,
        batch: &mut ImageBatch,
    ) -> Result<(), StorageError> {
        let place = self.stored_place(key)?;
        let merged = place.filter(|_| !rows::is_whole(key));
        let stored = merged.map(|place| self.read_pack(place)).transpose()?;
        let stored = stored.as_deref().map(|records| self.split_stored(key, records)).transpose()?;
        let stored = stored.unwrap_or_default();
        place.into_iter().for_each(|place| self.packs.release(place));
        match self.packer.pack(&stored, changes.records()) {
            Ok(Some(pack)) => batch.insert_pack(key, self.packs.add(pack)?),
            Ok(None) => batch.remove_pack(key),
            Err(error) => return Err(self.not_encoded(error)),
        }
        Ok(())
    }

    /// Writes changes as the newest run, with what of others becomes a part of it; or as more of the newest run.
    fn write_run(
        &mut self,
        tag: u8,
        (bytes, starts): (&[u8], &[usize]),
        batch: &mut ImageBatch,
        pace: &Pace,
    ) -> Result<(), StorageError> {
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else { return Ok(()) };
        let mut runs = self.runs.remove(&tag).unwrap_or_default();
        let open = runs.take_open(rows::key_at(bytes, first)).map(|run| (run, Vec::new()));
        let (run, merged) = open.unwrap_or_else(|| runs.begin(self.packs.room_bytes()));
        let changes = Cursor::of_changes(bytes, starts);
        let merge = self.merge_into(tag, changes, &merged, !runs.is_empty(), batch);
        let run = self.write_merged(tag, run, merge.map_err(|e| unreadable(&self.path, e))?, batch, pace)?;
        // Of what others ended with no more is known than that it is in there.
        let last = if merged.is_empty() { rows::key_at(bytes, last) } else { &[] };
        runs.push(run.ends_with(last.to_vec()));
        self.runs.insert(tag, runs);
        Ok(())
    }

    /// Changes and the runs that become one with them, which are taken out of the image.
    fn merge_into<'a>(
        &mut self,
        tag: u8,
        changes: Cursor<'a>,
        runs: &[Run],
        tells_gone: bool,
        batch: &mut ImageBatch,
    ) -> Result<Merge<'a>, Unreadable> {
        let mut cursors = vec![changes];
        for run in runs.iter().rev() {
            let cursor = self.cursor(tag, run.number)?;
            cursor.places().for_each(|place| self.packs.release(place));
            run.keys(tag).for_each(|key| batch.remove_pack(&key));
            cursors.push(cursor);
        }
        Merge::new(self.path.clone(), tag, cursors, tells_gone, &self.packs)
    }

    /// Adds what comes of a merge to a run.
    fn write_merged(
        &mut self,
        tag: u8,
        mut run: Run,
        mut merge: Merge<'_>,
        batch: &mut ImageBatch,
        pace: &Pace,
    ) -> Result<Run, StorageError> {
        let mut records = Vec::new();
        while merge.append_next(&self.packs, &mut records).map_err(|e| unreadable(&self.path, e))? {
            if records.len() >= rows::RUN_PACK_BYTES {
                self.add_to_run(tag, &mut run, &records, batch)?;
                records.clear();
                pace.step();
            }
        }
        if !records.is_empty() {
            self.add_to_run(tag, &mut run, &records, batch)?;
        }
        Ok(run)
    }

    /// Adds a pack of these records to a run.
    fn add_to_run(
        &mut self,
        tag: u8,
        run: &mut Run,
        records: &[u8],
        batch: &mut ImageBatch,
    ) -> Result<(), StorageError> {
        let pack = self.packer.pack_run(records);
        let pack = pack.map_err(|e| StorageError::io("encode for", &self.path)(io::Error::other(e)))?;
        let place = self.packs.add(pack)?;
        batch.insert_pack(&run.next_key(tag), place);
        run.grow(place);
        Ok(())
    }

    /// Where a row's pack lies before a change.
    fn stored_place(&self, row: &[u8]) -> Result<Option<Place>, StorageError> {
        let stored = contain(|| self.db().get(row)).map_err(|e| e.on_writing(&self.path))?;
        let place = stored.map(|stored| self.place(&stored)).transpose();
        place.map_err(|e| unreadable(&self.path, e))
    }

    /// The records of a pack before a change.
    fn read_pack(&mut self, place: Place) -> Result<Vec<u8>, StorageError> {
        let bytes = self.packs.read(place);
        let unpacked =
            bytes.and_then(|bytes| self.packer.unpack(&bytes).map_err(|e| undecodable(&self.path, e)));
        unpacked.map_err(|e| unreadable(&self.path, e))
    }

    fn split_stored<'a>(&self, row: &[u8], records: &'a [u8]) -> Result<Vec<Split<'a>>, StorageError> {
        let split = rows::split_pack(row, records).map_err(|e| undecodable(&self.path, e));
        split.map_err(|e| unreadable(&self.path, e))
    }

    /// Moves the packs of the files with the most dead bytes, where that is worth it. What sled tells of rows that this
    /// batch writes is their former place, which was given up.
    fn move_crowded(&mut self, batch: &mut ImageBatch) -> Result<(), StorageError> {
        let files = self.packs.crowded();
        if files.is_empty() {
            return Ok(());
        }
        let places = self.places().map_err(|e| unreadable(&self.path, e))?;
        for (row, place) in places.into_iter().filter(|(_, place)| files.contains(&place.file())) {
            if !batch.packs.contains(&*row) {
                let bytes = self.packs.read(place).map_err(|e| unreadable(&self.path, e))?;
                let place = self.packs.move_from(place, &bytes)?;
                batch.insert_pack(&row, place);
            }
        }
        Ok(())
    }

    fn not_encoded(&self, error: CodecError) -> StorageError {
        StorageError::io("encode for", &self.path)(io::Error::other(error))
    }

    fn apply(&self, batch: ImageBatch) -> Result<(), StorageError> {
        let ImageBatch { batch, writes, .. } = batch;
        contain(|| self.db().apply_batch(batch)).map_err(|e| e.on_writing(&self.path))?;
        collect_garbage(writes);
        Ok(())
    }
}
