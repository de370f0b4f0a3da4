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
    loop {
        let read = match all_at_one_entry(caller, cluster).await {
            Ok(Some((finals, events))) => {
                let events = events.into_iter().map(Record::Event);
                let finals = finals.into_iter().map(Record::Final);
                events.chain(finals).for_each(|record| caller.recorder.add(&record));
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

type ReadBack = (Vec<Final>, Vec<FeedEvent>);

/// What all nodes have, unless they are not at one entry from before it is read until after it.
async fn all_at_one_entry(caller: &Caller, cluster: &Cluster) -> Result<Option<ReadBack>, String> {
    let Some(before) = agreed(cluster).await? else { return Ok(None) };
    let first = cluster.nodes.first().map(|(id, _)| *id).unwrap_or_default();
    let told = cluster.nodes.iter().map(|(id, _)| tell(caller, cluster, *id, *id == first));
    let told = try_join_all(told).await?;
    if agreed(cluster).await? != Some(before) {
        return Ok(None);
    }
    let (finals, feeds): (Vec<Final>, Vec<Vec<Event>>) = told.into_iter().unzip();
    let events = feeds.into_iter().flatten().map(|event| FeedEvent { node: first, event }).collect();
    Ok(Some((finals, events)))
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

/// What a node has; of its feed the events where they are wanted, and else only what tells it from others.
async fn tell(
    caller: &Caller,
    cluster: &Cluster,
    id: u64,
    with_events: bool,
) -> Result<(Final, Vec<Event>), String> {
    let (stock, of_stock) = list::<InventoryRecord>(cluster, id, "/api/inventory").await?;
    let (reservations, of_reservations) = list::<Reservation>(cluster, id, "/api/reservations").await?;
    let (feed, events) = feed(cluster, id, with_events).await?;
    let cluster = view(cluster, id).await?;
    let (at_us, sequence) = (caller.recorder.now_us(), of_stock.max(of_reservations));
    Ok((Final { at_us, node: id, cluster, sequence, stock, reservations, feed }, events))
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

/// The feed of a node from its beginning: in short, and whole where that is wanted.
async fn feed(cluster: &Cluster, id: u64, with_events: bool) -> Result<(FeedDigest, Vec<Event>), String> {
    let (mut kept, mut after) = (Vec::new(), "0".to_owned());
    let (mut events, mut hasher) = (0, DefaultHasher::new());
    loop {
        let path = format!("/api/events?consistency=stale&limit={PAGE}&after={after}");
        let page: Page<Event> = read(&get(cluster, id, &path).await?)?;
        let Some(last) = page.data.last() else {
            return Ok((FeedDigest { events, digest: format!("{:016x}", hasher.finish()) }, kept));
        };
        after = last.id.clone();
        events += page.data.len() as u64;
        // Types of the wire become JSON.
        page.data.iter().for_each(|event| serde_json::to_string(event).unwrap_or_default().hash(&mut hasher));
        if with_events {
            kept.extend(page.data);
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
