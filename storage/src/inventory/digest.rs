//! The inventory's own hash: the same number on every machine, build and version of Rust.
//!
//! It tells replicas, checkpoints and the fingerprints of calls apart by accident, not by malice: it has no key.
//! Every field is fed by name here, and not by a derived `Hash`, so that nothing but a change of this file (or of
//! a record) can change a digest.
//!
//! ```text
//!   records_digest = sum, modulo 2^64, of hash(key, record) over every record but the counters
//!   state_digest   = hash(records_digest, now_ms, sequence, fencing_token)
//! ```
//!
//! The sum knows no order, so that a changed record costs one subtraction and one addition.

use super::command::{Precondition, Setting};
use super::event::{Cause, Event, EventChange, EventPosition};
use super::ids::{Item, ReservationId, Sku};
use super::kept::{FiguresAt, KeptChange, KeptEvent, KeptReservation};
use super::outcome::{Grant, Outcome, ReservationView, State, StockView};
use super::record::{
    AnswerRecord, CHUNK_EVENTS, Counters, CustomerRecord, LevelRecord, ReservationRecord, StockRecord,
};

/// The fractional part of the golden ratio: an odd number whose bits look like noise.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// The fractional part of the square root of 2, made odd.
const FACTOR: u64 = 0x6A09_E667_F3BC_C909;

/// What kind of thing is hashed, so that equal fields of different kinds differ.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// The whole state.
    State = 1,
    /// A SKU's figures.
    Stock = 2,
    /// A reservation.
    Reservation = 3,
    /// A kept answer.
    Answer = 4,
    /// What a client asked for.
    Fingerprint = 5,
    /// A text of a client.
    Name = 6,
    /// What a customer bought of a SKU.
    Customer = 7,
    /// An event of the change feed.
    Event = 8,
    /// The feature level.
    Level = 9,
}

/// A hash in the making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digest(u64);

impl Digest {
    /// A hash of something of that kind.
    pub(super) fn of(kind: Kind) -> Digest {
        Digest(SEED).word(kind as u64)
    }

    /// Feeds a number: the 128-bit product of what was fed and a constant, folded in half.
    pub(super) fn word(self, word: u64) -> Digest {
        let product = u128::from(self.0.rotate_left(23) ^ word) * u128::from(FACTOR);
        Digest((product as u64 ^ (product >> 64) as u64).wrapping_add(SEED))
    }

