//! The bytes of records and of the image header: the one place that knows them.
//!
//! ```text
//!   key    tag (1 byte) | content              tag 0: the header, no content
//!                                              tag 1: counters, no content
//!                                              tag 2: stock, the SKU's characters
//!                                              tag 3: reservation, sequence and nonce, 8 bytes each, big-endian
//!                                              tag 4: answer, sequence, 8 bytes, big-endian, idempotency key
//!                                              tag 5: customer, the SKU's characters, a zero byte, the customer's id
//!                                              tag 6: events, the chunk's number, 8 bytes, big-endian
//!                                              tag 7: feature level, no content
//!   value  version (1 byte) | bincode 2        standard configuration: little-endian, variable-length integers
//!                                              a reservation that was extended is of a version of its own, and so are
//!                                              events, as differences: see `inventory::written`
//!   header version (1 byte) | CRC-32 of the rest (4 bytes, little-endian) | bincode 2
//! ```
//!
//! Keys sort as [`RecordKey`] does within each kind, bytewise. The key's tag says what the value is, so that a
//! value needs no tag of its own. How records make rows of an image is another matter.
//!
//! The feature level is looked at as soon as it is read: a level that this binary does not support is told as that, and
//! no guess is made at what else there may be in such an image. Tags of later versions have greater numbers, so that it
//! comes before them.
//!
//! A change of a record's fields needs a new version here, a new row of golden bytes in the tests, and a reader
//! for the old version.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ImageHeader;
use crate::inventory::event::Event;
use crate::inventory::ids::{ReservationId, Sku};
use crate::inventory::record::{
    CHUNK_EVENTS, KeyRef, LevelRecord, Record, RecordKey, RecordRef, ReservationRecord,
};
use crate::inventory::{LEVELS, ReadEvents, check_levels};

/// The version of every value and header written now, but for an extended reservation and events.
pub const VERSION: u8 = 3;

/// The version of a reservation that was extended while that was limited: as before, and behind it how often.
pub(super) const EXTENDED_VERSION: u8 = 4;

/// The version of a chunk of events: as differences. As they are, in version 3, they are still read.
pub(super) const EVENTS_VERSION: u8 = 5;

/// The longest value that is read, in bytes. The largest that commands can make is half of it: a chunk of 64 events,
/// each of a reservation of 100 items that were all returned.
pub const VALUE_BYTES_MAX: usize = 4 << 20;

/// The longest key, in bytes: a tag and an idempotency key of 255 characters, with room to grow.
pub const KEY_BYTES_MAX: usize = 1024;

/// The header's key; it sorts before every record's.
pub const HEADER_KEY: &[u8] = &[HEADER_TAG];

const HEADER_TAG: u8 = 0;
const COUNTERS_TAG: u8 = 1;
pub(super) const STOCK_TAG: u8 = 2;
pub(super) const RESERVATION_TAG: u8 = 3;
pub(super) const ANSWER_TAG: u8 = 4;
pub(super) const CUSTOMER_TAG: u8 = 5;
pub(super) const EVENTS_TAG: u8 = 6;
pub(super) const LEVEL_TAG: u8 = 7;

/// Why bytes are not a record or a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A newer lastunit wrote them.
    #[error("format version {0} is newer than this lastunit knows ({VERSION})")]
    Newer(u8),
    /// A lastunit before the first release wrote them.
    #[error("format version {0} was never released, and this lastunit does not read it")]
    Older(u8),
    /// A cluster wrote them at a feature level that this lastunit does not support.
    #[error("{0}")]
    Level(String),
    /// Nobody wrote them.
    #[error("{0}")]
    Malformed(String),
    /// Too large to write.
    #[error("{0}")]
    TooLarge(String),
}

/// What decoding one value may allocate, by bincode's own count, in bytes. It counts a number as eight bytes where
/// one byte is stored, and an item as its size in memory: a value of the longest kind stays far below.
const DECODED_BYTES_MAX: usize = 16 * VALUE_BYTES_MAX;

type Bincode = Configuration<LittleEndian, Varint, Limit<DECODED_BYTES_MAX>>;

fn bincode_config() -> Bincode {
    bincode::config::standard().with_limit::<DECODED_BYTES_MAX>()
}

/// A record's key as bytes.
pub fn encode_key(key: &RecordKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_key(key.into(), &mut bytes);
    bytes
}

