//! What a client asks for next: every kind of call of the contract, drawn from its dice.

use checker::history::{Condition, Op};
use client::api::{
    AdjustOperation, AdjustRequest, BatchRequest, CommitRequest, ExtendRequest, IfExpired, Item, OnShortfall,
    Operation, OperationCall, PutSkuRequest, ReleaseRequest, ReserveRequest, ReturnRequest,
};
use rand::Rng;
use rand::rngs::StdRng;

use super::ask::Ask;
use super::shop::{self, Known, Shop};

/// What no call asks for but one that misuses a key: a time to live, in seconds.
const OTHER_TTL: u64 = 21;
/// Likewise a safety stock.
const OTHER_SAFETY_STOCK: u64 = 3;

/// A client's own taste, and its dice.
#[derive(Debug)]
pub(super) struct Wishes {
    /// Which client.
    client: u64,
    /// How many keys and carts it has named so far.
    named: u64,
    /// The cart that it asked for last.
    cart: Option<ReserveRequest>,
    /// What it draws from.
    pub(super) dice: StdRng,
}

impl Wishes {
    /// Those of that client.
    pub(super) fn new(client: u64, dice: StdRng) -> Wishes {
        Wishes { client, named: 0, cart: None, dice }
    }

    /// What it asks for next.
    pub(super) fn next(&mut self, shop: &Shop) -> Ask {
        match self.dice.random_range(0..100) {
            0..30 => self.keyed(Op::Reserve, |wishes| wishes.reserve()),
            30..42 => self.with_known(shop, Wishes::commit),
            42..49 => self.with_known(shop, Wishes::release),
            49..54 => self.with_known(shop, Wishes::extend),
            54..59 => self.with_known(shop, Wishes::take_back),
            59..63 => self.put(),
            63..68 => self.adjust(),
            68..70 => self.delete(),
            70..74 => self.batch(shop),
            74..82 => self.read(Op::GetStock).of(shop::any_sku(&mut self.dice)),
            82..90 => self.look(shop),
            90..94 => self.list_stock(),
            _ => self.list_reservations(shop),
        }
    }

    /// Another call under the key of one that succeeded, which must be refused; `None` where there is none of its kind.
    pub(super) fn misused(&self, done: &Ask) -> Option<Ask> {
        let (field, value) = match done.op {
            Op::Reserve | Op::Extend => ("ttl_seconds", OTHER_TTL.into()),
            Op::Commit => ("payment_token", "another".into()),
            Op::Adjust => ("reason", "another".into()),
            Op::Put => ("safety_stock", OTHER_SAFETY_STOCK.into()),
            _ => return None,
        };
        let mut other = done.clone();
        other.body.as_mut()?.as_object_mut()?.insert(field.to_owned(), value);
        Some(other)
    }

    /// What must be there at the beginning: every SKU that stays, with its stock and its limit.
    pub(super) fn opening(&mut self) -> Vec<Ask> {
        let put = |number| {
            let (on_hand, limit) = (shop::stock(number), shop::limit(number));
            let body =
                PutSkuRequest { on_hand, max_per_customer: limit.map(Some), ..PutSkuRequest::default() };
            Ask::write(Op::Put, &body, self.key()).of(shop::sku(number))
        };
        (0..shop::SKUS).map(put).collect()
    }

    fn key(&mut self) -> String {
        self.named += 1;
        format!("c{}-{}", self.client, self.named)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_ratio(percent, 100)
    }

    fn keyed<T: serde::Serialize>(&mut self, op: Op, body: impl FnOnce(&mut Wishes) -> T) -> Ask {
        let body = body(self);
        Ask::write(op, &body, self.key())
    }

    /// A call about a reservation that somebody has; a new one where there is none yet.
    fn with_known(&mut self, shop: &Shop, call: fn(&mut Wishes, Known) -> OperationCall) -> Ask {
        match shop.recall(&mut self.dice) {
            Some(known) => {
                let call = call(self, known);
                self.alone(call)
            }
            None => self.keyed(Op::Reserve, |wishes| wishes.reserve()),
        }
    }

