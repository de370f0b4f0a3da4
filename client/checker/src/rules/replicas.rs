//! All nodes have one state.

use std::collections::HashMap;

use client::api::{InventoryRecord, Reservation, ReservationState};

use super::Findings;
use crate::book::Book;
use crate::history::Final;
use crate::verdict::RuleVerdict;

/// One log entry, one digest; one sequence, one state.
pub(crate) fn agree(book: &Book<'_>) -> RuleVerdict {
    let says = "All nodes have the same digest at the same log entry, and the same stock and reservations.";
    let mut found = Findings::new("replicas_agree", says);
    let mut digests: HashMap<u64, (u64, &str)> = HashMap::new();
    for last in &book.history.finals {
        let Some(index) = last.cluster.applied_index else { continue };
        found.look();
        let digest = last.cluster.state_digest.as_str();
        let (node, other) = *digests.entry(index).or_insert((last.node, digest));
        if other != digest {
            found.accuse(last.at_us, &[], || {
                format!(
                    "at log entry {index} node {node} has the digest {other}, and node {} {digest}",
                    last.node
                )
            });
        }
    }
    if let Some((first, others)) = book.history.finals.split_first() {
        others.iter().for_each(|other| compare(first, other, &mut found));
    }
    found.verdict()
}

/// Nobody makes calls any more, so only time can tell two nodes apart.
fn compare(one: &Final, other: &Final, found: &mut Findings) {
    let stock: Vec<_> = one.stock.iter().map(timeless_stock).collect();
    let other_stock: Vec<_> = other.stock.iter().map(timeless_stock).collect();
    let reservations: HashMap<&str, &Reservation> =
        one.reservations.iter().map(|view| (view.reservation_id.as_str(), view)).collect();
    let differs = |view: &Reservation| {
        !reservations.get(view.reservation_id.as_str()).is_some_and(|known| same_but_for_time(known, view))
    };
    found.look();
    if stock != other_stock {
        found.accuse(other.at_us, &[], || format!("nodes {} and {} have other stock", one.node, other.node));
    }
    for view in other.reservations.iter().filter(|view| differs(view)) {
        found.accuse(other.at_us, &[], || {
            format!("nodes {} and {} differ in {}", one.node, other.node, view.reservation_id)
        });
    }
    if one.reservations.len() != other.reservations.len() {
        found.accuse(other.at_us, &[], || {
            let (count, others) = (one.reservations.len(), other.reservations.len());
            format!("node {} has {count} reservations, and node {} {others}", one.node, other.node)
        });
    }
}

fn timeless_stock(record: &InventoryRecord) -> (&str, u64, u64, u64, Option<u64>) {
    (&record.sku, record.on_hand, record.sold, record.safety_stock, record.max_per_customer)
}

fn same_but_for_time(one: &Reservation, other: &Reservation) -> bool {
    let timely = |view: &Reservation| {
        use ReservationState::{Committed, Expired, Held, Released, Revoked, Waiting};
        match view.state {
            // Time, and the line that it serves, lead from one of these to another.
            Waiting | Held | Expired => 0,
            Committed => 1,
            Revoked => 2,
            // One who waits may be passed over.
            Released if view.fencing_token.is_none() => 0,
            _ => 3,
        }
    };
    (
        timely(one),
        &one.cart_id,
        &one.items,
        &one.created_at,
        &one.committed_at,
        &one.payment_token,
        &one.returned,
    ) == (
        timely(other),
        &other.cart_id,
        &other.items,
        &other.created_at,
        &other.committed_at,
        &other.payment_token,
        &other.returned,
    )
}
