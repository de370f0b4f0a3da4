//! openraft's state machine traits over the inventory and the keeper: conversion, nothing else.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, OptionalSend};
use storage::inventory::outcome::Applied as CommandApplied;
use storage::planted;
use storage::snapshot::Snapshot;
use tokio::time::Instant;

use crate::audit::ImageAudit;
use crate::codec;
use crate::digests::Ring;
use crate::keeper::{Keeper, Save};
use crate::replica::{Applied, Progress, Replica};
use crate::turn::Turn;
use crate::types::{LogId, PeerNode, Proposal, SnapshotMeta, StoredMembership, TypeConfig, log_id, position};
use crate::unsaved::Unsaved;

/// A snapshot that there was no room for after all is tried again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long apply has the lock between two portions of what a save takes.
const PORTION_PAUSE: Duration = Duration::from_millis(1);

/// The keeper takes no rests once this many times as many records changed as make a save.
const HURRY_SAVES: usize = 4;

/// When to save.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Saving {
    /// About how many changed records make a save; `usize::MAX`: none is made by itself.
    pub(crate) records: usize,
    /// Whose turn it is: nodes of one group save one after the other.
    pub(crate) turn: Turn,
}

impl Saving {
    /// Saves are made by themselves never.
    #[cfg(test)]
    pub(crate) const NEVER: Saving = Saving { records: usize::MAX, turn: Turn::ALONE };

    /// Whether so much changed that it is to be saved: in this node's turn a half is enough, and out of it as much
    /// again.
    fn is_due(&self, applied: &Applied) -> bool {
        let (changed, each) = (applied.changed(), self.records as u64);
        let (since, now) = (applied.unsaved.cut_sequence(), applied.inventory.sequence());
        let in_turn = || changed >= self.records / 2 && self.turn.has_come(since, now, each);
        changed >= self.records.saturating_add(self.records / 2) || in_turn()
    }
}

/// The state machine as openraft sees it; also its snapshot builder.
#[derive(Clone)]
pub(crate) struct StateMachine {
    replica: Arc<Replica>,
    keeper: Keeper,
    saving: Saving,
}

impl StateMachine {
    pub(crate) fn new(replica: Arc<Replica>, keeper: Keeper, saving: Saving) -> StateMachine {
        StateMachine { replica, keeper, saving }
    }

    /// After an entry: gathers what the next save is to carry, or takes a portion for one that is due, and queues that
    /// with the last of them. While the keeper has something to do or there is no room, more gathers.
    fn save_in_portions(&self) -> io::Result<()> {
        if self.saving.records == usize::MAX {
            self.replica.write().leave();
            return Ok(());
        }
        let is_due = self.saving.is_due(&self.replica.read()) && self.can_save();
        let mut applied = self.replica.write();
        match is_due {
            true if applied.take_portion() => self.keeper.save(self.take_save(&mut applied)?),
            true => {}
            false => applied.gather(),
        }
        Ok(())
    }

    fn can_save(&self) -> bool {
        let changed = self.changed();
        if !self.keeper.is_idle() {
            if changed / HURRY_SAVES >= self.saving.records {
                self.keeper.hurry();
            }
            return false;
        }
        self.keeper.has_room_for_save(changed)
    }

    /// Saves what changed, where it is little and the last save was long ago.
    pub(crate) async fn save_if_older(&self, than: Duration) -> io::Result<()> {
        let is_older = self.replica.read().unsaved.cut_at().elapsed() >= than;
        if is_older && self.changed() > 0 && self.can_save() {
            self.cut(|save| self.keeper.save(save)).await?;
        }
        Ok(())
    }

    /// Saves all that changed and waits until it is on disk; where there is no room for it, the log has it all.
    pub(crate) async fn save_all(&self) -> io::Result<()> {
        if !self.keeper.has_room_for_save(self.changed()) {
            return Ok(());
        }
        self.keeper.hurry();
        self.cut(|save| self.keeper.save_and_wait(save)).await?.await
    }

