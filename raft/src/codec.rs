//! The bytes of log entries, memberships and messages: bincode 2 behind a version byte.
//!
//! An entry's payload starts with its kind. The kind doubles as the version of what follows: a change of the
//! encoding takes a new kind, and old kinds stay readable. Commands that not every version knows are in an entry of a
//! kind of its own, which says first of all what feature level it takes to know them: a version that does not support
//! that stops there, and makes nothing of the rest. The limits of customers and holds are before the stamp, in kinds of
//! their own, where there are any: who limits nothing writes what was written before there were such limits.

use std::io;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use openraft::EntryPayload;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::inventory::command::{HoldLimits, Request, Stamp};
use storage::inventory::{LEVELS, check_levels};

use crate::types::{Membership, PeerNode, Proposal, StoredMembership};

/// No message and no entry is larger, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

const KIND_BLANK: u8 = 0;
/// The commands of versions before the first release.
const KIND_BATCH_V1: u8 = 1;
const KIND_MEMBERSHIP_V1: u8 = 2;
const KIND_BATCH_V2: u8 = 3;
/// The same behind the feature level that its commands take: two bytes, little-endian. At level 1 it is not used.
const KIND_BATCH_OF_LEVEL: u8 = 4;
/// As kind 3, behind the limits of customers and holds.
const KIND_LIMITED_BATCH: u8 = 5;
/// As kind 5, behind the feature level.
const KIND_LIMITED_BATCH_OF_LEVEL: u8 = 6;

/// The level of whatever does not say otherwise.
const LEVEL_UNTOLD: u16 = 1;

type Payload = EntryPayload<Proposal, u64, PeerNode>;

/// What one log entry tells the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The instant of all its commands, and the limits in force.
    pub(crate) stamp: Stamp,
    /// The commands, in order.
    pub(crate) requests: Vec<Request>,
}

/// What decoding one message may take, by bincode's own count, in bytes. It counts a number as eight bytes where one
/// byte is stored: whatever was short enough to be sent must be readable, or one long reply would end the connection
/// for all.
const DECODED_BYTES_MAX: usize = 8 * MESSAGE_BYTES_MAX;

fn config() -> Configuration<LittleEndian, Varint, Limit<DECODED_BYTES_MAX>> {
    bincode::config::standard().with_limit::<DECODED_BYTES_MAX>()
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

/// An entry's payload while commands are put into it: its kind, the stamp, then one command after the other up to the
/// end. So its length is known with each of them, and the last ones can be taken out again.
pub(crate) struct BatchWriter {
    buffer: Vec<u8>,
    /// The greatest that a command of it takes.
    level: u16,
}

/// How far a payload had come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    bytes: usize,
    level: u16,
}

impl BatchWriter {
    /// An entry of this instant, with no commands yet.
    pub(crate) fn new(stamp: &Stamp) -> io::Result<BatchWriter> {
        let mut buffer = vec![KIND_BATCH_V2];
        if stamp.limits != HoldLimits::NONE {
            buffer = vec![KIND_LIMITED_BATCH];
            encode_into(&stamp.limits, &mut buffer)?;
        }
        encode_into(stamp, &mut buffer)?;
        Ok(BatchWriter { buffer, level: LEVEL_UNTOLD })
    }

    /// Adds a command.
    pub(crate) fn push(&mut self, request: &Request) -> io::Result<()> {
        self.level = self.level.max(request.command.level_told());
        encode_into(request, &mut self.buffer)
    }

    /// How long the payload is by now, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// How far it has come.
    pub(crate) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes(), level: self.level }
    }

    /// Takes out what was added since.
    pub(crate) fn cut_back(&mut self, mark: Mark) {
        self.buffer.truncate(mark.bytes);
        self.level = mark.level;
    }

    /// The payload.
    pub(crate) fn finish(mut self) -> Proposal {
        if self.level > LEVEL_UNTOLD {
            let [low, high] = self.level.to_le_bytes();
            let kind = match self.buffer.first() {
                Some(&KIND_LIMITED_BATCH) => KIND_LIMITED_BATCH_OF_LEVEL,
                _ => KIND_BATCH_OF_LEVEL,
            };
            self.buffer.splice(..1, [kind, low, high]);
        }
        Proposal(Bytes::from(self.buffer))
    }
}

/// The commands of an entry.
pub(crate) fn decode_batch(proposal: &Proposal) -> io::Result<Batch> {
    let (level, is_limited, rest) = split_level(&proposal.0)?;
    let (limits, commands) = if is_limited { split_limits(rest)? } else { (HoldLimits::NONE, rest) };
    let batch = decode_commands(limits, commands)?;
    let taken = batch.requests.iter().map(|request| request.command.level_told()).max();
    match taken.unwrap_or(LEVEL_UNTOLD) {
        taken if taken == level => Ok(batch),
        taken => Err(invalid(format!("an entry of feature level {level} with commands of level {taken}"))),
    }
}

