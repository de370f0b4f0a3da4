//! The clients: carts that are reserved, sold, given back and brought back, and stock that is looked at.
//!
//! Each client has one call under way. One that has no answer, or none that says what became of it, is made again with
//! the same key, at any node, until it has one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use raft::Answer;
use storage::inventory::command::{
    AdjustSku, Command, Commit, Extend, IfExpired, OnShortfall, Precondition, PutSku, Release, Request,
    Reserve, Return, Setting,
};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::Outcome;

use crate::chance::Chance;
use crate::history::History;
use crate::invariants::{Answered, Answers, Asked};
use crate::node::Node;
use crate::trace::Trace;

const CLIENTS: usize = 5;
const SKUS: [&str; 3] = ["Bicycle", "Console", "Doll"];

/// A client waits no longer for one answer, in milliseconds: longer than any node lets it wait.
const PATIENCE_MS: u64 = 7_000;

/// See the module.
pub(crate) struct Shop {
    chance: Chance,
    clients: Vec<Client>,
    /// What is to be asked first: the stock is put there.
    opening: VecDeque<Request>,
    calls: u64,
    inbox: Inbox,
    answers: Answers,
    /// Answers that no node has been seen to have committed yet: it may have died on the way.
    unsettled: Vec<(Asked, Answered)>,
    /// Whether clients begin anything new.
    pub(crate) is_open: bool,
}

type Inbox = Arc<Mutex<Vec<(u64, Answered)>>>;

#[derive(Default)]
struct Client {
    call: Option<Call>,
    next_ms: u64,
    held: Vec<ReservationId>,
    sold: Vec<ReservationId>,
}

struct Call {
    /// What is asked: stock is read where it is no command.
    request: Option<Request>,
    /// The try under way, where it was made and when.
    number: u64,
    node: u64,
    since_ms: u64,
    asked: Asked,
}

impl Shop {
    pub(crate) fn new(mut chance: Chance) -> Shop {
        let opening = SKUS.iter().map(|name| put(name, chance.within(4..=60))).collect();
        Shop {
            chance,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            opening,
            calls: 0,
            inbox: Inbox::default(),
            answers: Answers::default(),
            unsettled: Vec::new(),
            is_open: true,
        }
    }

    /// How many calls were answered for good.
    pub(crate) fn answered(&self) -> u64 {
        self.answers.count
    }

