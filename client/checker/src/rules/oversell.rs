//! No moment at which more units are surely taken than there can be, by real time and acknowledged answers alone.
//!
//! ```text
//!   put 3 |--|       adjust +2 |---|                    units there can be:   3, from the adjust's START on 5
//!   reserve 2  |---|==============|--| release          units surely taken:   2, from the reserve's END on,
//!              start  end        start                                        until the release's START
//! ```
//!
//! What can be is counted from its start, what surely is from its end, so no sequence and no clock of the cluster is
//! trusted; the wall clock only for the earliest moment at which a hold may have lapsed by itself.
//!
//! A SKU is looked at from its first put until another put or a delete of it begins, because from then on nobody can
//! tell from outside what was sold when its stock was set.

use std::collections::HashMap;

use client::api::{IfExpired, Item, OnShortfall, Reservation};

use super::{CLOCK_SLACK_MS, Findings};
use crate::book::{Ask, Book, Command, Told, ms};
use crate::verdict::RuleVerdict;

/// A change of what is taken, or of what there can be.
struct Step {
    at_us: u64,
    taken: i64,
    room: i64,
    call: u64,
}

/// The time in which a SKU's units can be counted from outside.
struct Span {
    until_us: u64,
    steps: Vec<Step>,
}

/// What is known of a reservation from outside.
struct Known {
    /// The first answer that showed its hold as granted by a reserve.
    granted: Option<(u64, u64, Vec<Item>)>,
    /// The earliest moment at which it may have been granted.
    asked_us: u64,
    /// The latest deadline that any answer showed.
    deadline_ms: u64,
    /// What was sold, by an answer.
    committed: Option<(u64, u64, Vec<Item>)>,
    /// Whether some commit, answered or not, may have taken its units anew after they had lapsed.
    may_be_taken_anew: bool,
    /// When the first command began that may have given units back before the sale.
    given_back_us: u64,
    /// When the first return of it began.
    returned_us: u64,
}

impl Default for Known {
    fn default() -> Self {
        Known {
            granted: None,
            asked_us: u64::MAX,
            deadline_ms: 0,
            committed: None,
            may_be_taken_anew: false,
            given_back_us: u64::MAX,
            returned_us: u64::MAX,
        }
    }
}

/// Surely held plus sold units never exceed the stock.
pub(crate) fn never(book: &Book<'_>) -> RuleVerdict {
    let says = "At no moment are more units surely held or sold than the acknowledged stock has room for, by real \
                time alone.";
    let mut found = Findings::new("oversell", says);
    let mut spans = rooms(book);
    let revokes = revokes(book);
    for (_, known) in reservations(book) {
        known.take(book, &revokes, &mut spans);
    }
    let mut skus: Vec<_> = spans.into_iter().collect();
    skus.sort_by(|one, other| one.0.cmp(other.0));
    for (sku, span) in skus {
        count(sku, span, &mut found);
    }
    found.verdict()
}

fn count(sku: &str, mut span: Span, found: &mut Findings) {
    // At one moment, what makes room comes first.
    span.steps.sort_by_key(|step| (step.at_us, step.taken - step.room));
    let (mut taken, mut room) = (0, 0);
    for step in span.steps.iter().take_while(|step| step.at_us < span.until_us) {
        (taken, room) = (taken + step.taken, room + step.room);
        // Room alone proves nothing: a SKU of which nothing was taken was not looked at.
        if step.taken > 0 {
            found.look();
        }
        if taken > room {
            found.accuse(step.at_us, &[step.call], || {
                format!("{taken} units of {sku} are held or sold, and there can be {room}")
            });
        }
    }
}

/// Whether a command that names stock may have been executed.
fn maybe(command: &Command<'_>) -> bool {
    command.success().is_some() || command.doubts > 0
}

/// For each SKU what room there can be, from its first put on.
fn rooms<'b>(book: &'b Book<'_>) -> HashMap<&'b str, Span> {
    let mut setting: HashMap<&str, Vec<&Command<'_>>> = HashMap::new();
    for command in book.commands.iter().filter(|command| maybe(command)) {
        if let Some(sku) = command.ask.sku() {
            setting.entry(sku).or_default().push(command);
        }
    }
    setting.into_iter().filter_map(|(sku, commands)| Some((sku, room(commands)?))).collect()
}

fn room(mut commands: Vec<&Command<'_>>) -> Option<Span> {
    commands.sort_by_key(|command| command.call.started_us);
    let mut setting = commands.iter().filter(|command| !matches!(command.ask, Ask::Adjust(..)));
    let first = setting.next()?;
    let (Ask::Put(_, put), Some(201)) = (&first.ask, first.success().map(|told| told.status)) else {
        return None;
    };
    // Under the same key it is the same put.
    let other = setting.find(|command| command.key.is_none() || command.key != first.key);
    let (at_us, room) = (first.call.started_us, i64::try_from(put.on_hand).unwrap_or(i64::MAX));
    let mut steps = vec![Step { at_us, taken: 0, room, call: first.call.id }];
    steps.extend(commands.iter().filter_map(|command| adjusted(command)));
    Some(Span { until_us: other.map_or(u64::MAX, |command| command.call.started_us), steps })
}

/// More from the start of an adjust on that may have been executed, less from the end of one that was.
fn adjusted(command: &Command<'_>) -> Option<Step> {
    let Ask::Adjust(_, adjust) = &command.ask else { return None };
    let call = command.call;
    let surely = i64::from(command.success().is_some_and(|told| !told.replayed));
    let times = match &command.key {
        Some(_) => 1,
        None => surely + i64::try_from(command.doubts).unwrap_or(i64::MAX),
    };
    let step = |at_us, room| Step { at_us, taken: 0, room, call: call.id };
    match adjust.delta {
        more if more > 0 => Some(step(call.started_us, more.saturating_mul(times))),
        less => (surely == 1).then(|| step(call.ended_us, less)),
    }
}

