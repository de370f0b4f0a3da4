//! The bytes of every kind of record, so that the format cannot change unnoticed.

use std::collections::BTreeMap;

use super::*;
use crate::Position;
use crate::checkpoint::fixture::Shop;
use crate::inventory::event::{
    Cause, Event, EventChange, EventPosition, ReservationChange, ReservationChangeKind, StockChange,
};
use crate::inventory::ids::Item;
use crate::inventory::outcome::{Grant, Outcome, ReservationView, State, StockView};
use crate::inventory::record::{
    AnswerRecord, Counters, CustomerRecord, LevelRecord, ReservationRecord, ReservedItem, StockRecord,
};

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

fn id(sequence: u64, nonce: u64) -> ReservationId {
    ReservationId { sequence, nonce }
}

fn reservation(state: State) -> ReservationRecord {
    ReservationRecord {
        state,
        cart_id: "cart".into(),
        customer_id: Some("me".into()),
        items: [ReservedItem { sku: sku("PS5"), qty: 2, returned: 1 }].into(),
        created_ms: 1_700_000_000_000,
        ttl_ms: 300_000,
        grant: Some(Grant {
            fencing_token: 9,
            granted_ms: 1_700_000_000_000,
            deadline_ms: 1_700_000_300_000,
        }),
        ended_ms: Some(Box::new(250)),
        forget_ms: 251,
        payment_token: Some(Box::new("pi".into())),
        extensions: 0,
    }
}

fn reservation_view() -> ReservationView {
    ReservationView {
        id: id(1, 2),
        state: State::Held,
        cart_id: "c".into(),
        customer_id: None,
        items: vec![Item { sku: sku("A"), qty: 1 }],
        returned: Vec::new(),
        created_ms: 4,
        grant: Some(Grant { fencing_token: 3, granted_ms: 4, deadline_ms: 5 }),
        position: None,
        committed_ms: None,
        payment_token: None,
        now_ms: 6,
    }
}

fn stock_view() -> StockView {
    StockView {
        sku: sku("A"),
        on_hand: 1,
        held: 2,
        sold: 3,
        safety_stock: 4,
        version: 5,
        max_per_customer: None,
        waiting: 0,
    }
}

fn answer(outcome: Outcome) -> (RecordKey, Record) {
    let record = AnswerRecord { fingerprint: 1, sequence: 2, outcome, forget_ms: 3 };
    (RecordKey::Answer(2, "k-1".into()), Record::Answer(record))
}

fn event(index: u32, cause: Cause, change: EventChange) -> Event {
    Event { position: EventPosition { sequence: 250, index }, now_ms: 9, cause, change }
}

fn events() -> Vec<Event> {
    let reserved = ReservationChange {
        kind: ReservationChangeKind::Held,
        before: Some(State::Waiting),
        items_before: None,
        after: reservation_view(),
    };
    let reduced = ReservationChange {
        kind: ReservationChangeKind::Reduced,
        before: Some(State::Held),
        items_before: Some(vec![Item { sku: sku("A"), qty: 2 }]),
        after: reservation_view(),
    };
    let adjusted = StockChange {
        before: Some(stock_view()),
        after: Some(StockView { max_per_customer: Some(7), ..stock_view() }),
        reason: Some("why".into()),
        reference: Some("no".into()),
    };
    let deleted = StockChange { before: Some(stock_view()), ..StockChange::default() };
    vec![
        event(0, Cause::Line, EventChange::Reservation(reserved.into())),
        event(1, Cause::Release, EventChange::Reservation(reduced.into())),
        event(2, Cause::Adjust, EventChange::Stock(adjusted.into())),
        event(3, Cause::Delete, EventChange::Stock(deleted.into())),
    ]
}

