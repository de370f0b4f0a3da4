//! Nobody who waits is overtaken.
//!
//! By the feed: a SKU's line is a queue, only its head is served, and nobody is granted a hold past it. By real time:
//! who asked after another one had been told to wait has the later token.

use std::collections::{BTreeMap, HashMap, HashSet};

use client::api::{EventData, ReservationEvent, ReservationState};

use super::Findings;
use crate::book::{Ask, Book};

/// Strict order.
pub(crate) fn in_order(book: &Book<'_>) -> Findings {
    let says = "Whoever waits for a SKU is served in strict order, and nobody takes units past a line.";
    let mut found = Findings::new("waiting_line", says);
    by_feed(book, &mut found);
    by_real_time(book, &mut found);
    found
}

#[derive(Default)]
struct Lines<'b> {
    /// By their joining.
    lines: HashMap<&'b str, BTreeMap<u64, &'b str>>,
    places: HashMap<&'b str, (u64, &'b str)>,
    joined: u64,
}

fn by_feed(book: &Book<'_>, found: &mut Findings) {
    let mut lines = Lines::default();
    for noted in &book.feed {
        let EventData::Reservation(change) = &noted.event.data else { continue };
        found.look();
        if let Some(why) = lines.follow(change) {
            found.accuse(book.at_us(noted.at_ms), &[], || format!("event {}: {why}", noted.event.id));
        }
    }
}

impl<'b> Lines<'b> {
    /// Takes a change in, and says how it breaks the order.
    fn follow(&mut self, change: &'b ReservationEvent) -> Option<String> {
        let view = &change.reservation;
        let id = view.reservation_id.as_str();
        match (change.state_before, view.state) {
            (None, ReservationState::Waiting) => {
                let sku = view.items.first()?.sku.as_str();
                self.joined += 1;
                self.lines.entry(sku).or_default().insert(self.joined, id);
                self.places.insert(id, (self.joined, sku));
                None
            }
            (Some(ReservationState::Waiting), after) => {
                let (place, sku) = self.places.remove(id)?;
                let line = self.lines.get_mut(sku)?;
                let head = line.first_key_value().map(|(_, head)| *head);
                line.remove(&place);
                let served = after == ReservationState::Held;
                (served && head != Some(id))
                    .then(|| format!("{id} is served, and {head:?} is the head of the line of {sku}"))
            }
            (None, ReservationState::Held) => {
                let lined = |sku: &str| self.lines.get(sku).is_some_and(|line| !line.is_empty());
                let past = view.items.iter().find(|item| lined(&item.sku))?;
                Some(format!("{id} is granted units of {}, for which others wait", past.sku))
            }
            _ => None,
        }
    }
}

/// Who asks for units of a SKU, and when.
#[derive(Clone)]
struct Asker<'b> {
    started_us: u64,
    ended_us: u64,
    /// The token that it got; `None` where it waits to the end.
    token: Option<u64>,
    waited: bool,
    id: &'b str,
    call: u64,
}

fn by_real_time(book: &Book<'_>, found: &mut Findings) {
    let tokens = tokens(book);
    let (still, firsts) = (still_waiting(book), first_asked(book));
    let mut skus: HashMap<&str, Vec<Asker<'_>>> = HashMap::new();
    for command in &book.commands {
        let (Ask::Reserve(_), Some(told)) = (&command.ask, command.success()) else { continue };
        let Some(view) = told.reservation() else { continue };
        let id = view.reservation_id.as_str();
        let token = tokens.get(id).copied();
        let waited = view.state == ReservationState::Waiting;
        if !(waited || told.status == 201) || (token.is_none() && !still.contains(id)) {
            continue;
        }
        let call = command.call;
        // Who is told to wait may have asked before; who is granted a hold has it from this call, or a replayed one.
        let own = told.status == 201 && !told.replayed;
        let first_us = firsts.get(view.cart_id.as_str()).copied().unwrap_or(0);
        let started_us = if own { call.started_us } else { first_us };
        let asker = Asker { started_us, ended_us: call.ended_us, token, waited, id, call: call.id };
        for item in &view.items {
            skus.entry(&item.sku).or_default().push(asker.clone());
        }
    }
    for (sku, askers) in skus {
        overtaken(sku, askers, found);
    }
}

fn overtaken(sku: &str, mut askers: Vec<Asker<'_>>, found: &mut Findings) {
    askers.sort_by_key(|one| one.started_us);
    let mut by_end: Vec<Asker<'_>> = askers.iter().filter(|one| one.waited).cloned().collect();
    by_end.sort_by_key(|one| one.ended_us);
    let mut ended = by_end.into_iter().peekable();
    // Of those who were told to wait before: the last to be served.
    let mut last: Option<(u64, &str, u64)> = None;
    for one in &askers {
        while let Some(before) = ended.next_if(|before| before.ended_us < one.started_us) {
            last = last.max(Some((before.token.unwrap_or(u64::MAX), before.id, before.call)));
        }
        found.look();
        if let (Some((served, id, call)), Some(token)) = (last, one.token)
            && token < served
        {
            found.accuse(one.ended_us, &[call, one.call], || {
                format!(
                    "{} asked for {sku} after {id} had been told to wait, and was served before it",
                    one.id
                )
            });
        }
    }
}

/// Every token that anybody was told of.
fn tokens<'b>(book: &'b Book<'_>) -> HashMap<&'b str, u64> {
    let commands = book.commands.iter().filter_map(|command| command.told.as_ref());
    let told = commands.chain(book.reads.iter().map(|read| &read.told)).flat_map(|told| told.reservations());
    let last = book.history.finals.iter().flat_map(|last| &last.reservations);
    let tokens =
        told.chain(last).filter_map(|view| Some((view.reservation_id.as_str(), view.fencing_token?)));
    tokens.collect()
}

/// Those who wait at the end, on some node.
fn still_waiting<'b>(book: &'b Book<'_>) -> HashSet<&'b str> {
    let last = book.history.finals.iter().flat_map(|last| &last.reservations);
    let waiting = last.filter(|view| view.state == ReservationState::Waiting);
    waiting.map(|view| view.reservation_id.as_str()).collect()
}

/// When each cart was asked for first, whatever became of it.
fn first_asked<'b>(book: &'b Book<'_>) -> HashMap<&'b str, u64> {
    let mut firsts: HashMap<&str, u64> = HashMap::new();
    for command in &book.commands {
        if let Ask::Reserve(reserve) = &command.ask {
            let first = firsts.entry(&reserve.cart_id).or_insert(u64::MAX);
            *first = command.call.started_us.min(*first);
        }
    }
    firsts
}
