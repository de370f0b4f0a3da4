//! The bytes of the identity file, between its version and its checksum; drawn in docs/formats.md.

use std::path::Path;

use super::Identity;
use crate::StorageError;
use crate::disk::Disk;
use crate::small::{Fields, SmallFile};

/// Version 1 had no generation, no nonce and no word of the log. It was never released.
pub(super) const FILE: SmallFile = SmallFile {
    name: "identity",
    temporary: "identity.tmp",
    magic: b"LUident\n",
    version: 2,
    mend: "put a copy of this very file back, or leave this node stopped, the others go on; this version cannot \
           replace a node yet",
};

/// The longest name of a cluster, in bytes.
pub(super) const CLUSTER_NAME_BYTES_MAX: usize = 1024;

/// The identity of a directory; `None` where it has none.
pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, StorageError> {
    let Some(fields) = FILE.read(disk, dir)? else { return Ok(None) };
    let identity = decode(&fields);
    identity.map(Some).ok_or_else(|| FILE.damaged(dir, "the fields do not make an identity"))
}

/// Replaces the identity of a directory, durable at return.
pub(super) fn write(disk: &dyn Disk, dir: &Path, identity: &Identity) -> Result<(), StorageError> {
    FILE.replace(disk, dir, &encode(identity))
}

pub(super) fn encode(identity: &Identity) -> Vec<u8> {
    let mut fields = Vec::new();
    fields.extend(identity.node_id.to_le_bytes());
    fields.extend(identity.store_id.to_le_bytes());
    fields.push(identity.cluster_id.is_some().into());
    fields.extend(identity.cluster_id.unwrap_or_default().to_le_bytes());
    fields.extend(identity.generation.to_le_bytes());
    fields.extend(identity.nonce.to_le_bytes());
    fields.push(identity.log_made.into());
    fields.extend((identity.cluster_name.len() as u16).to_le_bytes());
    fields.extend(identity.cluster_name.as_bytes());
    fields
}

pub(super) fn decode(bytes: &[u8]) -> Option<Identity> {
    let mut fields = Fields(bytes);
    let (node_id, store_id) = (fields.u64()?, fields.u128()?);
    let (is_known, cluster_id) = (fields.bool()?, fields.u128()?);
    let (generation, nonce, log_made) = (fields.u64()?, fields.u128()?, fields.bool()?);
    let name_bytes = u16::from_le_bytes(fields.take()?);
    let name = fields.0;
    if name.len() != usize::from(name_bytes) {
        return None;
    }
    Some(Identity {
        cluster_name: String::from_utf8(name.to_vec()).ok()?,
        cluster_id: is_known.then_some(cluster_id),
        node_id,
        store_id,
        generation,
        nonce,
        log_made,
    })
}
