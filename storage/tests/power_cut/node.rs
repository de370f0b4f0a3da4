//! A node's directory, opened as `raft::open` does it, and what a node does with it.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use storage::checkpoint::{Changes, Checkpoint, ImageHeader, Opened};
use storage::disk::Disk;
use storage::identity::DataDir;
use storage::inventory::Inventory;
use storage::log::{Entry, Flushed, Log, LogOptions, LogState, Vote};
use storage::peers::{self, Incarnation, Promised};
use storage::snapshot::{Snapshot, SnapshotStore};
use storage::{Position, StorageError};

use crate::history;

/// The random number of every start.
const NONCE: u128 = 0x51;

/// The peer that it remembers.
const PEER: u64 = 2;

/// So short that packs are moved, and files of them removed, within the few saves of the workload.
const PACK_FILE_BYTES: u64 = 1 << 12;

/// A node, as far as its directory goes.
pub(crate) struct Node {
    disk: Arc<dyn Disk>,
    /// What it knows that its peer has promised, in entries.
    pub(crate) remembered: u64,
    pub(crate) directory: DataDir,
    pub(crate) log: Log,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) newest: Option<Snapshot>,
    /// Where its image ended when it was opened.
    pub(crate) image: u64,
    /// Why the image in the checkpoint was not used, where one was there.
    pub(crate) rebuilt: Option<String>,
    inventory: Inventory,
    applied: u64,
}

/// What the log told of a failure, to nobody in particular.
pub(crate) type Told = Arc<Mutex<Option<StorageError>>>;

impl Node {
    /// Opens or creates everything, in the order of `raft::open`. The log's failures are noted in `told`.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: &Path, told: &Told) -> Result<Node, StorageError> {
        let mut directory = DataDir::open(disk.clone(), path, "shop", 1, NONCE)?;
        let remembered = peers::read(&*disk, path)?.get(&PEER).map_or(0, |peer| peer.promised.entries);
        let options = LogOptions { group: 1, segment_bytes: 16 << 10, cache_bytes: 4_000 };
        let open_log = if directory.identity().log_made { Log::reopen } else { Log::open };
        let log = open_log(disk.clone(), &path.join("log"), options)?;
        directory.note_log()?;
        let told = told.clone();
        log.on_failure(move |error| *told.lock().expect("not poisoned") = Some(error));
        let snapshots = SnapshotStore::open(disk.clone(), &path.join("snapshots"))?;
        let checkpoint_dir = path.join("checkpoint");
        let (mut checkpoint, opened) = Checkpoint::open_with(disk.clone(), &checkpoint_dir, PACK_FILE_BYTES)?;
        let newest = snapshots.newest()?;
        let (header, inventory, rebuilt) = newest_image(&mut checkpoint, opened, newest.as_ref())?;
        let applied = header.applied.map_or(0, |applied| applied.index);
        assert_eq!(header, history::header(applied), "an image that was saved");
        assert_eq!(inventory.state_digest(), header.digest, "and that holds what it says");
        assert!(log.state().purged.map_or(0, |purged| purged.index) <= applied, "commands are missing");
        assert!(applied == 0 || log.vote().is_some(), "an image without a vote");
        Ok(Node {
            disk,
            remembered,
            directory,
            log,
            snapshots,
            checkpoint,
            newest,
            image: applied,
            rebuilt,
            inventory,
            applied,
        })
    }

    /// Applies the entries of the log up to an index.
    pub(crate) fn apply(&mut self, to: u64) -> Result<(), StorageError> {
        let entries = self.log.read(self.applied + 1..to + 1, usize::MAX)?;
        for entry in entries {
            assert!(history::is_agreed(&entry), "applied what was not agreed on: {:?}", entry.position);
            history::apply(&mut self.inventory, entry.position.index);
            self.applied = entry.position.index;
        }
        assert!(self.applied >= to, "the log does not reach {to}");
        assert_eq!(self.inventory.state_digest(), history::digest(self.applied));
        Ok(())
    }

    /// The last index that was applied.
    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    pub(crate) fn append(&self, entries: Vec<Entry>) -> Result<(), StorageError> {
        wait(|flushed| self.log.append(entries, flushed))
    }

    /// Appends entries that the others have on disk, and saves their state before they are on this one.
    pub(crate) fn append_and_save(&mut self, entries: Vec<Entry>) -> Result<(), StorageError> {
        let to = self.applied + entries.len() as u64;
        let answer = ask(|flushed| self.log.append(entries, flushed))?;
        self.apply(to)?;
        self.save()?;
        answered(&answer)
    }

    pub(crate) fn vote(&self, vote: Vote) -> Result<(), StorageError> {
        wait(|flushed| self.log.save_vote(vote, flushed))
    }

    pub(crate) fn truncate(&self, last: u64) -> Result<(), StorageError> {
        wait(|flushed| self.log.truncate_after(Some(last), flushed))
    }

    pub(crate) fn purge(&self, upto: Position) -> Result<(), StorageError> {
        wait(|flushed| self.log.purge(upto, flushed))
    }

    /// Saves the state into the checkpoint.
    pub(crate) fn save(&mut self) -> Result<(), StorageError> {
        self.checkpoint.save(&history::header(self.applied), &mut Changes::of(&mut self.inventory))
    }

    /// Receives a snapshot and makes it this node's state, as the keeper does.
    pub(crate) fn install(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let mut receiving = self.snapshots.receive()?;
        bytes.chunks(5_000).try_for_each(|chunk| receiving.write(chunk))?;
        let snapshot = receiving.finish()?.expect("what came is a snapshot");
        self.snapshots.adopt(&snapshot)?;
        self.inventory = snapshot.load()?;
        self.checkpoint.replace(snapshot.header(), &mut self.inventory.records())?;
        self.applied = snapshot.header().applied.map_or(0, |applied| applied.index);
        Ok(())
    }

    /// Remembers that its peer has promised so many entries.
    pub(crate) fn remember(&self, entries: u64) -> Result<(), StorageError> {
        let incarnation = Incarnation::of(self.directory.identity());
        let promised = Promised { entries, ..Promised::default() };
        let known = [(PEER, peers::Known { incarnation, promised })].into();
        peers::write(&*self.disk, self.directory.path(), &known)
    }

    /// All entries in the log.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let LogState { first, last, .. } = self.log.state();
        let next = last.map_or(first, |last| last.index + 1);
        let entries = self.log.read(first..next, usize::MAX).expect("readable");
        assert_eq!(entries.len() as u64, next - first, "entries without a gap");
        entries
    }
}

