//! The inventory as records: what the checkpoint and the snapshots carry.

use std::sync::Arc;

use super::Inventory;
use super::feed::Chunks;
use super::record::{KeyRef, Record, RecordKey, RecordRef};

impl Inventory {
    /// Shows each record that changed since it was shown last, as it is now, or its key where it is gone. The
    /// counters are among them whenever anything was applied.
    pub fn take_changed(&mut self, take: impl FnMut(KeyRef<'_>, Option<RecordRef<'_>>)) {
        self.take_some(usize::MAX, take);
    }

    /// Likewise, but no more of them than about so many, a chunk of events for as many as it has. Whether they were all
    /// that were left. Many short calls, between which commands are applied, come to what one long one would: the call
    /// after the last command must be one that shows all.
    pub fn take_some(
        &mut self,
        records_max: usize,
        mut take: impl FnMut(KeyRef<'_>, Option<RecordRef<'_>>),
    ) -> bool {
        let mut left = records_max;
        if self.taken_sequence != self.counters.sequence {
            self.taken_sequence = self.counters.sequence;
            take(KeyRef::Counters, Some(RecordRef::Counters(&self.counters)));
        }
        if let Some(record) = self.level.take_changed() {
            take(KeyRef::Level, Some(RecordRef::Level(record)));
        }
        self.take_reservations_and_answers(&mut left, &mut take);
        self.stocks.take_changed(&mut left, |sku, record| {
            take(KeyRef::Stock(sku), record.map(RecordRef::Stock));
        });
        self.customers.take_changed(&mut left, |sku, customer, record| {
            take(KeyRef::Customer(sku, customer), record.map(RecordRef::Customer));
        });
        self.take_chunks(Chunks::All, &mut left, &mut take);
        self.changed() == 0
    }

    /// Likewise, but only those that will hardly change again soon: reservations, answers, and chunks of events that
    /// are full. Right after they changed they are at hand; who looks them up later waits for memory.
    pub fn take_settled(
        &mut self,
        records_max: usize,
        mut take: impl FnMut(KeyRef<'_>, Option<RecordRef<'_>>),
    ) {
        let mut left = records_max;
        self.take_reservations_and_answers(&mut left, &mut take);
        self.take_chunks(Chunks::Full, &mut left, &mut take);
    }

    fn take_reservations_and_answers(
        &mut self,
        left: &mut usize,
        take: &mut impl FnMut(KeyRef<'_>, Option<RecordRef<'_>>),
    ) {
        self.reservations.take_changed(left, |id, record| {
            take(KeyRef::Reservation(id), record.map(RecordRef::Reservation))
        });
        self.answers.take_changed(left, |sequence, key, record| {
            take(KeyRef::Answer(sequence, key), record.map(RecordRef::Answer));
        });
    }

    fn take_chunks(
        &mut self,
        which: Chunks,
        left: &mut usize,
        take: &mut impl FnMut(KeyRef<'_>, Option<RecordRef<'_>>),
    ) {
        self.feed.take_changed(which, left, |chunk, events| {
            take(KeyRef::Events(chunk), events.map(RecordRef::Events));
        });
    }

    /// How many records changed since they were shown last. An answer that was forgotten and given anew may
    /// count twice.
    pub fn changed(&self) -> usize {
        let counters = usize::from(self.taken_sequence != self.counters.sequence);
        let level = usize::from(self.level.is_changed());
        let tables = self.stocks.changed() + self.reservations.changed() + self.answers.changed();
        counters + level + tables + self.customers.changed() + self.feed.changed()
    }

    /// What all of them would count for in [`take_some`](Inventory::take_some): a chunk of events as many as it may
    /// have.
    pub fn to_take(&self) -> usize {
        self.changed() - self.feed.changed() + self.feed.to_take()
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
        let answers = self
            .answers
            .iter()
            .map(|(key, record)| (RecordKey::Answer(record.sequence, key.into()), Record::Answer(record)));
        let customers = self.customers.records().map(|(sku, customer, record)| {
            (RecordKey::Customer(sku.clone(), Arc::clone(customer)), Record::Customer(record))
        });
        let events = self.feed.iter();
        let events = events.map(|(chunk, events)| (RecordKey::Events(chunk), Record::Events(events)));
        let level = self.level.record().map(|record| (RecordKey::Level, Record::Level(record)));
        let kept = counters.chain(stocks).chain(reservations).chain(answers);
        Box::new(kept.chain(customers).chain(events).chain(level))
    }
}
