//! The inventory as records: what the checkpoint and the snapshots carry.

use std::sync::Arc;

use super::Inventory;
use super::record::{Change, Record, RecordKey};

impl Inventory {
    /// The records that changed since the last call, each once, as they are now. The counters are among them
    /// whenever anything was applied.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.changed());
        if self.taken_sequence != self.counters.sequence {
            self.taken_sequence = self.counters.sequence;
            changes.push((RecordKey::Counters, Some(Record::Counters(self.counters))));
        }
        for sku in self.stocks.take_changed() {
            let record = self.stocks.get(&sku).map(|stock| Record::Stock(*stock.record()));
            changes.push((RecordKey::Stock(sku), record));
        }
        for id in self.reservations.take_changed() {
            let record = self.reservations.stored(id).cloned().map(Record::Reservation);
            changes.push((RecordKey::Reservation(id), record));
        }
        for (sequence, key) in self.answers.take_changed() {
            let record = self.answers.stored(&key).filter(|record| record.sequence == sequence);
            let record = record.cloned().map(Record::Answer);
            changes.push((RecordKey::Answer(sequence, Box::from(&*key)), record));
        }
        for chunk in self.feed.take_changed() {
            let record = self.feed.stored(chunk).map(|events| Record::Events(events.to_vec()));
            changes.push((RecordKey::Events(chunk), record));
        }
        for (sku, customer) in self.customers.take_changed() {
            let record = self.customers.stored(&sku, &customer).map(Record::Customer);
            changes.push((RecordKey::Customer(sku, customer), record));
        }
        changes
    }

    /// How many records changed since then. An answer that was forgotten and given anew may count twice.
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
        let answers = std::iter::once_with(|| self.answers.sorted()).flatten().map(|(key, record)| {
            (RecordKey::Answer(record.sequence, key.into()), Record::Answer(record.clone()))
        });
        let customers = self.customers.records().map(|(sku, customer, record)| {
            (RecordKey::Customer(sku.clone(), Arc::clone(customer)), Record::Customer(record))
        });
        let events = self.feed.iter();
        let events =
            events.map(|(chunk, events)| (RecordKey::Events(chunk), Record::Events(events.to_vec())));
        Box::new(counters.chain(stocks).chain(reservations).chain(answers).chain(customers).chain(events))
    }
}
