//! Buyers that write down every answer, and what must hold of all that they wrote down.
//!
//! ```text
//!   Load   tasks: reserve a cart of its own, then commit it, release it or leave it -- each under its own key
//!     |    stop
//!     v
//!   Ledger  every call: key, request, when it was made and answered, and the answer (none: unknown)
//!     |     resolve: what has no answer is asked again under its key until it has one
//!     v
//!   check   replays answer the same; reservations, stock, sequences and tokens are as was acknowledged
//! ```
//!
//! Carts are distinct and there is enough stock for all, so that no refusal is right: one fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use client::api::{CommitRequest, PutSkuRequest, Reservation, ReservationState, ReserveRequest};
use client::{Answer, Client, Error};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, IDS};
use super::{PATIENCE, wait_for};

/// What is sold.
const SKU: &str = "LOAD";

/// How much of it there is: more than any test sells.
const STOCK: u64 = 1_000_000;

/// The buyers of a load.
const BUYERS: usize = 8;

/// The longest pause of a buyer between two carts. It bounds the ledger, whose every line is checked.
const PAUSE_MS_MAX: u64 = 20;

/// How many checks are under way at a time.
const CHECKERS: usize = 8;

/// Buyers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    buyers: Vec<JoinHandle<Vec<Entry>>>,
}

/// Every call of every load of a cluster.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    loads: usize,
}

/// One call.
#[derive(Clone)]
struct Entry {
    key: String,
    request: Request,
    begun: Instant,
    /// The answer, and when it came; `None` where nobody knows whether it was executed.
    answer: Option<(Answer<Reservation>, Instant)>,
}

#[derive(Clone)]
enum Request {
    Reserve(ReserveRequest),
    Commit(CommitRequest),
    Release(String),
}

impl Load {
    /// Lets the buyers begin.
    pub(crate) async fn start(cluster: &Cluster, ledger: &mut Ledger) -> Load {
        if ledger.loads == 0 {
            let stock = PutSkuRequest {
                on_hand: STOCK,
                safety_stock: None,
                max_per_customer: None,
                on_shortfall: None,
            };
            cluster.client().put_sku(SKU, &stock).await.unwrap();
        }
        ledger.loads += 1;
        let (stop, answered) = (Arc::default(), Arc::default());
        let buyers = (0..BUYERS).map(|buyer| {
            let buyer = Buyer {
                name: format!("{}-{buyer}", ledger.loads),
                client: cluster.client().clone(),
                random: StdRng::seed_from_u64(
                    cluster.random().random::<u64>() + (ledger.loads * BUYERS + buyer) as u64,
                ),
                stop: Arc::clone(&stop),
                answered: Arc::clone(&answered),
                entries: Vec::new(),
            };
            tokio::spawn(buyer.run())
        });
        let buyers = buyers.collect();
        Load { stop, answered, buyers }
    }

    /// Waits until so many more calls are answered.
    pub(crate) async fn more(&self, calls: usize) {
        let enough = self.answered.load(Ordering::Relaxed) + calls;
        let answered = async || (self.answered.load(Ordering::Relaxed) >= enough).then_some(());
        wait_for(format!("{calls} more calls are answered"), answered).await;
    }

    /// Sends the buyers home, and writes what they wrote down into the ledger.
    pub(crate) async fn stop(self, ledger: &mut Ledger) {
        self.stop.store(true, Ordering::Relaxed);
        for buyer in self.buyers {
            ledger.entries.extend(buyer.await.unwrap());
        }
    }
}

struct Buyer {
    name: String,
    client: Client,
    random: StdRng,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    entries: Vec<Entry>,
}

impl Buyer {
    async fn run(mut self) -> Vec<Entry> {
        for cart in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            self.buy(&format!("{}-{cart}", self.name)).await;
            sleep(Duration::from_millis(self.random.random_range(0..=PAUSE_MS_MAX))).await;
        }
        self.entries
    }

    /// A hold for a cart; where it is granted, it is sold, given back or kept.
    async fn buy(&mut self, cart: &str) {
        let reserve = ReserveRequest { ttl_seconds: Some(1_800), ..ReserveRequest::one(cart, SKU, 1) };
        let Some(id) = self.call(cart.to_owned(), Request::Reserve(reserve)).await else {
            return;
        };
        let second = match self.random.random_range(0..3) {
            0 => return,
            1 => Request::Release(id),
            _ => Request::Commit(CommitRequest {
                reservation_id: id,
                payment_token: Some(format!("paid-{cart}")),
                ..CommitRequest::default()
            }),
        };
        self.call(format!("{cart}-then"), second).await;
    }

    /// Makes the call at a random node first, and writes it down. Answers the reservation's id.
    async fn call(&mut self, key: String, request: Request) -> Option<String> {
        let node = self.random.random_range(0..IDS.len());
        let begun = Instant::now();
        let answer = request.send(&self.client.prefer(node), &key, PATIENCE / 4).await;
        self.answered.fetch_add(usize::from(answer.is_some()), Ordering::Relaxed);
        let id = answer.as_ref().map(|answer| answer.value.reservation_id.clone());
        let answer = answer.map(|answer| (answer, Instant::now()));
        self.entries.push(Entry { key, request, begun, answer });
        id
    }
}

