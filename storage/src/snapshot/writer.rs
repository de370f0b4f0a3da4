//! Writes a snapshot file from beginning to end.

use std::path::Path;

use super::format::{BLOCK_BYTES, BLOCK_HEAD_BYTES, MAGIC, VERSION, block_crc};
use super::growing::Growing;
use crate::StorageError;
use crate::checkpoint::{ImageHeader, codec};

/// A snapshot that is being written.
pub(super) struct Writer<'a> {
    file: Growing,
    path: &'a Path,
    /// Of all bytes before `offset`.
    crc: crc32fast::Hasher,
    /// Room for a block's head, and the rows of the block so far.
    block: Vec<u8>,
    rows: u64,
    digest: u64,
}

impl<'a> Writer<'a> {
    /// Writes the head.
    pub(super) fn start(
        file: Growing,
        path: &'a Path,
        header: &ImageHeader,
    ) -> Result<Writer<'a>, StorageError> {
        let crc = crc32fast::Hasher::new();
        let block = vec![0; BLOCK_HEAD_BYTES];
        let mut writer = Writer { file, path, crc, block, rows: 0, digest: header.digest };
        let header = codec::encode_header(header).map_err(std::io::Error::other);
        writer.append(&head(&header.map_err(StorageError::io("encode for", path))?))?;
        Ok(writer)
    }

    /// Adds a row; its key is greater than the one before.
    pub(super) fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.block.extend((key.len() as u16).to_le_bytes());
        self.block.extend((value.len() as u32).to_le_bytes());
        self.block.extend(key);
        self.block.extend(value);
        self.rows += 1;
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    /// Writes the trailer, and syncs.
    pub(super) fn finish(mut self) -> Result<(), StorageError> {
        self.end_block()?;
        let mut fields = Vec::new();
        fields.extend(self.rows.to_le_bytes());
        fields.extend(self.digest.to_le_bytes());
        fields.extend(self.crc.clone().finalize().to_le_bytes());
        let mut trailer = vec![0; 4];
        trailer.extend(crc32fast::hash(&fields).to_le_bytes());
        trailer.extend(fields);
        self.append(&trailer)?;
        self.file.sync(self.path)
    }

    fn end_block(&mut self) -> Result<(), StorageError> {
        let mut block = std::mem::take(&mut self.block);
        let payload = &block[BLOCK_HEAD_BYTES..];
        if !payload.is_empty() {
            let (len, crc) = (payload.len() as u32, block_crc(self.file.len(), payload));
            block[..4].copy_from_slice(&len.to_le_bytes());
            block[4..BLOCK_HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
            self.append(&block)?;
        }
        block.truncate(BLOCK_HEAD_BYTES);
        self.block = block;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.append(bytes, self.path)?;
        self.crc.update(bytes);
        Ok(())
    }
}

fn head(header: &[u8]) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((header.len() as u32).to_le_bytes());
    head.extend(header);
    head.extend(crc32fast::hash(&head).to_le_bytes());
    head
}