/// Appends a record's key.
pub(super) fn append_key(key: KeyRef<'_>, to: &mut Vec<u8>) {
    match key {
        KeyRef::Counters => to.push(COUNTERS_TAG),
        KeyRef::Stock(sku) => append(to, STOCK_TAG, &[sku.as_str().as_bytes()]),
        KeyRef::Reservation(id) => {
            append(to, RESERVATION_TAG, &[&id.sequence.to_be_bytes(), &id.nonce.to_be_bytes()]);
        }
        KeyRef::Answer(sequence, key) => append(to, ANSWER_TAG, &[&sequence.to_be_bytes(), key.as_bytes()]),
        KeyRef::Customer(sku, customer) => {
            append(to, CUSTOMER_TAG, &[sku.as_str().as_bytes(), &[0], customer.as_bytes()]);
        }
        KeyRef::Events(chunk) => append(to, EVENTS_TAG, &[&chunk.to_be_bytes()]),
        KeyRef::Level => to.push(LEVEL_TAG),
    }
}

/// A record's key from its bytes.
pub fn decode_key(bytes: &[u8]) -> Result<RecordKey, CodecError> {
    match bytes.split_first() {
        Some((&COUNTERS_TAG, [])) => Ok(RecordKey::Counters),
        Some((&STOCK_TAG, name)) => decode_sku(name).map(RecordKey::Stock),
        Some((&RESERVATION_TAG, id)) => decode_reservation_id(id).map(RecordKey::Reservation),
        Some((&ANSWER_TAG, key)) => decode_answer(key),
        Some((&CUSTOMER_TAG, key)) => decode_customer(key),
        Some((&EVENTS_TAG, chunk)) => decode_chunk(chunk).map(RecordKey::Events),
        Some((&LEVEL_TAG, [])) => Ok(RecordKey::Level),
        _ => Err(malformed("a key of no kind that is known")),
    }
}

/// A record's value as bytes.
pub fn encode_record(record: &Record) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    append_record(record.into(), &mut bytes)?;
    Ok(bytes)
}

/// Appends a record's value. What was appended before an error is no value.
pub(super) fn append_record(record: RecordRef<'_>, to: &mut Vec<u8>) -> Result<(), CodecError> {
    if let RecordRef::Reservation(record @ ReservationRecord { extensions: 1.., .. }) = record {
        to.push(EXTENDED_VERSION);
        return append_body(&(record, record.extensions), to);
    }
    to.push(if matches!(record, RecordRef::Events(_)) { EVENTS_VERSION } else { VERSION });
    match record {
        RecordRef::Counters(record) => append_body(record, to),
        RecordRef::Stock(record) => append_body(record, to),
        RecordRef::Reservation(record) => append_body(record, to),
        RecordRef::Answer(record) => append_body(record, to),
        RecordRef::Customer(record) => append_body(&record, to),
        RecordRef::Events(events) => append_body(&events, to),
        RecordRef::Level(record) => append_body(&record, to),
    }
}

/// A record from the bytes of its key and value.
pub fn decode_record(key: &[u8], value: &[u8]) -> Result<(RecordKey, Record), CodecError> {
    let key = decode_key(key)?;
    let record = match key {
        RecordKey::Counters => Record::Counters(decode_value(value)?),
        RecordKey::Stock(_) => Record::Stock(decode_value(value)?),
        RecordKey::Reservation(_) => Record::Reservation(decode_reservation(value)?),
        RecordKey::Answer(..) => Record::Answer(decode_value(value)?),
        RecordKey::Customer(..) => Record::Customer(decode_value(value)?),
        RecordKey::Events(_) => Record::Events(decode_events(value)?),
        RecordKey::Level => Record::Level(decode_level(value)?),
    };
    Ok((key, record))
}

/// The header as bytes.
pub fn encode_header(header: &ImageHeader) -> Result<Vec<u8>, CodecError> {
    let mut body = Vec::new();
    append_body(header, &mut body)?;
    let mut bytes = vec![VERSION];
    bytes.extend(header_crc(VERSION, &body).to_le_bytes());
    bytes.extend(body);
    Ok(bytes)
}

/// The header from its bytes.
pub fn decode_header(bytes: &[u8]) -> Result<ImageHeader, CodecError> {
    let (&version, rest) = bytes.split_first().ok_or_else(|| malformed("an empty header"))?;
    let (crc, body) = rest.split_first_chunk().ok_or_else(|| malformed("a header cut short"))?;
    // The checksum comes first: a damaged version byte is damage, not a newer version.
    if u32::from_le_bytes(*crc) != header_crc(version, body) {
        return Err(malformed("a header with a wrong checksum"));
    }
    check_version(version)?;
    decode_body(body)
}