    /// Saves all that changed, and audits the image that it makes. Apply goes on meanwhile.
    pub(crate) async fn audit(&self) -> io::Result<ImageAudit> {
        if !self.keeper.has_room_for_save(self.changed()) {
            return Err(io::Error::other("its file system has no room for the save before an audit"));
        }
        self.cut(|save| self.keeper.audit(save)).await?.await
    }

    /// Saves all that changed, and copies the image that it makes. Apply goes on meanwhile. `None`: there is no room.
    pub(crate) async fn backup(&self) -> io::Result<Option<Snapshot>> {
        let last_bytes = self.replica.snapshot().map_or(0, |snapshot| snapshot.len());
        if !self.keeper.has_room_for_build(last_bytes, self.changed()).await? {
            return Ok(None);
        }
        self.cut(|save| self.keeper.copy(save)).await?.await
    }

    fn changed(&self) -> usize {
        self.replica.read().changed()
    }

    /// Takes out what changed, portion by portion, and queues it under the lock of the last one.
    async fn cut<T>(&self, queue: impl FnOnce(Save) -> T) -> io::Result<T> {
        loop {
            {
                let mut applied = self.replica.write();
                if applied.take_portion() {
                    return Ok(queue(self.take_save(&mut applied)?));
                }
            }
            tokio::time::sleep(PORTION_PAUSE).await;
        }
    }

    /// Takes out what changed, under the lock that makes it one moment.
    fn take_save(&self, applied: &mut Applied) -> io::Result<Save> {
        if applied.broken {
            return Err(io::Error::other("the state machine broke off in the middle of an entry"));
        }
        let changes = applied.take_changes(self.keeper.empty_changes());
        Ok(Save { header: applied.header()?, changes })
    }

    fn apply_entry(
        &self,
        id: LogId,
        payload: EntryPayload<Proposal, u64, PeerNode>,
    ) -> io::Result<(Vec<CommandApplied>, Progress)> {
        let mut answers = Vec::new();
        let mut batch = match &payload {
            EntryPayload::Normal(proposal) => Some(codec::decode_batch(proposal)?),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        };
        let mut applied = self.replica.write();
        if let Some(batch) = &mut batch {
            let before = applied.inventory.now_ms();
            if planted!("clock-read-in-apply") {
                batch.stamp.now_ms = before + applied.advanced_at.elapsed().as_millis() as u64;
            }
            let inventory = &mut applied.inventory;
            // A panic there is a broken invariant: it must stop the node, and unwinding through Raft's task might not.
            let applying = || {
                inventory.look_ahead(&batch.requests);
                answers.extend(batch.requests.iter().map(|request| inventory.apply(&batch.stamp, request)))
            };
            if catch_unwind(AssertUnwindSafe(applying)).is_err() {
                applied.broken = true;
                return Err(io::Error::other("the state machine panicked"));
            }
            if inventory.now_ms() > before {
                applied.advanced_at = Instant::now();
            }
        }
        if let EntryPayload::Membership(membership) = payload {
            applied.membership = StoredMembership::new(Some(id), membership);
        }
        if planted!("position-apart-from-its-entry") {
            drop(applied);
            self.save_in_portions()?;
            applied = self.replica.write();
        }
        applied.advance(position(&id));
        Ok((answers, applied.progress()))
    }
}

