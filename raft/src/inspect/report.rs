//! The report of a directory: plain values that can be shown to people and written as JSON.
//!
//! Ids and digests are hexadecimal text, as everywhere in the API: JSON's readers round great numbers.

use std::path::{Path, PathBuf};

use serde::Serialize;
use storage::checkpoint::{CheckpointView, ImageHeader, ImageView};
use storage::identity::Identity;
use storage::log::{LogView, SegmentView};
use storage::peers::Known;
use storage::snapshot::SnapshotView;
use storage::{Position, StorageError};

use super::{Counted, Findings, Parts};
use crate::codec;
use crate::types::PeerNode;

/// What a directory holds, and whether it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The directory.
    pub data_dir: PathBuf,
    /// Whether it is whole.
    pub verdict: Verdict,
    /// Whether a node of this version would start on it.
    pub starts: bool,
    /// Whose it is; absent where that cannot be read.
    pub identity: Option<IdentityReport>,
    /// What it knows of the other nodes' directories.
    pub peers: Vec<PeerReport>,
    /// The log; absent where it cannot be read.
    pub log: Option<LogReport>,
    /// The checkpoint; absent where it cannot be read.
    pub checkpoint: Option<CheckpointReport>,
    /// The snapshots, oldest first.
    pub snapshots: Vec<SnapshotReport>,
    /// All damage that was found.
    pub damages: Vec<Damage>,
    /// What cannot be read, though it may be whole: one sentence each.
    pub unreadable: Vec<String>,
    /// What is worth to be known and no damage.
    pub notes: Vec<String>,
}

/// Whether a directory is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every byte that counts is what was written, and the parts add up.
    Whole,
    /// Something is not.
    Damaged,
    /// Something could not be read, and nothing that could be is damaged.
    Unreadable,
}

/// Damage, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file or directory.
    pub path: PathBuf,
    /// Where in the file, in bytes; absent where the parts are whole and do not add up.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub what: String,
    /// What the operator can do about it.
    pub mend: String,
}

/// Whose directory it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdentityReport {
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's id, once it has one.
    pub cluster_id: Option<String>,
    /// The node.
    pub node_id: u64,
    /// The directory's own id.
    pub store_id: String,
    /// How often it was started.
    pub generation: u64,
}

/// What a directory knows of another node's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerReport {
    /// The node.
    pub id: u64,
    /// Its directory's id.
    pub store_id: String,
    /// Which start of that directory it deals with.
    pub generation: u64,
    /// How many entries of the log the node is known to have on disk.
    pub entries: u64,
    /// The term of the greatest vote that it is known to have on disk.
    pub vote_term: u64,
    /// The node voted for in that term.
    pub vote_node: u64,
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VoteReport {
    /// The term.
    pub term: u64,
    /// The candidate voted for.
    pub node: u64,
    /// Whether a quorum granted it.
    pub committed: bool,
}

/// The log, or its readable part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// The last entry purged.
    pub purged: Option<Position>,
    /// The index of the first entry.
    pub first: u64,
    /// The last entry.
    pub last: Option<Position>,
    /// How many entries there are.
    pub entries: u64,
    /// How many commands they have.
    pub commands: u64,
    /// The cluster clock at the last command, in milliseconds since the Unix epoch.
    pub last_ms: Option<u64>,
    /// The last vote.
    pub vote: Option<VoteReport>,
    /// The committed position noted last; it may be behind.
    pub committed: Option<Position>,
    /// How often the log was opened.
    pub sessions: u64,
    /// The number of its last group of records.
    pub last_group: u64,
    /// The number of the group that was sealed last: the same after a stop in order.
    pub sealed_group: Option<u64>,
    /// Where a write was cut off that was never acknowledged; the next start removes it.
    pub torn: Option<(PathBuf, u64)>,
    /// The segment files: those that count, oldest first, then spares.
    pub segments: Vec<SegmentReport>,
}

/// A segment file of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Which use of a file it is, counted over the whole log; 0 in one never used.
    pub sequence: Option<u64>,
    /// Whether the log needs it; else it is a spare.
    pub counts: bool,
    /// How many of its bytes are used.
    pub used_bytes: u64,
    /// How many groups of records it has.
    pub groups: u64,
    /// The least index of an entry that was written to it.
    pub first: Option<u64>,
    /// The greatest one.
    pub last: Option<u64>,
}

/// What an image is an image of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// The last entry applied to it.
    pub applied: Option<Position>,
    /// Its digest, recomputed from its records.
    pub digest: String,
    /// The nodes of the cluster, as of then.
    pub members: Vec<MemberReport>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberReport {
    /// Its id.
    pub id: u64,
    /// Whether it votes.
    pub votes: bool,
    /// Where it answers HTTP.
    pub http: String,
    /// Where it answers its peers.
    pub raft: String,
    /// Its directory's id.
    pub store_id: String,
}

/// The checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckpointReport {
    /// The number of the image that counts.
    pub image: Option<u64>,
    /// The bytes that it takes.
    pub bytes: u64,
    /// What it is an image of; absent where it is damaged, or none counts.
    pub content: Option<ImageReport>,
    /// The number of the last command applied to it.
    pub sequence: Option<u64>,
    /// The feature level in force.
    pub feature_level: Option<u16>,
    /// How many SKUs it has.
    pub skus: Option<u64>,
    /// How many reservations of any state it has.
    pub reservations: Option<u64>,
    /// How many live holds it has.
    pub holds: Option<u64>,
    /// How many kept answers it has.
    pub answers: Option<u64>,
}