/// The newer one of checkpoint and snapshot, as `raft::open` chooses; and why the checkpoint was not whole.
fn newest_image(
    checkpoint: &mut Checkpoint,
    opened: Opened,
    snapshot: Option<&Snapshot>,
) -> Result<(ImageHeader, Inventory, Option<String>), StorageError> {
    let (loaded, reason) = match opened {
        Opened::Loaded { header, inventory } => (Some((header, *inventory)), None),
        Opened::Empty { reason } => (None, reason),
    };
    let behind = |s: &&Snapshot| loaded.as_ref().is_none_or(|(own, _)| own.applied < s.header().applied);
    let (header, inventory) = match snapshot.filter(behind) {
        Some(snapshot) => {
            let inventory = snapshot.load()?;
            checkpoint.replace(snapshot.header(), &mut inventory.records())?;
            (snapshot.header().clone(), inventory)
        }
        None => loaded.unwrap_or_else(|| (history::header(0), Inventory::default())),
    };
    Ok((header, inventory, reason))
}

type Answer = mpsc::Receiver<Result<(), StorageError>>;

/// Asks the log for something.
fn ask(ask: impl FnOnce(Flushed) -> Result<(), StorageError>) -> Result<Answer, StorageError> {
    let (sender, answer) = mpsc::channel();
    // Whoever asked may have given up after another failure.
    ask(Box::new(move |result| drop(sender.send(result))))?;
    Ok(answer)
}

/// Waits until what was asked for is on disk.
fn answered(answer: &Answer) -> Result<(), StorageError> {
    answer.recv().expect("every callback is called")
}

fn wait(request: impl FnOnce(Flushed) -> Result<(), StorageError>) -> Result<(), StorageError> {
    answered(&ask(request)?)
}
