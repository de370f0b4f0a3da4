//! Put, adjust, delete; and a SKU's record.

use std::collections::BTreeSet;

use storage::inventory::command::{AdjustSku, DeleteSku, OnShortfall, Precondition, PutSku, Setting, Stamp};
use storage::inventory::event::{Cause, StockChange};
use storage::inventory::ids::{Item, Sku, UNITS_MAX};
use storage::inventory::outcome::{Outcome, Rejection, State, StockView};

use super::{Figures, Naive, units};

impl Naive {
    /// A SKU's record now: what came due since it was noted counts.
    pub(crate) fn stock(&self, sku: &Sku) -> Option<StockView> {
        let figures = self.skus.get(sku)?;
        let lapses = self.lapses(sku, figures.noted_ms);
        Some(StockView { version: figures.noted.version + lapses.len() as u64, ..self.figures(sku) })
    }

    pub(super) fn put(&mut self, stamp: &Stamp, put: &PutSku) -> Result<Outcome, Rejection> {
        let known = self.stock(&put.sku);
        check(&put.precondition, known.as_ref())?;
        let to = i128::from(put.on_hand);
        self.check_on_hand(known.as_ref(), to, put.on_shortfall)?;
        self.revoke_above(stamp, &put.sku, put.on_hand);
        if known.is_none() {
            self.skus.insert(put.sku.clone(), Figures::new(&put.sku, self.sequence, self.now_ms));
        }
        let figures = self.skus.get_mut(&put.sku).unwrap();
        figures.on_hand = put.on_hand;
        figures.safety_stock = put.safety_stock.unwrap_or(figures.safety_stock);
        match put.max_per_customer {
            Setting::Keep => {}
            Setting::Clear => figures.max_per_customer = None,
            Setting::Set(limit) => figures.max_per_customer = Some(limit),
        }
        if known.is_some() {
            self.note(&put.sku, Cause::Put);
            return Ok(Outcome::SkuSet(self.stock(&put.sku).unwrap()));
        }
        let view = StockView { version: self.deleted_version + 1, ..self.figures(&put.sku) };
        self.skus.get_mut(&put.sku).unwrap().noted = view.clone();
        self.tell_stock(
            StockChange { before: None, after: Some(view.clone()), reason: None, reference: None },
            Cause::Put,
        );
        Ok(Outcome::SkuCreated(view))
    }

    pub(super) fn adjust(&mut self, stamp: &Stamp, adjust: &AdjustSku) -> Result<Outcome, Rejection> {
        let known = self.stock(&adjust.sku);
        check(&adjust.precondition, known.as_ref())?;
        let stock = known.ok_or(Rejection::SkuNotFound { sku: adjust.sku.clone() })?;
        let to = i128::from(stock.on_hand) + i128::from(adjust.delta);
        self.check_on_hand(Some(&stock), to, adjust.on_shortfall)?;
        self.revoke_above(stamp, &adjust.sku, to as u64);
        self.skus.get_mut(&adjust.sku).unwrap().on_hand = to as u64;
        self.note_because(&adjust.sku, Cause::Adjust, adjust.reason.clone(), adjust.reference.clone());
        Ok(Outcome::SkuSet(self.stock(&adjust.sku).unwrap()))
    }

    pub(super) fn delete(&mut self, delete: &DeleteSku) -> Result<Outcome, Rejection> {
        let known = self.stock(&delete.sku);
        check(&delete.precondition, known.as_ref())?;
        let stock = known.ok_or(Rejection::SkuNotFound { sku: delete.sku.clone() })?;
        if stock.held > 0 || stock.waiting > 0 {
            return Err(Rejection::SkuHasHolds { stock });
        }
        self.skus.remove(&delete.sku);
        self.deleted_version = self.deleted_version.max(stock.version);
        self.bought.retain(|(sku, _), _| *sku != delete.sku);
        self.tell_stock(
            StockChange { before: Some(stock), after: None, reason: None, reference: None },
            Cause::Delete,
        );
        Ok(Outcome::SkuDeleted)
    }

    fn check_on_hand(
        &self,
        known: Option<&StockView>,
        to: i128,
        on_shortfall: OnShortfall,
    ) -> Result<(), Rejection> {
        let least = match (known, on_shortfall) {
            (Some(stock), OnShortfall::Refuse) => i128::from(stock.held),
            _ => 0,
        };
        match known {
            Some(stock) if to < least => Err(Rejection::StockBelowHeld { stock: stock.clone() }),
            _ if to > i128::from(UNITS_MAX) => Err(Rejection::StockAboveMax),
            _ => Ok(()),
        }
    }

