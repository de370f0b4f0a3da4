//! The change feed at its limits: how much of it is kept, and where a reader may go on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; clippy exempts only its #[test] functions"
)]

mod shop;

use shop::{Shop, TTL_MS, adjust, commit, put, reserve, sku};
use storage::inventory::command::{AdjustSku, Command, OnShortfall, PutSku, Request};
use storage::inventory::event::{
    Cause, EventChange, EventFilter, EventKinds, EventPosition, EventsExpired, ReservationChangeKind,
};
use storage::inventory::outcome::State;
use storage::inventory::query::LOOK_AT_MAX;
use storage::inventory::record::{CHUNK_EVENTS, Record};
use storage::inventory::{FEED_DROP_MAX, Inventory, PROMOTE_MAX};

#[test]
fn the_feed_never_keeps_more_than_a_chunk_above_its_most() {
    const MOST: u64 = 1_000;
    const CYCLE: u64 = 3_000;
    let mut shop = Shop::new();
    shop.stamp.events_max = MOST;
    shop.put("PS5", 0);
    for turn in 0..4 * CYCLE {
        match turn % CYCLE {
            0..1_500 => drop(shop.wait(&format!("cart-{turn}"), "PS5", 1)),
            // Each of these two has three times the events that are kept.
            1_500 => drop(shop.adjust("PS5", 1_500)),
            1_501 => drop(shop.ok(Command::PutSku(revoking(put("PS5", 0))))),
            2_999 => shop.put("PS5", 0),
            _ => drop(shop.adjust("PS5", 1)),
        }
        if turn % 97 == 0 || (1_490..1_510).contains(&(turn % CYCLE)) {
            let kept = kept(&shop.inventory);
            assert!(kept < MOST as usize + CHUNK_EVENTS as usize, "{kept} events are kept");
            assert!(kept >= MOST as usize || turn < MOST, "only {kept} events are kept");
        }
    }
    shop.inventory.audit().unwrap();
    let rebuilt = Inventory::from_records(shop.inventory.records()).unwrap();
    assert_eq!(kept(&rebuilt), kept(&shop.inventory));
}

/// More events than one command drops: the next commands do, so that no command takes long.
#[test]
fn what_one_command_cannot_drop_the_next_ones_do() {
    const MOST: u64 = 100;
    let mut shop = Shop::new();
    shop.stamp.events_max = MOST;
    shop.put("PS5", 0);
    (0..PROMOTE_MAX).for_each(|cart| drop(shop.wait(&format!("cart-{cart}"), "PS5", 1)));
    shop.adjust("PS5", PROMOTE_MAX as i64);
    let most_left = 2 * PROMOTE_MAX + MOST as usize + 2 * CHUNK_EVENTS as usize;
    let dropped = FEED_DROP_MAX * CHUNK_EVENTS as usize;
    for commands in 1..4 {
        let kept = kept(&shop.inventory);
        let bound = (MOST + CHUNK_EVENTS) as usize;
        assert!(kept < bound.max(most_left.saturating_sub(commands * dropped)), "{kept} events are kept");
        shop.tick();
    }
}

fn revoking(put: PutSku) -> PutSku {
    PutSku { on_shortfall: OnShortfall::RevokeNewest, ..put }
}

fn kept(inventory: &Inventory) -> usize {
    let of_chunk = |record: Record| match record {
        Record::Events(events) => events.len(),
        _ => 0,
    };
    inventory.records().map(|(_, record)| of_chunk(record)).sum()
}

