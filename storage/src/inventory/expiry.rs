//! What time does by itself: holds end, ended reservations and old answers are forgotten.
//!
//! ```text
//!   deadline of 1,000,000 holds of one SKU
//!        |  the next command on that SKU: one step gives all their units back (see lapses)
//!        |  every command: up to 4 of them become Expired; a tick: up to 1,024
//!        v
//!   ----------------------------------------------------------------------------> time
//! ```
//!
//! A hold that the sweep has not reached counts as ended all the same, for every command and every read. The sweep
//! never gives units back: units lapse by SKU and deadline, and by nothing else, so that none can lapse twice.

use super::Inventory;
use super::command::Command;
use super::event::{Cause, ReservationChangeKind};
use super::ids::ReservationId;
use super::outcome::State;
use super::stock::Move;
use crate::planted;

/// Holds that an ordinary command ends at most; likewise reservations and answers that it forgets. More than the one
/// that it makes, so that commands keep up with themselves; few, since an entry has hundreds of commands, and a
/// million holds that end at once shall slow down none of them much.
pub const SWEEP_MAX: usize = 4;
/// The same for a tick.
pub const SWEEP_TICK_MAX: usize = 1_024;

impl Inventory {
    /// Ends and forgets what is due, in the order of the moments at which it was, within bounds.
    pub(super) fn sweep(&mut self, command: &Command) {
        let budget = if matches!(command, Command::Tick) { SWEEP_TICK_MAX } else { SWEEP_MAX };
        let mut within = 0..budget;
        while !planted!("hold-ends-only-when-touched") && within.next().is_some() && self.expire_next() {}
        let mut within = 0..budget;
        while within.next().is_some() && self.forget_next_reservation() {}
        let mut within = 0..budget;
        while within.next().is_some() && self.answers.forget_next(self.counters.now_ms) {}
    }

    /// Ends a reservation if it is a hold that is due, whether the sweep has reached it or not.
    pub(super) fn expire_if_due(&mut self, id: ReservationId) {
        let now_ms = self.now_ms();
        if self.reservations.stored(id).is_some_and(|record| record.is_due(now_ms)) {
            self.expire(id);
        }
    }

    fn expire_next(&mut self) -> bool {
        match self.reservations.next_deadline() {
            Some((deadline_ms, id)) if deadline_ms <= self.now_ms() => self.expire(id),
            _ => return false,
        }
        true
    }

    fn expire(&mut self, id: ReservationId) {
        self.settle_items_of(id);
        self.lapse_of_customer(id);
        self.caused_by(Cause::Time, |all| {
            all.change_reservation(id, ReservationChangeKind::Expired, |record| {
                record.state = State::Expired;
                record.ended_ms = Some(Box::new(record.deadline_ms()));
            });
        });
    }

    /// A customer's units count as gone from their deadline on; here their entry goes too.
    fn lapse_of_customer(&mut self, id: ReservationId) {
        let Inventory { stocks, reservations, customers, .. } = self;
        let record = reservations.row(id);
        let Some(customer) = &record.customer_id else {
            return;
        };
        let deadline_ms = record.deadline_ms();
        for item in record.items.iter().filter(|item| stocks.of(&item.sku, id).is_some()) {
            customers.apply(&item.sku, customer, Move::Unhold { qty: item.qty, deadline_ms });
        }
    }

    fn forget_next_reservation(&mut self) -> bool {
        match self.reservations.next_forget() {
            Some((forget_ms, id)) if forget_ms <= self.now_ms() => self.reservations.remove(id),
            _ => return false,
        }
        true
    }
}
