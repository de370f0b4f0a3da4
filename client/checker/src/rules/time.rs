//! The cluster's clock, and holds against it.
//!
//! The record has one more clock, that of the wall where the run was driven. The contract lets the cluster's clock be
//! ahead of it by 500 ms at most, and, after a while with a quorum, behind it by as much. So a hold that is shown as
//! ended long before its deadline by the wall ended early, and one that is shown as live long after it, though the
//! cluster served without a break, ended late. Whether it ended on the very millisecond is the replay's to see.

use std::collections::HashMap;

use client::api::{EventData, ReservationState};

use super::{CLOCK_SLACK_MS, Findings};
use crate::book::{Book, Told, ms};
use crate::history::Call;
use crate::verdict::RuleVerdict;

/// A hold that is live for so long after its deadline ended late: 1 s of the contract, and time for a quorum that has
/// just come back to have its clock catch up.
const LATE_MS: u64 = 3_000;
/// For so long before there must have been a quorum without a break.
const SERVED_US: u64 = 2_500_000;
/// Two answers further apart than this may have had no quorum between them.
const BREAK_US: u64 = 500_000;

/// The clock never turns back, nor runs ahead.
pub(crate) fn clock(book: &Book<'_>) -> RuleVerdict {
    let says =
        "The cluster's clock never runs backwards, and is never ahead of the wall clock by more than 500 ms.";
    let mut found = Findings::new("cluster_clock", says);
    let mut last = 0;
    for noted in &book.feed {
        found.look();
        if noted.at_ms < last {
            found.accuse(book.at_us(noted.at_ms), &[], || {
                format!(
                    "event {} happened {} ms before the one before it",
                    noted.event.id,
                    last - noted.at_ms
                )
            });
        }
        last = last.max(noted.at_ms);
    }
    for command in book.commands.iter().filter(|_| book.clocks_can_be_trusted) {
        let Some(told) = command.success() else { continue };
        let times = told.reservation().into_iter().flat_map(|view| {
            [view.committed_at.as_deref(), Some(view.created_at.as_str())]
                .into_iter()
                .flatten()
                .filter_map(ms)
        });
        let Some(latest_ms) = times.max() else { continue };
        found.look();
        let wall_ms = wall_ms(book, command.call.ended_us);
        if latest_ms > wall_ms + CLOCK_SLACK_MS {
            found.accuse(command.call.ended_us, &[command.call.id], || {
                format!("call {}: the cluster's clock is {} ms ahead", command.call.id, latest_ms - wall_ms)
            });
        }
    }
    found.verdict()
}

fn wall_ms(book: &Book<'_>, at_us: u64) -> u64 {
    book.started_ms + at_us / 1_000
}

/// No hold is shown as expired before its deadline.
pub(crate) fn kept(book: &Book<'_>, found: &mut Findings) {
    for noted in &book.feed {
        let EventData::Reservation(change) = &noted.event.data else { continue };
        let view = &change.reservation;
        if view.state != ReservationState::Expired {
            continue;
        }
        found.look();
        let deadline_ms = view.expires_at.as_deref().and_then(ms).unwrap_or(u64::MAX);
        if noted.at_ms < deadline_ms {
            found.accuse(book.at_us(noted.at_ms), &[], || {
                format!(
                    "event {}: {} expired {} ms early",
                    noted.event.id,
                    view.reservation_id,
                    deadline_ms - noted.at_ms
                )
            });
        }
    }
    if book.clocks_can_be_trusted {
        kept_by_the_wall(book, found);
    }
}

