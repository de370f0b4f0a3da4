//! The work that every system is given, and what is measured of it.

use std::ops::Range;

use clap::ValueEnum;

/// How many SKUs `spread` sells.
const SPREAD_SKUS: u64 = 10_000;

/// What is in stock of each SKU where nothing shall be sold out.
const PLENTY: u64 = 1_000_000_000;

/// The stock of `flash`.
const FLASH_STOCK: u64 = 100;

/// The requests of `flash`.
pub(crate) const FLASH_REQUESTS: u64 = 50_000;

/// A kind of work. Each operation is of a cart of its own, and of one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Reserves of one SKU.
    Hot,
    /// Reserves of 10,000 SKUs.
    Spread,
    /// A reserve and then its commit, of one SKU; both together are one operation.
    Pair,
    /// 50,000 reserves of one SKU with 100 units.
    Flash,
    /// Reserves of one SKU over one connection.
    Single,
}

/// What a workload is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Operations a second: more is better.
    Rate,
    /// Seconds from the first request to the last answer: less is better.
    Elapsed,
    /// Milliseconds that half of the operations took at most: less is better.
    Median,
}

impl Workload {
    /// Its name, as options have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Hot => "hot",
            Workload::Spread => "spread",
            Workload::Pair => "pair",
            Workload::Flash => "flash",
            Workload::Single => "single",
        }
    }

    /// What it does, for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Workload::Hot => "reserves of one SKU",
            Workload::Spread => "reserves of 10,000 SKUs",
            Workload::Pair => "a reserve and then its commit, counted as one, of one SKU",
            Workload::Flash => "50,000 requests for 100 units",
            Workload::Single => "one reserve at a time",
        }
    }

    /// What it is judged by.
    pub(crate) fn figure(self) -> Figure {
        match self {
            Workload::Hot | Workload::Spread | Workload::Pair => Figure::Rate,
            Workload::Flash => Figure::Elapsed,
            Workload::Single => Figure::Median,
        }
    }

    /// How many SKUs it sells.
    pub(crate) fn skus(self) -> u64 {
        match self {
            Workload::Spread => SPREAD_SKUS,
            _ => 1,
        }
    }

    /// Those that a warm-up sells: it would sell out what the flash sale is about, which so has another one for it.
    pub(crate) fn skus_warm(self) -> Range<u64> {
        match self {
            Workload::Flash => 1..2,
            _ => 0..self.skus(),
        }
    }

    /// How many SKUs are put into stock.
    pub(crate) fn skus_put(self) -> u64 {
        self.skus().max(self.skus_warm().end)
    }

    /// What is in stock of each.
    pub(crate) fn stock(self) -> u64 {
        match self {
            Workload::Flash => FLASH_STOCK,
            _ => PLENTY,
        }
    }

    /// Over how many connections, where so many were asked for.
    pub(crate) fn connections(self, asked: u64) -> u64 {
        match self {
            Workload::Single => 1,
            _ => asked,
        }
    }
}
