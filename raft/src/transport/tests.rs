//! What a node makes of what its peers say, by what it knows of the members.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::WatchSenderOf;
use storage::disk::RealDisk;
use storage::log::Log;
use tempfile::TempDir;

use super::frame::Kind;
use super::judge::Verdict;
use super::message::{Greeting, Reverted};
use super::*;
use crate::open::{self, Store};
use crate::types::{Membership, PeerNode, StoredMembership, TypeConfig, log_id};
use crate::{Member, Tuning, WallClock};

/// This node, and the one that speaks to it.
pub(super) const OWN: u64 = 1;
pub(super) const PEER: u64 = 2;

struct Noon;

impl WallClock for Noon {
    fn now_ms(&self) -> u64 {
        1_790_000_000_000
    }
}

/// A node without a Raft: what is effective is as the test says.
pub(super) struct Bench {
    pub(super) local: Arc<Local>,
    effective: WatchSenderOf<TypeConfig, RaftMetrics<TypeConfig>>,
    _log: Log,
    _directory: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench::over(Arc::new(Tcp))
    }

    /// The same over another network.
    pub(super) fn over(wire: Arc<dyn Wire>) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let options = options(&directory);
        let Store { directory: identity, memory, log, applied, .. } =
            open::open(Arc::new(RealDisk), &options).unwrap();
        let clock = ClusterClock::new(Arc::new(Noon), OWN, [OWN, PEER].into());
        let (replica, promises) =
            (Arc::new(Replica::new(applied, None)), Arc::new(Promises::new(log.clone())));
        let local = Local::new(options, identity.identity(), clock, replica, Fatal::new(), memory, promises);
        let local = local.over(wire);
        let (effective, metrics) = TypeConfig::watch_channel(RaftMetrics::new_initial(OWN));
        local.roster.follow(metrics);
        Bench { local: Arc::new(local), effective, _log: log, _directory: directory }
    }

    fn apply(&self, membership: StoredMembership) {
        self.local.replica.write().membership = membership;
    }

    fn append(&self, membership: StoredMembership) {
        let mut metrics = RaftMetrics::new_initial(OWN);
        metrics.membership_config = Arc::new(membership);
        openraft::async_runtime::WatchSender::send(&self.effective, metrics).unwrap();
    }

    /// Takes a greeting, and answers why there is no connection.
    async fn take(&self, greeting: Greeting) -> String {
        refusals::take(&self.local, PEER, greeting).await.to_string()
    }
}

fn options(directory: &TempDir) -> GroupOptions {
    let member = |id: u64| Member { id, http: format!("http-{id}"), raft: format!("raft-{id}") };
    GroupOptions {
        cluster_name: "bench".into(),
        node_id: OWN,
        members: [OWN, PEER].map(member).to_vec(),
        data_dir: directory.path().to_owned(),
        retention: Duration::from_secs(60),
        idempotency_retention: Duration::from_secs(60),
        max_hold: Duration::from_secs(60),
        events_retention: Duration::from_secs(60),
        events_max: 10,
        limits: crate::HoldLimits::NONE,
        rates: crate::RateLimits::default(),
        tuning: Tuning::default(),
    }
}

fn at(term: u64, index: u64) -> Position {
    Position { term, leader: PEER, index }
}

/// The membership of that entry, with these directories by the ids of their nodes.
fn membership<const N: usize>(entry: Position, stores: [(u64, u128); N]) -> StoredMembership {
    let node = |store_id| PeerNode { store_id, ..PeerNode::default() };
    let nodes: BTreeMap<u64, PeerNode> = stores.into_iter().map(|(id, store)| (id, node(store))).collect();
    let voters: BTreeSet<u64> = nodes.keys().copied().collect();
    StoredMembership::new(Some(log_id(entry)), Membership::new(vec![voters], nodes).unwrap())
}

fn remote(store_id: u128, member_since: Option<Position>) -> Remote {
    Remote { id: PEER, incarnation: Incarnation { store_id, generation: 1, nonce: 7 }, member_since }
}

fn frame() -> Frame {
    frame_of(Promised::default())
}

fn frame_of(promised: Promised) -> Frame {
    let sender = Sender { wall_ms: Noon.now_ms(), promised };
    Frame { kind: Kind::Append, id: 0, sender, body: Bytes::new() }
}

