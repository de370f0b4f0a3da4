//! Replication to one peer: requests to append go out as they come, answers come back in the same order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use openraft::base::BoxStream;
use openraft::errors::{NetworkError, RPCError, Unreachable};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use storage::histogram::Histogram;
use tokio::io::BufReader;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::dial::dial;
use super::frame::{self, Kind};
use super::message::{Appended, Channel};
use super::wire::{ReadEnd, WriteEnd};
use super::{Local, Remote};
use crate::types::TypeConfig;

type RpcError = RPCError<TypeConfig>;
type Answer = Result<StreamAppendResult<TypeConfig>, RpcError>;

/// Requests under way at most; each carries up to a megabyte of entries.
const PIPELINE: usize = 16;

/// A peer that has a request and answers nothing for this long is stuck or cut off. Far above the slowest fsync
/// of a healthy disk (40 ms were seen), and no obstacle to elections: heartbeats have a connection of their own.
const STALL: Duration = Duration::from_secs(2);

/// A request under way.
struct Sent {
    at: Instant,
    has_entries: bool,
}

/// Sends a stream of requests; yields their answers. Dropping the answers ends the connection.
pub(crate) async fn stream_append(
    local: Arc<Local>,
    to: u64,
    mut requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
) -> Result<BoxStream<'static, Answer>, RpcError> {
    // openraft's back-off is waited for in this stream: to dial first would dial a node that is down in a loop.
    let Some(first) = requests.next().await else { return Ok(Box::pin(stream::empty())) };
    let requests = stream::iter([first]).chain(requests);
    let (remote, connection) = dial(&local, to, Channel::Appends).await.map_err(|e| Unreachable::new(&e))?;
    let (sent, unanswered) = mpsc::channel(PIPELINE);
    let mut writing = JoinSet::new();
    writing.spawn(write_requests(local.clone(), requests, connection.writer, sent));
    let took = local.replicating(to);
    let answers = Answers { local, remote, reader: connection.reader, unanswered, took, _writing: writing };
    Ok(Box::pin(stream::unfold(Some(answers), |answers| async move {
        let mut answers = answers?;
        let answer = answers.next().await?;
        // After anything but a success openraft starts anew, from what the peer has.
        let rest = matches!(answer, Ok(Ok(_))).then_some(answers);
        Some((answer, rest))
    })))
}

/// Writes requests until there are no more, or the connection fails: then the answers end with an error.
async fn write_requests(
    local: Arc<Local>,
    mut requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin,
    mut writer: WriteEnd,
    sent: mpsc::Sender<Sent>,
) {
    while let Some(request) = requests.next().await {
        if request.entries.is_empty() {
            // News of a commit and nothing else: whoever waits for the answer to that commit goes first.
            tokio::task::yield_now().await;
        }
        let Ok(bytes) = frame::seal_message(Kind::Append, 0, local.sender(), &request) else {
            return;
        };
        let has_entries = !request.entries.is_empty();
        if sent.send(Sent { at: Instant::now(), has_entries }).await.is_err()
            || frame::write(&mut writer, &bytes).await.is_err()
        {
            return;
        }
    }
}

struct Answers {
    local: Arc<Local>,
    remote: Remote,
    reader: BufReader<ReadEnd>,
    unanswered: mpsc::Receiver<Sent>,
    /// How long this peer took to answer.
    took: Arc<Histogram>,
    _writing: JoinSet<()>,
}

impl Answers {
    /// The answer to the oldest unanswered request; `None` once all are answered and no more come.
    async fn next(&mut self) -> Option<Answer> {
        let sent = self.unanswered.recv().await?;
        let read = timeout(STALL, frame::read(&mut self.reader)).await;
        let answer = self.take(read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())));
        // What only tells of a commit is not written to a disk.
        if answer.is_ok() && sent.has_entries {
            self.took.add(sent.at.elapsed());
        }
        Some(answer)
    }

    fn take(&self, read: io::Result<Option<frame::Frame>>) -> Answer {
        let frame = read.and_then(|frame| frame.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()));
        let frame = frame.map_err(|e| NetworkError::new(&e))?;
        self.local.hear(&self.remote, &frame).map_err(|e| NetworkError::new(&e))?;
        let appended: Appended = frame.message(Kind::Appended).map_err(|e| NetworkError::new(&e))?;
        appended.map_err(|why| NetworkError::from_string(why).into())
    }
}
