//! The bytes of log entries, memberships and messages: bincode 2 behind a version byte.
//!
//! An entry's payload starts with its kind. The kind doubles as the version of what follows: a change of the
//! encoding takes a new kind, and old kinds stay readable.

use std::io;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use openraft::EntryPayload;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::inventory::command::{Request, Stamp};

use crate::types::{PeerNode, Proposal, StoredMembership};

/// No message and no entry is larger, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

const KIND_BLANK: u8 = 0;
const KIND_BATCH_V1: u8 = 1;
const KIND_MEMBERSHIP_V1: u8 = 2;

type Payload = EntryPayload<Proposal, u64, PeerNode>;
type Membership = openraft::Membership<u64, PeerNode>;

/// What one log entry tells the state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// The instant of all its commands, and the limits in force.
    pub(crate) stamp: Stamp,
    /// The commands, in order.
    pub(crate) requests: Vec<Request>,
}

fn config() -> Configuration<LittleEndian, Varint, Limit<MESSAGE_BYTES_MAX>> {
    bincode::config::standard().with_limit::<MESSAGE_BYTES_MAX>()
}

/// Appends the bytes of a value to a buffer.
pub(crate) fn encode_into(value: &impl Serialize, buffer: &mut Vec<u8>) -> io::Result<()> {
    bincode::serde::encode_into_std_write(value, buffer, config()).map(drop).map_err(io::Error::other)
}

/// The bytes of a value.
pub(crate) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    encode_into(value, &mut buffer)?;
    Ok(buffer)
}

/// The value of some bytes, all of which must be used.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, config()).map_err(invalid)?;
    if used != bytes.len() {
        return Err(invalid(format!("{} bytes too many", bytes.len() - used)));
    }
    Ok(value)
}

fn invalid(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

/// The payload of an entry with these commands.
pub(crate) fn encode_batch(batch: &Batch) -> io::Result<Proposal> {
    let mut buffer = vec![KIND_BATCH_V1];
    encode_into(batch, &mut buffer)?;
    Ok(Proposal(Bytes::from(buffer)))
}

/// The commands of an entry.
pub(crate) fn decode_batch(proposal: &Proposal) -> io::Result<Batch> {
    match proposal.0.split_first() {
        Some((&KIND_BATCH_V1, rest)) => decode(rest),
        other => Err(invalid(format!("an entry of unknown kind {:?}", other.map(|(kind, _)| kind)))),
    }
}

/// The bytes of a payload, as the log keeps them.
pub(crate) fn encode_payload(payload: Payload) -> io::Result<Bytes> {
    match payload {
        EntryPayload::Blank => Ok(Bytes::from_static(&[KIND_BLANK])),
        EntryPayload::Normal(proposal) => Ok(proposal.0),
        EntryPayload::Membership(membership) => {
            let mut buffer = vec![KIND_MEMBERSHIP_V1];
            encode_into(&membership, &mut buffer)?;
            Ok(Bytes::from(buffer))
        }
    }
}

/// The payload of some bytes of the log.
pub(crate) fn decode_payload(bytes: Bytes) -> io::Result<Payload> {
    match bytes.first() {
        Some(&KIND_BLANK) => Ok(EntryPayload::Blank),
        Some(&KIND_BATCH_V1) => Ok(EntryPayload::Normal(Proposal(bytes))),
        Some(&KIND_MEMBERSHIP_V1) => decode::<Membership>(&bytes[1..]).map(EntryPayload::Membership),
        other => Err(invalid(format!("an entry of unknown kind {other:?}; a newer version wrote it"))),
    }
}

/// The bytes of a membership, as images carry them.
pub(crate) fn encode_membership(membership: &StoredMembership) -> io::Result<Vec<u8>> {
    encode(membership)
}

/// The membership of an image; an image without one has the empty one.
pub(crate) fn decode_membership(bytes: &[u8]) -> io::Result<StoredMembership> {
    if bytes.is_empty() { Ok(StoredMembership::default()) } else { decode(bytes) }
}
