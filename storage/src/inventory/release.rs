//! Release: units of a hold, all or a part, are for sale again; or a place in a line is given up.

use super::Inventory;
use super::command::{Release, Stamp};
use super::event::ReservationChangeKind;
use super::outcome::{Outcome, Rejection, State};
use super::parts;
use super::record::ReservedItem;
use super::stock::Move;
use crate::planted;

/// How a release that is not refused goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReleasePlan {
    /// It has ended before.
    Already,
    /// The hold ends.
    End,
    /// It waits, and leaves the line.
    Leave,
    /// A part is given back; the rest stays held.
    Reduce,
}

impl Inventory {
    /// Gives a hold's units back to sale.
    pub(super) fn release(&mut self, stamp: &Stamp, release: &Release) -> Result<Outcome, Rejection> {
        let id = release.reservation_id;
        match self.check_release(release)? {
            ReleasePlan::Already => {}
            ReleasePlan::End => {
                self.unhold_all(id);
                self.end(stamp, id, State::Released);
            }
            ReleasePlan::Leave => self.leave(stamp, id),
            ReleasePlan::Reduce => self.reduce(release),
        }
        Ok(Outcome::Released(self.view(id)))
    }

    fn reduce(&mut self, release: &Release) {
        let (id, part) = (release.reservation_id, release.items.as_deref());
        let deadline_ms = self.reservations.row(id).deadline_ms();
        let given = |item: &ReservedItem| match parts::named(part, item) {
            0 => None,
            _ if planted!("part-released-gives-back-all") => Some(item.qty),
            qty => Some(qty),
        };
        self.move_items(id, |item| given(item).map(|qty| Move::Unhold { qty, deadline_ms }));
        self.change_reservation(id, ReservationChangeKind::Reduced, |record| {
            record.items = parts::with_units(&record.items, |item| item.qty - parts::named(part, item));
        });
    }

    /// Precedence: `ReservationNotFound`, `AlreadyCommitted`, `Invalid` for a part that it does not have (one that
    /// waits has no parts).
    pub(super) fn check_release(&self, release: &Release) -> Result<ReleasePlan, Rejection> {
        let record = self.find(release.reservation_id)?;
        let part = release.items.as_deref();
        match record.state_at(self.now_ms()) {
            State::Committed => Err(Rejection::AlreadyCommitted),
            State::Released | State::Expired | State::Revoked => Ok(ReleasePlan::Already),
            _ if !parts::is_part(part, &record.items) => Err(Rejection::Invalid { field: "items".into() }),
            State::Held if parts::is_all(part, &record.items) => Ok(ReleasePlan::End),
            State::Held => Ok(ReleasePlan::Reduce),
            State::Waiting if parts::is_all(part, &record.items) => Ok(ReleasePlan::Leave),
            State::Waiting => Err(Rejection::Invalid { field: "items".into() }),
        }
    }
}
