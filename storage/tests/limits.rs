//! What the inventory does at its limits: a million holds that end together, commands that no node lets through,
//! and records that are damaged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; clippy exempts only its #[test] functions"
)]

use storage::inventory::command::{
    AdjustSku, Command, Commit, Extend, IfExpired, PutSku, Release, Request, Reserve, Return, Stamp,
};
use storage::inventory::ids::{CLOCK_MS_MAX, ITEMS_MAX, Item, ReservationId, Sku, UNITS_MAX};
use storage::inventory::outcome::{Applied, Outcome, Rejection, ReservationView, State};
use storage::inventory::record::{Record, RecordKey, ReservationRecord, StockRecord};
use storage::inventory::{Inventory, SWEEP_MAX, SWEEP_TICK_MAX};

const START_MS: u64 = 1_700_000_000_000;
const TTL_MS: u64 = 300_000;

#[test]
fn a_million_holds_that_end_together_do_not_stall_the_next_command() {
    const HOLDS: usize = 1_000_000;
    let mut inventory = Inventory::default();
    apply(&mut inventory, START_MS, put("PS5", HOLDS as u64));
    for cart in 0..HOLDS {
        let applied =
            apply(&mut inventory, START_MS, reserve(&format!("cart-{cart}"), &[("PS5", 1)], TTL_MS));
        assert!(applied.result.is_ok());
    }
    drop(inventory.take_changes());
    let version = inventory.stock(&sku("PS5")).unwrap().version;

    let last = reserve("last", &[("PS5", HOLDS as u64)], TTL_MS);
    assert!(apply(&mut inventory, START_MS + TTL_MS, last).result.is_ok(), "all units are back at once");

    // One step gave all units back and one took them; the sweep ended its share; nothing else was touched.
    let stock = inventory.stock(&sku("PS5")).unwrap();
    assert_eq!((stock.held, stock.version), (HOLDS as u64, version + 2));
    assert_eq!(inventory.counts().holds, HOLDS - SWEEP_MAX + 1);
    assert_eq!(inventory.changed(), SWEEP_MAX + 3, "counters, SKU, the new hold and those swept");

    apply(&mut inventory, START_MS + TTL_MS, Command::Tick);
    assert_eq!(inventory.counts().holds, HOLDS - SWEEP_MAX - SWEEP_TICK_MAX + 1);
    inventory.audit().unwrap();
}

#[test]
fn no_command_is_too_hostile() {
    for stamp in hostile_stamps() {
        let mut inventory = Inventory::default();
        apply(&mut inventory, START_MS, put("A", UNITS_MAX));
        apply(&mut inventory, START_MS, put("B", 3));
        apply(&mut inventory, START_MS, reserve("cart", &[("A", UNITS_MAX), ("B", 1)], TTL_MS));
        for (turn, command) in hostile_commands(inventory.sequence()).into_iter().enumerate() {
            let key = (turn % 2 == 0).then(|| "k".repeat(turn).into_boxed_str());
            let request = Request { idempotency_key: key, command };
            inventory.sure_rejection(&request);
            inventory.apply(&stamp, &request);
            inventory.audit().unwrap_or_else(|why| panic!("{why:?} after {request:?} at {stamp:?}"));
            inventory = Inventory::from_records(inventory.records()).unwrap();
        }
    }
}

fn hostile_stamps() -> Vec<Stamp> {
    let clocks = [0, 1, START_MS, START_MS + TTL_MS, CLOCK_MS_MAX, u64::MAX];
    let spans = [0, 1, TTL_MS, u64::MAX];
    let stamp = |now_ms, span| Stamp {
        now_ms,
        retention_ms: span,
        idempotency_ms: span,
        max_hold_ms: span,
        events_max: 1_000,
        events_ms: 86_400_000,
    };
    clocks.into_iter().flat_map(|now_ms| spans.map(|span| stamp(now_ms, span))).collect()
}