    /// The call of an operation that could stand in a batch.
    fn alone(&mut self, call: OperationCall) -> Ask {
        let key = self.key();
        match call {
            OperationCall::Reserve(body) => Ask::write(Op::Reserve, &body, key),
            OperationCall::Commit(body) => Ask::write(Op::Commit, &body, key),
            OperationCall::Release(body) => Ask::write(Op::Release, &body, key),
            OperationCall::Extend(body) => Ask::write(Op::Extend, &body, key),
            OperationCall::Return(body) => Ask::write(Op::Return, &body, key),
            OperationCall::Adjust(body) => Ask::write(Op::Adjust, &body.adjust, key).of(body.sku),
        }
    }

    /// A new cart; now and then the last one again, with the same items or with others.
    fn reserve(&mut self) -> ReserveRequest {
        let (again, changed) = (self.chance(8), self.chance(50));
        let cart = match self.cart.take().filter(|_| again) {
            Some(cart) if changed => ReserveRequest { items: self.items(), ..cart },
            Some(cart) => cart,
            None => self.new_cart(),
        };
        self.cart = Some(cart.clone());
        cart
    }

    fn new_cart(&mut self) -> ReserveRequest {
        let items = self.items();
        let wait = (items.len() == 1 && self.chance(40)).then_some(true);
        let customer_id = self.chance(50).then(|| self.customer());
        self.named += 1;
        let cart_id = format!("cart-{}-{}", self.client, self.named);
        ReserveRequest { cart_id, items, customer_id, ttl_seconds: self.ttl(), wait }
    }

    /// Short, so that holds expire while somebody looks.
    fn ttl(&mut self) -> Option<u64> {
        Some(if self.chance(80) { self.dice.random_range(1..=5) } else { self.dice.random_range(6..=20) })
    }

    fn items(&mut self) -> Vec<Item> {
        let count = if self.chance(65) { 1 } else { self.dice.random_range(2..=4) };
        (0..count).map(|_| Item::new(shop::any_sku(&mut self.dice), self.dice.random_range(1..=3))).collect()
    }

    fn customer(&mut self) -> String {
        format!("customer-{}", self.dice.random_range(0..shop::CUSTOMERS))
    }

    /// A part of the items now and then: one SKU of them, or fewer units.
    fn part(&mut self, items: &[Item], percent: u32) -> Option<Vec<Item>> {
        let item = items.get(self.dice.random_range(0..items.len().max(1)))?;
        let qty = self.dice.random_range(1..=item.qty.max(1));
        self.chance(percent).then(|| vec![Item::new(item.sku.clone(), qty)])
    }

    fn commit(&mut self, known: Known) -> OperationCall {
        let expired = [None, Some(IfExpired::Fail), Some(IfExpired::Reacquire), Some(IfExpired::Reacquire)];
        let if_expired = expired[self.dice.random_range(0..expired.len())];
        let stale = u64::from(self.chance(5));
        let fencing_token = known.fencing_token.filter(|_| self.chance(30)).map(|token| token + stale);
        let items = self.part(&known.items, 25);
        let payment_token = match self.chance(85) {
            true => Some(known.payment_token.unwrap_or_else(|| format!("pay-{}", known.cart_id))),
            false => self.chance(50).then(|| format!("other-{}", self.named)),
        };
        OperationCall::Commit(CommitRequest {
            reservation_id: known.id,
            payment_token,
            fencing_token,
            if_expired,
            items,
        })
    }

    fn release(&mut self, known: Known) -> OperationCall {
        let items = self.part(&known.items, 40);
        OperationCall::Release(ReleaseRequest { reservation_id: known.id, items })
    }

    fn extend(&mut self, known: Known) -> OperationCall {
        let ttl_seconds = self.ttl();
        OperationCall::Extend(ExtendRequest { reservation_id: known.id, ttl_seconds })
    }

    fn take_back(&mut self, known: Known) -> OperationCall {
        let items = self.part(&known.items, 50);
        OperationCall::Return(ReturnRequest { reservation_id: known.id, items })
    }

    fn shortfall(&mut self) -> Option<OnShortfall> {
        match self.dice.random_range(0..4) {
            0 => Some(OnShortfall::RevokeNewest),
            1 => Some(OnShortfall::Refuse),
            _ => None,
        }
    }

