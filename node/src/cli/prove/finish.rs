//! The end of a run: the shop is closed, the cluster comes to rest, and every node tells all that it has.
//!
//! ```text
//!   all served, no client calls --> release what is held or waits --> until every node is at one entry:
//!                                                                       read stock, reservations, feed
//! ```
//!
//! Holds that lapse and lines that move up would change the state while it is read. So what still holds or waits is
//! released first, in calls that are part of the record as any other.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use checker::history::{FeedDigest, FeedEvent, Final, Op, Record};
use client::api::{
    BatchRequest, ClusterView, Event, InventoryRecord, Operation, OperationCall, Page, ReleaseRequest,
    Reservation,
};
use futures_util::future::try_join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::buyer::OPENER;
use super::caller::Caller;
use super::cluster::Cluster;
use super::wire::Reply;

/// How long the cluster may take to come to rest.
const REST_TIME_MAX: Duration = Duration::from_secs(180);
/// How long is waited between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long an answer may take.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// How many reservations are released in one call, and are in one page.
const PAGE: usize = 500;

/// Releases whatever is held or waits, until nothing is or does.
pub(super) async fn close(caller: &Caller, seed: u64) -> Result<(), String> {
    let (mut dice, mut round) = (StdRng::seed_from_u64(seed), 0);
    let deadline = Instant::now() + REST_TIME_MAX;
    loop {
        let mut open = Vec::new();
        for state in ["waiting", "held"] {
            open.extend(of_state(caller, state, &mut dice).await?);
        }
        if open.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{} reservations stay open although they are released", open.len()));
        }
        round += 1;
        caller.make(OPENER, &release(&open, round), &mut dice).await;
    }
}

/// A page of those in that state.
async fn of_state(caller: &Caller, state: &str, dice: &mut StdRng) -> Result<Vec<Reservation>, String> {
    let mut ask = Ask::bare(Op::ListReservations);
    ask.query.insert("state".to_owned(), state.to_owned());
    ask.query.insert("limit".to_owned(), PAGE.to_string());
    let reply = caller.make(OPENER, &ask, dice).await.ok_or("no node tells what is held")?;
    Ok(read::<Page<Reservation>>(&reply)?.data)
}

fn release(open: &[Reservation], round: u64) -> Ask {
    let one = |reservation: &Reservation| {
        let reservation_id = reservation.reservation_id.clone();
        Operation {
            idempotency_key: Some(format!("close-{round}-{reservation_id}")),
            call: OperationCall::Release(ReleaseRequest { reservation_id, items: None }),
        }
    };
    let body = BatchRequest { operations: open.iter().map(one).collect() };
    Ask { key: None, ..Ask::write(Op::Batch, &body, String::new()) }
}

