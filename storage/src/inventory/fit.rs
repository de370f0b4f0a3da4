//! Whether a cart fits, and if not, why: for its buyer's sake, and for the sold-out gate's.

use super::Inventory;
use super::ids::Item;
use super::outcome::{Rejection, Shortage};
use super::record::StockRecord;
use super::stock::Stock;
use crate::planted;

/// The short SKUs of a cart, as they are found.
#[derive(Debug, Default)]
struct Shortfall {
    shortages: Vec<Shortage>,
    /// Whether some SKU would not fit even if every hold lapsed.
    hopeless: bool,
    /// When enough holds may have lapsed.
    earliest_ms: u64,
}

impl Inventory {
    /// Whether all items are available at once, with nobody waiting for them. Precedence: `SkuNotFound`,
    /// `InsufficientStock`, `HeldByOthers`.
    pub(super) fn check_fits(&self, items: &[Item]) -> Result<(), Rejection> {
        let now_ms = self.now_ms();
        let mut shortfall = Shortfall::default();
        for item in items {
            let Some(stock) = self.stocks.get(&item.sku) else {
                return Err(Rejection::SkuNotFound { sku: item.sku.clone() });
            };
            let figures = stock.at(now_ms);
            let waited_for = !stock.line().is_empty() && !planted!("line-overtaken");
            if figures.available() < item.qty || waited_for {
                shortfall.add(item, stock, &figures, now_ms);
            }
        }
        if planted!("part-of-a-cart-taken") && shortfall.shortages.len() < items.len() {
            return Ok(());
        }
        shortfall.verdict(now_ms)
    }
}

impl Shortfall {
    fn add(&mut self, item: &Item, stock: &Stock, figures: &StockRecord, now_ms: u64) {
        self.shortages.push(Shortage {
            sku: item.sku.clone(),
            requested: item.qty,
            available: figures.available(),
            held: figures.held,
            sold_out: figures.sellable() == 0,
        });
        self.hopeless |= figures.sellable() < item.qty;
        if !self.hopeless {
            // Units that stay held may number sellable - requested; the rest must lapse. Those already due have.
            let lapse = figures.held.saturating_sub(figures.sellable() - item.qty);
            let lapsed = stock.record().held - figures.held;
            // Where somebody waits for units that are there, it may be any moment.
            let enough_ms = if lapse == 0 { now_ms } else { stock.lapses().lapsed_by_ms(lapsed + lapse) };
            self.earliest_ms = self.earliest_ms.max(enough_ms);
        }
    }

    fn verdict(self, now_ms: u64) -> Result<(), Rejection> {
        let Shortfall { shortages, hopeless, earliest_ms } = self;
        match (shortages.is_empty(), hopeless) {
            (true, _) => Ok(()),
            (false, true) => Err(Rejection::InsufficientStock { shortages }),
            (false, false) => Err(Rejection::HeldByOthers { shortages, earliest_ms, now_ms }),
        }
    }
}
