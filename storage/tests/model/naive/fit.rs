//! Whether a cart fits, and whether its customer may have it.

use storage::inventory::command::{Reserve, Stamp};
use storage::inventory::ids::{Item, Sku};
use storage::inventory::outcome::{Rejection, Shortage, State, Total};

use super::{Naive, Reservation, units};

impl Naive {
    /// Precedence: the SKUs are there, the customer may have them, they are available.
    pub(super) fn why_not(&self, customer: Option<&str>, items: &[Item]) -> Result<(), Rejection> {
        if let Some(item) = items.iter().find(|item| !self.skus.contains_key(&item.sku)) {
            return Err(Rejection::SkuNotFound { sku: item.sku.clone() });
        }
        if let Some(over) = items.iter().find_map(|item| self.over_limit(customer, item)) {
            return Err(over);
        }
        self.why_short(items)
    }

    /// Units of a SKU that has a line are for the line.
    fn why_short(&self, items: &[Item]) -> Result<(), Rejection> {
        let short = |item: &&Item| {
            let stock = self.stock(&item.sku).unwrap();
            stock.available() < item.qty || stock.waiting > 0
        };
        let short: Vec<&Item> = items.iter().filter(short).collect();
        if short.is_empty() {
            return Ok(());
        }
        let shortages = short.iter().map(|item| self.shortage(item)).collect();
        match short.iter().map(|item| self.fits_at_ms(item)).collect::<Option<Vec<u64>>>() {
            None => Err(Rejection::InsufficientStock { shortages }),
            Some(moments) => Err(Rejection::HeldByOthers {
                shortages,
                earliest_ms: moments.into_iter().max().unwrap(),
                now_ms: self.now_ms,
            }),
        }
    }

    fn shortage(&self, item: &Item) -> Shortage {
        let stock = self.stock(&item.sku).unwrap();
        Shortage {
            sku: item.sku.clone(),
            requested: item.qty,
            available: stock.available(),
            held: stock.held,
            sold_out: stock.on_hand <= stock.safety_stock,
        }
    }

    /// When so many holds have lapsed that the item fits; `None`: not even when all have.
    fn fits_at_ms(&self, item: &Item) -> Option<u64> {
        let mut stock = self.stock(&item.sku).unwrap();
        let mut holds = self.holds_of(&item.sku);
        holds.sort();
        let mut holds = holds.into_iter();
        let mut moment_ms = self.now_ms;
        while stock.available() < item.qty {
            let (deadline_ms, qty) = holds.next()?;
            moment_ms = deadline_ms;
            stock.held -= qty;
        }
        Some(moment_ms)
    }

    /// More than the customer may have, even of nothing.
    pub(super) fn never_allowed(&self, customer: Option<&str>, item: &Item) -> bool {
        let limit = self.skus.get(&item.sku).and_then(|figures| figures.max_per_customer);
        customer.is_some() && limit.is_some_and(|limit| limit < item.qty)
    }

    /// Why the customer may not have so many more.
    pub(super) fn over_limit(&self, customer: Option<&str>, item: &Item) -> Option<Rejection> {
        let (customer, limit) = (customer?, self.skus.get(&item.sku)?.max_per_customer?);
        let held = self.live_on(&item.sku).filter(|one| one.customer_id.as_deref() == Some(customer));
        let held: u64 = held.map(|one| units(&one.items, &item.sku)).sum();
        let sold = self.bought.get(&(item.sku.clone(), customer.into())).copied().unwrap_or(0);
        (held + sold + item.qty > limit).then(|| Rejection::CustomerLimit {
            sku: item.sku.clone(),
            limit,
            held,
            sold,
            requested: item.qty,
        })
    }

    /// Why the customer may have nothing more, of any SKU: who waits counts as who holds.
    pub(super) fn over_totals(&self, stamp: &Stamp, reserve: &Reserve) -> Option<Rejection> {
        let customer = reserve.customer_id.as_ref()?;
        let is_live = |one: &&Reservation| matches!(self.state(one), State::Held | State::Waiting);
        let of_customer = |one: &&Reservation| one.customer_id.as_ref() == Some(customer);
        let all_units = |items: &[Item]| items.iter().map(|item| item.qty).sum::<u64>();
        let has = self.reservations.iter().filter(is_live).filter(of_customer);
        let (holds, units) =
            has.fold((0, 0), |(holds, units), one| (holds + 1, units + all_units(&one.items)));
        let over = |of, limit: Option<u64>, has: u64, requested: u64| {
            let limit = limit.filter(|limit| has + requested > *limit)?;
            Some(Rejection::CustomerTotal { of, limit, has, requested })
        };
        let limits = &stamp.limits;
        over(Total::Holds, limits.customer_holds_max, holds, 1)
            .or_else(|| over(Total::Units, limits.customer_units_max, units, all_units(&reserve.items)))
    }

    /// Deadline and units of every live hold on a SKU.
    pub(super) fn holds_of(&self, sku: &Sku) -> Vec<(u64, u64)> {
        let live = self.live_on(sku);
        live.map(|one| (one.grant.unwrap().deadline_ms, units(&one.items, sku))).collect()
    }

    /// Live holds that name a SKU.
    pub(super) fn live_on(&self, sku: &Sku) -> impl Iterator<Item = &Reservation> {
        let on = move |one: &&Reservation| units(&one.items, sku) > 0;
        self.reservations.iter().filter(|one| self.state(one) == State::Held).filter(on)
    }
}
