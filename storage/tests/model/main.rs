//! Random commands of all kinds: the inventory against a naive model, against itself rebuilt from its records, and
//! against a reader of its feed.
//!
//! ```text
//! SEED=n cargo test -p storage --test model                              repeats one seed
//! MODEL_COMMANDS=1000000 cargo test --release -p storage --test model    as many commands against the model
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; clippy exempts only its #[test] functions"
)]

mod coverage;
mod naive;
mod random;
mod reader;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use coverage::Coverage;
use naive::{Naive, is_wanted};
use rand::RngCore;
use random::{Source, sku};
use reader::{Reader, read_all};
use storage::inventory::command::{Request, Stamp};
use storage::inventory::event::{
    Event, EventChange, EventFilter, EventKinds, EventPosition, EventsExpired, ReservationChangeKind,
    StockChangeKind,
};
use storage::inventory::ids::{ReservationId, Sku};
use storage::inventory::outcome::{Applied, Rejection, ReservationView, State, StockView};
use storage::inventory::query::{Page, ReservationFilter};
use storage::inventory::record::{KeyRef, Record, RecordKey, RecordRef};
use storage::inventory::{Inventory, RecordsAudit};

/// Commands against the model, unless the environment names another number.
const COMMANDS: u64 = 60_000;
/// Commands of one seed.
const COMMANDS_OF_SEED: u64 = 2_000;
/// Seeds of the other tests.
const SEEDS: u64 = 12;

/// Every answer and every event, and now and then every figure, place and list, is the naive model's; the audit
/// passes after each command; and the commands reach everything there is.
#[test]
fn answers_are_the_naive_models() {
    let commands = std::env::var("MODEL_COMMANDS").map_or(COMMANDS, |text| text.parse().unwrap());
    let coverage = Mutex::new(Coverage::default());
    let seeds = commands.div_ceil(COMMANDS_OF_SEED);
    for_each_seed(seeds, |seed| {
        let reached = run_against_the_model(seed);
        coverage.lock().unwrap().merge(reached);
    });
    if commands >= COMMANDS && one_seed().is_none() {
        coverage.into_inner().unwrap().check(include_str!("reached.txt"), commands / 20_000);
    }
}

fn run_against_the_model(seed: u64) -> Coverage {
    let (mut source, mut inventory, mut naive) = (Source::new(seed), Inventory::default(), Naive::default());
    let mut reached = Coverage::default();
    for turn in 0..COMMANDS_OF_SEED {
        let (stamp, request) = source.next();
        let told = format!("command {}: {stamp:?} {request:?}", inventory.sequence() + 1);
        let applied = apply_behind_the_gate(&mut inventory, &stamp, &request);
        assert_eq!(applied, naive.apply(&stamp, &request), "{told}");
        inventory.audit().unwrap_or_else(|why| panic!("{why:?} after {told}"));
        let events = newest_events(&inventory, &naive, &told);
        note(&mut source, &mut reached, &inventory, &request, &applied, &events);
        if turn % 20 == 0 {
            audit_records(&inventory, &told);
            compare(&inventory, &naive);
            compare_lists(&inventory, &naive, turn);
            compare_feeds(&inventory, &naive, turn);
        }
    }
    reached
}

/// The same with commands that follow from bytes, which a fuzzer can bend towards what was never reached.
#[test]
fn answers_to_commands_of_any_dice_are_the_naive_models() {
    bolero::check!().with_iterations(200).for_each(|bytes: &[u8]| {
        let mut source = Source::of_dice(Dice(Vec::from(bytes).into_iter()));
        let (mut inventory, mut naive) = (Inventory::default(), Naive::default());
        // A command takes some ten throws.
        for _ in 0..bytes.len() / 40 {
            let (stamp, request) = source.next();
            let told = format!("command {}: {stamp:?} {request:?}", inventory.sequence() + 1);
            let applied = inventory.apply(&stamp, &request);
            assert_eq!(applied, naive.apply(&stamp, &request), "{told}");
            inventory.audit().unwrap_or_else(|why| panic!("{why:?} after {told}"));
            source.heard(&applied);
        }
        compare(&inventory, &naive);
    });
}

/// Bytes as dice; ones when they are used up.
struct Dice(std::vec::IntoIter<u8>);

