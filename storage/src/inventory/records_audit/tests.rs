//! Whatever figure is another one, the audit says so: where another record knows better even if every checksum agrees,
//! and else by the digest.

use super::super::Inventory;
use super::super::command::{
    Command, Commit, HoldLimits, IfExpired, OnShortfall, Precondition, PutSku, Request, Reserve, Return,
    Setting, Stamp,
};
use super::super::digest;
use super::super::ids::Item;
use super::super::outcome::{Applied, Grant, Outcome};
use super::super::record::CHUNK_EVENTS;
use super::*;

const START_MS: u64 = 1_700_000_000_000;

type Records = Vec<(RecordKey, Record)>;

/// A shop in which something of every kind has happened.
struct Shop {
    inventory: Inventory,
    now_ms: u64,
    commands: u64,
}

impl Shop {
    fn apply(&mut self, command: Command) -> Applied {
        self.commands += 1;
        let stamp = Stamp {
            now_ms: self.now_ms,
            retention_ms: 3_600_000,
            idempotency_ms: 3_600_000,
            max_hold_ms: 1_800_000,
            events_ms: 3_600_000,
            events_max: CHUNK_EVENTS,
            limits: HoldLimits::NONE,
        };
        let request = Request { idempotency_key: Some(format!("key-{}", self.commands).into()), command };
        self.inventory.apply(&stamp, &request)
    }

    fn put(&mut self, name: &str, on_hand: u64) {
        let put = PutSku {
            sku: sku(name),
            on_hand,
            safety_stock: Some(1),
            max_per_customer: Setting::Keep,
            on_shortfall: OnShortfall::Refuse,
            precondition: Precondition::None,
        };
        self.apply(Command::PutSku(put)).result.unwrap();
    }

    fn reserve(&mut self, cart: &str, name: &str, qty: u64, ttl_ms: u64) -> ReservationId {
        let reserve = Reserve {
            nonce: self.commands,
            cart_id: cart.into(),
            customer_id: Some(format!("buyer of {cart}").into()),
            items: vec![Item { sku: sku(name), qty }],
            ttl_ms,
            wait: true,
        };
        match self.apply(Command::Reserve(reserve)).result.unwrap() {
            Outcome::Reserved(view) | Outcome::Waiting(view) => view.id,
            other => panic!("neither held nor waiting: {other:?}"),
        }
    }

    fn buy(&mut self, cart: &str, name: &str, qty: u64) -> ReservationId {
        let reservation_id = self.reserve(cart, name, qty, 60_000);
        let commit = Commit {
            reservation_id,
            payment_token: None,
            fencing_token: None,
            if_expired: IfExpired::Fail,
            items: None,
        };
        self.apply(Command::Commit(commit)).result.unwrap();
        reservation_id
    }
}

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

/// Holds, a line, sales, a return, an expiry, kept answers, and events of which the oldest are gone.
fn shop() -> Inventory {
    let mut shop = Shop { inventory: Inventory::default(), now_ms: START_MS, commands: 0 };
    shop.put("A", 40);
    shop.put("B", 3);
    shop.reserve("due", "A", 1, 10);
    shop.reserve("held", "A", 2, 600_000);
    shop.reserve("held too", "A", 1, 600_000);
    shop.reserve("first in line", "B", 5, 600_000);
    shop.buy("sold", "A", 3);
    let reservation_id = shop.buy("returned in part", "A", 2);
    let items = Some(vec![Item { sku: sku("A"), qty: 1 }]);
    shop.apply(Command::Return(Return { reservation_id, items })).result.unwrap();
    shop.now_ms += 1_000;
    shop.put("C", 100);
    (0..40).for_each(|cart| _ = shop.buy(&format!("cart-{cart}"), "C", 1));
    shop.inventory
}

fn records() -> Records {
    shop().records().collect()
}

fn audit(records: &Records, named: u64) -> Audited {
    let mut audit = RecordsAudit::default();
    records.iter().for_each(|(key, record)| audit.add(key.clone(), record));
    audit.finish(named)
}

/// The digest of changed records, once their counters name their sum: every checksum agrees then.
fn make_agree(records: &mut Records) -> u64 {
    let mut sums = RecordsDigest::default();
    records.iter().for_each(|(key, record)| sums.add(key, record).unwrap());
    let counters = counters(records);
    counters.records_digest = sums.sum();
    digest::state(counters)
}

fn counters(records: &mut Records) -> &mut Counters {
    match &mut records[0] {
        (RecordKey::Counters, Record::Counters(counters)) => counters,
        other => panic!("no counters first: {other:?}"),
    }
}

