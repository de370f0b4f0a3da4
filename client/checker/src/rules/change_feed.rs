//! The feed by itself: in order, without a gap, and the same on every node.
//!
//! Each event says how its thing was before. So an event that is missing leaves a seam: what the next one begins with
//! is not what the one before it ended with. That the feed tells what the answers tell is the replay's to see.

use std::collections::HashMap;

use client::api::{EventData, InventoryRecord, Item, ReservationEvent, ReservationState, StockEvent};

use super::Findings;
use crate::book::Book;

/// Looks for seams.
pub(crate) fn whole(book: &Book<'_>, found: &mut Findings) {
    for event in &book.unplaced {
        found.look();
        found.accuse(0, &[], || format!("event {:?} has no place or time", event.id));
    }
    places(book, found);
    let mut seen = Seen::default();
    for noted in &book.feed {
        found.look();
        let seam = match &noted.event.data {
            EventData::Stock(change) => seen.stock(change),
            EventData::Reservation(change) => seen.reservation(change),
        };
        if let Some(why) = seam {
            found.accuse(book.at_us(noted.at_ms), &[], || format!("event {}: {why}", noted.event.id));
        }
    }
    on_every_node(book, found);
}

fn places(book: &Book<'_>, found: &mut Findings) {
    let mut last: Option<(u64, u64)> = None;
    for noted in &book.feed {
        let follows = match last {
            Some((sequence, index)) if sequence == noted.sequence => noted.index == index + 1,
            Some((sequence, _)) => sequence < noted.sequence && noted.index == 0,
            None => noted.index == 0,
        };
        if !follows {
            found.accuse(book.at_us(noted.at_ms), &[], || {
                format!("event {} does not follow {last:?}", noted.event.id)
            });
        }
        last = Some((noted.sequence, noted.index));
    }
}

#[derive(Default)]
struct Seen<'b> {
    stocks: HashMap<&'b str, Option<&'b InventoryRecord>>,
    reservations: HashMap<&'b str, (ReservationState, &'b [Item])>,
}

impl<'b> Seen<'b> {
    fn stock(&mut self, change: &'b StockEvent) -> Option<String> {
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let Some(sku) = after.or(before).map(|record| record.sku.as_str()) else {
            return Some("a SKU that is neither before nor after".into());
        };
        let known = self.stocks.insert(sku, after).unwrap_or(None);
        if known.is_none() != before.is_none() {
            return Some(format!("{sku} begins with {before:?}, and the feed ended with {known:?}"));
        }
        let (known, before) = (known?, before?);
        (known != before).then(|| format!("{sku} begins with {before:?}, and the feed ended with {known:?}"))
    }

    fn reservation(&mut self, change: &'b ReservationEvent) -> Option<String> {
        let view = &change.reservation;
        let known = self.reservations.insert(&view.reservation_id, (view.state, &view.items));
        let (id, before) = (&view.reservation_id, change.state_before);
        let items_before = change.items_before.as_deref().unwrap_or(&view.items);
        let state = known.map(|(state, _)| state);
        if state != before {
            return Some(format!("{id} was {before:?}, and the feed says {state:?}"));
        }
        let items = known.map(|(_, items)| items);
        items
            .is_some_and(|items| items != items_before)
            .then(|| format!("{id} begins with other items than it had"))
    }
}

/// Two nodes that tell as many events tell the same ones.
fn on_every_node(book: &Book<'_>, found: &mut Findings) {
    let mut digests: HashMap<u64, (u64, &str)> = HashMap::new();
    for last in &book.history.finals {
        found.look();
        let (events, digest) = (last.feed.events, last.feed.digest.as_str());
        let (node, other) = *digests.entry(events).or_insert((last.node, digest));
        if other != digest {
            found.accuse(last.at_us, &[], || {
                format!("nodes {node} and {} tell {events} events each, and not the same ones", last.node)
            });
        }
    }
}