impl RngCore for Dice {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        // No more bytes than for half of it, so that few make many commands.
        u64::from(self.next_u32()) << 32
    }

    fn fill_bytes(&mut self, to: &mut [u8]) {
        to.fill_with(|| self.0.next().unwrap_or(1));
    }
}

/// The records, audited as they pass by, are as the inventory is.
fn audit_records(inventory: &Inventory, told: &str) {
    let mut audit = RecordsAudit::default();
    inventory.records().for_each(|(key, record)| audit.add(key, &record));
    let audited = audit.finish(inventory.state_digest());
    assert_eq!(audited.findings, [""; 0], "after {told}");
}

fn note(
    source: &mut Source,
    reached: &mut Coverage,
    inventory: &Inventory,
    request: &Request,
    applied: &Applied,
    events: &[Event],
) {
    source.heard(applied);
    reached.answer(&request.command, applied);
    for event in events {
        reached.event(event);
        if let EventChange::Reservation(change) = &event.change {
            source.note(&change.after);
        }
    }
    let unswept = inventory.next_due_ms().is_some_and(|due_ms| due_ms <= inventory.now_ms());
    reached.add("more was due than a sweep ends".into(), u64::from(unswept));
}

/// What the last command did, as far as it is kept, in both.
fn newest_events(inventory: &Inventory, naive: &Naive, told: &str) -> Vec<Event> {
    let before = EventPosition { sequence: inventory.sequence() - 1, index: u32::MAX };
    let after = naive.last_dropped().max(Some(before));
    let (events, _) = read_all(inventory, after, &EventFilter::default(), 1_000);
    let expected: Vec<Event> =
        naive.events().iter().filter(|event| Some(event.position) > after).cloned().collect();
    assert_eq!(events, expected, "{told}");
    events
}

/// The records at any moment make an inventory that goes on as the first one did, to the last answer, event and
/// digest.
#[test]
fn replay_from_any_checkpoint_is_the_same() {
    for_each_seed(SEEDS, |seed| {
        let (mut source, mut inventory) = (Source::new(seed), Inventory::default());
        let mut rebuilt = Vec::new();
        for turn in 0..COMMANDS_OF_SEED {
            let (stamp, request) = source.next();
            let applied = inventory.apply(&stamp, &request);
            source.heard(&applied);
            for other in &mut rebuilt {
                assert_same(&inventory, &applied, other, &stamp, &request);
            }
            // The oldest makes room for the newest, from 3 commands after the start on.
            if turn % 97 == 3 {
                rebuilt.truncate(4);
                rebuilt.insert(0, Inventory::from_records(inventory.records()).unwrap());
            }
        }
        for other in rebuilt {
            assert!(other.records().eq(inventory.records()));
        }
    });
}

/// What is shown of changes, applied to an image in the order in which it is shown, keeps it equal to the records, also
/// where some of it was shown before, bit by bit: of what is settled or of everything, at most so many at once.
#[test]
fn changes_keep_an_image_up_to_date() {
    for_each_seed(SEEDS, |seed| {
        let (mut source, mut inventory) = (Source::new(seed), Inventory::default());
        let mut image = BTreeMap::<RecordKey, Record>::new();
        for turn in 0..COMMANDS_OF_SEED {
            let (stamp, request) = source.next();
            let applied = inventory.apply(&stamp, &request);
            source.heard(&applied);
            let shown = |key: KeyRef<'_>, record: Option<RecordRef<'_>>| update(&mut image, key, record);
            match (turn % 3, turn / 410 % 4) {
                (0, 0) => inventory.take_settled(usize::MAX, shown),
                (0, 1) => inventory.take_settled(turn as usize % 7, shown),
                (0, 2) => _ = inventory.take_some(turn as usize % 7, shown),
                _ => {}
            }
            if turn % 41 == 0 {
                let (changed, mut shown) = (inventory.changed(), 0);
                inventory.take_changed(|key, record| {
                    shown += 1;
                    update(&mut image, key, record);
                });
                assert!(shown <= changed && inventory.changed() == 0);
                assert!(image.clone().into_iter().eq(inventory.records()));
            }
        }
    });
}

