//! How old holds were when they ended here, and how late those were swept that time ended: for metrics alone.
//!
//! No part of the state: no command asks it, no record or digest has it, and it begins anew with each inventory. All
//! moments are of the cluster clock, and a log that is applied again counts again.

use super::event::ReservationChangeKind;
use super::record::ReservationRecord;
use crate::histogram::{AGES_US, Distribution, TIMES_US};

/// Ages of holds at their end, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// Of those that were committed.
    pub committed: Distribution,
    /// Of those that were released.
    pub released: Distribution,
    /// Of those that were taken away.
    pub revoked: Distribution,
    /// Of those whose deadline came, up to that.
    pub expired: Distribution,
    /// From a deadline to the command that told of it. Its units were for sale again before, to whoever asked.
    pub expiry_lag: Distribution,
}

impl Default for Ends {
    fn default() -> Ends {
        let ages = || Distribution::new(AGES_US);
        Ends {
            committed: ages(),
            released: ages(),
            revoked: ages(),
            expired: ages(),
            expiry_lag: Distribution::new(TIMES_US),
        }
    }
}

impl Ends {
    /// Counts a change that ends a hold. What waited only had none.
    pub(super) fn note(&mut self, kind: ReservationChangeKind, record: &ReservationRecord, now_ms: u64) {
        let Some(grant) = record.grant else { return };
        let age_us = us_between(grant.granted_ms, now_ms);
        match kind {
            ReservationChangeKind::Committed => self.committed.add(age_us),
            ReservationChangeKind::Released => self.released.add(age_us),
            ReservationChangeKind::Revoked => self.revoked.add(age_us),
            ReservationChangeKind::Expired => {
                self.expired.add(us_between(grant.granted_ms, grant.deadline_ms));
                self.expiry_lag.add(us_between(grant.deadline_ms, now_ms));
            }
            ReservationChangeKind::Waiting
            | ReservationChangeKind::Held
            | ReservationChangeKind::Extended
            | ReservationChangeKind::Reduced
            | ReservationChangeKind::Returned => {}
        }
    }
}

fn us_between(from_ms: u64, to_ms: u64) -> u64 {
    to_ms.saturating_sub(from_ms).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use crate::inventory::Inventory;
    use crate::inventory::command::{
        Command, HoldLimits, OnShortfall, Precondition, PutSku, Release, Request, Reserve, Setting, Stamp,
    };
    use crate::inventory::ids::{Item, ReservationId, Sku};
    use crate::inventory::outcome::Outcome;

    fn apply(inventory: &mut Inventory, now_ms: u64, command: Command) -> Outcome {
        let day_ms = 86_400_000;
        let (retention_ms, idempotency_ms, max_hold_ms, events_ms) = (day_ms, day_ms, day_ms, day_ms);
        let stamp = Stamp {
            now_ms,
            retention_ms,
            idempotency_ms,
            max_hold_ms,
            events_ms,
            events_max: 100,
            limits: HoldLimits::NONE,
        };
        inventory.apply(&stamp, &Request { idempotency_key: None, command }).result.unwrap()
    }

    fn reserve(inventory: &mut Inventory, now_ms: u64, cart: &str) -> ReservationId {
        let items = vec![Item { sku: Sku::new("PS5").unwrap(), qty: 3 }];
        let (cart_id, ttl_ms) = (cart.into(), 60_000);
        let reserve = Reserve { nonce: 1, cart_id, customer_id: None, items, ttl_ms, wait: false };
        match apply(inventory, now_ms, Command::Reserve(reserve)) {
            Outcome::Reserved(view) => view.id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_end_has_its_age_and_one_by_time_how_late_it_was_told() {
        let mut inventory = Inventory::default();
        let put = PutSku {
            sku: Sku::new("PS5").unwrap(),
            on_hand: 10,
            safety_stock: Some(1),
            max_per_customer: Setting::Keep,
            on_shortfall: OnShortfall::Refuse,
            precondition: Precondition::None,
        };
        apply(&mut inventory, 1_000, Command::PutSku(put));
        let released = reserve(&mut inventory, 1_000, "released");
        reserve(&mut inventory, 2_000, "expired");
        assert_eq!((inventory.units().held, inventory.units().available), (6, 3));
        apply(&mut inventory, 4_000, Command::Release(Release { reservation_id: released, items: None }));
        apply(&mut inventory, 62_250, Command::Tick);
        let ends = inventory.ends();
        assert_eq!((ends.released.count(), ends.released.sum()), (1, 3_000_000));
        assert_eq!((ends.expired.count(), ends.expired.sum()), (1, 60_000_000));
        assert_eq!((ends.expiry_lag.count(), ends.expiry_lag.sum()), (1, 250_000));
        assert_eq!((ends.committed.count(), ends.revoked.count()), (0, 0));
        assert_eq!((inventory.units().held, inventory.units().on_hand), (0, 10));
    }
}