#[test]
fn what_is_too_old_is_dropped_and_a_reader_is_told() {
    let mut shop = Shop::new();
    shop.put("PS5", 0);
    for delta in 0..200 {
        shop.at(1_000 * delta);
        shop.adjust("PS5", 1);
    }
    let all = EventFilter::default();
    let before = shop.inventory.events(None, &all, 10_000).unwrap();
    shop.stamp.events_ms = 50_000;
    shop.tick();
    // Events 0 to 149 are too old; whole chunks of them go.
    let oldest = before.events[128].position;
    let resume_after = before.events[127].position;
    let too_early = [None, Some(before.events[0].position), Some(before.events[126].position)];
    for after in too_early {
        let page = shop.inventory.events(after, &all, 10);
        let expired = EventsExpired { oldest: Some(oldest), resume_after };
        assert_eq!(page, Err(expired), "after {after:?}");
    }
    for after in [resume_after, EventPosition { index: u32::MAX, ..resume_after }] {
        let page = shop.inventory.events(Some(after), &all, 10).unwrap();
        assert_eq!(page.events, before.events[128..138], "after {after:?}");
    }
}

#[test]
fn a_page_looks_at_so_many_events_and_says_how_far_it_got() {
    const MANY: usize = 25_000;
    let mut shop = Shop::new();
    shop.stamp.events_max = 1_000_000;
    shop.put("OTHER", 0);
    shop.put("PS5", 0);
    (2..MANY).for_each(|_| drop(shop.adjust("PS5", 1)));
    let rare = EventFilter { sku: Some(sku("OTHER")), kinds: None };
    let (mut after, mut pages, mut found) = (None, 0, 0);
    loop {
        let page = shop.inventory.events(after, &rare, 100).unwrap();
        (after, pages, found) = (page.next, pages + 1, found + page.events.len());
        if page.at_end {
            break;
        }
    }
    assert_eq!((pages, found), (MANY.div_ceil(LOOK_AT_MAX), 1));
    assert_eq!(after, shop.inventory.last_event());
}

#[test]
fn a_reader_at_the_end_stays_there_until_something_happens() {
    let mut shop = Shop::new();
    let all = EventFilter::default();
    let nothing = shop.inventory.events(None, &all, 10).unwrap();
    assert!(nothing.events.is_empty() && nothing.at_end && nothing.next.is_none());
    assert_eq!(shop.inventory.last_event(), None);
    shop.put("PS5", 1);
    let page = shop.inventory.events(None, &all, 10).unwrap();
    let end = page.next.unwrap();
    assert_eq!((page.events.len(), Some(end)), (1, shop.inventory.last_event()));
    let page = shop.inventory.events(Some(end), &all, 10).unwrap();
    assert!(page.events.is_empty() && page.at_end);

    // What changes nothing, and what is refused or replayed, is no event.
    let keyed = Request { idempotency_key: Some("k".into()), command: Command::AdjustSku(adjust("PS5", 1)) };
    shop.inventory.apply(&shop.stamp, &keyed);
    let end = shop.inventory.last_event();
    shop.inventory.apply(&shop.stamp, &keyed);
    shop.put("PS5", 2);
    shop.refused(Command::Reserve(reserve("cart", &[("PS5", 9)])));
    shop.tick();
    assert_eq!(shop.inventory.last_event(), end);
}

#[test]
fn what_happens_is_told_in_order_with_its_cause() {
    let mut shop = Shop::new();
    shop.put("A", 2);
    shop.put("B", 2);
    let hold = shop.hold("hold", &[("A", 1), ("B", 1)]);
    shop.wait("waits", "A", 2);
    shop.at(TTL_MS);
    shop.tick();
    let told: Vec<_> = shop.events().iter().map(|event| (event.cause, what(&event.change))).collect();
    let time = Cause::Time;
    let line = Cause::Line;
    let expected = [
        (time, "A v4 held 0 waiting 1".to_owned()),
        (time, "B v3 held 0 waiting 0".to_owned()),
        (time, "hold Expired".to_owned()),
        (line, "A v5 held 2 waiting 0".to_owned()),
        (line, "waits Held".to_owned()),
    ];
    assert_eq!(told, expected);
    assert_eq!(shop.reservation(hold.id).grant.unwrap().fencing_token, 1);
}

