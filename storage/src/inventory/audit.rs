//! Every sum, index and digest, recomputed from the records.
//!
//! ```text
//!   for each SKU    held = sum of its held items with a deadline after settled_ms = sum of its lapses
//!                   held <= on_hand <= UNITS_MAX
//!                   sold >= sum of its committed items, less those returned (older ones may be forgotten)
//!   for each index  one entry for each record that belongs there, and no other
//!   digests         the sums kept up to date are the sums recomputed
//!   counters        no reservation or answer is from the future; no fencing token was given out twice
//! ```

use std::collections::BTreeMap;

use super::digest;
use super::ids::{ReservationId, Sku, UNITS_MAX};
use super::indexes::Indexes;
use super::lapses::Lapses;
use super::names;
use super::outcome::State;
use super::record::{ReservationRecord, ReservedItem, StockRecord};
use super::stock::Stock;
use super::{Inconsistent, Inventory, Units};

impl Inventory {
    /// Recomputes every sum, index and the digest from the records.
    pub fn audit(&self) -> Result<(), Inconsistent> {
        self.audit_sums()?;
        self.audit_skus_of_live()?;
        self.audit_lapses()?;
        self.audit_lines()?;
        self.audit_customers_lapses()?;
        self.audit_digests()?;
        require(*self.reservations.indexes() == Indexes::build(self.reservations.iter()), || {
            "an index of the reservations differs from them".into()
        })?;
        require(self.reservations.holders_hold(), || {
            "what customers have in all is not what is live".into()
        })?;
        require(self.answers.index_holds(), || "the index of the answers differs from them".into())
    }

    /// The part that a loaded inventory can fail: its lapses, indexes and digests have just been made from its
    /// records, and the SKUs of those that are live were found.
    pub(super) fn audit_sums(&self) -> Result<(), Inconsistent> {
        self.audit_stocks()?;
        self.audit_reservations()?;
        self.audit_customers()?;
        self.audit_counters()?;
        let (kept, summed) = (self.counters.records_digest, self.sum_of_digests());
        require(kept == summed, || format!("the counters' digest is {kept:016x}, the records' {summed:016x}"))
    }

    /// The sum of the digests that the tables keep up to date.
    pub(super) fn sum_of_digests(&self) -> u64 {
        let reserved = self.stocks.digest().wrapping_add(self.reservations.digest());
        let kept = self.answers.digest().wrapping_add(self.feed.digest());
        reserved.wrapping_add(kept).wrapping_add(self.customers.digest()).wrapping_add(self.level.digest())
    }

    fn audit_stocks(&self) -> Result<(), Inconsistent> {
        for (sku, stock) in self.stocks.in_no_order() {
            audit_stock(sku, stock)?;
        }
        let units =
            self.stocks.in_no_order().fold(Units::default(), |all, (_, stock)| all.plus(stock.record()));
        require(units == self.stocks.units(), || {
            format!("the units kept are {:?}, the records' {units:?}", self.stocks.units())
        })?;
        for (sku, sold) in self.committed()? {
            let record = self.stocks.get(sku).map(Stock::record);
            require(record.is_some_and(|record| sold <= record.sold), || {
                format!("{sku}: {sold} units are committed, more than were sold: {record:?}")
            })?;
        }
        Ok(())
    }

    /// The units of each SKU that are committed and not returned.
    fn committed(&self) -> Result<BTreeMap<&Sku, u64>, Inconsistent> {
        let mut sold = BTreeMap::<&Sku, u64>::new();
        for (id, record) in self.reservations.iter() {
            for item in record.items.iter() {
                let left = item.qty.checked_sub(item.returned);
                require(left.is_some(), || format!("{id}: more of {} was returned than taken", item.sku))?;
                if record.state == State::Committed && self.stocks.of(&item.sku, id).is_some() {
                    let sum = sold.entry(&item.sku).or_default();
                    *sum = sum.saturating_add(left.unwrap_or(0));
                }
            }
        }
        Ok(sold)
    }

