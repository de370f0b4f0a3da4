//! A shop for tests: an inventory, a stamp, and commands in few words.

#![allow(dead_code, reason = "each test file uses a part of it")]

use storage::inventory::Inventory;
use storage::inventory::command::{
    AdjustSku, Command, Commit, DeleteSku, Extend, HoldLimits, IfExpired, OnShortfall, Precondition, PutSku,
    Release, Request, Reserve, Return, Setting, Stamp,
};
use storage::inventory::event::{Event, EventFilter, EventPosition};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{Applied, Outcome, Rejection, ReservationView, StockView};
use storage::inventory::record::RecordKey;

pub(crate) const START_MS: u64 = 1_700_000_000_000;
pub(crate) const TTL_MS: u64 = 300_000;

/// An inventory and the stamp of its next command.
pub(crate) struct Shop {
    pub(crate) inventory: Inventory,
    pub(crate) stamp: Stamp,
}

impl Shop {
    pub(crate) fn new() -> Shop {
        Shop { inventory: Inventory::default(), stamp: stamp(START_MS) }
    }

    /// From here on it is so many milliseconds after the start.
    pub(crate) fn at(&mut self, after_ms: u64) {
        self.stamp.now_ms = START_MS + after_ms;
    }

    pub(crate) fn apply(&mut self, command: Command) -> Applied {
        self.inventory.apply(&self.stamp, &Request { idempotency_key: None, command })
    }

    pub(crate) fn ok(&mut self, command: Command) -> Outcome {
        self.apply(command).result.unwrap()
    }

    pub(crate) fn refused(&mut self, command: Command) -> Rejection {
        self.apply(command).result.unwrap_err()
    }

    pub(crate) fn tick(&mut self) {
        self.ok(Command::Tick);
    }

    pub(crate) fn put(&mut self, name: &str, on_hand: u64) {
        self.ok(Command::PutSku(put(name, on_hand)));
    }

    pub(crate) fn adjust(&mut self, name: &str, delta: i64) -> StockView {
        match self.ok(Command::AdjustSku(adjust(name, delta))) {
            Outcome::SkuSet(stock) => stock,
            other => panic!("not adjusted: {other:?}"),
        }
    }

    pub(crate) fn hold(&mut self, cart: &str, items: &[(&str, u64)]) -> ReservationView {
        match self.ok(Command::Reserve(reserve(cart, items))) {
            Outcome::Reserved(view) => view,
            other => panic!("not reserved: {other:?}"),
        }
    }

    pub(crate) fn wait(&mut self, cart: &str, name: &str, qty: u64) -> ReservationView {
        match self.ok(Command::Reserve(wait(cart, name, qty))) {
            Outcome::Waiting(view) => view,
            other => panic!("it does not wait: {other:?}"),
        }
    }

    pub(crate) fn release(&mut self, id: ReservationId) {
        self.ok(Command::Release(Release { reservation_id: id, items: None }));
    }

    pub(crate) fn stock(&self, name: &str) -> StockView {
        self.inventory.stock(&sku(name)).unwrap()
    }

    pub(crate) fn reservation(&self, id: ReservationId) -> ReservationView {
        self.inventory.reservation(id).unwrap()
    }

    /// The events of the last command.
    pub(crate) fn events(&self) -> Vec<Event> {
        let after = EventPosition { sequence: self.inventory.sequence() - 1, index: u32::MAX };
        self.inventory.events(Some(after), &EventFilter::default(), 100_000).unwrap().events
    }
}

pub(crate) fn stamp(now_ms: u64) -> Stamp {
    Stamp {
        now_ms,
        retention_ms: 86_400_000,
        idempotency_ms: 86_400_000,
        max_hold_ms: 1_800_000,
        events_ms: 86_400_000,
        events_max: 1_000,
        limits: HoldLimits::NONE,
    }
}

pub(crate) fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

pub(crate) fn items(items: &[(&str, u64)]) -> Vec<Item> {
    items.iter().map(|&(name, qty)| Item { sku: sku(name), qty }).collect()
}

pub(crate) fn put(name: &str, on_hand: u64) -> PutSku {
    PutSku {
        sku: sku(name),
        on_hand,
        safety_stock: None,
        max_per_customer: Setting::Keep,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::None,
    }
}

pub(crate) fn adjust(name: &str, delta: i64) -> AdjustSku {
    AdjustSku {
        sku: sku(name),
        delta,
        reason: None,
        reference: None,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::None,
    }
}

pub(crate) fn delete(name: &str) -> Command {
    Command::DeleteSku(DeleteSku { sku: sku(name), precondition: Precondition::None })
}

pub(crate) fn reserve(cart: &str, of: &[(&str, u64)]) -> Reserve {
    Reserve {
        nonce: 7,
        cart_id: cart.into(),
        customer_id: None,
        items: items(of),
        ttl_ms: TTL_MS,
        wait: false,
    }
}

pub(crate) fn wait(cart: &str, name: &str, qty: u64) -> Reserve {
    Reserve { wait: true, ..reserve(cart, &[(name, qty)]) }
}

pub(crate) fn commit(reservation_id: ReservationId) -> Commit {
    Commit {
        reservation_id,
        payment_token: None,
        fencing_token: None,
        if_expired: IfExpired::Fail,
        items: None,
    }
}

pub(crate) fn extend(reservation_id: ReservationId, ttl_ms: u64) -> Command {
    Command::Extend(Extend { reservation_id, ttl_ms })
}

/// The keys of the records that changed since they were shown last.
pub(crate) fn changed_keys(inventory: &mut Inventory) -> Vec<RecordKey> {
    let mut keys = Vec::new();
    inventory.take_changed(|key, _| keys.push(key.to_key()));
    keys
}

pub(crate) fn take_back(reservation_id: ReservationId) -> Command {
    Command::Return(Return { reservation_id, items: None })
}
