//! What a node knows of the other nodes' directories: which start of each it deals with, and what each has promised.
//!
//! ```text
//!   <data_dir>/peers:  magic (8) | version (4) | records, by node id | CRC-32 of all before it (4)
//!
//!   record:  node id | store id | generation | nonce | vote: term, node | entries        little-endian
//! ```
//!
//! A directory that was put back from an older copy, or runs twice, has nothing on its own disk that tells. The others
//! remember: see `raft`'s handshake, which decides by what is here. Without the file nothing is remembered, and a
//! damaged one may be removed: what is lost is the memory of older copies, never a command.
//!
//! The bytes are in docs/formats.md. The file is replaced whole, by a rename.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::StorageError;
use crate::disk::Disk;
use crate::identity::Identity;
use crate::small::{Fields, SmallFile};

const FILE: SmallFile = SmallFile {
    name: "peers",
    temporary: "peers.tmp",
    magic: b"LUpeers\n",
    version: 1,
    mend: "remove this file: it is only a memory of the other nodes' directories, and begins anew",
};

/// How long a record is, in bytes.
const RECORD_BYTES: usize = 72;

/// One start of one directory: no other has the same three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// The directory.
    pub store_id: u128,
    /// Which start of it.
    pub generation: u64,
    /// The start's random number, which tells it from that of a copy.
    pub nonce: u128,
}

impl Incarnation {
    /// The start that an identity is of.
    pub fn of(identity: &Identity) -> Incarnation {
        let Identity { store_id, generation, nonce, .. } = *identity;
        Incarnation { store_id, generation, nonce }
    }
}

/// What a directory has, as far as others rely on it. Neither part of it can ever become less on a directory that
/// lost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Promised {
    /// The term of the last vote.
    pub term: u64,
    /// The node voted for in it.
    pub node: u64,
    /// How many entries of the log, from its first one on, whether they are still in the log or in an image.
    pub entries: u64,
}

impl Promised {
    /// Whether this is as much as that, in both parts.
    pub fn covers(&self, other: &Promised) -> bool {
        self.vote() >= other.vote() && self.entries >= other.entries
    }

    /// Takes over what is more, part by part.
    pub fn raise(&mut self, to: &Promised) {
        if to.vote() > self.vote() {
            (self.term, self.node) = to.vote();
        }
        self.entries = self.entries.max(to.entries);
    }

    fn vote(&self) -> (u64, u64) {
        (self.term, self.node)
    }
}

/// What is known of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The start that it is dealt with as.
    pub incarnation: Incarnation,
    /// What it has promised, in this start or an earlier one of the same directory.
    pub promised: Promised,
}

/// What a directory knows, by node id; nothing where it has no such file.
///
/// # Errors
/// Corrupt: the file is damaged. Refused: another version of lastunit wrote it. IO: the system said no.
pub fn read(disk: &dyn Disk, dir: &Path) -> Result<BTreeMap<u64, Known>, StorageError> {
    let fields = FILE.read(disk, dir)?.unwrap_or_default();
    decode(&fields)
        .ok_or_else(|| FILE.damaged(dir, "the records are not those of nodes in the order of their ids"))
}

/// Replaces what a directory knows, durable at return.
///
/// # Errors
/// IO: the system said no.
pub fn write(disk: &dyn Disk, dir: &Path, known: &BTreeMap<u64, Known>) -> Result<(), StorageError> {
    FILE.replace(disk, dir, &encode(known))
}

fn encode(known: &BTreeMap<u64, Known>) -> Vec<u8> {
    let mut fields = Vec::with_capacity(known.len() * RECORD_BYTES);
    for (id, Known { incarnation, promised }) in known {
        fields.extend(id.to_le_bytes());
        fields.extend(incarnation.store_id.to_le_bytes());
        fields.extend(incarnation.generation.to_le_bytes());
        fields.extend(incarnation.nonce.to_le_bytes());
        fields.extend(promised.term.to_le_bytes());
        fields.extend(promised.node.to_le_bytes());
        fields.extend(promised.entries.to_le_bytes());
    }
    fields
}

