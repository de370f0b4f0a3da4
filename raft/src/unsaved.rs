//! What changed since the last save, on its way to the next one.
//!
//! ```text
//!   inventory   knows what changed ----- gather, after each entry: what is settled ------> changes, encoded
//!                                 \----- portions, once a save is due: everything ------->    |
//!                                                     nothing is left: the cut                v  a save
//! ```
//!
//! All of it happens under apply's lock, and so in portions: while no save can be made, because a snapshot is being
//! built or there is no room, a million records change, and to take them all at once would hold everybody up for a
//! second. What was taken of one moment and changes again is taken again; the cut is of the moment of the last
//! portion.

use storage::checkpoint::Changes;
use storage::inventory::Inventory;
use tokio::time::Instant;

/// How long the changes may become that gather while no save can be made, in bytes. What changes from there on stays
/// where it is until a save is due.
const GATHERED_BYTES_MAX: usize = 32 << 20;

/// Records and events that are taken at a time, besides what came since the last time. What came counts for as much as
/// it does when it is taken, so that each portion leaves so much less than the one before, however many events a
/// command has.
const PORTION_RECORDS: usize = 1_024;

/// See the module's documentation.
pub(crate) struct Unsaved {
    /// What was taken by now.
    changes: Changes,
    /// What the changes counted for that were left in the inventory when some were taken last.
    left: usize,
    /// When the last cut was, and the sequence number of the last command then.
    cut_at: Instant,
    cut_sequence: u64,
    /// See [`GATHERED_BYTES_MAX`].
    gathered_bytes_max: usize,
}

impl Unsaved {
    /// Nothing: all up to this inventory is saved.
    pub(crate) fn since(inventory: &Inventory) -> Unsaved {
        let (changes, cut_sequence) = (Changes::default(), inventory.sequence());
        Unsaved {
            changes,
            left: inventory.to_take(),
            cut_at: Instant::now(),
            cut_sequence,
            gathered_bytes_max: GATHERED_BYTES_MAX,
        }
    }

    /// Takes changes while they are at hand, so that a save finds few left that it has to hold apply up for.
    pub(crate) fn gather(&mut self, inventory: &mut Inventory) {
        if self.changes.bytes() < self.gathered_bytes_max {
            let portion = self.portion(inventory);
            self.changes.take_settled(inventory, portion);
        }
        self.leave(inventory);
    }

    /// Leaves what changed where it is: it is in no hurry, and the portions that take it later stay small.
    pub(crate) fn leave(&mut self, inventory: &Inventory) {
        self.left = inventory.to_take();
    }

    /// Takes the next portion of everything. Whether nothing is left, and a cut can be made under the same lock. There
    /// is more in it than changed since the last one, so that it comes to an end.
    pub(crate) fn take_portion(&mut self, inventory: &mut Inventory) -> bool {
        let portion = self.portion(inventory);
        let is_all = self.changes.take_some(inventory, portion);
        self.leave(inventory);
        is_all
    }

    fn portion(&self, inventory: &Inventory) -> usize {
        let came = inventory.to_take().saturating_sub(self.left);
        PORTION_RECORDS + came
    }

    /// All that changed since the last cut, up to this moment: after a portion that left nothing, at no cost. What
    /// changes from now on goes where those went that are empty.
    pub(crate) fn cut(&mut self, inventory: &mut Inventory, empty: Changes) -> Changes {
        self.changes.take_changed(inventory);
        let next = Unsaved { changes: empty, ..Unsaved::since(inventory) };
        std::mem::replace(self, next).changes
    }

    /// How many records those are; one that changed again may count again.
    pub(crate) fn len(&self, inventory: &Inventory) -> usize {
        self.changes.len() + inventory.changed()
    }

    /// When the last cut was.
    pub(crate) fn cut_at(&self) -> Instant {
        self.cut_at
    }

    /// The sequence number of the last command before the last cut.
    pub(crate) fn cut_sequence(&self) -> u64 {
        self.cut_sequence
    }
}

#[cfg(test)]
mod tests {
    use storage::inventory::command::{Command, HoldLimits, PutSku, Request, Reserve, Stamp};
    use storage::inventory::ids::{Item, Sku};

    use super::*;

    /// Commands while nothing is gathered, and between two portions.
    const BACKLOG: u64 = 20_000;
    const BETWEEN: u64 = 100;

    /// SKUs in the shop, and items of a large cart.
    const ITEMS: usize = 20;

    fn apply(inventory: &mut Inventory, command: Command) {
        let day_ms = 86_400_000;
        let stamp = Stamp {
            now_ms: 1_700_000_000_000,
            retention_ms: day_ms,
            idempotency_ms: day_ms,
            max_hold_ms: day_ms,
            events_max: 1_000_000,
            limits: HoldLimits::NONE,
            events_ms: day_ms,
        };
        let applied = inventory.apply(&stamp, &Request { idempotency_key: None, command });
        assert!(applied.result.is_ok(), "{applied:?}");
    }

