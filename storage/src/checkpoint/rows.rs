//! Rows: what an image and a snapshot have under one key. A record, or a pack of records that neighbour each other.
//!
//! ```text
//!   records   #128 #129 #131 ...   #192 ...            reservations, and answers, by the sequence of their command
//!   rows      [ pack 2         ]   [ pack 3 ]          sequences from 64 times its number on
//!
//!   pack      version (1) | length of the rest once unpacked (4, little-endian) | a zstd frame of:
//!   record    length of the key (2) | length of the value (4) | key | value         in the order of the keys
//! ```
//!
//! Reservations, answers and events come in the order of their sequences, say much the same as their neighbours, and
//! change and go together with them. Packed they take a quarter of the bytes. A chunk of events is a pack of one
//! record, since it has many events in it. Counters, stock and customers are rows by themselves; in an image, stock and
//! customers lie in runs, whose packs have the records of many of them: see `image::runs`.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound};

use super::changes::GONE;
use super::codec::{
    self, ANSWER_TAG, CUSTOMER_TAG, CodecError, EVENTS_TAG, RESERVATION_TAG, STOCK_TAG, VALUE_BYTES_MAX,
    VERSION, check_version, malformed,
};
use crate::inventory::record::{Record, RecordKey};

/// What the keys of rows that are packs begin with.
pub(super) const PACK_TAGS: [u8; 3] = [RESERVATION_TAG, ANSWER_TAG, EVENTS_TAG];

/// What the keys of records begin with that an image has in runs.
pub(super) const RUN_TAGS: [u8; 2] = [STOCK_TAG, CUSTOMER_TAG];

/// A pack of a run is about so long before it is packed, in bytes.
pub(super) const RUN_PACK_BYTES: usize = 64 << 10;

/// Sequences of one pack.
const PACK_SEQUENCES: u64 = 64;

/// How hard packs are packed: more makes them hardly shorter, and takes longer.
const ZSTD_LEVEL: i32 = 1;

/// A target length other than 0 leaves what repeats nothing as it is, which takes a third of the time. Reservations and
/// events get a byte longer by that, answers thirteen: their keys are hexadecimal digits.
const TARGET_LENGTH: u32 = 1;

/// Version and length in front of a pack's frame.
const PACK_HEAD_BYTES: usize = 5;

/// The lengths in front of a record in a pack.
pub(super) const RECORD_HEAD_BYTES: usize = 6;

/// A record of a pack, not copied out of it: key and value.
pub(super) type Split<'a> = (&'a [u8], &'a [u8]);

thread_local! {
    /// What unpacks for readers: one for each pack would take longer to make than the pack to unpack.
    static READER: RefCell<Decompressor<'static>> = RefCell::default();
}

/// The changes of one row: never none.
pub(super) struct RowChanges<'a> {
    bytes: &'a [u8],
    /// Where in them each record begins, in the order of the keys.
    starts: &'a [usize],
}

impl<'a> RowChanges<'a> {
    /// The changes by row, of sorted ones of one tag.
    pub(super) fn of(bytes: &'a [u8], starts: &'a [usize]) -> impl Iterator<Item = RowChanges<'a>> {
        let is_of_one_row =
            |&one: &usize, &other: &usize| is_in_one_pack(key_at(bytes, one), key_at(bytes, other));
        starts.chunk_by(is_of_one_row).map(|starts| RowChanges { bytes, starts })
    }

    /// The row's key.
    pub(super) fn key(&self) -> Vec<u8> {
        self.starts.first().map_or(Vec::new(), |&start| row_key(key_at(self.bytes, start)))
    }

    /// The changed records by key; `None` where one is gone.
    pub(super) fn records(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let bytes = self.bytes;
        self.starts.iter().map(move |&start| {
            let (key_len, value_len) = lengths_at(bytes, start);
            let (key, rest) = bytes[start + RECORD_HEAD_BYTES..].split_at(key_len);
            (key, (value_len != GONE).then(|| &rest[..value_len as usize]))
        })
    }
}

/// The key of the record that begins there.
pub(super) fn key_at(bytes: &[u8], start: usize) -> &[u8] {
    let (key_len, _) = lengths_at(bytes, start);
    &bytes[start + RECORD_HEAD_BYTES..][..key_len]
}

/// The whole record that begins there, lengths included.
pub(super) fn record_at(bytes: &[u8], start: usize) -> &[u8] {
    let (key_len, value_len) = lengths_at(bytes, start);
    let value_len = if value_len == GONE { 0 } else { value_len as usize };
    &bytes[start..start + RECORD_HEAD_BYTES + key_len + value_len]
}