/// When commands began that may have taken holds away, by SKU.
fn revokes<'b>(book: &'b Book<'_>) -> HashMap<&'b str, Vec<(u64, u64)>> {
    let mut revokes: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    for command in book.commands.iter().filter(|command| maybe(command)) {
        let (sku, on_shortfall) = match &command.ask {
            Ask::Put(sku, put) => (sku, put.on_shortfall),
            Ask::Adjust(sku, adjust) => (sku, adjust.on_shortfall),
            _ => continue,
        };
        if on_shortfall == Some(OnShortfall::RevokeNewest) {
            // One of unknown outcome may be executed long after its end.
            let ended_us = if command.doubts > 0 { u64::MAX } else { command.call.ended_us };
            let during = (command.call.started_us, ended_us);
            revokes.entry(sku).or_default().push(during);
        }
    }
    revokes
}

fn reservations<'b>(book: &'b Book<'_>) -> HashMap<&'b str, Known> {
    let mut known: HashMap<&str, Known> = HashMap::new();
    for command in &book.commands {
        if let Some(view) = command.success().and_then(Told::reservation) {
            let one = known.entry(&view.reservation_id).or_default();
            one.deadline_ms = one.deadline_ms.max(deadline_ms(view));
        }
        match (&command.ask, command.success().and_then(Told::reservation)) {
            (Ask::Reserve(_), Some(view)) => {
                known.entry(&view.reservation_id).or_default().grant(command, view)
            }
            (Ask::Commit(_), Some(view)) => {
                known.entry(&view.reservation_id).or_default().commit(command, view)
            }
            _ => {}
        }
        if let Some(id) = command.ask.reservation_id().filter(|_| maybe(command)) {
            known.entry(id).or_default().note(command);
        }
    }
    known
}

fn deadline_ms(view: &Reservation) -> u64 {
    view.expires_at.as_deref().and_then(ms).unwrap_or(0)
}

impl Known {
    fn grant(&mut self, command: &Command<'_>, view: &Reservation) {
        let (ended_us, id) = (command.call.ended_us, command.call.id);
        let held = view.state == client::api::ReservationState::Held;
        // A replay, and one that found the hold there, do not tell when it was granted.
        let own = command.success().is_some_and(|told| told.status == 201 && !told.replayed);
        self.asked_us = self.asked_us.min(if own { command.call.started_us } else { 0 });
        if held && self.granted.as_ref().is_none_or(|(before, ..)| ended_us < *before) {
            self.granted = Some((ended_us, id, view.items.clone()));
        }
    }

    fn commit(&mut self, command: &Command<'_>, view: &Reservation) {
        let call = command.call;
        if self.committed.as_ref().is_none_or(|(before, ..)| call.ended_us < *before) {
            self.committed = Some((call.ended_us, call.id, view.items.clone()));
        }
    }

    fn note(&mut self, command: &Command<'_>) {
        let started_us = command.call.started_us;
        match &command.ask {
            Ask::Return(_) => self.returned_us = self.returned_us.min(started_us),
            Ask::Release(_) => self.given_back_us = self.given_back_us.min(started_us),
            Ask::Commit(commit) => {
                self.may_be_taken_anew |= commit.if_expired == Some(IfExpired::Reacquire);
                if commit.items.is_some() {
                    self.given_back_us = self.given_back_us.min(started_us);
                }
            }
            _ => {}
        }
    }

    /// Notes when it surely takes units.
    fn take(
        &self,
        book: &Book<'_>,
        revokes: &HashMap<&str, Vec<(u64, u64)>>,
        spans: &mut HashMap<&str, Span>,
    ) {
        let sold = self.committed.as_ref();
        if let Some((from_us, call, items)) = sold {
            note(spans, items, *from_us, self.returned_us, *call);
        }
        let Some((from_us, call, items)) = &self.granted else { return };
        // Held without a break until the sale, unless the sale may have taken the units anew.
        let until_us = match sold {
            Some((sold_us, ..)) if !self.may_be_taken_anew => {
                (*sold_us).min(self.given_back_us).min(self.returned_us)
            }
            Some((sold_us, ..)) => (*sold_us).min(self.given_back_us).min(self.lapses_us(book)),
            None => {
                let revoked = items.iter().filter_map(|item| revokes.get(item.sku.as_str())).flatten();
                let revoked = revoked
                    .filter(|(_, ended_us)| *ended_us >= self.asked_us)
                    .map(|(started_us, _)| *started_us);
                let revoked_us = revoked.min().unwrap_or(u64::MAX);
                self.given_back_us.min(self.returned_us).min(self.lapses_us(book)).min(revoked_us)
            }
        };
        note(spans, items, *from_us, until_us, *call);
    }

    /// The earliest moment at which the hold may have ended by itself.
    fn lapses_us(&self, book: &Book<'_>) -> u64 {
        if book.clocks_can_be_trusted {
            book.at_us(self.deadline_ms.saturating_sub(CLOCK_SLACK_MS))
        } else {
            0
        }
    }
}

fn note(spans: &mut HashMap<&str, Span>, items: &[Item], from_us: u64, until_us: u64, call: u64) {
    if from_us >= until_us {
        return;
    }
    for item in items {
        let Some(span) = spans.get_mut(item.sku.as_str()) else { continue };
        let qty = i64::try_from(item.qty).unwrap_or(i64::MAX);
        span.steps.push(Step { at_us: from_us, taken: qty, room: 0, call });
        span.steps.push(Step { at_us: until_us, taken: -qty, room: 0, call });
    }
}