    /// Feeds a text: its length, then its bytes, eight at a time.
    pub(super) fn text(self, text: &str) -> Digest {
        let fed = self.word(text.len() as u64);
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        let fed = words.iter().fold(fed, |fed, &word| fed.word(u64::from_le_bytes(word)));
        if rest.is_empty() {
            return fed;
        }
        // The last bytes as a little-endian number, put together without a call of memcpy.
        fed.word(rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
    }

    /// Feeds a number that may be absent.
    pub(super) fn word_if_any(self, word: Option<u64>) -> Digest {
        match word {
            None => self.word(0),
            Some(word) => self.word(1).word(word),
        }
    }

    /// Feeds a text that may be absent.
    pub(super) fn text_if_any(self, text: Option<&str>) -> Digest {
        match text {
            None => self.word(0),
            Some(text) => self.word(1).text(text),
        }
    }

    /// Feeds a reservation's id.
    pub(super) fn id(self, id: ReservationId) -> Digest {
        self.word(id.sequence).word(id.nonce)
    }

    /// Feeds items.
    pub(super) fn items(self, items: &[Item]) -> Digest {
        self.pairs(items.iter().map(|item| (&item.sku, item.qty)))
    }

    /// Feeds SKUs and units, as [`Digest::items`] does.
    fn pairs<'a>(self, pairs: impl Iterator<Item = (&'a Sku, u64)> + Clone) -> Digest {
        let fed = self.word(pairs.clone().count() as u64);
        pairs.fold(fed, |fed, (sku, qty)| fed.text(sku.as_str()).word(qty))
    }

    /// Feeds items that may be absent.
    pub(super) fn items_if_any(self, items: Option<&[Item]>) -> Digest {
        match items {
            None => self.word(0),
            Some(items) => self.word(1).items(items),
        }
    }

    /// Feeds what becomes of a setting.
    pub(super) fn setting(self, setting: Setting<u64>) -> Digest {
        match setting {
            Setting::Keep => self.word(0),
            Setting::Clear => self.word(1),
            Setting::Set(word) => self.word(2).word(word),
        }
    }

    /// Feeds a precondition.
    pub(super) fn precondition(self, precondition: &Precondition) -> Digest {
        match precondition {
            Precondition::None => self.word(0),
            Precondition::Exists => self.word(1),
            Precondition::Absent => self.word(2),
            Precondition::Versions(versions) => {
                versions.iter().fold(self.word(3).word(versions.len() as u64), |fed, &word| fed.word(word))
            }
        }
    }

    /// The hash.
    pub(super) fn finish(self) -> u64 {
        self.word(SEED).0
    }

    fn state(self, state: State) -> Digest {
        self.word(Digest::state_word(state))
    }

    fn state_word(state: State) -> u64 {
        match state {
            State::Held => 1,
            State::Committed => 2,
            State::Released => 3,
            State::Expired => 4,
            State::Waiting => 5,
            State::Revoked => 6,
        }
    }

    fn grant(self, grant: Option<Grant>) -> Digest {
        match grant {
            None => self.word(0),
            Some(Grant { fencing_token, granted_ms, deadline_ms }) => {
                self.word(fencing_token).word(granted_ms).word(deadline_ms)
            }
        }
    }

    fn stock_view(self, view: &StockView) -> Digest {
        self.figures(&view.sku, &FiguresAt::of_view(view))
    }

    fn figures(self, sku: &Sku, at: &FiguresAt) -> Digest {
        self.text(sku.as_str())
            .word(at.on_hand)
            .word(at.held)
            .word(at.sold)
            .word(at.safety_stock)
            .word_if_any(at.max_per_customer)
            .word(at.waiting)
            .word(at.version)
    }

    fn stock_view_if_any(self, view: Option<&StockView>) -> Digest {
        match view {
            None => self.word(0),
            Some(view) => self.word(1).stock_view(view),
        }
    }

    fn reservation_view(self, view: &ReservationView) -> Digest {
        self.id(view.id)
            .state(view.state)
            .text(&view.cart_id)
            .text_if_any(view.customer_id.as_deref())
            .items(&view.items)
            .items(&view.returned)
            .word(view.created_ms)
            .grant(view.grant)
            .word_if_any(view.position)
            .word_if_any(view.committed_ms)
            .text_if_any(view.payment_token.as_deref())
            .word(view.now_ms)
    }

    /// Feeds what [`Digest::reservation_view`] does of the record's view, without making it.
    fn reservation_at(self, kept: &KeptReservation, now_ms: u64) -> Digest {
        let KeptReservation { id, position, record, .. } = kept;
        let state = record.state_at(now_ms);
        let returned = record.items.iter().filter(|item| item.returned > 0);
        self.id(*id)
            .state(state)
            .text(&record.cart_id)
            .text_if_any(record.customer_id.as_deref())
            .pairs(record.items.iter().map(|item| (&item.sku, item.qty)))
            .pairs(returned.map(|item| (&item.sku, item.returned)))
            .word(record.created_ms)
            .grant(record.grant)
            .word_if_any(*position)
            .word_if_any(record.committed_ms_in(state))
            .text_if_any(record.payment_token.as_deref().map(|token| &**token))
            .word(now_ms)
    }

    fn event_at(ordinal: u64, position: EventPosition, now_ms: u64, cause: Cause) -> Digest {
        Digest::of(Kind::Event)
            .word(ordinal)
            .word(position.sequence)
            .word(u64::from(position.index))
            .word(now_ms)
            .word(cause as u64)
    }

    fn outcome(self, outcome: &Outcome) -> Digest {
        match outcome {
            Outcome::Ticked => self.word(1),
            Outcome::Reserved(view) => self.word(2).reservation_view(view),
            Outcome::AlreadyReserved(view) => self.word(3).reservation_view(view),
            Outcome::Committed(view) => self.word(4).reservation_view(view),
            Outcome::Released(view) => self.word(5).reservation_view(view),
            Outcome::Extended(view) => self.word(6).reservation_view(view),
            Outcome::Returned(view) => self.word(7).reservation_view(view),
            Outcome::SkuCreated(view) => self.word(8).stock_view(view),
            Outcome::SkuSet(view) => self.word(9).stock_view(view),
            Outcome::Waiting(view) => self.word(10).reservation_view(view),
            Outcome::SkuDeleted => self.word(11),
        }
    }
}

/// The digest of the whole state.
pub(super) fn state(counters: &Counters) -> u64 {
    Digest::of(Kind::State)
        .word(counters.records_digest)
        .word(counters.now_ms)
        .word(counters.sequence)
        .word(counters.fencing_token)
        .word(counters.events)
        .word_if_any(counters.events_gone.map(|gone| gone.sequence))
        .word_if_any(counters.events_gone.map(|gone| u64::from(gone.index)))
        .word(counters.deleted_version)
        .finish()
}

