//! How much each customer has at a time, over all carts and SKUs: for the limits of the whole cluster.
//!
//! ```text
//!   ann   #7 held till 12:00.000, 2 units     at 11:59   3 reservations, 6 units
//!         #8 held till 12:00.005, 1 unit      at 12:00   2 reservations, 4 units
//!         #9 waits for 3 units
//! ```
//!
//! A place in a line counts as the hold that it is to become, units and all. So whoever was let in is served in turn,
//! and these limits are looked at in one place: where a cart asks for something new. A commit, late or not, an extend,
//! and a cart that asks for what it has already are refused for none of them.
//!
//! They are the last reason to refuse a reserve. They come with the stamp, which the sold-out gate does not know: what
//! it says for a reason that stands before them is what apply would say, whatever they are.
//!
//! Derived, like an index, and not counted before a limit asks for it: who has no such limits pays nothing. Who opens
//! with them counts ahead, for that walks through all reservations. A hold that is due counts no more, be it swept or
//! not.

use std::sync::Arc;

use super::Inventory;
use super::command::{HoldLimits, Reserve, Stamp};
use super::lapses::Lapses;
use super::names::{Named, Names};
use super::outcome::{Rejection, State, Total};
use super::record::ReservationRecord;

/// What every customer has who has anything.
#[derive(Debug, Clone, Default)]
pub(super) struct Holders(Names<Holder>);

/// What one customer has, with holds that are due and not swept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    customer: Arc<str>,
    has: Has,
    /// Holds by deadline.
    holds: Lapses,
    /// Their units, likewise.
    units: Lapses,
}

/// How much somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Has {
    /// Live reservations, held or waiting.
    pub(super) holds: u64,
    /// Units that they hold or wait for.
    pub(super) units: u64,
}

/// What a live reservation adds, and till when; who waits has no deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    units: u64,
    deadline_ms: Option<u64>,
}

impl Inventory {
    /// Counts what customers have, where such limits will ask for it: ahead of the first command that does, which would
    /// do it else, and would take longer. It changes no state.
    pub fn count_ahead(&mut self, limits: &HoldLimits) {
        if limits.are_of_customers() {
            self.reservations.count_holders();
        }
    }

    /// Whether the customer of a reserve may have one live reservation more, and its units. Precedence: holds, units.
    pub(super) fn check_totals(&self, stamp: &Stamp, reserve: &Reserve) -> Result<(), Rejection> {
        let limits = &stamp.limits;
        let Some(customer) = reserve.customer_id.as_deref().filter(|_| limits.are_of_customers()) else {
            return Ok(());
        };
        let has = self.reservations.has(customer, self.now_ms());
        let units = reserve.items.iter().map(|item| item.qty).fold(0, u64::saturating_add);
        check_total(Total::Holds, limits.customer_holds_max, has.holds, 1)?;
        check_total(Total::Units, limits.customer_units_max, has.units, units)
    }
}

fn check_total(of: Total, limit: Option<u64>, has: u64, requested: u64) -> Result<(), Rejection> {
    match limit {
        Some(limit) if has.saturating_add(requested) > limit => {
            Err(Rejection::CustomerTotal { of, limit, has, requested })
        }
        _ => Ok(()),
    }
}

impl HoldLimits {
    /// Whether they limit what a customer has.
    pub(super) fn are_of_customers(&self) -> bool {
        self.customer_holds_max.or(self.customer_units_max).is_some()
    }
}

impl Holders {
    /// What customers have by these reservations.
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a ReservationRecord>) -> Holders {
        let mut holders = Holders::default();
        records.for_each(|record| holders.enter(record));
        holders
    }

    /// What a customer has at a moment.
    pub(super) fn has(&self, customer: &str, now_ms: u64) -> Has {
        let Some(holder) = self.0.get(customer) else {
            return Has::default();
        };
        let due = [&holder.holds, &holder.units].map(|lapses| lapses.due(now_ms).qty);
        Has { holds: holder.has.holds.saturating_sub(due[0]), units: holder.has.units.saturating_sub(due[1]) }
    }

    /// A reservation comes.
    pub(super) fn enter(&mut self, record: &ReservationRecord) {
        let (Some(customer), Some(part)) = (&record.customer_id, part_of(record)) else {
            return;
        };
        match self.0.get_mut(customer) {
            Some(holder) => holder.add(part),
            None => {
                let mut holder = Box::new(Holder::new(customer));
                holder.add(part);
                self.0.insert(holder);
            }
        }
    }

    /// A reservation goes.
    pub(super) fn leave(&mut self, record: &ReservationRecord) {
        let (Some(customer), Some(part)) = (&record.customer_id, part_of(record)) else {
            return;
        };
        if let Some(holder) = self.0.get_mut(customer) {
            holder.remove(part);
            if holder.has == Has::default() {
                self.0.remove(customer);
            }
        }
    }

    /// A reservation changes. Its customer stays.
    pub(super) fn follow(&mut self, before: &ReservationRecord, after: &ReservationRecord) {
        if part_of(before) != part_of(after) {
            self.leave(before);
            self.enter(after);
        }
    }
}