/// Whether the record that begins there is gone.
pub(super) fn is_gone_at(bytes: &[u8], start: usize) -> bool {
    lengths_at(bytes, start).1 == GONE
}

fn lengths_at(bytes: &[u8], start: usize) -> (usize, u32) {
    let head = &bytes[start..start + RECORD_HEAD_BYTES];
    (u16::from_le_bytes([head[0], head[1]]).into(), u32::from_le_bytes([head[2], head[3], head[4], head[5]]))
}

/// Whether a row is a pack, by its key.
pub(super) fn is_pack(row_key: &[u8]) -> bool {
    row_key.first().is_some_and(|tag| PACK_TAGS.contains(tag))
}

/// Whether a row is a pack of one record, which a change replaces.
pub(super) fn is_whole(row_key: &[u8]) -> bool {
    row_key.first() == Some(&EVENTS_TAG)
}

/// The key of the row that a record lies in, by the record's key.
pub(super) fn row_key(key: &[u8]) -> Vec<u8> {
    pack_of(key).map_or_else(|| key.to_vec(), |(tag, number)| row_of(tag, number).to_vec())
}

/// Tag and number of the pack that a record lies in with others, by the record's key.
fn pack_of(key: &[u8]) -> Option<(u8, u64)> {
    match key.split_first() {
        Some((&tag @ (RESERVATION_TAG | ANSWER_TAG), rest)) => {
            rest.first_chunk().map(|sequence| (tag, u64::from_be_bytes(*sequence) / PACK_SEQUENCES))
        }
        _ => None,
    }
}

/// Whether two records lie in one pack with each other, by their keys.
pub(super) fn is_in_one_pack(one: &[u8], other: &[u8]) -> bool {
    pack_of(one).is_some_and(|pack| Some(pack) == pack_of(other))
}

fn is_in_row(key: &[u8], row: &[u8]) -> bool {
    pack_of(key).map_or(key == row, |(tag, number)| row_of(tag, number) == *row)
}