fn hostile_commands(sequence: u64) -> Vec<Command> {
    let mut commands = vec![Command::Tick];
    for ttl_ms in [0, 1, TTL_MS, u64::MAX] {
        commands.push(reserve("", &[("B", 1)], ttl_ms));
        commands.push(reserve("cart", &[("B", 1)], ttl_ms));
    }
    for qty in [0, 1, UNITS_MAX, UNITS_MAX + 1, u64::MAX] {
        commands.push(reserve("one", &[("A", qty)], TTL_MS));
        commands.push(reserve("two", &[("A", qty), ("A", qty)], TTL_MS));
        commands.push(reserve("back", &[("B", qty), ("A", qty)], TTL_MS));
        commands.push(reserve("far", &[("Z", qty)], TTL_MS));
        commands.push(put("A", qty));
        commands.push(put("new", qty));
        commands.push(Command::PutSku(PutSku {
            sku: sku("B"),
            on_hand: 9,
            safety_stock: Some(qty),
            max_per_customer: Default::default(),
            on_shortfall: Default::default(),
            precondition: Default::default(),
        }));
    }
    for delta in [0, 1, -1, i64::MAX, i64::MIN] {
        for name in ["A", "B", "Z"] {
            let adjust = AdjustSku {
                sku: sku(name),
                delta,
                reason: None,
                reference: None,
                on_shortfall: Default::default(),
                precondition: Default::default(),
            };
            commands.push(Command::AdjustSku(adjust));
        }
    }
    let names: Vec<String> = (0..=ITEMS_MAX).map(|index| format!("S{index:03}")).collect();
    let many: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    commands.push(reserve("many", &many, TTL_MS));
    commands.push(reserve("none", &[], TTL_MS));
    let ids = [(0, 0), (sequence, 7), (sequence, 8), (u64::MAX, u64::MAX)];
    for (sequence, nonce) in ids {
        commands.extend(commands_naming(ReservationId { sequence, nonce }));
    }
    commands
}

fn commands_naming(reservation_id: ReservationId) -> Vec<Command> {
    let commit = |fencing_token, if_expired| {
        Command::Commit(Commit {
            reservation_id,
            payment_token: Some("".into()),
            fencing_token,
            if_expired,
            items: None,
        })
    };
    vec![
        Command::Return(Return { reservation_id, items: None }),
        Command::Extend(Extend { reservation_id, ttl_ms: 0 }),
        Command::Extend(Extend { reservation_id, ttl_ms: u64::MAX }),
        commit(Some(u64::MAX), IfExpired::Reacquire),
        commit(None, IfExpired::Fail),
        commit(None, IfExpired::Reacquire),
        Command::Release(Release { reservation_id, items: None }),
        Command::Return(Return { reservation_id, items: None }),
        Command::Return(Return { reservation_id, items: None }),
    ]
}

#[test]
fn a_hold_is_never_longer_than_max_hold_nor_shorter_than_a_millisecond() {
    let cases = [(1, 1), (TTL_MS, TTL_MS), (u64::MAX, 1_800_000)];
    for (ttl_ms, granted_ms) in cases {
        let mut inventory = Inventory::default();
        apply(&mut inventory, START_MS, put("A", 1));
        let hold = reserved(apply(&mut inventory, START_MS, reserve("cart", &[("A", 1)], ttl_ms)));
        assert_eq!(hold.grant.unwrap().deadline_ms, START_MS + granted_ms, "ttl {ttl_ms}");
    }
}

#[test]
fn an_extend_that_changes_nothing_passes_a_limit_that_was_lowered() {
    let mut inventory = Inventory::default();
    apply(&mut inventory, START_MS, put("A", 1));
    let hold = reserved(apply(&mut inventory, START_MS, reserve("cart", &[("A", 1)], TTL_MS)));
    let lowered = Stamp { max_hold_ms: 10, ..stamp(START_MS) };
    for (ttl_ms, passes) in [(TTL_MS, true), (1, true), (TTL_MS + 1, false)] {
        let command = Command::Extend(Extend { reservation_id: hold.id, ttl_ms });
        let applied = inventory.apply(&lowered, &Request { idempotency_key: None, command });
        assert_eq!(applied.result.is_ok(), passes, "ttl {ttl_ms}");
    }
}

#[test]
fn a_sale_that_would_pass_the_bound_of_sold_is_refused() {
    let mut inventory = Inventory::default();
    for _ in 0..2 {
        apply(&mut inventory, START_MS, put("A", UNITS_MAX));
        let hold = reserved(apply(&mut inventory, START_MS, reserve("cart", &[("A", UNITS_MAX)], TTL_MS)));
        let commit = Commit {
            reservation_id: hold.id,
            payment_token: None,
            fencing_token: None,
            if_expired: IfExpired::Fail,
            items: None,
        };
        let applied = apply(&mut inventory, START_MS, Command::Commit(commit));
        let first = hold.grant.unwrap().fencing_token == 1;
        assert_eq!(applied.result.err(), (!first).then_some(Rejection::StockAboveMax));
    }
    inventory.audit().unwrap();
}

