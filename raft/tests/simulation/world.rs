//! The world of one seed: all nodes, their network, clocks, clients and faults, a millisecond at a time.
//!
//! ```text
//!   each millisecond   faults strike | clients and the operator ask | the network delivers | each node runs, in an
//!                      order of chance, and is looked at | clients take their answers
//!
//!   |<------------- trouble ------------->|<---- peace: within LIVELY_MS all calls are answered and all nodes agree --
//! ```

use std::time::Duration;

use raft::simulated::{Simulated, enter};
use raft::{Group, GroupOptions, Member, Tuning};
use tempfile::TempDir;

use crate::chance::Chance;
use crate::clocks::{BEGIN_MS, TrueTime, Wall};
use crate::faults::{Faults, Site};
use crate::history::History;
use crate::invariants::{self, AHEAD_MS_MAX, Invariant, Moment};
use crate::network::Net;
use crate::node::{IN_ORDER, Node};
use crate::operator::Operator;
use crate::shop::Shop;
use crate::trace::Trace;

/// How long there is trouble, in milliseconds.
pub(crate) const TROUBLE_MS: u64 = 8_000;

/// After trouble has ended everything works again within this time, in milliseconds.
const LIVELY_MS: u64 = 30_000;

/// And from then on holds end in time: no later than this, in milliseconds.
const ENDED_MS: u64 = 1_000;

/// How many machines there are that are no members at first.
const SPARES: u64 = 2;

/// See the module.
pub(crate) struct World {
    seed: u64,
    time: TrueTime,
    chance: Chance,
    nodes: Vec<Node>,
    net: Net,
    faults: Faults,
    shop: Shop,
    /// Changes the members; in every other world.
    operator: Option<Operator>,
    history: History,
    /// How many entries of the history were checked.
    checked: u64,
    invariants: Vec<(&'static str, Box<dyn Invariant>)>,
    trace: Trace,
    /// For the lock files, which are the one thing of a node that is not on its disk in memory.
    _directory: TempDir,
    /// Ends last: until then chance follows from the seed.
    _simulated: Simulated,
}

/// What a seed came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// How many things happened, and a hash over all of them in their order.
    pub(crate) trace: (u64, u64),
    pub(crate) simulated_ms: u64,
    pub(crate) faults: u64,
    pub(crate) answered: u64,
    pub(crate) changes: u64,
    pub(crate) entries: u64,
    pub(crate) terms: u64,
}

impl World {
    /// The world of a seed. In every other one the members change.
    pub(crate) fn new(seed: u64) -> World {
        let mut chance = Chance::of(seed, "members");
        let operator = chance.one_in(2).then(|| Operator::new(chance));
        World::of(seed, operator)
    }

    /// The world of a seed, in which the members stay.
    pub(crate) fn without_operator(seed: u64) -> World {
        World::of(seed, None)
    }

    fn of(seed: u64, operator: Option<Operator>) -> World {
        let simulated = enter(seed);
        let directory = TempDir::new().unwrap();
        let mut chance = Chance::of(seed, "world");
        let (time, net) = (TrueTime::default(), Net::new(Chance::of(seed, "network")));
        let count = if chance.one_in(3) { 5 } else { 3 };
        let members: Vec<Member> = (1..=count).map(member).collect();
        let node = |id: u64| {
            let options = options(&members, id, &directory, seed);
            Node::new(options, net.clone(), Wall::new(time.clone()))
        };
        let spares = if operator.is_some() { SPARES } else { 0 };
        let mut nodes: Vec<Node> = (1..=count + spares).map(node).collect();
        nodes.iter_mut().filter(|node| node.id > count).for_each(Node::retire);
        World {
            seed,
            time: time.clone(),
            chance,
            nodes,
            net: net.clone(),
            faults: Faults::new(Chance::of(seed, "faults")),
            shop: Shop::new(Chance::of(seed, "shop")),
            operator,
            history: History::default(),
            checked: 0,
            invariants: invariants::all(),
            trace: Trace::new(directory.path().to_string_lossy().into_owned()),
            _directory: directory,
            _simulated: simulated,
        }
    }

    /// Runs to the end; the error is what was violated, with all that is needed to see it again.
    pub(crate) fn run(mut self) -> Result<Summary, String> {
        self.try_run().map_err(|why| {
            format!("seed {}, after {} ms: {why}\n\n{}", self.seed, self.time.now_ms(), self.trace.tail())
        })?;
        Ok(Summary {
            trace: self.trace.hash(),
            simulated_ms: self.time.now_ms(),
            faults: self.faults.count,
            answered: self.shop.answered(),
            changes: self.operator.as_ref().map_or(0, |operator| operator.changes),
            entries: self.history.next(),
            terms: self.nodes.iter().filter_map(|node| Some(node.look.as_ref()?.term)).max().unwrap_or(0),
        })
    }