/// A reader that has nothing but the feed knows every record after each command, whatever its pages are.
#[test]
fn the_feed_alone_rebuilds_every_record() {
    for_each_seed(SEEDS, |seed| {
        let (mut source, mut inventory) = (Source::with_all_events(seed), Inventory::default());
        let mut reader = Reader::default();
        for turn in 0..COMMANDS_OF_SEED / 2 {
            let (stamp, request) = source.next();
            let applied = inventory.apply(&stamp, &request);
            source.heard(&applied);
            reader.read(&inventory, 1 + (turn % 7) as usize * 30);
            reader.compare(&inventory);
        }
        let mut late = Reader::default();
        late.read(&Inventory::from_records(inventory.records()).unwrap(), 13);
        late.compare(&inventory);
    });
}

/// Applies the command after asking the gate, which must be right where no time passes in between.
fn apply_behind_the_gate(inventory: &mut Inventory, stamp: &Stamp, request: &Request) -> Applied {
    let gate = inventory.sure_rejection(request);
    let same_moment = stamp.now_ms <= inventory.now_ms();
    let applied = inventory.apply(stamp, request);
    match (gate, &applied.result) {
        _ if !same_moment => {}
        (Some(foretold), result) => assert_eq!(result.as_ref().err(), Some(&foretold), "{request:?}"),
        (None, Ok(_) | Err(Rejection::IdempotencyKeyReused)) => {}
        // These depend on the stamp.
        (None, Err(Rejection::HoldLimit { .. } | Rejection::ExtensionLimit { .. })) => {}
        (None, Err(Rejection::CustomerTotal { .. })) => {}
        (None, Err(missed)) => panic!("the gate missed {missed:?} of {request:?}"),
    }
    applied
}

fn compare(inventory: &Inventory, naive: &Naive) {
    for sku in naive.skus() {
        assert_eq!(inventory.stock(sku), naive.stock(sku));
    }
    for id in naive.ids() {
        assert_eq!(inventory.reservation(id), naive.reservation(id));
    }
    // What the inventory has beyond the model is due, and no reader sees it.
    for (key, _) in inventory.records() {
        if let RecordKey::Reservation(id) = key {
            assert_eq!(inventory.reservation(id), naive.reservation(id));
        }
    }
    let due_ms = inventory.next_due_ms();
    if due_ms.is_none_or(|due_ms| due_ms > inventory.now_ms()) {
        assert_eq!(due_ms, naive.next_due_ms());
    }
}

fn compare_lists(inventory: &Inventory, naive: &Naive, turn: u64) {
    let limit = 1 + (turn / 20 % 9) as usize;
    for prefix in ["", "A", "B", "un", "Z"] {
        let read = |after: Option<&Sku>| inventory.list_stocks(prefix, after, limit);
        let rows = all_pages(limit, read, |row: &StockView| row.sku.clone());
        assert_eq!(rows, naive.list_stocks(prefix));
    }
    for filter in filters(naive, turn) {
        let read =
            |after: Option<&ReservationId>| inventory.list_reservations(&filter, after.copied(), limit);
        let rows = all_pages(limit, read, |row: &ReservationView| row.id);
        assert_eq!(rows, naive.list_reservations(&filter), "{filter:?}");
    }
}

/// All rows of a list, page by page.
fn all_pages<T, C: PartialOrd>(
    limit: usize,
    read: impl Fn(Option<&C>) -> Page<T, C>,
    cursor: impl Fn(&T) -> C,
) -> Vec<T> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = read(after.as_ref());
        assert!(page.rows.len() <= limit && (page.next.is_none() || page.rows.len() == limit));
        assert!(page.rows.iter().all(|row| Some(cursor(row)) > after), "a row twice");
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

fn filters(naive: &Naive, turn: u64) -> Vec<ReservationFilter> {
    let states =
        [State::Waiting, State::Held, State::Committed, State::Released, State::Expired, State::Revoked];
    let mut filters: Vec<_> = states
        .map(|state| ReservationFilter { state: Some(state), ..ReservationFilter::default() })
        .into_iter()
        .collect();
    filters.push(ReservationFilter::default());
    filters.push(ReservationFilter { cart_id: Some("nobody".into()), ..ReservationFilter::default() });
    for view in naive.ids().filter_map(|id| naive.reservation(id)).take(3) {
        for parts in 1..16u64 {
            filters.push(ReservationFilter {
                cart_id: (parts & 1 > 0).then(|| (*view.cart_id).into()),
                customer_id: view.customer_id.as_deref().filter(|_| parts & 2 > 0).map(Into::into),
                sku: (parts & 4 > 0).then(|| sku((turn % 5) as usize)),
                state: (parts & 8 > 0).then_some(view.state),
            });
        }
    }
    filters
}

