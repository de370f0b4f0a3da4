//! What the benches of storage share: a shop of any size, and what the process has used so far.

#![allow(dead_code, reason = "each bench uses its part")]

use std::fs;
use std::path::Path;

use storage::Position;
use storage::checkpoint::{Changes, Checkpoint, ImageHeader};
use storage::inventory::Inventory;
use storage::inventory::command::{
    Command, HoldLimits, OnShortfall, Precondition, PutSku, Request, Reserve, Setting, Stamp,
};
use storage::inventory::ids::{Item, Sku};

/// The first moment of every bench.
pub(crate) const START_MS: u64 = 1_790_000_000_000;

/// Random numbers that are the same in every run.
pub(crate) struct Random(u64);

impl Random {
    /// Begins a sequence.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next one: splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Whose commands come one after the other, a millisecond for every eight of them.
pub(crate) struct Shop {
    /// The state machine.
    pub(crate) inventory: Inventory,
    changes: Changes,
    random: Random,
    commands: u64,
    /// Of how many reserves one carries a customer's id; 0: none.
    pub(crate) customer_each: u64,
    /// Of how many commands one carries an idempotency key; 0: none.
    pub(crate) key_each: u64,
}

impl Shop {
    /// An empty one.
    pub(crate) fn new(customer_each: u64, key_each: u64) -> Shop {
        Shop::of(Inventory::default(), customer_each, key_each)
    }

    /// One with an inventory that was loaded.
    pub(crate) fn of(inventory: Inventory, customer_each: u64, key_each: u64) -> Shop {
        let commands = inventory.sequence();
        let (changes, random) = (Changes::default(), Random::new(commands + 1));
        Shop { inventory, changes, random, commands, customer_each, key_each }
    }

    /// Puts that many SKUs more, with a million units each.
    pub(crate) fn put_skus(&mut self, count: u64) {
        self.put_skus_of(count, 1_000_000);
    }

    /// Puts that many SKUs more, with so many units each.
    pub(crate) fn put_skus_of(&mut self, count: u64, on_hand: u64) {
        let there = self.inventory.counts().skus as u64;
        for number in there..there + count {
            let put = PutSku {
                sku: sku(number),
                on_hand,
                safety_stock: None,
                max_per_customer: Setting::Keep,
                on_shortfall: OnShortfall::Refuse,
                precondition: Precondition::None,
            };
            self.apply(Command::PutSku(put), false);
        }
    }

    /// Reserves one unit of a SKU for a cart of its own, for half an hour.
    pub(crate) fn reserve(&mut self, number: u64) {
        let cart = self.commands;
        let is_each = |each: u64| each > 0 && cart.is_multiple_of(each);
        let reserve = Reserve {
            nonce: self.random.next(),
            cart_id: format!("cart-{cart:08}").into(),
            customer_id: is_each(self.customer_each).then(|| format!("customer-{cart:08}").into()),
            items: vec![Item { sku: sku(number), qty: 1 }],
            ttl_ms: 1_800_000,
            wait: false,
        };
        self.apply(Command::Reserve(reserve), is_each(self.key_each));
    }

    /// Applies a command, with or without a key of 36 characters, as clients make them.
    pub(crate) fn apply(&mut self, command: Command, keyed: bool) {
        let mut number = || self.random.next();
        let key = || format!("{:016x}-{:016x}-00", number(), number()).into();
        let request = Request { idempotency_key: keyed.then(key), command };
        self.commands += 1;
        let applied = self.inventory.apply(&stamp(START_MS + self.commands / 8), &request);
        assert!(applied.result.is_ok(), "{:?}", applied.result);
    }
}

/// The SKU of a number.
pub(crate) fn sku(number: u64) -> Sku {
    Sku::new(&format!("SKU-{number:07}")).unwrap()
}

/// What a leader stamps by default.
pub(crate) fn stamp(now_ms: u64) -> Stamp {
    let day_ms = 86_400_000;
    Stamp {
        now_ms,
        retention_ms: day_ms,
        idempotency_ms: day_ms,
        max_hold_ms: 1_800_000,
        events_ms: day_ms,
        events_max: 262_144,
        limits: HoldLimits::NONE,
    }
}

impl Shop {
    /// Takes what changed and will hardly do so again, as a node does after each entry; the CPU time, in seconds.
    pub(crate) fn gather(&mut self) -> f64 {
        let before = thread_seconds();
        self.changes.take_settled(&mut self.inventory, usize::MAX);
        thread_seconds() - before
    }

    /// Saves what changed where that many records did; the CPU time that it took, in seconds: to take it, and in all.
    pub(crate) fn save(&mut self, checkpoint: &mut Checkpoint, records: usize) -> [f64; 2] {
        let inventory = &mut self.inventory;
        if inventory.changed() + self.changes.len() < records {
            return [0.0; 2];
        }
        let (before, start) = (cpu_seconds(), thread_seconds());
        let applied = Some(Position { term: 1, leader: 1, index: inventory.sequence() });
        let header = ImageHeader { applied, membership: Vec::new(), digest: inventory.state_digest() };
        self.changes.take_changed(inventory);
        let took = thread_seconds() - start;
        checkpoint.save(&header, &mut self.changes).unwrap();
        self.changes.clear(usize::MAX);
        [took, cpu_seconds() - before]
    }
}

/// The CPU time of this process's first thread so far, in seconds, to the microsecond.
pub(crate) fn thread_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<u64>().unwrap() as f64 / 1e9
}

/// The CPU time of this process so far, of all its threads, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / 100.0
}

/// This process's resident memory, in MiB.
pub(crate) fn resident_mib() -> u64 {
    figure("/proc/self/status", "VmRSS:") / 1024
}

/// What this process has handed to the system to write to files so far, in bytes.
pub(crate) fn written_bytes() -> u64 {
    figure("/proc/self/io", "wchar:")
}

/// The lengths of all files below a directory, in bytes.
pub(crate) fn files_bytes(dir: &Path) -> u64 {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() { files_bytes(&entry.path()) } else { meta.len() }
        })
        .sum()
}

fn figure(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