    /// Takes the newest holds away until so many units suffice.
    fn revoke_above(&mut self, stamp: &Stamp, sku: &Sku, on_hand: u64) {
        while self.stock(sku).is_some_and(|stock| stock.held > on_hand) {
            let newest = self.live_on(sku).max_by_key(|one| one.grant.unwrap().fencing_token).unwrap().id;
            let items = self.one(newest).items.clone();
            items.iter().for_each(|item| self.settle(&item.sku));
            self.let_go(stamp, newest, State::Revoked, Cause::Revoke);
        }
    }

    /// Gives back what came due.
    pub(super) fn settle(&mut self, sku: &Sku) {
        let Some(after) = self.stock(sku) else { return };
        let now_ms = self.now_ms;
        let figures = self.skus.get_mut(sku).unwrap();
        figures.noted_ms = now_ms;
        if figures.noted.version != after.version {
            let before = std::mem::replace(&mut figures.noted, after.clone());
            let change =
                StockChange { before: Some(before), after: Some(after), reason: None, reference: None };
            self.tell_stock(change, Cause::Time);
        }
    }

    pub(super) fn note_all(&mut self, items: &[Item], cause: Cause) {
        items.iter().for_each(|item| self.note(&item.sku, cause));
    }

    /// Where the record is not as it was noted, it has a new version.
    pub(super) fn note(&mut self, sku: &Sku, cause: Cause) {
        self.note_because(sku, cause, None, None);
    }

    fn note_because(
        &mut self,
        sku: &Sku,
        cause: Cause,
        reason: Option<Box<str>>,
        reference: Option<Box<str>>,
    ) {
        if !self.skus.contains_key(sku) {
            return;
        }
        let before = self.skus[sku].noted.clone();
        let same = self.figures(sku);
        assert_eq!(self.skus[sku].noted_ms, self.now_ms, "{sku} changes before it is settled");
        if before != same {
            let after = StockView { version: before.version + 1, ..same };
            self.skus.get_mut(sku).unwrap().noted = after.clone();
            self.tell_stock(
                StockChange { before: Some(before), after: Some(after), reason, reference },
                cause,
            );
        }
    }

    /// Everything but the version, which is that of the record as noted.
    fn figures(&self, sku: &Sku) -> StockView {
        let figures = &self.skus[sku];
        StockView {
            sku: sku.clone(),
            on_hand: figures.on_hand,
            held: self.holds_of(sku).iter().map(|(_, qty)| qty).sum(),
            sold: figures.sold,
            safety_stock: figures.safety_stock,
            max_per_customer: figures.max_per_customer,
            waiting: self.waiting(sku).count() as u64,
            version: figures.noted.version,
        }
    }

    /// The moments after `noted_ms` at which units came due: each is one version.
    pub(super) fn lapses(&self, sku: &Sku, noted_ms: u64) -> BTreeSet<u64> {
        let due = self.reservations.iter().filter(|one| self.is_due(one) && units(&one.items, sku) > 0);
        due.map(|one| one.grant.unwrap().deadline_ms).filter(|&deadline_ms| deadline_ms > noted_ms).collect()
    }
}

impl Figures {
    fn new(sku: &Sku, made_by: u64, now_ms: u64) -> Figures {
        let noted = StockView {
            sku: sku.clone(),
            on_hand: 0,
            held: 0,
            sold: 0,
            safety_stock: 0,
            max_per_customer: None,
            waiting: 0,
            version: 1,
        };
        let (on_hand, sold, safety_stock, max_per_customer) = (0, 0, 0, None);
        Figures { on_hand, sold, safety_stock, max_per_customer, made_by, noted, noted_ms: now_ms }
    }
}

fn check(precondition: &Precondition, known: Option<&StockView>) -> Result<(), Rejection> {
    let current = known.map(|stock| stock.version);
    let holds = match precondition {
        Precondition::None => true,
        Precondition::Exists => current.is_some(),
        Precondition::Absent => current.is_none(),
        Precondition::Versions(versions) => versions.iter().any(|version| Some(*version) == current),
    };
    if holds { Ok(()) } else { Err(Rejection::PreconditionFailed { current }) }
}
