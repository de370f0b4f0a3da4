//! Sending a snapshot to one peer, chunk by chunk.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use openraft::errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::SnapshotResponse;
use openraft::type_config::alias::SnapshotOf;
use storage::snapshot::Snapshot;
use tokio::time::timeout;

use super::Local;
use super::dial::{Connection, dial};
use super::frame::{self, Kind};
use super::message::{Channel, SnapshotBegin, SnapshotDone};
use crate::types::{TypeConfig, Vote};

/// Bytes of a snapshot in one frame.
const CHUNK: usize = 1 << 20;

type Response = SnapshotResponse<TypeConfig>;
type Error = StreamingError<TypeConfig>;

/// Sends a snapshot and waits until the peer has installed or refused it.
pub(crate) async fn send(
    local: &Arc<Local>,
    to: u64,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
    cancel: impl Future<Output = ReplicationClosed> + Send,
    option: RPCOption,
) -> Result<Response, Error> {
    let mut connection = dial(local, to, Channel::Snapshots).await.map_err(|e| Unreachable::new(&e))?;
    let sending = timeout(option.soft_ttl(), transfer(local, to, &mut connection, vote, snapshot));
    tokio::select! {
        closed = cancel => Err(closed.into()),
        sent = pin!(sending) => match sent {
            Ok(done) => done.map_err(|e| NetworkError::new(&e).into()),
            Err(_) => Err(NetworkError::from_string("the snapshot was not installed in time").into()),
        },
    }
}

async fn transfer(
    local: &Local,
    to: u64,
    connection: &mut Connection,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
) -> io::Result<Response> {
    let file = snapshot.snapshot;
    let begin = SnapshotBegin { vote, meta: snapshot.meta, length: file.len() };
    let wall = || local.clock.wall_ms();
    frame::write(&mut connection.writer, &frame::seal_message(Kind::SnapshotBegin, 0, wall(), &begin)?)
        .await?;
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut buffer, offset).map_err(io::Error::other)?;
        if read == 0 {
            break;
        }
        offset += read as u64;
        frame::write(&mut connection.writer, &frame::seal(Kind::SnapshotChunk, 0, wall(), &buffer[..read])?)
            .await?;
    }
    frame::write(&mut connection.writer, &frame::seal(Kind::SnapshotEnd, 0, wall(), &[])?).await?;
    let answer = frame::read(&mut connection.reader).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    local.hear(to, answer.wall_ms);
    answer.message::<SnapshotDone>(Kind::SnapshotDone)?.map_err(io::Error::other)
}
