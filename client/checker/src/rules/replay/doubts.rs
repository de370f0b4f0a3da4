//! Commands of unknown outcome: each may have been executed, and the feed tells.
//!
//! An effect that no answer names must be that of a command that somebody asked for and was never, or not by every
//! try, told the outcome of; and each such command explains as many effects as it had tries in doubt, one under a key.
//! Of several that look alike it is one that, as the model stands, comes to just this effect.

use std::collections::{HashMap, HashSet};

use client::api::{EventData, ReservationState};

use super::effect::{Effect, Sight};
use super::model::Model;
use crate::book::{Ask, Book, Command, Noted, ms};
use crate::history::Op;

/// What may explain effects that no answer names.
pub(super) struct Doubts<'b> {
    /// Commands with a try in doubt.
    doubtful: HashMap<Sight<'b>, Vec<usize>>,
    /// Commands that were done, without a try in doubt.
    done: HashMap<Sight<'b>, Vec<usize>>,
    /// How many effects each doubtful command may explain yet.
    left: HashMap<usize, usize>,
    /// Keys whose one effect is known.
    used: HashSet<&'b str>,
    /// For how long each who waited was granted a hold in the end, in milliseconds.
    granted: HashMap<&'b str, u64>,
}

/// What explains an effect.
pub(super) enum Explained {
    /// That command.
    By(usize),
    /// Only that command, whose effect is another one.
    Twice(usize),
    /// None.
    Nowhere,
}

impl<'b> Doubts<'b> {
    pub(super) fn of(book: &'b Book<'_>) -> Doubts<'b> {
        let mut doubts = Doubts {
            doubtful: HashMap::new(),
            done: HashMap::new(),
            left: HashMap::new(),
            used: HashSet::new(),
            granted: granted(book),
        };
        for (place, command) in book.commands.iter().enumerate() {
            doubts.note(place, command);
        }
        doubts
    }

    fn note(&mut self, place: usize, command: &'b Command<'_>) {
        let done = command.success().is_some();
        if let Some(key) = command.key.as_deref().filter(|_| done) {
            self.used.insert(key);
        }
        if command.doubts > 0 {
            self.doubtful.entry(sight(command)).or_default().push(place);
            self.left.insert(place, if command.key.is_some() { 1 } else { command.doubts });
        } else if done {
            self.done.entry(sight(command)).or_default().push(place);
        }
    }

    /// Finds what explains these events of one command, and takes it as explained.
    pub(super) fn explain(&mut self, book: &'b Book<'_>, events: &[Noted<'_>], model: &Model) -> Explained {
        let Some(effect) = Effect::of(events, &self.granted) else { return Explained::Nowhere };
        let fits = |place: &usize| effect.is_of(&book.commands[*place], model);
        let doubtful = self.doubtful.get(&effect.sight()).map_or(&[][..], Vec::as_slice);
        let open = || doubtful.iter().copied().filter(|place| self.is_open(book, *place) && fits(place));
        let exact = open().find(|place| effect.is_done_by(&book.commands[*place], model));
        if let Some(place) = exact.or_else(|| open().next()) {
            self.take(book, place);
            return Explained::By(place);
        }
        let done = self.done.get(&effect.sight()).map_or(&[][..], Vec::as_slice);
        let twice = doubtful.iter().chain(done).copied().find(fits);
        twice.map_or(Explained::Nowhere, Explained::Twice)
    }

    /// Whether it may explain one effect more.
    fn is_open(&self, book: &Book<'_>, place: usize) -> bool {
        let key = book.commands[place].key.as_deref();
        self.left.get(&place).is_some_and(|left| *left > 0) && key.is_none_or(|key| !self.used.contains(key))
    }

    fn take(&mut self, book: &'b Book<'_>, place: usize) {
        if let Some(left) = self.left.get_mut(&place) {
            *left -= 1;
        }
        self.used.extend(book.commands[place].key.as_deref());
    }
}

/// For how long each who waited was granted a hold in the end, in milliseconds.
fn granted<'b>(book: &'b Book<'_>) -> HashMap<&'b str, u64> {
    let served = book.feed.iter().filter_map(|noted| {
        let EventData::Reservation(change) = &noted.event.data else { return None };
        let view = &change.reservation;
        let by_line = change.cause == "line" && view.state == ReservationState::Held;
        let deadline_ms = view.expires_at.as_deref().filter(|_| by_line).and_then(ms)?;
        Some((view.reservation_id.as_str(), deadline_ms.saturating_sub(noted.at_ms)))
    });
    served.collect()
}

fn sight<'b>(command: &'b Command<'_>) -> Sight<'b> {
    let name = match &command.ask {
        Ask::Reserve(reserve) => &reserve.cart_id,
        ask => ask.reservation_id().or(ask.sku()).unwrap_or_default(),
    };
    (command.ask.op(), name)
}

/// The op that a cause of the feed names; `None` for time, the line and what another change brings about.
pub(super) fn op_of(cause: &str) -> Option<Op> {
    Some(match cause {
        "reserve" => Op::Reserve,
        "commit" => Op::Commit,
        "release" => Op::Release,
        "extend" => Op::Extend,
        "return" => Op::Return,
        "put" => Op::Put,
        "adjust" => Op::Adjust,
        "delete" => Op::Delete,
        _ => return None,
    })
}

/// What an event happened by.
pub(super) fn cause_of<'h>(noted: &Noted<'h>) -> &'h str {
    match &noted.event.data {
        EventData::Reservation(change) => &change.cause,
        EventData::Stock(change) => &change.cause,
    }
}
