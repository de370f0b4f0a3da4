//! What was acknowledged, what was under way, and whether a directory still has it.

use std::collections::{BTreeMap, BTreeSet};

use storage::Position;
use storage::log::{Entry, Vote};

use crate::node::Node;

/// What the log must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LogModel {
    pub(crate) purged: Option<Position>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) vote: Option<Vote>,
}

/// One change of the log, as small as a crash may split it.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Append(Entry),
    Vote(Vote),
    Truncate(u64),
    Purge(Position),
}

/// All that was acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) log: LogModel,
    /// The entries up to here are agreed on, and are in the log or in an image.
    pub(crate) committed: u64,
    /// Where the images ended that were to be saved.
    pub(crate) images: BTreeSet<u64>,
    /// The newest image that was saved, unless it was lost and rebuilt; and the newest snapshot.
    pub(crate) image: u64,
    pub(crate) snapshot: u64,
    pub(crate) cluster_id: Option<u128>,
    /// The last start of the directory.
    pub(crate) generation: u64,
    /// What the peer has promised, in entries.
    pub(crate) remembered: u64,
}

/// What was under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doing {
    pub(crate) changes: Vec<Change>,
    /// The image that was being saved, or the snapshot.
    pub(crate) image: Option<u64>,
    pub(crate) cluster_id: Option<u128>,
    pub(crate) remembered: Option<u64>,
}

impl Change {
    pub(crate) fn entry(&self) -> Option<Entry> {
        match self {
            Change::Append(entry) => Some(entry.clone()),
            _ => None,
        }
    }
}

impl LogModel {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(entry) => drop(self.entries.insert(entry.position.index, entry.clone())),
            Change::Vote(vote) => self.vote = Some(*vote),
            Change::Truncate(last) => self.entries.retain(|index, _| index <= last),
            Change::Purge(upto) => {
                self.entries.retain(|index, _| *index > upto.index);
                self.purged = self.purged.max(Some(*upto));
            }
        }
    }

    pub(crate) fn last(&self) -> u64 {
        let purged = self.purged.map_or(0, |purged| purged.index);
        self.entries.keys().next_back().copied().unwrap_or(purged)
    }

    fn of(node: &Node) -> LogModel {
        let entries = node.entries().into_iter().map(|entry| (entry.position.index, entry)).collect();
        LogModel { purged: node.log.state().purged, entries, vote: node.log.vote() }
    }
}

impl Known {
    /// What a directory holds must be all that was acknowledged, and of what was under way the first so many changes;
    /// it is known from here on. The node must be able to go on from there.
    pub(crate) fn check(&mut self, node: &mut Node, doing: &Doing) {
        self.log = self.log_found(node, doing);
        self.check_small_files(node, doing);
        self.check_images(node, doing);
        self.committed = self.committed.max(node.image);
        node.apply(self.committed).expect("readable");
    }

    fn log_found(&self, node: &Node, doing: &Doing) -> LogModel {
        let found = LogModel::of(node);
        let mut possible = self.log.clone();
        let mut changes = doing.changes.iter();
        while possible != found {
            match changes.next() {
                Some(change) => possible.apply(change),
                None => panic!(
                    "neither what was acknowledged, nor that and what was under way:\n{found:?}\nknown {:?}\n{doing:?}",
                    self.log
                ),
            }
        }
        found
    }

    fn check_small_files(&mut self, node: &Node, doing: &Doing) {
        let identity = node.directory.identity();
        let cluster_ids = [self.cluster_id, doing.cluster_id.or(self.cluster_id)];
        assert!(cluster_ids.contains(&identity.cluster_id), "{:?}", identity.cluster_id);
        assert!(identity.generation > self.generation, "no start has the generation of an earlier one");
        let remembered = [self.remembered, doing.remembered.unwrap_or(self.remembered)];
        assert!(remembered.contains(&node.remembered), "{} remembered, not {remembered:?}", node.remembered);
        (self.cluster_id, self.generation) = (identity.cluster_id, identity.generation);
        self.remembered = node.remembered;
    }

    fn check_images(&mut self, node: &Node, doing: &Doing) {
        self.images.extend(doing.image);
        assert!(
            node.image == 0 || self.images.contains(&node.image),
            "no image at {} was saved: {:?} {doing:?}",
            node.image,
            self.images
        );
        // An image that is lost is one that was rebuilt, and the snapshot is there.
        let bound = if node.rebuilt.is_some() { self.snapshot } else { self.image.max(self.snapshot) };
        assert!(node.image >= bound, "the image at {}, which is behind {bound}", node.image);
        let snapshot = node.newest.as_ref().and_then(|newest| newest.header().applied);
        let snapshot = snapshot.map_or(0, |applied| applied.index);
        assert!(snapshot >= self.snapshot, "the snapshot at {snapshot}, which is behind {}", self.snapshot);
        (self.image, self.snapshot) = (node.image, snapshot);
    }
}