impl Request {
    /// Makes the call. `None`: it is not known whether it was executed, or it was not.
    async fn send(&self, client: &Client, key: &str, time_max: Duration) -> Option<Answer<Reservation>> {
        let call = match self {
            Request::Reserve(reserve) => client.reserve(reserve),
            Request::Commit(commit) => client.commit(commit),
            Request::Release(id) => client.release(id),
        };
        match call.key(key).deadline(time_max).tries_max(1_000).await {
            Ok(answer) => Some(answer),
            Err(Error::Unknown(_) | Error::NotExecuted(_)) => None,
            Err(other) => panic!("key {key}: {other}"),
        }
    }
}

impl Ledger {
    /// Checks that everything that was ever acknowledged still holds. All nodes must serve.
    pub(crate) async fn check(&mut self, cluster: &Cluster) {
        self.resolve(cluster.client()).await;
        self.check_order();
        self.check_stock(cluster).await;
        let facts = self.facts();
        let reads = facts.into_iter().map(|fact| check_fact(fact, random_node(cluster)));
        in_parallel(reads).await;
        let replays = self.entries.iter().cloned();
        in_parallel(replays.map(|entry| check_replay(entry, random_node(cluster)))).await;
        self.check_stock(cluster).await;
        cluster.check_digests().await;
    }

    /// How many calls are in it.
    pub(crate) fn calls(&self) -> usize {
        self.entries.len()
    }

    /// Asks again for every answer that is missing, under its key.
    async fn resolve(&mut self, client: &Client) {
        for entry in self.entries.iter_mut().filter(|entry| entry.answer.is_none()) {
            let answer = entry.request.send(client, &entry.key, PATIENCE).await;
            entry.answer = answer.map(|answer| (answer, Instant::now()));
            assert!(entry.answer.is_some(), "key {} was never answered", entry.key);
        }
    }

    /// Each command has a sequence of its own, each hold a greater token than the one before it, and what was
    /// answered before another call was made stands before it in the history.
    fn check_order(&self) {
        let mut history: Vec<_> = self.entries.iter().map(Entry::answered).collect();
        history.sort_by_key(|(_, answer, _)| answer.sequence);
        let (mut sequence, mut token, mut begun_last) = (None, None, None);
        for (entry, answer, ended) in history {
            assert!(
                answer.sequence > sequence,
                "key {}: {:?} is not above {sequence:?}",
                entry.key,
                answer.sequence
            );
            sequence = answer.sequence;
            if let Request::Reserve(_) = entry.request {
                let granted = Some(answer.value.fencing_token);
                assert!(granted > token, "key {}: {granted:?} is not above {token:?}", entry.key);
                token = granted;
            }
            let in_order = begun_last.is_none_or(|begun| begun <= ended);
            assert!(in_order, "key {} was answered before a call that stands before it was made", entry.key);
            begun_last = begun_last.max(Some(entry.begun));
        }
    }

    /// Every reservation as the last answer about it left it.
    fn facts(&self) -> Vec<Reservation> {
        let mut facts = BTreeMap::new();
        for (_, answer, _) in self.entries.iter().map(Entry::answered) {
            facts.insert(answer.value.reservation_id.clone(), answer.value.clone());
        }
        facts.into_values().collect()
    }

    async fn check_stock(&self, cluster: &Cluster) {
        let facts = self.facts();
        let count = |state| facts.iter().filter(|fact| fact.state == state).count() as u64;
        let (held, sold) = (count(ReservationState::Held), count(ReservationState::Committed));
        let tokens: BTreeSet<_> = facts.iter().map(|fact| fact.fencing_token).collect();
        assert_eq!(tokens.len(), facts.len(), "two holds share a fencing token");
        for id in IDS {
            let stock = cluster.only(id).sku(SKU).await.unwrap().value;
            let told = (stock.on_hand, stock.held, stock.sold, stock.available);
            assert_eq!(told, (STOCK - sold, held, sold, STOCK - sold - held), "node {id}");
        }
    }
}

impl Entry {
    /// The call, its answer and when that came, where it has one: after [`Ledger::resolve`], always.
    fn answered(&self) -> (&Entry, &Answer<Reservation>, Instant) {
        let (answer, ended) = self.answer.as_ref().expect("every call was resolved");
        (self, answer, *ended)
    }
}

fn random_node(cluster: &Cluster) -> Client {
    cluster.client().only(rand::random_range(0..IDS.len()))
}

/// The reservation reads as it was acknowledged, but for the time that it has left.
async fn check_fact(fact: Reservation, client: Client) {
    let read = client.reservation(&fact.reservation_id).await.unwrap().value;
    let expires_in = read.expires_in;
    assert_eq!(read, Reservation { expires_in, ..fact });
}

/// The same call under the same key has the same answer.
async fn check_replay(entry: Entry, client: Client) {
    let (entry, first, _) = entry.answered();
    let again = entry.request.send(&client, &entry.key, PATIENCE).await;
    let again = again.unwrap_or_else(|| panic!("no answer to key {}", entry.key));
    assert!(again.replayed, "key {} was executed twice", entry.key);
    assert_eq!((again.status, again.sequence), (first.status, first.sequence), "key {}", entry.key);
    assert_eq!(again.value, first.value, "key {}", entry.key);
}

async fn in_parallel(checks: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let mut under_way = JoinSet::new();
    for check in checks {
        if under_way.len() == CHECKERS {
            under_way.join_next().await.unwrap().unwrap();
        }
        under_way.spawn(check);
    }
    while let Some(ended) = under_way.join_next().await {
        ended.unwrap();
    }
}
