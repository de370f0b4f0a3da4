//! What traders were told, and what must hold of it on every node.
//!
//! ```text
//!   lines --> resolve: what has no answer is asked again under its key until it has one
//!     |
//!     +--> order     every sequence and token once, and in the order of the answers
//!     +--> facts     each reservation as the last answer about it said, or as time alone may have changed it
//!     +--> replays   the same key has the same status, body and sequence
//!     +--> stock     each SKU's figures are the sums of the facts; no reservation is there that nobody made
//!     +--> digests   one state at one index on all nodes
//! ```
//!
//! [`Books::check_new`] asks about what was written down since the last check, [`Books::check_all`] about everything.
//! Each panics at the first loss.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::time::Duration;

use client::api::{InventoryRecord, Operation, OperationCall, PutSkuRequest, Reservation, ReservationState};
use client::{Answer, Client, Record};
use jiff::Timestamp;
use tokio::time::Instant;

use super::cluster::{Cluster, IDS};
use super::trade::{self, BRIEF, LINE, Line, SOLD};
use super::{PATIENCE, wait_for};

/// How much there is of what there is plenty of.
const PLENTY: u64 = 100_000_000;

/// How much there is of what is waited for.
const SCARCE: u64 = 3;

/// How many operations go in one batch of replays.
const REPLAYS: usize = 500;

/// How far this machine's clock may be from the cluster's, which nodes on this machine keep.
const CLOCK_OFF: Duration = Duration::from_secs(1);

/// All that was written down.
#[derive(Default)]
pub(crate) struct Books {
    lines: Vec<Line>,
    /// How many lines were checked.
    checked: usize,
    checks: u64,
    acknowledged: u64,
}

/// Each reservation as the last answer about it said.
type Facts = BTreeMap<String, Reservation>;

impl Books {
    /// Makes the SKUs that are traded.
    pub(crate) async fn open(cluster: &Cluster) -> Books {
        for (sku, on_hand) in [(SOLD, PLENTY), (BRIEF, PLENTY), (LINE, SCARCE)] {
            let stock = PutSkuRequest { on_hand, ..PutSkuRequest::default() };
            cluster.client().put_sku(sku, &stock).await.unwrap();
        }
        Books::default()
    }

    /// Writes down what traders were told.
    pub(crate) fn add(&mut self, lines: Vec<Line>) {
        self.acknowledged += lines.iter().filter(|line| line.answer.is_some()).count() as u64;
        self.lines.extend(lines);
    }

    /// How many operations were answered when they were asked for, and not only when that was asked again later.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many operations are in it.
    pub(crate) fn operations(&self) -> usize {
        self.lines.len()
    }

    /// How many acknowledged answers were checked, each as often as it was: a fact or a replay at one node.
    pub(crate) fn checks(&self) -> u64 {
        self.checks
    }

    /// Checks what was written down since the last check, and what is cheap to check of the rest.
    pub(crate) async fn check_new(&mut self, cluster: &Cluster) {
        self.resolve(cluster.client()).await;
        let facts = self.check_order();
        let new = &self.lines[self.checked..];
        let touched: BTreeSet<_> = new.iter().filter_map(reservation_of).collect();
        self.checks += (touched.len() + new.len()) as u64;
        for id in touched {
            let read = random_node(cluster).reservation(&id).await;
            let read = read.unwrap_or_else(|lost| panic!("{id} is lost: {lost}; it was {:?}", facts[&id]));
            check_fact(&facts[&id], &read.value);
        }
        check_replays(&random_node(cluster), new).await;
        for id in IDS {
            self.check_sold(&facts, &figures(&cluster.only(id)).await, id);
        }
        cluster.check_digests().await;
        self.checked = self.lines.len();
    }

    /// Checks everything at these nodes. The digests say that the others have the same.
    pub(crate) async fn check_all(&mut self, cluster: &Cluster, ids: &[u64]) {
        self.check_new(cluster).await;
        let facts = self.check_order();
        for &id in ids {
            let client = cluster.only(id);
            self.check_node(&client, &facts, id).await;
            check_replays(&client, &self.lines).await;
            self.checks += (facts.len() + self.lines.len()) as u64;
        }
        cluster.check_digests().await;
    }

