//! Histories of one client, who asks the tiny server call by call and does not always hear what became of it.

use checker::History;
use checker::history::{Came, FeedEvent, Outcome};
use client::api::{Item, ReserveRequest};
use serde_json::Value;

use super::ask::Ask;
use super::shop::{Done, Shop};
use super::{STARTED_MS, by_hand};

/// From one call to the next.
const STEP_US: u64 = 10_000;

/// A server, its one client, and what has been recorded.
pub(crate) struct Talk {
    shop: Shop,
    history: History,
    at_us: u64,
}

impl Talk {
    pub(crate) fn new() -> Talk {
        Talk { shop: Shop::default(), history: by_hand::empty(), at_us: 0 }
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.at_us += seconds * 1_000_000;
        self.shop.tick(STARTED_MS + self.at_us / 1_000);
    }

    /// A call that is answered, and the id of the reservation that it shows.
    pub(crate) fn told(&mut self, ask: &Ask) -> String {
        let done = self.execute(ask);
        let id = done.body["reservation_id"].as_str().unwrap_or_default().to_owned();
        self.record(ask, done.status, done.sequence, &done.body);
        id
    }

    /// A call whose answer is lost, after it was executed.
    pub(crate) fn lost(&mut self, ask: &Ask) {
        let done = self.execute(ask);
        assert!((200..300).contains(&done.status), "what is refused has no effect to explain: {}", done.body);
        self.lost_before(ask);
    }

    /// A call that is lost before it was executed. The client cannot tell.
    pub(crate) fn lost_before(&mut self, ask: &Ask) {
        self.record(ask, 200, 0, &Value::Null);
        let call = self.history.calls.last_mut().unwrap();
        (call.outcome, call.tries[0].came) =
            (Outcome::Unknown { why: "reset".into() }, Came::Lost("reset".into()));
    }

    /// All that was recorded.
    pub(crate) fn history(mut self) -> History {
        let events = std::mem::take(&mut self.shop.events);
        self.history.events = events.into_iter().map(|event| FeedEvent { node: 1, event }).collect();
        self.history
    }

    fn execute(&mut self, ask: &Ask) -> Done {
        self.at_us += STEP_US;
        self.shop.command(STARTED_MS + self.at_us / 1_000, None, ask, true)
    }

    fn record(&mut self, ask: &Ask, status: u16, sequence: u64, body: &Value) {
        let (op, target, request) = ask.parts();
        let times = (self.at_us - STEP_US / 4, self.at_us + STEP_US / 4);
        let mut call = by_hand::call(op, times, Value::Null, status, sequence, body.clone());
        (call.target, call.request) = (target, request);
        call.id = self.history.calls.len() as u64 + 1;
        self.history.calls.push(call);
    }
}

/// A reserve of so many units of `S`.
pub(crate) fn reserve(cart: &str, qty: u64) -> ReserveRequest {
    ReserveRequest {
        cart_id: cart.into(),
        items: vec![Item::new("S", qty)],
        customer_id: None,
        ttl_seconds: Some(30),
        wait: None,
    }
}
