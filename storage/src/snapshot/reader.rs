//! Reads a snapshot file from beginning to end, and believes nothing.

use std::collections::VecDeque;
use std::io;

use super::format::*;
use crate::checkpoint::rows::split_record;
use crate::checkpoint::{ImageHeader, codec, decode_row};
use crate::disk::File;
use crate::inventory::record::{Record, RecordKey};
use crate::planted;

/// Why a file is not a snapshot that can be used.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The bytes at this offset are not what a snapshot has there.
    Damaged { offset: u64, what: String },
    /// A newer lastunit wrote it.
    Newer(u64),
    /// A lastunit before the first release wrote it.
    Older(u64),
    /// It is of a feature level that this lastunit does not support.
    Level(String),
    /// The system could not read it.
    Io(io::Error),
}

/// A snapshot that is being read. Memory: one block, and the records of one row.
///
/// An iterator over the records. It ends without an error only where the whole file, up to the last byte, is
/// what a writer wrote.
pub(super) struct Reader<'a> {
    file: &'a dyn File,
    header: ImageHeader,
    /// Where the next block, or the trailer, starts.
    offset: u64,
    /// Of all bytes before `offset`.
    crc: crc32fast::Hasher,
    block: Vec<u8>,
    /// How much of `block` was handed out.
    used: usize,
    last_key: Vec<u8>,
    /// Records of the last row that were not handed out yet.
    decoded: VecDeque<(RecordKey, Record)>,
    rows: u64,
    ended: bool,
}

impl<'a> Reader<'a> {
    /// Reads the head.
    pub(super) fn start(file: &'a dyn File) -> Result<Reader<'a>, Unreadable> {
        let mut head = read_exact(file, 0, HEAD_BYTES)?;
        let header_len = check_head(&head)?;
        head.extend(read_exact(file, HEAD_BYTES as u64, header_len + 4)?);
        let (body, crc) = head.split_at(HEAD_BYTES + header_len);
        if crc != crc32fast::hash(body).to_le_bytes() {
            return Err(damaged(0, "the head has a wrong checksum"));
        }
        check_version(u32_at(body, 8))?;
        let header =
            codec::decode_header(&body[HEAD_BYTES..]).map_err(|e| undecodable(HEAD_BYTES as u64, e))?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        let (offset, block, last_key) = (head.len() as u64, Vec::new(), Vec::new());
        let decoded = VecDeque::new();
        Ok(Reader { file, header, offset, crc, block, used: 0, last_key, decoded, rows: 0, ended: false })
    }

    /// What the head says.
    pub(super) fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// How far it was read, in whole blocks.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    fn next_record(&mut self) -> Result<Option<(RecordKey, Record)>, Unreadable> {
        while self.decoded.is_empty() {
            if !self.next_row()? {
                return Ok(None);
            }
        }
        Ok(self.decoded.pop_front())
    }

    /// Decodes the next row; `false` where there is none.
    fn next_row(&mut self) -> Result<bool, Unreadable> {
        if self.used == self.block.len() && !self.next_block()? {
            return Ok(false);
        }
        let at = self.offset - (self.block.len() - self.used) as u64;
        let (key, value) =
            split_record(&self.block[self.used..]).ok_or_else(|| damaged(at, "a broken row"))?;
        if !self.last_key.is_empty() && key <= self.last_key.as_slice() {
            return Err(damaged(at, "a row out of order"));
        }
        self.decoded = decode_row(key, value).map_err(|e| undecodable(at, e))?.into();
        self.used += ROW_HEAD_BYTES + key.len() + value.len();
        key.clone_into(&mut self.last_key);
        self.rows += 1;
        Ok(true)
    }

    /// Reads a block, or else the trailer: then `false`.
    fn next_block(&mut self) -> Result<bool, Unreadable> {
        let head = read_exact(self.file, self.offset, BLOCK_HEAD_BYTES)?;
        let (len, crc) = (u32_at(&head, 0), u32_at(&head, 4));
        if len == 0 {
            self.check_trailer(crc)?;
            return Ok(false);
        }
        if len as usize > BLOCK_BYTES_MAX {
            return Err(damaged(self.offset, "a block that is too long"));
        }
        let payload = read_exact(self.file, self.offset + BLOCK_HEAD_BYTES as u64, len as usize)?;
        if crc != block_crc(self.offset, &payload) {
            return Err(damaged(self.offset, "a block with a wrong checksum"));
        }
        self.crc.update(&head);
        self.crc.update(&payload);
        self.offset += (head.len() + payload.len()) as u64;
        (self.block, self.used) = (payload, 0);
        Ok(true)
    }

    fn check_trailer(&self, crc: u32) -> Result<(), Unreadable> {
        let at = self.offset + BLOCK_HEAD_BYTES as u64;
        let fields = read_exact(self.file, at, TRAILER_BYTES)?;
        let wrong = |what| Err(damaged(self.offset, what));
        if planted!("snapshot-without-its-end-checked") {
            return Ok(());
        }
        if crc != crc32fast::hash(&fields) {
            return wrong("the trailer has a wrong checksum");
        }
        if fields[16..] != self.crc.clone().finalize().to_le_bytes() {
            return wrong("the file has a wrong checksum");
        }
        if fields[..8] != self.rows.to_le_bytes() {
            return wrong("the trailer counts other rows");
        }
        if fields[8..16] != self.header.digest.to_le_bytes() {
            return wrong("the trailer has another digest than the head");
        }
        let end = at + TRAILER_BYTES as u64;
        if self.file.len().map_err(Unreadable::Io)? != end {
            return Err(damaged(end, "bytes after the end"));
        }
        Ok(())
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<(RecordKey, Record), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_record().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Checks the magic; the length of the header.
fn check_head(head: &[u8]) -> Result<usize, Unreadable> {
    if &head[..8] != MAGIC {
        return Err(damaged(0, "this is not a snapshot"));
    }
    let len = u32_at(head, 12) as usize;
    if len > HEADER_BYTES_MAX {
        return Err(damaged(12, "a header that is too long"));
    }
    Ok(len)
}

/// The head has the same layout and checksum in every version, so that damage is not taken for a newer version.
fn check_version(version: u32) -> Result<(), Unreadable> {
    match version {
        VERSION => Ok(()),
        0 => Err(damaged(8, "format version 0")),
        newer => Err(Unreadable::Newer(newer.into())),
    }
}

pub(super) fn read_exact(file: &dyn File, offset: u64, len: usize) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], offset + filled as u64).map_err(Unreadable::Io)? {
            0 => return Err(damaged(offset + filled as u64, "the file is cut short")),
            read => filled += read,
        }
    }
    Ok(bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn undecodable(offset: u64, error: codec::CodecError) -> Unreadable {
    match error {
        codec::CodecError::Newer(version) => Unreadable::Newer(version.into()),
        codec::CodecError::Older(version) => Unreadable::Older(version.into()),
        codec::CodecError::Level(what) => Unreadable::Level(what),
        error => Unreadable::Damaged { offset, what: error.to_string() },
    }
}

pub(super) fn damaged(offset: u64, what: &str) -> Unreadable {
    Unreadable::Damaged { offset, what: what.to_owned() }
}
