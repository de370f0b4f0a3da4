//! Bytes that nobody wrote, as a peer or a disk might hand them over: refused or read, never a panic.
//!
//! With each run of the tests dice make the bytes; [`bolero`] says how libFuzzer makes them instead.

use bolero::check;
use bytes::Bytes;
use futures_util::FutureExt;
use openraft::raft::AppendEntriesRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::peers::Promised;

use crate::codec;
use crate::transport::frame::{self, Frame, Kind, Sender};
use crate::transport::message::{Appended, Call, Greeting, Hello, Reply, SnapshotBegin, SnapshotDone};
use crate::types::{StoredMembership, TypeConfig};

/// The next frame of some bytes, which are all there is to wait for.
fn next(bytes: &mut &[u8]) -> Option<Frame> {
    frame::read(bytes).now_or_never().expect("bytes in memory are there at once").ok()?
}

/// Whole frames one after the other, the last of which somebody changed at one place.
type Stream = (Vec<(u8, u64, Vec<u8>)>, u16, u8);

const KINDS: [Kind; 4] = [Kind::Hello, Kind::Call, Kind::Append, Kind::SnapshotChunk];
const SENDER: Sender =
    Sender { wall_ms: 1_790_000_000_000, promised: Promised { term: 3, node: 2, entries: 40 } };

#[test]
fn frames() {
    check!().with_type::<Stream>().for_each(|(frames, place, byte)| {
        let sealed = |(kind, id, body): &(u8, u64, Vec<u8>)| {
            frame::seal(KINDS[usize::from(*kind) % KINDS.len()], *id, SENDER, body).unwrap()
        };
        let mut bytes: Vec<u8> = frames.iter().flat_map(sealed).collect();
        let changed = frames.last().map_or(0, |last| (sealed(last).len() * usize::from(*place)) >> 16);
        let unchanged = bytes.len().checked_sub(changed + 1).is_none_or(|at| bytes[at] == *byte);
        if let Some(at) = bytes.len().checked_sub(changed + 1) {
            bytes[at] = *byte;
        }
        let mut rest = &bytes[..];
        let read = std::iter::from_fn(|| next(&mut rest)).count();
        assert_eq!(read, frames.len() - usize::from(!unchanged));
    });
}

#[test]
fn streams_of_any_bytes() {
    check!().for_each(|mut bytes: &[u8]| while next(&mut bytes).is_some() {});
}

/// What is read as a message can be said again, and is then read as the same.
fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(message) = codec::decode::<T>(bytes) {
        let said = codec::encode(&message).unwrap();
        let again = codec::decode::<T>(&said).unwrap();
        assert_eq!(codec::encode(&again).unwrap(), said);
    }
}

#[test]
fn messages() {
    check!().for_each(|bytes: &[u8]| {
        let Some((kind, body)) = bytes.split_first() else { return };
        match kind % 8 {
            0 => read::<Hello>(body),
            1 => read::<Greeting>(body),
            2 => read::<Call>(body),
            3 => read::<Reply>(body),
            4 => read::<AppendEntriesRequest<TypeConfig>>(body),
            5 => read::<Appended>(body),
            6 => read::<SnapshotBegin>(body),
            _ => read::<SnapshotDone>(body),
        }
    });
}

#[test]
fn entries() {
    check!().for_each(|bytes: &[u8]| {
        if let Ok(openraft::EntryPayload::Normal(proposal)) =
            codec::decode_payload(Bytes::copy_from_slice(bytes))
        {
            let _ = codec::decode_batch(&proposal);
        }
        read::<StoredMembership>(bytes);
    });
}
