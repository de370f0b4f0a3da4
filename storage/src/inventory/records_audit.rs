//! Every sum recomputed from records that pass by one at a time, in the order of their keys: an image is audited
//! without being held in memory.
//!
//! ```text
//!   counters  ->  stock       ->  reservations   ->  answers  ->  customers       ->  events
//!   what is       a row for       added to the       not from     taken off what      in order,
//!   past          each SKU        rows they name     the future   reservations say    none missing
//! ```
//!
//! | figure | is held against |
//! | --- | --- |
//! | held of a SKU | its items under holds with a deadline after `settled_ms`: equal |
//! | sold of a SKU | its items committed and not returned: at least; what customers bought: at least |
//! | sold of a customer | the customer's items committed and not returned: at least |
//! | on_hand | held, and the bound of all quantities |
//! | sequences, tokens, times | the counters: none is from the future, no token was given twice |
//! | events | their number, no gap, ascending positions |
//! | all of it | the digest |
//!
//! `at least`, because reservations are forgotten in the end and what they sold is not. Of what stands in one record
//! alone, such as a safety stock, only the digest can tell that it is another one.
//!
//! Memory: a row for each SKU, one for each customer and SKU of a committed reservation, a number for each hold that
//! was ever granted and is not forgotten, and one for each live cart.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Inconsistent;
use super::audit::{is_shaped, is_within_bounds};
use super::digest::{Digest, Kind};
use super::event::Event;
use super::feed::FeedAudit;
use super::ids::{ReservationId, Sku};
use super::outcome::State;
use super::record::{
    AnswerRecord, Counters, CustomerRecord, Record, RecordKey, ReservationRecord, ReservedItem, StockRecord,
};
use super::records_digest::RecordsDigest;

/// Findings that are told in words; more are counted.
const FINDINGS_MAX: usize = 20;

/// What an audit found in an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Audited {
    /// What [`state_digest`](super::Inventory::state_digest) is of an inventory of these records.
    pub digest: u64,
    /// SKUs.
    pub skus: u64,
    /// Reservations of any state.
    pub reservations: u64,
    /// Those that are held, be they due or not.
    pub holds: u64,
    /// Those that wait.
    pub waiting: u64,
    /// Kept answers.
    pub answers: u64,
    /// Customers' records: one for each customer of each SKU.
    pub customers: u64,
    /// Events that are kept.
    pub events: u64,
    /// Units on hand, over all SKUs. Sums that do not fit stay at the greatest number, here and below.
    pub on_hand: u64,
    /// Units held, over all SKUs.
    pub held: u64,
    /// Units sold, over all SKUs.
    pub sold: u64,
    /// What is not as it must be, in words: the first ones.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub findings_total: u64,
}

impl Audited {
    /// Adds a finding.
    pub fn find(&mut self, what: impl Into<String>) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what.into());
        }
    }
}

/// An audit under way.
#[derive(Debug, Default)]
pub struct RecordsAudit {
    digest: RecordsDigest,
    last_key: Option<RecordKey>,
    counters: Counters,
    /// In the order of their names, in which they come.
    skus: Vec<OfSku>,
    /// What reservations say that customers bought of the SKU at that place, until the customer's own record comes.
    bought: BTreeMap<(usize, Arc<str>), u64>,
    /// A hash of the cart of each live reservation.
    carts: Vec<u128>,
    tokens: Vec<u64>,
    feed: FeedAudit,
    audited: Audited,
}

/// What a SKU's record says, and what other records say of it.
#[derive(Debug)]
struct OfSku {
    sku: Sku,
    created_sequence: u64,
    settled_ms: u64,
    /// Units held, as it says.
    held: u64,
    /// Units of its holds.
    holds: u64,
    /// Units sold, as it says.
    sold: u64,
    /// Units committed and not returned.
    committed: u64,
    /// Units that customers bought.
    bought: u64,
}