/// The feature level of a payload with commands, which this version supports; whether limits come next; and what comes.
fn split_level(payload: &[u8]) -> io::Result<(u16, bool, &[u8])> {
    match payload {
        [KIND_BATCH_V2, rest @ ..] => Ok((LEVEL_UNTOLD, false, rest)),
        [KIND_LIMITED_BATCH, rest @ ..] => Ok((LEVEL_UNTOLD, true, rest)),
        [kind @ (KIND_BATCH_OF_LEVEL | KIND_LIMITED_BATCH_OF_LEVEL), low, high, rest @ ..] => {
            let level = u16::from_le_bytes([*low, *high]);
            check_levels(level, &LEVELS).map_err(invalid)?;
            Ok((level, *kind == KIND_LIMITED_BATCH_OF_LEVEL, rest))
        }
        [KIND_BATCH_OF_LEVEL | KIND_LIMITED_BATCH_OF_LEVEL, ..] => {
            Err(invalid("an entry cut short before its feature level"))
        }
        other => Err(unknown_kind(other.first().copied())),
    }
}

/// The limits that a payload with some begins with, and what follows them.
fn split_limits(bytes: &[u8]) -> io::Result<(HoldLimits, &[u8])> {
    match bincode::serde::decode_from_slice(bytes, config()).map_err(invalid)? {
        (HoldLimits::NONE, _) => Err(invalid("an entry of a kind with limits, and without any")),
        (limits, used) => Ok((limits, &bytes[used..])),
    }
}

fn decode_commands(limits: HoldLimits, bytes: &[u8]) -> io::Result<Batch> {
    let (stamp, mut at) = bincode::serde::decode_from_slice(bytes, config()).map_err(invalid)?;
    let stamp = Stamp { limits, ..stamp };
    let mut requests = Vec::new();
    while at < bytes.len() {
        let (request, used) = bincode::serde::decode_from_slice(&bytes[at..], config()).map_err(invalid)?;
        requests.push(request);
        at += used;
    }
    Ok(Batch { stamp, requests })
}

fn unknown_kind(kind: Option<u8>) -> io::Error {
    match kind {
        Some(KIND_BATCH_V1) => invalid(
            "an entry of kind 1, which a version before the first release wrote; start that node and its cluster anew, \
             with empty directories",
        ),
        Some(kind) => invalid(format!("an entry of unknown kind {kind}; a newer version wrote it")),
        None => invalid("an entry without a kind"),
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
        Some(&(KIND_BATCH_V2..=KIND_LIMITED_BATCH_OF_LEVEL)) => {
            split_level(&bytes)?;
            Ok(EntryPayload::Normal(Proposal(bytes)))
        }
        Some(&KIND_MEMBERSHIP_V1) => decode::<Membership>(&bytes[1..]).map(EntryPayload::Membership),
        other => Err(unknown_kind(other.copied())),
    }
}

