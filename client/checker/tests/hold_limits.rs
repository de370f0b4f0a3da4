//! Limits of customers and holds that the cluster was told: a refusal for them is believed where it is true, and what
//! they should have refused is found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use checker::history::{FeedEvent, Settings};
use checker::{History, check};
use client::api::{ExtendRequest, Item, PutSkuRequest, ReserveRequest};
use client::code;
use serde_json::{Value, json};
use support::ask::Ask;
use support::shop::{Done, Shop};
use support::{STARTED_MS, by_hand};

/// How long a call takes, and the pause behind it, in microseconds.
const STEP_US: u64 = 10_000;

/// A server that knows no such limits, and the record of a run in which they were set.
struct Recorded {
    shop: Shop,
    history: History,
}

impl Recorded {
    /// Of one SKU, with units enough for everybody.
    fn under(settings: &Settings) -> Recorded {
        let mut history = by_hand::empty();
        history.run.settings = settings.clone();
        let put = PutSkuRequest { on_hand: 9, ..PutSkuRequest::default() };
        Recorded { shop: Shop::default(), history }.done(Ask::Put("S".into(), put))
    }

    /// Asks for it, and has it done whatever the limits say.
    fn done(mut self, ask: Ask) -> Recorded {
        let at_ms = STARTED_MS + (self.start_us() + STEP_US / 4) / 1_000;
        let Done { status, sequence, body, .. } = self.shop.command(at_ms, None, &ask, true);
        assert!(status < 300, "{ask:?}: {body}");
        self.note(&ask, status, sequence, body)
    }

    /// Asks for it, and has it refused for that reason, whatever the limits say.
    fn refused(self, ask: Ask, code: &str) -> Recorded {
        let problem = json!({"type": "", "title": "", "status": 409, "detail": "", "code": code, "retryable": false,
            "executed": "no"});
        let sequence = self.shop.sequence;
        self.note(&ask, 409, sequence, problem)
    }

    fn note(mut self, ask: &Ask, status: u16, sequence: u64, body: Value) -> Recorded {
        let start_us = self.start_us();
        let (op, target, request) = ask.parts();
        let times = (start_us, start_us + STEP_US / 2);
        let mut call = by_hand::call(op, times, request.read().unwrap(), status, sequence, body);
        (call.id, call.target) = (start_us, target);
        self.history.calls.push(call);
        self
    }

    fn start_us(&self) -> u64 {
        (self.history.calls.len() as u64 + 1) * STEP_US
    }

    /// How many answers are not what the contract says.
    fn broken(mut self) -> u64 {
        let events = self.shop.events.into_iter();
        self.history.events = events.map(|event| FeedEvent { node: 1, event }).collect();
        check(&self.history).rule("replay").unwrap().violations_total
    }
}

/// One unit for that cart.
fn reserve(cart: u64, customer: &str) -> Ask {
    Ask::Reserve(ReserveRequest {
        cart_id: format!("cart-{cart}"),
        items: vec![Item::new("S", 1)],
        customer_id: Some(customer.into()),
        ttl_seconds: Some(100),
        wait: None,
    })
}

#[test]
fn a_hold_more_than_a_customer_may_have_is_found() {
    let limits = [
        Settings { customer_holds_max: Some(2), ..Settings::default() },
        Settings { customer_units_max: Some(2), ..Settings::default() },
    ];
    let two_of_ann = |limit| Recorded::under(limit).done(reserve(1, "ann")).done(reserve(2, "ann"));
    for limit in &limits {
        let refused = two_of_ann(limit).refused(reserve(3, "ann"), code::CUSTOMER_LIMIT);
        assert_eq!(refused.done(reserve(4, "bob")).broken(), 0, "a limit of two: {limit:?}");
        assert_eq!(two_of_ann(limit).done(reserve(3, "ann")).broken(), 1, "a third one: {limit:?}");
        let refused = two_of_ann(limit).refused(reserve(3, "bob"), code::CUSTOMER_LIMIT);
        assert_eq!(refused.broken(), 1, "refused to one who has none: {limit:?}");
    }
    let refused = two_of_ann(&Settings::default()).refused(reserve(3, "ann"), code::CUSTOMER_LIMIT);
    assert_eq!(refused.broken(), 1, "refused without a limit");
}

#[test]
fn an_extend_too_many_is_found() {
    let extend = |ttl_s| {
        let reservation_id = "res_2".to_owned();
        Ask::Extend(ExtendRequest { reservation_id, ttl_seconds: Some(ttl_s) })
    };
    let limit = Settings { hold_extensions_max: Some(1), ..Settings::default() };
    let extended = || Recorded::under(&limit).done(reserve(1, "ann")).done(extend(200));
    // One that leaves the deadline where it is does not count, and is not refused.
    let good = extended().done(extend(150)).refused(extend(300), code::HOLD_LIMIT).done(reserve(2, "ann"));
    assert_eq!(good.broken(), 0, "a limit of one");
    assert_eq!(extended().done(extend(300)).broken(), 1, "a second one");
    let refused = Recorded::under(&limit).done(reserve(1, "ann")).refused(extend(200), code::HOLD_LIMIT);
    assert_eq!(refused.done(reserve(2, "ann")).broken(), 1, "the first one is refused");
}
