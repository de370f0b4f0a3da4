//! The inventory from its records: what a start does, and a node that gets a snapshot.
//!
//! ```text
//!   SKUs           gathered, and made tables of at once: that takes less time and memory than one by one
//!   reservations   completed item by item as they come; an item whose SKU is not there yet, or that waits, at the end
//!   events         get the names that SKUs and reservations have already
//! ```
//!
//! Records come in any order, and make the same inventory. In the order of the keys, which is that of an image, hardly
//! a look-up is made twice, and no name is kept twice. Both matter: among a million SKUs a look-up is a handful
//! of cache misses, and copies of names that are freed at the end leave gaps that stay resident.

use std::sync::Arc;

use super::customers::Customers;
use super::event::{Event, EventChange, ReservationChange};
use super::ids::{Item, ReservationId, Sku};
use super::outcome::State;
use super::record::{Record, RecordKey, ReservationRecord};
use super::stocks::Stocks;
use super::{Inconsistent, Inventory};

impl Inventory {
    /// Rebuilds an inventory from all its records, in any order, and audits it. No record at all makes a new one.
    pub fn from_records(
        records: impl IntoIterator<Item = (RecordKey, Record)>,
    ) -> Result<Inventory, Inconsistent> {
        let mut loader = Loader::default();
        for (key, record) in records {
            if !loader.add(&key, record) {
                return Err(Inconsistent(format!("{key:?} is there twice, or is a record of another kind")));
            }
        }
        let inventory = loader.finish()?;
        inventory.audit_sums()?;
        Ok(inventory)
    }
}

/// An inventory in the making.
#[derive(Default)]
struct Loader {
    inventory: Inventory,
    counted: bool,
    /// Items that are still to be completed, by their place in their reservation.
    late: Vec<(ReservationId, usize)>,
}

impl Loader {
    /// Takes a record; false where it is one that cannot be.
    fn add(&mut self, key: &RecordKey, record: Record) -> bool {
        let inventory = &mut self.inventory;
        match (key, record) {
            (RecordKey::Counters, Record::Counters(counters)) => {
                inventory.counters = counters;
                !std::mem::replace(&mut self.counted, true)
            }
            (RecordKey::Stock(sku), Record::Stock(record)) => {
                inventory.stocks.gather(sku.clone(), record);
                true
            }
            (RecordKey::Reservation(id), Record::Reservation(record)) => {
                inventory.stocks.load_gathered() && self.add_reservation(*id, record)
            }
            (RecordKey::Answer(sequence, key), Record::Answer(record)) => {
                let Inventory { answers, stocks, reservations, .. } = inventory;
                let is_in_place = *sequence == record.sequence && stocks.load_gathered();
                is_in_place && answers.load(key, record, stocks, reservations)
            }
            (RecordKey::Customer(sku, customer), Record::Customer(record)) => {
                inventory.customers.load(sku.clone(), Arc::clone(customer), record)
            }
            (RecordKey::Events(chunk), Record::Events(mut events)) => {
                events.iter_mut().for_each(|event| inventory.share_names(event));
                let kept = events.into_iter().map(|event| inventory.keep_loaded(event)).collect();
                inventory.feed.load(*chunk, kept)
            }
            (RecordKey::Level, Record::Level(record)) => inventory.level.load(record),
            _ => false,
        }
    }

    fn add_reservation(&mut self, id: ReservationId, mut record: ReservationRecord) -> bool {
        let Inventory { stocks, customers, reservations, .. } = &mut self.inventory;
        for place in 0..record.items.len() {
            // Lines are joined in order.
            let waits = record.state == State::Waiting;
            if waits || !complete(stocks, customers, id, &mut record, place) {
                self.late.push((id, place));
            }
        }
        reservations.load(id, record)
    }

    /// Builds what is not stored, once all records are there: the rest of the lapses, lines, indexes.
    fn finish(self) -> Result<Inventory, Inconsistent> {
        let Loader { mut inventory, mut late, .. } = self;
        if !inventory.stocks.load_gathered() {
            return Err(Inconsistent("a SKU is there twice".to_owned()));
        }
        late.sort_unstable();
        for (id, place) in late {
            inventory.complete_late(id, place)?;
        }
        inventory.taken_sequence = inventory.counters.sequence;
        inventory.feed.loaded();
        inventory.reservations.load_indexes();
        inventory.stocks.load_agenda(inventory.agenda());
        Ok(inventory)
    }
}

/// Completes SKU and customer by an item of a loaded reservation, which gets the SKU's own copy of its name. False, and
/// neither is changed, where the SKU is gone, or gone and made anew.
fn complete(
    stocks: &mut Stocks,
    customers: &mut Customers,
    id: ReservationId,
    record: &mut ReservationRecord,
    place: usize,
) -> bool {
    let (state, deadline_ms) = (record.state, record.deadline_ms());
    let item = &mut record.items[place];
    let current = stocks.load_item(id, state, deadline_ms, item);
    if let (true, State::Held, Some(customer)) = (current, state, &record.customer_id) {
        customers.load_hold(customer, deadline_ms, item);
    }
    current
}

impl Inventory {
    fn complete_late(&mut self, id: ReservationId, place: usize) -> Result<(), Inconsistent> {
        let now_ms = self.now_ms();
        let Inventory { stocks, customers, reservations, .. } = self;
        let Some(record) = reservations.loaded(id) else {
            return Ok(());
        };
        let current = complete(stocks, customers, id, record, place);
        match current || !record.is_live_at(now_ms) {
            true => Ok(()),
            false => Err(Inconsistent(format!("{id}: a SKU of a live one is gone"))),
        }
    }

    /// Makes a loaded event name SKUs and carts by the copies that there are already.
    fn share_names(&self, event: &mut Event) {
        match &mut event.change {
            EventChange::Reservation(change) => {
                if let Some(change) = Arc::get_mut(change) {
                    self.share_names_of_reservation(change);
                }
            }
            EventChange::Stock(change) => {
                let Some(change) = Arc::get_mut(change) else {
                    return;
                };
                let shared = [&change.before, &change.after].into_iter().flatten().next();
                let shared = shared.and_then(|view| self.stocks.get(&view.sku)).map(|stock| stock.sku());
                let views = [&mut change.before, &mut change.after].into_iter().flatten();
                views.for_each(|view| share(&mut view.sku, shared));
            }
        }
    }

    fn share_names_of_reservation(&self, change: &mut ReservationChange) {
        let after = &mut change.after;
        let Some(record) = self.reservations.stored(after.id) else {
            return;
        };
        if after.cart_id == record.cart_id {
            after.cart_id = Arc::clone(&record.cart_id);
        }
        if after.customer_id == record.customer_id {
            after.customer_id.clone_from(&record.customer_id);
        }
        let lists = [Some(&mut after.items), Some(&mut after.returned), change.items_before.as_mut()];
        for Item { sku, .. } in lists.into_iter().flatten().flatten() {
            let shared = record.items.iter().map(|item| &item.sku).find(|own| *own == sku);
            share(sku, shared);
        }
    }
}

/// Replaces a name by another copy of it.
fn share(sku: &mut Sku, shared: Option<&Sku>) {
    if let Some(shared) = shared.filter(|shared| *shared == sku) {
        *sku = shared.clone();
    }
}