/// Records what every node has, all at one log entry.
pub(super) async fn read_back(caller: &Caller, cluster: &Cluster) -> Result<(), String> {
    let deadline = Instant::now() + REST_TIME_MAX;
    let ids = cluster.nodes.iter().map(|(id, _)| *id);
    // All feeds are the same: the events of one of them are enough.
    let mut feeds: Vec<(u64, Feed)> = ids.enumerate().map(|(at, id)| (id, Feed::new(at == 0))).collect();
    loop {
        let read = match all_at_one_entry(caller, cluster, &mut feeds).await {
            Ok(Some(finals)) => {
                keep(caller, feeds, finals);
                return Ok(());
            }
            Ok(None) => "the nodes do not come to rest at one log entry".to_owned(),
            Err(why) => why,
        };
        if Instant::now() > deadline {
            return Err(read);
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn keep(caller: &Caller, feeds: Vec<(u64, Feed)>, finals: Vec<Final>) {
    for (node, feed) in feeds {
        let events = feed.kept.into_iter().flatten().map(|event| FeedEvent { node, event });
        events.map(Record::Event).for_each(|record| caller.recorder.add(&record));
    }
    finals.into_iter().map(Record::Final).for_each(|record| caller.recorder.add(&record));
}

/// What all nodes have, unless they are not at one entry from before it is read until after it.
async fn all_at_one_entry(
    caller: &Caller,
    cluster: &Cluster,
    feeds: &mut [(u64, Feed)],
) -> Result<Option<Vec<Final>>, String> {
    let Some(before) = agreed(cluster).await? else { return Ok(None) };
    let told = feeds.iter_mut().map(|(id, feed)| tell(caller, cluster, *id, feed));
    let finals = try_join_all(told).await?;
    let is_at_rest = agreed(cluster).await? == Some(before);
    Ok(is_at_rest.then_some(finals))
}

/// The entry that all nodes have applied and know to be the last, if there is one.
async fn agreed(cluster: &Cluster) -> Result<Option<u64>, String> {
    let views = try_join_all(cluster.nodes.iter().map(|(id, _)| view(cluster, *id))).await?;
    let at = views.iter().map(|view| (view.applied_index, view.committed_index));
    let first = views.first().and_then(|view| view.applied_index);
    let are_equal = at.into_iter().all(|(applied, committed)| applied == first && committed == first);
    Ok(first.filter(|_| are_equal))
}

async fn view(cluster: &Cluster, id: u64) -> Result<ClusterView, String> {
    read(&get(cluster, id, "/api/cluster").await?)
}

/// What a node has.
async fn tell(caller: &Caller, cluster: &Cluster, id: u64, feed: &mut Feed) -> Result<Final, String> {
    let feed = feed.read_on(cluster, id).await?;
    let (stock, of_stock) = list::<InventoryRecord>(cluster, id, "/api/inventory").await?;
    let (reservations, of_reservations) = list::<Reservation>(cluster, id, "/api/reservations").await?;
    let cluster = view(cluster, id).await?;
    let (at_us, sequence) = (caller.recorder.now_us(), of_stock.max(of_reservations));
    Ok(Final { at_us, node: id, cluster, sequence, stock, reservations, feed })
}

/// All rows of a list by the node's own state, and the sequence that they reflect.
async fn list<T: DeserializeOwned>(cluster: &Cluster, id: u64, path: &str) -> Result<(Vec<T>, u64), String> {
    let (mut rows, mut sequence, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let reply = get(cluster, id, &format!("{path}?consistency=stale&limit={PAGE}{cursor}")).await?;
        sequence = sequence.max(reply.sequence.unwrap_or_default());
        let page: Page<T> = read(&reply)?;
        rows.extend(page.data);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok((rows, sequence)),
        }
    }
}

/// The feed of a node as far as it was read: in short, and whole where that is wanted. A long one takes longer than the
/// cluster stays at one entry, so that each look reads on where the one before has ended.
struct Feed {
    after: String,
    events: u64,
    hasher: DefaultHasher,
    kept: Option<Vec<Event>>,
}

impl Feed {
    fn new(is_kept: bool) -> Feed {
        let kept = is_kept.then(Vec::new);
        Feed { after: "0".to_owned(), events: 0, hasher: DefaultHasher::new(), kept }
    }

    /// Reads on to its end.
    async fn read_on(&mut self, cluster: &Cluster, id: u64) -> Result<FeedDigest, String> {
        loop {
            let path = format!("/api/events?consistency=stale&limit={PAGE}&after={}", self.after);
            let page: Page<Event> = read(&get(cluster, id, &path).await?)?;
            let Some(last) = page.data.last() else {
                let digest = format!("{:016x}", self.hasher.finish());
                return Ok(FeedDigest { events: self.events, digest });
            };
            self.after = last.id.clone();
            self.events += page.data.len() as u64;
            for event in &page.data {
                // Types of the wire become JSON.
                serde_json::to_string(event).unwrap_or_default().hash(&mut self.hasher);
            }
            if let Some(kept) = &mut self.kept {
                kept.extend(page.data);
            }
        }
    }
}

async fn get(cluster: &Cluster, id: u64, path: &str) -> Result<Reply, String> {
    let reply = cluster.wire.get(id, path, READ_TIME_MAX).await;
    let reply = reply.map_err(|missing| format!("node {id} does not answer {path}: {missing:?}"))?;
    match reply.status {
        200 => Ok(reply),
        status => Err(format!("node {id} answers {path} with {status}: {}", reply.json())),
    }
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, String> {
    serde_json::from_slice(&reply.body).map_err(|cause| format!("an answer that is none: {cause}"))
}