    fn reserve(inventory: &mut Inventory, carts: std::ops::Range<u64>) {
        reserve_of(inventory, carts, &[sku(0)]);
    }

    fn reserve_of(inventory: &mut Inventory, carts: std::ops::Range<u64>, skus: &[Sku]) {
        for cart in carts {
            let reserve = Reserve {
                nonce: cart,
                cart_id: format!("cart-{cart}").into(),
                customer_id: None,
                items: skus.iter().map(|sku| Item { sku: sku.clone(), qty: 1 }).collect(),
                ttl_ms: 300_000,
                wait: false,
            };
            apply(inventory, Command::Reserve(reserve));
        }
    }

    fn sku(number: usize) -> Sku {
        Sku::new(&format!("PS{number:02}")).unwrap()
    }

    fn shop() -> Inventory {
        let mut inventory = Inventory::default();
        for number in 0..ITEMS {
            let put = PutSku {
                sku: sku(number),
                on_hand: 1_000_000,
                safety_stock: None,
                max_per_customer: Default::default(),
                on_shortfall: Default::default(),
                precondition: Default::default(),
            };
            apply(&mut inventory, Command::PutSku(put));
        }
        inventory
    }

    /// A save took all that had changed during a long snapshot under one lock, and no entry was done for 2 s.
    #[test]
    fn a_backlog_is_taken_in_portions_while_commands_go_on() {
        let mut inventory = shop();
        let mut unsaved = Unsaved::since(&Inventory::default());
        for entry in 0..BACKLOG / BETWEEN {
            reserve(&mut inventory, entry * BETWEEN..(entry + 1) * BETWEEN);
            unsaved.leave(&inventory);
        }
        let (mut portions, mut carts) = (0, BACKLOG);
        loop {
            let before = unsaved.changes.len();
            let is_all = unsaved.take_portion(&mut inventory);
            let taken = unsaved.changes.len() - before;
            assert!(taken <= PORTION_RECORDS + 4 * BETWEEN as usize, "{taken} records at once");
            if is_all {
                break;
            }
            portions += 1;
            reserve(&mut inventory, carts..carts + BETWEEN);
            carts += BETWEEN;
        }
        assert!((10..1_000).contains(&portions), "{portions} portions");
        let changes = unsaved.cut(&mut inventory, Changes::default());
        assert!(changes.len() > carts as usize, "each reservation, and their events");
        assert_eq!((unsaved.len(&inventory), unsaved.cut_sequence()), (0, inventory.sequence()));
    }

    /// A chunk of events counted for one when it came, and for 64 when it was taken: no portion was ever the last.
    #[test]
    fn a_backlog_of_large_carts_comes_to_an_end_while_commands_go_on() {
        let mut inventory = shop();
        let skus: Vec<Sku> = (0..ITEMS).map(sku).collect();
        let mut unsaved = Unsaved::since(&Inventory::default());
        reserve_of(&mut inventory, 0..2_000, &skus);
        unsaved.leave(&inventory);
        let (backlog, mut portions, mut carts) = (inventory.to_take(), 0, 2_000);
        while !unsaved.take_portion(&mut inventory) {
            portions += 1;
            assert!(portions * PORTION_RECORDS <= backlog, "{portions} portions of {backlog}");
            reserve_of(&mut inventory, carts..carts + BETWEEN, &skus);
            carts += BETWEEN;
        }
        assert!(portions > 2, "{portions} portions");
    }

    /// What came while no more was gathered counted as if it had come just now, and was one portion.
    #[test]
    fn what_does_not_gather_any_more_is_left_for_portions() {
        let mut inventory = shop();
        let mut unsaved = Unsaved::since(&inventory);
        unsaved.gathered_bytes_max = 0;
        reserve(&mut inventory, 0..1_000);
        unsaved.gather(&mut inventory);
        assert_eq!((unsaved.changes.len(), unsaved.left), (0, inventory.to_take()));
        assert_eq!(unsaved.portion(&inventory), PORTION_RECORDS);
    }

    #[test]
    fn what_is_settled_gathers_and_the_rest_stays_where_it_is() {
        let mut inventory = shop();
        let mut unsaved = Unsaved::since(&inventory);
        reserve(&mut inventory, 0..100);
        unsaved.gather(&mut inventory);
        let gathered = unsaved.changes.len();
        assert!(gathered >= 100 && inventory.changed() > 0, "{gathered} gathered");
        unsaved.gather(&mut inventory);
        assert_eq!(unsaved.changes.len(), gathered);
    }
}