impl RecordsAudit {
    /// Takes the next record.
    pub fn add(&mut self, key: RecordKey, record: &Record) {
        if let Err(Inconsistent(what)) = self.digest.add(&key, record) {
            return self.audited.find(what);
        }
        if self.last_key.as_ref().is_some_and(|last| *last >= key) {
            self.audited.find(format!("{key:?} is there twice, or not in its place"));
        }
        match (&key, record) {
            (RecordKey::Stock(sku), Record::Stock(record)) => self.stock(sku, record),
            (RecordKey::Reservation(id), Record::Reservation(record)) => self.reservation(*id, record),
            (RecordKey::Answer(sequence, key), Record::Answer(record)) => self.answer(*sequence, key, record),
            (RecordKey::Customer(sku, customer), Record::Customer(record)) => {
                self.customer(sku, customer, *record);
            }
            (RecordKey::Events(chunk), Record::Events(events)) => self.events(*chunk, events),
            (_, Record::Counters(counters)) => self.counters(counters),
            // The digest has refused every other pair.
            _ => {}
        }
        self.last_key = Some(key);
    }

    /// What was found in records whose image names that digest.
    pub fn finish(mut self, named: u64) -> Audited {
        self.finish_skus();
        self.finish_customers();
        self.finish_reservations();
        if let Err(Inconsistent(what)) = self.feed.finish(self.counters.events) {
            self.audited.find(what);
        }
        match self.digest.clone().finish() {
            Ok(found) => {
                self.audited.digest = found;
                self.require(found == named, || {
                    format!("the digest is {found:016x}, the image says {named:016x}")
                });
            }
            Err(Inconsistent(what)) => self.audited.find(what),
        }
        self.audited
    }

    fn counters(&mut self, counters: &Counters) {
        self.counters = *counters;
        self.feed = FeedAudit::after(counters.events_gone);
    }

    fn stock(&mut self, sku: &Sku, record: &StockRecord) {
        self.audited.skus += 1;
        add(&mut self.audited.on_hand, record.on_hand);
        add(&mut self.audited.held, record.held);
        add(&mut self.audited.sold, record.sold);
        self.require(is_within_bounds(record), || format!("{sku}: figures out of bounds: {record:?}"));
        let past = record.created_sequence <= self.counters.sequence;
        self.require(past && record.settled_ms <= self.counters.now_ms, || {
            format!("{sku} is from the future")
        });
        self.skus.push(OfSku {
            sku: sku.clone(),
            created_sequence: record.created_sequence,
            settled_ms: record.settled_ms,
            held: record.held,
            holds: 0,
            sold: record.sold,
            committed: 0,
            bought: 0,
        });
    }

    fn reservation(&mut self, id: ReservationId, record: &ReservationRecord) {
        self.audited.reservations += 1;
        self.audited.holds += u64::from(record.state == State::Held);
        self.audited.waiting += u64::from(record.state == State::Waiting);
        self.require(is_shaped(record), || format!("{id}: no {} one is like this", record.state.as_str()));
        let counters = &self.counters;
        let past = id.sequence <= counters.sequence && record.fencing_token() <= counters.fencing_token;
        self.require(past && record.created_ms <= counters.now_ms, || format!("{id} is from the future"));
        self.tokens.extend(record.grant.map(|grant| grant.fencing_token));
        if matches!(record.state, State::Waiting | State::Held) {
            self.carts.push(cart_hash(&record.cart_id));
        }
        record.items.iter().for_each(|item| self.item(id, record, item));
    }

