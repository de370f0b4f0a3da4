//! The feature level: which of its abilities the cluster uses.
//!
//! ```text
//!   level in force       part of the state: raised by a command, the same on every replica, never lowered
//!        1  1  1  2  2   one command after the other
//!   LEVELS               of the binary: what it can apply, from the lowest to the highest
//! ```
//!
//! What is applied depends on the level in force, never on the binary alone: during an upgrade nodes of two versions
//! apply the same log, and must come to the same state. So a change of what a command does, and each new kind of
//! command, takes a level of its own; below it a newer binary does what the older one does, or refuses.
//!
//! Level 1 is that of every image and entry that does not say otherwise: nothing is stored for it, and nothing is added
//! to the digest. Whatever was written before there were levels is of level 1.
//!
//! Limits of customers and holds take no level: they come in entries of kinds of their own, at which a binary that does
//! not know them stops, and an entry without any does what it did before there were limits, down to the digest. So they
//! are to be set when every node knows them.
//!
//! Absent on purpose: who raises it, and when. That is a matter of who takes part, and the raft crate's.

use std::ops::RangeInclusive;

use super::Inventory;
use super::command::Command;
use super::digest;
use super::outcome::Rejection;
use super::record::LevelRecord;

/// The levels that this binary can apply. A release that brings an ability raises the end; one that drops the code for
/// a level that no cluster is at any more, the beginning.
pub const LEVELS: RangeInclusive<u16> = 1..=if cfg!(feature = "next-version") { 2 } else { 1 };

/// The level of a cluster that was never raised.
const FIRST: u16 = 1;

/// The level in force, and whether it changed since it was shown last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    in_force: u16,
    is_changed: bool,
}

impl Default for Level {
    fn default() -> Level {
        Level { in_force: FIRST, is_changed: false }
    }
}

impl Level {
    /// Takes the level of an image; false where it is none that an image says, or there was one already.
    pub(super) fn load(&mut self, LevelRecord { level }: LevelRecord) -> bool {
        let is_first = *self == Level::default();
        self.in_force = level;
        is_first && level > FIRST
    }

    /// Raises it; a lower one changes nothing.
    fn raise(&mut self, to: u16) {
        self.is_changed |= to > self.in_force;
        self.in_force = self.in_force.max(to);
    }

    /// Its record; none while it was never raised.
    pub(super) fn record(self) -> Option<LevelRecord> {
        (self.in_force > FIRST).then_some(LevelRecord { level: self.in_force })
    }

    /// Its record, where it changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> Option<LevelRecord> {
        std::mem::take(&mut self.is_changed).then(|| self.record()).flatten()
    }

    /// Whether it changed since it was shown last.
    pub(super) fn is_changed(self) -> bool {
        self.is_changed
    }

    /// What it adds to the sum of the records' digests.
    pub(super) fn digest(self) -> u64 {
        self.record().map_or(0, digest::level)
    }
}

impl Inventory {
    /// The feature level in force.
    pub fn level(&self) -> u16 {
        self.level.in_force
    }

    pub(super) fn raise_level(&mut self, to: u16) {
        self.level.raise(to);
    }

    /// Whether what a command needs is in force. A node refuses such a command before it is logged; this is what keeps
    /// apply a function of the state, and not of the binary.
    pub(super) fn check_level(&self, command: &Command) -> Result<(), Rejection> {
        match command.level_needed() <= self.level() {
            true => Ok(()),
            false => Err(Rejection::Invalid { field: "feature_level".into() }),
        }
    }
}

impl Command {
    /// The level that must be in force for it to be executed.
    pub fn level_needed(&self) -> u16 {
        match self {
            #[cfg(feature = "next-version")]
            Command::KeepBack(_) => 2,
            _ => FIRST,
        }
    }

    /// The level that a node must be able to apply, or it must not even take note of the command: that which it needs,
    /// or which is in force after it.
    pub fn level_told(&self) -> u16 {
        match self {
            Command::RaiseLevel(to) => FIRST.max(*to),
            other => other.level_needed(),
        }
    }
}

