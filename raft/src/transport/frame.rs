//! Frames: what goes over a connection between two nodes.
//!
//! ```text
//!   0        4        8  9  10     12       20        28              52
//!   +--------+--------+--+--+------+--------+---------+---------------+--------------+
//!   | length | crc32  |v |k | zero | id     | wall_ms | promised      | body         |
//!   +--------+--------+--+--+------+--------+---------+---------------+--------------+
//!    of body  of all   |  |         which    the        the sender's    `length` bytes
//!             after it |  kind      call     sender's   vote (term,
//!                      version               wall clock node), entries
//! ```
//!
//! Numbers are little-endian. Every frame carries the sender's wall clock: the cluster clock lives on that. And it says
//! what the sender has on its disk for good, so that a directory put back from an older copy is known for one.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use storage::peers::Promised;
use storage::planted;

use crate::codec::{self, MESSAGE_BYTES_MAX};

/// Versions up to 5 were never released. It changes with the layout of a header, a handshake or a message that was
/// there before; what is added goes another way (`about`).
const VERSION: u8 = 6;
const HEADER: usize = 52;

/// What every frame says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sender {
    /// Its wall clock, in milliseconds since the Unix epoch.
    pub(crate) wall_ms: u64,
    /// The vote, and how many committed entries, that are on its disk for good.
    pub(crate) promised: Promised,
}

/// What a frame's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first frame of a connection: who dials whom, and for what.
    Hello = 1,
    /// The answer to it.
    Greeting = 2,
    /// A call; the answer has its id.
    Call = 3,
    /// The answer to a call.
    Reply = 4,
    /// A request to append, on a connection whose answers come in order.
    Append = 5,
    /// The answer to one.
    Appended = 6,
    /// The start of a snapshot.
    SnapshotBegin = 7,
    /// Bytes of a snapshot.
    SnapshotChunk = 8,
    /// The end of a snapshot.
    SnapshotEnd = 9,
    /// The answer to a snapshot.
    SnapshotDone = 10,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::*;
        let all = [
            Hello,
            Greeting,
            Call,
            Reply,
            Append,
            Appended,
            SnapshotBegin,
            SnapshotChunk,
            SnapshotEnd,
            SnapshotDone,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame, decoded and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) sender: Sender,
    pub(crate) body: Bytes,
}

impl Frame {
    /// The message in the body, where the frame is of that kind.
    pub(crate) fn message<T: serde::de::DeserializeOwned>(&self, kind: Kind) -> io::Result<T> {
        if self.kind != kind {
            return Err(invalid(format!("a {:?} frame where {kind:?} belongs", self.kind)));
        }
        codec::decode(&self.body)
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// The bytes of a frame around an encoded body.
pub(crate) fn seal(kind: Kind, id: u64, sender: Sender, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = open(body.len());
    bytes.extend_from_slice(body);
    close(bytes, kind, id, sender)
}

/// The bytes of a frame around a message.
pub(crate) fn seal_message(
    kind: Kind,
    id: u64,
    sender: Sender,
    message: &impl serde::Serialize,
) -> io::Result<Vec<u8>> {
    let mut bytes = open(256);
    codec::encode_into(message, &mut bytes)?;
    close(bytes, kind, id, sender)
}

fn open(body: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body);
    bytes.resize(HEADER, 0);
    bytes
}

/// Fills in the header, once the body is there.
fn close(mut bytes: Vec<u8>, kind: Kind, id: u64, sender: Sender) -> io::Result<Vec<u8>> {
    let length = bytes.len() - HEADER;
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid(format!("a message of {length} bytes is over the limit")));
    }
    bytes[0..4].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[8] = VERSION;
    bytes[9] = kind as u8;
    let Promised { term, node, entries } = sender.promised;
    for (place, number) in [id, sender.wall_ms, term, node, entries].into_iter().enumerate() {
        let at = 12 + 8 * place;
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// Reads the next frame; `None` at an orderly end of the connection.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER];
    if from.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..]).await?;
    let length = u32::from_le_bytes(take(&header, 0)) as usize;
    if header[8] != VERSION {
        return Err(invalid(format!("frame version {}; this node speaks {VERSION}", header[8])));
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes is over the limit")));
    }
    let body = read_body(from, length).await?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[8..]);
    crc.update(&body);
    if crc.finalize() != u32::from_le_bytes(take(&header, 4)) && !planted!("frame-checksum-ignored") {
        return Err(invalid("a frame with a wrong checksum"));
    }
    let kind =
        Kind::of(header[9]).ok_or_else(|| invalid(format!("a frame of unknown kind {}", header[9])))?;
    let [id, wall_ms, term, node, entries] =
        [0, 1, 2, 3, 4].map(|place| u64::from_le_bytes(take(&header, 12 + 8 * place)));
    let sender = Sender { wall_ms, promised: Promised { term, node, entries } };
    Ok(Some(Frame { kind, id, sender, body: body.into() }))
}

/// Reads a body without trusting its announced length with memory before the bytes are there.
async fn read_body(from: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Vec<u8>> {
    const STEP: usize = 1 << 20;
    let mut body = Vec::with_capacity(length.min(STEP));
    let mut limited = from.take(length as u64);
    while body.len() < length {
        if limited.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(body)
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[at..at + N]);
    taken
}

/// Writes the bytes of one or more frames.
pub(crate) async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Sender =
        Sender { wall_ms: 1_790_000_000_000, promised: Promised { term: 3, node: 2, entries: 1 << 40 } };

    async fn read_all(mut bytes: &[u8]) -> io::Result<Option<Frame>> {
        read(&mut bytes).await
    }

    #[tokio::test]
    async fn a_frame_comes_back_as_it_was() {
        let bytes = seal(Kind::Call, 7, SENDER, b"body").unwrap();
        let frame = read_all(&bytes).await.unwrap().unwrap();
        let expected = Frame { kind: Kind::Call, id: 7, sender: SENDER, body: Bytes::from_static(b"body") };
        assert_eq!(frame, expected);
        assert_eq!(read_all(&[]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn every_flipped_bit_is_refused() {
        let bytes = seal(Kind::Append, 1, SENDER, b"some body").unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read_all(&damaged).await.is_err(), "bit {bit}");
        }
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_refused() {
        let bytes = seal(Kind::Append, 1, SENDER, b"some body").unwrap();
        for length in 1..bytes.len() {
            assert!(read_all(&bytes[..length]).await.is_err(), "length {length}");
        }
    }
}
