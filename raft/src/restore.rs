//! A backup put into the directories of a new cluster, whose nodes then start as if they had stopped a moment ago.
//!
//! ```text
//!   backup --check--> whole, every sum recomputed --load--> the inventory, fencing tokens left out
//!                                                              |
//!   members of the cluster file, restore id  --> cluster id, store ids      for each node's directory:
//!                                                              |
//!        checkpoint, snapshot: the state at the backup's entry, with the new members as its membership
//!        log: purged up to that entry, with a vote of its term
//!        identity: the new ids; comes last
//! ```
//!
//! The directories of one cluster may be made on different machines, each from the same backup, members and restore id:
//! all that they must agree on follows from these three. The cluster's id does too, so that directories which were made
//! of different ones are of different clusters, and refused at the handshake.
//!
//! Invariants:
//!
//! * Nothing is made of a backup that is not whole, and nothing in a directory that is not empty.
//! * A directory that was left half made is none that a node starts on: its identity comes last.
//! * A fencing token that the old cluster may have given out after the backup is not given out again, as long as those
//!   were fewer than [`TOKENS_LEFT_OUT`].
//! * No directory of the old cluster, or of another restore, is dealt with by this one: the ids differ.
//!
//! Absent on purpose: to restore into a cluster that runs, or only a part of the state.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};

use sha2::{Digest, Sha256};
use storage::checkpoint::{self, Checkpoint, ImageHeader};
use storage::disk::{Disk, RealDisk};
use storage::identity::{self, Identity, NewDir};
use storage::inventory::Inventory;
use storage::log::{Flushed, Log, LogOptions, Vote};
use storage::snapshot::{BackupFile, BackupHead, SnapshotStore};
use storage::{Position, StorageError};

use crate::codec;
use crate::simulated::random;
use crate::transport::GROUP;
use crate::types::{Membership, PeerNode, StoredMembership, log_id};
use crate::{Member, Tuning};

/// How many fencing tokens are left out: more than any cluster gives out between a backup and its end. At a hundred
/// thousand holds a second they last for four months; and a client that keeps tokens as JSON numbers of 53 bits can be
/// restored under eight thousand times.
pub const TOKENS_LEFT_OUT: u64 = 1 << 40;

/// What a new cluster is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// Its name.
    pub name: String,
    /// All its nodes, each of which votes.
    pub members: Vec<Member>,
    /// A random number, the same for all directories of this cluster, and of no other.
    pub restore_id: u128,
}

/// A state on its way into the directories of a new cluster.
pub struct Restore {
    head: BackupHead,
    cluster: NewCluster,
    cluster_id: u128,
    header: ImageHeader,
    inventory: Inventory,
}

impl Restore {
    /// Reads a backup whole, checks it, and loads it. `read` is told now and then how many bytes were read of how many.
    /// Blocking; takes the memory of a node.
    ///
    /// # Errors
    /// Corrupt: the backup is damaged. Refused: another version wrote it. IO: it cannot be read.
    pub fn load(
        backup: &Path,
        cluster: NewCluster,
        mut read: impl FnMut(u64, u64),
    ) -> Result<Restore, StorageError> {
        checkpoint::keep_panics_of_sled_quiet();
        let file = BackupFile::open(&RealDisk, backup)?;
        let bytes = file.bytes();
        file.check(|done| read(done, bytes))?;
        let inventory = file.load_leaving_out(TOKENS_LEFT_OUT)?;
        let head = file.head().clone();
        let cluster_id = cluster_id(&cluster, &head);
        let membership = membership(&cluster, cluster_id, head.applied);
        let membership = membership.and_then(|membership| codec::encode_membership(&membership));
        let membership = membership.map_err(|source| StorageError::Io {
            action: "encode the membership for",
            path: backup.to_path_buf(),
            source,
        })?;
        let digest = inventory.state_digest();
        let header = ImageHeader { applied: Some(head.applied), membership, digest };
        Ok(Restore { head, cluster, cluster_id, header, inventory })
    }

    /// What the backup is of.
    pub fn head(&self) -> &BackupHead {
        &self.head
    }

    /// The new cluster's id.
    pub fn cluster_id(&self) -> u128 {
        self.cluster_id
    }

    /// The digest of the new cluster's state: the backup's, but for the fencing tokens that are left out.
    pub fn digest(&self) -> u64 {
        self.header.digest
    }

    /// Makes a node's directory. Blocking.
    ///
    /// # Errors
    /// Refused: something is in it. IO: the system said no; then remove what is in it, and try again.
    pub fn make(&self, node_id: u64, data_dir: &Path) -> Result<(), StorageError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let directory = NewDir::create(disk.clone(), data_dir)?;
        self.make_images(&disk, data_dir)?;
        make_log(disk, &data_dir.join("log"), self.head.applied)?;
        directory.finish(&Identity {
            cluster_name: self.cluster.name.clone(),
            cluster_id: Some(self.cluster_id),
            node_id,
            store_id: store_id(self.cluster_id, node_id),
            generation: 1,
            nonce: random(),
            log_made: true,
        })
    }

    fn make_images(&self, disk: &Arc<dyn Disk>, data_dir: &Path) -> Result<(), StorageError> {
        let (mut checkpoint, _) = Checkpoint::open(disk.clone(), &data_dir.join("checkpoint"))?;
        checkpoint.replace(&self.header, &mut self.inventory.records())?;
        SnapshotStore::open(disk.clone(), &data_dir.join("snapshots"))?.write(&checkpoint).map(drop)
    }
}

