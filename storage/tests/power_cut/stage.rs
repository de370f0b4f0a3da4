//! The workload, in stages: each opens a node's directory, goes through its operations, and closes it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use storage::StorageError;
use storage::checkpoint::Tidied;
use storage::disk::faulty::FaultyDisk;
use storage::log::Vote;

use crate::history::{INDEX_MAX, entry, position, snapshot_bytes, stray};
use crate::known::{Change, Doing, Known};
use crate::node::{Node, Told};

/// Where the snapshot that a peer sends ends.
const RECEIVED: u64 = 150;

static RECEIVED_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| snapshot_bytes(RECEIVED));

/// What a node does with its directory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    /// Takes part in a cluster.
    Join,
    /// Notes how many entries its peer has promised.
    Remember(u64),
    Vote(u64),
    /// Appends so many entries, in one call.
    Append(u64),
    /// Appends entries that nobody agrees on.
    Stray(u64),
    /// Removes those.
    Truncate,
    /// Applies all that is in the log, and notes that it is committed.
    Apply,
    /// Appends so many entries that are committed already, and saves the state after them, before they are on disk.
    Ahead(u64),
    /// Saves the state into the checkpoint.
    Save,
    /// Saves it, and writes a snapshot.
    Snapshot,
    /// Purges the log up to so many entries before the snapshot.
    Purge(u64),
    /// Receives a snapshot from a peer, and purges the log behind it.
    Install,
    /// Purges a log that ends before the image does, as Raft does when it starts.
    Behind,
}

use Operation::{Ahead, Append, Apply, Install, Join, Purge, Remember, Save, Snapshot, Stray, Truncate};

/// The whole life of a directory.
pub(crate) const STAGES: [&[Operation]; 5] = [
    &[Join, Remember(3), Operation::Vote(1), Append(9), Append(1), Apply, Save, Append(12), Apply, Save],
    &[Append(5), Apply, Save, Snapshot, Purge(6), Stray(3), Operation::Vote(2), Truncate, Append(30), Apply],
    &[Append(2), Remember(9), Install, Append(8), Apply, Save, Append(4), Apply, Snapshot, Purge(2)],
    &[
        Operation::Vote(3),
        Append(20),
        Apply,
        Ahead(9),
        Save,
        Append(1),
        Apply,
        Snapshot,
        Purge(0),
        Ahead(3),
        Ahead(30),
    ],
    // Saves, between which most records go: packs are moved.
    &[Append(15), Apply, Save, Ahead(15), Save, Append(15), Apply, Save, Ahead(15), Append(15), Apply, Save],
];

/// What was known when an operation began, at a step.
pub(crate) struct Phase {
    pub(crate) began: u64,
    pub(crate) before: Known,
    pub(crate) doing: Doing,
}

/// A directory under way.
pub(crate) struct Run {
    pub(crate) disk: FaultyDisk,
    pub(crate) path: PathBuf,
    pub(crate) known: Known,
    pub(crate) phases: Vec<Phase>,
    pub(crate) told: Told,
    /// What the image at the end of each stage had tidied up by then.
    pub(crate) tidied: Vec<Tidied>,
}

impl Run {
    /// A run in `<root>/node`, of which so much is known, and which was doing that.
    pub(crate) fn new(root: &Path, known: Known, doing: Doing) -> Run {
        let disk = FaultyDisk::new(root).expect("a directory");
        let phases = vec![Phase { began: 0, before: known.clone(), doing }];
        let (told, tidied) = (Told::default(), Vec::new());
        Run { disk, path: root.join("node"), known, phases, told, tidied }
    }

