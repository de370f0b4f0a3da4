//! A leader that is cut off and deposed, and that nothing reaches but what the others had answered before.
//!
//! ```text
//!   it           leads, has one, takes a second, sends it |           nothing leaves it           a read -----> ?
//!                                                         |                                              ^ ^
//!   the others   have the second on disk and say so ------|-- late ------------------------------------- | |
//!                                                         |   elect one of them, which takes a third
//! ```
//!
//! What they said is of before the read, and of what is on disk: it confirms nothing.

use std::sync::{Arc, Mutex, PoisonError};

use raft::simulated::{Simulated, enter};
use raft::{Group, Member, ReadError};
use storage::inventory::command::Request;
use tempfile::TempDir;

use crate::chance::Chance;
use crate::clocks::{TrueTime, Wall};
use crate::network::Net;
use crate::node::Node;
use crate::shop::{adjust, put, sku};
use crate::trace::Trace;
use crate::world::{member, options};

const NODES: u64 = 3;
const SKU: &str = "Console";

/// Nothing that is waited for takes longer, in milliseconds.
const PATIENCE_MS: u64 = 30_000;

/// Within this time all connections are made that a cluster at rest has, in milliseconds.
const SETTLED_MS: u64 = 1_000;

/// Within this time what has arrived is on disk and the answer to it on its way, in milliseconds.
const WRITTEN_MS: u64 = 20;

/// Within this time what was held up on a link has arrived, and something was made of it, in milliseconds.
const ARRIVED_MS: u64 = 100;

/// What a node was asked: the answer, once there is one.
type Asked<T> = Arc<Mutex<Option<T>>>;

fn answer<T: Clone>(asked: &Asked<T>) -> Option<T> {
    asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Three nodes to which nothing happens but what is said.
struct Cluster {
    seed: u64,
    time: TrueTime,
    net: Net,
    nodes: Vec<Node>,
    trace: Trace,
    _directory: TempDir,
    /// Ends last: until then chance follows from the seed.
    _simulated: Simulated,
}

impl Cluster {
    fn new(seed: u64) -> Cluster {
        let simulated = enter(seed);
        let directory = TempDir::new().unwrap();
        let (time, net) = (TrueTime::default(), Net::new(Chance::of(seed, "network")));
        let members: Vec<Member> = (1..=NODES).map(member).collect();
        let started = |id| {
            let options = options(&members, id, &directory, seed);
            let mut node = Node::new(options, net.clone(), Wall::new(time.clone()));
            node.start(0);
            node
        };
        let nodes = (1..=NODES).map(started).collect();
        let trace = Trace::new(directory.path().to_string_lossy().into_owned());
        Cluster { seed, time, net, nodes, trace, _directory: directory, _simulated: simulated }
    }

    fn run(&mut self, time_ms: u64) {
        for _ in 0..time_ms {
            self.time.advance();
            let now_ms = self.time.now_ms();
            self.net.deliver(now_ms, &mut self.trace);
            self.nodes.iter_mut().for_each(|node| node.run_until(now_ms));
        }
    }

    fn wait<T>(&mut self, what: &str, is: impl Fn(&Cluster) -> Option<T>) -> T {
        let last_ms = self.time.now_ms() + PATIENCE_MS;
        loop {
            if let Some(so) = is(self) {
                return so;
            }
            assert!(self.time.now_ms() < last_ms, "seed {}: it is never so that {what}", self.seed);
            self.run(1);
        }
    }

    fn node(&self, id: u64) -> &Node {
        &self.nodes[id as usize - 1]
    }

    /// Which of them leads.
    fn leader(&self, among: &[u64]) -> Option<u64> {
        let leads = |id: &u64| self.node(*id).group().is_some_and(|group| group.look().leads);
        among.iter().copied().find(leads)
    }

    fn last(&self, id: u64) -> Option<u64> {
        self.node(id).group()?.look().log.last.map(|last| last.index)
    }

    fn committed(&self, id: u64) -> Option<u64> {
        self.node(id).group()?.look().committed
    }

    fn ask<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        id: u64,
        call: impl FnOnce(Group) -> F,
    ) -> Asked<T> {
        let asked = Asked::default();
        let (node, answered) = (self.node(id), asked.clone());
        let calling = call(node.group().unwrap());
        node.spawn(async move {
            let answer = calling.await;
            *answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        });
        asked
    }

    /// Whether it was applied.
    fn submit(&self, id: u64, request: Request) -> Asked<bool> {
        self.ask(id, |group| async move { group.submit(request).await.is_ok() })
    }

    fn read(&self, id: u64) -> Asked<Result<u64, ReadError>> {
        self.ask(id, |group| async move {
            let read = group.read(|inventory| inventory.stock(&sku(SKU)).map_or(0, |stock| stock.on_hand));
            read.await.map(|read| read.value)
        })
    }
}

fn one_more() -> Request {
    Request { idempotency_key: None, command: adjust(sku(SKU), 1) }
}

/// openraft took the answer to an entry for the answer to all that it had sent since and that ends with this entry,
/// such as the news that it is committed. So a read was confirmed to a leader that was none any more.
#[test]
fn a_read_is_not_confirmed_by_late_answers_to_what_was_sent_before_it() {
    for seed in 1..=5 {
        let mut cluster = Cluster::new(seed);
        let all: Vec<u64> = (1..=NODES).collect();
        let old = cluster.wait("one leads", |cluster| cluster.leader(&all));
        let others: Vec<u64> = all.into_iter().filter(|id| *id != old).collect();
        let first = cluster.submit(old, put(SKU, 1));
        assert!(cluster.wait("there is one", |_| answer(&first)), "seed {seed}");
        cluster.run(SETTLED_MS);

        // The second one: the others have it on disk, and the answers that say so are held up.
        others.iter().for_each(|other| cluster.net.cut(*other, old, true));
        let second = cluster.last(old).map(|last| last + 1);
        cluster.submit(old, one_more());
        cluster.wait("all have it", |cluster| {
            others.iter().all(|other| cluster.last(*other) >= second).then_some(())
        });
        cluster.run(WRITTEN_MS);
        assert!(cluster.committed(old) < second, "seed {seed}: an answer has come through");

        // The third one is taken without the old leader, which does not hear of it.
        others.iter().for_each(|other| cluster.net.cut(old, *other, true));
        let new = cluster.wait("another one leads", |cluster| cluster.leader(&others));
        let third = cluster.submit(new, one_more());
        assert!(cluster.wait("there are three", |_| answer(&third)), "seed {seed}");

        let read = cluster.read(old);
        cluster.run(1);
        for other in others {
            assert_eq!(cluster.leader(&[old]), Some(old), "seed {seed}: it has heard of it");
            cluster.net.cut(other, old, false);
            cluster.wait("the answer has come", |cluster| (cluster.committed(old) >= second).then_some(()));
            cluster.run(ARRIVED_MS);
        }
        cluster.net.heal();
        let read = cluster.wait("the read is answered", |_| answer(&read));
        assert!(read.is_err() || read == Ok(3), "seed {seed}: three were there, {read:?} was read");
    }
}
