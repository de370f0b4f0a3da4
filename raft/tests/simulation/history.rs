//! The one history that all nodes agree on: entries as they are committed, applied here as well.
//!
//! An entry is taken from the first node that says it is committed or has applied it. From then on it is what every
//! other node is held against, and so are the state after it, its digest and its answers.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use raft::look::{self, Members};
use storage::Position;
use storage::inventory::Inventory;
use storage::inventory::command::Request;
use storage::inventory::outcome::{Applied, StockView};
use storage::log::{Entry, Log};

/// See the module.
#[derive(Default)]
pub(crate) struct History {
    entries: Vec<Agreed>,
    pub(crate) inventory: Inventory,
    /// The members by the last entry that says so.
    members: Option<Members>,
    /// The answer to each command, by its sequence number.
    pub(crate) answers: BTreeMap<u64, (Request, Applied)>,
}

/// An entry, and the state after it.
pub(crate) struct Agreed {
    pub(crate) position: Position,
    pub(crate) digest: u64,
    pub(crate) sequence: u64,
    pub(crate) stamp_ms: Option<u64>,
    pub(crate) applied: Vec<(Request, Applied)>,
    pub(crate) stocks: Vec<StockView>,
    /// The members from here on, where this entry changes them.
    pub(crate) members: Option<Members>,
}

/// A hash of an entry's payload, the same in every run.
pub(crate) fn hash_of(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.payload.hash(&mut hasher);
    hasher.finish()
}

impl History {
    /// The index of the next entry.
    pub(crate) fn next(&self) -> u64 {
        self.entries.len() as u64
    }

    /// An entry, once it is known to be committed.
    pub(crate) fn entry(&self, index: u64) -> Option<&Agreed> {
        self.entries.get(index as usize)
    }

    /// Whether that node is a member, by all that is committed.
    pub(crate) fn has_member(&self, id: u64) -> bool {
        self.members.as_ref().is_some_and(|members| members.ids.contains(&id))
    }

    /// The members, once there are any.
    pub(crate) fn members(&self) -> Option<&Members> {
        self.members.as_ref()
    }

    /// Takes what a node knows to be committed, up to that index, from its log.
    pub(crate) fn take(&mut self, node: u64, log: &Log, last: u64) -> Result<(), String> {
        while self.next() <= last {
            let next = self.next();
            let entries = log.read(next..last + 1, 1 << 20).map_err(|e| e.to_string())?;
            if entries.is_empty() {
                return Err(format!(
                    "node {node} committed or applied entry {next}, which its log does not have"
                ));
            }
            entries.iter().try_for_each(|entry| self.apply(entry))?;
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        let commands = look::commands(entry).map_err(|e| format!("entry {:?}: {e}", entry.position))?;
        let members = look::members(entry).map_err(|e| format!("entry {:?}: {e}", entry.position))?;
        self.members = members.clone().or(self.members.take());
        let mut applied = Vec::new();
        let stamp_ms = commands.as_ref().map(|(stamp, _)| stamp.now_ms);
        for (stamp, request) in
            commands.iter().flat_map(|(stamp, all)| all.iter().map(move |one| (stamp, one)))
        {
            let answer = self.inventory.apply(stamp, request);
            if !answer.replayed {
                self.answers.insert(answer.sequence, (request.clone(), answer.clone()));
            }
            applied.push((request.clone(), answer));
        }
        self.entries.push(Agreed {
            position: entry.position,
            digest: self.inventory.state_digest(),
            sequence: self.inventory.sequence(),
            stamp_ms,
            applied,
            stocks: self.inventory.list_stocks("", None, 100).rows,
            members,
        });
        Ok(())
    }
}