/// Whether a directory is one that a backup can be restored into: not there, or empty.
///
/// # Errors
/// Refused: it is not. IO: the system said no.
pub fn check_empty(data_dir: &Path) -> Result<(), StorageError> {
    identity::check_empty(&RealDisk, data_dir)
}

/// A log that had all entries up to this one, and none of them any more. Its vote is that of the entry's leader, whom a
/// quorum had elected.
fn make_log(disk: Arc<dyn Disk>, dir: &Path, applied: Position) -> Result<(), StorageError> {
    let options = LogOptions { group: GROUP, segment_bytes: Tuning::default().segment_bytes, cache_bytes: 0 };
    let log = Log::open(disk, dir, options)?;
    let vote = Vote { term: applied.term, node: applied.leader, committed: true };
    let made = durable(|flushed| log.save_vote(vote, flushed))
        .and_then(|()| durable(|flushed| log.purge(applied, flushed)));
    log.close();
    made
}

/// Starts a write and waits until it is on disk.
fn durable(start: impl FnOnce(Flushed) -> Result<(), StorageError>) -> Result<(), StorageError> {
    let (done, flushed) = mpsc::channel();
    start(Box::new(move |result| drop(done.send(result))))?;
    flushed.recv().unwrap_or_else(|_| Err(StorageError::Stopped("the log's writer has ended".into())))
}

fn membership(cluster: &NewCluster, cluster_id: u128, applied: Position) -> io::Result<StoredMembership> {
    let voters: BTreeSet<u64> = cluster.members.iter().map(|member| member.id).collect();
    let node = |member: &Member| PeerNode {
        raft: member.raft.clone(),
        http: member.http.clone(),
        store_id: store_id(cluster_id, member.id),
    };
    let nodes: BTreeMap<u64, PeerNode> = cluster.members.iter().map(|m| (m.id, node(m))).collect();
    let membership = Membership::new(vec![voters], nodes).map_err(io::Error::other)?;
    Ok(StoredMembership::new(Some(log_id(applied)), membership))
}

/// The id follows from the restore id, the state, and who the members are: what must be the same for all directories.
fn cluster_id(cluster: &NewCluster, head: &BackupHead) -> u128 {
    let mut hash = Hash::of("cluster").number(cluster.restore_id).text(&cluster.name);
    let Position { term, leader, index } = head.applied;
    for number in [term, leader, index, head.sequence, head.now_ms, head.digest] {
        hash = hash.number(number.into());
    }
    let mut members: Vec<&Member> = cluster.members.iter().collect();
    members.sort_by_key(|member| member.id);
    for member in members {
        hash = hash.number(member.id.into()).text(&member.raft).text(&member.http);
    }
    hash.finish()
}

fn store_id(cluster_id: u128, node_id: u64) -> u128 {
    Hash::of("store").number(cluster_id).number(node_id.into()).finish()
}

/// A hash of several parts, of which none can be taken for a part of another.
struct Hash(Sha256);

impl Hash {
    fn of(what: &str) -> Hash {
        Hash(Sha256::new()).text("lastunit restore").text(what)
    }

    fn number(mut self, number: u128) -> Hash {
        self.0.update(number.to_le_bytes());
        self
    }

    fn text(mut self, text: &str) -> Hash {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    /// The first 16 bytes of the hash.
    fn finish(self) -> u128 {
        let hash = self.0.finalize();
        hash.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> NewCluster {
        let member =
            |id: u64| Member { id, http: format!("127.0.0.1:810{id}"), raft: format!("127.0.0.1:910{id}") };
        NewCluster { name: "shop".to_owned(), members: (1..=3).map(member).collect(), restore_id: 7 }
    }

    fn head() -> BackupHead {
        BackupHead {
            cluster_name: "shop".to_owned(),
            cluster_id: 5,
            node_id: 2,
            applied: Position { term: 3, leader: 1, index: 97 },
            sequence: 90,
            now_ms: 1_000,
            digest: 0x9c1f,
            snapshot_bytes: 10,
        }
    }

    /// Directories that were made of different things must not meet as one cluster.
    #[test]
    fn the_ids_follow_from_all_that_must_be_the_same() {
        let id = cluster_id(&cluster(), &head());
        assert_eq!(id, cluster_id(&cluster(), &head()));
        let mut turned = cluster();
        turned.members.reverse();
        assert_eq!(id, cluster_id(&turned, &head()), "the order of the file does not count");
        assert_eq!(id, cluster_id(&cluster(), &BackupHead { node_id: 3, ..head() }), "any node's backup");
        let mut moved = cluster();
        moved.members[2].raft = "127.0.0.1:9109".to_owned();
        let mut fewer = cluster();
        fewer.members.pop();
        let others = [
            cluster_id(&NewCluster { restore_id: 8, ..cluster() }, &head()),
            cluster_id(&NewCluster { name: "sho".to_owned(), ..cluster() }, &head()),
            cluster_id(&moved, &head()),
            cluster_id(&fewer, &head()),
            cluster_id(&cluster(), &BackupHead { sequence: 91, ..head() }),
            cluster_id(&cluster(), &BackupHead { now_ms: 1_001, ..head() }),
            cluster_id(&cluster(), &BackupHead { digest: 0x9c1e, ..head() }),
            cluster_id(
                &cluster(),
                &BackupHead { applied: Position { index: 98, ..head().applied }, ..head() },
            ),
            store_id(id, 1),
            store_id(id, 2),
        ];
        let distinct: BTreeSet<u128> = others.iter().copied().chain([id]).collect();
        assert_eq!(distinct.len(), others.len() + 1);
    }
}
