//! What a backup begins with: whose state it is, and of which moment.
//!
//! ```text
//!   magic (8) | version (4) | length F of the fields (4) | fields (F) | CRC-32 of all before it (4)     little-endian
//!
//!   fields:  cluster id (16) | node id (8) | term (8) | leader (8) | index (8)
//!            | sequence (8) | now_ms (8) | digest (8) | length of the snapshot (8) | the cluster's name (the rest)
//! ```
//!
//! Magic, version, length and checksum keep their places in every version, so that damage is told from a newer one.

use crate::Position;
use crate::disk::File;
use crate::small::Fields;
use crate::snapshot::reader::{Unreadable, damaged, read_exact, u32_at};

/// What a backup starts with. The line end tells a file that was sent as text.
const MAGIC: &[u8; 8] = b"LUback\r\n";

/// The version written now.
pub(super) const VERSION: u32 = 1;

/// Magic, version and length.
const START_BYTES: usize = 16;

/// All fields but the cluster's name.
const FIXED_BYTES: usize = 80;

/// The longest name of a cluster, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// The checksum.
const CRC_BYTES: usize = 4;

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupHead {
    /// The name of the cluster that it was taken of.
    pub cluster_name: String,
    /// That cluster's id.
    pub cluster_id: u128,
    /// The node that wrote it.
    pub node_id: u64,
    /// The last entry that it reflects.
    pub applied: Position,
    /// The sequence of the last command in it.
    pub sequence: u64,
    /// The cluster's time then, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The digest of the state.
    pub digest: u64,
    /// How long the snapshot behind this is, in bytes.
    pub snapshot_bytes: u64,
}

impl BackupHead {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let name = self.cluster_name.as_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(((FIXED_BYTES + name.len()) as u32).to_le_bytes());
        bytes.extend(self.cluster_id.to_le_bytes());
        let Position { term, leader, index } = self.applied;
        let numbers = [self.node_id, term, leader, index, self.sequence, self.now_ms, self.digest];
        numbers
            .into_iter()
            .chain([self.snapshot_bytes])
            .for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend(name);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The head of a file, and how many bytes it takes.
    pub(super) fn read(file: &dyn File) -> Result<(BackupHead, u64), Unreadable> {
        let mut bytes = read_exact(file, 0, START_BYTES)?;
        let fields_len = check_start(&bytes)?;
        bytes.extend(read_exact(file, START_BYTES as u64, fields_len + CRC_BYTES)?);
        let (body, crc) = bytes.split_at(START_BYTES + fields_len);
        if crc != crc32fast::hash(body).to_le_bytes() {
            return Err(damaged(0, "the head has a wrong checksum"));
        }
        match u32_at(body, 8) {
            VERSION => {}
            0 => return Err(damaged(8, "format version 0")),
            newer => return Err(Unreadable::Newer(newer.into())),
        }
        let head = BackupHead::decode(&body[START_BYTES..]);
        let head = head.ok_or_else(|| damaged(START_BYTES as u64, "the head has other fields"))?;
        Ok((head, bytes.len() as u64))
    }

    fn decode(fields: &[u8]) -> Option<BackupHead> {
        let mut fields = Fields(fields);
        let (cluster_id, node_id) = (fields.u128()?, fields.u64()?);
        let applied = Position { term: fields.u64()?, leader: fields.u64()?, index: fields.u64()? };
        let (sequence, now_ms) = (fields.u64()?, fields.u64()?);
        let (digest, snapshot_bytes) = (fields.u64()?, fields.u64()?);
        let cluster_name = String::from_utf8(fields.0.to_vec()).ok()?;
        Some(BackupHead {
            cluster_name,
            cluster_id,
            node_id,
            applied,
            sequence,
            now_ms,
            digest,
            snapshot_bytes,
        })
    }
}

/// Checks the magic; the length of the fields.
fn check_start(start: &[u8]) -> Result<usize, Unreadable> {
    if &start[..MAGIC.len()] != MAGIC {
        return Err(damaged(0, "this is not a backup of lastunit"));
    }
    let len = u32_at(start, 12) as usize;
    match len <= FIXED_BYTES + NAME_BYTES_MAX {
        true => Ok(len),
        false => Err(damaged(12, "a head that is too long")),
    }
}