#[test]
fn holds_are_revoked_before_the_figure_falls_and_only_that_event_has_the_reason() {
    let mut shop = Shop::new();
    shop.put("A", 3);
    shop.put("B", 3);
    let ids = ["1", "2", "3"].map(|cart| shop.hold(cart, &[("A", 1), ("B", 1)]).id);
    let recount = AdjustSku {
        reason: Some("recount".into()),
        reference: Some("7".into()),
        on_shortfall: OnShortfall::RevokeNewest,
        ..adjust("A", -2)
    };
    shop.ok(Command::AdjustSku(recount));
    let mut told: Vec<_> = shop.events().iter().map(|event| what(&event.change)).collect();
    assert_eq!(told.pop().unwrap(), "A v7 held 1 waiting 0 because recount, 7");
    let expected = [
        "A v5 held 2 waiting 0",
        "B v5 held 2 waiting 0",
        "3 Revoked",
        "A v6 held 1 waiting 0",
        "B v6 held 1 waiting 0",
        "2 Revoked",
    ];
    assert_eq!(told, expected, "the newest first, whole");
    shop.ok(Command::Commit(commit(ids[0])));
}

/// More holds end before its own than a sweep ends: what came due of the SKU is told before it goes.
#[test]
fn a_deleted_sku_goes_as_it_is_and_not_as_it_was_swept() {
    let mut shop = Shop::new();
    shop.put("A", 100);
    shop.put("B", 1);
    (0..100).for_each(|cart| drop(shop.hold(&format!("cart-{cart}"), &[("A", 1)])));
    let late = shop.hold("late", &[("B", 1)]);
    shop.at(TTL_MS);
    shop.ok(shop::delete("B"));
    let events = shop.events();
    let of_b: Vec<_> = events.iter().filter(|event| event.change.names(&sku("B"))).collect();
    let [settled, deleted] = &of_b[..] else { panic!("{of_b:?}") };
    assert_eq!((settled.cause, what(&settled.change)), (Cause::Time, "B v3 held 0 waiting 0".to_owned()));
    let (EventChange::Stock(settled), EventChange::Stock(deleted)) = (&settled.change, &deleted.change)
    else {
        panic!("{of_b:?}")
    };
    assert_eq!((&deleted.before, &deleted.after), (&settled.after, &None));

    // Its hold ends afterwards, and gives nothing to a later SKU of that name.
    shop.put("B", 1);
    shop.tick();
    assert_eq!(shop.reservation(late.id).state, State::Expired);
    // Nor does it get a version again that a reader of the one that is gone may know.
    assert_eq!((shop.stock("B").held, shop.stock("B").version), (0, 4));
    shop.inventory.audit().unwrap();
}

/// An event in few words.
fn what(change: &EventChange) -> String {
    match change {
        EventChange::Reservation(change) => format!("{} {:?}", change.after.cart_id, change.kind),
        EventChange::Stock(change) => {
            let stock = change.after.as_ref().unwrap();
            let figures =
                format!("{} v{} held {} waiting {}", stock.sku, stock.version, stock.held, stock.waiting);
            match (&change.reason, &change.reference) {
                (Some(reason), Some(reference)) => format!("{figures} because {reason}, {reference}"),
                _ => figures,
            }
        }
    }
}

#[test]
fn a_filter_lets_through_what_it_names() {
    let mut shop = Shop::new();
    shop.put("A", 3);
    shop.put("B", 3);
    let hold = shop.hold("both", &[("A", 1), ("B", 1)]);
    shop.hold("one", &[("B", 1)]);
    shop.ok(Command::Commit(commit(hold.id)));
    let kinds = |reservations: &[ReservationChangeKind]| {
        Some(EventKinds { reservations: reservations.to_vec(), stock: vec![] })
    };
    let held = kinds(&[ReservationChangeKind::Held]);
    let cases = [
        (None, None, 10),
        (Some("A"), None, 5),
        (Some("B"), None, 7),
        (Some("C"), None, 0),
        (None, held.clone(), 2),
        (Some("A"), held, 1),
        (None, kinds(&[]), 0),
    ];
    for (name, kinds, count) in cases {
        let filter = EventFilter { sku: name.map(sku), kinds };
        let page = shop.inventory.events(None, &filter, 100).unwrap();
        assert_eq!(page.events.len(), count, "{filter:?}");
    }
}
