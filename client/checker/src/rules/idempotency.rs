//! One effect for each idempotency key, and one answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Findings;
use crate::book::{Ask, Body, Book, Command, Told};
use crate::history::{Came, Op};

/// What is done under a key is done once, and every answer of 2xx under it is the same.
pub(crate) fn once(book: &Book<'_>) -> Findings {
    let says = "All calls under one idempotency key have one effect and one answer, and a key that was used is not \
                taken for another call.";
    let mut found = Findings::new("idempotency", says);
    let keep_us = book.history.run.settings.idempotency_seconds.saturating_mul(1_000_000);
    for (key, places) in book.by_key() {
        let mut commands: Vec<&Command<'_>> = places.iter().map(|&place| &book.commands[place]).collect();
        commands.sort_by_key(|command| command.call.started_us);
        replayed_from_nothing(key, &commands, &mut found);
        // What was forgotten may be done again: then nothing can be said.
        let first_us = commands.first().map_or(0, |command| command.call.started_us);
        commands.retain(|command| command.call.ended_us.saturating_sub(first_us) < keep_us);
        one_key(key, &commands, &mut found);
    }
    found
}

fn one_key(key: &str, commands: &[&Command<'_>], found: &mut Findings) {
    let Some((first, told)) = commands.iter().find_map(|command| Some((command, command.success()?))) else {
        found.look();
        return reused_without_reason(key, commands, found);
    };
    let mut fresh = 0;
    for command in commands {
        found.look();
        let calls = [first.call.id, command.call.id];
        let at_us = command.call.ended_us;
        if let Some(why) = command.told.as_ref().and_then(|other| differs(first, told, command, other)) {
            found.accuse(at_us, &calls, || format!("key {key:?}: {why}"));
        }
        fresh += usize::from(command.success().is_some_and(|told| !told.replayed));
        if fresh > 1 {
            found.accuse(at_us, &calls, || format!("key {key:?}: done {fresh} times"));
        }
    }
    reused_without_reason(key, commands, found);
}

/// How an answer under a key that another one was given under does not go with that one.
fn differs(first: &Command<'_>, told: &Told, command: &Command<'_>, other: &Told) -> Option<String> {
    let same_call = first.ask == command.ask && first.condition == command.condition;
    if !other.succeeded() {
        let after = first.call.ended_us < command.call.started_us;
        let by_inventory = other.sequence.is_some() && !matches!(other.status, 422 | 503 | 504);
        return (after && by_inventory).then(|| match same_call {
            true => format!("refused with {} after it had been done", other.code()),
            false => format!("refused with {}, and not as used for another call", other.code()),
        });
    }
    if !same_call {
        return Some("two different calls were done".into());
    }
    if (told.status, told.sequence) != (other.status, other.sequence) {
        return Some(format!(
            "answered {} at {:?}, and {} at {:?}",
            told.status, told.sequence, other.status, other.sequence
        ));
    }
    (!same_body(&told.body, &other.body)).then(|| "answered twice with different bodies".into())
}

/// A key is refused as used only where another call used it.
fn reused_without_reason(key: &str, commands: &[&Command<'_>], found: &mut Findings) {
    let refused = commands.iter().filter(|one| one.told.as_ref().is_some_and(|told| told.status == 422));
    for one in refused {
        if is_one_call(commands) {
            found.accuse(one.call.ended_us, &[one.call.id], || {
                format!("key {key:?} was refused as used for another call, and there is none")
            });
        }
    }
}

/// An answer is given again only where there was one: a try was answered first, or its answer may have been lost. So
/// either a node says that it executed nothing and it did, or it sent a call twice by itself.
fn replayed_from_nothing(key: &str, commands: &[&Command<'_>], found: &mut Findings) {
    let again = commands.iter().find(|command| command.success().is_some_and(|told| told.replayed));
    let Some(again) = again.filter(|_| is_one_call(commands)) else { return };
    if !commands.iter().any(|command| may_have_been_first(command)) {
        found.accuse(again.call.ended_us, &[again.call.id], || {
            format!("key {key:?}: its answer is given again, and nothing was done under it before")
        });
    }
}

fn may_have_been_first(command: &Command<'_>) -> bool {
    let fresh = command.success().is_some_and(|told| !told.replayed);
    // Of a batch that was tried again each operation may have been done by an earlier try.
    let in_batch = command.call.op == Op::Batch && command.call.tries.len() > 1;
    // An answer that cannot be read is one.
    let done = |came: &Came| matches!(came, Came::Answer { status: 200..300, .. });
    let unread = command.told.is_none() && command.call.tries.iter().any(|one| done(&one.came));
    fresh || command.doubts > 0 || in_batch || unread
}

/// Whether all that was asked for under a key is one and the same.
fn is_one_call(commands: &[&Command<'_>]) -> bool {
    let asks: BTreeSet<String> = commands.iter().map(|command| text(&command.ask, command)).collect();
    asks.len() < 2
}

fn text(ask: &Ask, command: &Command<'_>) -> String {
    format!("{ask:?} {:?}", command.condition)
}

fn same_body(one: &Body, other: &Body) -> bool {
    let value = |body: &Body| match body {
        Body::Reservation(view) => serde_json::to_value(view).ok(),
        Body::Stock(record) => serde_json::to_value(record).ok(),
        _ => Some(Value::Null),
    };
    value(one) == value(other)
}
