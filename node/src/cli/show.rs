//! Records as people read them.

use client::api::{Event, EventData, InventoryRecord, Item, Reservation};

use super::out::{Table, fields};

/// A table of SKUs.
pub(super) fn sku_table() -> Table<9> {
    Table::new([
        "SKU",
        "#ON_HAND",
        "#HELD",
        "#AVAILABLE",
        "#SOLD",
        "#SAFETY_STOCK",
        "#MAX_PER_CUSTOMER",
        "#WAITING",
        "#VERSION",
    ])
}

/// A row of [`sku_table`].
pub(super) fn sku_row(record: &InventoryRecord) -> [String; 9] {
    [
        record.sku.clone(),
        record.on_hand.to_string(),
        record.held.to_string(),
        record.available.to_string(),
        record.sold.to_string(),
        record.safety_stock.to_string(),
        limit(record.max_per_customer),
        record.waiting.to_string(),
        record.version.to_string(),
    ]
}

/// One SKU.
pub(super) fn sku(record: &InventoryRecord) -> String {
    sku_table().rows(&[sku_row(record)])
}

/// One reservation, field by field.
pub(super) fn reservation(it: &Reservation) -> String {
    fields(&[
        ("reservation_id", Some(it.reservation_id.clone())),
        ("state", Some(it.state.as_str().to_owned())),
        ("position", it.position.map(|position| position.to_string())),
        ("items", Some(items(&it.items))),
        ("cart_id", Some(it.cart_id.clone())),
        ("customer_id", it.customer_id.clone()),
        ("expires_in", it.expires_in.map(|seconds| format!("{seconds} s"))),
        ("expires_at", it.expires_at.clone()),
        ("fencing_token", it.fencing_token.map(|token| token.to_string())),
        ("created_at", Some(it.created_at.clone())),
        ("committed_at", it.committed_at.clone()),
        ("payment_token", it.payment_token.clone()),
        ("returned", (!it.returned.is_empty()).then(|| items(&it.returned))),
    ])
}

/// An event: its place, its time, what happened to what, and by what.
pub(super) fn event(event: &Event) -> String {
    let kind = event.kind.strip_prefix("lastunit.").unwrap_or(&event.kind);
    let (cause, detail) = match &event.data {
        EventData::Reservation(change) => (&change.cause, items(&change.reservation.items)),
        EventData::Stock(change) => (&change.cause, figures(change.before.as_ref(), change.after.as_ref())),
    };
    let line =
        format!("{:<12}  {}  {kind:<21}  {}  {detail}  by {cause}", event.id, event.time, event.subject);
    format!("{}\n", super::out::plain(&line))
}

/// `PS5=1 XBOX=2`, as the commands take them.
fn items(items: &[Item]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("{}={}", item.sku, item.qty)).collect();
    items.join(" ")
}

/// The figures that changed, before and after.
fn figures(before: Option<&InventoryRecord>, after: Option<&InventoryRecord>) -> String {
    let figure = |name: &str, of: fn(&InventoryRecord) -> u64| {
        let (before, after) = (before.map_or(0, of), after.map_or(0, of));
        (before != after).then(|| format!("{name} {before}->{after}"))
    };
    let limits = [before, after].map(|record| record.and_then(|record| record.max_per_customer));
    let limit = (limits[0] != limits[1]).then(|| {
        let [before, after] = limits.map(limit);
        format!("max_per_customer {before}->{after}")
    });
    let figures = [
        figure("on_hand", |record| record.on_hand),
        figure("held", |record| record.held),
        figure("available", |record| record.available),
        figure("sold", |record| record.sold),
        figure("safety_stock", |record| record.safety_stock),
        limit,
        figure("waiting", |record| record.waiting),
    ];
    figures.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A limit, as the commands take it.
fn limit(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |most| most.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(on_hand: u64, held: u64) -> InventoryRecord {
        let (sku, available) = ("PS5".to_owned(), on_hand - held);
        InventoryRecord {
            sku,
            on_hand,
            held,
            available,
            sold: 0,
            safety_stock: 0,
            max_per_customer: None,
            waiting: 0,
            version: 1,
        }
    }

    #[test]
    fn only_figures_that_changed_are_told() {
        let (before, after) = (record(5, 0), record(5, 2));
        assert_eq!(figures(Some(&before), Some(&after)), "held 0->2 available 5->3");
        assert_eq!(figures(None, Some(&before)), "on_hand 0->5 available 0->5");
        assert_eq!(figures(Some(&before), None), "on_hand 5->0 available 5->0");
    }

    #[test]
    fn no_limit_is_told_as_none() {
        let (open, limited) = (record(5, 0), InventoryRecord { max_per_customer: Some(2), ..record(5, 0) });
        assert_eq!(figures(Some(&open), Some(&limited)), "max_per_customer none->2");
        assert_eq!(figures(Some(&limited), Some(&open)), "max_per_customer 2->none");
        assert!(sku(&open).contains(" none "), "{}", sku(&open));
    }

    #[test]
    fn a_sku_is_a_table_of_one_row() {
        let told = sku(&record(1000, 7));
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].find("HELD").unwrap() + 4, lines[1].find(" 7 ").unwrap() + 2);
    }
}
