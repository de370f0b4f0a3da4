//! Traders that use every command of a cart's life, through all nodes, and write down what they were told.
//!
//! ```text
//!   SOLD    plenty, held for long     reserve, then extend, commit, return, release, or nothing; adjust
//!   BRIEF   plenty, held for seconds  reserve, and let it expire
//!   LINE    three units               reserve or wait for one, then release it, or let it expire
//! ```
//!
//! Some of it goes in batches. Every operation has a key of its own. There is enough for all, or a line to wait in, so
//! that no refusal is right: one fails the test. A trader whose operation has no answer leaves that cart alone: the
//! [books](super::books) learn its fate under its key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use client::api::{
    AdjustOperation, AdjustRequest, CommitRequest, ExtendRequest, Operation, OperationCall, ReserveRequest,
};
use client::{Answer, Batch, Client, Error, Record};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::cluster::IDS;

/// What is sold.
pub(crate) const SOLD: &str = "SOLD";

/// What is held for a moment.
pub(crate) const BRIEF: &str = "BRIEF";

/// What there are only three of.
pub(crate) const LINE: &str = "LINE";

/// The longest hold; the cluster file of whoever trades must allow it.
const HELD_SECONDS: u64 = 40_000;

/// What that takes of `[cluster]`: nothing that is sold expires during the longest test.
pub(crate) const LIMITS: &str = "max_ttl_seconds = 40000\nmax_hold_seconds = 86400";

/// The traders of a trade.
const TRADERS: usize = 9;

/// The longest pause of a trader between two carts.
const PAUSE_MS_MAX: u64 = 10;

/// How many carts a batch is for at most.
const BATCH_CARTS_MAX: usize = 8;

/// One operation, when it was asked for, and what was answered.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) operation: Operation,
    pub(crate) begun: Instant,
    /// The answer, and when it came; `None` where nobody knows whether it was executed.
    pub(crate) answer: Option<(Answer<Record>, Instant)>,
}

/// Traders at work.
pub(crate) struct Trade {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    traders: Vec<JoinHandle<Vec<Line>>>,
}

impl Trade {
    /// Lets the traders begin. No two trades of one cluster have one name. No call is waited for longer than
    /// `patience`.
    pub(crate) fn start(client: &Client, name: &str, seed: u64, patience: Duration) -> Trade {
        let (stop, answered) = (Arc::default(), Arc::default());
        let trader = |trader: usize| Trader {
            name: format!("{name}-{trader}"),
            client: client.clone(),
            patience,
            random: StdRng::seed_from_u64(seed.wrapping_add(trader as u64)),
            stop: Arc::clone(&stop),
            answered: Arc::clone(&answered),
            lines: Vec::new(),
        };
        let traders = (0..TRADERS).map(|number| tokio::spawn(trader(number).run())).collect();
        Trade { stop, answered, traders }
    }

    /// How many operations were answered.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends the traders home, and answers what they wrote down.
    pub(crate) async fn stop(self) -> Vec<Line> {
        self.stop.store(true, Ordering::Relaxed);
        let mut lines = Vec::new();
        for trader in self.traders {
            lines.extend(trader.await.unwrap());
        }
        lines
    }
}

struct Trader {
    name: String,
    client: Client,
    patience: Duration,
    random: StdRng,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    lines: Vec<Line>,
}

impl Trader {
    async fn run(mut self) -> Vec<Line> {
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let cart = format!("{}-{number}", self.name);
            match self.random.random_range(0..10) {
                0..6 => drop(self.sell(&cart).await),
                6 => drop(self.make(&cart, reserve(&cart, BRIEF, 1, Some(1))).await),
                7 => drop(self.stand_in_line(&cart).await),
                8 => self.stock(&cart).await,
                _ => self.batch(&cart).await,
            }
            sleep(Duration::from_millis(self.random.random_range(0..=PAUSE_MS_MAX))).await;
        }
        self.lines
    }

    /// A cart's life, as far as it gets.
    async fn sell(&mut self, cart: &str) -> Option<()> {
        let units = self.random.random_range(1..=3);
        let id = self.make(cart, reserve(cart, SOLD, units, Some(HELD_SECONDS / 2))).await?;
        let payment_token = Some(format!("paid-{cart}"));
        let commit = || CommitRequest { reservation_id: id.clone(), payment_token, ..Default::default() };
        let extend = || ExtendRequest { reservation_id: id.clone(), ttl_seconds: Some(HELD_SECONDS) };
        match self.random.random_range(0..5) {
            0 => {}
            1 => drop(self.make(cart, OperationCall::Release(id.into())).await?),
            2 => drop(self.make(cart, OperationCall::Extend(extend())).await?),
            3 => {
                self.make(cart, OperationCall::Extend(extend())).await?;
                self.make(cart, OperationCall::Commit(commit())).await?;
            }
            _ => {
                self.make(cart, OperationCall::Commit(commit())).await?;
                self.make(cart, OperationCall::Return(id.into())).await?;
            }
        }
        Some(())
    }

    /// A place in the line, given up or forgotten; who is promoted meanwhile gives up a unit.
    async fn stand_in_line(&mut self, cart: &str) -> Option<()> {
        let id = self.make(cart, waiting(cart)).await?;
        if self.random.random_bool(0.9) {
            self.make(cart, OperationCall::Release(id.into())).await?;
        }
        Some(())
    }

    async fn stock(&mut self, cart: &str) {
        let delta = self.random.random_range(1..=5);
        let delta = if self.random.random() { delta } else { -delta };
        self.make_all(vec![operation(cart, adjust(delta))]).await;
    }

    async fn batch(&mut self, name: &str) {
        let carts = self.random.random_range(2..=BATCH_CARTS_MAX);
        let carts = (0..carts).map(|number| format!("{name}-{number}"));
        let reserves = carts.map(|cart| operation(&cart, reserve(&cart, SOLD, 1, Some(HELD_SECONDS))));
        let operations = reserves.chain([operation(name, adjust(1))]).collect();
        self.make_all(operations).await;
    }

    /// Makes an operation, and answers the reservation's id where there is one.
    async fn make(&mut self, cart: &str, call: OperationCall) -> Option<String> {
        let answers = self.make_all(vec![operation(cart, call)]).await;
        match answers.into_iter().next()?? {
            Record::Reservation(reservation) => Some(reservation.reservation_id),
            _ => None,
        }
    }

    /// Makes operations at a random node first, and writes them down.
    async fn make_all(&mut self, operations: Vec<Operation>) -> Vec<Option<Record>> {
        let client = self.client.prefer(self.random.random_range(0..IDS.len()));
        let begun = Instant::now();
        let answers = send(&client, &operations, self.patience).await;
        let ended = Instant::now();
        self.answered.fetch_add(answers.iter().flatten().count(), Ordering::Relaxed);
        let records = answers.iter().map(|answer| answer.as_ref().map(|answer| answer.value.clone()));
        let records = records.collect();
        let lines = operations.into_iter().zip(answers).map(|(operation, answer)| Line {
            operation,
            begun,
            answer: answer.map(|answer| (answer, ended)),
        });
        self.lines.extend(lines);
        records
    }
}

