//! Return: units of a committed reservation, all or a part, go from sold back to on_hand.

use super::Inventory;
use super::command::Return;
use super::event::ReservationChangeKind;
use super::ids::UNITS_MAX;
use super::outcome::{Outcome, Rejection, State};
use super::parts;
use super::record::{ReservationRecord, ReservedItem};
use super::stock::Move;
use crate::planted;

impl Inventory {
    /// Takes units of a committed reservation back into stock.
    pub(super) fn take_back(&mut self, back: &Return) -> Result<Outcome, Rejection> {
        let id = back.reservation_id;
        self.check_return(back)?;
        let units = |item: &ReservedItem| Some(units_back(back, item)).filter(|&qty| qty > 0);
        self.move_items(id, |item| units(item).map(|qty| Move::TakeBack { qty }));
        self.change_reservation(id, ReservationChangeKind::Returned, |record| {
            let returned = |item: &ReservedItem| item.returned + units_back(back, item);
            let items = record.items.iter();
            record.items =
                items.map(|item| ReservedItem { returned: returned(item), ..item.clone() }).collect();
        });
        Ok(Outcome::Returned(self.view(id)))
    }

    /// Precedence: `ReservationNotFound`, `NotCommitted`, `ReturnExceedsSale`, `SkuNotFound` (also where the SKU of
    /// that name is another one by now), `StockAboveMax`.
    pub(super) fn check_return(&self, back: &Return) -> Result<(), Rejection> {
        let record = self.find(back.reservation_id)?;
        if record.state != State::Committed {
            return Err(Rejection::NotCommitted);
        }
        if !are_sold(back, record) {
            return Err(Rejection::ReturnExceedsSale);
        }
        let returned = || record.items.iter().filter(|item| units_back(back, item) > 0);
        let of = |item: &ReservedItem| self.stocks.of(&item.sku, back.reservation_id);
        if let Some(gone) = returned().find(|item| of(item).is_none()) {
            return Err(Rejection::SkuNotFound { sku: gone.sku.clone() });
        }
        let on_hand = |item: &ReservedItem| of(item).map_or(0, |stock| stock.record().on_hand);
        let fits = |item: &ReservedItem| on_hand(item) + units_back(back, item) <= UNITS_MAX;
        if returned().all(fits) { Ok(()) } else { Err(Rejection::StockAboveMax) }
    }
}

/// How many units of an item come back.
fn units_back(back: &Return, item: &ReservedItem) -> u64 {
    match &back.items {
        None => item.qty - item.returned,
        Some(part) => parts::named(Some(part), item),
    }
}

/// Whether all that would come back was sold and is not back yet, and is something.
fn are_sold(back: &Return, record: &ReservationRecord) -> bool {
    let returned = |item: &ReservedItem| if planted!("returned-more-than-sold") { 0 } else { item.returned };
    let there = |item: &ReservedItem| units_back(back, item) <= item.qty - returned(item);
    let some = record.items.iter().any(|item| units_back(back, item) > 0);
    some && record.items.iter().all(there) && parts::is_part(back.items.as_deref(), &record.items)
}