    /// Whether no call is under way, and all that was answered is in the history.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unsettled.is_empty() && self.clients.iter().all(|client| client.call.is_none())
    }

    /// Clients make their calls.
    pub(crate) fn ask(&mut self, now_ms: u64, nodes: &[Node]) {
        let up: Vec<usize> =
            (0..nodes.len()).filter(|at| nodes[*at].serves_clients && nodes[*at].group().is_some()).collect();
        for at in 0..self.clients.len() {
            self.give_up_if_lost(at, now_ms, nodes);
            let is_due = self.clients[at].next_ms <= now_ms;
            let waits = self.clients[at].call.as_ref().is_some_and(|call| call.number > 0);
            if !is_due || waits {
                continue;
            }
            let Some(node) = self.chance.pick(&up) else { return };
            if self.clients[at].call.is_none() && !self.begin(at) {
                continue;
            }
            self.call(at, now_ms, &nodes[node]);
        }
    }

    /// Takes what was answered.
    pub(crate) fn take_answers(
        &mut self,
        now_ms: u64,
        history: &History,
        trace: &mut Trace,
    ) -> Result<(), String> {
        let answered = std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        for (number, answered) in answered {
            let is_its = |client: &Client| client.call.as_ref().is_some_and(|call| call.number == number);
            let Some(at) = self.clients.iter().position(is_its) else { continue };
            self.take(at, now_ms, answered, trace);
        }
        for (asked, answered) in std::mem::take(&mut self.unsettled) {
            if is_known(&answered, history) {
                self.answers.check(asked, &answered, history)?;
            } else {
                self.unsettled.push((asked, answered));
            }
        }
        Ok(())
    }

    fn give_up_if_lost(&mut self, at: usize, now_ms: u64, nodes: &[Node]) {
        let Some(call) = &mut self.clients[at].call else { return };
        let is_down = nodes.iter().any(|node| node.id == call.node && !node.is_up());
        if call.number > 0 && (is_down || now_ms > call.since_ms + PATIENCE_MS) {
            call.number = 0;
        }
    }

    /// Begins a call; the answer is whether there is one.
    fn begin(&mut self, at: usize) -> bool {
        if !self.is_open {
            return false;
        }
        let request = match self.opening.pop_front() {
            Some(request) => Some(request),
            None if self.chance.one_in(8) => None,
            None => Some(self.command(at)),
        };
        let asked = Asked { known_sequence: 0 };
        self.clients[at].call = Some(Call { request, number: 0, node: 0, since_ms: 0, asked });
        true
    }

    fn command(&mut self, at: usize) -> Request {
        let (held, sold) =
            (self.chance.pick(&self.clients[at].held), self.chance.pick(&self.clients[at].sold));
        let command = match (self.chance.within(0..=9), held, sold) {
            (0..=2, Some(id), _) => Command::Commit(Commit {
                reservation_id: id,
                payment_token: None,
                fencing_token: None,
                if_expired: if self.chance.one_in(2) { IfExpired::Reacquire } else { IfExpired::Fail },
                items: None,
            }),
            (3, Some(id), _) => Command::Release(Release { reservation_id: id, items: None }),
            (4, Some(id), _) => {
                Command::Extend(Extend { reservation_id: id, ttl_ms: self.chance.within(100..=5_000) })
            }
            (5, _, Some(id)) => Command::Return(Return { reservation_id: id, items: None }),
            (6, ..) if self.chance.one_in(3) => adjust(self.sku(), self.chance.within(1..=5) as i64),
            _ => self.reserve(at),
        };
        self.calls += 1;
        Request { idempotency_key: Some(format!("key-{}", self.calls).into()), command }
    }

    fn reserve(&mut self, at: usize) -> Command {
        let mut skus = SKUS;
        self.chance.shuffle(&mut skus);
        let wait = self.chance.one_in(4);
        let count = if wait { 1 } else { self.chance.within(1..=2) as usize };
        skus[..count].sort_unstable();
        let items = skus[..count].iter().map(|name| Item { sku: sku(name), qty: self.chance.within(1..=3) });
        Command::Reserve(Reserve {
            items: items.collect(),
            nonce: self.chance.number(),
            cart_id: format!("cart-{at}-{}", self.calls).into(),
            customer_id: None,
            ttl_ms: self.chance.within(200..=4_000),
            wait,
        })
    }

    fn sku(&mut self) -> Sku {
        sku(self.chance.pick(&SKUS).unwrap())
    }

    fn call(&mut self, at: usize, now_ms: u64, node: &Node) {
        let Some(group) = node.group() else { return };
        let known_sequence = self.answers.known_sequence;
        let Some(call) = &mut self.clients[at].call else { return };
        self.calls += 1;
        (call.number, call.node, call.since_ms) = (self.calls, node.id, now_ms);
        call.asked = Asked { known_sequence };
        let (number, inbox, request) = (call.number, self.inbox.clone(), call.request.clone());
        node.spawn(async move {
            let answered = match request {
                Some(request) => Answered::Command(group.submit(request).await),
                None => {
                    let read = group.read(|inventory| inventory.list_stocks("", None, 100).rows);
                    Answered::Read(read.await)
                }
            };
            inbox.lock().unwrap_or_else(PoisonError::into_inner).push((number, answered));
        });
    }

    fn take(&mut self, at: usize, now_ms: u64, answered: Answered, trace: &mut Trace) {
        let client = &mut self.clients[at];
        let Some(mut call) = client.call.take() else { return };
        let said = match &answered {
            Answered::Command(answer) => format!("{answer:?}"),
            Answered::Read(read) => format!("{read:?}"),
        };
        trace.event(now_ms, said.as_bytes());
        let is_final = matches!(&answered, Answered::Command(Ok(_)) | Answered::Read(Ok(_)));
        client.next_ms = now_ms + self.chance.within(1..=200);
        if !is_final {
            call.number = 0;
            client.call = Some(call);
            return;
        }
        if let Answered::Command(Ok(Answer::Applied(applied))) = &answered {
            client.note(applied.result.as_ref().ok());
        }
        self.answers.hear(&answered);
        self.unsettled.push((call.asked, answered));
    }
}

impl Client {
    fn note(&mut self, outcome: Option<&Outcome>) {
        match outcome {
            Some(Outcome::Reserved(view) | Outcome::Waiting(view)) => self.held.push(view.id),
            Some(Outcome::Committed(view)) => {
                self.held.retain(|id| *id != view.id);
                self.sold.push(view.id);
            }
            Some(Outcome::Released(view)) => self.held.retain(|id| *id != view.id),
            Some(Outcome::Returned(view)) => self.sold.retain(|id| *id != view.id),
            _ => {}
        }
        if self.held.len() > 4 {
            self.held.remove(0);
        }
    }
}

/// Whether the history has come to what is answered.
fn is_known(answered: &Answered, history: &History) -> bool {
    match answered {
        Answered::Command(Ok(Answer::Applied(applied))) => applied.sequence <= history.inventory.sequence(),
        Answered::Command(Ok(Answer::Gated(gated))) => gated.sequence <= history.inventory.sequence(),
        Answered::Read(Ok(read)) => read.applied_index < Some(history.next()),
        _ => true,
    }
}

pub(crate) fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

pub(crate) fn put(name: &str, on_hand: u64) -> Request {
    let command = Command::PutSku(PutSku {
        sku: sku(name),
        on_hand,
        safety_stock: None,
        max_per_customer: Setting::Keep,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::Absent,
    });
    Request { idempotency_key: Some(format!("put-{name}").into()), command }
}

pub(crate) fn adjust(sku: Sku, delta: i64) -> Command {
    Command::AdjustSku(AdjustSku {
        sku,
        delta,
        reason: None,
        reference: None,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::None,
    })
}