/// What each operation answers; `None` where it is not known whether it was executed, or it was not. One goes alone,
/// many in a batch.
pub(crate) async fn send(
    client: &Client,
    operations: &[Operation],
    patience: Duration,
) -> Vec<Option<Answer<Record>>> {
    match operations {
        [operation] => vec![alone(client, operation, patience).await],
        _ => together(client, operations, patience).await,
    }
}

async fn alone(client: &Client, operation: &Operation, patience: Duration) -> Option<Answer<Record>> {
    let call = match &operation.call {
        OperationCall::Reserve(request) => client.reserve(request),
        OperationCall::Commit(request) => client.commit(request),
        OperationCall::Release(request) => client.release(request.clone()),
        OperationCall::Extend(request) => client.extend(request),
        OperationCall::Return(request) => client.return_(request.clone()),
        OperationCall::Adjust(AdjustOperation { sku, adjust }) => {
            let call = client.adjust(sku, adjust).key(key(operation)).deadline(patience).tries_max(u32::MAX);
            return told(operation, call.await.map(|answer| answer.map(Record::Sku)));
        }
    };
    let call = call.key(key(operation)).deadline(patience).tries_max(u32::MAX);
    told(operation, call.await.map(|answer| answer.map(Record::Reservation)))
}

async fn together(
    client: &Client,
    operations: &[Operation],
    patience: Duration,
) -> Vec<Option<Answer<Record>>> {
    let mut batch = Batch::new();
    for operation in operations {
        batch.push_keyed(key(operation), operation.call.clone());
    }
    match client.batch(&batch).deadline(patience).tries_max(u32::MAX).await {
        Ok(answer) => answer.value.into_iter().zip(operations).map(|(one, asked)| told(asked, one)).collect(),
        Err(Error::Unknown(_) | Error::NotExecuted(_)) => vec![None; operations.len()],
        Err(other) => panic!("a batch: {other}"),
    }
}

fn told(operation: &Operation, answer: Result<Answer<Record>, Error>) -> Option<Answer<Record>> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::Unknown(_) | Error::NotExecuted(_)) => None,
        Err(other) => panic!("{operation:?}: {other}"),
    }
}

/// The operation's own key.
pub(crate) fn key(operation: &Operation) -> &str {
    operation.idempotency_key.as_deref().expect("every operation has a key")
}

/// Its key follows from the cart and what is done with it: nothing is done twice with one cart.
fn operation(cart: &str, call: OperationCall) -> Operation {
    let what = match &call {
        OperationCall::Reserve(_) => "reserve",
        OperationCall::Commit(_) => "commit",
        OperationCall::Release(_) => "release",
        OperationCall::Extend(_) => "extend",
        OperationCall::Return(_) => "return",
        OperationCall::Adjust(_) => "adjust",
    };
    Operation { idempotency_key: Some(format!("{cart}-{what}")), call }
}

fn reserve(cart: &str, sku: &str, units: u64, ttl_seconds: Option<u64>) -> OperationCall {
    OperationCall::Reserve(ReserveRequest { ttl_seconds, ..ReserveRequest::one(cart, sku, units) })
}

fn waiting(cart: &str) -> OperationCall {
    let request =
        ReserveRequest { wait: Some(true), ttl_seconds: Some(1), ..ReserveRequest::one(cart, LINE, 1) };
    OperationCall::Reserve(request)
}

fn adjust(delta: i64) -> OperationCall {
    let adjust = AdjustRequest { delta, ..AdjustRequest::default() };
    OperationCall::Adjust(AdjustOperation { sku: SOLD.to_owned(), adjust })
}
