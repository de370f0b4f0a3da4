//! Who belongs to the cluster, as far as this node knows, and where each is reached.
//!
//! ```text
//!   no membership yet (new, or forming)   the cluster file's nodes
//!   a membership                          its nodes, and nobody else; the file's addresses are tried as well
//!
//!   applied    committed for certain: whom it does not name is refused
//!   effective  the newest one in the log, which Raft goes by: whom it names is let in, and no other directory of an id
//! ```
//!
//! A node that is behind must refuse nobody that came after what it knows. So each side of a handshake says which log
//! entry it is a member by ([`Roster::member_since`]), and only a newer membership than that is held against it. What
//! is newer is told as Raft tells it, by the term first: an entry that an old leader left behind may have a higher
//! index than what was committed in its place, but has a lower term.
//!
//! Votes and acknowledgements count by ids, and by the effective membership. So what that names by another directory is
//! never let in, not even where the applied one still names it: two directories would count as one voter. That holds
//! before the entry is committed, too: a node is never changed in place, so the removal of the directory before it was
//! committed when the entry was proposed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use storage::Position;

use crate::replica::Replica;
use crate::types::{PeerNode, StoredMembership, TypeConfig, position};
use crate::{GroupOptions, Member};

type Metrics = WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>;

/// See the module.
pub(crate) struct Roster {
    file: Vec<Member>,
    node_id: u64,
    store_id: u128,
    replica: Arc<Replica>,
    metrics: OnceLock<Metrics>,
    /// Nodes that are about to be added, and where they are reached.
    introduced: Mutex<BTreeMap<u64, String>>,
    /// How many dials of each node have failed: the next one is to another of its addresses.
    failed: Mutex<BTreeMap<u64, usize>>,
}

/// What one membership says of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Naming {
    /// The log entry of the membership.
    pub(crate) entry: Position,
    /// The directory that it knows the node by; `None` where it does not know the node.
    pub(crate) store_id: Option<u128>,
}

/// Whether a node with that directory is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is a member, or this node cannot know better.
    Known,
    /// The membership of that entry knows the node by another directory.
    StoreLost(Position),
    /// The membership of that entry does not know the node.
    NotMember(Position),
}