fn kept_by_the_wall(book: &Book<'_>, found: &mut Findings) {
    let deadlines = deadlines(book);
    let refused = book.commands.iter().filter_map(|command| {
        let expired = command.told.as_ref()?.code() == client::code::RESERVATION_EXPIRED;
        Some((command.call, command.ask.reservation_id()?)).filter(|_| expired)
    });
    let shown = answers(book).flat_map(|(call, told)| {
        let expired = told.reservations().iter().filter(|view| view.state == ReservationState::Expired);
        expired.map(move |view| (call, view.reservation_id.as_str()))
    });
    for (call, id) in refused.chain(shown) {
        let Some(&deadline_ms) = deadlines.get(id) else { continue };
        found.look();
        let wall_ms = wall_ms(book, call.ended_us);
        if wall_ms + CLOCK_SLACK_MS < deadline_ms {
            found.accuse(call.ended_us, &[call.id], || {
                format!("call {}: {id} is expired {} ms before its deadline", call.id, deadline_ms - wall_ms)
            });
        }
    }
}

/// No hold is shown as live long after its deadline, while the cluster serves.
pub(crate) fn ended(book: &Book<'_>, found: &mut Findings) {
    if !book.clocks_can_be_trusted {
        return;
    }
    let served = Served::of(book);
    for (call, told) in answers(book) {
        let replayed = told.replayed || call.stale;
        for view in
            told.reservations().iter().filter(|view| !replayed && view.state == ReservationState::Held)
        {
            let Some(deadline_ms) = view.expires_at.as_deref().and_then(ms) else { continue };
            found.look();
            let over_ms = wall_ms(book, call.started_us).saturating_sub(deadline_ms);
            if over_ms >= LATE_MS && served.without_a_break_before(call.started_us) {
                found.accuse(call.started_us, &[call.id], || {
                    format!(
                        "call {}: {} is held {over_ms} ms after its deadline",
                        call.id, view.reservation_id
                    )
                });
            }
        }
    }
}

fn answers<'b>(book: &'b Book<'_>) -> impl Iterator<Item = (&'b Call, &'b Told)> {
    let commands = book.commands.iter().filter_map(|command| Some((command.call, command.told.as_ref()?)));
    commands.chain(book.reads.iter().map(|read| (read.call, &read.told)))
}

/// The latest deadline that anybody was told of.
fn deadlines<'b>(book: &'b Book<'_>) -> HashMap<&'b str, u64> {
    let mut deadlines: HashMap<&str, u64> = HashMap::new();
    for view in answers(book).flat_map(|(_, told)| told.reservations()) {
        if let Some(deadline_ms) = view.expires_at.as_deref().and_then(ms) {
            let latest = deadlines.entry(&view.reservation_id).or_default();
            *latest = deadline_ms.max(*latest);
        }
    }
    deadlines
}

/// When the cluster served: answers that took a quorum after their call had begun.
struct Served {
    /// From when until when there was never a long time without one, in order.
    stretches: Vec<(u64, u64)>,
}

impl Served {
    fn of(book: &Book<'_>) -> Served {
        let commands = book.commands.iter().filter(|command| {
            command.told.as_ref().is_some_and(|told| told.sequence.is_some() && !told.replayed)
        });
        let reads = book.reads.iter().filter(|read| !read.call.stale && read.told.sequence.is_some());
        let calls = commands.map(|command| command.call).chain(reads.map(|read| read.call));
        // Somewhere between its start and its end there was a quorum; what took long does not say when.
        let mut moments: Vec<u64> = calls
            .filter(|call| call.ended_us.saturating_sub(call.started_us) < BREAK_US / 2)
            .map(|call| call.ended_us)
            .collect();
        moments.sort_unstable();
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        for at_us in moments {
            match stretches.last_mut() {
                Some((_, until_us)) if at_us - *until_us <= BREAK_US / 2 => *until_us = at_us,
                _ => stretches.push((at_us, at_us)),
            }
        }
        Served { stretches }
    }

    fn without_a_break_before(&self, at_us: u64) -> bool {
        let place = self.stretches.partition_point(|(from_us, _)| from_us + SERVED_US <= at_us);
        self.stretches[..place].last().is_some_and(|(_, until_us)| until_us + BREAK_US / 2 >= at_us)
    }
}