/// What came on a connection from before its node was replaced went on to count as that node's.
#[tokio::test]
async fn frames_of_a_directory_that_another_one_has_replaced_are_dropped_also_on_old_connections() {
    let bench = Bench::new();
    let local = &bench.local;
    let (old, new) = (remote(20, Some(at(1, 3))), remote(21, None));
    for remote in [old, new] {
        let introduction = Introduction { incarnation: remote.incarnation, has: Promised::default() };
        local.memory.meet(PEER, &introduction).unwrap();
        if remote.incarnation == old.incarnation {
            local.hear(&old, &frame()).unwrap();
            let replaced = membership(at(2, 9), [(OWN, 10), (PEER, 21)]);
            bench.append(replaced);
            let dropped = local.hear(&old, &frame()).unwrap_err().to_string();
            assert!(dropped.contains("another directory of node 2 has taken its place"), "{dropped}");
        }
    }
    local.hear(&new, &frame()).unwrap();
    // A membership that is applied counts before an older one that is still called effective.
    bench.apply(membership(at(3, 12), [(OWN, 10), (PEER, 22)]));
    assert!(!local.roster.is_superseded(PEER, 22, None));
    assert!(local.roster.is_peer(PEER) && !local.roster.is_peer(OWN) && !local.roster.is_peer(9));
}

/// What came with a farewell was not remembered: the newest promise, and the best that there is of that start.
#[tokio::test]
async fn what_a_start_promises_with_its_farewell_its_next_one_must_have() {
    let bench = Bench::new();
    let local = &bench.local;
    let promised = |entries| Promised { term: 1, node: PEER, entries };
    let introduced = |generation, entries| {
        let incarnation = Incarnation { store_id: 20, generation, nonce: generation.into() };
        Introduction { incarnation, has: promised(entries) }
    };
    let first = introduced(1, 11);
    let from = Remote { id: PEER, incarnation: first.incarnation, member_since: None };
    local.memory.meet(PEER, &first).unwrap();
    local.part(&from, &frame_of(promised(11))).unwrap();
    let forgotten = Verdict::Reverted(Reverted::Forgotten(promised(11)));
    assert_eq!(local.memory.meet(PEER, &introduced(2, 10)).unwrap(), forgotten);
    assert!(local.part(&from, &frame_of(promised(11))).is_err(), "it is not heard any more");
    assert_eq!(local.memory.meet(PEER, &introduced(2, 11)).unwrap(), Verdict::Next);
}

/// It was told to put the other directory back, which is in use.
#[tokio::test]
async fn a_directory_whose_id_is_used_again_is_told_that_it_was_removed() {
    let bench = Bench::new();
    let own = bench.local.store_id();
    bench.apply(membership(at(1, 3), [(OWN, own), (PEER, 20)]));
    let why = bench.take(Greeting::StoreLost(at(2, 9))).await;
    assert!(why.contains("was removed from the cluster, before entry 9 of its log"), "{why}");
    let stop = bench.local.fatal.reason().await.to_string();
    assert!(stop.contains("was removed from the cluster") && !stop.contains("put that one back"), "{stop}");
    assert!(bench.local.options.data_dir.join("refused").exists());
}

#[tokio::test]
async fn an_older_membership_with_another_directory_ends_nobody() {
    let bench = Bench::new();
    let own = bench.local.store_id();
    bench.apply(membership(at(2, 9), [(OWN, own), (PEER, 20)]));
    let why = bench.take(Greeting::StoreLost(at(1, 30))).await;
    assert!(why.contains("knows this node by another data directory"), "{why}");
    assert!(!bench.local.fatal.is_reported());
}

/// That a node is to be added, or was removed, was said by a line that nobody had seen come.
#[tokio::test]
async fn a_node_that_a_peer_does_not_know_says_so_once_and_goes_on() {
    let bench = Bench::new();
    let lines = Lines::default();
    let _told = tracing::subscriber::set_default(lines.clone());
    for _ in 0..2 {
        let why = bench.take(Greeting::NotMember(at(1, 7))).await;
        assert!(why.contains("node 2 does not know this node as a member"), "{why}");
    }
    assert!(!bench.local.fatal.is_reported());
    let told = lines.0.lock().unwrap().clone();
    assert_eq!(told, ["the cluster is formed without this node; `lastunit member add 1` adds it"]);
}

/// What is told, by this crate, to whoever reads the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("raft") && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[derive(Default)]
struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