fn row_of(tag: u8, number: u64) -> [u8; 9] {
    let mut key = [tag; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Packs packs, and unpacks them.
pub(super) struct Packer {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
    /// What is packed, what it becomes, and that with its head: kept, so that not each pack allocates them.
    records: Vec<u8>,
    frame: Vec<u8>,
    pack: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> std::io::Result<Packer> {
        let (compressor, decompressor) = (Compressor::new(ZSTD_LEVEL)?, Decompressor::new()?);
        let [records, frame, pack] = [const { Vec::new() }; 3];
        Ok(Packer { compressor, decompressor, records, frame, pack })
    }

    /// The bytes of a pack in which changes are made, both in the order of the keys; `None` where no record is left.
    pub(super) fn pack<'a>(
        &mut self,
        stored: &[Split<'a>],
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Option<&[u8]>, CodecError> {
        self.records.clear();
        merge(stored, changes, &mut self.records);
        if self.records.is_empty() { Ok(None) } else { self.pack_up().map(Some) }
    }

    /// The bytes of a pack of records that follow one another: [`split_run`] is the way back.
    pub(super) fn pack_run(&mut self, records: &[u8]) -> Result<&[u8], CodecError> {
        self.records.clear();
        self.records.extend_from_slice(records);
        self.pack_up()
    }

    fn pack_up(&mut self) -> Result<&[u8], CodecError> {
        if self.records.len() > VALUE_BYTES_MAX {
            return Err(CodecError::TooLarge(format!("a pack of {} bytes", self.records.len())));
        }
        self.frame.clear();
        self.frame.reserve(compress_bound(self.records.len()));
        let is_quick = matches!(self.records.get(RECORD_HEAD_BYTES), Some(&(RESERVATION_TAG | EVENTS_TAG)));
        let length = CParameter::TargetLength(if is_quick { TARGET_LENGTH } else { 0 });
        let set = self.compressor.set_parameter(length);
        let packed = set.and_then(|()| self.compressor.compress_to_buffer(&self.records, &mut self.frame));
        packed.map_err(|e| CodecError::TooLarge(e.to_string()))?;
        self.pack.clear();
        self.pack.push(VERSION);
        self.pack.extend_from_slice(&(self.records.len() as u32).to_le_bytes());
        self.pack.extend_from_slice(&self.frame);
        Ok(&self.pack)
    }

    /// The records of a pack: see [`split_pack`].
    pub(super) fn unpack(&mut self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        unpacked_bytes(&mut self.decompressor, bytes)
    }
}

/// Makes changes in records, both in the order of the keys.
fn merge<'a>(
    stored: &[Split<'a>],
    changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    records: &mut Vec<u8>,
) {
    let mut stored = stored.iter().copied().peekable();
    for (key, value) in changes {
        while let Some((before, unchanged)) = stored.next_if(|&(before, _)| before < key) {
            append_record(before, unchanged, records);
        }
        stored.next_if(|&(former, _)| former == key);
        if let Some(value) = value {
            append_record(key, value, records);
        }
    }
    stored.for_each(|(key, value)| append_record(key, value, records));
}

/// Appends a record as packs have it: [`split_record`] is the way back.
pub(super) fn append_record(key: &[u8], value: &[u8], records: &mut Vec<u8>) {
    records.extend_from_slice(&(key.len() as u16).to_le_bytes());
    records.extend_from_slice(&(value.len() as u32).to_le_bytes());
    records.extend_from_slice(key);
    records.extend_from_slice(value);
}

/// The records of an unpacked pack, encoded, in the order of their keys.
pub(super) fn split_pack<'a>(row: &[u8], mut rest: &'a [u8]) -> Result<Vec<Split<'a>>, CodecError> {
    let mut records = Vec::with_capacity(PACK_SEQUENCES as usize);
    let mut last: &[u8] = &[];
    while !rest.is_empty() {
        let (key, value) = split_record(rest).ok_or_else(|| malformed("a pack that ends within a record"))?;
        if !is_in_row(key, row) {
            return Err(malformed("a record in a pack that is not its own"));
        }
        if last >= key {
            return Err(malformed("a record in a pack out of order"));
        }
        (last, rest) = (key, &rest[RECORD_HEAD_BYTES + key.len() + value.len()..]);
        records.push((key, value));
    }
    if records.is_empty() { Err(malformed("an empty pack")) } else { Ok(records) }
}

/// Where each record of an unpacked pack of a run begins. They follow one another in the order of their keys, behind
/// the last one of the pack before, and may be gone.
pub(super) fn split_run(tag: u8, last: Option<&[u8]>, records: &[u8]) -> Result<Vec<usize>, CodecError> {
    let (mut starts, mut at, mut last) = (Vec::new(), 0, last.unwrap_or_default());
    while at < records.len() {
        let (key, end) =
            split_change(records, at).ok_or_else(|| malformed("a run that ends within a record"))?;
        if key.first() != Some(&tag) {
            return Err(malformed("a record in a run that is not its own"));
        }
        if last >= key {
            return Err(malformed("a record in a run out of order"));
        }
        starts.push(at);
        (last, at) = (key, end);
    }
    if starts.is_empty() { Err(malformed("an empty pack")) } else { Ok(starts) }
}

/// The key of the record that begins there, gone or not, and where it ends.
fn split_change(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let rest = &bytes[start..];
    if rest.len() < RECORD_HEAD_BYTES {
        return None;
    }
    let (key_len, value_len) = lengths_at(rest, 0);
    let key = rest[RECORD_HEAD_BYTES..].get(..key_len)?;
    let value_len = if value_len == GONE { 0 } else { value_len as usize };
    let len = RECORD_HEAD_BYTES + key_len + value_len;
    (len <= rest.len()).then_some((key, start + len))
}

/// The records of a pack, for readers.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    READER.with_borrow_mut(|reader| unpacked_bytes(reader, bytes))
}

fn unpacked_bytes(decompressor: &mut Decompressor<'_>, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let (head, frame) =
        bytes.split_at_checked(PACK_HEAD_BYTES).ok_or_else(|| malformed("a pack cut short"))?;
    check_version(head[0])?;
    let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if len > VALUE_BYTES_MAX {
        return Err(malformed("a pack that is too long"));
    }
    let records = decompressor
        .decompress(frame, len)
        .map_err(|e| CodecError::Malformed(format!("a pack that does not unpack: {e}")))?;
    if records.len() != len {
        return Err(malformed("a pack of another length than it says"));
    }
    Ok(records)
}

/// The key and the value of the record, or of the row of a snapshot, that the bytes start with: `None` where they end
/// within it.
pub(crate) fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key_len, rest) = bytes.split_first_chunk()?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*key_len).into())?;
    let value = rest.get(..u32::from_le_bytes(*value_len) as usize)?;
    Some((key, value))
}

