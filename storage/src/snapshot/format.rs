//! The snapshot file: numbers and layout shared by its writer and its reader.
//!
//! ```text
//!   head     magic (8) | version (4) | length H (4) | header (H) | CRC-32 of all before it (4)
//!   block    length L (4) | CRC-32 of offset and payload (4) | payload (L)            any number of them
//!   payload  key length (2) | value length (4) | key | value                          at least one row
//!   trailer  zero (4) | CRC-32 of the next three fields (4)
//!            | rows (8) | digest (8) | CRC-32 of all before the trailer (4)
//! ```
//!
//! Integers are little-endian. The header is that of [`checkpoint::codec`](crate::checkpoint::codec), keys and values
//! are those of the rows of an image ([`decode_row`](crate::checkpoint::decode_row)). The keys ascend. A block's
//! checksum covers the offset at which it stands, so that no block can stand in for another. Nothing follows the
//! trailer.

/// What a snapshot starts with. The line end tells a file that was sent as text.
pub(super) const MAGIC: &[u8; 8] = b"LUsnap\r\n";

/// The version written now.
pub(super) const VERSION: u32 = 1;

/// The most that a header may take, in bytes.
pub(super) const HEADER_BYTES_MAX: usize = 1 << 20;

/// A block is written once its payload is this long, in bytes.
pub(super) const BLOCK_BYTES: usize = 64 << 10;

/// The longest payload of a block, in bytes: one that was almost full, and one row of the largest size.
pub(super) const BLOCK_BYTES_MAX: usize = 5 << 20;

/// Magic, version and length.
pub(super) const HEAD_BYTES: usize = 16;

/// Length and checksum before a block's payload.
pub(super) const BLOCK_HEAD_BYTES: usize = 8;

/// The two lengths before a row.
pub(super) const ROW_HEAD_BYTES: usize = 6;

/// The fields of the trailer after its own length and checksum.
pub(super) const TRAILER_BYTES: usize = 20;

/// The checksum of a block's payload at an offset.
pub(super) fn block_crc(offset: u64, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&offset.to_le_bytes());
    crc.update(payload);
    crc.finalize()
}