    /// What each reservation is by itself, and that no cart has two live ones.
    fn audit_reservations(&self) -> Result<(), Inconsistent> {
        // By hash, since texts themselves are slow to sort.
        let mut carts = Vec::new();
        for (id, record) in self.reservations.iter() {
            require(is_shaped(record), || {
                format!("{id}: no {} reservation is like this", record.state.as_str())
            })?;
            let live = matches!(record.state, State::Waiting | State::Held);
            carts.extend(live.then(|| (names::hash(&record.cart_id), &*record.cart_id)));
        }
        carts.sort_unstable();
        let twice = carts.windows(2).find(|two| two[0] == two[1]);
        require(twice.is_none(), || {
            format!("the cart {:?} has two live reservations", twice.map(|two| two[0].1))
        })
    }

    fn audit_skus_of_live(&self) -> Result<(), Inconsistent> {
        for (id, record) in self.reservations.iter().filter(|(_, record)| record.is_live_at(self.now_ms())) {
            let there = |item: &ReservedItem| self.stocks.of(&item.sku, id).is_some();
            require(record.items.iter().all(there), || format!("{id}: a SKU of a live one is gone"))?;
        }
        Ok(())
    }

    /// Whether the lapses are those of the holds.
    fn audit_lapses(&self) -> Result<(), Inconsistent> {
        let mut lapses = BTreeMap::<&Sku, Lapses>::new();
        for (id, record) in self.reservations.iter().filter(|(_, record)| record.state == State::Held) {
            let deadline_ms = record.deadline_ms();
            let unsettled = |stock: &&Stock| deadline_ms > stock.record().settled_ms;
            for item in record.items.iter() {
                if self.stocks.of(&item.sku, id).filter(unsettled).is_some() {
                    lapses.entry(&item.sku).or_default().add(deadline_ms, item.qty);
                }
            }
        }
        for (sku, stock) in self.stocks.iter() {
            let same = stock.lapses().iter().eq(lapses.entry(sku).or_default().iter());
            require(same, || format!("{sku}: the units that lapse are not those of its holds"))?;
        }
        Ok(())
    }

    /// What customers have bought: of SKUs that there are, not more than was sold, and not less than their
    /// reservations say (older ones may be forgotten).
    fn audit_customers(&self) -> Result<(), Inconsistent> {
        let mut committed = BTreeMap::<(&Sku, &str), u64>::new();
        for (id, record) in self.reservations.iter().filter(|(_, record)| record.state == State::Committed) {
            let Some(customer) = &record.customer_id else { continue };
            for item in record.items.iter().filter(|item| self.stocks.of(&item.sku, id).is_some()) {
                let sum = committed.entry((&item.sku, customer)).or_default();
                *sum = sum.saturating_add(item.qty.saturating_sub(item.returned));
            }
        }
        let mut sold = BTreeMap::<&Sku, u64>::new();
        for (sku, customer, record) in self.customers.records() {
            let sum = sold.entry(sku).or_default();
            *sum = sum.saturating_add(record.sold);
            let kept = committed.remove(&(sku, &**customer)).unwrap_or(0) <= record.sold;
            require(kept, || format!("{sku}: {customer} has bought less than the reservations say"))?;
        }
        require(committed.values().all(|&qty| qty == 0), || "what a customer bought is not kept".into())?;
        let within =
            |(sku, sum): (&&Sku, &u64)| self.stocks.get(sku).is_some_and(|stock| *sum <= stock.record().sold);
        require(sold.iter().all(within), || "customers have bought more than was sold".into())
    }

    /// Whether the lines are those who wait, and what is to be done about them is known.
    fn audit_lines(&self) -> Result<(), Inconsistent> {
        let mut lines = BTreeMap::<&Sku, Vec<ReservationId>>::new();
        for (id, record) in self.reservations.iter().filter(|(_, record)| record.state == State::Waiting) {
            record.items.iter().for_each(|item| lines.entry(&item.sku).or_default().push(id));
        }
        for (sku, stock) in self.stocks.iter() {
            let same = stock.line().iter().eq(lines.remove(sku).unwrap_or_default());
            require(same, || format!("{sku}: its line is not who waits for it"))?;
        }
        let waiting: usize = self.stocks.iter().map(|(_, stock)| stock.line().len()).sum();
        require(waiting == self.stocks.waiting(), || "not so many wait as are counted".into())?;
        require(*self.stocks.agenda() == self.agenda(), || "a line that is to be served is not known".into())
    }