/// Every kind of record with its key and value in hexadecimal. A row is never changed: a new version gets new
/// rows.
fn golden() -> Vec<((RecordKey, Record), &'static str, &'static str)> {
    let counters = Counters {
        now_ms: 1,
        sequence: 250,
        fencing_token: 251,
        events: 8,
        events_gone: Some(EventPosition { sequence: 7, index: 6 }),
        deleted_version: 9,
        records_digest: u64::MAX,
    };
    let stock = StockRecord {
        on_hand: 10,
        held: 2,
        sold: 70_000,
        safety_stock: 0,
        max_per_customer: Some(6),
        created_sequence: 5,
        version: 4,
        settled_ms: 1_700_000_000_000,
    };
    let waiting = ReservationRecord {
        customer_id: None,
        grant: None,
        ended_ms: None,
        payment_token: None,
        forget_ms: u64::MAX,
        ..reservation(State::Waiting)
    };
    let reserved = |record| (RecordKey::Reservation(id(258, 1)), Record::Reservation(record));
    let of_state = |state| reserved(reservation(state));
    let extended = ReservationRecord { extensions: 258, ..reservation(State::Held) };
    let view = reservation_view;
    let customer = RecordKey::Customer(sku("PS5"), "ann".into());
    vec![
        ((RecordKey::Counters, Record::Counters(counters)), "01", "0301fafbfb000801070609fdffffffffffffffff"),
        (
            (RecordKey::Stock(sku("PS5")), Record::Stock(stock)),
            "02505335",
            "030a02fc701101000001060504fd0068e5cf8b010000",
        ),
        (
            reserved(waiting),
            "0300000000000001020000000000000001",
            "030004636172740001035053350201fd0068e5cf8b010000fce09304000000fdffffffffffffffff00",
        ),
        (
            of_state(State::Held),
            "0300000000000001020000000000000001",
            "0301046361727401026d6501035053350201fd0068e5cf8b010000fce09304000109fd0068e5cf8b010000fde0fbe9cf8b01000001fafbfb0001027069",
        ),
        (
            reserved(extended),
            "0300000000000001020000000000000001",
            "0401046361727401026d6501035053350201fd0068e5cf8b010000fce09304000109fd0068e5cf8b010000fde0fbe9cf8b01000001fafbfb0001027069fb0201",
        ),
        (
            of_state(State::Committed),
            "0300000000000001020000000000000001",
            "0302046361727401026d6501035053350201fd0068e5cf8b010000fce09304000109fd0068e5cf8b010000fde0fbe9cf8b01000001fafbfb0001027069",
        ),
        (
            of_state(State::Released),
            "0300000000000001020000000000000001",
            "0303046361727401026d6501035053350201fd0068e5cf8b010000fce09304000109fd0068e5cf8b010000fde0fbe9cf8b01000001fafbfb0001027069",
        ),
        (
            of_state(State::Expired),
            "0300000000000001020000000000000001",
            "0304046361727401026d6501035053350201fd0068e5cf8b010000fce09304000109fd0068e5cf8b010000fde0fbe9cf8b01000001fafbfb0001027069",
        ),
        (
            of_state(State::Revoked),
            "0300000000000001020000000000000001",
            "0305046361727401026d6501035053350201fd0068e5cf8b010000fce09304000109fd0068e5cf8b010000fde0fbe9cf8b01000001fafbfb0001027069",
        ),
        (answer(Outcome::Ticked), "0400000000000000026b2d31", "0301020003"),
        (
            answer(Outcome::Reserved(view())),
            "0400000000000000026b2d31",
            "03010201010201016300010141010004010304050000000603",
        ),
        (
            answer(Outcome::AlreadyReserved(view())),
            "0400000000000000026b2d31",
            "03010202010201016300010141010004010304050000000603",
        ),
        (
            answer(Outcome::Waiting(view())),
            "0400000000000000026b2d31",
            "03010203010201016300010141010004010304050000000603",
        ),
        (
            answer(Outcome::Committed(view())),
            "0400000000000000026b2d31",
            "03010204010201016300010141010004010304050000000603",
        ),
        (
            answer(Outcome::Released(view())),
            "0400000000000000026b2d31",
            "03010205010201016300010141010004010304050000000603",
        ),
        (
            answer(Outcome::Extended(view())),
            "0400000000000000026b2d31",
            "03010206010201016300010141010004010304050000000603",
        ),
        (
            answer(Outcome::Returned(view())),
            "0400000000000000026b2d31",
            "03010207010201016300010141010004010304050000000603",
        ),
        (
            answer(Outcome::SkuCreated(stock_view())),
            "0400000000000000026b2d31",
            "0301020801410102030400000503",
        ),
        (answer(Outcome::SkuSet(stock_view())), "0400000000000000026b2d31", "0301020901410102030400000503"),
        (answer(Outcome::SkuDeleted), "0400000000000000026b2d31", "0301020a03"),
        ((customer, Record::Customer(CustomerRecord { sold: 3 })), "0550533500616e6e", "0303"),
        (
            (RecordKey::Events(258), Record::Events(events())),
            "060000000000000102",
            "0504fbf4010012090001010000fbf10102010163000101014101000901060902000000050001000200030101010101014102fbf10102010163000101014101000901000902000000050002000601020101410204060800000a01000000000001070000010377687901026e6f0003000701020000000000000000000000",
        ),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn records_have_golden_bytes() {
    for ((key, record), key_bytes, value_bytes) in golden() {
        let (encoded_key, value) = (encode_key(&key), encode_record(&record).unwrap());
        assert_eq!(hex(&encoded_key), key_bytes, "{key:?}");
        assert_eq!(hex(&value), value_bytes, "{record:?}");
        assert_eq!(decode_record(&encoded_key, &value).unwrap(), (key, record));
    }
}

/// A backup of before may have them.
#[test]
fn events_as_they_were_written_before_are_read() {
    let version_3 = concat!(
        "0304fa00090900010100000102010163000101410100040103040500000006fa01090200030101010101410201020101630001014101",
        "00040103040500000006fa02090601010141010203040000050101410102030401070005010377687901026e6ffa0309070101014101",
        "020304000005000000",
    );
    let digits = version_3.as_bytes().chunks(2).map(|byte| std::str::from_utf8(byte).unwrap());
    let bytes: Vec<u8> = digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let key = encode_key(&RecordKey::Events(258));
    assert_eq!(decode_record(&key, &bytes).unwrap().1, Record::Events(events()));
}

#[test]
fn events_are_written_the_same_from_what_is_kept_of_them() {
    for seed in 0..20 {
        let mut inventory = Shop::after(seed, 2_000).inventory;
        let whole: BTreeMap<RecordKey, Record> = inventory.records().collect();
        let mut chunks = 0;
        inventory.take_changed(|key, record| {
            let (KeyRef::Events(_), Some(record)) = (key, record) else { return };
            let (key, mut kept) = (key.to_key(), Vec::new());
            append_record(record, &mut kept).unwrap();
            assert_eq!(kept, encode_record(&whole[&key]).unwrap(), "seed {seed}, {key:?}");
            let decoded = decode_record(&encode_key(&key), &kept).unwrap();
            assert_eq!((&decoded.0, &decoded.1), (&key, &whole[&key]), "seed {seed}");
            chunks += 1;
        });
        assert!(chunks > 10, "seed {seed}: {chunks} chunks");
    }
}

/// Differences go past the ends of numbers.
#[test]
fn events_with_the_greatest_numbers_come_back_as_they_were() {
    let figures = |number| StockView {
        on_hand: number,
        held: !number,
        sold: number,
        safety_stock: !number,
        max_per_customer: Some(number),
        waiting: !number,
        version: number,
        ..stock_view()
    };
    let view = |number| ReservationView {
        id: id(number, !number),
        items: [("A", 1), ("B", number)].map(|(name, qty)| Item { sku: sku(name), qty }).into(),
        returned: vec![Item { sku: sku("A"), qty: !number }],
        created_ms: number,
        grant: Some(Grant { fencing_token: !number, granted_ms: number, deadline_ms: !number }),
        position: Some(number),
        committed_ms: Some(!number),
        now_ms: number,
        ..reservation_view()
    };
    let change = |number| {
        let (before, after) = (Some(figures(number)), Some(figures(!number)));
        let stock = StockChange { before, after, ..StockChange::default() };
        let (kind, before, items_before) = (ReservationChangeKind::Returned, None, None);
        let reservation = ReservationChange { kind, before, items_before, after: view(number) };
        [EventChange::Stock(stock.into()), EventChange::Reservation(reservation.into())]
    };
    let numbers = [u64::MAX, 0, 1 << 63, u64::MAX, 1, (1 << 63) - 1];
    let events = numbers.into_iter().flat_map(|number| {
        let position = EventPosition { sequence: number, index: number as u32 };
        let (now_ms, cause) = (!number, Cause::Return);
        change(number).map(|change| Event { position, now_ms, cause, change })
    });
    let record = Record::Events(events.collect());
    let key = encode_key(&RecordKey::Events(1));
    let bytes = encode_record(&record).unwrap();
    assert_eq!(decode_record(&key, &bytes).unwrap().1, record);
    for len in 0..bytes.len() {
        assert!(matches!(decode_record(&key, &bytes[..len]), Err(CodecError::Malformed(_))), "{len} bytes");
    }
}

#[test]
fn more_events_than_a_chunk_has_do_not_decode() {
    let key = encode_key(&RecordKey::Events(1));
    let decoded = |len| {
        let events = events().into_iter().cycle().take(len).collect();
        decode_record(&key, &encode_record(&Record::Events(events)).unwrap())
    };
    assert!(decoded(64).is_ok());
    assert!(matches!(decoded(65), Err(CodecError::Malformed(_))));
}

#[test]
fn an_event_that_leaves_its_sku_out_is_not_the_first_of_a_sku() {
    let record = Record::Events(vec![event(0, Cause::Put, events().swap_remove(3).change)]);
    let (key, mut bytes) = (encode_key(&RecordKey::Events(1)), encode_record(&record).unwrap());
    // The option of the SKU, its length and its one character.
    let at = bytes.windows(3).position(|three| three == [1, 1, b'A']).unwrap();
    assert_eq!(bytes.splice(at..at + 3, [0]).count(), 3);
    let refused = decode_record(&key, &bytes).unwrap_err();
    assert!(
        matches!(&refused, CodecError::Malformed(what) if what.contains("leaves a SKU out")),
        "{refused}"
    );
}

#[test]
fn a_reservation_that_says_it_was_extended_no_times_is_none() {
    let key = encode_key(&RecordKey::Reservation(id(258, 1)));
    let never = encode_record(&Record::Reservation(reservation(State::Held))).unwrap();
    assert!(decode_record(&key, &never).is_ok());
    let told = [&[EXTENDED_VERSION], &never[1..], &[0]].concat();
    assert!(matches!(decode_record(&key, &told), Err(CodecError::Malformed(_))));
    let other = [&[EXTENDED_VERSION][..], &[3, 1]].concat();
    assert_eq!(decode_record(&[COUNTERS_TAG], &other), Err(CodecError::Newer(EXTENDED_VERSION)));
}

#[test]
fn the_header_has_golden_bytes() {
    let applied = Some(Position { term: 3, leader: 1, index: 70_000 });
    let header = ImageHeader { applied, membership: vec![0xaa, 0xbb], digest: u64::MAX };
    let rows = [
        (header, "03411f894d010301fc7011010002aabbfdffffffffffffffff"),
        (ImageHeader::default(), "03f270f133000000"),
    ];
    for (header, bytes) in rows {
        assert_eq!(hex(&encode_header(&header).unwrap()), bytes);
        assert_eq!(decode_header(&encode_header(&header).unwrap()).unwrap(), header);
    }
}

#[test]
fn keys_sort_as_they_do_in_the_image() {
    let keys = [
        RecordKey::Counters,
        RecordKey::Stock(sku("A")),
        RecordKey::Stock(sku("AB")),
        RecordKey::Stock(sku("B")),
        RecordKey::Reservation(id(1, u64::MAX)),
        RecordKey::Reservation(id(255, 0)),
        RecordKey::Reservation(id(256, 0)),
        RecordKey::Reservation(id(u64::MAX, 0)),
        RecordKey::Answer(255, "".into()),
        RecordKey::Answer(255, "~".into()),
        RecordKey::Answer(256, "a".into()),
        RecordKey::Customer(sku("A"), "\u{0}".into()),
        RecordKey::Customer(sku("A"), "b".into()),
        RecordKey::Customer(sku("AB"), "a".into()),
        RecordKey::Events(1),
        RecordKey::Events(256),
    ];
    assert!(keys.is_sorted());
    let bytes: Vec<_> = keys.iter().map(encode_key).collect();
    assert!(bytes.is_sorted());
    assert!(HEADER_KEY < bytes[0].as_slice());
    keys.iter().zip(&bytes).for_each(|(key, bytes)| assert_eq!(&decode_key(bytes).unwrap(), key));
}

#[test]
fn what_nobody_wrote_does_not_decode() {
    let long = vec![VERSION; VALUE_BYTES_MAX + 1];
    let cases: [(&str, &[u8], &[u8]); 16] = [
        ("no key", &[], &[3, 0, 0, 0, 0, 0, 0]),
        ("the header's key", &[0], &[3, 0, 0, 0, 0, 0, 0]),
        ("an unknown tag", &[7], &[3, 0, 0, 0, 0, 0, 0]),
        ("counters with content", &[1, 1], &[3, 0, 0, 0, 0, 0, 0]),
        ("a SKU of no characters", &[2], &[3, 0, 0, 0, 0, 0, 0]),
        ("a SKU with a space", b"\x02A B", &[3, 0, 0, 0, 0, 0, 0]),
        ("a reservation's key cut short", &[3, 0, 0, 0], &[3]),
        ("an answer's key cut short", &[4, 0, 0, 0], &[3]),
        ("an answer's key that is not text", &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0xff], &[3]),
        ("a customer's key without an end of its SKU", b"\x05PS5", &[3]),
        ("a customer's key that is not text", b"\x05PS5\x00\xff", &[3]),
        ("a chunk's key cut short", &[6, 0, 0], &[3]),
        ("no value", &[1], &[]),
        ("version 0", &[1], &[0, 0, 0, 0, 0]),
        ("a value with a byte too many", &[1], &[3, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a value that is too long", &[1], &long),
    ];
    for (case, key, value) in cases {
        assert!(matches!(decode_record(key, value), Err(CodecError::Malformed(_))), "{case}");
    }
    assert_eq!(decode_record(&[1], &[4, 9, 9]), Err(CodecError::Newer(4)));
    for older in [1, 2] {
        assert_eq!(decode_record(&[1], &[older, 9, 9]), Err(CodecError::Older(older)));
    }
}

/// It comes before whatever a later version has, and is all that is said of such an image.
#[test]
fn a_level_that_is_not_supported_is_told_as_that() {
    let above = LEVELS.end() + 1;
    let level = (RecordKey::Level, Record::Level(LevelRecord { level: above }));
    let (key, value) = (encode_key(&level.0), encode_record(&level.1).unwrap());
    assert_eq!((hex(&key).as_str(), value[0], u16::from(value[1])), ("07", VERSION, above));
    let refused = decode_record(&key, &value).unwrap_err();
    assert!(
        matches!(&refused, CodecError::Level(what) if what.contains(&format!("level {above},"))),
        "{refused}"
    );
    assert!(matches!(decode_record(&[7, 0], &value), Err(CodecError::Malformed(_))));
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // A cart id of 2^60 bytes.
    let value = [&[VERSION, 0, 0xfd][..], &(1u64 << 60).to_le_bytes()].concat();
    let key = encode_key(&RecordKey::Reservation(id(1, 1)));
    assert!(matches!(decode_record(&key, &value), Err(CodecError::Malformed(_))));
}

#[test]
fn what_is_too_long_to_be_read_is_not_written() {
    let record =
        ReservationRecord { cart_id: "c".repeat(VALUE_BYTES_MAX).into(), ..reservation(State::Held) };
    assert!(matches!(encode_record(&Record::Reservation(record)), Err(CodecError::TooLarge(_))));
    // The longest that is written is read.
    let short =
        |len: usize| ReservationRecord { cart_id: "c".repeat(len).into(), ..reservation(State::Held) };
    let longest = (1..100).map(|less| short(VALUE_BYTES_MAX - less));
    let written = longest.filter_map(|record| {
        let bytes = encode_record(&Record::Reservation(record.clone())).ok()?;
        Some((record, bytes))
    });
    let (record, bytes) = written.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let key = encode_key(&RecordKey::Reservation(id(1, 1)));
    assert_eq!(decode_record(&key, &bytes).unwrap().1, Record::Reservation(record));
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_header_is_seen() {
    let applied = Some(Position { term: 1, leader: 2, index: 3 });
    let header = ImageHeader { applied, membership: vec![1, 2, 3], digest: 77 };
    let whole = encode_header(&header).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(decode_header(&damaged), Err(CodecError::Malformed(_))), "bit {bit}");
    }
    for len in 0..whole.len() {
        assert!(matches!(decode_header(&whole[..len]), Err(CodecError::Malformed(_))), "cut at {len}");
    }
}