fn stock<'a>(records: &'a mut Records, name: &str) -> &'a mut StockRecord {
    let found = records.iter_mut().find_map(|(key, record)| match (key, record) {
        (RecordKey::Stock(of), Record::Stock(record)) if of.as_str() == name => Some(record),
        _ => None,
    });
    found.unwrap()
}

fn of_cart<'a>(records: &'a mut Records, cart: &str) -> &'a mut ReservationRecord {
    let found = records.iter_mut().find_map(|(_, record)| match record {
        Record::Reservation(record) if &*record.cart_id == cart => Some(record),
        _ => None,
    });
    found.unwrap()
}

fn item<'a>(records: &'a mut Records, cart: &str) -> &'a mut ReservedItem {
    &mut of_cart(records, cart).items[0]
}

fn grant<'a>(records: &'a mut Records, cart: &str) -> &'a mut Grant {
    of_cart(records, cart).grant.as_mut().unwrap()
}

fn customer_of<'a>(records: &'a mut Records, cart: &str) -> &'a mut CustomerRecord {
    let buyer = format!("buyer of {cart}");
    let found = records.iter_mut().find_map(|(key, record)| match (key, record) {
        (RecordKey::Customer(_, customer), Record::Customer(record)) if **customer == *buyer => Some(record),
        _ => None,
    });
    found.unwrap()
}

fn some_answer(records: &mut Records) -> &mut AnswerRecord {
    let found = records.iter_mut().find_map(|(_, record)| match record {
        Record::Answer(record) => Some(record),
        _ => None,
    });
    found.unwrap()
}

fn last_events(records: &mut Records) -> &mut Vec<Event> {
    match &mut records.last_mut().unwrap().1 {
        Record::Events(events) => events,
        other => panic!("no events last: {other:?}"),
    }
}

#[test]
fn what_is_as_it_must_be_has_no_findings_and_the_inventorys_own_figures() {
    let inventory = shop();
    let audited = audit(&inventory.records().collect(), inventory.state_digest());
    assert_eq!(audited.findings, [""; 0]);
    let counts = inventory.counts();
    assert_eq!((audited.findings_total, audited.digest), (0, inventory.state_digest()));
    assert_eq!((audited.skus, audited.reservations), (3, counts.reservations as u64));
    assert_eq!((audited.holds, audited.waiting, audited.customers), (counts.holds as u64, 1, 42));
    assert_eq!((audited.on_hand, audited.held, audited.sold), (40 - 4 + 3 + 60, 3, 4 + 40));
    assert!(audited.answers > 80 && audited.events >= CHUNK_EVENTS, "{audited:?}");
    assert!(counters(&mut records()).events_gone.is_some(), "the oldest events are still kept");
    assert_eq!(audit(&Records::new(), Inventory::default().state_digest()).findings, [""; 0]);
}