/// What a SKU's figures add to the sum.
pub(super) fn stock(sku: &Sku, record: &StockRecord) -> u64 {
    Digest::of(Kind::Stock)
        .text(sku.as_str())
        .word(record.on_hand)
        .word(record.held)
        .word(record.sold)
        .word(record.safety_stock)
        .word_if_any(record.max_per_customer)
        .word(record.created_sequence)
        .word(record.version)
        .word(record.settled_ms)
        .finish()
}

/// What a reservation adds to the sum.
pub(super) fn reservation(id: ReservationId, record: &ReservationRecord) -> u64 {
    let fed = Digest::of(Kind::Reservation)
        .id(id)
        .state(record.state)
        .text(&record.cart_id)
        .text_if_any(record.customer_id.as_deref())
        .word(record.items.len() as u64);
    let fed = record
        .items
        .iter()
        .fold(fed, |fed, item| fed.text(item.sku.as_str()).word(item.qty).word(item.returned));
    let fed = fed
        .word(record.created_ms)
        .word(record.ttl_ms)
        .grant(record.grant)
        .word_if_any(record.ended_ms.as_deref().copied())
        .word(record.forget_ms)
        .text_if_any(record.payment_token.as_deref().map(|token| &**token));
    // As long as there is nothing to tell, the digest is that of a record without the field.
    match record.extensions {
        0 => fed.finish(),
        extensions => fed.word(u64::from(extensions)).finish(),
    }
}

/// What a customer's record adds to the sum.
pub(super) fn customer(sku: &Sku, customer: &str, record: CustomerRecord) -> u64 {
    Digest::of(Kind::Customer).text(sku.as_str()).text(customer).word(record.sold).finish()
}

/// What a feature level adds to the sum.
pub(super) fn level(record: LevelRecord) -> u64 {
    Digest::of(Kind::Level).word(u64::from(record.level)).finish()
}

/// What the events of a chunk add to the sum.
pub(super) fn events(chunk: u64, events: &[Event]) -> u64 {
    let first = chunk.saturating_mul(CHUNK_EVENTS);
    (first..).zip(events).fold(0, |sum, (ordinal, one)| sum.wrapping_add(event(ordinal, one)))
}

/// What an event adds to the sum.
pub(super) fn event(ordinal: u64, event: &Event) -> u64 {
    let Event { position, now_ms, cause, change } = event;
    changed(Digest::event_at(ordinal, *position, *now_ms, *cause), change)
}

/// The same of an event as it is kept.
pub(super) fn kept_event(ordinal: u64, event: &KeptEvent) -> u64 {
    let KeptEvent { now_ms, cause, change, .. } = event;
    let fed = Digest::event_at(ordinal, event.position(), *now_ms, *cause);
    match change {
        KeptChange::Reservation(kept) => {
            let fed = fed.word(1).word(kept.kind as u64).word_if_any(kept.before.map(Digest::state_word));
            let fed = match &kept.items_before {
                None => fed.word(0),
                Some(items) => fed.word(1).pairs(items.iter().map(|item| (&item.sku, item.qty))),
            };
            fed.reservation_at(kept, *now_ms).finish()
        }
        KeptChange::Figures(kept) => {
            // What an adjust alone says is absent.
            let fed = match kept.before() {
                None => fed.word(2).word(0),
                Some(before) => fed.word(2).word(1).figures(&kept.sku, &before),
            };
            fed.word(1).figures(&kept.sku, &kept.after()).word(0).word(0).finish()
        }
        KeptChange::Whole(change) => changed(fed, change),
    }
}

fn changed(fed: Digest, change: &EventChange) -> u64 {
    match change {
        EventChange::Reservation(change) => fed
            .word(1)
            .word(change.kind as u64)
            .word_if_any(change.before.map(Digest::state_word))
            .items_if_any(change.items_before.as_deref())
            .reservation_view(&change.after),
        EventChange::Stock(change) => fed
            .word(2)
            .stock_view_if_any(change.before.as_ref())
            .stock_view_if_any(change.after.as_ref())
            .text_if_any(change.reason.as_deref())
            .text_if_any(change.reference.as_deref()),
    }
    .finish()
}

/// What a kept answer adds to the sum.
pub(super) fn answer(key: &str, record: &AnswerRecord) -> u64 {
    let AnswerRecord { fingerprint, sequence, outcome, forget_ms } = record;
    Digest::of(Kind::Answer)
        .text(key)
        .word(*fingerprint)
        .word(*sequence)
        .outcome(outcome)
        .word(*forget_ms)
        .finish()
}

#[cfg(test)]
mod tests;
