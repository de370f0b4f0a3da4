//! That every field counts, and that digests stay as they are.

use std::sync::Arc;

use super::*;
use crate::inventory::event::{Cause, EventPosition, ReservationChange, ReservationChangeKind, StockChange};
use crate::inventory::stock::Stock;

const STOCK: StockRecord = StockRecord {
    on_hand: 6,
    held: 5,
    sold: 4,
    safety_stock: 3,
    max_per_customer: None,
    created_sequence: 7,
    version: 2,
    settled_ms: 1,
};

#[test]
fn every_figure_of_a_sku_counts() {
    let changes: [fn(&mut StockRecord); 9] = [
        |stock| stock.on_hand += 1,
        |stock| stock.held += 1,
        |stock| stock.sold += 1,
        |stock| stock.safety_stock += 1,
        |stock| stock.max_per_customer = Some(0),
        |stock| stock.max_per_customer = Some(1),
        |stock| stock.created_sequence += 1,
        |stock| stock.version += 1,
        |stock| stock.settled_ms += 1,
    ];
    let sku = Sku::new("A").unwrap();
    for (field, change) in changes.into_iter().enumerate() {
        let mut changed = STOCK;
        change(&mut changed);
        assert_ne!(stock(&sku, &changed), stock(&sku, &STOCK), "field {field}");
    }
    assert_ne!(stock(&Sku::new("B").unwrap(), &STOCK), stock(&sku, &STOCK));
}

#[test]
fn every_field_of_a_reservation_counts() {
    let changes: [fn(&mut ReservationRecord); 16] = [
        |record| record.state = State::Expired,
        |record| record.cart_id = "other".into(),
        |record| record.customer_id = Some("".into()),
        |record| record.items[0].qty += 1,
        |record| record.items[0].returned += 1,
        |record| record.items[0].sku = Sku::new("B").unwrap(),
        |record| record.grant = None,
        |record| record.grant = record.grant.map(|grant| Grant { fencing_token: 1, ..grant }),
        |record| record.grant = record.grant.map(|grant| Grant { granted_ms: 1, ..grant }),
        |record| record.grant = record.grant.map(|grant| Grant { deadline_ms: 1, ..grant }),
        |record| record.created_ms += 1,
        |record| record.ttl_ms += 1,
        |record| record.ended_ms = Some(Box::new(0)),
        |record| record.forget_ms += 1,
        |record| record.payment_token = Some(Box::new("".into())),
        |record| record.extensions += 1,
    ];
    let id = ReservationId { sequence: 1, nonce: 2 };
    for (field, change) in changes.into_iter().enumerate() {
        let mut changed = held();
        change(&mut changed);
        assert_ne!(reservation(id, &changed), reservation(id, &held()), "field {field}");
    }
}

/// Replicas of different versions compare digests, so that a change here is a change of the protocol.
#[test]
fn digests_are_the_same_for_ever() {
    let id = ReservationId { sequence: 1, nonce: 2 };
    let customer = customer(&Sku::new("A").unwrap(), "ann", CustomerRecord { sold: 3 });
    let told = [event(64, &told_of_stock()), event(64, &told_of_reservation())];
    let digests = [
        stock(&Sku::new("A").unwrap(), &STOCK),
        reservation(id, &held()),
        state(&Counters {
            now_ms: 1,
            sequence: 2,
            fencing_token: 3,
            events: 5,
            events_gone: None,
            deleted_version: 6,
            records_digest: 4,
        }),
        customer,
        told[0],
        told[1],
    ];
    assert_eq!(
        digests,
        [
            0xe06c_f084_0e59_2886,
            0xc6e6_6058_0a80_a85a,
            0x21e6_ebf0_e4a3_6d83,
            0xf074_5ad2_afe5_7c1e,
            0xf3de_4dc8_1028_3b8f,
            0xd201_7b9a_da76_be73
        ],
        "{digests:#018x?}"
    );
}

fn held() -> ReservationRecord {
    let item = crate::inventory::record::ReservedItem { sku: Sku::new("A").unwrap(), qty: 2, returned: 1 };
    ReservationRecord {
        state: State::Held,
        cart_id: "cart".into(),
        customer_id: None,
        items: [item].into(),
        created_ms: 8,
        ttl_ms: 5,
        grant: Some(Grant { fencing_token: 9, granted_ms: 8, deadline_ms: 7 }),
        ended_ms: None,
        forget_ms: 6,
        payment_token: None,
        extensions: 0,
    }
}

#[test]
fn every_field_of_an_event_counts() {
    let changes: [fn(&mut Event); 10] = [
        |event| event.position.sequence += 1,
        |event| event.position.index += 1,
        |event| event.now_ms += 1,
        |event| event.cause = Cause::Line,
        |event| event.change = told_of_reservation().change,
        |event| stock_of(event).before = None,
        |event| stock_of(event).after = None,
        |event| stock_of(event).after.as_mut().unwrap().waiting += 1,
        |event| stock_of(event).reason = Some("why".into()),
        |event| stock_of(event).reference = Some("why".into()),
    ];
    assert_counts(&told_of_stock(), &changes);
    let changes: [fn(&mut Event); 5] = [
        |event| reservation_of(event).kind = ReservationChangeKind::Reduced,
        |event| reservation_of(event).before = None,
        |event| reservation_of(event).items_before = Some(Vec::new()),
        |event| reservation_of(event).after.position = Some(1),
        |event| reservation_of(event).after.now_ms += 1,
    ];
    assert_counts(&told_of_reservation(), &changes);
    assert_ne!(event(1, &told_of_stock()), event(2, &told_of_stock()), "the ordinal");
}

fn assert_counts(told: &Event, changes: &[fn(&mut Event)]) {
    for (field, change) in changes.iter().enumerate() {
        let mut changed = told.clone();
        change(&mut changed);
        assert_ne!(event(1, &changed), event(1, told), "field {field}");
    }
}

fn stock_of(event: &mut Event) -> &mut StockChange {
    match &mut event.change {
        EventChange::Stock(change) => Arc::make_mut(change),
        EventChange::Reservation(_) => panic!("not of stock"),
    }
}

fn reservation_of(event: &mut Event) -> &mut ReservationChange {
    match &mut event.change {
        EventChange::Reservation(change) => Arc::make_mut(change),
        EventChange::Stock(_) => panic!("not of a reservation"),
    }
}

fn told_of_stock() -> Event {
    let stock = Stock::new(Sku::new("A").unwrap(), STOCK);
    let change =
        StockChange { before: Some(stock.view(0)), after: Some(stock.view(9)), ..StockChange::default() };
    told(EventChange::Stock(change.into()))
}

fn told_of_reservation() -> Event {
    let after = held().view(ReservationId { sequence: 1, nonce: 2 }, 5, None);
    let change = ReservationChange {
        kind: ReservationChangeKind::Held,
        before: Some(State::Waiting),
        items_before: None,
        after,
    };
    told(EventChange::Reservation(change.into()))
}

fn told(change: EventChange) -> Event {
    Event { position: EventPosition { sequence: 7, index: 8 }, now_ms: 9, cause: Cause::Reserve, change }
}
