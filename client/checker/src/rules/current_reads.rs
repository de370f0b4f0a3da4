//! No answer shows less than one that was there before it was asked for; sequences are not looked at.
//!
//! A reservation goes one way only: from waiting to held, from there to an end, and from an end at most to committed.
//! The version of a SKU's record only grows. So whoever shows the earlier of two states shows the older one.

use std::collections::HashMap;

use client::api::{Reservation, ReservationState};

use super::Findings;
use crate::book::{Book, Told};
use crate::history::Call;
use crate::verdict::RuleVerdict;

/// What an answer shows of one thing: the greater, the later.
struct Shown {
    started_us: u64,
    ended_us: u64,
    age: u64,
    /// Whether it must show the present.
    current: bool,
    call: u64,
}

/// Linearizable answers never go back.
pub(crate) fn never_older(book: &Book<'_>) -> RuleVerdict {
    let says = "No linearizable answer shows an older state of a reservation or SKU than an answer that was given \
                before it was asked for.";
    let mut found = Findings::new("current_reads", says);
    let mut things: HashMap<(&str, &str), Vec<Shown>> = HashMap::new();
    let commands = book.commands.iter().filter_map(|command| {
        let told = command.told.as_ref()?;
        Some((command.call, told, !told.replayed))
    });
    let reads = book.reads.iter().map(|read| (read.call, &read.told, !read.call.stale));
    for (call, told, current) in commands.chain(reads) {
        show(&mut things, call, told, current);
    }
    for ((kind, name), shown) in things {
        one_thing(kind, name, shown, &mut found);
    }
    found.verdict()
}

fn show<'b>(
    things: &mut HashMap<(&'b str, &'b str), Vec<Shown>>,
    call: &Call,
    told: &'b Told,
    current: bool,
) {
    let (started_us, ended_us) = (call.started_us, call.ended_us);
    let shown = |age| Shown { started_us, ended_us, age, current, call: call.id };
    for view in told.reservations() {
        things.entry(("reservation", &view.reservation_id)).or_default().push(shown(age(view)));
        let returned: u64 = view.returned.iter().map(|item| item.qty).sum();
        things.entry(("returned units of", &view.reservation_id)).or_default().push(shown(returned));
    }
    for record in told.stocks() {
        things.entry(("SKU", &record.sku)).or_default().push(shown(record.version));
    }
}

fn age(view: &Reservation) -> u64 {
    match view.state {
        ReservationState::Waiting => 0,
        ReservationState::Held => 1,
        ReservationState::Committed => 3,
        // Released, expired, revoked.
        _ => 2,
    }
}

fn one_thing(kind: &str, name: &str, mut shown: Vec<Shown>, found: &mut Findings) {
    shown.sort_by_key(|one| one.started_us);
    let mut by_end: Vec<usize> = (0..shown.len()).collect();
    by_end.sort_by_key(|&place| shown[place].ended_us);
    let mut ended = by_end.into_iter().peekable();
    let mut latest: Option<(u64, u64)> = None;
    for one in &shown {
        while let Some(place) = ended.next_if(|&place| shown[place].ended_us < one.started_us) {
            latest = latest.max(Some((shown[place].age, shown[place].call)));
        }
        found.look();
        if let Some((age, call)) = latest
            && one.current
            && one.age < age
        {
            found.accuse(one.started_us, &[call, one.call], || {
                format!(
                    "{kind} {name}: call {} shows an older state than call {call}, which ended before",
                    one.call
                )
            });
        }
    }
}
