//! What the peers say against this node's directory, and when that is the end of it.
//!
//! ```text
//!   the membership knows another directory ------------> once it was said for LOST_TIME_MIN, by no older membership
//!                                                        than any that knows this one, or does not know this node
//!   a membership after this node's does not know it, --> at once, and the directory is marked: it was removed
//!   or knows another directory
//!   it is not the newest of this node -----------------> at once, and the directory is marked
//!   a copy of it is in use ----------------------------> once one peer has said so for IN_USE_TIME_MAX; marked as well
//!   it belongs to another cluster of the same name ----> once a majority of the members say so
//!   its binary does not support the level in force ----> at once; the directory is as good as ever
//! ```
//!
//! A node that has its own process take its place after a crash is in use for about a second; a copy of a directory
//! whose node runs is in use for as long as that runs. Meanwhile nobody waits here for a leader: as a rule the
//! others have one, and whoever asks is sent on.
//!
//! Of two clusters with one name the greater part is right: this node cannot know better. A peer that is behind may
//! know a node by the directory that it had before it was removed and added again: the others, who know better, are
//! waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storage::inventory::{LEVELS, check_levels};
use storage::peers::Promised;
use storage::{LEAVE_STOPPED, Position};
use tokio::time::Instant;

use super::message::{Greeting, Reverted};
use super::{Local, REACHABLE};
use crate::fatal::Stop;
use crate::simulated::blocking;

/// A copy in use for longer than this is no process that has just ended.
const IN_USE_TIME_MAX: Duration = Duration::from_secs(5);

/// What to do with a node that was removed.
const REMOVED_MEND: &str =
    "leave it stopped; to take the machine in again, give it an empty directory and `lastunit member add` it";

/// How long a directory that is new in its node's place waits for word of a newer membership.
const LOST_TIME_MIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Said>);

#[derive(Default)]
struct Said {
    in_use_since: BTreeMap<u64, Instant>,
    /// When a peer said so last, unless one has let this node in since.
    held_off_at: Option<Instant>,
    other_cluster: BTreeSet<u64>,
    lost_since: Option<Instant>,
    is_unknown: bool,
    /// The log entry of the newest membership heard of that does not know this node by another directory.
    membership: Option<Position>,
}

impl Refusals {
    /// The peer says something else, or nothing.
    pub(crate) fn forget(&self, peer: u64) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.in_use_since.remove(&peer);
        said.other_cluster.remove(&peer);
        said.held_off_at = None;
    }

    /// Whether peers do not deal with this start yet: what is asked of this node is better asked elsewhere.
    pub(crate) fn is_held_off(&self) -> bool {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.held_off_at.is_some_and(|at| at.elapsed() < REACHABLE)
    }

    /// Makes the peers hold this start off, for tests of what follows.
    #[cfg(test)]
    pub(crate) fn hold_off(&self) {
        self.is_in_use(0);
    }

    /// Notes that the peer says that a copy is in use; whether it has said so for too long.
    fn is_in_use(&self, peer: u64) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.held_off_at = Some(Instant::now());
        said.in_use_since.entry(peer).or_insert_with(Instant::now).elapsed() > IN_USE_TIME_MAX
    }

    /// Notes that the membership of that entry knows this directory, or at least no other one of this node.
    pub(crate) fn note_membership(&self, entry: Option<Position>) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.membership = said.membership.max(entry);
    }

    /// Notes that a peer does not know this node as a member; whether that is news.
    fn note_unknown(&self) -> bool {
        !std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).is_unknown, true)
    }

    /// Whether it is certain that the membership of that entry counts, by which this directory is not the node's.
    fn is_lost(&self, entry: Position) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *said.lost_since.get_or_insert_with(Instant::now);
        Some(entry) >= said.membership && since.elapsed() >= LOST_TIME_MIN
    }

    /// How many peers say that this directory belongs to another cluster.
    fn other_cluster(&self, peer: u64) -> usize {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.other_cluster.insert(peer);
        said.other_cluster.len()
    }
}

/// Deals with a greeting that is no welcome; the answer is why there is no connection.
pub(crate) async fn take(local: &Arc<Local>, peer: u64, greeting: Greeting) -> io::Error {
    if !matches!(greeting, Greeting::InUse | Greeting::OtherCluster(_)) {
        local.refusals.forget(peer);
    }
    match greeting {
        Greeting::Welcome { .. } => io::Error::other("a welcome is no refusal"),
        Greeting::Refused(why) => io::Error::other(format!("node {peer} refuses this node: {why}")),
        Greeting::StoreLost(entry) => lost(local, peer, entry).await,
        Greeting::NotMember(entry) => not_member(local, peer, entry).await,
        Greeting::OtherCluster(theirs) => of_other_cluster(local, peer, theirs),
        Greeting::InUse => in_use(local, peer).await,
        Greeting::Level(level) => of_other_level(local, peer, level),
        Greeting::Reverted(how) => {
            let mend = format!("put this node's newest directory back, or {LEAVE_STOPPED}");
            disown(local, reverted(local, peer, how), mend, None).await
        }
    }
}

/// A directory that was a member's until a later membership named another one is not to be put back: it was removed,
/// and its id is used again.
async fn lost(local: &Arc<Local>, peer: u64, entry: Position) -> io::Error {
    if local.roster.applied_member_since().is_some_and(|since| since < entry) {
        return gone(local, format!("before entry {} of its log, which has another directory", entry.index))
            .await;
    }
    let what = format!("node {peer} knows this node by another data directory");
    if local.refusals.is_lost(entry) {
        refuse(local, &format!("{what}; put that one back, or {LEAVE_STOPPED}"));
    }
    io::Error::other(what)
}