#[test]
fn damaged_records_are_refused() {
    type Damage = fn(&mut Vec<(RecordKey, Record)>);
    let damages: [(&str, Damage); 14] = [
        ("a record lost", |records| drop(records.pop())),
        ("no counters", |records| drop(records.remove(0))),
        ("counters twice", |records| records.push(records[0].clone())),
        ("a SKU twice", |records| records.push(records[1].clone())),
        ("a record under another kind of key", |records| records[1].0 = RecordKey::Answer("a".into())),
        ("a SKU lost", |records| drop(records.remove(1))),
        ("held", |records| stock(records).held += 1),
        ("held above on_hand", |records| stock(records).on_hand = 0),
        ("sold", |records| stock(records).sold -= 1),
        ("a version", |records| stock(records).version += 1),
        ("settled past a live deadline", |records| stock(records).settled_ms = START_MS + TTL_MS),
        ("a quantity past all bounds", |records| {
            std::sync::Arc::make_mut(&mut hold(records).items)[0].qty = u64::MAX
        }),
        ("a fencing token twice", |records| hold(records).grant.as_mut().unwrap().fencing_token = 1),
        ("a cart with two holds", |records| hold(records).cart_id = "live-2".into()),
    ];
    assert!(Inventory::from_records(sample()).is_ok());
    for (what, damage) in damages {
        let mut records = sample();
        damage(&mut records);
        assert!(Inventory::from_records(records).is_err(), "{what}");
    }
}

#[test]
fn records_come_in_any_order() {
    let records: Vec<_> = sample().into_iter().rev().collect();
    let inventory = Inventory::from_records(records).unwrap();
    assert_eq!(inventory.records().collect::<Vec<_>>(), sample());
    assert_eq!(inventory.changed(), 0);
    assert!(Inventory::from_records([]).unwrap().records().eq(Inventory::default().records()));
}

/// Counters, one SKU, one committed reservation, two live holds, a kept answer.
fn sample() -> Vec<(RecordKey, Record)> {
    let mut inventory = Inventory::default();
    apply(&mut inventory, START_MS, put("A", 9));
    let sold = reserved(apply(&mut inventory, START_MS, reserve("sold", &[("A", 2)], TTL_MS)));
    let commit = Commit {
        reservation_id: sold.id,
        payment_token: None,
        fencing_token: None,
        if_expired: IfExpired::Fail,
        items: None,
    };
    apply(&mut inventory, START_MS, Command::Commit(commit));
    apply(&mut inventory, START_MS, reserve("live-1", &[("A", 1)], TTL_MS));
    let request =
        Request { idempotency_key: Some("key".into()), command: reserve("live-2", &[("A", 1)], TTL_MS) };
    inventory.apply(&stamp(START_MS), &request);
    inventory.records().collect()
}

fn stock(records: &mut [(RecordKey, Record)]) -> &mut StockRecord {
    let found = records.iter_mut().find_map(|(_, record)| match record {
        Record::Stock(stock) => Some(stock),
        _ => None,
    });
    found.unwrap()
}

fn hold(records: &mut [(RecordKey, Record)]) -> &mut ReservationRecord {
    let found = records.iter_mut().find_map(|(_, record)| match record {
        Record::Reservation(hold) if hold.state == State::Held => Some(hold),
        _ => None,
    });
    found.unwrap()
}

fn apply(inventory: &mut Inventory, now_ms: u64, command: Command) -> Applied {
    inventory.apply(&stamp(now_ms), &Request { idempotency_key: None, command })
}

fn stamp(now_ms: u64) -> Stamp {
    Stamp {
        now_ms,
        retention_ms: 86_400_000,
        idempotency_ms: 86_400_000,
        max_hold_ms: 1_800_000,
        events_max: 1_000,
        events_ms: 86_400_000,
    }
}

fn put(name: &str, on_hand: u64) -> Command {
    Command::PutSku(PutSku {
        sku: sku(name),
        on_hand,
        safety_stock: None,
        max_per_customer: Default::default(),
        on_shortfall: Default::default(),
        precondition: Default::default(),
    })
}

fn reserve(cart_id: &str, items: &[(&str, u64)], ttl_ms: u64) -> Command {
    let items = items.iter().map(|&(name, qty)| Item { sku: sku(name), qty }).collect();
    Command::Reserve(Reserve {
        nonce: 7,
        cart_id: cart_id.into(),
        customer_id: None,
        items,
        ttl_ms,
        wait: false,
    })
}

fn reserved(applied: Applied) -> ReservationView {
    match applied.result {
        Ok(Outcome::Reserved(view)) => view,
        other => panic!("not reserved: {other:?}"),
    }
}

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}
