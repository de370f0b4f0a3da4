//! What is there does not come from nowhere: every record adds up, and `on_hand + sold` changes by inventory commands
//! alone.
//!
//! The totals at the end are a rule of their own, which counts what it compared: of a SKU that was set anew, or whose
//! put is in doubt, nobody can tell from outside what its total must be.

use std::collections::{BTreeMap, HashMap, HashSet};

use client::api::{EventData, InventoryRecord, ReservationState, StockEvent};

use super::Findings;
use crate::book::{Ask, Book, Command};
use crate::history::Final;
use crate::verdict::RuleVerdict;

/// Units are conserved.
pub(crate) fn units(book: &Book<'_>) -> RuleVerdict {
    let says = "0 <= held <= on_hand in every record, available is on_hand - held - safety_stock or 0, and on_hand + \
                sold changes through inventory commands alone.";
    let mut found = Findings::new("conservation", says);
    records(book, &mut found);
    for noted in &book.feed {
        if let EventData::Stock(change) = &noted.event.data {
            found.look();
            if let Some(why) = appears(change) {
                found.accuse(book.at_us(noted.at_ms), &[], || format!("event {}: {why}", noted.event.id));
            }
        }
    }
    found.verdict()
}

/// What is there at the end is what was put there.
pub(crate) fn at_the_end(book: &Book<'_>) -> RuleVerdict {
    let says = "At the end on_hand + sold of every SKU that was set once is what its commands make, and what is sold is \
                what was committed less what was returned, on every node.";
    let mut found = Findings::new("stock_totals", says);
    let totals = totals(book);
    for last in &book.history.finals {
        let forgets = last.at_us > book.history.run.settings.retention_seconds.saturating_mul(1_000_000);
        compare(last, &totals, forgets, &mut found);
    }
    found.verdict()
}

fn records(book: &Book<'_>, found: &mut Findings) {
    let commands = book.commands.iter().filter_map(|command| Some((command.call, command.told.as_ref()?)));
    let reads = book.reads.iter().map(|read| (read.call, &read.told));
    let shown = commands.chain(reads).flat_map(|(call, told)| {
        told.stocks().iter().map(move |record| (call.ended_us, vec![call.id], record))
    });
    let fed = book.feed.iter().filter_map(|noted| match &noted.event.data {
        EventData::Stock(change) => Some((book.at_us(noted.at_ms), vec![], change.after.as_ref()?)),
        EventData::Reservation(_) => None,
    });
    let last = book.history.finals.iter();
    let last = last.flat_map(|last| last.stock.iter().map(|record| (last.at_us, vec![], record)));
    for (at_us, calls, record) in shown.chain(fed).chain(last) {
        found.look();
        if !adds_up(record) {
            found.accuse(at_us, &calls, || format!("a record that does not add up: {record:?}"));
        }
    }
}

fn adds_up(record: &InventoryRecord) -> bool {
    let free = record.on_hand.saturating_sub(record.held).saturating_sub(record.safety_stock);
    record.held <= record.on_hand && record.available == free
}

/// Units that come or go without an inventory command.
fn appears(change: &StockEvent) -> Option<String> {
    let total = |record: &InventoryRecord| record.on_hand + record.sold;
    let by_command = matches!(change.cause.as_str(), "put" | "adjust" | "delete");
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    (!by_command && total(before) != total(after)).then(|| {
        format!(
            "on_hand + sold of {} goes from {} to {} by {}",
            after.sku,
            total(before),
            total(after),
            change.cause
        )
    })
}

/// What `on_hand + sold` of a SKU can be at the end: surely so much, and perhaps each of these.
struct Total {
    surely: i128,
    perhaps: Vec<i128>,
}

