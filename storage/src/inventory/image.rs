//! The inventory as records: what the checkpoint and the snapshots carry.

use std::sync::Arc;

use super::Inventory;
use super::record::{Change, KeyRef, Record, RecordKey, RecordRef};

impl Inventory {
    /// Shows each record that changed since it was shown last, as it is now, or its key where it is gone. The
    /// counters are among them whenever anything was applied.
    pub fn take_changed(&mut self, mut take: impl FnMut(KeyRef<'_>, Option<RecordRef<'_>>)) {
        if self.taken_sequence != self.counters.sequence {
            self.taken_sequence = self.counters.sequence;
            take(KeyRef::Counters, Some(RecordRef::Counters(&self.counters)));
        }
        self.stocks.take_changed(|sku, record| take(KeyRef::Stock(sku), record.map(RecordRef::Stock)));
        self.take_reservations_and_answers(&mut take);
        self.feed.take_changed(|chunk, events| take(KeyRef::Events(chunk), events.map(RecordRef::Events)));
        self.customers.take_changed(|sku, customer, record| {
            take(KeyRef::Customer(sku, customer), record.map(RecordRef::Customer));
        });
    }

    /// Likewise, but only those that will hardly change again soon: reservations, answers, and chunks of events that
    /// are full. Right after they changed they are at hand; who looks them up later waits for memory.
    pub fn take_settled(&mut self, mut take: impl FnMut(KeyRef<'_>, Option<RecordRef<'_>>)) {
        self.take_reservations_and_answers(&mut take);
        self.feed.take_full(|chunk, events| take(KeyRef::Events(chunk), Some(RecordRef::Events(events))));
    }

    fn take_reservations_and_answers(&mut self, take: &mut impl FnMut(KeyRef<'_>, Option<RecordRef<'_>>)) {
        self.reservations
            .take_changed(|id, record| take(KeyRef::Reservation(id), record.map(RecordRef::Reservation)));
        self.answers.take_changed(|sequence, key, record| {
            take(KeyRef::Answer(sequence, key), record.map(RecordRef::Answer));
        });
    }

    /// What [`take_changed`](Inventory::take_changed) shows, as copies.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.changed());
        self.take_changed(|key, record| changes.push((key.to_key(), record.map(RecordRef::to_record))));
        changes
    }

    /// How many records changed since they were shown last. An answer that was forgotten and given anew may
    /// count twice.
    pub fn changed(&self) -> usize {
        let counters = usize::from(self.taken_sequence != self.counters.sequence);
        let tables = self.stocks.changed() + self.reservations.changed() + self.answers.changed();
        counters + tables + self.customers.changed() + self.feed.changed()
    }

    /// Every record, in the order of the keys.
    pub fn records(&self) -> Box<dyn Iterator<Item = (RecordKey, Record)> + '_> {
        let counters = std::iter::once((RecordKey::Counters, Record::Counters(self.counters)));
        let stocks = self
            .stocks
            .iter()
            .map(|(sku, stock)| (RecordKey::Stock(sku.clone()), Record::Stock(*stock.record())));
        let reservations = self
            .reservations
            .iter()
            .map(|(id, record)| (RecordKey::Reservation(id), Record::Reservation(record.clone())));
        // Sorted when their turn comes.
        let answers = std::iter::once_with(|| self.answers.sorted())
            .flatten()
            .map(|(key, record)| (RecordKey::Answer(record.sequence, key.into()), Record::Answer(record)));
        let customers = self.customers.records().map(|(sku, customer, record)| {
            (RecordKey::Customer(sku.clone(), Arc::clone(customer)), Record::Customer(record))
        });
        let events = self.feed.iter();
        let events = events.map(|(chunk, events)| (RecordKey::Events(chunk), Record::Events(events)));
        Box::new(counters.chain(stocks).chain(reservations).chain(answers).chain(customers).chain(events))
    }
}
