//! Pages that end before they are large.
//!
//! A page is bounded in rows, but a reservation has up to a hundred items: a page of a thousand of them would be tens
//! of megabytes, for a call of a few bytes. So a page ends, too, once its reservations have enough items together;
//! its cursor goes on after the last one.

use storage::inventory::event::{Event, EventChange, EventPage};
use storage::inventory::ids::ReservationId;
use storage::inventory::outcome::ReservationView;
use storage::inventory::query::Page;

use super::limits::PAGE_ITEMS_MAX;

/// Ends a page of reservations where it has enough items.
pub(super) fn end_reservations(page: &mut Page<ReservationView, ReservationId>) {
    if cut(&mut page.rows, items) {
        page.next = page.rows.last().map(|row| row.id);
    }
}

/// Ends a page of the feed where it has enough items.
pub(super) fn end_events(page: &mut EventPage) {
    if cut(&mut page.events, items_of_event) {
        page.next = page.events.last().map(|event| event.position);
        page.at_end = false;
    }
}

fn items(view: &ReservationView) -> usize {
    view.items.len() + view.returned.len()
}

fn items_of_event(event: &Event) -> usize {
    match &event.change {
        EventChange::Reservation(change) => {
            items(&change.after) + change.items_before.as_ref().map_or(0, Vec::len)
        }
        EventChange::Stock(_) => 0,
    }
}

/// Leaves out the rows after the one with which there are enough items. Answers whether there were any.
fn cut<T>(rows: &mut Vec<T>, items: impl Fn(&T) -> usize) -> bool {
    let mut so_far = 0;
    let past = rows.iter().position(|row| {
        let enough = so_far >= PAGE_ITEMS_MAX;
        so_far += items(row);
        enough
    });
    if let Some(past) = past {
        rows.truncate(past);
    }
    past.is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storage::inventory::Inventory;
    use storage::inventory::command::{Command, Extend, Reserve};
    use storage::inventory::event::EventPosition;
    use storage::inventory::ids::Item;

    use crate::http::events::Feed;
    use crate::http::store::Store;
    use crate::http::testing::{Fake, ask, get, json_of, put, reserve, router, sku};

    /// More carts of a hundred SKUs than a page has items for.
    fn large_carts(count: usize) -> Arc<Fake> {
        let fake = Fake::of(Inventory::default());
        let names: Vec<String> = (0..100).map(|n| format!("S-{n:03}")).collect();
        for name in &names {
            fake.apply(0, Command::PutSku(put(name, 1_000))).result.unwrap();
        }
        let items: Vec<Item> = names.iter().map(|name| Item { sku: sku(name), qty: 1 }).collect();
        for n in 0..count {
            let cart = Reserve { items: items.clone(), ..reserve(&format!("c-{n}"), "S-000", 1) };
            fake.apply(0, Command::Reserve(cart)).result.unwrap();
        }
        Arc::new(fake)
    }

    #[tokio::test]
    async fn a_page_of_large_carts_is_short_and_goes_on() {
        let fake = large_carts(230);
        let mut cursor = String::new();
        for expected in [100, 100, 30] {
            let path = format!("/api/reservations?limit=1000{cursor}");
            let page = json_of(ask(&router(&fake), get(&path)).await).await;
            assert_eq!(page["data"].as_array().unwrap().len(), expected);
            assert_eq!(page["next_cursor"].is_string(), expected == 100);
            cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap_or_default());
        }
        // An extend changes no stock: these events are all of reservations.
        let all = fake.read_stale(|inventory| inventory.list_reservations(&Default::default(), None, 1000));
        for row in all.value.rows {
            let longer = Extend { reservation_id: row.id, ttl_ms: 600_000 };
            fake.apply(0, Command::Extend(longer)).result.unwrap();
        }
        let mut feed = Feed {
            after: Some(EventPosition { sequence: all.sequence, index: u32::MAX }),
            ..Feed::default()
        };
        for expected in [100, 100, 30, 0] {
            let page = fake.read_stale(|inventory| feed.page(inventory, 1000)).value.unwrap();
            assert_eq!((page.events.len(), page.at_end), (expected, expected < 100));
            feed.after = page.next.or(feed.after);
        }
    }
}