fn header_crc(version: u8, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[version]);
    crc.update(body);
    crc.finalize()
}

fn decode_value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (&version, body) = bytes.split_first().ok_or_else(|| malformed("an empty value"))?;
    check_version(version)?;
    decode_body(body)
}

fn decode_reservation(bytes: &[u8]) -> Result<ReservationRecord, CodecError> {
    let [EXTENDED_VERSION, body @ ..] = bytes else {
        return decode_value(bytes);
    };
    match decode_body(body)? {
        (_, 0) => Err(malformed("an extended reservation that never was")),
        (record, extensions) => Ok(ReservationRecord { extensions, ..record }),
    }
}

fn decode_events(bytes: &[u8]) -> Result<Vec<Event>, CodecError> {
    match bytes {
        [EVENTS_VERSION, body @ ..] => decode_body(body).map(|ReadEvents(events)| events),
        _ => decode_value(bytes).and_then(|events: Vec<Event>| match events.len() as u64 {
            ..=CHUNK_EVENTS => Ok(events),
            _ => Err(malformed("more events than a chunk has")),
        }),
    }
}

fn decode_level(bytes: &[u8]) -> Result<LevelRecord, CodecError> {
    let record: LevelRecord = decode_value(bytes)?;
    check_levels(record.level, &LEVELS).map_err(CodecError::Level)?;
    Ok(record)
}

fn append_body<T: Serialize + ?Sized>(value: &T, to: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = to.len();
    bincode::serde::encode_into_writer(value, Appended(to), bincode_config())
        .map_err(|e| CodecError::TooLarge(format!("a value that cannot be encoded: {e}")))?;
    // One less, for the version byte before it. What is written must be readable.
    let len = to.len() - start;
    if len >= VALUE_BYTES_MAX {
        return Err(CodecError::TooLarge(format!("a value of {len} bytes")));
    }
    Ok(())
}

/// What bincode writes goes behind what is there.
struct Appended<'a>(&'a mut Vec<u8>);

impl Writer for Appended<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, CodecError> {
    if body.len() >= VALUE_BYTES_MAX {
        return Err(malformed("a value that is too long"));
    }
    let (value, used) = bincode::serde::decode_from_slice(body, bincode_config())
        .map_err(|e| CodecError::Malformed(format!("a value that does not decode: {e}")))?;
    if used != body.len() {
        return Err(malformed("a value with bytes after its end"));
    }
    Ok(value)
}

pub(super) fn check_version(version: u8) -> Result<(), CodecError> {
    match version {
        VERSION => Ok(()),
        0 => Err(malformed("format version 0")),
        older @ (1 | 2) => Err(CodecError::Older(older)),
        newer => Err(CodecError::Newer(newer)),
    }
}

fn decode_sku(name: &[u8]) -> Result<Sku, CodecError> {
    Sku::new(text(name)?).ok_or_else(|| malformed("a stock key that is not a SKU"))
}

/// A SKU has no zero byte, so that the first one ends it, and keys sort as SKU and customer do.
fn decode_customer(bytes: &[u8]) -> Result<RecordKey, CodecError> {
    let end = bytes.iter().position(|&byte| byte == 0);
    let (sku, customer) = end
        .map(|end| (&bytes[..end], &bytes[end + 1..]))
        .ok_or_else(|| malformed("a customer key cut short"))?;
    Ok(RecordKey::Customer(decode_sku(sku)?, text(customer)?.into()))
}

fn decode_answer(bytes: &[u8]) -> Result<RecordKey, CodecError> {
    let (sequence, key) = bytes.split_first_chunk().ok_or_else(|| malformed("an answer key cut short"))?;
    Ok(RecordKey::Answer(u64::from_be_bytes(*sequence), text(key)?.into()))
}

fn decode_chunk(bytes: &[u8]) -> Result<u64, CodecError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| malformed("an events key of a wrong length"))
}

fn decode_reservation_id(bytes: &[u8]) -> Result<ReservationId, CodecError> {
    let id: [u8; 16] = bytes.try_into().map_err(|_| malformed("a reservation key of a wrong length"))?;
    let number = u128::from_be_bytes(id);
    Ok(ReservationId { sequence: (number >> 64) as u64, nonce: number as u64 })
}

fn text(bytes: &[u8]) -> Result<&str, CodecError> {
    std::str::from_utf8(bytes).map_err(|_| malformed("a key that is not text"))
}

fn append(to: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    to.push(tag);
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

pub(super) fn malformed(what: &str) -> CodecError {
    CodecError::Malformed(what.to_owned())
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