/// All that is kept of the feed, in pages, by filters, and what is not kept any more.
fn compare_feeds(inventory: &Inventory, naive: &Naive, turn: u64) {
    let limit = 1 + (turn / 20 % 11) as usize * 9;
    assert_eq!(inventory.last_event(), naive.last_event());
    for filter in event_filters() {
        let (events, after) = read_all(inventory, naive.last_dropped(), &filter, limit);
        let expected = naive.events().iter().filter(|event| is_wanted(&filter, event));
        assert!(events.iter().eq(expected), "{filter:?}");
        assert_eq!(after, naive.last_event(), "the feed was looked through to its end");
    }
    if let Some(dropped) = naive.last_dropped() {
        let oldest = naive.events().first().map(|event| event.position);
        let earlier = EventPosition { sequence: dropped.sequence - 1, index: u32::MAX };
        for after in [None, Some(earlier)] {
            let page = inventory.events(after, &EventFilter::default(), limit);
            assert_eq!(page, Err(EventsExpired { oldest, resume_after: dropped }), "after {after:?}");
        }
    }
}

fn event_filters() -> Vec<EventFilter> {
    let line = EventKinds {
        reservations: vec![ReservationChangeKind::Waiting, ReservationChangeKind::Held],
        stock: vec![StockChangeKind::Created],
    };
    let stock =
        EventKinds { reservations: vec![], stock: vec![StockChangeKind::Changed, StockChangeKind::Deleted] };
    let mut filters = vec![EventFilter::default()];
    for kinds in [None, Some(line), Some(stock), Some(EventKinds::default())] {
        filters.push(EventFilter { sku: Some(sku(1)), kinds: kinds.clone() });
        filters.push(EventFilter { sku: None, kinds });
    }
    filters
}

fn assert_same(
    first: &Inventory,
    applied: &Applied,
    other: &mut Inventory,
    stamp: &Stamp,
    request: &Request,
) {
    let last = first.last_event();
    assert_eq!(other.apply(stamp, request), *applied, "{request:?}");
    assert_eq!(other.state_digest(), first.state_digest(), "{request:?}");
    assert_eq!(other.counts(), first.counts(), "{request:?}");
    assert_eq!(other.last_event(), last, "{request:?}");
    let latest = last.map(|last| EventPosition { sequence: last.sequence, index: 0 });
    let page = |inventory: &Inventory| inventory.events(latest, &EventFilter::default(), 100);
    assert_eq!(page(other), page(first), "{request:?}");
}

fn update(image: &mut BTreeMap<RecordKey, Record>, key: KeyRef<'_>, record: Option<RecordRef<'_>>) {
    match record {
        Some(record) => drop(image.insert(key.to_key(), copy(record))),
        None => drop(image.remove(&key.to_key())),
    }
}

fn copy(record: RecordRef<'_>) -> Record {
    match record {
        RecordRef::Counters(record) => Record::Counters(*record),
        RecordRef::Stock(record) => Record::Stock(*record),
        RecordRef::Reservation(record) => Record::Reservation(record.clone()),
        RecordRef::Answer(record) => Record::Answer(record.clone()),
        RecordRef::Customer(record) => Record::Customer(record),
        RecordRef::Events(events) => Record::Events(events.to_events()),
        RecordRef::Level(record) => Record::Level(record),
    }
}

/// Runs each seed on one of a few threads. A seed that fails is named, with the way to repeat it.
fn for_each_seed(seeds: u64, run: impl Fn(u64) + Sync) {
    if let Some(seed) = one_seed() {
        return run(seed);
    }
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let _named = Named(seed);
            run(seed);
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, |many| many.get().min(4));
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
}

fn one_seed() -> Option<u64> {
    std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"))
}

struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}; repeat it: SEED={0} cargo test -p storage --test model", self.0);
        }
    }
}