    /// Asks again for every answer that is missing, under its key. Nothing else is under way.
    async fn resolve(&mut self, client: &Client) {
        let unknown: Vec<_> = self.lines.iter_mut().filter(|line| line.answer.is_none()).collect();
        for line in unknown {
            let answers = trade::send(client, slice::from_ref(&line.operation), PATIENCE).await;
            let answer = answers.into_iter().next().flatten();
            line.answer = answer.map(|answer| (answer, Instant::now()));
            assert!(line.answer.is_some(), "{:?} was never answered", line.operation);
        }
    }

    /// Each operation has a sequence of its own, each hold a token of its own, and what was answered before another
    /// was asked for stands before it in the history. Answers what the history comes to.
    fn check_order(&self) -> Facts {
        let mut history: Vec<_> = self.lines.iter().map(answered).collect();
        history.sort_by_key(|(_, answer, _)| answer.sequence);
        let (mut sequence, mut begun_last, mut facts) = (None, None, Facts::new());
        for (line, answer, ended) in history {
            let operation = &line.operation;
            assert!(answer.sequence > sequence, "{operation:?}: a sequence was used twice: {answer:?}");
            assert!(begun_last.is_none_or(|begun| begun <= ended), "{operation:?}: too late in the history");
            (sequence, begun_last) = (answer.sequence, begun_last.max(Some(line.begun)));
            if let Record::Reservation(reservation) = &answer.value {
                facts.insert(reservation.reservation_id.clone(), reservation.clone());
            }
        }
        let mut tokens = BTreeSet::new();
        let unique = facts.values().filter_map(|fact| fact.fencing_token).all(|token| tokens.insert(token));
        assert!(unique, "two holds share a fencing token");
        facts
    }

    /// A node has every fact, nothing else, and figures that are their sums.
    async fn check_node(&self, client: &Client, facts: &Facts, id: u64) {
        let (read, figures) = wait_for(format!("node {id} is read at one moment"), async || {
            let before = figures(client).await;
            let read = reservations(client).await;
            (before == figures(client).await).then_some((read, before))
        })
        .await;
        for (reservation_id, fact) in facts {
            let read = read.get(reservation_id);
            check_fact(fact, read.unwrap_or_else(|| panic!("node {id} has lost {fact:?}")));
        }
        for (reservation_id, read) in &read {
            assert!(facts.contains_key(reservation_id), "node {id}: nobody asked for {read:?}");
        }
        for (sku, record) in &figures {
            let held = units(&read, sku, |one| one.state == ReservationState::Held);
            assert_eq!(record.held, held, "node {id}: {record:?}");
        }
        self.check_sold(facts, &figures, id);
    }

    /// Nothing is oversold, and what does not change by time alone is exactly what was acknowledged.
    fn check_sold(&self, facts: &Facts, figures: &BTreeMap<String, InventoryRecord>, id: u64) {
        for record in figures.values() {
            let taken = if record.sku == SOLD { self.adjusted() } else { 0 };
            let owned = if record.sku == LINE { SCARCE } else { PLENTY };
            let sold = units(facts, &record.sku, is_sold);
            assert!(record.held <= record.on_hand, "node {id}: oversold: {record:?}");
            assert_eq!(record.sold, sold, "node {id}: {record:?}");
            let whole = (record.on_hand + record.sold).cast_signed();
            assert_eq!(whole, owned.cast_signed() + taken, "node {id}: {record:?}");
        }
        let held = units(facts, SOLD, |one| one.state == ReservationState::Held);
        assert_eq!(figures[SOLD].held, held, "node {id}");
    }

    /// What all adjusts together added.
    fn adjusted(&self) -> i64 {
        let deltas = self.lines.iter().map(|line| match &line.operation.call {
            OperationCall::Adjust(adjust) => adjust.adjust.delta,
            _ => 0,
        });
        deltas.sum()
    }
}

