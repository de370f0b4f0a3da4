//! The events that are kept, in chunks.
//!
//! ```text
//!   ordinal   0 .. 63      64 .. 127     128 .. 191    192 .. 201
//!   chunk        0             1             2             3          64 events each, but for the last one
//!             [ gone ]     [ full ]      [ full ]      [ grows ]
//!                 ^-- events_gone: the position of the last event that is no longer kept
//! ```
//!
//! A chunk is one record of the image. Whole chunks are forgotten, the oldest first, and never the last one, so that
//! the position of the newest event is always known.

use std::collections::BTreeMap;

use super::command::Stamp;
use super::digest;
use super::event::{Event, EventFilter, EventPage, EventPosition, EventsExpired};
use super::kept::{KeptChange, KeptEvent};
use super::query::LOOK_AT_MAX;
use super::record::CHUNK_EVENTS;
use super::told::EventsRef;
use super::{Inconsistent, Inventory};

/// Chunks that one command forgets at most.
pub const FEED_DROP_MAX: usize = 64;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(super) struct Feed {
    chunks: BTreeMap<u64, Chunk>,
    /// The sum of the hashes of all events that are kept.
    digest: u64,
    /// The first chunk that changed since the changes were taken, if any did.
    changed_from: Option<u64>,
    /// The first chunk that was kept when the changes were taken.
    taken_first: u64,
}

/// Which chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Each.
    All,
    /// Those that are full, and so change no more; of those that are gone, each. The last one is never among them.
    Full,
}

/// Never empty.
#[derive(Debug, Clone, Default)]
struct Chunk {
    events: Vec<KeptEvent>,
    /// The sum of their hashes.
    digest: u64,
}

impl Inventory {
    /// Adds an event of the command under way.
    pub(super) fn tell(&mut self, change: KeptChange) {
        let sequence = self.counters.sequence;
        let index = match self.feed.last() {
            Some(last) if last.sequence == sequence => last.index.saturating_add(1),
            _ => 0,
        };
        let position = EventPosition { sequence, index };
        let event = KeptEvent::new(position, self.now_ms(), self.cause, change);
        self.feed.push(self.counters.events, event);
        self.counters.events += 1;
    }

    /// Forgets the oldest chunks: those whose newest event is too old, and those without which as many events are
    /// left as are to be kept.
    pub(super) fn forget_events(&mut self, stamp: &Stamp) {
        for _ in 0..FEED_DROP_MAX {
            if !self.forgets_a_chunk(stamp) {
                return;
            }
            self.counters.events_gone = self.feed.forget_first();
        }
    }

    fn forgets_a_chunk(&self, stamp: &Stamp) -> bool {
        let Some((first, newest)) = self.feed.oldest_of_several() else {
            return false;
        };
        let left = self.counters.events - (first + 1) * CHUNK_EVENTS;
        left >= stamp.events_max || newest.now_ms.saturating_add(stamp.events_ms) <= self.now_ms()
    }

    /// Events that fit a filter, after `after`; `None` is the very beginning of the history. Looks at
    /// [`LOOK_AT_MAX`] for a page.
    ///
    /// # Errors
    /// An event after `after` is no longer kept.
    pub fn events(
        &self,
        after: Option<EventPosition>,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, EventsExpired> {
        match self.counters.events_gone {
            Some(resume_after) if after < Some(resume_after) => {
                Err(EventsExpired { oldest: self.feed.first(), resume_after })
            }
            _ => Ok(self.feed.page(after, filter, limit)),
        }
    }

    /// The position of the last event; `None` before the first.
    pub fn last_event(&self) -> Option<EventPosition> {
        self.feed.last()
    }
}

impl Feed {
    fn push(&mut self, ordinal: u64, event: KeptEvent) {
        let number = ordinal / CHUNK_EVENTS;
        let hash = digest::kept_event(ordinal, &event);
        self.digest = self.digest.wrapping_add(hash);
        self.changed_from = Some(self.changed_from.map_or(number, |from| from.min(number)));
        let chunk = self.chunks.entry(number).or_insert_with(Chunk::with_room);
        chunk.digest = chunk.digest.wrapping_add(hash);
        chunk.events.push(event);
    }

