//! A reader of the feed that knows nothing else, and what it makes of it.
//!
//! Where a deadline has come and the sweep has not, there is no event yet. The reader needs none: due is due, and
//! it knows the deadline.

use std::collections::{BTreeMap, BTreeSet};

use storage::inventory::Inventory;
use storage::inventory::event::{Event, EventChange, EventFilter, EventPosition};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{ReservationView, State, StockView};
use storage::inventory::record::RecordKey;

/// A reader, and all that it knows.
#[derive(Default)]
pub(crate) struct Reader {
    after: Option<EventPosition>,
    /// With the moment of the event that told it.
    stocks: BTreeMap<Sku, (StockView, u64)>,
    reservations: BTreeMap<ReservationId, ReservationView>,
}

impl Reader {
    /// Reads on to the end, `limit` events for each page.
    pub(crate) fn read(&mut self, inventory: &Inventory, limit: usize) {
        let (events, after) = read_all(inventory, self.after, &EventFilter::default(), limit);
        self.after = after;
        events.iter().for_each(|event| self.learn(event));
    }

    /// What it knows is what there is.
    pub(crate) fn compare(&self, inventory: &Inventory) {
        let now_ms = inventory.now_ms();
        assert_eq!(inventory.counts().skus, self.stocks.len());
        for sku in self.stocks.keys() {
            assert_eq!(inventory.stock(sku), Some(self.stock(sku, now_ms)));
        }
        for (key, _) in inventory.records() {
            if let RecordKey::Reservation(id) = key
                && let Some(there) = inventory.reservation(id)
            {
                assert_eq!(there, self.view(&self.reservations[&id], now_ms));
            }
        }
        for (&id, known) in &self.reservations {
            if matches!(self.view(known, now_ms).state, State::Waiting | State::Held) {
                assert!(inventory.reservation(id).is_some(), "{known:?}");
            }
        }
    }

    fn learn(&mut self, event: &Event) {
        match &event.change {
            EventChange::Reservation(change) => {
                let known = self.reservations.insert(change.after.id, change.after.clone());
                assert_eq!(known.map(|known| known.state), change.before, "{event:?}");
            }
            EventChange::Stock(change) => {
                let sku = change.after.as_ref().or(change.before.as_ref()).unwrap().sku.clone();
                let known = self.stocks.remove(&sku).map(|(known, _)| known);
                assert_eq!(known, change.before, "{event:?}");
                if let Some(after) = &change.after {
                    assert!(after.held <= after.on_hand, "{event:?}");
                    assert!(change.before.as_ref().is_none_or(|before| before.version < after.version));
                    self.stocks.insert(sku, (after.clone(), event.now_ms));
                }
            }
        }
    }

    fn stock(&self, sku: &Sku, now_ms: u64) -> StockView {
        let (told, told_ms) = &self.stocks[sku];
        let mut stock = told.clone();
        let mut lapsed = BTreeSet::new();
        for one in self.reservations.values().filter(|one| one.state == State::Held) {
            let deadline_ms = one.grant.unwrap().deadline_ms;
            if (told_ms + 1..=now_ms).contains(&deadline_ms) && units(&one.items, sku) > 0 {
                stock.held -= units(&one.items, sku);
                lapsed.insert(deadline_ms);
            }
        }
        stock.version += lapsed.len() as u64;
        stock
    }

    fn view(&self, known: &ReservationView, now_ms: u64) -> ReservationView {
        let due = known.state == State::Held && known.grant.unwrap().deadline_ms <= now_ms;
        let state = if due { State::Expired } else { known.state };
        ReservationView { state, position: self.position(known), now_ms, ..known.clone() }
    }

    fn position(&self, known: &ReservationView) -> Option<u64> {
        let before = |one: &&ReservationView| {
            one.state == State::Waiting && one.items[0].sku == known.items[0].sku && one.id <= known.id
        };
        let waits = known.state == State::Waiting;
        waits.then(|| self.reservations.values().filter(before).count() as u64)
    }
}

/// All events that fit a filter, read in pages; and where to go on.
pub(crate) fn read_all(
    inventory: &Inventory,
    mut after: Option<EventPosition>,
    filter: &EventFilter,
    limit: usize,
) -> (Vec<Event>, Option<EventPosition>) {
    let mut events = Vec::new();
    loop {
        let page = inventory.events(after, filter, limit).unwrap();
        assert!(page.events.len() <= limit);
        assert!(page.events.first().is_none_or(|first| after < Some(first.position)), "read twice");
        assert!(page.next >= page.events.last().map(|last| last.position), "it would be read again");
        assert!(page.at_end || page.next > after, "the reader stands still");
        after = page.next.or(after);
        events.extend(page.events);
        if page.at_end {
            assert!(events.windows(2).all(|two| two[0].position < two[1].position));
            return (events, after);
        }
    }
}

fn units(items: &[Item], sku: &Sku) -> u64 {
    items.iter().filter(|item| item.sku == *sku).map(|item| item.qty).sum()
}