    fn try_run(&mut self) -> Result<(), String> {
        while self.time.now_ms() < TROUBLE_MS {
            self.strike();
            self.step()?;
        }
        self.trace.line(self.time.now_ms(), "peace");
        self.faults.end(&mut site(&self.time, &mut self.nodes, &self.net, &mut self.trace));
        let answered = self.shop.answered();
        self.step_until("a call was answered", |world| world.shop.answered() > answered)?;
        self.shop.is_open = false;
        if let Some(operator) = &mut self.operator {
            operator.is_open = false;
        }
        self.step_until("the members are changed as they were to be", World::is_changed)?;
        self.step_until("every call was answered", |world| world.shop.is_quiet())?;
        self.step_until("all nodes agree", World::agree)?;
        for _ in 0..3 * ENDED_MS {
            self.step()?;
        }
        self.step_until("all nodes agree", World::agree)?;
        self.check_holds()
    }

    fn is_changed(&self) -> bool {
        self.operator.as_ref().is_none_or(Operator::is_quiet)
    }

    fn strike(&mut self) {
        self.faults.strike(&mut site(&self.time, &mut self.nodes, &self.net, &mut self.trace));
    }

    fn step_until(&mut self, what: &str, is: impl Fn(&World) -> bool) -> Result<(), String> {
        let last = self.time.now_ms() + LIVELY_MS;
        while !is(self) {
            if self.time.now_ms() > last {
                return Err(format!("{} ms after the last fault it is not so that {what}", LIVELY_MS));
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        self.time.advance();
        let now_ms = self.time.now_ms();
        self.shop.ask(now_ms, &self.nodes);
        if let Some(operator) = &mut self.operator {
            operator.act(now_ms, &mut self.nodes, &self.history, &mut self.trace)?;
        }
        self.net.deliver(now_ms, &mut self.trace);
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        self.chance.shuffle(&mut order);
        order.into_iter().try_for_each(|at| self.run_node(at, now_ms))?;
        self.shop.take_answers(now_ms, &self.history, &mut self.trace)
    }

    fn run_node(&mut self, at: usize, now_ms: u64) -> Result<(), String> {
        if !self.nodes[at].is_up() {
            if now_ms >= self.nodes[at].starts_at_ms && !self.nodes[at].is_off {
                self.trace.line(now_ms, &format!("node {} starts", at + 1));
                self.nodes[at].start(now_ms);
            }
            return Ok(());
        }
        self.nodes[at].run_until(now_ms);
        if self.nodes[at].has_lost_power() {
            self.trace.line(now_ms, &format!("node {} has no power", at + 1));
            self.stop(at, true);
            return Ok(());
        }
        if let Some(why) = self.nodes[at].ended() {
            self.trace.line(now_ms, &format!("node {} ends", at + 1));
            let is_told = self.nodes[at].may_fail || why == IN_ORDER;
            if !is_told && !self.may_end(at, &why) {
                return Err(format!("node {} ended by itself: {why}", at + 1));
            }
            self.stop(at, false);
            return Ok(());
        }
        let Some(group) = self.nodes[at].group() else { return Ok(()) };
        self.look(at, now_ms, &group)
    }

    /// A node ends by itself where it was removed, and one that is no member yet may: it waits to be added, and others
    /// may not know yet that its id is used again.
    fn may_end(&mut self, at: usize, why: &str) -> bool {
        let node = &mut self.nodes[at];
        if self.operator.is_none() || self.history.has_member(node.id) {
            return false;
        }
        let is_removed = node.serves_clients && why.contains("was removed from the cluster");
        node.is_off |= is_removed;
        is_removed || !node.serves_clients
    }

    fn stop(&mut self, at: usize, power: bool) {
        let seed = self.chance.number();
        self.nodes[at].stop(power.then_some(seed));
        self.nodes[at].starts_at_ms = self.time.now_ms() + self.chance.within(5..=2_500);
    }

    fn look(&mut self, at: usize, now_ms: u64, group: &Group) -> Result<(), String> {
        let look = group.look();
        let before = self.nodes[at].look.as_ref();
        if before == Some(&look) {
            return Ok(());
        }
        self.trace.event(now_ms, format!("{look:?}").as_bytes());
        if look.leads && before.is_none_or(|before| !before.leads) {
            self.trace.line(now_ms, &format!("node {} leads in term {}", at + 1, look.term));
        }
        // A follower may know that an index is committed while its own log still has another entry there.
        let committed = look.committed.filter(|_| look.leads);
        let last = committed.max(look.applied.map(|applied| applied.index));
        let seen = before.and_then(|before| before.log.last).map_or(0, |last| last.index);
        let end = look.log.last.map_or(0, |last| last.index + 1);
        let first = look.log.first.max(seen.min(end).saturating_sub(16));
        let tail = match group.log().read(first..end, usize::MAX) {
            Ok(tail) => tail,
            // It has failed as it was to, or let go of its log, and the process is about to end.
            Err(_) if self.nodes[at].may_fail || self.nodes[at].is_leaving => return Ok(()),
            Err(why) => return Err(why.to_string()),
        };
        let node = at as u64 + 1;
        match last.map_or(Ok(()), |last| self.history.take(node, group.log(), last)) {
            Err(_) if self.nodes[at].may_fail || self.nodes[at].is_leaving => return Ok(()),
            taken => taken?,
        }
        let (history, agreed) = (&self.history, self.checked..self.history.next());
        let moment = Moment {
            now_ms,
            node,
            directory: self.nodes[at].directory,
            start: self.nodes[at].starts,
            look: &look,
            before,
            log: group.log(),
            tail: &tail,
            history,
            agreed,
        };
        for (name, invariant) in &mut self.invariants {
            invariant.check(&moment).map_err(|why| format!("{name}: {why}"))?;
        }
        self.checked = self.history.next();
        self.nodes[at].look = Some(look);
        Ok(())
    }

    /// The nodes that are members by all that is committed.
    fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| self.history.has_member(node.id))
    }

