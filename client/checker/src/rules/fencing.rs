//! Fencing tokens: one for each hold, and the later grant has the greater.

use std::collections::HashMap;

use client::api::{EventData, Reservation, ReservationState};

use super::Findings;
use crate::book::Book;
use crate::verdict::RuleVerdict;

/// Tokens grow.
pub(crate) fn grow(book: &Book<'_>) -> RuleVerdict {
    let says =
        "No two holds share a fencing token, a hold keeps its own, and a later grant has the greater one.";
    let mut found = Findings::new("fencing", says);
    one_each(book, &mut found);
    by_feed(book, &mut found);
    by_real_time(book, &mut found);
    found.verdict()
}

fn one_each(book: &Book<'_>, found: &mut Findings) {
    let mut owners: HashMap<u64, &str> = HashMap::new();
    let mut tokens: HashMap<&str, u64> = HashMap::new();
    let commands = book.commands.iter().filter_map(|command| Some((command.call, command.told.as_ref()?)));
    let reads = book.reads.iter().map(|read| (read.call, &read.told));
    let answered = commands.chain(reads).flat_map(|(call, told)| {
        told.reservations().iter().map(move |view| (call.ended_us, vec![call.id], view))
    });
    let last = book
        .history
        .finals
        .iter()
        .flat_map(|last| last.reservations.iter().map(move |view| (last.at_us, vec![], view)));
    for (at_us, calls, view) in answered.chain(last) {
        let (id, Some(token)) = (view.reservation_id.as_str(), view.fencing_token) else { continue };
        found.look();
        let owner = *owners.entry(token).or_insert(id);
        let known = *tokens.entry(id).or_insert(token);
        if owner != id || known != token {
            found.accuse(at_us, &calls, || {
                format!("{id} has fencing token {token}; it had {known}, and {owner} had {token}")
            });
        }
    }
}

fn by_feed(book: &Book<'_>, found: &mut Findings) {
    let mut last = 0;
    for noted in &book.feed {
        let EventData::Reservation(change) = &noted.event.data else { continue };
        if !is_grant(change.state_before, &change.reservation) {
            continue;
        }
        found.look();
        let token = change.reservation.fencing_token.unwrap_or(0);
        if token <= last {
            found.accuse(book.at_us(noted.at_ms), &[], || {
                format!("event {}: a hold is granted with token {token} after {last}", noted.event.id)
            });
        }
        last = last.max(token);
    }
}

/// Whether a change is the grant of a hold.
pub(super) fn is_grant(before: Option<ReservationState>, after: &Reservation) -> bool {
    after.state == ReservationState::Held && matches!(before, None | Some(ReservationState::Waiting))
}

fn by_real_time(book: &Book<'_>, found: &mut Findings) {
    let grants = book.commands.iter().filter_map(|command| {
        let told = command.success().filter(|told| told.status == 201 && !told.replayed)?;
        Some((command.call, told.reservation()?.fencing_token?))
    });
    let mut by_start: Vec<_> = grants.collect();
    let mut by_end = by_start.clone();
    by_start.sort_by_key(|(call, _)| call.started_us);
    by_end.sort_by_key(|(call, _)| call.ended_us);
    let mut ended = by_end.into_iter().peekable();
    let mut greatest: Option<(u64, u64)> = None;
    for (call, token) in by_start {
        while let Some((other, token)) = ended.next_if(|(other, _)| other.ended_us < call.started_us) {
            greatest = greatest.max(Some((token, other.id)));
        }
        found.look();
        if let Some((before, other)) = greatest
            && before >= token
        {
            found.accuse(call.ended_us, &[other, call.id], || {
                format!("call {} was granted token {token}, and call {other}, which ended before it began, {before}", call.id)
            });
        }
    }
}