impl Roster {
    /// Of a node whose Raft has not started yet.
    pub(crate) fn new(options: &GroupOptions, store_id: u128, replica: Arc<Replica>) -> Roster {
        Roster {
            file: options.members.clone(),
            node_id: options.node_id,
            store_id,
            replica,
            metrics: OnceLock::new(),
            introduced: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Knows the effective membership from now on.
    pub(crate) fn follow(&self, metrics: Metrics) {
        // It is followed once, when Raft has started.
        let _ = self.metrics.set(metrics);
    }

    /// The newest membership in the log; the empty one where there is none.
    pub(crate) fn effective(&self) -> Arc<StoredMembership> {
        let effective = self.metrics.get().map(|metrics| metrics.borrow_watched().membership_config.clone());
        effective.unwrap_or_default()
    }

    /// The membership that was applied last; the empty one where there is none.
    pub(crate) fn applied(&self) -> StoredMembership {
        self.replica.read().membership.clone()
    }

    /// All other nodes.
    pub(crate) fn peers(&self) -> BTreeSet<u64> {
        let nodes = self.nodes();
        let ids = nodes.map_or_else(|| self.file.iter().map(|m| m.id).collect(), |n| n.into_keys().collect());
        let mut ids: BTreeSet<u64> = ids;
        ids.remove(&self.node_id);
        ids
    }

    /// Whether that is one of the other nodes.
    pub(crate) fn is_peer(&self, id: u64) -> bool {
        // Asked for each call: no membership is copied for it.
        let (effective, applied) = (self.effective(), self.replica.read());
        let memberships = [&*effective, &applied.membership];
        let is_member = memberships.iter().any(|membership| membership.get_node(&id).is_some());
        let is_formed = memberships.iter().any(|membership| membership.nodes().next().is_some());
        let is_of_file = || self.file.iter().any(|member| member.id == id);
        id != self.node_id && (is_member || (!is_formed && is_of_file()))
    }

    /// Every node, this one included, with its addresses as the membership has them; before there is one, as the
    /// cluster file does.
    pub(crate) fn members(&self) -> Vec<Member> {
        match self.nodes() {
            None => self.file.clone(),
            Some(nodes) => nodes.into_iter().map(|(id, node)| member(id, &node)).collect(),
        }
    }

    /// Those that vote; before there is a membership, those of the cluster file.
    pub(crate) fn voters(&self) -> BTreeSet<u64> {
        let effective = self.effective();
        match effective.membership().get_joint_config().is_empty() {
            true => self.file.iter().map(|member| member.id).collect(),
            false => effective.voter_ids().collect(),
        }
    }

    /// Where to dial a node now, where any address of it is known.
    pub(crate) fn address(&self, id: u64) -> Option<String> {
        let addresses = self.addresses(id);
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        let place = failed.unwrap_or_default().checked_rem(addresses.len())?;
        addresses.into_iter().nth(place)
    }

    /// Notes that a dial has failed: the next one is to the node's next address, if it has several.
    pub(crate) fn note_failure(&self, id: u64) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
    }

    /// Dials a node that is no member yet at that address, until it is [forgotten](Roster::forget).
    pub(crate) fn introduce(&self, id: u64, address: &str) {
        let mut introduced = self.introduced.lock().unwrap_or_else(PoisonError::into_inner);
        introduced.insert(id, address.to_owned());
    }

    /// Forgets what it was introduced by: by now it is a member, or is not to be one.
    pub(crate) fn forget(&self, id: u64) {
        self.introduced.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Whether a node that was dialled is dealt with.
    pub(crate) fn of_answerer(&self, id: u64, store_id: u128, since: Option<Position>) -> Standing {
        if self.introduced.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id) {
            return Standing::Known;
        }
        self.of_dialler(id, store_id, since)
    }

    /// Whether a node that says it is a member since that entry is dealt with.
    pub(crate) fn of_dialler(&self, id: u64, store_id: u128, since: Option<Position>) -> Standing {
        standing(naming(&self.applied(), id), naming(&self.effective(), id), store_id, since)
    }

    /// Whether the effective membership names another directory of a node that says it is a member since that entry.
    pub(crate) fn is_superseded(&self, id: u64, store_id: u128, since: Option<Position>) -> bool {
        let effective = newest(naming(&self.applied(), id), naming(&self.effective(), id));
        superseded(effective, store_id, since).is_some()
    }

    /// The entry of the newest membership here that names that directory of a node.
    pub(crate) fn names_since(&self, id: u64, store_id: u128) -> Option<Position> {
        let named = [naming(&self.applied(), id), naming(&self.effective(), id)];
        let named = named.into_iter().flatten().filter(|naming| naming.store_id == Some(store_id));
        named.map(|naming| naming.entry).max()
    }

    /// The entry of the newest membership here that names this very node.
    pub(crate) fn member_since(&self) -> Option<Position> {
        self.names_since(self.node_id, self.store_id)
    }

    /// The entry of the applied membership, where that names this very node.
    pub(crate) fn applied_member_since(&self) -> Option<Position> {
        let named = naming(&self.applied(), self.node_id)?;
        (named.store_id == Some(self.store_id)).then_some(named.entry)
    }

    /// The nodes of the memberships; `None` where there is none yet.
    fn nodes(&self) -> Option<BTreeMap<u64, PeerNode>> {
        let (applied, effective) = (self.applied(), self.effective());
        let all = applied.nodes().chain(effective.nodes());
        let nodes: BTreeMap<u64, PeerNode> = all.map(|(id, node)| (*id, node.clone())).collect();
        (!nodes.is_empty()).then_some(nodes)
    }

    fn addresses(&self, id: u64) -> Vec<String> {
        let mut addresses = Vec::new();
        let (applied, effective) = (self.applied(), self.effective());
        let introduced = self.introduced.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let named = [effective.get_node(&id), applied.get_node(&id)];
        let named = named.into_iter().flatten().map(|node| node.raft.clone());
        let of_file = self.file.iter().filter(|member| member.id == id).map(|member| member.raft.clone());
        for address in introduced.into_iter().chain(named).chain(of_file) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}

/// A node of a membership.
pub(crate) fn member(id: u64, node: &PeerNode) -> Member {
    Member { id, http: node.http.clone(), raft: node.raft.clone() }
}

/// What a membership says of a node; `None` where it is the empty one, before the first.
fn naming(membership: &StoredMembership, id: u64) -> Option<Naming> {
    let entry = position(membership.log_id().as_ref()?);
    Some(Naming { entry, store_id: membership.get_node(&id).map(|node| node.store_id) })
}

fn standing(
    applied: Option<Naming>,
    effective: Option<Naming>,
    store_id: u128,
    since: Option<Position>,
) -> Standing {
    let names = |naming: Option<Naming>| naming.and_then(|naming| naming.store_id) == Some(store_id);
    let effective = newest(applied, effective);
    if let Some(entry) = superseded(effective, store_id, since) {
        return Standing::StoreLost(entry);
    }
    let Some(Naming { entry, store_id: known }) = applied else { return Standing::Known };
    if names(applied) || names(effective) || since > Some(entry) {
        return Standing::Known;
    }
    match known {
        Some(_) => Standing::StoreLost(entry),
        None => Standing::NotMember(entry),
    }
}

/// The effective membership, unless the applied one is newer: what was just applied from a snapshot may be known here
/// before it is known to be effective.
fn newest(applied: Option<Naming>, effective: Option<Naming>) -> Option<Naming> {
    effective.filter(|naming| Some(naming.entry) >= applied.map(|naming| naming.entry))
}

/// The entry of an effective membership that names another directory, unless this one is a member since a later entry.
fn superseded(effective: Option<Naming>, store_id: u128, since: Option<Position>) -> Option<Position> {
    let Naming { entry, store_id: named } = effective?;
    (named.is_some_and(|named| named != store_id) && since <= Some(entry)).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(term: u64, index: u64) -> Position {
        Position { term, leader: 1, index }
    }

    /// What a membership says: its entry's term and index, and the directory.
    fn named(term: u64, index: u64, store_id: Option<u128>) -> Option<Naming> {
        Some(Naming { entry: at(term, index), store_id })
    }

    #[test]
    fn only_a_membership_that_is_newer_than_its_own_is_held_against_a_node() {
        let seven = |store_id| named(1, 7, store_id);
        let known = Standing::Known;
        let (not_member, lost) = (Standing::NotMember(at(1, 7)), Standing::StoreLost(at(1, 7)));
        for (what, applied, effective, since, standing) in [
            ("nothing is known here yet", None, None, None, known),
            ("only what is not committed is known here", None, named(0, 0, None), None, known),
            ("a member", seven(Some(1)), seven(Some(1)), Some(7), known),
            ("a member that has not heard of it yet", seven(Some(1)), seven(Some(1)), None, known),
            ("about to be one", seven(None), named(1, 8, Some(1)), None, known),
            ("about to be removed", seven(Some(1)), named(1, 8, None), Some(3), known),
            ("removed", seven(None), seven(None), Some(6), not_member),
            ("removed, and it has the very entry", seven(None), seven(None), Some(7), not_member),
            ("never one", seven(None), seven(None), None, not_member),
            ("added since, which this node has not heard", seven(None), seven(None), Some(8), known),
            ("an empty directory", seven(Some(2)), seven(Some(2)), None, lost),
            ("replaced by another directory", seven(Some(2)), seven(Some(2)), Some(5), lost),
            ("added again since, likewise", seven(Some(2)), seven(Some(2)), Some(9), known),
        ] {
            let since = since.map(|index| at(1, index));
            assert_eq!(super::standing(applied, effective, 1, since), standing, "{what}");
        }
    }

    /// The old directory of an id that is used again was let in beside the new one: their votes were one voter's.
    #[test]
    fn no_directory_is_let_in_that_the_effective_membership_has_replaced() {
        for (what, applied, effective, since, standing) in [
            (
                "the applied membership still names it",
                named(1, 3, Some(1)),
                named(2, 9, Some(2)),
                Some(at(1, 3)),
                Standing::StoreLost(at(2, 9)),
            ),
            (
                "nothing is applied here yet",
                None,
                named(2, 9, Some(2)),
                Some(at(1, 3)),
                Standing::StoreLost(at(2, 9)),
            ),
            (
                "it has an entry of an old leader, which was never committed, with a higher index",
                named(2, 102, None),
                named(2, 102, None),
                Some(at(1, 105)),
                Standing::NotMember(at(2, 102)),
            ),
            (
                "likewise, and its id is used again",
                named(2, 102, None),
                named(2, 103, Some(2)),
                Some(at(1, 105)),
                Standing::StoreLost(at(2, 103)),
            ),
            (
                "it came after the one that an old leader meant to add",
                named(1, 100, None),
                named(1, 105, Some(2)),
                Some(at(2, 104)),
                Standing::Known,
            ),
            (
                "it is the applied one, which is newer than what is known to be effective",
                named(2, 9, Some(1)),
                named(1, 3, Some(2)),
                None,
                Standing::Known,
            ),
            (
                "it is what is known to be effective, but the applied one is newer",
                named(2, 9, Some(2)),
                named(1, 3, Some(1)),
                None,
                Standing::StoreLost(at(2, 9)),
            ),
        ] {
            assert_eq!(super::standing(applied, effective, 1, since), standing, "{what}");
        }
    }
}