/// Why a binary of these levels must have nothing to do with that level.
///
/// # Errors
/// It supports no such level; the sentence says which ones it does.
pub fn check_levels(level: u16, levels: &RangeInclusive<u16>) -> Result<(), String> {
    let (lowest, highest) = (levels.start(), levels.end());
    match level {
        _ if levels.contains(&level) => Ok(()),
        _ if lowest == highest => {
            Err(format!("it is of feature level {level}, and this lastunit supports level {lowest} alone"))
        }
        _ => Err(format!(
            "it is of feature level {level}, and this lastunit supports levels {lowest} to {highest}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{HoldLimits, Request, Stamp};
    use super::super::outcome::Outcome;
    use super::super::record::{KeyRef, Record, RecordKey, RecordRef};
    use super::super::{Inconsistent, RecordsDigest};
    use super::*;

    const STAMP: Stamp = Stamp {
        now_ms: 1_790_000_000_000,
        retention_ms: 1,
        idempotency_ms: 2,
        max_hold_ms: 3,
        events_ms: 4,
        events_max: 5,
        limits: HoldLimits::NONE,
    };

    fn apply(inventory: &mut Inventory, command: Command) -> Result<Outcome, Rejection> {
        let applied = inventory.apply(&STAMP, &Request { idempotency_key: None, command });
        inventory.audit().unwrap();
        applied.result
    }

    fn level_records(inventory: &Inventory) -> Vec<Record> {
        inventory.records().filter_map(|(key, it)| (key == RecordKey::Level).then_some(it)).collect()
    }

    #[test]
    fn the_level_rises_and_never_falls() {
        let mut inventory = Inventory::default();
        for (to, level) in [(0, 1), (1, 1), (3, 3), (2, 3), (3, 3), (u16::MAX, u16::MAX), (1, u16::MAX)] {
            assert_eq!(apply(&mut inventory, Command::RaiseLevel(to)), Ok(Outcome::Ticked));
            assert_eq!(inventory.level(), level, "raised to {to}");
        }
        assert_eq!(inventory.sequence(), 7);
    }

    #[test]
    fn a_level_that_was_never_raised_is_in_no_image_and_no_digest() {
        let (mut ticked, mut raised) = (Inventory::default(), Inventory::default());
        apply(&mut ticked, Command::Tick).unwrap();
        apply(&mut raised, Command::RaiseLevel(1)).unwrap();
        assert_eq!(ticked.state_digest(), raised.state_digest());
        assert_eq!(level_records(&raised), []);
        apply(&mut ticked, Command::Tick).unwrap();
        apply(&mut raised, Command::RaiseLevel(2)).unwrap();
        assert_ne!(ticked.state_digest(), raised.state_digest());
        assert_eq!(level_records(&raised), [Record::Level(LevelRecord { level: 2 })]);
    }

    #[test]
    fn images_have_the_level_and_changes_show_it_once() {
        let mut inventory = Inventory::default();
        apply(&mut inventory, Command::RaiseLevel(2)).unwrap();
        let mut digest = RecordsDigest::default();
        inventory.records().for_each(|(key, record)| digest.add(&key, &record).unwrap());
        assert_eq!(digest.finish(), Ok(inventory.state_digest()));
        let loaded = Inventory::from_records(inventory.records()).unwrap();
        assert_eq!((loaded.level(), loaded.state_digest()), (2, inventory.state_digest()));
        assert_eq!(loaded.changed(), 0);
        let mut shown = Vec::new();
        let mut show = |key: KeyRef<'_>, record: Option<RecordRef<'_>>| {
            if let (KeyRef::Level, Some(RecordRef::Level(record))) = (key, record) {
                shown.push(record.level);
            }
        };
        inventory.take_changed(&mut show);
        inventory.take_changed(&mut show);
        assert_eq!((shown, inventory.changed()), (vec![2], 0));
    }

    #[test]
    fn a_level_that_no_image_says_or_that_is_there_twice_is_refused() {
        let level = |level| (RecordKey::Level, Record::Level(LevelRecord { level }));
        for records in [vec![level(0)], vec![level(1)], vec![level(2), level(2)]] {
            let refused = Inventory::from_records(records.clone());
            assert!(matches!(refused, Err(Inconsistent(_))), "{records:?}");
        }
    }

    #[test]
    fn a_level_is_supported_from_the_lowest_to_the_highest() {
        for (level, levels, why) in [
            (1, 1..=1, None),
            (2, 1..=2, None),
            (2, 1..=1, Some("supports level 1 alone")),
            (4, 2..=3, Some("supports levels 2 to 3")),
            (1, 2..=3, Some("is of feature level 1,")),
        ] {
            let told = check_levels(level, &levels).err();
            match why {
                None => assert_eq!(told, None),
                Some(why) => assert!(told.as_ref().is_some_and(|told| told.contains(why)), "{told:?}"),
            }
        }
    }
}
