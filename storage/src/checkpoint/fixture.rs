//! Inventories and records for the tests of checkpoint and snapshot.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::ImageHeader;
use crate::Position;
use crate::inventory::Inventory;
use crate::inventory::command::{
    AdjustSku, Command, Commit, HoldLimits, IfExpired, PutSku, Release, Request, Reserve, Stamp,
};
use crate::inventory::ids::{Item, ReservationId, Sku};
use crate::inventory::outcome::Outcome;
use crate::inventory::record::{Record, RecordKey};

const SKUS: u64 = 20;

/// An inventory that commands made, and how many were applied.
pub(crate) struct Shop {
    pub(crate) inventory: Inventory,
    rng: StdRng,
    applied: u64,
    holds: Vec<ReservationId>,
}

impl Shop {
    /// A shop whose commands follow from the seed.
    pub(crate) fn new(seed: u64) -> Shop {
        let rng = StdRng::seed_from_u64(seed);
        Shop { inventory: Inventory::default(), rng, applied: 0, holds: Vec::new() }
    }

    /// A shop after that many commands.
    pub(crate) fn after(seed: u64, commands: u64) -> Shop {
        let mut shop = Shop::new(seed);
        shop.run(commands);
        shop
    }

    /// Applies that many commands more.
    pub(crate) fn run(&mut self, commands: u64) {
        for _ in 0..commands {
            self.step();
        }
    }

    /// What an image of it is an image of, now.
    pub(crate) fn header(&self) -> ImageHeader {
        let applied = Some(Position { term: 3, leader: 1, index: self.applied });
        ImageHeader { applied, membership: b"members".to_vec(), digest: self.inventory.state_digest() }
    }

    /// Its records now.
    pub(crate) fn records(&self) -> Vec<(RecordKey, Record)> {
        self.inventory.records().collect()
    }

    /// Makes so many SKUs more.
    pub(crate) fn put_skus(&mut self, skus: u32) {
        for number in 0..skus {
            self.applied += 1;
            let sku = Sku::new(&format!("MORE-{number:06}")).unwrap();
            self.apply(Self::put(sku, 100 + u64::from(number)));
        }
    }

    fn step(&mut self) {
        self.applied += 1;
        let command = self.command();
        self.apply(command);
    }

    fn apply(&mut self, command: Command) {
        let stamp = Stamp {
            now_ms: 1_700_000_000_000 + self.applied * 50,
            retention_ms: 60_000,
            idempotency_ms: 60_000,
            max_hold_ms: 1_800_000,
            events_max: 1_000,
            limits: HoldLimits::NONE,
            events_ms: 86_400_000,
        };
        let key = self.rng.random_bool(0.5).then(|| format!("key-{}", self.applied).into());
        let applied = self.inventory.apply(&stamp, &Request { idempotency_key: key, command });
        if let Ok(Outcome::Reserved(view)) = applied.result {
            self.holds.push(view.id);
        }
    }

    fn command(&mut self) -> Command {
        let hold = (!self.holds.is_empty()).then(|| self.rng.random_range(0..self.holds.len()));
        match (self.rng.random_range(0..10), hold) {
            (0, _) => self.put_sku(),
            (1, _) => self.adjust_sku(),
            (2..=3, Some(hold)) => Command::Commit(Commit {
                reservation_id: self.holds.swap_remove(hold),
                payment_token: Some("paid".into()),
                fencing_token: None,
                if_expired: IfExpired::Reacquire,
                items: None,
            }),
            (4, Some(hold)) => {
                Command::Release(Release { reservation_id: self.holds.swap_remove(hold), items: None })
            }
            _ => self.reserve(),
        }
    }

    fn put_sku(&mut self) -> Command {
        let (sku, on_hand) = (self.sku(), self.rng.random_range(100..1_000));
        Self::put(sku, on_hand)
    }

    fn put(sku: Sku, on_hand: u64) -> Command {
        Command::PutSku(PutSku {
            sku,
            on_hand,
            safety_stock: Some(1),
            max_per_customer: Default::default(),
            on_shortfall: Default::default(),
            precondition: Default::default(),
        })
    }

    fn adjust_sku(&mut self) -> Command {
        let (sku, delta) = (self.sku(), self.rng.random_range(1..100));
        Command::AdjustSku(AdjustSku {
            sku,
            delta,
            reason: None,
            reference: None,
            on_shortfall: Default::default(),
            precondition: Default::default(),
        })
    }

    fn reserve(&mut self) -> Command {
        Command::Reserve(Reserve {
            nonce: self.rng.random(),
            cart_id: format!("cart-{}", self.applied).into(),
            customer_id: self.rng.random_bool(0.5).then(|| "somebody".into()),
            items: vec![Item { sku: self.sku(), qty: self.rng.random_range(1..4) }],
            ttl_ms: self.rng.random_range(1_000..30_000),
            wait: false,
        })
    }

    fn sku(&mut self) -> Sku {
        Sku::new(&format!("SKU-{:02}", self.rng.random_range(0..SKUS))).unwrap()
    }
}