/// The line, its answer and when that came; every line has one once it was resolved.
fn answered(line: &Line) -> (&Line, &Answer<Record>, Instant) {
    let (answer, ended) = line.answer.as_ref().expect("every operation was resolved");
    (line, answer, *ended)
}

/// Which reservation the line is about.
fn reservation_of(line: &Line) -> Option<String> {
    match &answered(line).1.value {
        Record::Reservation(reservation) => Some(reservation.reservation_id.clone()),
        _ => None,
    }
}

/// The reservation reads as it was acknowledged, or as time alone may have changed it since.
fn check_fact(fact: &Reservation, read: &Reservation) {
    let now = Timestamp::now();
    let legal = match (fact.state, read.state) {
        (ReservationState::Held, ReservationState::Expired) => {
            is_past(read, now) && *read == Reservation { state: read.state, ..timeless(fact, read) }
        }
        (ReservationState::Waiting, ReservationState::Waiting) => {
            read.position <= fact.position
                && *read == Reservation { position: read.position, ..timeless(fact, read) }
        }
        (ReservationState::Waiting, ReservationState::Held | ReservationState::Expired) => {
            let promoted = Reservation {
                state: read.state,
                position: None,
                fencing_token: read.fencing_token,
                expires_at: read.expires_at.clone(),
                ..timeless(fact, read)
            };
            let ended = read.state == ReservationState::Held || is_past(read, now);
            ended && read.fencing_token.is_some() && *read == promoted
        }
        _ => *read == timeless(fact, read),
    };
    assert!(legal, "it was {fact:?}, and is {read:?}");
}

/// The reservation with as much time left as was read.
fn timeless(fact: &Reservation, read: &Reservation) -> Reservation {
    Reservation { expires_in: read.expires_in, ..fact.clone() }
}

fn is_past(read: &Reservation, now: Timestamp) -> bool {
    let expires_at: Timestamp = read.expires_at.as_ref().unwrap().parse().unwrap();
    expires_at <= now + CLOCK_OFF
}

/// The same operations under the same keys have the same answers.
async fn check_replays(client: &Client, lines: &[Line]) {
    for lines in lines.chunks(REPLAYS) {
        let operations: Vec<Operation> = lines.iter().map(|line| line.operation.clone()).collect();
        let replays = trade::send(client, &operations, PATIENCE).await;
        for (line, again) in lines.iter().zip(replays) {
            let (line, first, _) = answered(line);
            let again = again.unwrap_or_else(|| panic!("no answer to {:?}", line.operation));
            assert!(again.replayed, "{:?} was executed twice: {again:?}, first {first:?}", line.operation);
            let told = |answer: &Answer<Record>| (answer.status, answer.sequence, answer.value.clone());
            assert_eq!(told(&again), told(first), "{:?}", line.operation);
        }
    }
}

/// Every SKU's figures.
async fn figures(client: &Client) -> BTreeMap<String, InventoryRecord> {
    let mut rows = client.skus().rows();
    let mut all = BTreeMap::new();
    while let Some(record) = rows.next().await.unwrap() {
        all.insert(record.sku.clone(), record);
    }
    all
}

/// Every reservation.
async fn reservations(client: &Client) -> Facts {
    let mut rows = client.reservations().page_size(1_000).rows();
    let mut all = Facts::new();
    while let Some(reservation) = rows.next().await.unwrap() {
        all.insert(reservation.reservation_id.clone(), reservation);
    }
    all
}

/// How many units of a SKU such reservations have, less those returned.
fn units(of: &Facts, sku: &str, which: impl Fn(&Reservation) -> bool) -> u64 {
    let chosen = of.values().filter(|one| which(one));
    let count = |items: &[client::api::Item]| -> u64 {
        items.iter().filter(|item| item.sku == sku).map(|item| item.qty).sum()
    };
    chosen.map(|one| count(&one.items) - count(&one.returned)).sum()
}

fn is_sold(reservation: &Reservation) -> bool {
    reservation.state == ReservationState::Committed
}

fn random_node(cluster: &Cluster) -> Client {
    cluster.client().only(rand::random_range(0..IDS.len()))
}