    /// Whether all members are up and have applied the same, all that is committed.
    fn agree(&self) -> bool {
        let last = self.history.next().checked_sub(1);
        let state =
            |node: &Node| node.look.as_ref().map(|look| (look.applied.map(|at| at.index), look.log.last));
        let first = self.members().next().and_then(state);
        first.is_some_and(|(applied, _)| applied == last) && self.members().all(|node| state(node) == first)
    }

    /// In peace nothing is held past its deadline for long, and the cluster clock is right.
    fn check_holds(&self) -> Result<(), String> {
        let true_ms = BEGIN_MS + self.time.now_ms();
        let due = self.history.inventory.next_due_ms().filter(|due| due + ENDED_MS < true_ms);
        due.map_or(Ok(()), |due| Err(format!("what was due {} ms ago has not ended", true_ms - due)))?;
        let node = self.members().next().ok_or("there is no member")?;
        let group = node.group().ok_or_else(|| format!("node {} is down", node.id))?;
        let off_ms = node.block_on(async { group.read_stale(|_| ()).now_ms }).abs_diff(true_ms);
        if off_ms > AHEAD_MS_MAX { Err(format!("the cluster clock is {off_ms} ms off")) } else { Ok(()) }
    }
}

fn site<'a>(time: &TrueTime, nodes: &'a mut [Node], net: &'a Net, trace: &'a mut Trace) -> Site<'a> {
    Site { now_ms: time.now_ms(), nodes, net, trace }
}

pub(crate) fn member(id: u64) -> Member {
    Member { id, http: String::new(), raft: id.to_string() }
}

/// Snapshots, segments and saves are so small that each comes often.
pub(crate) fn options(members: &[Member], node_id: u64, directory: &TempDir, seed: u64) -> GroupOptions {
    let mut chance = Chance::of(seed, "options");
    // One that is to be added has a file of its own.
    let is_new = members.iter().all(|member| member.id != node_id);
    let file = members.iter().cloned().chain(is_new.then(|| member(node_id))).collect();
    GroupOptions {
        cluster_name: "simulated".into(),
        node_id,
        members: file,
        data_dir: directory.path().join(node_id.to_string()),
        retention: Duration::from_secs(3_600),
        idempotency_retention: Duration::from_secs(3_600),
        max_hold: Duration::from_secs(1_800),
        events_retention: Duration::from_secs(3_600),
        events_max: 1_000,
        limits: raft::HoldLimits::NONE,
        rates: raft::RateLimits::default(),
        tuning: Tuning {
            segment_bytes: 16 << 10,
            snapshot_entries: chance.within(20..=120),
            snapshot_bytes: 1 << chance.within(10..=16),
            digests_every: Duration::from_secs(2),
            save_records: chance.within(5..=60) as usize,
            save_every: Duration::from_millis(chance.within(200..=3_000)),
            via: std::collections::BTreeMap::new(),
        },
    }
}