    /// Stock is counted anew, or a SKU that comes and goes is put on sale.
    fn put(&mut self) -> Ask {
        let is_fleeting = self.chance(50);
        let (sku, on_hand) = match is_fleeting {
            true => (shop::fleeting(self.dice.random_range(0..shop::FLEETING)), 20),
            false => {
                let number = shop::counted(&mut self.dice);
                (shop::sku(number), self.dice.random_range(0..=2 * shop::stock(number)))
            }
        };
        let on_shortfall = self.shortfall();
        let safety_stock = self.chance(20).then(|| self.dice.random_range(0..=2));
        let max_per_customer = self.chance(10).then(|| self.chance(50).then_some(4));
        let body = PutSkuRequest { on_hand, safety_stock, max_per_customer, on_shortfall };
        let condition = self.condition(is_fleeting);
        Ask { condition, ..Ask::write(Op::Put, &body, self.key()).of(sku) }
    }

    fn condition(&mut self, may_be_absent: bool) -> Option<Condition> {
        match self.dice.random_range(0..10) {
            0 => Some(Condition::Version(self.dice.random_range(1..=40))),
            1 => Some(Condition::Present),
            2 | 3 if may_be_absent => Some(Condition::Absent),
            _ => None,
        }
    }

    fn adjust(&mut self) -> Ask {
        let operation = self.adjustment();
        let condition = self.condition(false);
        Ask { condition, ..self.alone(OperationCall::Adjust(operation)) }
    }

    /// Rather more comes than goes, since what is sold is gone.
    fn adjustment(&mut self) -> AdjustOperation {
        let delta =
            if self.chance(75) { self.dice.random_range(1..=8) } else { self.dice.random_range(-5..=-1) };
        let (reason, reference) = (self.chance(30).then(|| "counted".to_owned()), None);
        let adjust = AdjustRequest { delta, reason, reference, on_shortfall: self.shortfall() };
        AdjustOperation { sku: shop::any_sku(&mut self.dice), adjust }
    }

    fn delete(&mut self) -> Ask {
        let sku = shop::fleeting(self.dice.random_range(0..shop::FLEETING));
        let condition = self.condition(false);
        Ask { condition, ..Ask::bare(Op::Delete).of(sku) }
    }

    fn batch(&mut self, shop: &Shop) -> Ask {
        let count = self.dice.random_range(1..=8);
        let operations = (0..count).map(|_| self.operation(shop)).collect();
        let body = BatchRequest { operations };
        Ask { key: None, ..Ask::write(Op::Batch, &body, String::new()) }
    }

    fn operation(&mut self, shop: &Shop) -> Operation {
        let idempotency_key = Some(self.key());
        let draw = self.dice.random_range(0..10);
        let call = match (draw, shop.recall(&mut self.dice)) {
            (0..4, _) | (_, None) => OperationCall::Reserve(self.reserve()),
            (4..6, Some(known)) => self.commit(known),
            (6, Some(known)) => self.release(known),
            (7, Some(known)) => self.extend(known),
            (8, Some(known)) => self.take_back(known),
            _ => OperationCall::Adjust(self.adjustment()),
        };
        Operation { idempotency_key, call }
    }

    fn read(&mut self, op: Op) -> Ask {
        Ask { stale: self.chance(35), ..Ask::bare(op) }
    }

    fn look(&mut self, shop: &Shop) -> Ask {
        match shop.recall(&mut self.dice) {
            Some(known) => self.read(Op::GetReservation).of(known.id),
            None => self.list_stock(),
        }
    }

    fn list_stock(&mut self) -> Ask {
        let mut ask = self.read(Op::ListStock);
        if self.chance(50) {
            let prefix = if self.chance(50) { "sku-1" } else { "fleeting-" };
            ask.query.insert("prefix".to_owned(), prefix.to_owned());
        }
        let limit: u64 = self.dice.random_range(1..=30);
        ask.query.insert("limit".to_owned(), limit.to_string());
        ask
    }