/// What another record knows better: noticed though every checksum agrees.
#[test]
fn a_figure_that_another_record_contradicts_is_found_whatever_the_checksums_say() {
    type Mutation = (&'static str, fn(&mut Records));
    let mutations: [Mutation; 36] = [
        ("held is less", |all| stock(all, "A").held -= 1),
        ("held is more", |all| stock(all, "A").held += 1),
        ("less on hand than held", |all| stock(all, "A").on_hand = 2),
        ("more on hand than there may be", |all| stock(all, "A").on_hand = u64::MAX),
        ("sold is less than committed", |all| stock(all, "A").sold -= 1),
        ("sold is more than there may be", |all| stock(all, "A").sold = u64::MAX),
        ("settled in the future", |all| stock(all, "B").settled_ms = u64::MAX),
        ("a SKU that is newer than its holds", |all| stock(all, "A").created_sequence = 60),
        ("a SKU of a command to come", |all| stock(all, "B").created_sequence = 1_000_000),
        ("a SKU is gone", |all| all.retain(|(key, _)| *key != RecordKey::Stock(sku("A")))),
        ("a SKU that is waited for is gone", |all| all.retain(|(key, _)| *key != RecordKey::Stock(sku("B")))),
        ("a hold of more", |all| item(all, "held").qty += 1),
        ("a hold of another SKU", |all| item(all, "held").sku = sku("C")),
        ("a hold with an earlier deadline", |all| grant(all, "held").deadline_ms = START_MS),
        ("a hold without a grant", |all| of_cart(all, "held").grant = None),
        ("a hold that ended", |all| of_cart(all, "held").state = State::Released),
        ("an end that did not come", |all| of_cart(all, "sold").state = State::Held),
        ("one who waits and has a grant", |all| of_cart(all, "held").state = State::Waiting),
        ("one who waits for nothing", |all| of_cart(all, "first in line").items = [].into()),
        ("one who waits no more, unheld", |all| of_cart(all, "first in line").state = State::Held),
        ("a sale of more", |all| item(all, "sold").qty += 1),
        ("more returned than sold", |all| item(all, "sold").returned = 4),
        ("less returned", |all| item(all, "returned in part").returned = 0),
        ("a sale to another one", |all| of_cart(all, "sold").customer_id = Some("nobody".into())),
        ("two holds with one token", |all| {
            let token = grant(all, "held").fencing_token;
            grant(all, "held too").fencing_token = token;
        }),
        ("a token that was not given yet", |all| grant(all, "held").fencing_token = 1_000_000),
        ("two live ones of one cart", |all| of_cart(all, "held too").cart_id = "held".into()),
        ("made in the future", |all| of_cart(all, "sold").created_ms = u64::MAX),
        ("a customer has less than reservations say", |all| customer_of(all, "cart-7").sold = 0),
        ("customers have more than was sold", |all| customer_of(all, "sold").sold += 1),
        ("a customer of a SKU that is gone", |all| all.retain(|(key, _)| *key != RecordKey::Stock(sku("C")))),
        ("an answer of a command to come", |all| some_answer(all).sequence = 1_000_000),
        ("an event is missing", |all| _ = last_events(all).pop()),
        ("an event is out of order", |all| last_events(all).swap(0, 1)),
        ("an event of a command to come", |all| {
            last_events(all).last_mut().unwrap().position.sequence = 1_000_000;
        }),
        ("events were gone and are not", |all| counters(all).events_gone = None),
    ];
    for (what, mutate) in mutations {
        let mut all = records();
        mutate(&mut all);
        let named = make_agree(&mut all);
        let audited = audit(&all, named);
        assert!(audited.findings_total > 0, "{what}: not found");
        assert_eq!(audited.digest, named, "{what}: the test's own digest is wrong");
    }
    eprintln!("{} figures changed with every checksum made to agree, each found", mutations.len());
}

/// The counters are held against all that they count.
#[test]
fn counters_that_are_behind_are_found_whatever_the_checksums_say() {
    let behind: [fn(&mut Counters); 5] = [
        |counters| counters.now_ms = 1,
        |counters| counters.sequence -= 1,
        |counters| counters.fencing_token -= 1,
        |counters| counters.events -= 1,
        |counters| counters.events += 1,
    ];
    for (figure, change) in behind.into_iter().enumerate() {
        let mut all = records();
        change(counters(&mut all));
        let named = make_agree(&mut all);
        assert!(audit(&all, named).findings_total > 0, "figure {figure}");
    }
}

/// What stands in one record alone: only the digest can know it.
#[test]
fn any_other_figure_is_found_by_the_digest() {
    let mutations: [fn(&mut Records); 16] = [
        |all| stock(all, "A").on_hand += 1,
        |all| stock(all, "A").sold += 1,
        |all| stock(all, "A").safety_stock += 1,
        |all| stock(all, "A").max_per_customer = Some(1),
        |all| stock(all, "A").version += 1,
        |all| of_cart(all, "held").cart_id = "another".into(),
        |all| of_cart(all, "held").ttl_ms += 1,
        |all| of_cart(all, "held").forget_ms += 1,
        |all| of_cart(all, "sold").payment_token = Some(Box::new("pay".into())),
        |all| of_cart(all, "sold").ended_ms = None,
        |all| grant(all, "held").deadline_ms += 1,
        |all| some_answer(all).fingerprint ^= 1,
        |all| some_answer(all).forget_ms += 1,
        |all| last_events(all)[0].now_ms += 1,
        |all| _ = all.remove(3),
        |all| counters(all).deleted_version += 1,
    ];
    let named = shop().state_digest();
    for (figure, mutate) in mutations.into_iter().enumerate() {
        let mut all = records();
        mutate(&mut all);
        assert!(audit(&all, named).findings_total > 0, "figure {figure}");
    }
}

#[test]
fn a_record_twice_out_of_its_place_or_of_another_kind_is_found() {
    let named = shop().state_digest();
    let spoiled: [fn(&mut Records); 3] =
        [|all| all.insert(2, all[2].clone()), |all| all.swap(1, 2), |all| all[1].1 = all[0].1.clone()];
    for (case, spoil) in spoiled.into_iter().enumerate() {
        let mut all = records();
        spoil(&mut all);
        assert!(audit(&all, named).findings_total > 0, "case {case}");
    }
}

#[test]
fn findings_are_told_up_to_a_bound_and_counted_beyond() {
    let mut audited = Audited::default();
    (0..FINDINGS_MAX + 5).for_each(|finding| audited.find(finding.to_string()));
    assert_eq!((audited.findings.len(), audited.findings_total), (FINDINGS_MAX, FINDINGS_MAX as u64 + 5));
}