/// Two are equal if the same customers have the same.
impl PartialEq for Holders {
    fn eq(&self, other: &Self) -> bool {
        let same = |holder: &Holder| other.0.get(&holder.customer) == Some(holder);
        self.0.len() == other.0.len() && self.0.iter().all(same)
    }
}

impl Holder {
    fn new(customer: &Arc<str>) -> Holder {
        let (holds, units) = (Lapses::default(), Lapses::default());
        Holder { customer: Arc::clone(customer), has: Has::default(), holds, units }
    }

    fn add(&mut self, Part { units, deadline_ms }: Part) {
        self.has = Has { holds: self.has.holds + 1, units: self.has.units.saturating_add(units) };
        if let Some(deadline_ms) = deadline_ms {
            self.holds.add(deadline_ms, 1);
            self.units.add(deadline_ms, units);
        }
    }

    fn remove(&mut self, Part { units, deadline_ms }: Part) {
        let has = self.has;
        self.has = Has { holds: has.holds.saturating_sub(1), units: has.units.saturating_sub(units) };
        if let Some(deadline_ms) = deadline_ms {
            let there = [self.holds.remove(deadline_ms, 1), self.units.remove(deadline_ms, units)];
            assert_eq!(there, [true; 2], "a hold till {deadline_ms} is not among its customer's");
        }
    }
}

impl Named for Holder {
    fn name(&self) -> &Arc<str> {
        &self.customer
    }
}

fn part_of(record: &ReservationRecord) -> Option<Part> {
    let deadline_ms = match record.state {
        State::Waiting => None,
        State::Held => Some(record.deadline_ms()),
        State::Committed | State::Released | State::Expired | State::Revoked => return None,
    };
    let units = record.items.iter().map(|item| item.qty).fold(0, u64::saturating_add);
    Some(Part { units, deadline_ms })
}

#[cfg(test)]
mod tests {
    use super::super::ids::{ReservationId, Sku};
    use super::super::outcome::Grant;
    use super::super::record::ReservedItem;
    use super::*;

    fn record(state: State, qty: u64, deadline_ms: u64) -> ReservationRecord {
        ReservationRecord {
            state,
            cart_id: "1".into(),
            customer_id: Some("ann".into()),
            items: [ReservedItem { sku: Sku::new("PS5").unwrap(), qty, returned: 0 }].into(),
            created_ms: 0,
            ttl_ms: 1,
            grant: Some(Grant { fencing_token: 1, granted_ms: 0, deadline_ms }),
            ended_ms: None,
            forget_ms: u64::MAX,
            payment_token: None,
            extensions: 0,
        }
    }

    fn has(holds: u64, units: u64) -> Has {
        Has { holds, units }
    }

    #[test]
    fn what_is_due_counts_no_more_and_who_waits_does() {
        let records = [record(State::Held, 2, 10), record(State::Held, 1, 15), record(State::Waiting, 3, 0)];
        let holders = Holders::of(records.iter());
        for (now_ms, expected) in [(9, has(3, 6)), (10, has(2, 4)), (15, has(1, 3)), (u64::MAX, has(1, 3))] {
            assert_eq!(holders.has("ann", now_ms), expected, "at {now_ms}");
        }
        assert_eq!(holders.has("bob", 0), has(0, 0));
    }

    #[test]
    fn only_limits_of_customers_have_it_counted_ahead_and_it_is_no_part_of_the_state() {
        let mut inventory = Inventory::default();
        inventory
            .reservations
            .insert(ReservationId { sequence: 1, nonce: 1 }, record(State::Waiting, 3, 0).into());
        let digest = inventory.state_digest();
        inventory.count_ahead(&HoldLimits { hold_extensions_max: Some(1), ..HoldLimits::NONE });
        assert!(!inventory.reservations.counts_holders());
        inventory.count_ahead(&HoldLimits { customer_units_max: Some(1), ..HoldLimits::NONE });
        assert!(inventory.reservations.counts_holders() && inventory.reservations.holders_hold());
        assert_eq!((inventory.reservations.has("ann", 0), inventory.state_digest()), (has(1, 3), digest));
    }

    #[test]
    fn every_change_leaves_what_would_be_counted_anew() {
        let states = [record(State::Waiting, 3, 0), record(State::Held, 3, 10), record(State::Held, 3, 20)];
        let ends = [record(State::Held, 1, 20), record(State::Expired, 1, 20)];
        let mut holders = Holders::of([&states[0]].into_iter());
        for two in [states.as_slice(), &ends].concat().windows(2) {
            holders.follow(&two[0], &two[1]);
            assert_eq!(holders, Holders::of([&two[1]].into_iter()));
        }
        assert_eq!(holders.0.len(), 0, "who has nothing is forgotten");
        let nobody = ReservationRecord { customer_id: None, ..states[1].clone() };
        holders.enter(&nobody);
        assert_eq!(holders, Holders::default());
    }
}