/// A snapshot's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotReport {
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// What it is an image of; absent where it is damaged.
    pub content: Option<ImageReport>,
    /// How many records it has.
    pub records: Option<u64>,
}

/// The report of what was found.
pub(super) fn put_together(dir: &Path, parts: &Parts, starts: bool, findings: Findings) -> Report {
    let Findings { damages, unreadable, mut notes } = findings;
    let verdict = match (damages.is_empty(), unreadable.is_empty()) {
        (false, _) => Verdict::Damaged,
        (true, false) => Verdict::Unreadable,
        (true, true) => Verdict::Whole,
    };
    notes.extend(parts.checkpoint.iter().flat_map(leftovers));
    Report {
        data_dir: dir.to_path_buf(),
        verdict,
        starts,
        identity: parts.identity.as_ref().map(identity),
        peers: parts.peers.iter().flatten().map(peer).collect(),
        log: parts.log.as_ref().map(|view| log(view, &parts.counted)),
        checkpoint: parts.checkpoint.as_ref().map(checkpoint),
        snapshots: parts.snapshots.iter().flatten().map(snapshot).collect(),
        damages: damages.into_iter().map(damage).collect(),
        unreadable: unreadable.iter().map(ToString::to_string).collect(),
        notes,
    }
}

/// The nodes of a membership.
pub(super) fn members(membership: &openraft::Membership<u64, PeerNode>) -> Vec<MemberReport> {
    let voters: Vec<u64> = membership.voter_ids().collect();
    let member = |(id, node): (&u64, &PeerNode)| MemberReport {
        id: *id,
        votes: voters.contains(id),
        http: node.http.clone(),
        raft: node.raft.clone(),
        store_id: format!("{:032x}", node.store_id),
    };
    membership.nodes().map(member).collect()
}

fn leftovers(checkpoint: &CheckpointView) -> impl Iterator<Item = String> + '_ {
    let line = |number| {
        format!("image-{number} of the checkpoint is the rest of a crash; the next start removes it")
    };
    checkpoint.others.iter().map(line)
}

fn damage(error: StorageError) -> Damage {
    match error {
        StorageError::Corrupt { path, offset, what, mend } => {
            Damage { path, offset: Some(offset), what, mend }
        }
        StorageError::Refused { path, what, mend } => Damage { path, offset: None, what, mend },
        other => Damage { path: PathBuf::new(), offset: None, what: other.to_string(), mend: String::new() },
    }
}

fn identity(identity: &Identity) -> IdentityReport {
    IdentityReport {
        cluster: identity.cluster_name.clone(),
        cluster_id: identity.cluster_id.map(|id| format!("{id:032x}")),
        node_id: identity.node_id,
        store_id: format!("{:032x}", identity.store_id),
        generation: identity.generation,
    }
}

fn peer((id, known): (&u64, &Known)) -> PeerReport {
    let Known { incarnation, promised } = known;
    PeerReport {
        id: *id,
        store_id: format!("{:032x}", incarnation.store_id),
        generation: incarnation.generation,
        entries: promised.entries,
        vote_term: promised.term,
        vote_node: promised.node,
    }
}

fn log(view: &LogView, counted: &Counted) -> LogReport {
    let vote =
        |vote: storage::log::Vote| VoteReport { term: vote.term, node: vote.node, committed: vote.committed };
    LogReport {
        purged: view.state.purged,
        first: view.state.first,
        last: view.state.last,
        entries: counted.entries,
        commands: counted.commands,
        last_ms: counted.last_ms,
        vote: view.vote.map(vote),
        committed: view.committed,
        sessions: view.sessions,
        last_group: view.last_group,
        sealed_group: view.sealed_group,
        torn: view.torn.clone(),
        segments: view.segments.iter().map(segment).collect(),
    }
}

fn segment(view: &SegmentView) -> SegmentReport {
    SegmentReport {
        file: name(&view.path),
        bytes: view.bytes,
        sequence: view.sequence,
        counts: view.counts,
        used_bytes: view.used_bytes,
        groups: view.groups,
        first: view.entries.as_ref().map(|entries| *entries.start()),
        last: view.entries.as_ref().map(|entries| *entries.end()),
    }
}

fn checkpoint(view: &CheckpointView) -> CheckpointReport {
    let whole = view.content.as_ref().and_then(|content| content.as_ref().ok());
    let count = |count: fn(&ImageView) -> usize| whole.map(|image| count(image) as u64);
    CheckpointReport {
        image: view.image,
        bytes: view.bytes,
        content: whole.map(|content| image(&content.header)),
        sequence: whole.map(|image| image.sequence),
        feature_level: whole.map(|image| image.level),
        skus: count(|image| image.counts.skus),
        reservations: count(|image| image.counts.reservations),
        holds: count(|image| image.counts.holds),
        answers: count(|image| image.counts.answers),
    }
}

fn snapshot(view: &SnapshotView) -> SnapshotReport {
    let whole = view.content.as_ref().ok();
    SnapshotReport {
        file: name(&view.path),
        bytes: view.bytes,
        content: whole.map(|(header, _)| image(header)),
        records: whole.map(|(_, records)| *records),
    }
}

/// A membership that cannot be decoded is told as damage where it counts.
fn image(header: &ImageHeader) -> ImageReport {
    let stored = codec::decode_membership(&header.membership).ok();
    ImageReport {
        applied: header.applied,
        digest: format!("{:016x}", header.digest),
        members: stored.map(|stored| members(stored.membership())).unwrap_or_default(),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
