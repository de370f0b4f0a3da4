//! The operator: adds nodes, promotes, replaces and removes them, and moves the lead, while all else goes on.
//!
//! ```text
//!   grow      boot a spare machine -> add -> promote
//!   shrink    remove -> switch it off
//!   swap      boot a spare machine -> add -> swap it for a voter -> switch that off
//!   replace   lose a voter's directory -> remove it -> boot it, empty -> add -> promote
//!   lead      hand the lead over
//! ```
//!
//! One drill after the other, each to its end: what has no answer, or is refused for now, is asked again, through any
//! node. A machine that is switched off is emptied. One directory is lost at a time: two are a majority of three.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use raft::{Change, ChangeError, Changed, Member, Refusal, RefusalKind};

use crate::chance::Chance;
use crate::history::History;
use crate::node::Node;
use crate::trace::Trace;

/// So many voters are left alone.
const VOTERS: (usize, usize) = (3, 5);

/// See the module.
pub(crate) struct Operator {
    chance: Chance,
    /// What is left of the drill.
    drill: VecDeque<Step>,
    call: Option<Call>,
    calls: u64,
    next_ms: u64,
    inbox: Inbox,
    /// How many changes were made.
    pub(crate) changes: u64,
    /// Whether it begins anything new.
    pub(crate) is_open: bool,
}

type Changing = Result<Changed, ChangeError>;
type Inbox = Arc<Mutex<Vec<(u64, Changing)>>>;

/// A step of a drill.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Switches a machine off; its directory is lost.
    Retire(u64),
    /// Starts a machine.
    Boot(u64),
    /// Has the members changed.
    Ask(Change),
}

/// A change that was asked for, and where.
struct Call {
    number: u64,
    node: u64,
}

/// What a refusal comes to.
enum Next {
    /// What was asked for is so.
    Done,
    /// It may be done later.
    Again,
    /// This is to be done first.
    First(Vec<Step>),
}

impl Operator {
    /// One who begins after a while.
    pub(crate) fn new(mut chance: Chance) -> Operator {
        let next_ms = chance.within(500..=2_000);
        Operator {
            chance,
            drill: VecDeque::new(),
            call: None,
            calls: 0,
            next_ms,
            inbox: Inbox::default(),
            changes: 0,
            is_open: true,
        }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.drill.is_empty()
    }

    /// Takes what was answered, and does what comes next.
    pub(crate) fn act(
        &mut self,
        now_ms: u64,
        nodes: &mut [Node],
        history: &History,
        trace: &mut Trace,
    ) -> Result<(), String> {
        self.take_answers(now_ms, nodes, history, trace)?;
        let is_down = |call: &Call| nodes.iter().any(|node| node.id == call.node && !node.is_up());
        if self.call.as_ref().is_some_and(is_down) {
            self.call = None;
        }
        if self.call.is_some() || now_ms < self.next_ms {
            return Ok(());
        }
        if self.drill.is_empty() && self.is_open {
            self.drill = self.choose(nodes, history).into();
            self.next_ms = now_ms + self.chance.within(0..=800);
            return Ok(());
        }
        let Some(step) = self.drill.front().cloned() else { return Ok(()) };
        self.take_step(step, now_ms, nodes, trace);
        Ok(())
    }

    fn take_step(&mut self, step: Step, now_ms: u64, nodes: &mut [Node], trace: &mut Trace) {
        let find = |id: u64| move |node: &&mut Node| node.id == id;
        match step {
            Step::Retire(id) => {
                trace.line(now_ms, &format!("node {id} is switched off, and its directory is lost"));
                nodes.iter_mut().find(find(id)).into_iter().for_each(Node::retire);
                self.drill.pop_front();
            }
            Step::Boot(id) => {
                trace.line(now_ms, &format!("node {id} is switched on"));
                if let Some(node) = nodes.iter_mut().find(find(id)) {
                    (node.is_off, node.starts_at_ms) = (false, now_ms);
                }
                self.drill.pop_front();
            }
            Step::Ask(change) => self.ask(change, now_ms, nodes, trace),
        }
    }

    fn ask(&mut self, change: Change, now_ms: u64, nodes: &[Node], trace: &mut Trace) {
        let up: Vec<usize> =
            (0..nodes.len()).filter(|at| nodes[*at].serves_clients && nodes[*at].group().is_some()).collect();
        let Some(node) = self.chance.pick(&up).map(|at| &nodes[at]) else { return };
        let Some(group) = node.group() else { return };
        trace.line(now_ms, &format!("node {} is asked for {change:?}", node.id));
        self.calls += 1;
        let (number, inbox) = (self.calls, self.inbox.clone());
        self.call = Some(Call { number, node: node.id });
        node.spawn(async move {
            let changed = group.change(&change).await;
            inbox.lock().unwrap_or_else(PoisonError::into_inner).push((number, changed));
        });
    }