/// The records of a row, from its key and value, in the order of their keys.
///
/// # Errors
/// The bytes are not those of a row, or are of another version.
pub fn decode_row(key: &[u8], value: &[u8]) -> Result<Vec<(RecordKey, Record)>, CodecError> {
    if !is_pack(key) {
        return Ok(vec![codec::decode_record(key, value)?]);
    }
    let records = unpack(value)?;
    split_pack(key, &records)?.into_iter().map(|(key, value)| codec::decode_record(key, value)).collect()
}

/// The rows of records that come in the order of their keys, as an image would have them: for tests.
#[cfg(test)]
pub(crate) fn encode_rows(records: &[(RecordKey, Record)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut changes = super::changes::Changes::default();
    records.iter().for_each(|(key, record)| changes.push(key.into(), Some(record.into())));
    changes.sort().unwrap();
    let mut packer = Packer::new().unwrap();
    let rows = changes.rows().map(|row| {
        let value = match is_pack(&row.key()) {
            true => packer.pack(&[], row.records()).unwrap(),
            false => row.records().next().unwrap().1,
        };
        (row.key(), value.unwrap().to_vec())
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tag: u8, sequence: u64, rest: &[u8]) -> Vec<u8> {
        [&[tag][..], &sequence.to_be_bytes(), rest].concat()
    }

    fn framed(records: &[u8]) -> Vec<u8> {
        let frame = zstd::bulk::compress(records, ZSTD_LEVEL).unwrap();
        [&[VERSION][..], &(records.len() as u32).to_le_bytes(), &frame].concat()
    }

    #[test]
    fn neighbours_lie_in_one_row() {
        let nonce = [9; 8];
        let cases = [
            (key(RESERVATION_TAG, 0, &nonce), key(RESERVATION_TAG, 0, &[])),
            (key(RESERVATION_TAG, 63, &nonce), key(RESERVATION_TAG, 0, &[])),
            (key(RESERVATION_TAG, 64, &nonce), key(RESERVATION_TAG, 1, &[])),
            (key(ANSWER_TAG, 200, b"key"), key(ANSWER_TAG, 3, &[])),
            (key(ANSWER_TAG, u64::MAX, b""), key(ANSWER_TAG, u64::MAX / 64, &[])),
            (key(EVENTS_TAG, 200, &[]), key(EVENTS_TAG, 200, &[])),
            (b"\x02SKU".to_vec(), b"\x02SKU".to_vec()),
            (vec![1], vec![1]),
        ];
        for (key, row) in cases {
            assert_eq!(row_key(&key), row, "{key:?}");
        }
    }

    /// A zstd frame may come out otherwise with another version of zstd; what is in it may not.
    #[test]
    fn a_pack_has_golden_bytes_once_unpacked() {
        let (first, second) = (key(ANSWER_TAG, 64, b"a"), key(ANSWER_TAG, 65, b"b"));
        let records: [Split<'_>; 2] = [(&first, b"xyz"), (&second, b"")];
        let mut packer = Packer::new().unwrap();
        let bytes = packer.pack(&records, [].into_iter()).unwrap().unwrap().to_vec();
        assert_eq!(bytes[..PACK_HEAD_BYTES], [VERSION, 35, 0, 0, 0]);
        let golden = b"\x0a\0\x03\0\0\0\x04\0\0\0\0\0\0\0\x40axyz\x0a\0\0\0\0\0\x04\0\0\0\0\0\0\0\x41b";
        let unpacked = packer.unpack(&bytes).unwrap();
        assert_eq!(unpacked, golden);
        assert_eq!(split_pack(&key(ANSWER_TAG, 1, &[]), &unpacked).unwrap(), records);
    }

    #[test]
    fn changes_are_made_where_their_keys_stand() {
        let keys = [64, 65, 66, 67].map(|sequence| key(ANSWER_TAG, sequence, b"k"));
        let stored: Vec<Split<'_>> = vec![(&keys[0], b"a"), (&keys[2], b"c")];
        type Made<'a> = (usize, Option<&'a [u8]>);
        type Left<'a> = (usize, &'a [u8]);
        let cases: [(&[Made<'_>], &[Left<'_>]); 6] = [
            (&[], &[(0, b"a"), (2, b"c")]),
            (&[(1, Some(b"b")), (3, Some(b"d"))], &[(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]),
            (&[(0, Some(b"A")), (2, Some(b"C"))], &[(0, b"A"), (2, b"C")]),
            (&[(0, None), (1, None)], &[(2, b"c")]),
            (&[(2, None), (3, Some(b"d"))], &[(0, b"a"), (3, b"d")]),
            (&[(0, None), (2, None)], &[]),
        ];
        let row = key(ANSWER_TAG, 1, &[]);
        let mut packer = Packer::new().unwrap();
        for (changes, left) in cases {
            let made = packer.pack(&stored, changes.iter().map(|&(at, value)| (&*keys[at], value))).unwrap();
            let Some(bytes) = made.map(<[u8]>::to_vec) else {
                assert!(left.is_empty());
                continue;
            };
            let left: Vec<Split<'_>> = left.iter().map(|&(at, value)| (&*keys[at], value)).collect();
            assert_eq!(split_pack(&row, &packer.unpack(&bytes).unwrap()).unwrap(), left);
        }
    }

    #[test]
    fn what_is_no_pack_of_its_row_is_refused() {
        let row = key(ANSWER_TAG, 1, &[]);
        let unpack = |bytes: &[u8]| {
            let unpacked = Packer::new().unwrap().unpack(bytes)?;
            split_pack(&row, &unpacked).map(|records| records.len())
        };
        let record = |sequence: u64| {
            let key = key(ANSWER_TAG, sequence, b"k");
            [&(key.len() as u16).to_le_bytes()[..], &1u32.to_le_bytes(), &key, b"v"].concat()
        };
        let whole = framed(&record(64));
        assert_eq!(unpack(&whole), Ok(1));
        let longer = [&whole[..1], &[whole[1] + 1], &whole[2..]].concat();
        let endless = [&[VERSION][..], &u32::MAX.to_le_bytes(), &whole[PACK_HEAD_BYTES..]].concat();
        let cases = [
            ("nothing", Vec::new()),
            ("a head alone", whole[..PACK_HEAD_BYTES].to_vec()),
            ("a frame cut short", whole[..whole.len() - 1].to_vec()),
            ("a byte too many", [&whole[..], b"x"].concat()),
            ("another length", longer),
            ("a length past all bounds", endless),
            ("no records", framed(&[])),
            ("a record cut short", framed(&record(64)[..15])),
            ("a record of another row", framed(&record(128))),
            ("a record twice", framed(&[record(64), record(64)].concat())),
            ("records out of order", framed(&[record(65), record(64)].concat())),
        ];
        for (case, bytes) in cases {
            assert!(matches!(unpack(&bytes), Err(CodecError::Malformed(_))), "{case}");
        }
        assert_eq!(unpack(&[VERSION + 1; 9]), Err(CodecError::Newer(VERSION + 1)));
        assert_eq!(unpack(&[2; 9]), Err(CodecError::Older(2)));
    }

    #[test]
    fn what_is_no_pack_of_a_run_is_refused() {
        let record = |key: &[u8], value: Option<&[u8]>| {
            let value_len = value.map_or(GONE, |value| value.len() as u32);
            let head = [&(key.len() as u16).to_le_bytes()[..], &value_len.to_le_bytes()].concat();
            [&head, key, value.unwrap_or_default()].concat()
        };
        let [first, gone, last] =
            [record(b"\x02A", Some(b"v")), record(b"\x02B", None), record(b"\x02C", Some(b""))];
        let whole = [&*first, &gone, &last].concat();
        let split = |last: Option<&[u8]>, records: &[u8]| split_run(STOCK_TAG, last, records);
        assert_eq!(split(None, &whole), Ok(vec![0, first.len(), first.len() + gone.len()]));
        assert_eq!([0, first.len()].map(|start| is_gone_at(&whole, start)), [false, true]);
        assert_eq!(record_at(&whole, first.len()), gone);
        let ends = [first.len(), first.len() + gone.len()];
        for len in (0..whole.len()).filter(|len| !ends.contains(len)) {
            assert!(split(None, &whole[..len]).is_err(), "{len} bytes");
        }
        assert!(split(Some(b"\x02A"), &whole).is_err(), "a record of the pack before");
        assert!(split(None, &[&*gone, &first].concat()).is_err(), "records out of order");
        assert!(split(None, &record(b"\x05A", Some(b"v"))).is_err(), "a record of another tag");
        assert!(split(None, &record(b"", Some(b"v"))).is_err(), "a record without a key");
    }
}
