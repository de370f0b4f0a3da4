//! What the clients buy, and what they know of each other: few SKUs with little stock, so that they are in each other's
//! way all the time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use client::api::{Item, Reservation};
use rand::Rng;
use rand::rngs::StdRng;

/// SKUs that stay.
pub(super) const SKUS: usize = 12;
/// Of these the first so many are nearly always sold out, and have a line.
pub(super) const SCARCE: usize = 3;
/// SKUs that are made and deleted again.
pub(super) const FLEETING: usize = 4;
/// SKUs that stay and whose stock nobody counts anew: what of these is sold and there can be added up from outside,
/// from the beginning to the end. Scarce ones are among them.
pub(super) const NEVER_COUNTED: [usize; 4] = [0, 1, 6, 8];
/// Customers, some of whom are limited in what they may have.
pub(super) const CUSTOMERS: usize = 16;
/// How many reservations are remembered, so that memory does not grow with the run.
const REMEMBERED: usize = 300;

/// What all clients share.
#[derive(Debug, Default)]
pub(super) struct Shop {
    known: Mutex<VecDeque<Known>>,
}

/// A reservation that was answered to somebody.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    /// Its id.
    pub(super) id: String,
    /// Its cart.
    pub(super) cart_id: String,
    /// Whose it is.
    pub(super) customer_id: Option<String>,
    /// What is in it.
    pub(super) items: Vec<Item>,
    /// Its token, once it was a hold.
    pub(super) fencing_token: Option<u64>,
    /// With what it was paid.
    pub(super) payment_token: Option<String>,
}

impl Known {
    fn of(reservation: Reservation) -> Known {
        Known {
            id: reservation.reservation_id,
            cart_id: reservation.cart_id,
            customer_id: reservation.customer_id,
            items: reservation.items,
            fencing_token: reservation.fencing_token,
            payment_token: reservation.payment_token,
        }
    }
}

impl Shop {
    /// Remembers a reservation, as it is now.
    pub(super) fn learn(&self, reservation: Reservation) {
        let known = Known::of(reservation);
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|other| other.id == known.id) {
            Some(other) => *other = known,
            None => all.push_back(known),
        }
        if all.len() > REMEMBERED {
            all.pop_front();
        }
    }

    /// One of those remembered, a late one more likely than an early one.
    pub(super) fn recall(&self, dice: &mut StdRng) -> Option<Known> {
        // Drawn however many there are, so that a client's dice do not depend on it.
        let (one, other) = (dice.random::<f64>(), dice.random::<f64>());
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (one.max(other) * all.len() as f64) as usize;
        all.get(place).cloned()
    }
}

/// The name of one that stays.
pub(super) fn sku(number: usize) -> String {
    format!("sku-{number}")
}

/// The name of one that comes and goes.
pub(super) fn fleeting(number: usize) -> String {
    format!("fleeting-{number}")
}

/// Any SKU: one of the scarce half the time, and now and then one that may not be there.
pub(super) fn any_sku(dice: &mut StdRng) -> String {
    match dice.random_range(0..100) {
        0..45 => sku(dice.random_range(0..SCARCE)),
        45..92 => sku(dice.random_range(SCARCE..SKUS)),
        _ => fleeting(dice.random_range(0..FLEETING)),
    }
}

/// One that stays and may be counted anew.
pub(super) fn counted(dice: &mut StdRng) -> usize {
    let counted: Vec<usize> = (0..SKUS).filter(|number| !NEVER_COUNTED.contains(number)).collect();
    counted[dice.random_range(0..counted.len())]
}

/// How many units a SKU begins with.
pub(super) fn stock(number: usize) -> u64 {
    if number < SCARCE { 4 } else { 60 }
}

/// The most that one customer may have of a SKU, where that is limited.
pub(super) fn limit(number: usize) -> Option<u64> {
    number.is_multiple_of(4).then_some(3)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn reservation(id: usize) -> Reservation {
        let json = serde_json::json!({
            "reservation_id": format!("res_{id}"), "state": "held", "cart_id": "c", "items": [],
            "created_at": "2026-01-01T00:00:00.000Z",
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_remembered_is_bounded_and_each_is_there_once() {
        let (shop, mut dice) = (Shop::default(), StdRng::seed_from_u64(1));
        assert_eq!(shop.recall(&mut dice), None);
        for id in 0..2 * REMEMBERED {
            shop.learn(reservation(id));
            shop.learn(reservation(id));
        }
        assert_eq!(shop.known.lock().unwrap().len(), REMEMBERED);
        let known = shop.recall(&mut dice).unwrap();
        assert!(known.id[4..].parse::<usize>().unwrap() >= REMEMBERED);
    }
}