    fn take_answers(
        &mut self,
        now_ms: u64,
        nodes: &mut [Node],
        history: &History,
        trace: &mut Trace,
    ) -> Result<(), String> {
        let answered = std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        for (number, changing) in answered {
            if self.call.as_ref().is_some_and(|call| call.number == number) {
                self.call = None;
                self.next_ms = now_ms + self.chance.within(50..=600);
                trace.line(now_ms, &format!("the answer is {changing:?}"));
                self.take(changing, nodes, history)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, changing: Changing, nodes: &mut [Node], history: &History) -> Result<(), String> {
        let Some(Step::Ask(change)) = self.drill.front().cloned() else { return Ok(()) };
        let next = match changing {
            Ok(changed) => {
                check(&change, &changed, history)?;
                self.changes += u64::from(changed.changed);
                Next::Done
            }
            // Who leads is as it may be.
            Err(_) if matches!(change, Change::Lead(_)) => Next::Done,
            Err(ChangeError::Refused(refusal)) => after_refusal(&change, refusal, history)?,
            Err(_) => Next::Again,
        };
        match next {
            Next::Again => {}
            Next::First(steps) => steps.into_iter().rev().for_each(|step| self.drill.push_front(step)),
            Next::Done => {
                self.drill.pop_front();
                if let Change::Add(Member { id, .. }) = change {
                    nodes.iter_mut().filter(|node| node.id == id).for_each(|node| node.serves_clients = true);
                }
            }
        }
        Ok(())
    }

    /// A drill that can be done with what there is.
    fn choose(&mut self, nodes: &[Node], history: &History) -> Vec<Step> {
        let Some(voters) = history.members().and_then(|members| members.voters.first()) else {
            return Vec::new();
        };
        let voters: Vec<u64> = voters.iter().copied().collect();
        let spares: Vec<u64> = nodes.iter().filter(|node| node.is_off).map(|node| node.id).collect();
        let (Some(voter), spare) = (self.chance.pick(&voters), self.chance.pick(&spares)) else {
            return Vec::new();
        };
        match (self.chance.within(0..=9), spare) {
            (0..=2, Some(new)) if voters.len() < VOTERS.1 => join(new, Change::Promote(new)),
            (3..=4, Some(new)) => {
                let mut drill = join(new, Change::Swap { old: voter, new });
                drill.push(Step::Retire(voter));
                drill
            }
            (0..=5, _) if voters.len() > VOTERS.0 => {
                vec![Step::Ask(Change::Remove { id: voter, to_replace: false }), Step::Retire(voter)]
            }
            (6, _) => vec![Step::Ask(Change::Lead(self.chance.one_in(2).then_some(voter)))],
            _ => {
                let remove = Change::Remove { id: voter, to_replace: true };
                let mut drill = vec![Step::Retire(voter), Step::Ask(remove)];
                drill.extend(join(voter, Change::Promote(voter)));
                drill
            }
        }
    }
}

/// Boots a machine that is empty, adds it, and has it vote.
fn join(new: u64, vote: Change) -> Vec<Step> {
    let member = Member { id: new, http: format!("http-{new}"), raft: new.to_string() };
    vec![Step::Boot(new), Step::Ask(Change::Add(member)), Step::Ask(vote)]
}

/// What is answered is committed.
fn check(change: &Change, changed: &Changed, history: &History) -> Result<(), String> {
    let ids = changed.members.iter().map(|(member, _)| member.id);
    let Some(index) = changed.membership_index else {
        return Err(format!("{change:?} was answered with no membership"));
    };
    match history.entry(index).map(|agreed| agreed.members.as_ref()) {
        Some(Some(members)) if members.ids.iter().copied().eq(ids) => Ok(()),
        // Whoever answered has applied it, and may be looked at later in this very millisecond.
        None => Ok(()),
        Some(other) => Err(format!("{change:?} was answered {changed:?}, but entry {index} has {other:?}")),
    }
}

fn after_refusal(change: &Change, refusal: Refusal, history: &History) -> Result<Next, String> {
    let again =
        |id: u64| Next::First([Step::Retire(id)].into_iter().chain(join(id, change.clone())).collect());
    match (refusal.kind, change) {
        (
            RefusalKind::Changing
            | RefusalKind::Unreachable
            | RefusalKind::Behind
            | RefusalKind::QuorumLost
            | RefusalKind::NotTransferred,
            _,
        ) => Ok(Next::Again),
        (RefusalKind::NotFound, Change::Remove { .. }) => Ok(Next::Done),
        // A removal whose answer was lost came late: it was of the directory before, and is of its id.
        (RefusalKind::NotFound, Change::Promote(id)) if !history.has_member(*id) => Ok(again(*id)),
        _ => Err(format!("{change:?} was refused: {refusal:?}")),
    }
}