async fn not_member(local: &Arc<Local>, peer: u64, entry: Position) -> io::Error {
    local.refusals.note_membership(Some(entry));
    match local.roster.applied_member_since() {
        Some(since) if since < entry => removed(local, entry.index).await,
        _ => {
            if local.refusals.note_unknown() {
                tell_unknown(local);
            }
            io::Error::other(format!("node {peer} does not know this node as a member"))
        }
    }
}

/// Says once what can be done about a node that others do not know. What it has applied says whether it is new: a node
/// that applied its own removal, and ended before its directory was marked, cannot tell itself from one that is behind.
fn tell_unknown(local: &Local) {
    let id = local.options.node_id;
    match local.replica.read().position {
        None => tracing::info!("the cluster is formed without this node; `lastunit member add {id}` adds it"),
        Some(_) => tracing::warn!("the cluster goes on without this node; if it was removed, {REMOVED_MEND}"),
    }
}

/// Ends this node, which the membership of that entry does not know any more.
pub(crate) async fn removed(local: &Arc<Local>, index: u64) -> io::Error {
    gone(local, format!("by entry {index} of its log")).await
}

async fn gone(local: &Arc<Local>, when: String) -> io::Error {
    let what = format!("this node was removed from the cluster, {when}");
    disown(local, what, REMOVED_MEND.to_owned(), Some(REMOVED_MEND)).await
}

fn of_other_cluster(local: &Local, peer: u64, theirs: u128) -> io::Error {
    let ours = local.cluster_id().unwrap_or_default();
    let what = format!(
        "belongs to the cluster with id {ours:032x}, but node {peer} to the one with id {theirs:032x}, of the same name"
    );
    if local.refusals.other_cluster(peer) > local.roster.members().len() / 2 {
        let mend = "point data_dir of this [[node]] in cluster.toml at this node's own directory";
        refuse(local, &format!("{what}, as most nodes do; {mend}"));
    }
    io::Error::other(format!("this directory {what}"))
}

/// No level is ever lowered: to ask again, or to ask others, would mend nothing.
fn of_other_level(local: &Local, peer: u64, level: u16) -> io::Error {
    let what = match check_levels(level, &LEVELS) {
        Err(why) if level > *LEVELS.end() => format!("node {peer} says of the cluster: {why}"),
        // It is behind: it learns of the level in force when it catches up.
        _ => return io::Error::other(format!("node {peer} refuses this node for level {level}")),
    };
    refuse(local, &format!("{what}; run the lastunit that the other nodes run"));
    io::Error::other(what)
}

async fn in_use(local: &Arc<Local>, peer: u64) -> io::Error {
    let what = format!("another process runs on a copy of this directory: node {peer} hears from it");
    if !local.refusals.is_in_use(peer) {
        return io::Error::other(what);
    }
    disown(local, what, "leave that one running, and remove this copy".to_owned(), None).await
}

fn reverted(local: &Local, peer: u64, how: Reverted) -> String {
    match how {
        Reverted::Superseded => {
            format!("this is an older copy: node {peer} knows a later start of this node's directory")
        }
        Reverted::Copied => {
            format!("this directory was copied: node {peer} knows another start with the number of this one")
        }
        Reverted::Forgotten(Promised { term, entries, .. }) => {
            let has = local.introduction().has;
            format!(
                "this is an older state: it has {} entries and a vote of term {}, but node {peer} knows that this node \
                 had {entries} and voted in term {term}",
                has.entries, has.term
            )
        }
    }
}

/// Marks this node's directory, and ends the node. What is said of a later start may have another mend.
async fn disown(
    local: &Arc<Local>,
    what: String,
    mend: String,
    later_mend: Option<&'static str>,
) -> io::Error {
    let error = io::Error::other(what.clone());
    let local = local.clone();
    // A task of its own, for whoever dials may give up waiting: the mark is there before the node ends.
    let disowning = blocking(move || {
        let start = local.introduction().incarnation;
        if let Err(why) = local.memory.disown(&start, &what, later_mend) {
            tracing::warn!("the directory is not marked as refused: {why}");
        }
        refuse(&local, &format!("{what}; {mend}"));
    });
    disowning.await.map_or_else(|panicked| panicked, |()| error)
}

fn refuse(local: &Local, why: &str) {
    local.fatal.report(Stop::refused(format!("{}: {why}", local.options.data_dir.display())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_start_is_held_off_from_when_a_peer_says_so_until_one_lets_it_in_or_none_says_so_any_more() {
        let refusals = Refusals::default();
        assert!(!refusals.is_held_off());
        assert!(!refusals.is_in_use(2) && refusals.is_held_off());
        refusals.forget(2);
        assert!(!refusals.is_held_off());
        assert!(!refusals.is_in_use(2) && refusals.is_held_off());
        tokio::time::advance(REACHABLE).await;
        assert!(!refusals.is_held_off());
    }

    /// A node that had applied its own removal started again, and nobody said what was the matter with it.
    #[test]
    fn that_nobody_knows_this_node_is_news_once() {
        let refusals = Refusals::default();
        assert_eq!([refusals.note_unknown(), refusals.note_unknown()], [true, false]);
    }
}
