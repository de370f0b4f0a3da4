//! A cluster of three in simulated time, to which happens what a test says, step by step.

use std::sync::{Arc, Mutex, PoisonError};

use raft::simulated::{Simulated, enter};
use raft::{Change, Group, Member, ReadError};
use storage::inventory::command::Request;
use tempfile::TempDir;

use crate::chance::Chance;
use crate::clocks::{TrueTime, Wall};
use crate::network::Net;
use crate::node::Node;
use crate::shop::{adjust, put, sku};
use crate::trace::Trace;
use crate::world::{member, options};

/// The ids of the nodes.
pub(crate) const ALL: [u64; 3] = [1, 2, 3];

/// What there is more and more of.
const SKU: &str = "Console";

/// Nothing that is waited for takes longer, in milliseconds.
const PATIENCE_MS: u64 = 30_000;

/// What a node was asked: the answer, once there is one.
pub(crate) type Asked<T> = Arc<Mutex<Option<T>>>;

/// The answer, where there is one.
pub(crate) fn answer<T: Clone>(asked: &Asked<T>) -> Option<T> {
    asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Three nodes to which nothing happens but what is said.
pub(crate) struct Cluster {
    seed: u64,
    time: TrueTime,
    pub(crate) net: Net,
    nodes: Vec<Node>,
    trace: Trace,
    _directory: TempDir,
    /// Ends last: until then chance follows from the seed.
    _simulated: Simulated,
}

impl Cluster {
    /// Three that have just started.
    fn new(seed: u64) -> Cluster {
        let simulated = enter(seed);
        let directory = TempDir::new().unwrap();
        let (time, net) = (TrueTime::default(), Net::new(Chance::of(seed, "network")));
        let members: Vec<Member> = ALL.into_iter().map(member).collect();
        let started = |id| {
            let options = options(&members, id, &directory, seed);
            let mut node = Node::new(options, net.clone(), Wall::new(time.clone()));
            node.start(0);
            node
        };
        let nodes = ALL.into_iter().map(started).collect();
        let trace = Trace::new(directory.path().to_string_lossy().into_owned());
        Cluster { seed, time, net, nodes, trace, _directory: directory, _simulated: simulated }
    }

    /// Three, one of which leads and has put one unit up for sale: that one.
    pub(crate) fn with_one(seed: u64) -> (Cluster, u64) {
        let mut cluster = Cluster::new(seed);
        let leader = cluster.wait("one leads", |cluster| cluster.leader(&ALL));
        let first = cluster.submit(leader, put(SKU, 1));
        assert!(cluster.wait("there is one", |_| answer(&first)), "seed {seed}");
        (cluster, leader)
    }

    /// Lets so much time pass.
    pub(crate) fn run(&mut self, time_ms: u64) {
        for _ in 0..time_ms {
            self.time.advance();
            let now_ms = self.time.now_ms();
            self.net.deliver(now_ms, &mut self.trace);
            self.nodes.iter_mut().for_each(|node| node.run_until(now_ms));
        }
    }

    /// Lets time pass until it is so; what it is then.
    pub(crate) fn wait<T>(&mut self, what: &str, is: impl Fn(&Cluster) -> Option<T>) -> T {
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
    pub(crate) fn leader(&self, among: &[u64]) -> Option<u64> {
        let leads = |id: &u64| self.node(*id).group().is_some_and(|group| group.look().leads);
        among.iter().copied().find(leads)
    }

    /// The last entry in a node's log.
    pub(crate) fn last(&self, id: u64) -> Option<u64> {
        self.node(id).group()?.look().log.last.map(|last| last.index)
    }

    /// The last entry that it knows to be committed.
    pub(crate) fn committed(&self, id: u64) -> Option<u64> {
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
    pub(crate) fn submit(&self, id: u64, request: Request) -> Asked<bool> {
        self.ask(id, |group| async move { group.submit(request).await.is_ok() })
    }

    /// How many there are.
    pub(crate) fn read(&self, id: u64) -> Asked<Result<u64, ReadError>> {
        self.ask(id, |group| async move {
            let read = group.read(|inventory| inventory.stock(&sku(SKU)).map_or(0, |stock| stock.on_hand));
            read.await.map(|read| read.value)
        })
    }

    /// Tells all of them to stop in order.
    pub(crate) fn leave(&mut self) {
        assert!(self.nodes.iter_mut().all(Node::leave), "seed {}: one does not serve", self.seed);
    }

    /// Whether all of them have stopped.
    pub(crate) fn have_ended(&self) -> bool {
        self.nodes.iter().all(|node| node.ended().is_some())
    }

    /// Asks for another leader.
    pub(crate) fn hand_over(&self, from: u64, to: u64) {
        self.ask(from, move |group| async move { group.change(&Change::Lead(Some(to))).await });
    }
}

/// Adds one.
pub(crate) fn one_more() -> Request {
    Request { idempotency_key: None, command: adjust(sku(SKU), 1) }
}