    /// Whether what customers hold follows from the holds.
    fn audit_customers_lapses(&self) -> Result<(), Inconsistent> {
        let mut lapses = BTreeMap::<(&Sku, &str), Lapses>::new();
        for (id, record) in self.reservations.iter().filter(|(_, record)| record.state == State::Held) {
            let Some(customer) = &record.customer_id else { continue };
            for item in record.items.iter().filter(|item| self.stocks.of(&item.sku, id).is_some()) {
                lapses.entry((&item.sku, customer)).or_default().add(record.deadline_ms(), item.qty);
            }
        }
        for (sku, customer, share) in self.customers.iter() {
            let due = lapses.remove(&(sku, &**customer)).unwrap_or_default();
            let same = share.lapses().iter().eq(due.iter()) && share.held() == due.total();
            require(same, || format!("{sku}: what {customer} holds is not what the holds say"))?;
        }
        require(lapses.is_empty(), || "what a customer holds is not kept".into())
    }

    fn audit_counters(&self) -> Result<(), Inconsistent> {
        let counters = &self.counters;
        let mut tokens = Vec::with_capacity(self.reservations.len());
        for (id, record) in self.reservations.iter() {
            let past = id.sequence <= counters.sequence && record.fencing_token() <= counters.fencing_token;
            require(past && record.created_ms <= counters.now_ms, || format!("{id} is from the future"))?;
            tokens.extend(record.grant.map(|grant| grant.fencing_token));
        }
        tokens.sort_unstable();
        require(tokens.windows(2).all(|two| two[0] < two[1]), || "two holds have one fencing token".into())?;
        self.feed.audit(counters.events, counters.events_gone)?;
        let told = self.last_event().is_none_or(|last| last.sequence <= counters.sequence);
        require(told, || "an event is from the future".into())?;
        let past = self.answers.last_sequence() <= counters.sequence;
        require(past, || "an answer is from the future".into())
    }

    fn audit_digests(&self) -> Result<(), Inconsistent> {
        let stocks = self.stocks.iter().map(|(sku, stock)| digest::stock(sku, stock.record()));
        let reservations = self.reservations.iter().map(|(id, record)| digest::reservation(id, record));
        let answers = self.answers.iter().map(|(key, record)| digest::answer(key, &record));
        let customers = self.customers.records();
        let customers = customers.map(|(sku, customer, record)| digest::customer(sku, customer, record));
        let events = self.feed.iter().map(|(chunk, events)| digest::events(chunk, &events));
        let hashes = stocks.chain(reservations).chain(answers).chain(customers).chain(events);
        let hashes = hashes.chain(self.level.record().map(digest::level));
        let summed = hashes.fold(0, u64::wrapping_add);
        let kept = self.counters.records_digest;
        require(kept == summed, || format!("the digest kept is {kept:016x}, the records' {summed:016x}"))
    }
}

fn audit_stock(sku: &Sku, stock: &Stock) -> Result<(), Inconsistent> {
    let record = stock.record();
    let held = stock.lapses().total();
    require(record.held == held, || format!("{sku}: held is {}, the holds' sum {held}", record.held))?;
    require(is_within_bounds(record), || format!("{sku}: figures out of bounds: {record:?}"))
}

/// Whether the figures of a SKU can be what they are.
pub(super) fn is_within_bounds(record: &StockRecord) -> bool {
    record.held <= record.on_hand && record.on_hand <= UNITS_MAX && record.sold <= UNITS_MAX
}

/// Whether a reservation of that state can look so.
pub(super) fn is_shaped(record: &ReservationRecord) -> bool {
    match record.state {
        State::Waiting => record.grant.is_none() && record.items.len() == 1,
        State::Released => true,
        State::Held | State::Committed | State::Expired | State::Revoked => record.grant.is_some(),
    }
}

fn require(holds: bool, else_say: impl FnOnce() -> String) -> Result<(), Inconsistent> {
    if holds { Ok(()) } else { Err(Inconsistent(else_say())) }
}