/// Whether this version knows what a payload is, by its beginning.
///
/// # Errors
/// It is of a kind, or of a feature level, that only another version knows.
pub(crate) fn check_known(payload: &[u8]) -> io::Result<()> {
    match payload.first() {
        None | Some(&(KIND_BLANK | KIND_MEMBERSHIP_V1)) => Ok(()),
        Some(_) => split_level(payload).map(drop),
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

#[cfg(test)]
mod tests {
    use storage::inventory::command::Command;

    use super::*;

    const STAMP: Stamp = Stamp {
        now_ms: 1_790_000_000_000,
        retention_ms: 1,
        idempotency_ms: 2,
        max_hold_ms: 3,
        events_ms: 4,
        events_max: 5,
        limits: HoldLimits::NONE,
    };

    fn request(key: &str) -> Request {
        Request { idempotency_key: Some(key.into()), command: Command::Tick }
    }

    fn written(requests: &[Request]) -> Proposal {
        let mut writer = BatchWriter::new(&STAMP).unwrap();
        requests.iter().for_each(|request| writer.push(request).unwrap());
        writer.finish()
    }

    /// A reply with many small numbers was sealed and could not be opened, which ended the connection for all calls.
    #[test]
    fn what_is_short_enough_to_be_sent_can_be_read() {
        let many = vec![1_u64; MESSAGE_BYTES_MAX / 4];
        let bytes = encode(&many).unwrap();
        assert!(bytes.len() < MESSAGE_BYTES_MAX);
        assert_eq!(decode::<Vec<u64>>(&bytes).unwrap().len(), many.len());
    }

    #[test]
    fn commands_come_back_in_order_and_none_is_a_batch_too() {
        for keys in [vec![], vec!["a"], vec!["a", "b", "c"]] {
            let requests: Vec<_> = keys.into_iter().map(request).collect();
            let read = decode_batch(&written(&requests)).unwrap();
            assert_eq!(read, Batch { stamp: STAMP, requests });
        }
    }

    #[test]
    fn what_is_cut_back_was_never_there() {
        let mut writer = BatchWriter::new(&STAMP).unwrap();
        writer.push(&request("stays")).unwrap();
        let mark = writer.mark();
        writer.push(&request("goes")).unwrap();
        writer.cut_back(mark);
        assert_eq!(writer.finish(), written(&[request("stays")]));
    }

    #[test]
    fn every_payload_that_is_cut_inside_a_command_is_refused() {
        let Proposal(whole) = written(&[request("key")]);
        let Proposal(empty) = written(&[]);
        for length in (0..whole.len()).filter(|length| *length != empty.len()) {
            assert!(decode_batch(&Proposal(whole.slice(..length))).is_err(), "length {length}");
        }
    }

    #[test]
    fn entries_of_unreleased_and_of_newer_versions_are_refused_with_a_line_of_their_own() {
        for (kind, told) in
            [(1, "before the first release"), (7, "a newer version"), (255, "a newer version")]
        {
            let refused = decode_payload(Bytes::from(vec![kind, 0])).unwrap_err().to_string();
            assert!(refused.contains(told), "{kind}: {refused}");
            let refused = decode_batch(&Proposal(Bytes::from(vec![kind, 0]))).unwrap_err().to_string();
            assert!(refused.contains(told), "{kind}: {refused}");
        }
        assert!(decode_payload(Bytes::new()).is_err());
    }

    fn raise(to: u16) -> Request {
        Request { idempotency_key: None, command: Command::RaiseLevel(to) }
    }

    /// What a version that does not support it makes of it: nothing, whatever follows the level.
    #[test]
    fn an_entry_says_what_level_it_takes_before_anything_else() {
        let above = LEVELS.end() + 1;
        let Proposal(bytes) = written(&[request("a"), raise(above), raise(1)]);
        assert_eq!(bytes[..3], [KIND_BATCH_OF_LEVEL, above as u8, 0]);
        for rest in [&bytes[3..], b"", b"of no form that this version knows"] {
            let entry = Bytes::from([&bytes[..3], rest].concat());
            let told = [
                decode_payload(entry.clone()).map(drop),
                decode_batch(&Proposal(entry.clone())).map(drop),
                check_known(&entry),
            ];
            for told in told {
                let told = told.unwrap_err().to_string();
                assert!(told.contains(&format!("is of feature level {above}, and this lastunit")), "{told}");
            }
        }
    }

    #[test]
    fn limits_travel_in_kinds_of_their_own_and_nothing_is_written_where_there_are_none() {
        let limits = HoldLimits { customer_holds_max: Some(7), ..HoldLimits::NONE };
        let limited = Stamp { limits, ..STAMP };
        for (requests, kinds) in
            [(vec![request("a")], [3, 5]), (vec![raise(1), raise(*LEVELS.end())], [3, 5])]
        {
            for (stamp, kind) in [STAMP, limited].into_iter().zip(kinds) {
                let mut writer = BatchWriter::new(&stamp).unwrap();
                requests.iter().for_each(|request| writer.push(request).unwrap());
                let written = writer.finish();
                let of_level = u8::from(requests.iter().any(|request| request.command.level_told() > 1));
                assert_eq!(written.0[0], kind + of_level);
                assert_eq!(decode_batch(&written).unwrap(), Batch { stamp, requests: requests.clone() });
                assert!(decode_payload(written.0.clone()).is_ok());
            }
        }
        let none = [&[KIND_LIMITED_BATCH, 0, 0, 0][..], &written(&[]).0[1..]].concat();
        assert!(decode_batch(&Proposal(none.into())).is_err(), "limits that are none");
    }

    #[test]
    fn an_entry_of_no_level_or_of_another_than_its_commands_is_refused() {
        let Proposal(plain) = written(&[request("a")]);
        let wrapped = |level: &[u8]| [&[KIND_BATCH_OF_LEVEL], level, &plain[1..]].concat();
        let mut raising = vec![KIND_BATCH_V2];
        raising.extend_from_slice(&written(&[raise(7)]).0[3..]);
        let nothing_after_it = vec![KIND_BATCH_OF_LEVEL, 1];
        assert!(decode_batch(&Proposal(wrapped(&[1, 0]).into())).is_ok());
        for (what, bytes) in [
            ("level 0", wrapped(&[0, 0])),
            ("cut short", nothing_after_it),
            ("a raise that is not told of", raising),
        ] {
            assert!(decode_batch(&Proposal(bytes.into())).is_err(), "{what}");
        }
    }

    #[test]
    fn a_command_that_is_cut_back_takes_its_level_along() {
        let mut writer = BatchWriter::new(&STAMP).unwrap();
        writer.push(&request("stays")).unwrap();
        let mark = writer.mark();
        writer.push(&raise(9)).unwrap();
        writer.cut_back(mark);
        assert_eq!(writer.finish(), written(&[request("stays")]));
    }
}