    /// Forgets the oldest chunk, and tells the position of its newest event.
    fn forget_first(&mut self) -> Option<EventPosition> {
        let (_, chunk) = self.chunks.pop_first()?;
        self.digest = self.digest.wrapping_sub(chunk.digest);
        chunk.events.last().map(KeptEvent::position)
    }

    /// The number of the oldest chunk, and its newest event, where it is not the only chunk.
    fn oldest_of_several(&self) -> Option<(u64, &KeptEvent)> {
        let (&number, chunk) = self.chunks.first_key_value()?;
        let several = self.chunks.last_key_value().is_some_and(|(&last, _)| last > number);
        chunk.events.last().filter(|_| several).map(|newest| (number, newest))
    }

    fn page(&self, after: Option<EventPosition>, filter: &EventFilter, limit: usize) -> EventPage {
        let mut page = EventPage::default();
        let mut following = self.after(after);
        for event in following.by_ref().take(LOOK_AT_MAX) {
            page.next = Some(event.position());
            if event.fits(filter) {
                page.events.push(event.event());
            }
            if page.events.len() >= limit {
                break;
            }
        }
        page.at_end = following.next().is_none();
        page
    }

    /// The events after a position, in order.
    fn after(&self, after: Option<EventPosition>) -> impl Iterator<Item = &KeptEvent> {
        let first = self.first_chunk_after(after);
        let events = self.chunks.range(first..).flat_map(|(_, chunk)| &chunk.events);
        events.skip_while(move |event| Some(event.position()) <= after)
    }

    /// The first chunk that has an event after a position, found by halving: numbers have no gap.
    fn first_chunk_after(&self, after: Option<EventPosition>) -> u64 {
        let numbers = || self.chunks.keys();
        let (Some(&first), Some(&last)) = (numbers().next(), numbers().next_back()) else {
            return 0;
        };
        let (mut low, mut high) = (first, last);
        while low < high {
            let middle = low + (high - low) / 2;
            let newest = self.chunks.get(&middle).and_then(|chunk| chunk.events.last());
            match newest.is_some_and(|event| Some(event.position()) > after) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low
    }

    fn first(&self) -> Option<EventPosition> {
        let (_, chunk) = self.chunks.first_key_value()?;
        chunk.events.first().map(KeptEvent::position)
    }

    fn last(&self) -> Option<EventPosition> {
        let (_, chunk) = self.chunks.last_key_value()?;
        chunk.events.last().map(KeptEvent::position)
    }

    /// Every chunk, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Vec<Event>)> {
        self.chunks.iter().map(|(&number, chunk)| (number, chunk.told()))
    }

    /// Adds a chunk from a record; false where it is there already, or its number is past all ordinals.
    pub(super) fn load(&mut self, number: u64, events: Vec<KeptEvent>) -> bool {
        if number >= u64::MAX / CHUNK_EVENTS {
            return false;
        }
        let hash = |(ordinal, event)| digest::kept_event(ordinal, event);
        let digest = (number * CHUNK_EVENTS..).zip(&events).map(hash).fold(0, u64::wrapping_add);
        self.digest = self.digest.wrapping_add(digest);
        self.chunks.insert(number, Chunk { events, digest }).is_none()
    }

    /// Completes a loaded feed.
    pub(super) fn loaded(&mut self) {
        self.taken_first = self.chunks.first_key_value().map_or(0, |(&number, _)| number);
    }

    /// The sum of the hashes of all events that are kept.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// How many chunks changed, came or went.
    pub(super) fn changed(&self) -> usize {
        let (gone, changed) = self.changes();
        (gone.end - gone.start + (changed.end - changed.start)) as usize
    }

