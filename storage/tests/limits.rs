//! What the inventory does at its limits: a million holds that end together, commands that no node lets through,
//! and records that are damaged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; clippy exempts only its #[test] functions"
)]

mod shop;

use shop::{START_MS, TTL_MS, changed_keys, items, sku, stamp};
use storage::inventory::command::{
    AdjustSku, Command, Commit, DeleteSku, Extend, HoldLimits, IfExpired, OnShortfall, Precondition, PutSku,
    Release, Request, Reserve, Return, Setting, Stamp,
};
use storage::inventory::event::Event;
use storage::inventory::ids::{CLOCK_MS_MAX, ITEMS_MAX, Item, ReservationId, UNITS_MAX, VERSIONS_MAX};
use storage::inventory::outcome::{Applied, Outcome, Rejection, ReservationView, State};
use storage::inventory::query::ReservationFilter;
use storage::inventory::record::{
    Counters, CustomerRecord, Record, RecordKey, ReservationRecord, StockRecord,
};
use storage::inventory::{Inconsistent, Inventory, RecordsDigest, SWEEP_MAX, SWEEP_TICK_MAX};

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
    changed_keys(&mut inventory);
    let version = inventory.stock(&sku("PS5")).unwrap().version;

    let last = reserve("last", &[("PS5", HOLDS as u64)], TTL_MS);
    assert!(apply(&mut inventory, START_MS + TTL_MS, last).result.is_ok(), "all units are back at once");

    // One step gave all units back and one took them; the sweep ended its share; nothing else was touched.
    let stock = inventory.stock(&sku("PS5")).unwrap();
    assert_eq!((stock.held, stock.version), (HOLDS as u64, version + 2));
    assert_eq!(inventory.counts().holds, HOLDS - SWEEP_MAX + 1);
    let changes = changed_keys(&mut inventory);
    let (events, others): (Vec<_>, Vec<_>) =
        changes.iter().partition(|key| matches!(key, RecordKey::Events(_)));
    assert_eq!(others.len(), SWEEP_MAX + 3, "counters, SKU, the new hold and those swept");
    assert!(events.len() <= 5, "the chunks of their events, and one that is dropped");

    apply(&mut inventory, START_MS + TTL_MS, Command::Tick);
    assert_eq!(inventory.counts().holds, HOLDS - SWEEP_MAX - SWEEP_TICK_MAX + 1);
    inventory.audit().unwrap();
}

