//! What a list shows, all pages of it at once.

use storage::inventory::outcome::{ReservationView, StockView};
use storage::inventory::query::ReservationFilter;

use super::{Naive, units};

impl Naive {
    pub(crate) fn list_stocks(&self, prefix: &str) -> Vec<StockView> {
        let named = self.skus.keys().filter(|sku| sku.as_str().starts_with(prefix));
        named.map(|sku| self.stock(sku).unwrap()).collect()
    }

    pub(crate) fn list_reservations(&self, filter: &ReservationFilter) -> Vec<ReservationView> {
        let kept = self.reservations.iter().filter(|one| !self.is_forgotten(one));
        kept.map(|one| self.view(one)).filter(|view| is_wanted(filter, view)).collect()
    }
}

fn is_wanted(filter: &ReservationFilter, view: &ReservationView) -> bool {
    filter.cart_id.as_ref().is_none_or(|cart_id| **cart_id == *view.cart_id)
        && (filter.customer_id.is_none() || filter.customer_id.as_deref() == view.customer_id.as_deref())
        && filter.sku.as_ref().is_none_or(|sku| units(&view.items, sku) > 0)
        && filter.state.is_none_or(|state| state == view.state)
}