/// For each SKU that was put once, and neither set again nor deleted.
fn totals<'b>(book: &'b Book<'_>) -> HashMap<&'b str, Total> {
    let mut setting: HashMap<&str, Vec<&Command<'_>>> = HashMap::new();
    let mut keys: HashMap<&str, bool> = HashMap::new();
    for command in &book.commands {
        let done = command.success().is_some();
        if let Some(key) = &command.key {
            *keys.entry(key).or_default() |= done;
        }
        if let Some(sku) = command.ask.sku().filter(|_| done || command.doubts > 0) {
            setting.entry(sku).or_default().push(command);
        }
    }
    setting.into_iter().filter_map(|(sku, commands)| Some((sku, total(&commands, &keys)?))).collect()
}

/// All commands on a SKU added up. `keys`: whether what stands under a key is known to be done.
fn total(commands: &[&Command<'_>], keys: &HashMap<&str, bool>) -> Option<Total> {
    let mut total = Total { surely: 0, perhaps: Vec::new() };
    let (mut puts, mut counted) = (0, HashSet::new());
    for command in commands {
        let key = command.key.as_deref();
        // Under a key it is done once, by whatever call.
        if key.is_some_and(|key| !counted.insert(key)) {
            continue;
        }
        let done = command.success().is_some() || key.and_then(|key| keys.get(key)) == Some(&true);
        let units = match &command.ask {
            Ask::Put(_, put) if done => {
                puts += 1;
                i128::from(put.on_hand)
            }
            Ask::Adjust(_, adjust) => i128::from(adjust.delta),
            // One of unknown outcome, or a delete.
            _ => return None,
        };
        total.surely += if done { units } else { 0 };
        let perhaps = match (key, done) {
            (Some(_), true) => 0,
            (Some(_), false) => 1,
            // Without a key each try may have been executed.
            (None, _) => command.doubts,
        };
        total.perhaps.extend(std::iter::repeat_n(units, perhaps));
    }
    (puts == 1).then_some(total)
}

impl Total {
    /// Whether it can be that much. Of many unknown commands only the bounds are looked at.
    fn allows(&self, units: i128) -> bool {
        let over = units - self.surely;
        if self.perhaps.len() > 12 {
            let least: i128 = self.perhaps.iter().filter(|delta| **delta < 0).sum();
            let most: i128 = self.perhaps.iter().filter(|delta| **delta > 0).sum();
            return (least..=most).contains(&over);
        }
        let sums = (0..1_u32 << self.perhaps.len()).map(|chosen| {
            let chosen = self.perhaps.iter().enumerate().filter(|(place, _)| chosen >> place & 1 == 1);
            chosen.map(|(_, delta)| *delta).sum::<i128>()
        });
        sums.into_iter().any(|sum| sum == over)
    }
}

/// `forgets`: sales may be so old that their reservations are gone.
fn compare(last: &Final, totals: &HashMap<&str, Total>, forgets: bool, found: &mut Findings) {
    let mut sold: BTreeMap<&str, i128> = BTreeMap::new();
    for view in last.reservations.iter().filter(|view| view.state == ReservationState::Committed) {
        for item in &view.items {
            *sold.entry(&item.sku).or_default() += i128::from(item.qty);
        }
        for item in &view.returned {
            *sold.entry(&item.sku).or_default() -= i128::from(item.qty);
        }
    }
    for record in &last.stock {
        let Some(total) = totals.get(record.sku.as_str()) else { continue };
        found.look();
        let units = i128::from(record.on_hand) + i128::from(record.sold);
        if !total.allows(units) {
            found.accuse(last.at_us, &[], || {
                let (node, sku, surely) = (last.node, &record.sku, total.surely);
                format!("node {node}: on_hand + sold of {sku} is {units}, and its commands make {surely}")
            });
        }
        let committed = sold.get(record.sku.as_str()).copied().unwrap_or(0);
        if !forgets && i128::from(record.sold) != committed {
            found.accuse(last.at_us, &[], || {
                let (node, sku, sold) = (last.node, &record.sku, record.sold);
                format!("node {node}: {sold} units of {sku} are sold, and its reservations say {committed}")
            });
        }
    }
}
