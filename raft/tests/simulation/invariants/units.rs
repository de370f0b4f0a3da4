//! Units are conserved and never oversold, sequence numbers have no gap, and a key has one effect.

use std::collections::{BTreeMap, BTreeSet};

use storage::inventory::command::Command;
use storage::inventory::ids::Sku;

use super::{Invariant, Moment};
use crate::history::Agreed;

/// What must be there of each SKU, sold or not; which keys have had their effect.
#[derive(Default)]
pub(super) struct Units {
    total: BTreeMap<Sku, i64>,
    sequence: u64,
    effects: BTreeSet<Box<str>>,
}

impl Invariant for Units {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for index in moment.agreed.clone() {
            let Some(agreed) = moment.history.entry(index) else { continue };
            self.check_entry(agreed).map_err(|why| format!("entry {index}: {why}"))?;
        }
        if moment.agreed.is_empty() {
            return Ok(());
        }
        moment.history.inventory.audit().map_err(|e| e.0.to_string())
    }
}

impl Units {
    fn check_entry(&mut self, agreed: &Agreed) -> Result<(), String> {
        for (request, applied) in &agreed.applied {
            self.sequence += 1;
            // The answer of a replay is that of its first time; it takes a number of its own all the same.
            if !applied.replayed && applied.sequence != self.sequence {
                return Err(format!("sequence {} where {} is to come", applied.sequence, self.sequence));
            }
            if applied.replayed || applied.result.is_err() {
                continue;
            }
            if let Some(key) = &request.idempotency_key
                && !self.effects.insert(key.clone())
            {
                return Err(format!("the key {key} has a second effect"));
            }
            match &request.command {
                Command::PutSku(put) => drop(self.total.insert(put.sku.clone(), put.on_hand as i64)),
                Command::AdjustSku(adjust) => {
                    *self.total.entry(adjust.sku.clone()).or_default() += adjust.delta;
                }
                _ => {}
            }
        }
        if agreed.sequence != self.sequence {
            return Err(format!("the sequence is {}, after {} commands", agreed.sequence, self.sequence));
        }
        agreed.stocks.iter().try_for_each(|stock| {
            let there = (stock.on_hand + stock.sold) as i64;
            let total = self.total.get(&stock.sku).copied().unwrap_or_default();
            if there != total {
                return Err(format!("{total} units of {} came, and {there} are there or sold", stock.sku));
            }
            if stock.held > stock.on_hand {
                return Err(format!("{} is oversold: {stock:?}", stock.sku));
            }
            Ok(())
        })
    }
}