    /// Goes through a stage; an error is what some operation reported.
    pub(crate) fn stage(&mut self, operations: &[Operation]) -> Result<(), StorageError> {
        let mut node = self.open()?;
        for operation in operations {
            self.perform(&mut node, *operation)?;
        }
        self.begin(Doing::default());
        self.tidied.push(node.checkpoint.tidied());
        drop(node);
        match self.told.lock().expect("not poisoned").take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Opens the directory and checks what it holds, also what was under way last.
    pub(crate) fn open(&mut self) -> Result<Node, StorageError> {
        let doing = self.phases.last().map(|phase| phase.doing.clone()).unwrap_or_default();
        let mut node = Node::open(Arc::new(self.disk.clone()), &self.path, &self.told)?;
        self.known.check(&mut node, &doing);
        self.begin(Doing::default());
        Ok(node)
    }

    fn begin(&mut self, doing: Doing) {
        self.phases.push(Phase { began: self.disk.steps(), before: self.known.clone(), doing });
    }

    pub(crate) fn perform(&mut self, node: &mut Node, operation: Operation) -> Result<(), StorageError> {
        let doing = self.doing(node, operation);
        self.begin(doing.clone());
        match operation {
            Operation::Join => node.directory.join(7)?,
            Operation::Remember(entries) => node.remember(entries)?,
            Operation::Vote(_)
            | Operation::Append(_)
            | Operation::Stray(_)
            | Operation::Truncate
            | Operation::Purge(_)
            | Operation::Behind => change_log(node, &doing.changes)?,
            Operation::Apply => {
                node.apply(self.known.log.last())?;
                node.log.save_committed(position(node.applied()))?;
                self.known.committed = node.applied();
            }
            Operation::Ahead(_) => {
                let entries = doing.changes.iter().filter_map(Change::entry);
                node.append_and_save(entries.collect())?;
                self.known.committed = node.applied();
            }
            Operation::Save => node.save()?,
            Operation::Snapshot => {
                node.save()?;
                node.snapshots.write(&node.checkpoint)?;
            }
            Operation::Install => {
                node.install(&RECEIVED_BYTES)?;
                change_log(node, &doing.changes)?;
                self.known.committed = RECEIVED;
            }
        }
        doing.changes.iter().for_each(|change| self.known.log.apply(change));
        self.known.cluster_id = doing.cluster_id.or(self.known.cluster_id);
        self.known.remembered = doing.remembered.unwrap_or(self.known.remembered);
        self.known.images.extend(doing.image);
        self.known.image = doing.image.unwrap_or(self.known.image);
        if matches!(operation, Operation::Snapshot | Operation::Install) {
            self.known.snapshot = doing.image.unwrap_or(self.known.snapshot);
        }
        // What is acknowledged counts from here on, also where nothing follows for a while.
        self.begin(Doing::default());
        Ok(())
    }

    fn doing(&self, node: &Node, operation: Operation) -> Doing {
        let next = self.known.log.last() + 1;
        let changes = match operation {
            Operation::Vote(term) => vec![Change::Vote(Vote { term, node: term % 3, committed: false })],
            Operation::Append(count) | Operation::Ahead(count) => {
                (next..next + count).map(|index| Change::Append(entry(index))).collect()
            }
            Operation::Stray(count) => {
                (next..next + count).map(|index| Change::Append(stray(index))).collect()
            }
            Operation::Truncate => vec![Change::Truncate(self.known.committed)],
            Operation::Purge(kept) => vec![Change::Purge(position(self.known.snapshot - kept))],
            Operation::Install => vec![Change::Purge(position(RECEIVED))],
            Operation::Behind => vec![Change::Purge(position(node.applied()))],
            Operation::Join | Operation::Remember(_) => vec![],
            Operation::Apply | Operation::Save | Operation::Snapshot => vec![],
        };
        assert!(next < INDEX_MAX, "the history is too short");
        let image = match operation {
            Operation::Save | Operation::Snapshot => Some(node.applied()),
            Operation::Ahead(count) => Some(node.applied() + count),
            Operation::Install => Some(RECEIVED),
            _ => None,
        };
        let cluster_id = matches!(operation, Operation::Join).then_some(7);
        let remembered = match operation {
            Operation::Remember(entries) => Some(entries),
            _ => None,
        };
        Doing { changes, image, cluster_id, remembered }
    }
}

/// Makes the changes of one call.
fn change_log(node: &Node, changes: &[Change]) -> Result<(), StorageError> {
    match &changes[0] {
        Change::Vote(vote) => node.vote(*vote),
        Change::Truncate(last) => node.truncate(*last),
        Change::Purge(upto) => node.purge(*upto),
        Change::Append(_) => node.append(changes.iter().filter_map(Change::entry).collect()),
    }
}