/// What openraft calls a snapshot, of one on disk.
fn to_openraft(snapshot: Snapshot) -> io::Result<SnapshotOf<TypeConfig, Snapshot>> {
    let header = snapshot.header();
    let meta = SnapshotMeta {
        last_log_id: header.applied.map(log_id),
        last_membership: codec::decode_membership(&header.membership)?,
    };
    Ok(SnapshotOf::<TypeConfig, Snapshot> { meta, snapshot })
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = Snapshot;

    /// Waits where there is no room: an error would stop the node.
    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, Snapshot>> {
        loop {
            let last_bytes = self.replica.snapshot().map_or(0, |snapshot| snapshot.len());
            self.keeper.wait_for_room(last_bytes, || self.changed()).await?;
            let built = self.cut(|save| self.keeper.build(save)).await?.await?;
            if let Some(snapshot) = built {
                self.replica.set_snapshot(snapshot.clone());
                return to_openraft(snapshot);
            }
            // It was longer than the last one, or somebody else was faster.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Snapshot;
    type SnapshotBuilder = StateMachine;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let applied = self.replica.read();
        Ok((applied.position.map(log_id), applied.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut last = None;
        while let Some((entry, responder)) = entries.try_next().await? {
            let index = entry.log_id.index;
            // An entry left out would make this replica another one than its peers.
            if last.replace(index).is_some_and(|last| last + 1 != index) {
                return Err(io::Error::other(format!("entry {index} does not follow the last one")));
            }
            let begun = Instant::now();
            let (answers, progress) = self.apply_entry(entry.log_id, entry.payload)?;
            self.replica.applying.add(begun.elapsed());
            self.replica.count(answers.len());
            self.replica.announce(progress);
            if let Some(responder) = responder {
                responder.send(answers);
            }
            // Those who wait have their answers by now.
            self.save_in_portions()?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> StateMachine {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Snapshot) -> io::Result<()> {
        let inventory = self.keeper.install(snapshot.clone()).await?;
        let position = meta.last_log_id.as_ref().map(position);
        let applied = Applied {
            unsaved: Unsaved::since(&inventory),
            inventory: *inventory,
            position,
            membership: meta.last_membership.clone(),
            broken: false,
            advanced_at: Instant::now(),
            digests: Ring::since(position, snapshot.header().digest),
        };
        let progress = applied.progress();
        *self.replica.write() = applied;
        self.replica.set_snapshot(snapshot);
        self.replica.announce(progress);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<TypeConfig, Snapshot>>> {
        self.replica.snapshot().map(to_openraft).transpose()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use storage::checkpoint::{Checkpoint, Opened};
    use storage::disk::RealDisk;
    use storage::inventory::command::{
        Command, HoldLimits, OnShortfall, Precondition, PutSku, Request, Setting, Stamp,
    };
    use storage::inventory::ids::Sku;

    use super::*;
    use crate::codec::BatchWriter;
    use crate::suite::machine;

    fn put(on_hand: u64) -> Command {
        Command::PutSku(PutSku {
            sku: Sku::new("PS5").unwrap(),
            on_hand,
            safety_stock: None,
            max_per_customer: Setting::Keep,
            on_shortfall: OnShortfall::Refuse,
            precondition: Precondition::None,
        })
    }

    /// An entry of one command, the first of which has index 1.
    fn entry(index: u64) -> EntryResponder<TypeConfig> {
        let long_ms = 86_400_000;
        let stamp = Stamp {
            now_ms: index,
            retention_ms: long_ms,
            idempotency_ms: long_ms,
            max_hold_ms: long_ms,
            events_ms: long_ms,
            events_max: 100,
            limits: HoldLimits::NONE,
        };
        let mut batch = BatchWriter::new(&stamp).unwrap();
        batch.push(&Request { idempotency_key: None, command: put(index) }).unwrap();
        let log_id = log_id(storage::Position { term: 1, leader: 1, index });
        (openraft::impls::Entry { log_id, payload: EntryPayload::Normal(batch.finish()) }, None)
    }

    /// What a node that is killed finds at its next start: it goes on with the entry after the one that the checkpoint
    /// names, so that none is applied twice and none is left out.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_checkpoint_is_of_the_very_entry_that_it_names() {
        let directory = tempfile::tempdir().unwrap();
        // It saves whenever something changed.
        let (mut machine, checkpoint) = machine(&directory, Saving { records: 1, turn: Turn::ALONE });
        for index in 1..=30 {
            machine.apply(stream::iter([Ok(entry(index))])).await.unwrap();
        }
        machine.keeper.close().await;
        let (_, opened) = Checkpoint::open(Arc::new(RealDisk), &checkpoint).unwrap();
        let Opened::Loaded { header, inventory } = opened else { panic!("nothing was saved") };
        assert_eq!(header.applied.map(|last| last.index), Some(inventory.sequence()));
    }
}
