//! openraft's log traits over [`storage::log`]: conversion, nothing else.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, stream};
use openraft::alias::EntryOf;
use openraft::base::BoxStream;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, Vote as RaftVote};
use storage::log::{Entry as StoredEntry, Log, Vote as StoredVote};
use storage::{Position, StorageError, planted};
use tokio::sync::oneshot;

use crate::codec;
use crate::promises::Promises;
use crate::types::{LeaderId, LogId, TypeConfig, Vote, log_id, position};

type Entry = EntryOf<TypeConfig>;

/// What one read for replication, or one step of applying, takes from the log at most. Entries are large here:
/// a limit by count alone would let one message grow past every deadline.
const READ_BYTES_MAX: usize = 1 << 20;

/// The Raft log as openraft sees it; also its reader.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Log,
    promises: Arc<Promises>,
}

impl LogStore {
    pub(crate) fn new(log: Log, promises: Arc<Promises>) -> LogStore {
        LogStore { log, promises }
    }

    /// Entries from the start of the range, as many as one read takes.
    ///
    /// Reading is synchronous: what replication and apply ask for is nearly always in the log's memory.
    fn read(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        let stored = self.log.read(range, READ_BYTES_MAX).map_err(io::Error::other)?;
        stored.into_iter().map(from_stored).collect()
    }

    fn clamp(&self, range: impl RangeBounds<u64>) -> Range<u64> {
        let state = self.log.state();
        let end = state.last.map_or(0, |p| p.index + 1);
        let from = match range.start_bound() {
            Bound::Included(&i) => i,
            Bound::Excluded(&i) => i.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&i) => i.saturating_add(1),
            Bound::Excluded(&i) => i,
            Bound::Unbounded => end,
        };
        from.max(state.first)..to.min(end)
    }
}

fn from_stored(entry: StoredEntry) -> io::Result<Entry> {
    let payload = codec::decode_payload(entry.payload)?;
    Ok(Entry { log_id: log_id(entry.position), payload })
}

fn to_stored(entry: Entry) -> io::Result<StoredEntry> {
    let position = position(&entry.log_id());
    if let EntryPayload::Normal(proposal) = &entry.payload {
        codec::check_known(&proposal.0)?;
    }
    Ok(StoredEntry { position, payload: codec::encode_payload(entry.payload)? })
}

fn from_vote(vote: StoredVote) -> Vote {
    let leader_id = LeaderId { term: vote.term, node_id: vote.node };
    RaftVote { leader_id, committed: vote.committed }
}

fn to_vote(vote: &Vote) -> StoredVote {
    StoredVote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let store = self.clone();
        let asked = range.start_bound().cloned();
        let range = self.clamp(range);
        if matches!(asked, Bound::Included(start) if start < range.start) {
            // What is to be applied is never purged: an entry left out would make this replica another one.
            let missing = io::Error::other(format!("entries before {} are gone", range.start));
            return Box::pin(stream::iter([Err(missing)])) as BoxStream<'static, _>;
        }
        let chunks = stream::unfold(range, move |left| {
            let chunk = if left.is_empty() { Ok(Vec::new()) } else { store.read(left.clone()) };
            async move { next_chunk(chunk, left) }
        });
        Box::pin(futures_util::StreamExt::flat_map(chunks, stream::iter))
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut left = self.clamp(range);
        let mut entries = Vec::new();
        while !left.is_empty() {
            let chunk = self.read(left.clone())?;
            if chunk.is_empty() {
                break;
            }
            left.start += chunk.len() as u64;
            entries.extend(chunk);
        }
        Ok(entries)
    }

    /// At most [`READ_BYTES_MAX`]. Where replication asks for positions that were purged meanwhile the answer is
    /// empty, and openraft turns to a snapshot; an error would stop the node.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let range = self.clamp(start..end);
        if range.is_empty() || range.start != start {
            return Ok(Vec::new());
        }
        self.read(range)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.log.vote().map(from_vote))
    }
}

type Chunk = Vec<io::Result<Entry>>;

fn next_chunk(chunk: io::Result<Vec<Entry>>, left: Range<u64>) -> Option<(Chunk, Range<u64>)> {
    match chunk {
        Ok(entries) if left.is_empty() && entries.is_empty() => None,
        Ok(entries) if entries.is_empty() => {
            let missing = io::Error::other(format!("entry {} is gone", left.start));
            Some((vec![Err(missing)], left.end..left.end))
        }
        Ok(entries) => {
            let rest = left.start + entries.len() as u64..left.end;
            Some((entries.into_iter().map(Ok).collect(), rest))
        }
        Err(e) => Some((vec![Err(e)], left.end..left.end)),
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state = self.log.state();
        Ok(LogState { last_purged_log_id: state.purged.map(log_id), last_log_id: state.last.map(log_id) })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = to_vote(vote);
        if planted!("vote-not-persisted") {
            return self.log.save_vote(vote, Box::new(drop)).map_err(io::Error::other);
        }
        durable(|flushed| self.log.save_vote(vote, flushed)).await?;
        self.promises.note_vote(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        match committed {
            Some(id) => self.log.save_committed(position(&id)).map_err(io::Error::other),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log.committed().map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let stored = entries.into_iter().map(to_stored).collect::<io::Result<Vec<_>>>()?;
        let flushed =
            move |result: Result<(), StorageError>| callback.io_completed(result.map_err(io::Error::other));
        self.log.append(stored, Box::new(flushed)).map_err(io::Error::other)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let last = last.map(|id| id.index);
        durable(|flushed| self.log.truncate_after(last, flushed)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let upto: Position = position(&upto);
        durable(|flushed| self.log.purge(upto, flushed)).await
    }
}

/// Starts a write and waits until it is on disk.
async fn durable(start: impl FnOnce(storage::log::Flushed) -> Result<(), StorageError>) -> io::Result<()> {
    let (done, flushed) = oneshot::channel();
    start(Box::new(move |result| drop(done.send(result)))).map_err(io::Error::other)?;
    match flushed.await {
        Ok(result) => result.map_err(io::Error::other),
        Err(_) => Err(io::Error::other("the log stopped before the write was on disk")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use storage::disk::sim::SimDisk;
    use storage::log::LogOptions;

    use super::*;

    fn open(disk: &SimDisk) -> LogStore {
        let options = LogOptions { group: 1, segment_bytes: 1 << 16, cache_bytes: 1 << 10 };
        let log = Log::open(Arc::new(disk.clone()), Path::new("/log"), options).unwrap();
        LogStore::new(log.clone(), Promises::new(log).into())
    }

    /// One that forgets a vote may vote twice in a term, and then there are two leaders.
    #[tokio::test]
    async fn a_vote_is_on_disk_before_it_is_answered() {
        let (disk, vote) = (SimDisk::new(), |term| from_vote(StoredVote { term, node: 2, committed: false }));
        let mut store = open(&disk);
        for term in 1..20 {
            store.save_vote(&vote(term)).await.unwrap();
            let left = disk.fork();
            left.crash(term);
            assert_eq!(open(&left).read_vote().await.unwrap(), Some(vote(term)));
        }
        // Nothing can be written from here on.
        disk.power_fails_at(disk.steps());
        assert!(store.save_vote(&vote(20)).await.is_err(), "it is answered, and on no disk");
    }
}