fn decode(fields: &[u8]) -> Option<BTreeMap<u64, Known>> {
    let mut known = BTreeMap::new();
    for record in fields.chunks(RECORD_BYTES) {
        let (id, one) = decode_record(record)?;
        if known.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return None;
        }
        known.insert(id, one);
    }
    Some(known)
}

fn decode_record(record: &[u8]) -> Option<(u64, Known)> {
    let mut fields = Fields(record);
    let id = fields.u64()?;
    let (store_id, generation, nonce) = (fields.u128()?, fields.u64()?, fields.u128()?);
    let (term, node, entries) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (incarnation, promised) =
        (Incarnation { store_id, generation, nonce }, Promised { term, node, entries });
    Some((id, Known { incarnation, promised }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::RealDisk;
    use crate::small::damages;

    fn known(seed: u64) -> Known {
        let incarnation =
            Incarnation { store_id: (5 << 100) + u128::from(seed), generation: seed, nonce: u128::MAX - 1 };
        Known { incarnation, promised: Promised { term: 7, node: 2, entries: seed << 40 } }
    }

    #[test]
    fn what_is_known_comes_back_and_nothing_where_there_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&RealDisk, dir.path()).unwrap(), BTreeMap::new());
        for count in 0..5 {
            let all: BTreeMap<_, _> = (0..count).map(|id| (id * 3, known(id))).collect();
            write(&RealDisk, dir.path(), &all).unwrap();
            assert_eq!(read(&RealDisk, dir.path()).unwrap(), all);
        }
    }

    #[test]
    fn the_file_has_golden_bytes() {
        #[rustfmt::skip]
        let golden = [
            b'L', b'U', b'p', b'e', b'e', b'r', b's', b'\n', 1, 0, 0, 0,
            3, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0,
            0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
            7, 0, 0, 0, 0, 0, 0, 0,
            2, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 1, 0, 0,
        ];
        let bytes = FILE.bytes_of(&encode(&BTreeMap::from([(3, known(1))])));
        let (body, crc) = bytes.split_last_chunk::<4>().unwrap();
        assert_eq!(body, golden);
        assert_eq!(u32::from_le_bytes(*crc), crc32fast::hash(&golden));
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_addition_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let all = BTreeMap::from([(1, known(1)), (2, known(2))]);
        for damaged in damages(&FILE.bytes_of(&encode(&all))) {
            fs::write(dir.path().join(FILE.name), &damaged).unwrap();
            let Err(error) = read(&RealDisk, dir.path()) else { panic!("accepted {damaged:?}") };
            assert!(error.to_string().contains("remove this file"), "{error}");
        }
    }

    #[test]
    fn records_out_of_order_or_cut_are_damage_though_their_checksum_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = [1, 2].map(|id| encode(&BTreeMap::from([(id, known(id))])));
        for fields in [[&two[..], &one].concat(), [&one[..], &one].concat(), two[1..].to_vec()] {
            FILE.replace(&RealDisk, dir.path(), &fields).unwrap();
            assert!(matches!(read(&RealDisk, dir.path()), Err(StorageError::Corrupt { .. })));
        }
    }

    #[test]
    fn what_was_promised_only_grows_part_by_part() {
        let promised = |term, node, entries| Promised { term, node, entries };
        let mut most = promised(3, 1, 10);
        for (next, then) in [
            (promised(2, 9, 9), promised(3, 1, 10)),
            (promised(3, 2, 0), promised(3, 2, 10)),
            (promised(4, 1, 8), promised(4, 1, 10)),
            (promised(1, 1, 11), promised(4, 1, 11)),
        ] {
            most.raise(&next);
            assert_eq!(most, then);
            assert!(most.covers(&next));
        }
        assert!(!promised(4, 1, 10).covers(&most) && !promised(4, 0, 11).covers(&most));
    }
}