    fn list_reservations(&mut self, shop: &Shop) -> Ask {
        let mut ask = self.read(Op::ListReservations);
        let draw = self.dice.random_range(0..5);
        let filter = match (draw, shop.recall(&mut self.dice)) {
            (0, Some(known)) => Some(("cart_id", known.cart_id)),
            (1, _) => Some(("customer_id", self.customer())),
            (2, _) => Some(("sku", shop::any_sku(&mut self.dice))),
            (3, _) => Some(("state", if self.chance(50) { "held" } else { "waiting" }.to_owned())),
            _ => None,
        };
        ask.query.extend(filter.map(|(name, value)| (name.to_owned(), value)));
        let limit: u64 = self.dice.random_range(1..=40);
        ask.query.insert("limit".to_owned(), limit.to_string());
        ask
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    fn wishes(client: u64) -> Wishes {
        Wishes::new(client, StdRng::seed_from_u64(9))
    }

    fn shop() -> Shop {
        let shop = Shop::default();
        let json = serde_json::json!({
            "reservation_id": "res_1", "state": "held", "cart_id": "c", "fencing_token": 3,
            "items": [{"sku": "sku-1", "qty": 2}], "created_at": "2026-01-01T00:00:00.000Z",
        });
        shop.learn(serde_json::from_value(json).unwrap());
        shop
    }

    #[test]
    fn every_kind_of_call_is_wished_for() {
        let (mut wishes, shop) = (wishes(1), shop());
        let asked: BTreeSet<Op> = (0..2_000).map(|_| wishes.next(&shop).op).collect();
        assert_eq!(asked.len(), 13, "{asked:?}");
    }

    #[test]
    fn the_same_dice_wish_the_same() {
        let drawn = || {
            let (mut wishes, shop) = (wishes(1), shop());
            (0..200).map(|_| wishes.next(&shop)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(), drawn());
    }

    #[test]
    fn no_key_is_used_twice() {
        let shop = shop();
        let mut keys = BTreeSet::new();
        for client in [1, 11] {
            let mut wishes = wishes(client);
            let asks = (0..500).map(|_| wishes.next(&shop)).collect::<Vec<_>>();
            let alone = asks.iter().filter_map(|ask| ask.key.clone());
            let in_batches = asks.iter().filter_map(|ask| ask.body.as_ref()?.get("operations")?.as_array());
            let in_batches = in_batches.flatten().filter_map(|one| one["idempotency_key"].as_str());
            for key in alone.chain(in_batches.map(str::to_owned)) {
                assert!(keys.insert(key.clone()), "{key}");
            }
        }
        assert!(keys.len() > 500);
    }

    #[test]
    fn a_misused_key_is_that_of_a_call_with_another_body() {
        let (mut wishes, shop) = (wishes(1), shop());
        let mut misused = 0;
        for _ in 0..500 {
            let ask = wishes.next(&shop);
            let Some(other) = wishes.misused(&ask) else { continue };
            assert!(other.key == ask.key && other.op == ask.op && other.body != ask.body, "{other:?}");
            misused += 1;
        }
        assert!(misused > 100);
    }

    #[test]
    fn what_is_never_counted_is_never_put_again() {
        let (mut wishes, shop) = (wishes(1), shop());
        let never = shop::NEVER_COUNTED.map(shop::sku);
        let puts = (0..5_000).map(|_| wishes.next(&shop)).filter(|ask| ask.op == Op::Put);
        let puts: Vec<Option<String>> = puts.map(|ask| ask.target).collect();
        assert!(puts.len() > 100 && !puts.iter().flatten().any(|sku| never.contains(sku)));
        assert!(shop::NEVER_COUNTED.iter().filter(|number| **number < shop::SCARCE).count() == 2);
    }

    #[test]
    fn every_body_is_one_that_the_contract_knows() {
        let (mut wishes, shop) = (wishes(1), shop());
        for _ in 0..1_000 {
            let ask = wishes.next(&shop);
            let Some(body) = ask.body else { continue };
            if ask.op == Op::Batch {
                serde_json::from_value::<BatchRequest>(body).unwrap();
            } else if ask.op == Op::Reserve {
                serde_json::from_value::<ReserveRequest>(body).unwrap();
            } else if ask.op == Op::Put {
                serde_json::from_value::<PutSkuRequest>(body).unwrap();
            }
        }
    }
}
