//! The words of events: each type is written and read by one table.

use super::*;

#[test]
fn every_type_is_a_filter_and_means_itself_alone() {
    for (kind, word) in RESERVATION_KINDS {
        let expected = EventKinds { reservations: vec![kind], stock: Vec::new() };
        assert_eq!(kinds_of(&format!("{RESERVATION}{word}")), Some(expected));
        assert_eq!(kinds_of(word), None);
    }
    for (kind, word) in STOCK_KINDS {
        let expected = EventKinds { reservations: Vec::new(), stock: vec![kind] };
        assert_eq!(kinds_of(&format!("{STOCK}{word}")), Some(expected));
    }
    assert_eq!(kinds_of("reservation").map(|kinds| kinds.reservations.len()), Some(RESERVATION_KINDS.len()));
    assert_eq!(kinds_of("stock").map(|kinds| kinds.stock.len()), Some(STOCK_KINDS.len()));
    for none in ["", "lastunit", "lastunit.", RESERVATION, STOCK, "lastunit.orders.made"] {
        assert_eq!(kinds_of(none), None, "{none}");
    }
}