    /// What those count for when they are taken: a chunk that went for one.
    pub(super) fn to_take(&self) -> usize {
        let (gone, changed) = self.changes();
        (gone.end - gone.start + (changed.end - changed.start) * CHUNK_EVENTS) as usize
    }

    /// Shows chunks that changed, came or went since they were shown last, the oldest first, until none are left to be
    /// shown, or no more records are.
    pub(super) fn take_changed(
        &mut self,
        which: Chunks,
        left: &mut usize,
        mut take: impl FnMut(u64, Option<EventsRef<'_>>),
    ) {
        let (gone, changed) = self.changes();
        self.taken_first = gone.end.min(gone.start.saturating_add(*left as u64));
        *left -= (self.taken_first - gone.start) as usize;
        (gone.start..self.taken_first).for_each(|number| take(number, None));
        let end = changed.end - u64::from(which == Chunks::Full && !changed.is_empty());
        let mut next = changed.start;
        for (&number, chunk) in self.chunks.range(changed.start..end) {
            if *left == 0 {
                break;
            }
            *left = left.saturating_sub(CHUNK_EVENTS as usize);
            take(number, Some(EventsRef::kept(&chunk.events)));
            next = number + 1;
        }
        self.changed_from = (next < changed.end).then_some(next);
    }

    fn changes(&self) -> (std::ops::Range<u64>, std::ops::Range<u64>) {
        let first = self.chunks.first_key_value().map_or(self.taken_first, |(&number, _)| number);
        let end = self.chunks.last_key_value().map_or(first, |(&number, _)| number + 1);
        (self.taken_first..first, self.changed_from.map_or(end, |from| from.max(first))..end)
    }

    /// Whether the chunks are without a gap and full, and the events in order, so many and no others.
    pub(super) fn audit(&self, events: u64, gone: Option<EventPosition>) -> Result<(), Inconsistent> {
        let mut audit = FeedAudit::after(gone);
        for (&number, chunk) in &self.chunks {
            audit.add(number, chunk.events.iter().map(KeptEvent::position));
        }
        audit.finish(events)
    }
}

impl Chunk {
    fn with_room() -> Chunk {
        Chunk { events: Vec::with_capacity(CHUNK_EVENTS as usize), digest: 0 }
    }

    /// Its events, whole.
    fn told(&self) -> Vec<Event> {
        self.events.iter().map(KeptEvent::event).collect()
    }
}

/// The audit of chunks that pass by one at a time, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct FeedAudit {
    /// The position of the last event so far; at first of the last one that is no longer kept.
    last: Option<EventPosition>,
    /// Whether events before the first chunk are gone.
    gone: bool,
    /// The ordinal of the next event; `None` before the first chunk.
    next: Option<u64>,
    broken: bool,
}

impl FeedAudit {
    /// Of a feed that keeps what came after that event.
    pub(super) fn after(gone: Option<EventPosition>) -> FeedAudit {
        FeedAudit { last: gone, gone: gone.is_some(), next: None, broken: false }
    }

    /// Takes the next chunk.
    pub(super) fn add(&mut self, number: u64, events: impl ExactSizeIterator<Item = EventPosition>) {
        let first = number.checked_mul(CHUNK_EVENTS);
        let in_place = match self.next {
            None => (number > 0) == self.gone,
            Some(next) => first == Some(next),
        };
        let filled = (1..=CHUNK_EVENTS).contains(&(events.len() as u64));
        self.broken |= !(first.is_some() && in_place && filled);
        self.next = Some(first.unwrap_or(0).saturating_add(events.len() as u64));
        for position in events {
            self.broken |= Some(position) <= self.last;
            self.last = Some(position);
        }
    }

    /// Whether all was in its place, and so many events were there in all, those no longer kept included.
    pub(super) fn finish(&self, events: u64) -> Result<(), Inconsistent> {
        let whole = !self.broken && self.next.unwrap_or(0) == events && (self.next.is_some() || !self.gone);
        match whole {
            true => Ok(()),
            false => Err(Inconsistent(format!("the feed has a gap, or not {events} events"))),
        }
    }
}
