//! Looks at what an entry's commands will need, before the first of them is applied.
//!
//! ```text
//!   one after the other    [ miss ][ miss ][ miss ] apply  [ miss ][ miss ][ miss ] apply  ...
//!   looked at before       [ miss ]                        apply apply apply ...
//!                           [ miss ]
//!                            [ miss ]
//! ```
//!
//! What commands need of tables with a million rows is seldom in a cache, and a command's look-ups wait for each other.
//! Those of different commands do not: a processor that meets them in a row fetches for several of them at once.
//! Nothing is changed, and nothing that was seen is used.

use std::hint::black_box;

use super::Inventory;
use super::command::{Command, Request};
use super::ids::ReservationId;

impl Inventory {
    /// Makes [`Inventory::apply`] of these requests faster. Whether it is called makes no other difference.
    pub fn look_ahead(&self, requests: &[Request]) {
        let places = requests.iter().map(|request| self.glance_at_places(request));
        black_box(places.fold(0, u64::wrapping_add));
        let rows = requests.iter().map(|request| self.glance_at_rows(&request.command));
        black_box(rows.fold(0, u64::wrapping_add));
    }

    /// The places of the tables in which its texts stand, or will.
    fn glance_at_places(&self, request: &Request) -> u64 {
        let key = request.idempotency_key.as_deref().map_or(0, |key| self.answers.glance(key));
        let Command::Reserve(reserve) = &request.command else {
            return key;
        };
        let cart = self.reservations.indexes().glance_at_cart(&reserve.cart_id);
        let skus = reserve.items.iter().map(|item| {
            self.stocks.glance(&item.sku).wrapping_add(self.reservations.indexes().glance_at_sku(&item.sku))
        });
        skus.fold(key.wrapping_add(cart), u64::wrapping_add)
    }

    /// The rows that it changes.
    fn glance_at_rows(&self, command: &Command) -> u64 {
        match command {
            Command::Reserve(reserve) => {
                let stock = |sku| self.stocks.get(sku).map_or(0, |stock| stock.record().version);
                let last = |sku| self.reservations.indexes().last_of_sku(sku);
                let items = reserve.items.iter().map(|item| stock(&item.sku).wrapping_add(last(&item.sku)));
                items.fold(0, u64::wrapping_add)
            }
            Command::Commit(commit) => self.glance_at_reservation(commit.reservation_id),
            Command::Release(release) => self.glance_at_reservation(release.reservation_id),
            Command::Extend(extend) => self.glance_at_reservation(extend.reservation_id),
            Command::Return(back) => self.glance_at_reservation(back.reservation_id),
            _ => 0,
        }
    }

    fn glance_at_reservation(&self, id: ReservationId) -> u64 {
        let items = self.reservations.stored(id).map(|record| &record.items);
        items.into_iter().flat_map(|items| items.iter()).fold(0, |seen, item| {
            let version = self.stocks.get(&item.sku).map_or(0, |stock| stock.record().version);
            seen.wrapping_add(version)
        })
    }
}
