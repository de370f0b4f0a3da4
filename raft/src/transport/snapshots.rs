//! Sending a snapshot to one peer, chunk by chunk.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::SnapshotResponse;
use openraft::type_config::alias::SnapshotOf;
use storage::StorageError;
use storage::snapshot::Snapshot;
use tokio::time::{sleep, timeout};

use super::dial::{Connection, dial};
use super::frame::{self, Kind};
use super::message::{Channel, SnapshotBegin, SnapshotDone};
use super::wire::WriteEnd;
use super::{Local, Remote};
use crate::simulated::blocking;
use crate::types::{TypeConfig, Vote};

/// Bytes of a snapshot in one frame.
const CHUNK: usize = 1 << 20;

type Response = SnapshotResponse<TypeConfig>;
type Error = StreamingError<TypeConfig>;

/// A peer that would not take it now is asked again after this long: it has no room, or takes another one.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Sends a snapshot and waits until the peer has installed or refused it.
pub(crate) async fn send(
    local: &Arc<Local>,
    to: u64,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
    cancel: impl Future<Output = ReplicationClosed> + Send,
    option: RPCOption,
) -> Result<Response, Error> {
    let sending = async {
        let (remote, mut connection) =
            dial(local, to, Channel::Snapshots).await.map_err(|e| Unreachable::new(&e))?;
        let file = snapshot.snapshot.clone();
        let sent =
            timeout(option.soft_ttl(), transfer(local, &remote, &mut connection, vote, snapshot)).await;
        match sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(response) => Ok(response),
            Err(why) => {
                tracing::info!(peer = to, "a snapshot was not taken: {why}");
                if why.kind() == io::ErrorKind::InvalidData {
                    stop_if_damaged(local, file).await;
                }
                sleep(AGAIN_AFTER).await;
                Err(NetworkError::new(&why).into())
            }
        }
    };
    tokio::select! {
        biased;
        closed = cancel => Err(closed.into()),
        sent = pin!(sending) => sent,
    }
}

/// Ends this node where its own snapshot is why a peer did not take it: no other one would be sent. The next start
/// sets it aside, and builds another.
async fn stop_if_damaged(local: &Local, file: Snapshot) {
    if let Ok(Err(damage @ StorageError::Corrupt { .. })) = blocking(move || file.check()).await {
        local.fatal.report(&damage);
    }
}

/// Sends all of it, unless an answer comes before its end: a refusal. One that comes after it is `InvalidData`.
async fn transfer(
    local: &Local,
    remote: &Remote,
    connection: &mut Connection,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
) -> io::Result<Response> {
    let Connection { reader, writer } = connection;
    let begin = SnapshotBegin { vote, meta: snapshot.meta, length: snapshot.snapshot.len() };
    let mut answer = pin!(frame::read(reader));
    let mut refused = io::ErrorKind::Other;
    let answered = tokio::select! {
        biased;
        early = &mut answer => early,
        sent = write(local, writer, &begin, &snapshot.snapshot) => match sent {
            Ok(()) => {
                refused = io::ErrorKind::InvalidData;
                answer.await
            }
            // Who refuses may close before all was sent; what it said is worth more than that it has gone.
            Err(broken) => timeout(AGAIN_AFTER, answer).await.unwrap_or(Err(broken)),
        },
    };
    let answer = answered?.ok_or(io::ErrorKind::UnexpectedEof)?;
    local.hear(remote, &answer)?;
    answer.message::<SnapshotDone>(Kind::SnapshotDone)?.map_err(|why| io::Error::new(refused, why))
}

async fn write(
    local: &Local,
    writer: &mut WriteEnd,
    begin: &SnapshotBegin,
    file: &Snapshot,
) -> io::Result<()> {
    let sender = || local.sender();
    frame::write(writer, &frame::seal_message(Kind::SnapshotBegin, 0, sender(), begin)?).await?;
    let mut offset = 0;
    loop {
        let chunk = read(file.clone(), offset).await?;
        if chunk.is_empty() {
            break;
        }
        offset += chunk.len() as u64;
        frame::write(writer, &frame::seal(Kind::SnapshotChunk, 0, sender(), &chunk)?).await?;
    }
    frame::write(writer, &frame::seal(Kind::SnapshotEnd, 0, sender(), &[])?).await
}

/// The next bytes of the file; none at its end. A disk that takes its time holds up no other task.
async fn read(file: Snapshot, offset: u64) -> io::Result<Vec<u8>> {
    let reading = move || {
        let mut chunk = vec![0; CHUNK];
        let read = file.read_at(&mut chunk, offset).map_err(io::Error::other)?;
        chunk.truncate(read);
        Ok(chunk)
    };
    blocking(reading).await?
}
