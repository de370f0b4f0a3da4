//! The side that answers: accepts connections, shakes hands, serves each channel.
//!
//! The gate. openraft 0.10.0-alpha.37 can panic (its issue 2116) when, while a follower still installs one
//! snapshot, more entries and a newer snapshot of another leader arrive. So one snapshot is taken at a time and
//! others are refused, and entries and heartbeats wait until Raft itself has answered the install, not merely
//! until the connection that brought it is gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use openraft::raft::AppendEntriesRequest;
use openraft::type_config::alias::SnapshotOf;
use storage::StorageError;
use storage::log::Log;
use storage::snapshot::{Receiving, Snapshot};
use tokio::io::BufReader;
use tokio::sync::{Mutex, OwnedMutexGuard, RwLock, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dial::Connection;
use super::frame::{self, Frame, Kind};
use super::message::{Appended, Call, Channel, Greeting, Hello, Reply, SnapshotBegin, SnapshotDone};
use super::tls::{self, Ends};
use super::wire::{Listening, ReadEnd, WriteEnd};
use super::{Local, Remote, handshake};
use crate::ProposeError;
use crate::aside::Room;
use crate::audit::Auditor;
use crate::digests;
use crate::form::Formation;
use crate::gate;
use crate::keeper::Keeper;
use crate::membership::Changer;
use crate::propose::Proposer;
use crate::read::Confirmer;
use crate::simulated::blocking;
use crate::types::{Raft, TypeConfig, log_id};

/// A dialler says who it is within this time.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// A sender that is silent for this long inside a snapshot has gone, and holds up no other's.
const CHUNK_TIME_MAX: Duration = Duration::from_secs(10);

/// Connections at most; a handful of peers need three each, and some more while they reconnect.
const CONNECTIONS: usize = 256;

/// Answers of one connection that may wait to be written.
const QUEUE: usize = 256;

/// What the answers come from.
pub(crate) struct Server {
    pub(crate) local: Arc<Local>,
    pub(crate) raft: Raft,
    pub(crate) log: Log,
    pub(crate) keeper: Keeper,
    pub(crate) proposer: Proposer,
    pub(crate) confirmer: Confirmer,
    pub(crate) formation: Formation,
    pub(crate) auditor: Arc<Auditor>,
    pub(crate) changer: Arc<Changer>,
    pub(crate) room: Room,
    pub(crate) gate: Gate,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Gate {
    /// Held for writing from the moment Raft is given a snapshot until it has answered.
    installing: RwLock<()>,
    /// Held while a snapshot is received and installed.
    receiving: Arc<Mutex<()>>,
}

impl Gate {
    /// Waits while a snapshot is being installed.
    async fn pass(&self) {
        drop(self.installing.read().await);
    }
}

impl Server {
    /// Accepts connections for ever. Dropping the future ends every connection.
    pub(crate) async fn run(self, mut listener: Box<dyn Listening>) {
        let server = Arc::new(self);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let ends = match listener.accept().await {
                Ok(ends) => ends,
                Err(e) => {
                    // Out of file descriptors, most likely: wait for some to come free.
                    tracing::warn!("cannot accept a peer: {e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                continue;
            };
            let server = server.clone();
            connections.spawn(async move {
                let _slot = slot;
                if let Err(e) = server.serve(ends).await {
                    tracing::debug!("a peer's connection ended: {e}");
                }
            });
        }
    }

    async fn serve(self: Arc<Self>, ends: Ends) -> io::Result<()> {
        let shaken = match timeout(HANDSHAKE, self.shake(ends)).await {
            Ok(shaken) => shaken?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let Some((from, channel, connection)) = shaken else { return Ok(()) };
        match channel {
            Channel::Calls => self.serve_calls(from, connection).await,
            Channel::Appends => self.serve_appends(from, connection).await,
            Channel::Snapshots => self.serve_snapshots(from, connection).await,
        }
    }

    async fn shake(&self, ends: Ends) -> io::Result<Option<(Remote, Channel, Connection)>> {
        let (mut connection, shown) = tls::answer(&self.local, ends).await?;
        let Some(frame) = frame::read(&mut connection.reader).await? else {
            return Ok(None);
        };
        let hello: Hello = frame.message(Kind::Hello)?;
        if !shown.is_of(hello.from) {
            return Err(self.local.strangers.is_not(hello.from));
        }
        let greeting = handshake::greet(&self.local, &hello).await;
        let from = Remote {
            id: hello.from,
            incarnation: hello.introduction.incarnation,
            member_since: hello.member_since,
        };
        if hello.about.is_farewell() && matches!(greeting, Greeting::Welcome { .. }) {
            // Noted before it is answered: whoever has the answer may start again at once.
            self.local.part(&from, &frame)?;
        }
        self.write(&mut connection.writer, Kind::Greeting, 0, &greeting).await?;
        match greeting {
            Greeting::Welcome { .. } if hello.about.is_farewell() => return Ok(None),
            Greeting::Welcome { .. } => {}
            // It is waiting to be added, and asks again and again.
            Greeting::NotMember(_) => return Ok(None),
            refused => {
                tracing::warn!(peer = hello.from, "refused a connection: {refused:?}");
                return Ok(None);
            }
        }
        self.local.meet(&from, &frame, hello.about.build())?;
        Ok(Some((from, hello.channel, connection)))
    }

    async fn write(
        &self,
        writer: &mut WriteEnd,
        kind: Kind,
        id: u64,
        message: &impl serde::Serialize,
    ) -> io::Result<()> {
        let bytes = frame::seal_message(kind, id, self.local.sender(), message)?;
        frame::write(writer, &bytes).await
    }

    /// Answers each call as soon as it can be, in any order.
    async fn serve_calls(self: Arc<Self>, from: Remote, connection: Connection) -> io::Result<()> {
        let Connection { mut reader, mut writer } = connection;
        let (answers, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(bytes) = queue.recv().await {
                if frame::write(&mut writer, &bytes).await.is_err() {
                    return;
                }
            }
        });
        while let Some(frame) = frame::read(&mut reader).await? {
            self.local.hear(&from, &frame)?;
            while tasks.try_join_next().is_some() {}
            let (server, answers) = (self.clone(), answers.clone());
            tasks.spawn(async move {
                if let Some(bytes) = server.answer(from.id, frame).await {
                    // A peer that has gone needs no answer.
                    let _ = answers.send(bytes).await;
                }
            });
        }
        Ok(())
    }

    async fn answer(&self, from: u64, frame: Frame) -> Option<Vec<u8>> {
        let mut reply = match frame.message(Kind::Call) {
            Ok(call) => self.reply(from, call).await,
            Err(e) => Reply::Failed(e.to_string()),
        };
        loop {
            match frame::seal_message(Kind::Reply, frame.id, self.local.sender(), &reply) {
                Ok(bytes) => return Some(bytes),
                Err(_) if shorten(&mut reply) => {}
                // Of commands nothing may be said that could be taken for "not executed".
                Err(_) if matches!(reply, Reply::Failed(_) | Reply::Forward(_)) => return None,
                Err(_) => reply = failed("the answer is too long"),
            }
        }
    }

    async fn reply(&self, from: u64, call: Call) -> Reply {
        match call {
            Call::Probe => self.formation.probed(from),
            Call::Join { cluster_id, applied } => {
                self.formation.joined(cluster_id, applied).await.unwrap_or_else(failed)
            }
            _ if self.local.cluster_id().is_none() => failed("this node belongs to no cluster yet"),
            Call::Vote(request) => self.raft.vote(request).await.map_or_else(failed, Reply::Vote),
            Call::PreVote(request) => self.raft.pre_vote(request).await.map_or_else(failed, Reply::Vote),
            Call::Heartbeat(request) => {
                self.gate.pass().await;
                self.raft.append_entries(request).await.map_or_else(failed, Reply::Heartbeat)
            }
            Call::TransferLeader(request) => {
                self.raft.handle_transfer_leader(request).await.map_or_else(failed, Reply::TransferLeader)
            }
            Call::ReadIndex => Reply::ReadIndex(self.confirmer.confirm_here().await),
            Call::GateIndex => Reply::ReadIndex(gate::index_here(&self.confirmer, &self.log).await),
            Call::DigestAt(index) => {
                Reply::DigestAt(digests::digest_at(&self.local, index, digests::PATIENCE).await)
            }
            Call::Differs(comparison) => Reply::Differs(digests::told(&self.local, &comparison)),
            Call::Audit(index) => Reply::Audit(self.auditor.audit_here(index).await),
            Call::Change(change) => Reply::Changed(self.changer.change_here(&change).await),
            Call::HasRoom => Reply::HasRoom(!self.room.is_short()),
            Call::Forward(units) => Reply::Forward(self.proposer.submit_forwarded(units).await),
        }
    }

    /// Passes requests to append on to Raft in order, as they come, and its answers back in the same order.
    async fn serve_appends(self: Arc<Self>, from: Remote, connection: Connection) -> io::Result<()> {
        if self.local.cluster_id().is_none() {
            return Err(io::Error::other("this node belongs to no cluster yet"));
        }
        let Connection { reader, mut writer } = connection;
        let server = self.clone();
        let requests = stream::unfold(reader, move |mut reader| {
            let server = server.clone();
            async move { Some((server.next_append(from, &mut reader).await?, reader)) }
        });
        let mut answers = Box::pin(self.raft.stream_append(requests));
        while let Some(answer) = answers.next().await {
            let appended: Appended = answer.map_err(|fatal| fatal.to_string());
            self.write(&mut writer, Kind::Appended, 0, &appended).await?;
        }
        Ok(())
    }

    async fn next_append(
        &self,
        from: Remote,
        reader: &mut BufReader<ReadEnd>,
    ) -> Option<AppendEntriesRequest<TypeConfig>> {
        let ended = |e: &io::Error| tracing::debug!(peer = from.id, "no more entries from there: {e}");
        let frame = frame::read(reader).await.inspect_err(ended).ok()??;
        self.local.hear(&from, &frame).inspect_err(ended).ok()?;
        let request = frame.message(Kind::Append);
        let unreadable = |e: &io::Error| tracing::warn!(peer = from.id, "entries that cannot be read: {e}");
        let request = request.inspect_err(unreadable).ok()?;
        self.gate.pass().await;
        Some(request)
    }

    async fn serve_snapshots(self: Arc<Self>, from: Remote, connection: Connection) -> io::Result<()> {
        if self.local.cluster_id().is_none() {
            return Err(io::Error::other("this node belongs to no cluster yet"));
        }
        let Connection { mut reader, mut writer } = connection;
        while let Some(frame) = frame::read(&mut reader).await? {
            self.local.hear(&from, &frame)?;
            let begin: SnapshotBegin = frame.message(Kind::SnapshotBegin)?;
            let done: SnapshotDone = match self.gate.receiving.clone().try_lock_owned() {
                Ok(turn) => self.clone().take_snapshot(from, begin, turn, &mut reader).await?,
                Err(_) => Err("another snapshot is being taken".into()),
            };
            let refused = done.is_err();
            self.write(&mut writer, Kind::SnapshotDone, 0, &done).await?;
            if refused {
                // What is left of the refused one shall not be read as the next.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn take_snapshot(
        self: Arc<Self>,
        from: Remote,
        begin: SnapshotBegin,
        turn: OwnedMutexGuard<()>,
        reader: &mut BufReader<ReadEnd>,
    ) -> io::Result<SnapshotDone> {
        let keeper = self.keeper.clone();
        let receiving = blocking(move || keeper.receive(begin.length)).await?;
        let Some(receiving) = receiving.map_err(|e| self.stop(e))? else {
            return Ok(Err(format!("there is no room for a snapshot of {} bytes", begin.length)));
        };
        tracing::info!(peer = from.id, bytes = begin.length, "receiving a snapshot");
        let receiving = match self.receive_chunks(from, receiving, reader).await? {
            Ok(receiving) => receiving,
            Err(full) => return Ok(Err(full.to_string())),
        };
        let finished = blocking(move || receiving.finish()).await?.map_err(|e| self.stop(e))?;
        let snapshot = match finished {
            Ok(snapshot) => snapshot,
            Err(why) => return Ok(Err(why)),
        };
        if snapshot.header().applied.map(log_id) != begin.meta.last_log_id {
            return Ok(Err("the snapshot is not of the entry that it was announced for".into()));
        }
        // A task of its own: the install goes on, and the gate stays shut, when the connection breaks.
        let installing = tokio::spawn(async move {
            let _turn = turn;
            let _shut = self.gate.installing.write().await;
            let whole = SnapshotOf::<TypeConfig, Snapshot> { meta: begin.meta, snapshot };
            self.raft.install_full_snapshot(begin.vote, whole).await
        });
        let installed = installing.await.map_err(io::Error::other)?;
        Ok(installed.map_err(|fatal| fatal.to_string()))
    }

    /// Receives all of it. The inner error is that there is no room for it after all: what had come is removed.
    async fn receive_chunks(
        &self,
        from: Remote,
        mut receiving: Receiving,
        reader: &mut BufReader<ReadEnd>,
    ) -> io::Result<Result<Receiving, StorageError>> {
        loop {
            let read = timeout(CHUNK_TIME_MAX, frame::read(reader)).await;
            let frame = read.map_err(|_| io::ErrorKind::TimedOut)??.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.local.hear(&from, &frame)?;
            match frame.kind {
                Kind::SnapshotChunk => {
                    let written = blocking(move || receiving.write(&frame.body).map(|()| receiving)).await?;
                    receiving = match written {
                        Ok(receiving) => receiving,
                        Err(full) if full.is_out_of_space() => return Ok(Err(full)),
                        Err(why) => return Err(self.stop(why)),
                    };
                }
                Kind::SnapshotEnd => return Ok(Ok(receiving)),
                other => return Err(io::Error::other(format!("a {other:?} frame inside a snapshot"))),
            }
        }
    }

    /// This node's own disk failed: the process must end.
    fn stop(&self, why: StorageError) -> io::Error {
        self.local.fatal.report(&why);
        io::Error::other(why)
    }
}

fn failed(why: impl ToString) -> Reply {
    Reply::Failed(why.to_string())
}

/// Makes a reply that is over a frame's limit shorter, where it can be: half of the answers that it has become unknown.
/// Ten thousand short commands can have that much to tell; whoever asked learns the rest by asking again.
fn shorten(reply: &mut Reply) -> bool {
    let Reply::Forward(answers) = reply else { return false };
    let known = answers.iter().rposition(Result::is_ok).map_or(0, |last| last + 1);
    answers[known / 2..].fill(Err(ProposeError::OutcomeUnknown));
    known > 0
}

#[cfg(test)]
mod tests {
    use storage::inventory::outcome::{Applied, Outcome};

    use super::*;
    use crate::Answer;

    #[test]
    fn a_reply_over_the_limit_loses_answers_from_its_end_until_none_are_left() {
        let ticked = Applied { sequence: 1, replayed: false, result: Ok(Outcome::Ticked) };
        let known = Ok(Answer::Applied(ticked));
        let mut reply = Reply::Forward(vec![known.clone(), known.clone(), known.clone()]);
        let mut left = Vec::new();
        while shorten(&mut reply) {
            let Reply::Forward(answers) = &reply else { panic!("another reply") };
            assert_eq!(answers.len(), 3);
            left.push(answers.iter().take_while(|answer| **answer == known).count());
        }
        assert_eq!(left, [1, 0]);
        assert!(!shorten(&mut Reply::Joined));
    }
}