/// Each revoked hold once began its search at the newest hold, over all that are due and not swept: 19 s where 100,000
/// were. Now the walk goes on where it was.
#[test]
fn revoking_steps_over_what_is_due_once() {
    const DUE: u64 = 20_000;
    const LIVE: u64 = 2_000;
    let mut inventory = Inventory::default();
    apply(&mut inventory, START_MS, put("A", DUE + LIVE));
    for cart in 0..DUE + LIVE {
        // The short holds are the newer ones.
        let ttl_ms = if cart < LIVE { 600_000 } else { 1_000 };
        reserved(apply(&mut inventory, START_MS, reserve(&format!("c{cart}"), &[("A", 1)], ttl_ms)));
    }
    let Command::PutSku(put) = put("A", 0) else { unreachable!() };
    let revoking = PutSku { on_shortfall: OnShortfall::RevokeNewest, ..put };
    let applied = apply(&mut inventory, START_MS + 2_000, Command::PutSku(revoking));
    let Ok(Outcome::SkuSet(stock)) = applied.result else { panic!("{applied:?}") };
    assert_eq!((stock.on_hand, stock.held), (0, 0));
    let filter = ReservationFilter { state: Some(State::Revoked), ..ReservationFilter::default() };
    assert_eq!(inventory.list_reservations(&filter, None, 10_000).rows.len() as u64, LIVE);
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
        events_max: span,
        limits: HoldLimits::NONE,
        events_ms: span,
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
        commands.push(Command::Reserve(shop::wait("line", "A", qty)));
        commands.push(Command::Reserve(Reserve {
            wait: true,
            ..shop::reserve("lines", &[("A", 1), ("B", qty)])
        }));
        for on_shortfall in [OnShortfall::Refuse, OnShortfall::RevokeNewest] {
            let put = PutSku { safety_stock: Some(qty), on_shortfall, ..shop::put("B", 9) };
            commands.push(Command::PutSku(PutSku { max_per_customer: Setting::Set(qty), ..put.clone() }));
            commands.push(Command::PutSku(PutSku { max_per_customer: Setting::Clear, ..put }));
        }
    }
    for precondition in hostile_preconditions() {
        let put = PutSku { precondition: precondition.clone(), ..shop::put("B", 2) };
        let adjust = AdjustSku { precondition: precondition.clone(), ..shop::adjust("Z", 1) };
        let delete = DeleteSku { sku: sku("new"), precondition };
        commands.extend([Command::PutSku(put), Command::AdjustSku(adjust), Command::DeleteSku(delete)]);
    }
    for delta in [0, 1, -1, i64::MAX, i64::MIN] {
        for name in ["A", "B", "Z"] {
            for on_shortfall in [OnShortfall::Refuse, OnShortfall::RevokeNewest] {
                let adjust = AdjustSku { on_shortfall, ..shop::adjust(name, delta) };
                commands.push(Command::AdjustSku(adjust));
            }
            commands.push(shop::delete(name));
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

fn hostile_preconditions() -> Vec<Precondition> {
    let many = (0..=VERSIONS_MAX as u64).collect();
    vec![
        Precondition::Exists,
        Precondition::Absent,
        Precondition::Versions(vec![]),
        Precondition::Versions(vec![0, u64::MAX]),
        Precondition::Versions(many),
    ]
}

fn commands_naming(reservation_id: ReservationId) -> Vec<Command> {
    let commit = |fencing_token, if_expired, items| {
        let payment_token = Some("".into());
        Command::Commit(Commit { reservation_id, payment_token, fencing_token, if_expired, items })
    };
    let mut commands = vec![
        shop::take_back(reservation_id),
        Command::Extend(Extend { reservation_id, ttl_ms: 0 }),
        Command::Extend(Extend { reservation_id, ttl_ms: u64::MAX }),
        commit(Some(u64::MAX), IfExpired::Reacquire, None),
    ];
    for part in hostile_parts() {
        commands.push(Command::Release(Release { reservation_id, items: Some(part.clone()) }));
        commands.push(commit(None, IfExpired::Reacquire, Some(part.clone())));
        commands.push(Command::Return(Return { reservation_id, items: Some(part) }));
    }
    commands.extend([
        commit(None, IfExpired::Fail, None),
        commit(None, IfExpired::Reacquire, None),
        Command::Release(Release { reservation_id, items: None }),
        shop::take_back(reservation_id),
        shop::take_back(reservation_id),
    ]);
    commands
}

fn hostile_parts() -> Vec<Vec<Item>> {
    let parts: [&[(&str, u64)]; 9] = [
        &[],
        &[("A", 0)],
        &[("A", u64::MAX)],
        &[("A", UNITS_MAX)],
        &[("A", 1), ("A", 1)],
        &[("B", 1), ("A", 1)],
        &[("Z", 1)],
        &[("A", 1)],
        &[("A", 1), ("B", 1)],
    ];
    parts.map(items).to_vec()
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
        let applied = apply(&mut inventory, START_MS, Command::Commit(shop::commit(hold.id)));
        let first = hold.grant.unwrap().fencing_token == 1;
        assert_eq!(applied.result.err(), (!first).then_some(Rejection::StockAboveMax));
    }
    inventory.audit().unwrap();
}

type Records = Vec<(RecordKey, Record)>;
type Damage = fn(&mut Records);

#[test]
fn damaged_records_are_refused() {
    let damages: [(&str, Damage); 9] = [
        ("a record lost", |records| drop(records.pop())),
        ("no counters", |records| drop(records.remove(0))),
        ("counters twice", |records| records.push(records[0].clone())),
        ("a SKU twice", |records| records.push(records[1].clone())),
        ("a record under another kind of key", |records| records[1].0 = RecordKey::Answer(1, "a".into())),
        ("a SKU lost", |records| drop(records.remove(1))),
        ("a version", |records| stock(records).version += 1),
        ("a customer forgotten", |records| {
            records.retain(|(key, _)| !matches!(key, RecordKey::Customer(..)));
        }),
        ("an event", |records| events(records)[7].now_ms += 1),
    ];
    assert!(Inventory::from_records(sample()).is_ok());
    for (what, damage) in damages {
        let mut records = sample();
        damage(&mut records);
        assert!(Inventory::from_records(records).is_err(), "{what}");
    }
}

/// The digest finds damage; here it is made to fit, as a wrong program would make it.
#[test]
fn records_that_contradict_each_other_are_refused_though_their_digest_fits() {
    let damages: [(&str, Damage); 18] = [
        ("held", |records| stock(records).held += 1),
        ("held above on_hand", |records| stock(records).on_hand = 0),
        ("sold", |records| stock(records).sold -= 1),
        ("settled past a live deadline", |records| stock(records).settled_ms = START_MS + TTL_MS),
        ("a quantity past all bounds", |records| {
            one(records, State::Held).items[0].qty = u64::MAX;
        }),
        ("a fencing token twice", |records| {
            one(records, State::Held).grant.as_mut().unwrap().fencing_token = 1;
        }),
        ("a fencing token of the future", |records| {
            one(records, State::Held).grant.as_mut().unwrap().fencing_token = 99;
        }),
        ("a cart with two holds", |records| one(records, State::Held).cart_id = "live-2".into()),
        ("a cart that waits and holds", |records| one(records, State::Waiting).cart_id = "live-2".into()),
        ("a hold without its grant", |records| one(records, State::Held).grant = None),
        ("one that waits and has a grant", |records| {
            one(records, State::Waiting).grant = one(records, State::Held).grant;
        }),
        ("one that waits for nothing", |records| one(records, State::Waiting).items = [].into()),
        ("one that waits for no SKU of ours", |records| {
            one(records, State::Waiting).items[0].sku = sku("Z");
        }),
        ("a customer who bought nothing", |records| customer(records).sold = 0),
        ("a customer of no SKU of ours", |records| {
            let place = records.iter().position(|(key, _)| matches!(key, RecordKey::Customer(..))).unwrap();
            records[place].0 = RecordKey::Customer(sku("Z"), "ann".into());
        }),
        ("a chunk of events lost from the middle", |records| {
            records.retain(|(key, _)| *key != RecordKey::Events(1));
        }),
        ("more events than were counted", |records| counters(records).events -= 1),
        ("events out of order", |records| events(records).swap(0, 1)),
    ];
    assert!(Inventory::from_records(mended(sample())).is_ok());
    for (what, damage) in damages {
        let mut records = sample();
        damage(&mut records);
        assert!(Inventory::from_records(mended(records)).is_err(), "{what}");
    }
}

/// The records, with counters that name their digest.
fn mended(mut records: Records) -> Records {
    counters(&mut records).records_digest = 0;
    let mut digest = RecordsDigest::default();
    records.iter().for_each(|(key, record)| digest.add(key, record).unwrap());
    if let Err(Inconsistent(differs)) = digest.finish() {
        let summed = differs.rsplit(' ').next().unwrap();
        counters(&mut records).records_digest = u64::from_str_radix(summed, 16).unwrap();
    }
    records
}

#[test]
fn records_come_in_any_order() {
    let records: Vec<_> = sample().into_iter().rev().collect();
    let inventory = Inventory::from_records(records).unwrap();
    assert_eq!(inventory.records().collect::<Vec<_>>(), sample());
    assert_eq!(inventory.changed(), 0);
    assert!(Inventory::from_records([]).unwrap().records().eq(Inventory::default().records()));
}

/// Counters, two SKUs, one committed reservation, two live holds, one that waits, a kept answer, a customer, three
/// chunks of events.
fn sample() -> Records {
    let mut inventory = Inventory::default();
    apply(&mut inventory, START_MS, put("A", 9));
    apply(&mut inventory, START_MS, put("B", 0));
    let of_ann = Reserve { customer_id: Some("ann".into()), ..shop::reserve("sold", &[("A", 2)]) };
    let sold = reserved(apply(&mut inventory, START_MS, Command::Reserve(of_ann)));
    apply(&mut inventory, START_MS, Command::Commit(shop::commit(sold.id)));
    apply(&mut inventory, START_MS, reserve("live-1", &[("A", 1)], TTL_MS));
    let request =
        Request { idempotency_key: Some("key".into()), command: reserve("live-2", &[("A", 1)], TTL_MS) };
    inventory.apply(&stamp(START_MS), &request);
    apply(&mut inventory, START_MS, Command::Reserve(shop::wait("waits", "B", 1)));
    for on_hand in 0..150 {
        apply(&mut inventory, START_MS, put("C", on_hand));
    }
    apply(&mut inventory, START_MS, shop::delete("C"));
    inventory.records().collect()
}

fn counters(records: &mut [(RecordKey, Record)]) -> &mut Counters {
    find(records, |record| match record {
        Record::Counters(counters) => Some(counters),
        _ => None,
    })
}

fn stock(records: &mut [(RecordKey, Record)]) -> &mut StockRecord {
    find(records, |record| match record {
        Record::Stock(stock) => Some(stock),
        _ => None,
    })
}

fn customer(records: &mut [(RecordKey, Record)]) -> &mut CustomerRecord {
    find(records, |record| match record {
        Record::Customer(customer) => Some(customer),
        _ => None,
    })
}

fn events(records: &mut [(RecordKey, Record)]) -> &mut Vec<Event> {
    find(records, |record| match record {
        Record::Events(events) => Some(events),
        _ => None,
    })
}

/// The first reservation in a state.
fn one(records: &mut [(RecordKey, Record)], state: State) -> &mut ReservationRecord {
    find(records, |record| match record {
        Record::Reservation(one) if one.state == state => Some(one),
        _ => None,
    })
}

fn find<'a, T>(
    records: &'a mut [(RecordKey, Record)],
    is: impl Fn(&'a mut Record) -> Option<&'a mut T>,
) -> &'a mut T {
    records.iter_mut().find_map(|(_, record)| is(record)).unwrap()
}

fn apply(inventory: &mut Inventory, now_ms: u64, command: Command) -> Applied {
    inventory.apply(&stamp(now_ms), &Request { idempotency_key: None, command })
}

fn put(name: &str, on_hand: u64) -> Command {
    Command::PutSku(shop::put(name, on_hand))
}

fn reserve(cart_id: &str, items: &[(&str, u64)], ttl_ms: u64) -> Command {
    Command::Reserve(Reserve { ttl_ms, ..shop::reserve(cart_id, items) })
}

fn reserved(applied: Applied) -> ReservationView {
    match applied.result {
        Ok(Outcome::Reserved(view)) => view,
        other => panic!("not reserved: {other:?}"),
    }
}
