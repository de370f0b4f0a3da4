//! Reads. They look at the state as it is at the last applied time, due holds counted as ended, and change nothing.

use super::digest;
use super::ids::{ReservationId, Sku};
use super::outcome::{ReservationView, State, StockView};
use super::record::ReservationRecord;
use super::stock::Stock;
use super::{Counts, Ends, Inventory, Units};

/// Rows of a list that are looked at, at most, for one page: a page may come back short, or empty, and still have
/// a next one.
pub const LOOK_AT_MAX: usize = 10_000;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page goes on (after this); `None` at the end.
    pub next: Option<C>,
}

/// Which reservations are wanted: those that fit every part given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReservationFilter {
    /// Of this cart.
    pub cart_id: Option<Box<str>>,
    /// Of this customer.
    pub customer_id: Option<Box<str>>,
    /// With an item of this SKU.
    pub sku: Option<Sku>,
    /// In this state (a due hold is expired).
    pub state: Option<State>,
}

impl Inventory {
    /// SKUs whose name starts with `prefix`, in order of name, after `after`. Looks at [`LOOK_AT_MAX`] for a page.
    pub fn list_stocks(&self, prefix: &str, after: Option<&Sku>, limit: usize) -> Page<StockView, Sku> {
        let stocks = self.stocks.following(prefix, after);
        let view = |stock: &Stock| Some(stock.view(self.now_ms()));
        page_of(stocks.map(|stock| (stock.sku().clone(), stock)), limit, view)
    }

    /// Reservations that fit a filter, in order of their making, after `after`. By cart, customer or SKU an index
    /// is walked; otherwise all of them are. Looks at [`LOOK_AT_MAX`] for a page.
    pub fn list_reservations(
        &self,
        filter: &ReservationFilter,
        after: Option<ReservationId>,
        limit: usize,
    ) -> Page<ReservationView, ReservationId> {
        let now_ms = self.now_ms();
        let view = |id| {
            let record = self.reservations.find(id, now_ms)?;
            filter.wants(record, now_ms).then(|| self.view_of(id, record))
        };
        page_of(self.candidates(filter, after).map(|id| (id, id)), limit, view)
    }

    /// Reservations after `after` that may fit a filter, by its part that most often leaves the fewest.
    fn candidates<'a>(
        &'a self,
        filter: &ReservationFilter,
        after: Option<ReservationId>,
    ) -> Box<dyn Iterator<Item = ReservationId> + 'a> {
        let all = &self.reservations;
        match filter {
            ReservationFilter { cart_id: Some(cart_id), .. } => Box::new(all.of_cart(cart_id, after)),
            ReservationFilter { customer_id: Some(customer_id), .. } => {
                Box::new(all.of_customer(customer_id, after))
            }
            ReservationFilter { sku: Some(sku), .. } => Box::new(all.of_sku(sku, after)),
            ReservationFilter { state: _, .. } => Box::new(all.following(after)),
        }
    }

    /// The cluster clock at the last command, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.counters.now_ms
    }

    /// The sequence number of the last command applied.
    pub fn sequence(&self) -> u64 {
        self.counters.sequence
    }

    /// The digest of the whole state.
    pub fn state_digest(&self) -> u64 {
        digest::state(&self.counters)
    }

    /// The earliest moment at which a tick would have something to do (a hold to end, a reservation or an
    /// answer to forget, a line to serve on), if there is one.
    pub fn next_due_ms(&self) -> Option<u64> {
        let backlog_ms = self.stocks.agenda().is_behind(self.now_ms()).then_some(self.now_ms());
        let indexes = self.reservations.indexes();
        let deadline_ms = indexes.next_deadline().map(|(deadline_ms, _)| deadline_ms);
        let forget_ms = indexes.next_forget().map(|(forget_ms, _)| forget_ms);
        [backlog_ms, deadline_ms, forget_ms, self.answers.next_forget_ms()].into_iter().flatten().min()
    }

    /// The earliest deadline of a hold that no command has ended yet, if there is one.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.reservations.next_deadline().map(|(deadline_ms, _)| deadline_ms)
    }

    /// A SKU's figures now.
    pub fn stock(&self, sku: &Sku) -> Option<StockView> {
        self.stocks.get(sku).map(|stock| stock.view(self.now_ms()))
    }

    /// A reservation as it is now.
    pub fn reservation(&self, id: ReservationId) -> Option<ReservationView> {
        self.reservations.find(id, self.now_ms()).map(|record| self.view_of(id, record))
    }

    /// The units of all SKUs. Of holds that are due, those count as held that no command has looked at yet.
    pub fn units(&self) -> Units {
        self.stocks.units()
    }

    /// How holds ended here since this inventory was made or loaded: for metrics.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// How many live holds, SKUs, and kept answers there are: for metrics.
    pub fn counts(&self) -> Counts {
        Counts {
            skus: self.stocks.len(),
            reservations: self.reservations.len(),
            holds: self.reservations.indexes().holds(),
            waiting: self.stocks.waiting(),
            answers: self.answers.len(),
        }
    }
}

impl ReservationFilter {
    fn wants(&self, record: &ReservationRecord, now_ms: u64) -> bool {
        self.cart_id.as_ref().is_none_or(|cart_id| **cart_id == *record.cart_id)
            && (self.customer_id.is_none() || self.customer_id.as_deref() == record.customer_id.as_deref())
            && self.sku.as_ref().is_none_or(|sku| record.items.iter().any(|item| item.sku == *sku))
            && self.state.is_none_or(|state| record.state_at(now_ms) == state)
    }
}

/// A page of what is looked at, in its order: that of which there is a row.
fn page_of<K, C, T>(
    candidates: impl Iterator<Item = (C, K)>,
    limit: usize,
    row: impl Fn(K) -> Option<T>,
) -> Page<T, C> {
    let (mut rows, mut last) = (Vec::new(), None);
    for (looked_at, (place, candidate)) in candidates.enumerate() {
        if rows.len() >= limit || looked_at >= LOOK_AT_MAX {
            return Page { rows, next: last };
        }
        rows.extend(row(candidate));
        last = Some(place);
    }
    Page { rows, next: None }
}
