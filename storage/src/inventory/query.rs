//! Reads. They look at the state as it is at the last applied time, due holds counted as ended, and change nothing.

use super::digest;
use super::ids::{ReservationId, Sku};
use super::outcome::{ReservationView, StockView};
use super::{Counts, Inventory};

impl Inventory {
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
    /// answer to forget), if there is one.
    pub fn next_due_ms(&self) -> Option<u64> {
        let indexes = self.reservations.indexes();
        let deadline_ms = indexes.next_deadline().map(|(deadline_ms, _)| deadline_ms);
        let forget_ms = indexes.next_forget().map(|(forget_ms, _)| forget_ms);
        [deadline_ms, forget_ms, self.answers.next_forget_ms()].into_iter().flatten().min()
    }

    /// A SKU's figures now.
    pub fn stock(&self, sku: &Sku) -> Option<StockView> {
        self.stocks.get(sku).map(|stock| stock.view(sku, self.now_ms()))
    }

    /// A reservation as it is now.
    pub fn reservation(&self, id: ReservationId) -> Option<ReservationView> {
        self.reservations.find(id, self.now_ms()).map(|record| record.view(id, self.now_ms()))
    }

    /// How many live holds, SKUs, and kept answers there are: for metrics.
    pub fn counts(&self) -> Counts {
        Counts {
            skus: self.stocks.len(),
            reservations: self.reservations.len(),
            holds: self.reservations.indexes().holds(),
            answers: self.answers.len(),
        }
    }
}