    fn item(&mut self, id: ReservationId, record: &ReservationRecord, item: &ReservedItem) {
        let left = item.qty.checked_sub(item.returned);
        self.require(left.is_some(), || format!("{id}: more of {} was returned than taken", item.sku));
        let ended = record.is_due(self.counters.now_ms);
        let place = self.place_of(&item.sku).filter(|&place| self.skus[place].created_sequence < id.sequence);
        let Some(place) = place else {
            let live = matches!(record.state, State::Waiting | State::Held) && !ended;
            return self.require(!live, || format!("{id} is live, and its {} is gone", item.sku));
        };
        let of = &mut self.skus[place];
        match record.state {
            State::Held if record.deadline_ms() > of.settled_ms => add(&mut of.holds, item.qty),
            State::Committed => {
                add(&mut of.committed, left.unwrap_or(0));
                if let Some(customer) = &record.customer_id {
                    let bought = self.bought.entry((place, Arc::clone(customer))).or_default();
                    add(bought, left.unwrap_or(0));
                }
            }
            _ => {}
        }
    }

    fn place_of(&self, sku: &Sku) -> Option<usize> {
        self.skus.binary_search_by(|of| of.sku.cmp(sku)).ok()
    }

    fn answer(&mut self, sequence: u64, key: &str, record: &AnswerRecord) {
        self.audited.answers += 1;
        let placed = record.sequence == sequence;
        self.require(placed, || {
            format!("the answer under {key:?} is of another command than its place says")
        });
        let past = record.sequence <= self.counters.sequence;
        self.require(past, || format!("the answer under {key:?} is from the future"));
    }

    fn customer(&mut self, sku: &Sku, customer: &Arc<str>, record: CustomerRecord) {
        self.audited.customers += 1;
        let Some(place) = self.place_of(sku) else {
            return self.audited.find(format!("{sku}: {customer} has bought it, and it is gone"));
        };
        add(&mut self.skus[place].bought, record.sold);
        let said = self.bought.remove(&(place, Arc::clone(customer))).unwrap_or(0);
        self.require(record.sold > 0 && said <= record.sold, || {
            format!("{sku}: {customer} has {} units, and reservations say {said}", record.sold)
        });
    }

    fn events(&mut self, chunk: u64, events: &[Event]) {
        add(&mut self.audited.events, events.len() as u64);
        self.feed.add(chunk, events.iter().map(|event| event.position));
        let sequence = self.counters.sequence;
        let past = events.iter().all(|event| event.position.sequence <= sequence);
        self.require(past, || format!("an event of chunk {chunk} is from the future"));
    }

    fn finish_skus(&mut self) {
        for OfSku { sku, held, holds, sold, committed, bought, .. } in &self.skus {
            if held != holds {
                self.audited.find(format!("{sku}: held is {held}, the sum of its holds {holds}"));
            }
            if sold < committed {
                self.audited.find(format!("{sku}: sold is {sold}, but {committed} are committed"));
            }
            if sold < bought {
                self.audited.find(format!("{sku}: sold is {sold}, but customers have {bought}"));
            }
        }
    }

    fn finish_customers(&mut self) {
        for ((place, customer), said) in self.bought.iter().filter(|(_, said)| **said > 0) {
            let sku = &self.skus[*place].sku;
            self.audited.find(format!("{sku}: {customer} has no record, and reservations say {said}"));
        }
    }

    fn finish_reservations(&mut self) {
        self.tokens.sort_unstable();
        self.carts.sort_unstable();
        let tokens_differ = self.tokens.windows(2).all(|two| two[0] < two[1]);
        self.require(tokens_differ, || "two holds have one fencing token".into());
        let carts_differ = self.carts.windows(2).all(|two| two[0] < two[1]);
        self.require(carts_differ, || "a cart has two live reservations".into());
    }

    fn require(&mut self, holds: bool, else_say: impl FnOnce() -> String) {
        if !holds {
            self.audited.find(else_say());
        }
    }
}

/// Sums saturate: figures that are out of bounds are a finding by themselves.
fn add(sum: &mut u64, qty: u64) {
    *sum = sum.saturating_add(qty);
}

/// 128 bits, so that no two of a million carts have one by chance.
fn cart_hash(cart_id: &str) -> u128 {
    let half = |kind| u128::from(Digest::of(kind).text(cart_id).finish());
    half(Kind::Name) << 64 | half(Kind::Reservation)
}

#[cfg(test)]
mod tests;
