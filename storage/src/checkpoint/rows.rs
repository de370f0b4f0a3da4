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
//! record, since it has many events in it. Counters, stock and customers are rows by themselves.

use std::collections::BTreeMap;

use super::codec::{
    self, ANSWER_TAG, CodecError, EVENTS_TAG, RESERVATION_TAG, VALUE_BYTES_MAX, VERSION, check_version,
    malformed,
};
use crate::inventory::record::{Change, Record, RecordKey};

/// What the keys of rows that are packs begin with.
pub(super) const PACK_TAGS: [u8; 3] = [RESERVATION_TAG, ANSWER_TAG, EVENTS_TAG];

/// Sequences of one pack.
const PACK_SEQUENCES: u64 = 64;

/// How hard packs are packed: more makes them hardly shorter, and takes longer.
const ZSTD_LEVEL: i32 = 1;

/// Version and length in front of a pack's frame.
const PACK_HEAD_BYTES: usize = 5;

/// The lengths in front of a record in a pack.
const RECORD_HEAD_BYTES: usize = 6;

/// The records of a pack, encoded.
pub(super) type Pack = BTreeMap<Vec<u8>, Vec<u8>>;

/// A record of a pack, not copied out of it: key and value.
type Split<'a> = (&'a [u8], &'a [u8]);

/// Changes by row: of each row's key the changed records, encoded, by key; `None` where one is gone.
pub(super) type RowChanges = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Option<Vec<u8>>>>;

/// Gathers changes by the rows that they are to be made in.
pub(super) fn by_row<'a>(changes: impl Iterator<Item = &'a Change>) -> Result<RowChanges, CodecError> {
    let mut rows = RowChanges::new();
    for (key, record) in changes {
        let (key, value) = (codec::encode_key(key), record.as_ref().map(codec::encode_record).transpose()?);
        rows.entry(row_key(&key)).or_default().insert(key, value);
    }
    Ok(rows)
}

/// Makes changes in a pack.
pub(super) fn merge(pack: &mut Pack, changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
    for (key, value) in changes {
        match value {
            Some(value) => _ = pack.insert(key, value),
            None => _ = pack.remove(&key),
        }
    }
}

/// Whether a row is a pack, by its key.
pub(super) fn is_pack(row_key: &[u8]) -> bool {
    row_key.first().is_some_and(|tag| PACK_TAGS.contains(tag))
}

/// The key of the row that a record lies in, by the record's key.
fn row_key(key: &[u8]) -> Vec<u8> {
    match key.split_first() {
        Some((&tag @ (RESERVATION_TAG | ANSWER_TAG), rest)) => match rest.first_chunk() {
            Some(sequence) => row_of(tag, u64::from_be_bytes(*sequence) / PACK_SEQUENCES),
            None => key.to_vec(),
        },
        _ => key.to_vec(),
    }
}

fn row_of(tag: u8, number: u64) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend(number.to_be_bytes());
    key
}

/// Packs packs.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    pub(super) fn new() -> std::io::Result<Packer> {
        zstd::bulk::Compressor::new(ZSTD_LEVEL).map(Packer)
    }

    /// The bytes of a pack.
    pub(super) fn pack(&mut self, pack: &Pack) -> Result<Vec<u8>, CodecError> {
        let mut records = Vec::new();
        for (key, value) in pack {
            records.extend((key.len() as u16).to_le_bytes());
            records.extend((value.len() as u32).to_le_bytes());
            records.extend(key);
            records.extend(value);
        }
        if records.len() > VALUE_BYTES_MAX {
            return Err(CodecError::TooLarge(format!("a pack of {} bytes", records.len())));
        }
        let frame = self.0.compress(&records).map_err(|e| CodecError::TooLarge(e.to_string()))?;
        let mut bytes = vec![VERSION];
        bytes.extend((records.len() as u32).to_le_bytes());
        bytes.extend(frame);
        Ok(bytes)
    }
}

/// The records of a pack, encoded.
pub(super) fn unpack(row: &[u8], bytes: &[u8]) -> Result<Pack, CodecError> {
    let records = unpacked_bytes(bytes)?;
    Ok(split_pack(row, &records)?.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
}

/// The records of an unpacked pack, encoded, in the order of their keys.
fn split_pack<'a>(row: &[u8], mut rest: &'a [u8]) -> Result<Vec<Split<'a>>, CodecError> {
    let mut records = Vec::with_capacity(PACK_SEQUENCES as usize);
    let mut last: &[u8] = &[];
    while !rest.is_empty() {
        let (key, value) = split_record(rest).ok_or_else(|| malformed("a pack that ends within a record"))?;
        if row_key(key) != row {
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

fn unpacked_bytes(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let (head, frame) =
        bytes.split_at_checked(PACK_HEAD_BYTES).ok_or_else(|| malformed("a pack cut short"))?;
    check_version(head[0])?;
    let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if len > VALUE_BYTES_MAX {
        return Err(malformed("a pack that is too long"));
    }
    let records = zstd::bulk::decompress(frame, len)
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
    let records = unpacked_bytes(value)?;
    split_pack(key, &records)?.into_iter().map(|(key, value)| codec::decode_record(key, value)).collect()
}

/// The rows of records that come in the order of their keys, as an image would have them: for tests.
#[cfg(test)]
pub(crate) fn encode_rows(records: &[(RecordKey, Record)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let changes: Vec<Change> = records.iter().cloned().map(|(key, record)| (key, Some(record))).collect();
    let mut packer = Packer::new().unwrap();
    let rows = by_row(changes.iter()).unwrap().into_iter().map(|(key, changes)| {
        let mut pack = Pack::new();
        merge(&mut pack, changes);
        let value = if is_pack(&key) { packer.pack(&pack).unwrap() } else { pack[&key].clone() };
        (key, value)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tag: u8, sequence: u64, rest: &[u8]) -> Vec<u8> {
        [&[tag][..], &sequence.to_be_bytes(), rest].concat()
    }

    fn pack(records: &[(Vec<u8>, &[u8])]) -> Pack {
        records.iter().map(|(key, value)| (key.clone(), value.to_vec())).collect()
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
        let pack = pack(&[(first, b"xyz"), (second, b"")]);
        let bytes = Packer::new().unwrap().pack(&pack).unwrap();
        assert_eq!(bytes[..PACK_HEAD_BYTES], [VERSION, 35, 0, 0, 0]);
        let golden = b"\x0a\0\x03\0\0\0\x04\0\0\0\0\0\0\0\x40axyz\x0a\0\0\0\0\0\x04\0\0\0\0\0\0\0\x41b";
        assert_eq!(unpacked_bytes(&bytes).unwrap(), golden);
        assert_eq!(unpack(&key(ANSWER_TAG, 1, &[]), &bytes).unwrap(), pack);
    }

    #[test]
    fn what_is_no_pack_of_its_row_is_refused() {
        let row = key(ANSWER_TAG, 1, &[]);
        let record = |sequence: u64| {
            let key = key(ANSWER_TAG, sequence, b"k");
            [&(key.len() as u16).to_le_bytes()[..], &1u32.to_le_bytes(), &key, b"v"].concat()
        };
        let whole = framed(&record(64));
        assert_eq!(unpack(&row, &whole).unwrap().len(), 1);
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
            assert!(matches!(unpack(&row, &bytes), Err(CodecError::Malformed(_))), "{case}");
        }
        assert_eq!(unpack(&row, &[VERSION + 1; 9]), Err(CodecError::Newer(VERSION + 1)));
        assert_eq!(unpack(&row, &[2; 9]), Err(CodecError::Older(2)));
    }
}
