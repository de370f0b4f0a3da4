//! What was acknowledged is there at the end, on every node.

use std::collections::HashMap;

use client::api::{InventoryRecord, Item, Reservation, ReservationState};

use super::Findings;
use crate::book::{Ask, Body, Book, ms};
use crate::history::Final;
use crate::verdict::RuleVerdict;

/// No acknowledged answer is lost.
pub(crate) fn anywhere(book: &Book<'_>) -> RuleVerdict {
    let says = "What was acknowledged is there after the run, on every node.";
    let mut found = Findings::new("nothing_lost", says);
    let deleted: Vec<&str> = book
        .commands
        .iter()
        .filter_map(|command| match &command.ask {
            Ask::Delete(sku) if command.success().is_some() || command.doubts > 0 => Some(sku.as_str()),
            _ => None,
        })
        .collect();
    let deleted: std::collections::HashSet<&str> = deleted.into_iter().collect();
    for last in &book.history.finals {
        at_node(book, last, &deleted, &mut found);
    }
    found.verdict()
}

fn at_node(book: &Book<'_>, last: &Final, deleted: &std::collections::HashSet<&str>, found: &mut Findings) {
    let reservations: HashMap<&str, &Reservation> =
        last.reservations.iter().map(|view| (view.reservation_id.as_str(), view)).collect();
    let stock: HashMap<&str, &InventoryRecord> =
        last.stock.iter().map(|record| (record.sku.as_str(), record)).collect();
    let forgets = last.at_us > book.history.run.settings.retention_seconds.saturating_mul(1_000_000);
    for command in &book.commands {
        let Some(told) = command.success() else { continue };
        let lost = match &told.body {
            Body::Reservation(view)
                if forgets && !reservations.contains_key(view.reservation_id.as_str()) =>
            {
                None
            }
            Body::Reservation(view) => {
                lost_reservation(view, reservations.get(view.reservation_id.as_str()).copied())
            }
            Body::Stock(record) if deleted.contains(record.sku.as_str()) => None,
            Body::Stock(record) => lost_record(record, stock.get(record.sku.as_str()).copied()),
            _ => None,
        };
        found.look();
        let missing = told.sequence.filter(|&sequence| sequence > last.sequence);
        let lost = lost.or_else(|| missing.map(|sequence| format!("the command {sequence} was not applied")));
        if let Some(lost) = lost {
            found.accuse(command.call.ended_us, &[command.call.id], || {
                format!("call {} was acknowledged, and on node {} {lost}", command.call.id, last.node)
            });
        }
    }
}

fn lost_reservation(acknowledged: &Reservation, last: Option<&Reservation>) -> Option<String> {
    let id = &acknowledged.reservation_id;
    let Some(last) = last else { return Some(format!("{id} is not there")) };
    let same_cart = acknowledged.cart_id == last.cart_id && acknowledged.created_at == last.created_at;
    if !same_cart || !may_become(acknowledged, last) {
        return Some(format!("{id} is {} and was {}", last.state.as_str(), acknowledged.state.as_str()));
    }
    let token = acknowledged.fencing_token.is_none_or(|token| last.fencing_token == Some(token));
    let sold = acknowledged.state != ReservationState::Committed
        || (acknowledged.payment_token == last.payment_token
            && acknowledged.committed_at == last.committed_at
            && acknowledged.items == last.items
            && covers(&last.returned, &acknowledged.returned));
    let deadline = |view: &Reservation| view.expires_at.as_deref().and_then(ms);
    let kept = deadline(last) >= deadline(acknowledged);
    (!token || !sold || !kept).then(|| format!("{id} is another one: {last:?}"))
}

/// Whether the arrows of the contract lead from one state to the other.
fn may_become(from: &Reservation, to: &Reservation) -> bool {
    use ReservationState::{Committed, Expired, Held, Released, Revoked, Waiting};
    match from.state {
        Waiting | Held if to.state == from.state => true,
        Waiting => matches!(to.state, Held | Committed | Released | Expired | Revoked),
        Held => matches!(to.state, Committed | Released | Expired | Revoked),
        Expired => matches!(to.state, Expired | Committed),
        other => to.state == other,
    }
}

fn covers(more: &[Item], less: &[Item]) -> bool {
    less.iter().all(|item| more.iter().any(|other| other.sku == item.sku && other.qty >= item.qty))
}

fn lost_record(acknowledged: &InventoryRecord, last: Option<&InventoryRecord>) -> Option<String> {
    let sku = &acknowledged.sku;
    match last {
        None => Some(format!("{sku} is not there")),
        Some(last) if last.version < acknowledged.version => {
            Some(format!("{sku} has version {} and had {}", last.version, acknowledged.version))
        }
        Some(_) => None,
    }
}
